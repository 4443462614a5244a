//! A server's answer: which parts of it are the operation's logical result, and how edits get back into it.
//!
//! One result may stand in several places: `structuredContent`, a text block that repeats it as JSON, further blocks.
//! Every place becomes one part of the view, so that pipelines edit all of them; a text block is parsed as a document of
//! its own and encoded again as a JSON string.

use std::collections::HashMap;

use crate::llm::{Replay, TOKENS};

use apl_bytecode::EntityKind;
use apl_vm::{Document, Kind, Limits, Node, NodeId, Part, View};

/// What an answer's message is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answer {
    /// The response to the request with this number.
    Response(usize),
    /// A notification, or a request of the server that gives nothing away.
    Other,
    /// Another request of the server.
    Request,
    /// A response to something else, or no JSON-RPC message.
    Foreign,
}

/// Says what a message is. `asked`: the ids of the requests, as sent; `None`: a message that is not answered.
/// `alone`: a server that could not read the request may answer the first with an error without id.
pub(crate) fn classify(root: Node<'_>, asked: &[Option<&[u8]>], alone: bool) -> Answer {
    let reserved = ["jsonrpc", "id", "method", "params", "result", "error"];
    if root.kind() != Kind::Object || reserved.iter().any(|key| root.folded_twin(key).is_some()) {
        return Answer::Foreign;
    }
    let (result, error) = (root.get("result").is_some(), root.get("error").is_some());
    if root.get("method").is_some() {
        return match root.get("id") {
            _ if result || error => Answer::Foreign,
            Some(_) if !is_harmless(root) => Answer::Request,
            Some(_) | None => Answer::Other,
        };
    }
    if result == error {
        return Answer::Foreign;
    }
    let number = match root.get("id").filter(|id| id.kind() != Kind::Null) {
        Some(found) => asked
            .iter()
            .position(|asked| asked.is_some_and(|asked| same_id(found, asked))),
        None if error && alone => asked.iter().position(Option::is_some).or(Some(0)),
        None => None,
    };
    number.map_or(Answer::Foreign, Answer::Response)
}

/// The URI of the resource that a notification tells of; `Some(None)`: one that cannot be read for sure. `None`: it tells
/// of something else.
pub(crate) fn updated(notification: Node<'_>) -> Option<Option<String>> {
    let method = notification.get("method")?;
    method.is_str("notifications/resources/updated").then(|| {
        let params = notification.get("params")?;
        let uri = params
            .get("uri")
            .filter(|_| params.folded_twin("uri").is_none())?;
        super::request::plain_text(uri)
    })
}

/// A request of a server that tells the client nothing.
fn is_harmless(request: Node<'_>) -> bool {
    request
        .get("method")
        .is_some_and(|method| ["ping", "roots/list"].iter().any(|known| method.is_str(known)))
}

/// Whether the result asks the client for something (2026-07-28) that would tell it more than nothing.
pub(crate) fn asks_client(message: &Document) -> bool {
    let result = message.node(message.root()).get("result");
    result.is_some_and(|result| {
        result.folded_twin("inputRequests").is_some()
            || result.get("inputRequests").is_some_and(|asked| {
                asked.kind() != Kind::Object || !asked.members().all(|(_, one)| is_harmless(one))
            })
    })
}

/// Same type and value; escapes do not matter.
fn same_id(found: Node<'_>, asked: &[u8]) -> bool {
    if found.raw() == asked {
        return true;
    }
    let asked: Option<String> = serde_json::from_slice(asked).ok();
    match (found.as_str(), asked) {
        (Some(found), Some(asked)) => found == asked,
        (Some(_) | None, _) => false,
    }
}

/// The logical result of one response.
#[derive(Debug)]
pub(crate) struct GovernedResult {
    /// The whole message.
    message: Document,
    /// `structuredContent`, or the error's `data`.
    structured: Option<NodeId>,
    texts: Vec<TextPart>,
    /// There are blocks that cannot be looked into, or prose where fields are governed.
    opaque: bool,
    /// `isError`, or a JSON-RPC error.
    failed: bool,
    /// `content`, which is replaced as a whole when its blocks cannot be vetted one by one.
    content: Option<NodeId>,
    /// Every text repeats `structuredContent`.
    twins: bool,
    /// Repeat a text token by token: they go when anything is edited.
    tokens: Vec<NodeId>,
    /// The events that the message was put together from.
    pub(crate) replay: Option<Box<Replay>>,
}

