//! Blocks to text.

use super::blocks::{Block, File, Part};

/// Spaces a level.
const STEP: usize = 2;

/// The text. `reorder` is off where an anchor could come to stand behind its alias.
pub(super) fn emit(file: &File, reorder: bool) -> String {
    let mut out = Out {
        text: String::new(),
        reorder,
    };
    for line in &file.preamble {
        out.line(0, line);
    }
    // What stands above an empty line at the top speaks of the file, not of its first section.
    let leading = file.root.parts.first().map_or(&[][..], |part| &part.leading);
    let about = leading
        .iter()
        .rposition(String::is_empty)
        .filter(|at| leading.iter().take(*at).any(|line| !line.is_empty()))
        .unwrap_or(0);
    out.comments(leading.get(..about).unwrap_or(&[]), 0);
    if about > 0 {
        out.line(0, "");
    }
    out.block(&file.root, 0, about, false);
    for line in &file.end {
        out.line(0, line);
    }
    out.text
}

struct Out {
    text: String,
    reorder: bool,
}

impl Out {
    fn line(&mut self, indent: usize, text: &str) {
        if !text.is_empty() {
            self.text.push_str(&" ".repeat(indent));
            self.text.push_str(text);
        }
        self.text.push('\n');
    }

    /// Comments with no two empty lines behind each other, and none at either end.
    fn comments(&mut self, lines: &[String], indent: usize) {
        let mut gap = false;
        let mut any = false;
        for line in lines {
            if line.is_empty() {
                gap = any;
                continue;
            }
            if gap {
                self.line(0, "");
                gap = false;
            }
            self.line(indent, line);
            any = true;
        }
    }

    /// `skip` lines above the first part are written already; `inline`: its first line stands behind a dash.
    fn block(&mut self, block: &Block, indent: usize, skip: usize, inline: bool) {
        for (at, part) in self.ordered(block).into_iter().enumerate() {
            let first = block
                .parts
                .first()
                .is_some_and(|written| std::ptr::eq(written, part));
            let leading = part.leading.get(if first { skip } else { 0 }..).unwrap_or(&[]);
            let here = at == 0 && inline;
            if !here {
                let spaced =
                    block.place.spaced() && (part.is_long() || block.parts.iter().any(Part::is_long));
                let wanted = spaced || leading.first().is_some_and(String::is_empty);
                if at > 0 && wanted {
                    self.line(0, "");
                }
                self.comments(leading, indent);
                // A comment that an empty line sets apart stays apart.
                if leading.last().is_some_and(String::is_empty) && leading.iter().any(|line| !line.is_empty())
                {
                    self.line(0, "");
                }
            }
            self.part(part, indent, here);
        }
        if block.tail.iter().any(|line| !line.is_empty()) {
            if block.tail.first().is_some_and(String::is_empty) {
                self.line(0, "");
            }
            self.comments(&block.tail, indent);
        }
    }

    fn part(&mut self, part: &Part, indent: usize, here: bool) {
        self.line(if here { 0 } else { indent }, &part.head);
        for line in &part.rest {
            let text = line.trim_start_matches(' ');
            let was = line.len() - text.len();
            let text = if part.literal { text } else { text.trim_end() };
            if text.trim().is_empty() {
                // In text, spaces beyond the indentation count.
                let kept = if part.literal && !line.is_empty() {
                    (line.len() + indent).saturating_sub(part.column)
                } else {
                    0
                };
                self.text.push_str(&" ".repeat(kept));
                self.text.push('\n');
                continue;
            }
            let moved = (was + indent).saturating_sub(part.column);
            let least = if part.literal { indent + 1 } else { indent + STEP };
            self.line(moved.max(least), text);
        }
        let Some(block) = &part.block else { return };
        if part.head != "-" {
            return self.block(block, indent + STEP, 0, false);
        }
        // `-` and the first part share a line, unless a comment stands between them.
        let first = self.ordered(block).first().map(|part| part.leading.clone());
        let comments: Vec<String> = first
            .into_iter()
            .flatten()
            .filter(|line| !line.is_empty())
            .collect();
        if comments.is_empty() {
            // Behind the dash, instead of the line end that it was given.
            self.text.pop();
            self.text.push(' ');
            self.block(block, indent + STEP, 0, true);
        } else {
            self.block(block, indent + STEP, 0, false);
        }
    }

    fn ordered<'b>(&self, block: &'b Block) -> Vec<&'b Part> {
        let mut parts: Vec<&Part> = block.parts.iter().collect();
        let order = block.place.order();
        if self.reorder && !block.list && !order.is_empty() {
            let rank = |part: &&Part| {
                order
                    .iter()
                    .position(|key| *key == part.key)
                    .unwrap_or(order.len())
            };
            parts.sort_by_key(rank);
        }
        parts
    }
}

impl Part {
    /// Whether it takes more than a line.
    fn is_long(&self) -> bool {
        self.block.is_some() || !self.rest.is_empty()
    }
}
