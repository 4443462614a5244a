//! A model's streamed answer as the one document that it would have been, and edits of that document back in its events.
//!
//! A text comes in fragments, cut anywhere, so no event can be judged alone. The fragments of one text are a lane: an
//! edited lane stands whole in the place of its first fragment with characters in it, and the others become empty. Every
//! event that no edit touches stays as it was, byte for byte.

use apl_vm::{Document, Kind, Limits, Node, NodeId};

use crate::{
    codec::Codec,
    json_text::push_string,
    sse::{self, RawEvent, Splitter},
};

/// The events of an answer.
#[derive(Debug)]
pub(crate) struct Replay {
    events: Vec<(RawEvent, Option<Document>)>,
    lanes: Vec<Lane>,
    tree: Tree,
    limits: Limits,
}

/// A text, and where its fragments are.
#[derive(Debug, Default)]
struct Lane {
    text: String,
    /// Event and string. The first one with characters counts.
    fragments: Vec<(usize, NodeId)>,
    first: Option<usize>,
}

/// The document as far as it is there.
#[derive(Debug)]
enum Tree {
    /// As JSON. `null` until something comes.
    Raw(Vec<u8>),
    /// The text of this lane.
    Text(usize),
    /// The text of this lane is JSON itself.
    Json(usize),
    Object(Vec<(String, Tree)>),
    List(Vec<Tree>),
}

/// It is no stream of answers that is known here, or an edit cannot be written back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Unreadable;

type Read = Result<(), Unreadable>;

/// Elements of a list in an answer.
const MAX_ELEMENTS: usize = 1024;

/// Texts that come whole; of two the later one counts.
pub(super) const WHOLE: &[&str] = &[
    "created",
    "finish_reason",
    "id",
    "model",
    "name",
    "object",
    "role",
    "service_tier",
    "status",
    "stop_reason",
    "stop_sequence",
    "system_fingerprint",
    "type",
];

/// Repeats an answer's text, token by token.
pub(crate) const TOKENS: &str = "logprobs";

impl Replay {
    /// Reads a whole stream; the document is the answer.
    ///
    /// # Errors
    ///
    /// An event of an unknown kind, or one that does not fit those before it.
    pub(crate) fn read(stream: &[u8], codec: Codec, limits: &Limits) -> Result<(Self, Document), Unreadable> {
        // An event without its blank line is none (WHATWG HTML, 9.2.6): it goes nowhere.
        let (events, _) = Splitter::new(usize::MAX).push(stream);
        let mut replay = Self {
            events: Vec::with_capacity(events.len()),
            lanes: Vec::new(),
            tree: Tree::none(),
            limits: *limits,
        };
        for event in events {
            let data = event.data.as_deref().unwrap_or_default().trim_ascii();
            let mut document = None;
            if !data.is_empty() && data != b"[DONE]" {
                let parsed = Document::parse(data.to_vec(), limits).map_err(|_| Unreadable)?;
                let mut reader = Reader {
                    at: replay.events.len(),
                    lanes: &mut replay.lanes,
                };
                let root = parsed.node(parsed.root());
                match codec {
                    Codec::Anthropic => reader.anthropic(&mut replay.tree, root)?,
                    Codec::OpenAi | Codec::Mcp | Codec::A2a | Codec::Http => {
                        reader.openai(&mut replay.tree, root)?;
                    }
                }
                document = Some(parsed);
            }
            replay.events.push((event, document));
        }
        let mut json = Vec::with_capacity(stream.len());
        replay.tree.write(&replay.lanes, &mut json);
        let document = Document::parse(json, limits).map_err(|_| Unreadable)?;
        Ok((replay, document))
    }

    /// The stream with the edits of its document.
    ///
    /// # Errors
    ///
    /// Something was edited that is no text.
    pub(crate) fn write(mut self, edited: Vec<u8>) -> Result<Vec<u8>, Unreadable> {
        let edited = Document::parse(edited, &self.limits).map_err(|_| Unreadable)?;
        let mut texts: Vec<Option<String>> = Vec::new();
        texts.resize_with(self.lanes.len(), || None);
        self.tree.compare(Some(edited.node(edited.root())), &mut texts)?;
        for (lane, text) in self.lanes.iter().zip(texts) {
            let text = text.unwrap_or_default();
            if text == lane.text || (lane.text.is_empty() && text == "{}") {
                continue;
            }
            for (number, (at, node)) in lane.fragments.iter().enumerate() {
                let new = if number == lane.first.unwrap_or(0) {
                    text.as_str()
                } else {
                    ""
                };
                let document = self
                    .events
                    .get_mut(*at)
                    .and_then(|(_, document)| document.as_mut());
                document
                    .ok_or(Unreadable)?
                    .replace_text(*node, new)
                    .map_err(|_| Unreadable)?;
            }
        }
        let mut out = Vec::new();
        for (event, document) in &mut self.events {
            if let Some(document) = document {
                let root = document.received(document.root());
                let choices = root.get("choices").into_iter().flat_map(Node::elements);
                let tokens: Vec<NodeId> = choices
                    .filter_map(|choice| choice.get(TOKENS))
                    .filter(|tokens| tokens.kind() != Kind::Null)
                    .map(Node::id)
                    .collect();
                for id in tokens {
                    document.replace(id, b"null".to_vec()).map_err(|_| Unreadable)?;
                }
            }
            match document.as_ref().filter(|document| document.is_edited()) {
                Some(document) => out.extend(sse::rewritten(event, Some(&document.render()), sse::Id::Keep)),
                None => out.extend_from_slice(&event.raw),
            }
        }
        Ok(out)
    }
}