/// A text block.
#[derive(Debug)]
struct TextPart {
    /// The string in the message.
    at: NodeId,
    /// Its content, parsed; prose is a document that is one string.
    document: Document,
    prose: bool,
}

impl GovernedResult {
    /// Finds the places of the result. `method`: what was asked of the entity.
    pub(crate) fn new(message: Document, entity: EntityKind, method: &str, limits: &Limits) -> Self {
        let mut found = Found::default();
        if entity == EntityKind::A2a
            && let Some(result) = message.node(message.root()).get("result").map(Node::id)
        {
            return Self::tree(message, result, limits);
        }
        {
            let root = message.node(message.root());
            if let Some(error) = root.get("error") {
                found.failed = true;
                found.structured = error.get("data").filter(|data| is_container(*data)).map(Node::id);
                found.text(error.get("message"));
                found.text(error.get("data").filter(|data| data.kind() == Kind::String));
            } else if let Some(result) = root.get("result") {
                found.result(result, entity, method);
            }
        }
        let texts: Vec<TextPart> = found
            .texts
            .iter()
            .filter_map(|(at, text)| TextPart::new(*at, text, limits))
            .collect();
        let twins = match found.structured {
            None => true,
            Some(structured) => texts
                .iter()
                .all(|text| same_value(message.node(structured), text.document.node(text.document.root()))),
        };
        let prose = texts.iter().any(|text| text.prose) || texts.len() != found.texts.len();
        let opaque = found.opaque
            || (prose && !found.failed)
            || (found.structured.is_none() && texts.is_empty() && !found.failed && !found.bare);
        Self {
            structured: found.structured,
            opaque,
            failed: found.failed,
            content: found.content,
            texts,
            twins,
            ..Self::whole(message)
        }
    }

    /// A result that is one value at `at`, in which texts may hold JSON: they are looked into as well.
    pub(crate) fn tree(message: Document, at: NodeId, limits: &Limits) -> Self {
        let (mut texts, mut tokens) = (Vec::new(), Vec::new());
        let fits = embedded(message.node(at), limits, &mut texts, &mut tokens);
        Self {
            structured: Some(at),
            texts,
            tokens,
            opaque: !fits,
            ..Self::whole(message)
        }
    }

    /// A message without a result of an operation, whose edits are known already.
    pub(crate) const fn whole(message: Document) -> Self {
        Self {
            message,
            structured: None,
            texts: Vec::new(),
            opaque: false,
            failed: false,
            content: None,
            twins: true,
            tokens: Vec::new(),
            replay: None,
        }
    }

    /// Whether fields that policy governs may stand where they cannot be found.
    pub(crate) const fn is_opaque(&self) -> bool {
        self.opaque
    }

    /// The places, `structuredContent` first.
    pub(crate) fn view(&mut self) -> View<'_> {
        let mut parts = Vec::with_capacity(self.texts.len().saturating_add(1));
        if let Some(node) = self.structured {
            parts.push(Part {
                document: &mut self.message,
                node,
            });
        }
        for text in &mut self.texts {
            let node = text.document.root();
            parts.push(Part {
                document: &mut text.document,
                node,
            });
        }
        View { parts }
    }

    /// The message with all edits, or `None` if there was none. An error says that an edit cannot be written: deny.
    pub(crate) fn into_edited(mut self) -> Result<Option<Vec<u8>>, ()> {
        let edited = self.message.is_edited() || self.texts.iter().any(|text| text.document.is_edited());
        if !edited {
            return Ok(None);
        }
        match (self.structured, self.content) {
            // A block beside the structured content that does not repeat it may hold what was edited there in a shape
            // that no pipeline finds: one block with the edited content takes the place of all.
            (Some(structured), Some(content)) if !self.twins && !self.failed => {
                let json = self.message.render_node(structured);
                let text = String::from_utf8(json).map_err(|_| ())?;
                let mut block = b"[{\"type\":\"text\",\"text\":".to_vec();
                apl_vm::quote(&text, &mut block);
                block.extend_from_slice(b"}]");
                self.message.replace(content, block).map_err(|_| ())?;
            }
            _ => {
                for text in self.texts.iter().filter(|text| text.document.is_edited()) {
                    if self.message.is_removed(text.at) {
                        continue;
                    }
                    let json = text.document.render();
                    // A text that was edited as one has lost what was edited inside of it, unless that comes to the same,
                    // as when a scanner looks into everything.
                    if self.message.node(text.at).raw() != self.message.received(text.at).raw() {
                        if same_json(self.message.node(text.at), &json) {
                            continue;
                        }
                        return Err(());
                    }
                    if text.prose {
                        self.message.replace(text.at, json).map_err(|_| ())?;
                    } else {
                        let json = String::from_utf8(json).map_err(|_| ())?;
                        self.message.replace_text(text.at, &json).map_err(|_| ())?;
                    }
                }
            }
        }
        for at in self.tokens {
            self.message.replace(at, b"null".to_vec()).map_err(|_| ())?;
        }
        let bytes = self.message.render();
        match self.replay {
            None => Ok(Some(bytes)),
            Some(replay) => replay.write(bytes).map(Some).map_err(|_| ()),
        }
    }
}

