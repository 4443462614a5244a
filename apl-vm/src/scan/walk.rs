//! Visiting everything in a value that can be read as text, without recursion.

use std::{borrow::Cow, fmt::Write as _};

use apl_json::{Elements, Entries, Kind, Node};

use super::shown;

/// One string, number or key.
pub(super) struct Spot<'s> {
    pub(super) node: Node<'s>,
    pub(super) is_key: bool,
    path: &'s [Level<'s>],
}

/// One container that is being visited.
struct Level<'a> {
    rest: Rest<'a>,
    /// The member's key.
    key: Option<Node<'a>>,
    /// The element's position, from 1 while it is visited.
    count: usize,
}

enum Rest<'a> {
    Object(Entries<'a>),
    Array(Elements<'a>),
}

impl<'s> Spot<'s> {
    /// What it says; `None` when it says nothing (a boolean, a container).
    pub(super) fn text(&self) -> Option<Cow<'s, str>> {
        match self.node.kind() {
            Kind::String => self.node.as_str(),
            Kind::Number => self.node.number().map(|number| Cow::Borrowed(number.lexeme)),
            Kind::Null | Kind::Bool | Kind::Array | Kind::Object => None,
        }
    }

    /// The nearest key above a value; nothing for a key.
    pub(super) fn context(&self) -> Cow<'s, str> {
        let key = if self.is_key {
            None
        } else {
            self.path.iter().rev().find_map(|level| level.key)
        };
        key.and_then(Node::as_str).unwrap_or_default()
    }

    /// Where it stands, fit to be shown.
    pub(super) fn path(&self) -> String {
        let mut path = String::new();
        let above = if self.is_key {
            self.path.len().saturating_sub(1)
        } else {
            self.path.len()
        };
        for level in self.path.iter().take(above) {
            if !path.is_empty() {
                path.push('.');
            }
            match level.key.and_then(Node::as_str) {
                Some(key) => path.push_str(&shown(key)),
                None => {
                    // Writing to a string does not fail.
                    let _ = write!(path, "{}", level.count.saturating_sub(1));
                }
            }
        }
        if self.is_key {
            path.push_str(if path.is_empty() { "(key)" } else { ".(key)" });
        }
        path
    }
}

/// Visits a value and everything in it in document order, a key before its value, until `visit` returns `false`.
pub(super) fn walk(root: Node<'_>, visit: &mut dyn FnMut(&Spot<'_>) -> bool) {
    let mut levels: Vec<Level<'_>> = Vec::new();
    let mut next = Some(root);
    loop {
        if let Some(node) = next.take() {
            match node.kind() {
                Kind::Object => levels.push(Level {
                    rest: Rest::Object(node.entries()),
                    key: None,
                    count: 0,
                }),
                Kind::Array => levels.push(Level {
                    rest: Rest::Array(node.elements()),
                    key: None,
                    count: 0,
                }),
                Kind::String | Kind::Number => {
                    if !visit(&Spot {
                        node,
                        is_key: false,
                        path: &levels,
                    }) {
                        return;
                    }
                }
                Kind::Null | Kind::Bool => {}
            }
        }
        let Some(level) = levels.last_mut() else { return };
        let key = match &mut level.rest {
            Rest::Object(entries) => match entries.next() {
                Some((key, value)) => {
                    level.key = Some(key);
                    next = Some(value);
                    Some(key)
                }
                None => None,
            },
            Rest::Array(elements) => {
                level.count = level.count.saturating_add(1);
                next = elements.next();
                None
            }
        };
        if let Some(node) = key
            && !visit(&Spot {
                node,
                is_key: true,
                path: &levels,
            })
        {
            return;
        }
        if next.is_none() {
            levels.pop();
        }
    }
}