/// Reads the event with this number.
struct Reader<'a> {
    at: usize,
    lanes: &'a mut Vec<Lane>,
}

impl Reader<'_> {
    /// A chunk of a chat: what `delta` holds belongs to `message`.
    fn openai(&mut self, tree: &mut Tree, root: Node<'_>) -> Read {
        if root.kind() != Kind::Object || root.get("choices").or_else(|| root.get("error")).is_none() {
            return Err(Unreadable);
        }
        for (key, value) in root.members() {
            let place = tree.child(&key)?;
            if key != "choices" {
                self.merge(place, value, &key)?;
                continue;
            }
            place.list()?;
            for choice in value.elements() {
                let place = place.element(index(choice)?)?;
                for (key, value) in choice.members() {
                    let name = if key == "delta" { "message" } else { &key };
                    if key != TOKENS {
                        self.merge(place.child(name)?, value, &key)?;
                    }
                }
            }
        }
        Ok(())
    }

    /// An event of a message.
    fn anthropic(&mut self, tree: &mut Tree, root: Node<'_>) -> Read {
        let kind = root.get("type").and_then(Node::as_str).unwrap_or_default();
        let part = |key: &str| root.get(key).ok_or(Unreadable);
        match &*kind {
            "message_start" => self.merge(tree, part("message")?, ""),
            "content_block_start" => {
                let place = tree.child("content")?.element(index(root)?)?;
                for (key, value) in part("content_block")?.members() {
                    // Its JSON comes in fragments; what stands here is a place for it.
                    if key == "input" && value.is_empty() {
                        *place.child(&key)? = Tree::Json(self.lane());
                    } else {
                        self.merge(place.child(&key)?, value, &key)?;
                    }
                }
                Ok(())
            }
            "content_block_delta" => {
                let place = tree.child("content")?.element(index(root)?)?;
                for (key, value) in part("delta")?.members() {
                    match &*key {
                        "type" => {}
                        "partial_json" => match place.child("input")? {
                            Tree::Json(lane) => self.fragment(*lane, value),
                            _ => return Err(Unreadable),
                        },
                        "citation" => place
                            .child("citations")?
                            .list()?
                            .push(Tree::Raw(value.raw().to_vec())),
                        key => self.merge(place.child(key)?, value, key)?,
                    }
                }
                Ok(())
            }
            "message_delta" => {
                for key in ["delta", "usage"] {
                    let Some(value) = root.get(key) else { continue };
                    let place = if key == "usage" {
                        tree.child(key)?
                    } else {
                        &mut *tree
                    };
                    self.merge(place, value, key)?;
                }
                Ok(())
            }
            "error" => self.merge(tree.child("error")?, part("error")?, ""),
            "content_block_stop" | "message_stop" | "ping" => Ok(()),
            _ => Err(Unreadable),
        }
    }

    /// Adds what a later event says. Documents are depth-limited, so the recursion is.
    fn merge(&mut self, tree: &mut Tree, value: Node<'_>, key: &str) -> Read {
        match value.kind() {
            Kind::Object => {
                tree.object()?;
                for (key, value) in value.members() {
                    self.merge(tree.child(&key)?, value, &key)?;
                }
            }
            Kind::Array => {
                tree.list()?;
                for element in value.elements() {
                    match index(element) {
                        Ok(at) => self.merge(tree.element(at)?, element, "")?,
                        Err(Unreadable) => tree.list()?.push(Tree::Raw(element.raw().to_vec())),
                    }
                }
            }
            Kind::Null => {}
            Kind::String if !WHOLE.contains(&key) => {
                let lane = match tree {
                    Tree::Text(lane) => *lane,
                    Tree::Raw(raw) if raw == b"null" => self.lane(),
                    Tree::Raw(_) | Tree::Json(_) | Tree::Object(_) | Tree::List(_) => return Err(Unreadable),
                };
                *tree = Tree::Text(lane);
                self.fragment(lane, value);
            }
            Kind::String | Kind::Bool | Kind::Number => match tree {
                Tree::Raw(raw) => *raw = value.raw().to_vec(),
                Tree::Text(_) | Tree::Json(_) | Tree::Object(_) | Tree::List(_) => return Err(Unreadable),
            },
        }
        Ok(())
    }

    fn lane(&mut self) -> usize {
        self.lanes.push(Lane::default());
        self.lanes.len().saturating_sub(1)
    }

    fn fragment(&mut self, lane: usize, value: Node<'_>) {
        let text = value.as_str().unwrap_or_default();
        if let Some(lane) = self.lanes.get_mut(lane) {
            if !text.is_empty() && lane.first.is_none() {
                lane.first = Some(lane.fragments.len());
            }
            lane.text.push_str(&text);
            lane.fragments.push((self.at, value.id()));
        }
    }
}

