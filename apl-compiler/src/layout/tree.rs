//! YAML events to a tree of places: where each key, item and value was written, and nothing else.
//!
//! The compiler's own tree has values, with aliases expanded. This one has none: whoever moves text about must see what
//! stands in the file. Block maps and lists have parts; scalars, aliases and flow collections are leaves, whose text is
//! kept as it is.

use saphyr_parser::{Event, Parser, ScalarStyle};

use super::LayoutError;

/// Deepest nesting; the compiler allows no more either.
const MAX_DEPTH: usize = 64;

/// A value and where it was written, as byte offsets.
#[derive(Debug, Clone)]
pub(super) struct Node {
    pub start: usize,
    pub end: usize,
    pub kind: Kind,
    /// It has an anchor, a tag, or is an alias.
    pub marked: bool,
}

/// What a value is.
#[derive(Debug, Clone)]
pub(super) enum Kind {
    /// A scalar.
    Scalar { value: String, style: Style },
    /// `*name`.
    Alias,
    /// A map.
    Map { entries: Vec<Entry>, flow: bool },
    /// A list.
    List { items: Vec<Node>, flow: bool },
}

/// How a scalar was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Style {
    /// Nothing at all, where a value could have been.
    Missing,
    Plain,
    Single,
    Double,
    Block,
}

/// One entry of a map.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub key: String,
    pub key_start: usize,
    pub key_end: usize,
    pub node: Node,
}

impl Node {
    /// The entries of a map.
    pub(super) fn entries(&self) -> &[Entry] {
        match &self.kind {
            Kind::Map { entries, .. } => entries,
            Kind::Scalar { .. } | Kind::Alias | Kind::List { .. } => &[],
        }
    }

    /// The elements of a list.
    pub(super) fn items(&self) -> &[Node] {
        match &self.kind {
            Kind::List { items, .. } => items,
            Kind::Scalar { .. } | Kind::Alias | Kind::Map { .. } => &[],
        }
    }

    /// The value under a key.
    pub(super) fn get(&self, key: &str) -> Option<&Entry> {
        self.entries().iter().find(|entry| entry.key == key)
    }

    /// Whether it is a block map or block list.
    pub(super) fn is_block(&self) -> bool {
        match &self.kind {
            Kind::Map { flow, .. } | Kind::List { flow, .. } => !flow,
            Kind::Scalar { .. } | Kind::Alias => false,
        }
    }

    /// Whether it is a flow map or flow list.
    pub(super) fn is_flow(&self) -> bool {
        match &self.kind {
            Kind::Map { flow, .. } | Kind::List { flow, .. } => *flow,
            Kind::Scalar { .. } | Kind::Alias => false,
        }
    }

    /// Whether an anchor, alias or tag stands anywhere in it: then keys must keep their order.
    pub(super) fn any_marked(&self) -> bool {
        self.marked
            || self.entries().iter().any(|entry| entry.node.any_marked())
            || self.items().iter().any(Self::any_marked)
    }
}

struct Open {
    node: Node,
    key: Option<(String, usize, usize)>,
}

