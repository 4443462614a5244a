//! A model's streamed answer, judged while it comes (execution.md rule 19).
//!
//! An event leaves as soon as the texts that it holds pieces of are decided up to there; those behind it wait, so that
//! their order stays. A text that no field names never waits. One that a scanner reads waits only where a match could
//! still begin or go on. Any other is judged when it has ended: then its first piece holds what became of it, and the
//! others are empty. Events that nothing was cut out of leave as they came, byte for byte.

use std::collections::VecDeque;

use apl_bytecode::ScanMode;
use apl_vm::{Document, Kind, Limits, Node, NodeId, Running, quote};

use super::{
    place::{Fields, Reach, Seg, alone, at},
    stream::Unreadable,
    visit::{How, visit},
};
use crate::{
    codec::Codec,
    refusal::Refusal,
    sse::{self, RawEvent, Splitter},
};

/// Texts of one answer.
const MAX_TEXTS: usize = 1024;

/// The stream as far as it has come.
#[derive(Debug)]
pub(crate) struct Flow {
    codec: Codec,
    fields: Fields,
    limits: Limits,
    splitter: Splitter,
    queue: VecDeque<Waiting>,
    texts: Vec<Text>,
    /// Bytes of the events in `queue`.
    queued: usize,
    /// Values in which a scanner has found something: the fields label that before more leaves.
    finds: Vec<Vec<u8>>,
}

/// An event that has not left.
#[derive(Debug)]
struct Waiting {
    event: RawEvent,
    document: Option<Document>,
    pieces: Vec<Piece>,
}

/// A piece of a text.
#[derive(Debug)]
struct Piece {
    node: NodeId,
    text: usize,
    start: usize,
    end: usize,
}

/// A text of the answer, which comes in pieces.
#[derive(Debug)]
struct Text {
    place: Vec<Seg>,
    json: bool,
    reach: Reach,
    state: State,
    /// What has come, where it must be judged as one.
    whole: String,
    length: usize,
    /// Up to where it is decided.
    decided: usize,
    /// What took the place of the whole.
    edited: Option<String>,
    ended: bool,
}

#[derive(Debug)]
enum State {
    /// Nothing but white space has come: it may become JSON, which is looked into, or prose.
    Blank,
    Free,
    Scanned(Box<Running>, ScanMode),
    Whole,
}

/// Why a stream ends.
#[derive(Debug)]
pub(crate) enum Stop {
    /// It is no stream of answers that is known here, or an edit cannot be written back.
    Unreadable,
    TooLarge,
    Denied(Refusal),
}

impl From<Unreadable> for Stop {
    fn from(_: Unreadable) -> Self {
        Self::Unreadable
    }
}

/// Runs the route's fields over an answer that holds one value; the answer with their edits, if there are any.
pub(crate) type Judge<'a> = &'a mut dyn FnMut(Vec<u8>) -> Result<Option<Vec<u8>>, Stop>;

impl Flow {
    pub(crate) const fn new(codec: Codec, fields: Fields, limits: Limits, max_event: usize) -> Self {
        Self {
            codec,
            fields,
            limits,
            splitter: Splitter::new(max_event),
            queue: VecDeque::new(),
            texts: Vec::new(),
            queued: 0,
            finds: Vec::new(),
        }
    }

    /// Bytes that are held.
    pub(crate) fn held(&self) -> usize {
        let texts = self.texts.iter().map(|text| text.whole.len()).sum::<usize>();
        self.queued
            .saturating_add(self.splitter.held())
            .saturating_add(texts)
    }

    /// Takes a chunk; what may leave goes to `out`. `end`: nothing comes behind it.
    pub(crate) fn push(
        &mut self,
        chunk: &[u8],
        end: bool,
        judge: Judge<'_>,
        out: &mut Vec<u8>,
    ) -> Result<(), Stop> {
        let (events, fine) = self.splitter.push(chunk);
        for event in events {
            self.take(event, judge)?;
            self.leave(out)?;
        }
        fine.map_err(|_| Stop::TooLarge)?;
        if end {
            for text in &mut self.texts {
                text.end(judge)?;
            }
            self.leave(out)?;
        }
        Ok(())
    }

    /// The values that scanners have found something in since the last time.
    pub(crate) fn take_finds(&mut self) -> Vec<Vec<u8>> {
        for text in &mut self.texts {
            if let State::Scanned(running, _) = &mut text.state
                && let Some(sample) = running.take_sample()
            {
                self.finds.push(alone_text(&text.place, &sample));
            }
        }
        std::mem::take(&mut self.finds)
    }

    /// The fields that scanners have cut something out of.
    pub(crate) fn cut(&self) -> impl Iterator<Item = String> {
        self.texts.iter().filter_map(|text| match &text.state {
            State::Scanned(running, ScanMode::Redact) if !running.cuts().is_empty() => {
                self.fields.name(text.reach.scan?)
            }
            State::Scanned(..) | State::Blank | State::Free | State::Whole => None,
        })
    }

