//! The tree and its comments as blocks of lines that can be moved.
//!
//! A comment on a line of its own belongs to what follows it. At the end of a block it belongs to the innermost block that
//! it is indented into.

use super::LayoutError;
use super::lines::Lines;
use super::place::Place;
use super::tree::{Entry, Kind, Node, Style};

/// A file.
pub(super) struct File {
    /// `%YAML`, `---` and what stands before them.
    pub preamble: Vec<String>,
    pub root: Block,
    /// `...`.
    pub end: Vec<String>,
}

/// A block map or list.
pub(super) struct Block {
    pub place: Place,
    pub list: bool,
    pub parts: Vec<Part>,
    /// Comments behind the last part; an empty line is empty.
    pub tail: Vec<String>,
}

/// An entry or item.
pub(super) struct Part {
    /// Of an entry.
    pub key: String,
    /// Comments above it; an empty line is empty.
    pub leading: Vec<String>,
    /// Its first line: `key: value # comment`, `key:`, `- value`, `-`.
    pub head: String,
    /// More lines, as written.
    pub rest: Vec<String>,
    /// The column in which it began, from which `rest` is indented.
    pub column: usize,
    /// `rest` is text, in which every space counts.
    pub literal: bool,
    pub block: Option<Block>,
}

/// Takes a file apart.
pub(super) fn build(root: &Node, lines: &Lines<'_>) -> Result<File, LayoutError> {
    let mut builder = Builder { lines, next: 0 };
    let preamble = builder.preamble(root);
    let block = builder.block(root, Place::Top, None)?;
    let mut end = Vec::new();
    while builder.next < lines.count() {
        let line = lines.get(builder.next).trim_end();
        if !(line.is_empty() || line == "..." || line.starts_with('#')) {
            return Err(builder.shape("this line belongs to nothing; put the value on the line of its key"));
        }
        if !line.is_empty() {
            end.push(line.to_owned());
        }
        builder.next += 1;
    }
    Ok(File {
        preamble,
        root: block,
        end,
    })
}

struct Builder<'l, 't> {
    lines: &'l Lines<'t>,
    /// The first line that is not taken yet.
    next: usize,
}

impl Builder<'_, '_> {
    fn shape(&self, what: &'static str) -> LayoutError {
        LayoutError::Shape {
            line: self.next + 1,
            what,
        }
    }

    fn preamble(&mut self, root: &Node) -> Vec<String> {
        let first = self.lines.of(root.start);
        let marks = |line: &usize| self.lines.get(*line).starts_with("---");
        let Some(mark) = (0..first).rev().find(marks) else {
            return Vec::new();
        };
        self.next = mark + 1;
        (0..=mark)
            .map(|line| self.lines.get(line).trim_end().to_owned())
            .collect()
    }

    fn block(&mut self, node: &Node, place: Place, outer: Option<usize>) -> Result<Block, LayoutError> {
        let mut parts = Vec::new();
        match &node.kind {
            Kind::Map { entries, .. } => {
                for entry in entries {
                    parts.push(self.entry(entry, place)?);
                }
            }
            Kind::List { items, .. } => {
                // Of a list that is indented no deeper than its key, the parser does not say where it begins.
                let dash = self.lines.text.as_bytes().get(node.start) == Some(&b'-');
                let (line, column) = if dash {
                    (self.lines.of(node.start), self.lines.column(node.start))
                } else {
                    let line = self.next_text();
                    (line, self.lines.indent(line))
                };
                for (at, item) in items.iter().enumerate() {
                    let first = (at == 0).then_some(line);
                    parts.push(self.item(item, place, column, first)?);
                }
            }
            Kind::Scalar { .. } | Kind::Alias => {}
        }
        Ok(Block {
            place,
            list: matches!(node.kind, Kind::List { .. }),
            parts,
            tail: self.tail(outer),
        })
    }

    fn entry(&mut self, entry: &Entry, place: Place) -> Result<Part, LayoutError> {
        let first = self.lines.of(entry.key_start);
        let leading = self.leading(first)?;
        let column = self.lines.column(entry.key_start);
        let line = self.lines.get(first);
        let before = line.get(..column).unwrap_or("").trim();
        let last_of_key = self.lines.of(entry.key_end);
        let behind = self
            .lines
            .text
            .get(entry.key_end..self.lines.start(first + 1))
            .unwrap_or("");
        let Some(behind) = behind
            .trim_start()
            .strip_prefix(':')
            .filter(|_| last_of_key == first && before.chars().all(|ch| ch == '-' || ch == ' '))
        else {
            return Err(
                self.shape("keys with `?`, an anchor or several lines are left alone; write a plain key")
            );
        };
        let key = self.lines.text.get(entry.key_start..entry.key_end).unwrap_or("");
        let value = behind.trim();
        let mut part = Part {
            key: entry.key.clone(),
            leading,
            head: if value.is_empty() {
                format!("{key}:")
            } else {
                format!("{key}: {value}")
            },
            rest: Vec::new(),
            column,
            literal: false,
            block: None,
        };
        self.next = first + 1;
        let inner = place.child(&entry.key);
        if entry.node.is_block() {
            part.block = Some(self.block(&entry.node, inner, Some(column))?);
        } else {
            self.leaf(&entry.node, &mut part, place, first);
        }
        Ok(part)
    }

