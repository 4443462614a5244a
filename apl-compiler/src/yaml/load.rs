//! Parser events to tree.

use std::collections::HashMap;

use saphyr_parser::{Event, Parser, ScalarStyle, Span as YamlSpan, Tag};

use super::characters;
use super::{Entry, MAX_ALIASED_NODES, MAX_BYTES, MAX_DEPTH, Node, Style, Value};
use crate::diagnostics::{Code, Reports, error};
use crate::known::{self, Known};
use crate::source::{Source, Span, to_u32};

/// Reads one document. `None` when there is no tree to go on with; the reasons are in `reports`.
pub(crate) fn load(source: &Source, file: u16, reports: &mut Reports) -> Option<Node> {
    let text = source.text.as_str();
    if text.len() > MAX_BYTES {
        let span = Span {
            file,
            start: 0,
            end: 0,
        };
        let message = format!("the file has more than {MAX_BYTES} bytes");
        reports.push(
            error(Code::FileTooLarge, span, message)
                .help("split the policy, or look for what does not belong in it"),
        );
        return None;
    }
    if let Some((at, ch)) = characters::bad(text) {
        let span = Span {
            file,
            start: to_u32(at),
            end: to_u32(at + ch.len_utf8()),
        };
        let (message, help) = characters::explain(ch);
        reports.push(error(Code::BadCharacter, span, message).help(help));
        return None;
    }
    let mut loader = Loader::new(source, file, reports);
    loader.run()
}

/// A map or list that is not complete yet.
enum Open {
    List {
        span: Span,
        anchor: usize,
        items: Vec<Node>,
    },
    Map {
        span: Span,
        anchor: usize,
        entries: Vec<Entry>,
        /// Keys that are complete, by their text.
        seen: Known,
        key: Option<(String, Style, Span)>,
    },
}

struct Loader<'s, 'r> {
    source: &'s Source,
    file: u16,
    reports: &'r mut Reports,
    /// Byte offset of each character; empty for ASCII, where they are the same.
    bytes: Vec<u32>,
    open: Vec<Open>,
    anchors: HashMap<usize, (Node, usize)>,
    aliased: usize,
    root: Option<Node>,
}

impl<'s, 'r> Loader<'s, 'r> {
    fn new(source: &'s Source, file: u16, reports: &'r mut Reports) -> Self {
        let bytes = if source.text.is_ascii() {
            Vec::new()
        } else {
            source
                .text
                .char_indices()
                .map(|(at, _)| to_u32(at))
                .chain([to_u32(source.text.len())])
                .collect()
        };
        Self {
            source,
            file,
            reports,
            bytes,
            open: Vec::new(),
            anchors: HashMap::new(),
            aliased: 0,
            root: None,
        }
    }

    fn run(&mut self) -> Option<Node> {
        let mut documents = 0_u32;
        let text = self.source.text.as_str();
        for event in Parser::new_from_str(text) {
            let (event, place) = match event {
                Ok(event) => event,
                Err(fault) => {
                    let at = self.offset(fault.marker().index());
                    let message = format!("this is not valid YAML: {}", fault.info());
                    self.reports.push(error(Code::YamlSyntax, self.around(at), message).help(
                        "check indentation and quotes here and on the line before; a text that holds `: `, `#` or starts with `!`, `[`, `{`, `*`, `&` needs quotes",
                    ));
                    return None;
                }
            };
            let span = self.span(place);
            match event {
                Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => {}
                Event::DocumentStart(_) => {
                    documents += 1;
                    if documents > 1 {
                        self.reports.push(
                            error(Code::Documents, span, "a policy file holds one document")
                                .help("put the second document in a file of its own"),
                        );
                        return None;
                    }
                }
                Event::Alias(anchor) => self.alias(anchor, span)?,
                Event::Scalar(value, style, anchor, tag) => {
                    let style_kind = match style {
                        ScalarStyle::Plain => Style::Plain,
                        ScalarStyle::SingleQuoted | ScalarStyle::DoubleQuoted => Style::Quoted,
                        ScalarStyle::Literal | ScalarStyle::Folded => Style::Block,
                    };
                    let as_text = self.tag(tag.as_deref(), span);
                    let value = if style_kind == Style::Plain && !as_text {
                        plain(&value)
                    } else {
                        Value::Str(value.into_owned(), style_kind)
                    };
                    self.put(Node { span, value }, anchor)?;
                }
                Event::SequenceStart(anchor, tag) => {
                    self.tag(tag.as_deref(), span);
                    self.enter(
                        Open::List {
                            span,
                            anchor,
                            items: Vec::new(),
                        },
                        span,
                    )?;
                }
                Event::MappingStart(anchor, tag) => {
                    self.tag(tag.as_deref(), span);
                    let open = Open::Map {
                        span,
                        anchor,
                        entries: Vec::new(),
                        seen: Known::default(),
                        key: None,
                    };
                    self.enter(open, span)?;
                }
                Event::SequenceEnd | Event::MappingEnd => self.leave(span)?,
            }
        }
        let root = self.root.take();
        if root.as_ref().is_none_or(Node::is_null) {
            let span = Span {
                file: self.file,
                start: 0,
                end: 0,
            };
            self.reports.push(
                error(Code::Documents, span, "the file is empty").help("a policy needs at least `routes:`"),
            );
            return None;
        }
        root
    }