    /// Everything that is held, as it came.
    pub(crate) fn give_up(&mut self) -> Vec<u8> {
        let mut bytes: Vec<u8> = self
            .queue
            .drain(..)
            .flat_map(|waiting| waiting.event.raw)
            .collect();
        bytes.extend(self.splitter.give_back());
        bytes
    }

    fn take(&mut self, event: RawEvent, judge: Judge<'_>) -> Result<(), Stop> {
        let data = event.data.as_deref().unwrap_or_default().trim_ascii();
        let mut pieces = Vec::new();
        let mut held = None;
        if !data.is_empty() && data != b"[DONE]" {
            let mut document = Document::parse(data.to_vec(), &self.limits).map_err(|_| Stop::Unreadable)?;
            let mut edits: Vec<(NodeId, Vec<u8>)> = Vec::new();
            let mut stop = None;
            let root = document.node(document.root());
            let read = visit(self.codec, root, &mut |place, node, how| {
                let done = match how {
                    How::Piece => self.piece(place, node, false, &mut pieces, judge),
                    How::JsonPiece => self.piece(place, node, true, &mut pieces, judge),
                    How::Value | How::Whole => self
                        .value(place, node, how, judge)
                        .map(|edit| edits.extend(edit.map(|edit| (node.id(), edit)))),
                    How::End => {
                        let mut below = self.texts.iter_mut().filter(|text| text.place.starts_with(place));
                        below.try_for_each(|text| text.end(judge))
                    }
                    How::Tokens => {
                        let nothing: &[u8] = if node.kind() == Kind::Array {
                            b"[]"
                        } else {
                            b"null"
                        };
                        if !node.is_empty() {
                            edits.push((node.id(), nothing.to_vec()));
                        }
                        Ok(())
                    }
                };
                done.map_err(|why| {
                    stop = Some(why);
                    Unreadable
                })
            });
            if let Err(why) = read {
                return Err(stop.unwrap_or_else(|| why.into()));
            }
            for (node, json) in edits {
                document.replace(node, json).map_err(|_| Stop::Unreadable)?;
            }
            held = Some(document);
        }
        self.queued = self.queued.saturating_add(event.raw.len());
        self.queue.push_back(Waiting {
            event,
            document: held,
            pieces,
        });
        Ok(())
    }

    /// A value that came whole: with the fields' edits, if there are any. What is no text cannot be edited.
    fn value(
        &self,
        place: &[Seg],
        node: Node<'_>,
        how: How,
        judge: Judge<'_>,
    ) -> Result<Option<Vec<u8>>, Stop> {
        if self.fields.reach(place).is_none() {
            return Ok(None);
        }
        let Some(edited) = judge(alone(place, node.raw()))? else {
            return Ok(None);
        };
        if how != How::Whole {
            return Err(Stop::Unreadable);
        }
        let edited = Document::parse(edited, &self.limits).map_err(|_| Stop::Unreadable)?;
        let now = at(edited.node(edited.root()), place);
        Ok(Some(
            now.map_or_else(|| b"null".to_vec(), |now| now.raw().to_vec()),
        ))
    }

    fn piece(
        &mut self,
        place: &[Seg],
        node: Node<'_>,
        json: bool,
        pieces: &mut Vec<Piece>,
        judge: Judge<'_>,
    ) -> Result<(), Stop> {
        let known = self
            .texts
            .iter()
            .position(|text| text.place == place && !text.ended);
        let number = match known {
            Some(number) => number,
            None => {
                let crosses = |text: &Text| text.place.starts_with(place) || place.starts_with(&text.place);
                if self.texts.len() >= MAX_TEXTS || self.texts.iter().any(crosses) {
                    return Err(Stop::Unreadable);
                }
                let reach = self.fields.reach(place);
                self.texts.push(Text::new(place.to_vec(), json, reach));
                self.texts.len().saturating_sub(1)
            }
        };
        let Some(text) = self.texts.get_mut(number).filter(|text| text.json == json) else {
            return Err(Stop::Unreadable);
        };
        let piece = node.as_str().ok_or(Stop::Unreadable)?;
        let start = text.length;
        text.push(&self.fields, &piece, judge)?;
        let end = text.length;
        pieces.push(Piece {
            node: node.id(),
            text: number,
            start,
            end,
        });
        Ok(())
    }

    /// Lets the events go whose pieces are decided.
    fn leave(&mut self, out: &mut Vec<u8>) -> Result<(), Stop> {
        while let Some(waiting) = self.queue.front() {
            let open = waiting.pieces.iter().any(|piece| {
                let text = self.texts.get(piece.text);
                text.is_none_or(|text| text.decided < piece.end)
            });
            if open {
                return Ok(());
            }
            let Some(mut waiting) = self.queue.pop_front() else {
                return Ok(());
            };
            self.queued = self.queued.saturating_sub(waiting.event.raw.len());
            if let Some(document) = &mut waiting.document {
                for piece in &waiting.pieces {
                    let Some(text) = self.texts.get_mut(piece.text) else {
                        continue;
                    };
                    let said = document
                        .received(piece.node)
                        .as_str()
                        .unwrap_or_default()
                        .into_owned();
                    if let Some(new) = text.becomes(&said, piece.start, piece.end) {
                        document
                            .replace_text(piece.node, &new)
                            .map_err(|_| Stop::Unreadable)?;
                    }
                }
                if document.is_edited() {
                    let json = document.render();
                    out.extend(sse::rewritten(&waiting.event, Some(&json), sse::Id::Keep));
                    continue;
                }
            }
            out.extend_from_slice(&waiting.event.raw);
        }
        Ok(())
    }
}

