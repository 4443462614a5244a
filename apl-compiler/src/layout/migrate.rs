//! Old spellings to the current one, as edits of the text: what need not change is not touched.
//!
//! Each round reads the text, collects edits that do not overlap, and applies them; a block that was moved is looked at
//! again in the next round.

mod moves;
mod rules;

use super::LayoutError;
use super::lines::Lines;
use super::place::Place;
use super::tree::{self, Kind, Node};

/// A migrated text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Migrated {
    /// The text.
    pub text: String,
    /// What was left as it is, with its line (from 1) in the new text.
    pub left: Vec<(usize, String)>,
}

/// Most rounds; nesting is 64 deep at most, and each round takes at least one level.
const MAX_ROUNDS: usize = 200;

/// Rewrites every old spelling.
///
/// # Errors
///
/// [`LayoutError`]: the text is no YAML document.
pub fn migrate(text: &str) -> Result<Migrated, LayoutError> {
    let mut text = super::normal(text);
    for _ in 0..MAX_ROUNDS {
        let root = tree::read(&text)?;
        let mut round = Round {
            lines: Lines::new(&text),
            edits: Vec::new(),
            left: Vec::new(),
        };
        round.document(&root);
        if round.edits.is_empty() {
            let mut left = round.left;
            left.sort();
            left.dedup();
            return Ok(Migrated { text, left });
        }
        let edits = std::mem::take(&mut round.edits);
        text = apply(&text, edits);
    }
    Err(LayoutError::Endless)
}

/// Puts `text` in the place of the bytes from `start` to `end`.
#[derive(Debug)]
struct Edit {
    start: usize,
    end: usize,
    text: String,
    /// Edits of one group are applied together or not at all.
    group: usize,
}

fn apply(text: &str, mut edits: Vec<Edit>) -> String {
    // A group whose range touches an earlier one waits for the next round.
    edits.sort_by_key(|edit| (edit.group, edit.start));
    let mut taken: Vec<Edit> = Vec::new();
    let mut rest = edits.into_iter().peekable();
    while let Some(first) = rest.next() {
        let mut group = vec![first];
        while let Some(next) = rest.next_if(|next| next.group == group[0].group) {
            group.push(next);
        }
        let (low, high) = (
            group.iter().map(|edit| edit.start).min().unwrap_or(0),
            group.iter().map(|edit| edit.end).max().unwrap_or(0),
        );
        let clash = taken
            .iter()
            .any(|other| other.start < high && low < other.end || other.start == low);
        if !clash {
            taken.append(&mut group);
        }
    }
    taken.sort_by_key(|edit| std::cmp::Reverse(edit.start));
    let mut out = text.to_owned();
    for edit in taken {
        out.replace_range(edit.start..edit.end, &edit.text);
    }
    out
}

struct Round<'t> {
    lines: Lines<'t>,
    edits: Vec<Edit>,
    left: Vec<(usize, String)>,
}

impl<'t> Round<'t> {
    fn edit(&mut self, start: usize, end: usize, text: impl Into<String>) {
        let group = self.edits.last().map_or(0, |edit| edit.group + 1);
        self.edits.push(Edit {
            start,
            end,
            text: text.into(),
            group,
        });
    }

    /// Edits that belong together.
    fn edits(&mut self, edits: impl IntoIterator<Item = (usize, usize, String)>) {
        let group = self.edits.last().map_or(0, |edit| edit.group + 1);
        let edits = edits.into_iter().map(|(start, end, text)| Edit {
            start,
            end,
            text,
            group,
        });
        self.edits.extend(edits);
    }

    fn leave(&mut self, at: usize, why: impl Into<String>) {
        self.left.push((self.lines.of(at) + 1, why.into()));
    }

    fn text(&self, start: usize, end: usize) -> &'t str {
        self.lines.text.get(start..end).unwrap_or("")
    }

    fn document(&mut self, root: &Node) {
        if let Some(global) = root.get("global")
            && let Some(policies) = global.node.get("policies")
        {
            self.policies(root, global, policies);
        }
        self.visit(root, Place::Top);
    }

    fn visit(&mut self, node: &Node, place: Place) {
        match (&node.kind, place) {
            (Kind::Map { .. }, Place::Section | Place::Route) => self.section(node),
            (Kind::Map { .. }, Place::Step) => self.step(node),
            (Kind::Scalar { value, style }, Place::Step | Place::Steps) => {
                self.rule(node, value, *style);
            }
            _ => {}
        }
        for entry in node.entries() {
            if place == Place::Fields
                && let Kind::Scalar { value, style } = &entry.node.kind
            {
                self.rule(&entry.node, value, *style);
            }
            self.visit(&entry.node, place.child(&entry.key));
        }
        for item in node.items() {
            self.visit(item, place.child(""));
        }
    }
}