/// Whether a text is JSON of the same value.
fn same_json(text: Node<'_>, json: &[u8]) -> bool {
    let limits = Limits::default();
    let text = text.as_str().unwrap_or_default();
    let of_text = Document::parse(text.as_bytes().to_vec(), &limits);
    let of_json = Document::parse(json.to_vec(), &limits);
    of_text
        .ok()
        .zip(of_json.ok())
        .is_some_and(|(a, b)| same_value(a.node(a.root()), b.node(b.root())))
}

impl TextPart {
    /// `None`: not even a string of its own (over the limits).
    fn new(at: NodeId, text: &str, limits: &Limits) -> Option<Self> {
        if let Ok(document) = Document::parse(text.as_bytes().to_vec(), limits) {
            return Some(Self {
                at,
                document,
                prose: false,
            });
        }
        let mut json = Vec::with_capacity(text.len().saturating_add(2));
        apl_vm::quote(text, &mut json);
        Document::parse(json, limits).ok().map(|document| Self {
            at,
            document,
            prose: true,
        })
    }
}

/// Texts with JSON in them that are looked into.
const MAX_EMBEDDED: usize = 256;

/// Finds texts that hold a JSON object or array. False: there are too many. Documents are depth-limited, so the recursion
/// is.
fn embedded(node: Node<'_>, limits: &Limits, texts: &mut Vec<TextPart>, tokens: &mut Vec<NodeId>) -> bool {
    match node.kind() {
        Kind::Object => node.members().all(|(key, value)| {
            if key == TOKENS && value.kind() != Kind::Null {
                tokens.push(value.id());
            }
            embedded(value, limits, texts, tokens)
        }),
        Kind::Array => node
            .elements()
            .all(|value| embedded(value, limits, texts, tokens)),
        Kind::String => {
            let text = node.as_str().unwrap_or_default();
            if text.trim_start().starts_with(['{', '['])
                && let Some(part) = TextPart::new(node.id(), &text, limits).filter(|part| !part.prose)
            {
                texts.push(part);
            }
            texts.len() <= MAX_EMBEDDED
        }
        Kind::Null | Kind::Bool | Kind::Number => true,
    }
}

/// Places that were found, while the message is borrowed.
#[derive(Default)]
struct Found {
    structured: Option<NodeId>,
    content: Option<NodeId>,
    texts: Vec<(NodeId, String)>,
    opaque: bool,
    failed: bool,
    /// It is right that it holds nothing.
    bare: bool,
}

impl Found {
    fn text(&mut self, node: Option<Node<'_>>) {
        if let Some(node) = node
            && let Some(text) = node.as_str()
        {
            self.texts.push((node.id(), text.into_owned()));
        }
    }