    fn enter(&mut self, open: Open, span: Span) -> Option<()> {
        if self.open.len() >= MAX_DEPTH {
            let message = format!("maps and lists are nested more than {MAX_DEPTH} deep");
            self.reports.error(Code::TooDeep, span, message);
            return None;
        }
        self.open.push(open);
        Some(())
    }

    fn leave(&mut self, end: Span) -> Option<()> {
        let (node, anchor) = match self.open.pop()? {
            Open::List { span, anchor, items } => (
                Node {
                    span: span.to(end),
                    value: Value::List(items),
                },
                anchor,
            ),
            Open::Map {
                span,
                anchor,
                entries,
                ..
            } => (
                Node {
                    span: span.to(end),
                    value: Value::Map(entries),
                },
                anchor,
            ),
        };
        self.put(node, anchor)
    }

    /// Puts a finished node where it belongs.
    fn put(&mut self, node: Node, anchor: usize) -> Option<()> {
        if anchor != 0 {
            let size = count(&node);
            self.anchors.insert(anchor, (node.clone(), size));
        }
        match self.open.last_mut() {
            None => self.root = Some(node),
            Some(Open::List { items, .. }) => items.push(node),
            Some(Open::Map {
                entries, seen, key, ..
            }) => match key.take() {
                None => {
                    let style = match &node.value {
                        Value::Str(_, style) => *style,
                        Value::Null
                        | Value::Bool(_)
                        | Value::Int(_)
                        | Value::Float(_)
                        | Value::List(_)
                        | Value::Map(_) => Style::Plain,
                    };
                    // A plain key keeps its spelling: `007:` is not `7:`.
                    let text = match (&node.value, style) {
                        (Value::Bool(_) | Value::Int(_) | Value::Float(_), _) => {
                            Some(self.source.slice(node.span).to_owned())
                        }
                        _ => node.scalar(),
                    };
                    let Some(text) = text else {
                        let message = format!("a key must be text, this is {}", node.kind());
                        self.reports.push(
                            error(Code::YamlSyntax, node.span, message).help(
                                "if this was meant as text that begins with `[` or `{`, put it in quotes",
                            ),
                        );
                        return None;
                    };
                    // Merge keys are YAML 1.1; readers that know them would see another policy than this one.
                    if text == "<<" && style == Style::Plain {
                        self.reports.push(
                            error(Code::MergeKey, node.span, "merge keys (`<<`) are not supported")
                                .help("write the shared part as a group under `groups:` and name it in the routes; quote the key if it is a field's name"),
                        );
                    }
                    let hash = known::hash(text.as_str());
                    let same = |at: usize| entries.get(at).is_some_and(|entry| entry.key == text);
                    let first = seen.find(hash, same);
                    if let Some(first) = first.and_then(|at| entries.get(at as usize)) {
                        let first = first.key_span;
                        let message = format!("the key `{text}` stands twice in this map");
                        self.reports.push(
                            error(Code::DuplicateKey, node.span, message)
                                .label("the second one")
                                .related(first, "the first one")
                                .help("remove or rename one; which of the two would win is not something to rely on"),
                        );
                    }
                    // What it stands for comes next, and becomes the entry behind those that are there.
                    seen.insert(hash, entries.len());
                    *key = Some((text, style, node.span));
                }
                // It was reported; what it holds would only be reported again.
                Some((key, Style::Plain, _)) if key == "<<" => {}
                Some((key, key_style, key_span)) => entries.push(Entry {
                    key,
                    key_style,
                    key_span,
                    node,
                }),
            },
        }
        Some(())
    }

