//! YAML text to a tree that knows where everything was written.
//!
//! Stricter than YAML where looseness hides a mistake: duplicate keys, custom tags and more than one document are errors.
//! A byte order mark at the start and CRLF line ends are accepted. Aliases are expanded, within a bound.

mod characters;
mod load;
pub(crate) mod secrets;

pub(crate) use load::load;

use crate::diagnostics::{Diagnostic, Reports};

use crate::source::{Source, Span};
use crate::syntax::Text;

/// Largest file, in bytes.
pub const MAX_BYTES: usize = 10 * 1024 * 1024;
/// Deepest nesting of maps and lists.
pub(crate) const MAX_DEPTH: usize = 64;
/// Most nodes that aliases may add to a document.
pub(crate) const MAX_ALIASED_NODES: usize = 100_000;

/// Reads a document that is no policy (a test file, say) by the same rules.
///
/// # Errors
///
/// What is wrong with it, by place.
pub fn read(source: &Source) -> Result<Node, Vec<Diagnostic>> {
    let mut reports = Reports::default();
    match load(source, 0, &mut reports) {
        Some(root) if !reports.failed() => Ok(root),
        Some(_) | None => Err(reports.finish()),
    }
}

/// How a scalar was written, as far as it matters for finding places in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// Without quotes.
    Plain,
    /// In single or double quotes.
    Quoted,
    /// `|` or `>`.
    Block,
}

/// A node of the tree.
#[derive(Debug, Clone)]
pub struct Node {
    /// Where.
    pub span: Span,
    /// What.
    pub value: Value,
}

/// What a node is. Plain scalars are typed by YAML's core schema.
#[derive(Debug, Clone)]
pub enum Value {
    /// `null`, `~`, or nothing.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// An integer.
    Int(i64),
    /// Any other number.
    Float(f64),
    /// Text.
    Str(String, Style),
    /// A list.
    List(Vec<Node>),
    /// A map; keys are text (numbers and booleans count as their text), unique, in written order.
    Map(Vec<Entry>),
}

/// One entry of a map.
#[derive(Debug, Clone)]
pub struct Entry {
    /// The key's text.
    pub key: String,
    /// How the key was written.
    pub key_style: Style,
    /// Where the key is.
    pub key_span: Span,
    /// What it stands for.
    pub node: Node,
}

impl Entry {
    /// The key's text with the way back.
    pub(crate) fn key_text(&self, source: &str) -> Text {
        Text::new(&self.key, self.key_style, self.key_span, source)
    }
}

impl Node {
    /// Where secrets are written. The tree is at most [`load`]'s depth deep.
    pub(crate) fn secrets(&self, found: &mut Vec<Span>) {
        match &self.value {
            Value::Map(entries) => {
                for entry in entries {
                    let is_text = matches!(
                        entry.node.value,
                        Value::Str(..) | Value::Int(_) | Value::Float(_) | Value::Bool(_)
                    );
                    if is_text && secrets::is_secret(&entry.key) {
                        found.push(entry.node.span);
                    } else {
                        entry.node.secrets(found);
                    }
                }
            }
            Value::List(items) => items.iter().for_each(|item| item.secrets(found)),
            Value::Null | Value::Bool(_) | Value::Int(_) | Value::Float(_) | Value::Str(..) => {}
        }
    }

    /// What a reader would call it, for messages.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match &self.value {
            Value::Null => "nothing",
            Value::Bool(_) => "a boolean",
            Value::Int(_) | Value::Float(_) => "a number",
            Value::Str(..) => "text",
            Value::List(_) => "a list",
            Value::Map(_) => "a map",
        }
    }

    /// The text of a string.
    #[must_use]
    pub fn as_str(&self) -> Option<&str> {
        match &self.value {
            Value::Str(text, _) => Some(text),
            Value::Null
            | Value::Bool(_)
            | Value::Int(_)
            | Value::Float(_)
            | Value::List(_)
            | Value::Map(_) => None,
        }
    }

    /// The text of a string, with the way back.
    pub(crate) fn text(&self, source: &str) -> Option<Text> {
        match &self.value {
            Value::Str(text, style) => Some(Text::new(text, *style, self.span, source)),
            Value::Null
            | Value::Bool(_)
            | Value::Int(_)
            | Value::Float(_)
            | Value::List(_)
            | Value::Map(_) => None,
        }
    }

    /// The text of any scalar but null.
    #[must_use]
    pub fn scalar(&self) -> Option<String> {
        match &self.value {
            Value::Bool(value) => Some(value.to_string()),
            Value::Int(value) => Some(value.to_string()),
            Value::Float(value) => Some(value.to_string()),
            Value::Str(text, _) => Some(text.clone()),
            Value::Null | Value::List(_) | Value::Map(_) => None,
        }
    }

    /// The entries of a map.
    #[must_use]
    pub fn as_map(&self) -> Option<&[Entry]> {
        match &self.value {
            Value::Map(entries) => Some(entries),
            Value::Null
            | Value::Bool(_)
            | Value::Int(_)
            | Value::Float(_)
            | Value::Str(..)
            | Value::List(_) => None,
        }
    }

    /// The elements of a list.
    #[must_use]
    pub fn as_list(&self) -> Option<&[Node]> {
        match &self.value {
            Value::List(items) => Some(items),
            Value::Null
            | Value::Bool(_)
            | Value::Int(_)
            | Value::Float(_)
            | Value::Str(..)
            | Value::Map(_) => None,
        }
    }

    /// A map's entry.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Entry> {
        self.as_map()?.iter().find(|entry| entry.key == key)
    }

    /// Whether it is null.
    #[must_use]
    pub fn is_null(&self) -> bool {
        matches!(self.value, Value::Null)
    }

    /// As JSON, for parts of a policy that are data (a JWK).
    #[must_use]
    pub fn to_json(&self) -> serde_json::Value {
        use serde_json::Value as Json;
        match &self.value {
            Value::Null => Json::Null,
            Value::Bool(value) => Json::Bool(*value),
            Value::Int(value) => (*value).into(),
            Value::Float(value) => (*value).into(),
            Value::Str(text, _) => Json::String(text.clone()),
            Value::List(items) => items.iter().map(Self::to_json).collect(),
            Value::Map(entries) => Json::Object(
                entries
                    .iter()
                    .map(|entry| (entry.key.clone(), entry.node.to_json()))
                    .collect(),
            ),
        }
    }
}