    fn result(&mut self, result: Node<'_>, entity: EntityKind, method: &str) {
        match method {
            "completion/complete" => return self.completion(result),
            "resources/subscribe" | "resources/unsubscribe" => {
                self.bare = result
                    .members()
                    .all(|(key, _)| key == "_meta" || key == "resultType");
                self.opaque |= !self.bare;
                return;
            }
            _ => {}
        }
        if ["content", "structuredContent", "isError", "contents", "messages"]
            .iter()
            .any(|key| result.folded_twin(key).is_some())
        {
            self.opaque = true;
        }
        match entity {
            EntityKind::Tool | EntityKind::Llm | EntityKind::A2a | EntityKind::Http => {
                self.structured = result.get("structuredContent").map(Node::id);
                self.failed =
                    result.get("isError").and_then(Node::as_bool) == Some(true) && self.structured.is_none();
                if let Some(content) = result.get("content") {
                    self.content = Some(content.id());
                    self.blocks(content);
                } else if self.structured.is_none() {
                    self.opaque = true;
                }
            }
            EntityKind::Prompt => {
                self.text(result.get("description"));
                let messages = result.get("messages");
                self.opaque |= messages.is_none_or(|messages| messages.kind() != Kind::Array);
                for message in messages.into_iter().flat_map(Node::elements) {
                    match message.get("content") {
                        Some(content) if content.kind() == Kind::Array => self.blocks(content),
                        Some(content) => self.block(content),
                        None => self.opaque = true,
                    }
                }
            }
            EntityKind::Resource => {
                let contents = result.get("contents");
                self.opaque |= contents.is_none_or(|contents| contents.kind() != Kind::Array);
                for content in contents.into_iter().flat_map(Node::elements) {
                    self.resource(content);
                }
            }
        }
    }

    /// Suggested values: each is a text.
    fn completion(&mut self, result: Node<'_>) {
        let values = result
            .get("completion")
            .and_then(|completion| completion.get("values"))
            .filter(|values| values.kind() == Kind::Array);
        self.opaque |= values.is_none() || result.folded_twin("completion").is_some();
        self.bare = values.is_some_and(Node::is_empty);
        for value in values.into_iter().flat_map(Node::elements) {
            self.opaque |= value.kind() != Kind::String;
            self.text(Some(value));
        }
    }

    fn blocks(&mut self, content: Node<'_>) {
        if content.kind() != Kind::Array {
            self.opaque = true;
            return;
        }
        for block in content.elements() {
            self.block(block);
        }
    }

    fn block(&mut self, block: Node<'_>) {
        let kind = block.get("type").and_then(Node::as_str);
        match (kind.as_deref(), block.get("text"), block.get("resource")) {
            (Some("text"), Some(text), None) if text.kind() == Kind::String => self.text(Some(text)),
            (Some("resource"), None, Some(resource)) => self.resource(resource),
            _ => self.opaque = true,
        }
    }

    fn resource(&mut self, resource: Node<'_>) {
        match (resource.get("text"), resource.get("blob")) {
            (Some(text), None) if text.kind() == Kind::String => self.text(Some(text)),
            _ => self.opaque = true,
        }
    }
}

fn is_container(node: Node<'_>) -> bool {
    matches!(node.kind(), Kind::Object | Kind::Array)
}

/// Equal as JSON values, whatever the order of members. Documents are depth-limited, so the recursion is.
fn same_value(a: Node<'_>, b: Node<'_>) -> bool {
    match (a.kind(), b.kind()) {
        (Kind::Null, Kind::Null) => true,
        (Kind::Bool, Kind::Bool) => a.as_bool() == b.as_bool(),
        (Kind::String, Kind::String) => a.as_str() == b.as_str(),
        (Kind::Number, Kind::Number) => {
            a.raw() == b.raw()
                || match (a.number(), b.number()) {
                    (Some(a), Some(b)) => {
                        a.as_i64().is_some() && a.as_i64() == b.as_i64()
                            || (a.as_i64().is_none() && b.as_i64().is_none() && a.as_f64() == b.as_f64())
                    }
                    (Some(_) | None, _) => false,
                }
        }
        (Kind::Array, Kind::Array) => {
            a.len() == b.len() && a.elements().zip(b.elements()).all(|(a, b)| same_value(a, b))
        }
        (Kind::Object, Kind::Object) => {
            // By key through a map: a lookup in the document is a scan, and a scan for every member would be a square.
            let others: HashMap<_, _> = b.members().collect();
            a.len() == others.len()
                && a.members()
                    .all(|(key, value)| others.get(&key).is_some_and(|other| same_value(value, *other)))
        }
        _ => false,
    }
}