impl Text {
    fn new(place: Vec<Seg>, json: bool, reach: Reach) -> Self {
        let state = match (reach.is_none(), json) {
            (true, _) => State::Free,
            (false, true) => State::Whole,
            (false, false) => State::Blank,
        };
        Self {
            place,
            json,
            reach,
            state,
            whole: String::new(),
            length: 0,
            decided: 0,
            edited: None,
            ended: false,
        }
    }

    fn push(&mut self, fields: &Fields, piece: &str, judge: Judge<'_>) -> Result<(), Stop> {
        self.length = self.length.saturating_add(piece.len());
        if matches!(self.state, State::Blank) {
            self.whole.push_str(piece);
            let Some(first) = self.whole.trim_start().chars().next() else {
                return Ok(());
            };
            self.state = self.state_for(fields, matches!(first, '{' | '['));
            let so_far = std::mem::take(&mut self.whole);
            return self.more(&so_far, judge);
        }
        self.more(piece, judge)
    }

    /// How a text of this kind is judged.
    fn state_for(&self, fields: &Fields, json: bool) -> State {
        let Reach {
            exact, scan, above, ..
        } = self.reach;
        if json {
            return State::Whole;
        }
        match (exact, scan, above) {
            // Only what is in JSON could be named.
            (0, _, false) => State::Free,
            (1, Some(field), false) => match fields.scan(field) {
                Some((running, mode)) => State::Scanned(Box::new(running), mode),
                None => State::Whole,
            },
            (_, _, _) => State::Whole,
        }
    }

    fn more(&mut self, piece: &str, judge: Judge<'_>) -> Result<(), Stop> {
        match &mut self.state {
            State::Blank => {}
            State::Free => self.decided = self.length,
            State::Whole => self.whole.push_str(piece),
            State::Scanned(running, mode) => {
                let decided = running.push(piece, false);
                if *mode != ScanMode::Deny {
                    self.decided = decided;
                    return Ok(());
                }
                // A find is told by the fields themselves.
                self.whole.push_str(piece);
                if !running.cuts().is_empty() {
                    self.refused(judge)?;
                }
                self.decided = decided;
            }
        }
        Ok(())
    }

    /// Nothing more of it comes.
    fn end(&mut self, judge: Judge<'_>) -> Result<(), Stop> {
        if std::mem::replace(&mut self.ended, true) {
            return Ok(());
        }
        match &mut self.state {
            State::Free | State::Blank => {}
            State::Scanned(running, mode) => {
                running.push("", true);
                if *mode == ScanMode::Deny && !running.cuts().is_empty() {
                    self.refused(judge)?;
                }
            }
            State::Whole => self.judged(judge)?,
        }
        self.decided = self.length;
        Ok(())
    }

    fn alone(&self) -> Vec<u8> {
        if self.json {
            alone(&self.place, self.whole.as_bytes())
        } else {
            alone_text(&self.place, &self.whole)
        }
    }

    /// A scanner that denies has found something.
    fn refused(&self, judge: Judge<'_>) -> Result<(), Stop> {
        judge(self.alone())?;
        // It did not say so of the text alone: nothing is let through on a misunderstanding.
        Err(Stop::Unreadable)
    }

    fn judged(&mut self, judge: Judge<'_>) -> Result<(), Stop> {
        if self.whole.is_empty() {
            return Ok(());
        }
        let Some(edited) = judge(self.alone())? else {
            return Ok(());
        };
        let edited = Document::parse(edited, &Limits::default()).map_err(|_| Stop::Unreadable)?;
        let now = at(edited.node(edited.root()), &self.place);
        self.edited = Some(match (now, now.and_then(Node::as_str)) {
            (_, Some(text)) if !self.json => text.into_owned(),
            (Some(now), _) => String::from_utf8_lossy(now.raw()).into_owned(),
            (None, _) => String::new(),
        });
        Ok(())
    }

    /// What a piece becomes, if not what it was.
    fn becomes(&mut self, piece: &str, start: usize, end: usize) -> Option<String> {
        match (&self.state, &mut self.edited) {
            (State::Scanned(running, ScanMode::Redact), _) => {
                let new = running.redacted(piece, start, end);
                (new != piece).then_some(new)
            }
            // The first piece with anything in it takes all.
            (State::Whole, Some(edited)) if end > start => Some(std::mem::take(edited)),
            (State::Whole | State::Blank | State::Free | State::Scanned(..), _) => None,
        }
    }
}

fn alone_text(place: &[Seg], text: &str) -> Vec<u8> {
    let mut json = Vec::with_capacity(text.len().saturating_add(2));
    quote(text, &mut json);
    alone(place, &json)
}