    fn item(
        &mut self,
        node: &Node,
        place: Place,
        column: usize,
        first: Option<usize>,
    ) -> Result<Part, LayoutError> {
        let first = first.unwrap_or_else(|| self.next_text());
        let leading = self.leading(first)?;
        let line = self.lines.get(first);
        let Some(behind) = line.get(column..).and_then(|rest| rest.strip_prefix('-')) else {
            return Err(
                self.shape("this item has no `-` where the first of the list has it; indent it alike")
            );
        };
        let mut part = Part {
            key: String::new(),
            leading,
            head: "-".to_owned(),
            rest: Vec::new(),
            column,
            literal: false,
            block: None,
        };
        let start = self.lines.start(first) + column + 1;
        if node.is_block() {
            let between = self.lines.text.get(start..node.start).unwrap_or("");
            if self.lines.of(node.start) == first {
                if !between.trim().is_empty() {
                    return Err(
                        self.shape("an anchor or tag before a map on one line; put it on a line of its own")
                    );
                }
                self.next = first;
            } else {
                let behind = behind.trim();
                if !behind.is_empty() {
                    part.head = format!("- {behind}");
                }
                self.next = first + 1;
            }
            part.block = Some(self.block(node, place.child(""), Some(column))?);
        } else {
            let behind = behind.trim();
            if !behind.is_empty() {
                part.head = format!("- {behind}");
            }
            self.next = first + 1;
            self.leaf(node, &mut part, place, first);
        }
        Ok(part)
    }

    /// The lines of a scalar, alias or flow collection behind the first.
    fn leaf(&mut self, node: &Node, part: &mut Part, place: Place, first: usize) {
        let mut last = self.lines.of(node.end.saturating_sub(1).max(node.start));
        match &node.kind {
            Kind::Scalar {
                style: Style::Missing,
                ..
            } => last = first,
            Kind::Scalar {
                style: Style::Block, ..
            } => {
                let header = self.lines.of(node.start).min(last);
                last = self.lines.block_scalar_end(header, part.column);
                part.literal = true;
            }
            Kind::Scalar { value, style } if place.quoted() && last == first => {
                let raw = self.lines.text.get(node.start..node.end).unwrap_or("");
                if let Some(quoted) = requoted(raw, value, *style)
                    && !node.marked
                    && let Some(at) = part.head.find(raw)
                {
                    part.head.replace_range(at..at + raw.len(), &quoted);
                }
            }
            Kind::Scalar { .. } | Kind::Alias | Kind::Map { .. } | Kind::List { .. } => {}
        }
        for line in first + 1..=last {
            part.rest.push(self.lines.get(line).to_owned());
        }
        self.next = last.max(first) + 1;
    }

    /// The first line from here on that is more than a comment.
    fn next_text(&self) -> usize {
        (self.next..self.lines.count())
            .find(|line| !self.lines.blank(*line) && !self.comment(*line))
            .unwrap_or(self.lines.count())
    }

    fn comment(&self, line: usize) -> bool {
        self.lines.get(line).trim_start().starts_with('#')
    }

    /// Takes the lines up to this one, which hold comments.
    fn leading(&mut self, upto: usize) -> Result<Vec<String>, LayoutError> {
        let mut found = Vec::new();
        while self.next < upto {
            if !self.lines.blank(self.next) && !self.comment(self.next) {
                return Err(self.shape(
                    "an anchor, tag or value on a line of its own is left alone; put it on the line of its key",
                ));
            }
            found.push(self.lines.get(self.next).trim().to_owned());
            self.next += 1;
        }
        Ok(found)
    }

    /// Takes the comments that are indented deeper than what the block stands in.
    fn tail(&mut self, outer: Option<usize>) -> Vec<String> {
        let mut last = self.next;
        for line in self.next..self.next_text() {
            if self.comment(line) {
                if outer.is_some_and(|outer| self.lines.indent(line) <= outer) {
                    break;
                }
                last = line + 1;
            }
        }
        let found = (self.next..last).map(|line| self.lines.get(line).trim().to_owned());
        let found = found.collect();
        self.next = last;
        found
    }
}

/// A rule in double quotes where that needs no escape, else in single quotes. `None`: it stays as it is.
fn requoted(raw: &str, value: &str, style: Style) -> Option<String> {
    let escapes = value.contains(['"', '\\']);
    match style {
        Style::Plain if raw != value => None,
        Style::Plain if !escapes => Some(format!("\"{value}\"")),
        Style::Plain if !value.contains('\'') => Some(format!("'{value}'")),
        Style::Single if !escapes => Some(format!("\"{value}\"")),
        Style::Missing | Style::Plain | Style::Single | Style::Double | Style::Block => None,
    }
}