fn index(node: Node<'_>) -> Result<usize, Unreadable> {
    let at = node
        .get("index")
        .and_then(Node::number)
        .and_then(|number| number.as_u64());
    at.and_then(|at| usize::try_from(at).ok())
        .filter(|at| *at < MAX_ELEMENTS)
        .ok_or(Unreadable)
}

impl Tree {
    fn none() -> Self {
        Self::Raw(b"null".to_vec())
    }

    fn is_none(&self) -> bool {
        matches!(self, Self::Raw(raw) if raw == b"null")
    }

    fn object(&mut self) -> Result<&mut Vec<(String, Self)>, Unreadable> {
        if self.is_none() {
            *self = Self::Object(Vec::new());
        }
        match self {
            Self::Object(members) => Ok(members),
            Self::Raw(_) | Self::Text(_) | Self::Json(_) | Self::List(_) => Err(Unreadable),
        }
    }

    fn list(&mut self) -> Result<&mut Vec<Self>, Unreadable> {
        if self.is_none() {
            *self = Self::List(Vec::new());
        }
        match self {
            Self::List(elements) if elements.len() < MAX_ELEMENTS => Ok(elements),
            Self::List(_) | Self::Raw(_) | Self::Text(_) | Self::Json(_) | Self::Object(_) => Err(Unreadable),
        }
    }

    fn child(&mut self, key: &str) -> Result<&mut Self, Unreadable> {
        let members = self.object()?;
        let at = match members.iter().position(|(name, _)| name == key) {
            Some(at) => at,
            None if members.len() >= MAX_ELEMENTS => return Err(Unreadable),
            None => {
                members.push((key.to_owned(), Self::none()));
                members.len().saturating_sub(1)
            }
        };
        members.get_mut(at).map(|(_, value)| value).ok_or(Unreadable)
    }

    fn element(&mut self, at: usize) -> Result<&mut Self, Unreadable> {
        let elements = self.list()?;
        while elements.len() <= at {
            elements.push(Self::none());
        }
        elements.get_mut(at).ok_or(Unreadable)
    }

    fn write(&self, lanes: &[Lane], out: &mut Vec<u8>) {
        let text = |lane: &usize| lanes.get(*lane).map_or("", |lane| lane.text.as_str());
        match self {
            Self::Raw(raw) => out.extend_from_slice(raw),
            Self::Text(lane) => push_string(out, text(lane)),
            Self::Json(lane) if text(lane).is_empty() => out.extend_from_slice(b"{}"),
            Self::Json(lane) => out.extend_from_slice(text(lane).as_bytes()),
            Self::Object(members) => {
                for (at, (key, value)) in members.iter().enumerate() {
                    out.push(if at == 0 { b'{' } else { b',' });
                    push_string(out, key);
                    out.push(b':');
                    value.write(lanes, out);
                }
                out.extend_from_slice(if members.is_empty() { b"{}" } else { b"}" });
            }
            Self::List(elements) => {
                for (at, value) in elements.iter().enumerate() {
                    out.push(if at == 0 { b'[' } else { b',' });
                    value.write(lanes, out);
                }
                out.extend_from_slice(if elements.is_empty() { b"[]" } else { b"]" });
            }
        }
    }

    /// Finds what became of every text. `None`: it is not there any more.
    fn compare(&self, now: Option<Node<'_>>, texts: &mut [Option<String>]) -> Read {
        match self {
            Self::Raw(raw) => {
                if now.is_none_or(|now| now.raw() != raw) {
                    return Err(Unreadable);
                }
            }
            Self::Text(lane) | Self::Json(lane) => {
                let json = matches!(self, Self::Json(_));
                let text = now.map(|now| match now.as_str() {
                    Some(text) if !json => text.into_owned(),
                    Some(_) | None => String::from_utf8_lossy(now.raw()).into_owned(),
                });
                if let Some(place) = texts.get_mut(*lane) {
                    *place = text;
                }
            }
            Self::Object(members) => {
                for (key, value) in members {
                    value.compare(now.and_then(|now| now.get(key)), texts)?;
                }
            }
            Self::List(elements) => {
                let mut found = now.into_iter().flat_map(Node::elements);
                for value in elements {
                    value.compare(found.next(), texts)?;
                }
                // One that is gone moves those behind it.
                if now.is_some_and(|now| now.len() != elements.len()) {
                    return Err(Unreadable);
                }
            }
        }
        Ok(())
    }
}
