//! A scanner over a text that comes in pieces. What it finds is what it would find in the whole text, and it says as early
//! as it can up to where that is certain: [`Running::push`].
//!
//! A verifier reads on from its trigger as long as bytes can belong to what it looks for. So where a run of such bytes
//! touches the end of what has come, its trigger waits for more; everything before it is decided. A text with a backslash
//! may be read in other ways from its beginning to its end, so from there on it waits for its end.

use apl_bytecode::ScannerId;

use super::{
    REDACTED, Search,
    detect::{self, Find, Set},
    reading::{Reading, readings},
};
use crate::prepared::Prepared;

/// Bytes before a position that a verifier may look back on.
const BACK: usize = 64;

/// The state of one text.
#[derive(Debug, Clone)]
pub struct Running {
    set: Set,
    /// The end of the text, from `base` on: what is not decided yet, and what that may be judged by.
    window: String,
    /// Where the window begins in the text.
    base: usize,
    /// Up to where triggers were looked at, in the window.
    scanned: usize,
    /// How long the window is when it is looked at again.
    again: usize,
    /// A backslash has come.
    escaped: bool,
    /// Up to where the text is decided, in the text.
    decided: usize,
    /// Matches, in the window.
    spans: Vec<(usize, usize)>,
    /// The first match with what stands before it.
    sample: Option<String>,
    /// Matches that are decided, in the text: in order, those that touch joined.
    cuts: Vec<(usize, usize)>,
}

impl Running {
    /// A text that nothing of has come. `None`: the scanner has patterns of the policy's own, which need the whole text.
    #[must_use]
    pub fn new(program: &Prepared, scanner: ScannerId) -> Option<Self> {
        let search = Search::new(program, scanner);
        search.custom.is_empty().then_some(Self {
            set: search.set,
            window: String::new(),
            base: 0,
            scanned: 0,
            again: 0,
            escaped: false,
            decided: 0,
            spans: Vec::new(),
            sample: None,
            cuts: Vec::new(),
        })
    }

    /// The next piece; `last`: nothing comes behind it. Up to where the text is decided, in bytes.
    pub fn push(&mut self, piece: &str, last: bool) -> usize {
        self.window.push_str(piece);
        self.escaped |= piece.contains('\\');
        if last || (!self.escaped && self.window.len() >= self.again) {
            self.scan(last);
            // What waits is looked at again when it has grown by a part of itself, so that time stays linear.
            let waits = self.window.len().saturating_sub(self.scanned);
            self.again = self.window.len().saturating_add(waits / 8);
        }
        self.decided
    }

    /// What is to be cut out of the text, as far as it is decided: `REDACTED` stands where each begins.
    #[must_use]
    pub fn cuts(&self) -> &[(usize, usize)] {
        &self.cuts
    }

    /// The first match, with what stands before it: a text in which the scanner finds something as well. Once.
    pub fn take_sample(&mut self) -> Option<String> {
        self.sample.take()
    }

    /// What is left of a piece of the text that lies in what is decided, from `start` to `end` in the text.
    #[must_use]
    pub fn redacted(&self, piece: &str, start: usize, end: usize) -> String {
        let mut out = String::with_capacity(piece.len());
        let mut at = start;
        let keep = |from: usize, to: usize, out: &mut String| {
            let range = from.saturating_sub(start)..to.saturating_sub(start);
            out.push_str(piece.get(range).unwrap_or_default());
        };
        let first = self.cuts.partition_point(|(_, to)| *to <= start);
        let cuts = self.cuts.get(first..).unwrap_or_default();
        for (from, to) in cuts.iter().take_while(|(from, _)| *from < end) {
            if *from >= at {
                keep(at, *from, &mut out);
                out.push_str(REDACTED);
            }
            at = (*to).min(end);
        }
        keep(at, end.max(at), &mut out);
        out
    }

    fn scan(&mut self, last: bool) {
        let set = self.set;
        let mut reached = self.window.len();
        let mut kept = self.window.len();
        let mut found = Vec::new();
        for reading in readings(&self.window) {
            let from = reading.place(self.scanned);
            let mut sink = |find: Find| {
                found.push((
                    self.window.floor_char_boundary(reading.origin(find.start)),
                    self.window.ceil_char_boundary(reading.origin(find.end)),
                ));
                true
            };
            let at = detect::from(&reading.bytes, from, "", set, !last, &mut sink);
            reached = reached.min(reading.origin(at));
            // What stands before an `@` that is still to come is part of the address.
            let local = if last {
                0
            } else {
                detect::open_before(&reading.bytes, at, set)
            };
            kept = kept.min(reading.origin(at.saturating_sub(local)));
        }
        self.scanned = reached;
        self.spans.append(&mut found);
        apl_bytecode::sort_by(&mut self.spans, Ord::cmp);
        let mut decided = self.window.floor_char_boundary(kept.min(reached));
        // A match is decided whole, and so is what it touches.
        for (start, end) in self.spans.iter().rev() {
            if *end > decided {
                decided = decided.min(*start);
            }
        }
        if let (Some((start, end)), true) = (self.spans.first(), self.cuts.is_empty()) {
            let from = self.window.floor_char_boundary(start.saturating_sub(BACK));
            let sample = self.window.get(from..*end).filter(|_| *end <= decided);
            self.sample = sample.map(str::to_owned);
        }
        let base = self.base;
        self.spans.retain(|(start, end)| {
            if *end > decided {
                return true;
            }
            let (start, end) = (base.saturating_add(*start), base.saturating_add(*end));
            match self.cuts.last_mut() {
                Some(cut) if start <= cut.1 => cut.1 = cut.1.max(end),
                Some(_) | None => self.cuts.push((start, end)),
            }
            false
        });
        self.decided = self.decided.max(base.saturating_add(decided));
        self.trim(decided);
    }

    /// Drops what nothing looks at any more: everything but the bytes before the next trigger that it may be judged by.
    fn trim(&mut self, decided: usize) {
        let Some(reading) = readings(&self.window).next() else {
            return;
        };
        let back = reading.place(self.scanned).saturating_sub(BACK);
        let keep = self.window.floor_char_boundary(reading.origin(back).min(decided));
        // Moving a short window is not worth it.
        if keep < 1024 {
            return;
        }
        self.window.drain(..keep);
        self.base = self.base.saturating_add(keep);
        self.scanned = self.scanned.saturating_sub(keep);
        for (start, end) in &mut self.spans {
            *start = start.saturating_sub(keep);
            *end = end.saturating_sub(keep);
        }
    }
}

impl Reading<'_> {
    /// The place in this reading of a place in the text.
    fn place(&self, at: usize) -> usize {
        match &self.origins {
            None => at,
            Some(origins) => origins.partition_point(|origin| (*origin as usize) < at),
        }
    }
}