    fn alias(&mut self, anchor: usize, span: Span) -> Option<()> {
        let Some((node, size)) = self.anchors.get(&anchor) else {
            self.reports
                .error(Code::Alias, span, "this alias stands inside what it refers to");
            return None;
        };
        self.aliased += size;
        if self.aliased > MAX_ALIASED_NODES {
            let message = format!("aliases expand to more than {MAX_ALIASED_NODES} nodes");
            self.reports.push(
                error(Code::Alias, span, message)
                    .help("write the repeated parts as a group and name it in the routes"),
            );
            return None;
        }
        let mut node = node.clone();
        if depth(&node) + self.open.len() > MAX_DEPTH {
            let message = format!("maps and lists are nested more than {MAX_DEPTH} deep");
            self.reports.error(Code::TooDeep, span, message);
            return None;
        }
        if node.as_map().is_none() && node.as_list().is_none() {
            // A scalar's diagnostics point at the use; those of larger parts point at where they were written.
            node.span = span;
        }
        self.put(node, 0)
    }

    /// Whether a tag makes a plain scalar text.
    fn tag(&mut self, tag: Option<&Tag>, span: Span) -> bool {
        match tag {
            None => false,
            Some(tag) if tag.is_yaml_core_schema() && tag.suffix == "str" => true,
            Some(tag) if tag.is_yaml_core_schema() && matches!(tag.suffix.as_str(), "seq" | "map") => false,
            Some(tag) => {
                let message = format!("the tag `{tag}` means nothing here");
                let diagnostic = error(Code::Tag, span, message);
                self.reports.push(diagnostic.help(
                    "if the `!` was meant as `not`, put the whole rule in quotes: \"!delegated: deny\"",
                ));
                true
            }
        }
    }

    fn offset(&self, index: usize) -> u32 {
        if self.bytes.is_empty() {
            to_u32(index.min(self.source.text.len()))
        } else {
            self.bytes
                .get(index)
                .copied()
                .unwrap_or_else(|| to_u32(self.source.text.len()))
        }
    }

    fn span(&self, place: YamlSpan) -> Span {
        let (start, end) = (self.offset(place.start.index()), self.offset(place.end.index()));
        Span {
            file: self.file,
            start,
            end: end.max(start),
        }
    }

    fn around(&self, at: u32) -> Span {
        let rest = self.source.text.get(at as usize..).unwrap_or("");
        let width = rest
            .chars()
            .next()
            .filter(|ch| !ch.is_control())
            .map_or(0, char::len_utf8);
        Span {
            file: self.file,
            start: at,
            end: at + to_u32(width),
        }
    }
}

/// YAML 1.2 core schema.
fn plain(text: &str) -> Value {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Value::Null,
        "true" | "True" | "TRUE" => return Value::Bool(true),
        "false" | "False" | "FALSE" => return Value::Bool(false),
        _ => {}
    }
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    if digits.starts_with(|ch: char| ch.is_ascii_digit() || ch == '.') {
        if let Ok(value) = text.parse::<i64>() {
            return Value::Int(value);
        }
        let exotic = |ch: char| !(ch.is_ascii_digit() || matches!(ch, '.' | 'e' | 'E' | '+' | '-'));
        if !digits.contains(exotic)
            && digits.contains(|ch: char| ch.is_ascii_digit())
            && let Ok(value) = text.parse::<f64>()
        {
            return Value::Float(value);
        }
    }
    Value::Str(text.to_owned(), Style::Plain)
}

/// How many nodes there are, itself included.
fn count(node: &Node) -> usize {
    walk(node).0
}

/// How deep it is; a scalar is 0.
fn depth(node: &Node) -> usize {
    walk(node).1
}

fn walk(node: &Node) -> (usize, usize) {
    let mut nodes = 0;
    let mut deepest = 0;
    let mut stack = vec![(node, 0)];
    while let Some((node, level)) = stack.pop() {
        nodes += 1;
        deepest = deepest.max(level);
        match &node.value {
            Value::List(items) => stack.extend(items.iter().map(|item| (item, level + 1))),
            Value::Map(entries) => stack.extend(entries.iter().map(|entry| (&entry.node, level + 1))),
            Value::Null | Value::Bool(_) | Value::Int(_) | Value::Float(_) | Value::Str(..) => {}
        }
    }
    (nodes, deepest)
}