/// Reads one document.
pub(super) fn read(text: &str) -> Result<Node, LayoutError> {
    let offsets: Vec<usize> = text
        .char_indices()
        .map(|(at, _)| at)
        .chain([text.len()])
        .collect();
    let at = |index: usize| offsets.get(index).copied().unwrap_or(text.len());
    let mut open: Vec<Open> = Vec::new();
    let mut root = None;
    let mut documents = 0;
    for event in Parser::new_from_str(text) {
        let (event, span) = event.map_err(|fault| LayoutError::Yaml {
            line: fault.marker().line(),
            what: fault.info().to_owned(),
        })?;
        let (start, end) = (at(span.start.index()), at(span.end.index()));
        let bytes = text.as_bytes();
        let done = match event {
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => continue,
            Event::DocumentStart(_) => {
                documents += 1;
                if documents > 1 {
                    return Err(LayoutError::Documents);
                }
                continue;
            }
            Event::Alias(_) => Node {
                start,
                end,
                kind: Kind::Alias,
                marked: true,
            },
            Event::Scalar(value, style, anchor, tag) => {
                let style = match style {
                    ScalarStyle::Plain if start == end => Style::Missing,
                    ScalarStyle::Plain => Style::Plain,
                    ScalarStyle::SingleQuoted => Style::Single,
                    ScalarStyle::DoubleQuoted => Style::Double,
                    ScalarStyle::Literal | ScalarStyle::Folded => Style::Block,
                };
                Node {
                    start,
                    end,
                    kind: Kind::Scalar {
                        value: value.into_owned(),
                        style,
                    },
                    marked: anchor != 0 || tag.is_some(),
                }
            }
            Event::SequenceStart(anchor, tag) => {
                let kind = Kind::List {
                    items: Vec::new(),
                    flow: behind_marks(bytes, start) == Some(b'['),
                };
                enter(&mut open, start, kind, anchor != 0 || tag.is_some())?;
                continue;
            }
            Event::MappingStart(anchor, tag) => {
                let kind = Kind::Map {
                    entries: Vec::new(),
                    flow: behind_marks(bytes, start) == Some(b'{'),
                };
                enter(&mut open, start, kind, anchor != 0 || tag.is_some())?;
                continue;
            }
            Event::SequenceEnd | Event::MappingEnd => {
                let Some(mut done) = open.pop().map(|open| open.node) else {
                    continue;
                };
                done.end = closed(&done, end);
                done
            }
        };
        put(&mut open, &mut root, done)?;
    }
    root.ok_or(LayoutError::Empty)
}

/// The first byte of a collection: the parser lets it begin at its anchor or tag.
fn behind_marks(bytes: &[u8], start: usize) -> Option<u8> {
    let mut rest = bytes.get(start..)?;
    while matches!(rest.first(), Some(b'&' | b'!')) {
        let mark = rest.iter().take_while(|byte| !byte.is_ascii_whitespace()).count();
        rest = rest.get(mark..)?.trim_ascii_start();
    }
    rest.first().copied()
}

fn enter(open: &mut Vec<Open>, start: usize, kind: Kind, marked: bool) -> Result<(), LayoutError> {
    if open.len() >= MAX_DEPTH {
        return Err(LayoutError::TooDeep);
    }
    let node = Node {
        start,
        end: start,
        kind,
        marked,
    };
    open.push(Open { node, key: None });
    Ok(())
}

/// A block collection ends where its last part ends; the parser says where the next thing begins.
fn closed(node: &Node, end: usize) -> usize {
    if node.is_flow() {
        return end;
    }
    let last = match &node.kind {
        Kind::Map { entries, .. } => entries.last().map(|entry| entry.node.end.max(entry.key_end)),
        Kind::List { items, .. } => items.last().map(|item| item.end),
        Kind::Scalar { .. } | Kind::Alias => None,
    };
    last.unwrap_or(end)
}

fn put(open: &mut [Open], root: &mut Option<Node>, node: Node) -> Result<(), LayoutError> {
    let Some(parent) = open.last_mut() else {
        *root = Some(node);
        return Ok(());
    };
    match &mut parent.node.kind {
        Kind::List { items, .. } => items.push(node),
        Kind::Map { entries, .. } => match parent.key.take() {
            Some((key, key_start, key_end)) => entries.push(Entry {
                key,
                key_start,
                key_end,
                node,
            }),
            None => match node.kind {
                Kind::Scalar { value, .. } => parent.key = Some((value, node.start, node.end)),
                Kind::Alias | Kind::Map { .. } | Kind::List { .. } => return Err(LayoutError::Key),
            },
        },
        Kind::Scalar { .. } | Kind::Alias => {}
    }
    Ok(())
}
