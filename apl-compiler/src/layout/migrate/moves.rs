//! Blocks that move: wrappers that go, reactions that go into their decision point, `global.policies`.

use super::Round;
use crate::layout::tree::{Entry, Kind, Node, Style};

impl Round<'_> {
    /// What is in `apl:` or `authorization:` moves one level out.
    pub(super) fn unwrap(&mut self, parent: &Node, entry: &Entry) {
        let twice = entry
            .node
            .entries()
            .iter()
            .find(|inner| parent.get(&inner.key).is_some());
        let phases = ["policy", "post_policy", "pre_invocation", "post_invocation"];
        let beside = parent
            .entries()
            .iter()
            .any(|other| phases.contains(&other.key.as_str()));
        if let Some(twice) = twice {
            let why = format!("`{}` stands in `{}` and beside it", twice.key, entry.key);
            return self.leave(twice.key_start, why);
        }
        if entry.key == "authorization" && beside {
            return self.leave(entry.key_start, "phases stand in `authorization` and beside it");
        }
        if entry.node.marked {
            return self.leave(entry.key_start, format!("`{}` has an anchor or a tag", entry.key));
        }
        match &entry.node.kind {
            Kind::Map { entries, flow: true } => {
                let inner: Vec<&str> = entries
                    .iter()
                    .map(|inner| self.text(inner.key_start, inner.node.end.max(inner.key_end)))
                    .collect();
                let between = if parent.is_flow() {
                    ", ".to_owned()
                } else {
                    format!("\n{}", " ".repeat(self.lines.column(entry.key_start)))
                };
                let text = inner.join(&between);
                if text.is_empty() {
                    return self.leave(entry.key_start, format!("`{}` is empty; remove it", entry.key));
                }
                self.edit(entry.key_start, entry.node.end, text);
            }
            Kind::Map { flow: false, .. } => self.dedent(entry),
            Kind::Scalar { .. } | Kind::Alias | Kind::List { .. } => {
                self.leave(entry.key_start, format!("`{}` is no map", entry.key));
            }
        }
    }

    fn dedent(&mut self, entry: &Entry) {
        let header = self.lines.of(entry.key_start);
        let first = self.lines.of(entry.node.start);
        let last = self.last_line(entry);
        let column = self.lines.column(entry.key_start);
        let by = self.lines.column(entry.node.start).saturating_sub(column);
        let comment = comment_of(self.text(entry.key_end, self.lines.start(header + 1)));
        let shares = self.text(self.lines.start(header), entry.key_start).contains('-');
        if shares && (first != header + 1 || comment.is_some()) {
            let why = "a comment stands between the dash and what would stand behind it";
            return self.leave(entry.key_start, why);
        }
        let mut text = String::new();
        if let Some(comment) = comment {
            text.push_str(&" ".repeat(column));
            text.push_str(comment);
            text.push('\n');
        }
        for line in header + 1..=last {
            text.push_str(&shifted(self.lines.get(line), -signed(by)));
            text.push('\n');
        }
        let end = self.lines.start(last + 1);
        if shares {
            self.edit(entry.key_start, end, text.trim_start_matches(' '));
        } else {
            self.edit(self.lines.start(header), end, text);
        }
    }

    /// `on_allow` and `on_deny` beside a decision point move into it.
    pub(super) fn step(&mut self, node: &Node) {
        let reaction = |entry: &&Entry| matches!(entry.key.as_str(), "on_allow" | "on_deny");
        if node.get("when").is_some() || node.get("do").is_some() {
            return;
        }
        let Some(main) = node.entries().iter().find(|entry| !reaction(entry)) else {
            return;
        };
        let beside: Vec<&Entry> = node.entries().iter().filter(reaction).collect();
        let Some(first) = beside.first() else { return };
        if first.key_start < main.key_start || main.node.marked {
            return self.leave(
                first.key_start,
                "a reaction stands before its decision point; move it behind",
            );
        }
        match &main.node.kind {
            Kind::Map { flow: false, .. } => {
                let column = self.lines.column(main.node.start);
                for entry in beside {
                    let (from, last) = (self.lines.of(entry.key_start), self.last_line(entry));
                    let by = signed(column) - signed(self.lines.column(entry.key_start));
                    let mut text = String::new();
                    for line in from..=last {
                        text.push_str(&shifted(self.lines.get(line), by));
                        text.push('\n');
                    }
                    self.edit(self.lines.start(from), self.lines.start(last + 1), text);
                }
            }
            Kind::Map { flow: true, .. } => {
                let plain = beside.iter().all(|entry| !entry.node.is_block());
                let last = beside.last().map_or(0, |entry| entry.node.end);
                let inside = self.text(main.node.end, last);
                if !plain || inside.contains('#') {
                    return self.leave(
                        first.key_start,
                        "write the decision point as a block to move its reaction into it",
                    );
                }
                let moved: Vec<&str> = beside
                    .iter()
                    .map(|entry| self.text(entry.key_start, entry.node.end))
                    .collect();
                let body = self
                    .text(main.node.start, main.node.end.saturating_sub(1))
                    .trim_end();
                let space = if self.text(main.node.start, main.node.end).ends_with(" }") {
                    " "
                } else {
                    ""
                };
                let text = format!("{body}, {}{space}}}", moved.join(", "));
                self.edit(main.node.start, last, text);
            }
            Kind::Scalar { .. } | Kind::Alias | Kind::List { .. } => {}
        }
    }

    /// `global.policies` becomes top-level `groups`.
    pub(super) fn policies(&mut self, root: &Node, global: &Entry, policies: &Entry) {
        if policies.node.marked || !root.is_block() {
            return self.leave(
                policies.key_start,
                "move `policies` to a top-level `groups` by hand",
            );
        }
        let behind_global = self.lines.start(self.last_line(global) + 1);
        let groups = root.get("groups");
        if groups.is_some_and(|groups| !groups.node.is_block())
            || (groups.is_some() && policies.node.is_flow())
        {
            return self.leave(
                policies.key_start,
                "`groups` is there already; join the two by hand",
            );
        }
        let (cut, body) = if global.node.is_flow() {
            (self.flow_cut(global, policies), None)
        } else {
            let mut from = self.lines.of(policies.key_start);
            let column = self.lines.column(policies.key_start);
            while from > 0
                && self.lines.get(from - 1).trim_start().starts_with('#')
                && self.lines.indent(from - 1) == column
            {
                from -= 1;
            }
            let only = global.node.entries().len() == 1;
            if only
                && comment_of(self.text(
                    global.key_end,
                    self.lines.start(self.lines.of(global.key_start) + 1),
                ))
                .is_none()
            {
                from = from.min(self.lines.of(global.key_start));
            }
            let last = self.last_line(policies);
            let header = self.lines.of(policies.key_start);
            let by = self.lines.column(policies.node.start);
            let body = policies.node.is_block().then(|| (header + 1, last, by));
            ((self.lines.start(from), self.lines.start(last + 1)), body)
        };
        let target = groups.and_then(|groups| groups.node.entries().first().map(|first| (groups, first)));
        let column = target.map_or(2, |(_, first)| self.lines.column(first.key_start));
        let mut text = String::new();
        if target.is_none() {
            text.push_str("\ngroups:");
        }
        match body {
            Some((from, last, by)) => {
                if target.is_none() {
                    text.push('\n');
                }
                for line in from..=last {
                    text.push_str(&shifted(self.lines.get(line), signed(column) - signed(by)));
                    text.push('\n');
                }
            }
            None => {
                text.push(' ');
                text.push_str(self.text(policies.node.start, policies.node.end));
                text.push('\n');
            }
        }
        let at = target.map_or(behind_global, |(groups, _)| {
            self.lines.start(self.last_line(groups) + 1)
        });
        if at > cut.0 && at < cut.1 {
            return self.leave(
                policies.key_start,
                "move `policies` to a top-level `groups` by hand",
            );
        }
        self.edits([(cut.0, cut.1, String::new()), (at, at, text)]);
    }

    /// An entry of a flow map with one of the commas around it.
    fn flow_cut(&self, parent: &Entry, entry: &Entry) -> (usize, usize) {
        let before = self.text(parent.node.start, entry.key_start);
        if let Some(comma) = before
            .rfind(',')
            .filter(|comma| before.get(comma + 1..).is_some_and(|rest| rest.trim().is_empty()))
        {
            return (parent.node.start + comma, entry.node.end);
        }
        let behind = self.text(entry.node.end, parent.node.end);
        let more = behind.trim_start().starts_with(',');
        let skip = behind.find(',').filter(|_| more).map_or(0, |comma| comma + 1);
        (entry.key_start, entry.node.end + skip)
    }

    /// The last line of an entry, with the comments that are indented into it.
    fn last_line(&self, entry: &Entry) -> usize {
        let column = self.lines.column(entry.key_start);
        let mut last = self.end(&entry.node, self.lines.of(entry.key_end), column);
        for line in last + 1..self.lines.count() {
            let text = self.lines.get(line).trim_start();
            if text.starts_with('#') && self.lines.indent(line) > column {
                last = line;
            } else if !text.is_empty() {
                break;
            }
        }
        last
    }

    fn end(&self, node: &Node, key_line: usize, column: usize) -> usize {
        match &node.kind {
            Kind::Scalar {
                style: Style::Missing,
                ..
            } => key_line,
            Kind::Scalar {
                style: Style::Block, ..
            } => self.lines.block_scalar_end(self.lines.of(node.start), column),
            Kind::Map { entries, flow: false } => entries.last().map_or(key_line, |last| {
                self.end(
                    &last.node,
                    self.lines.of(last.key_end),
                    self.lines.column(last.key_start),
                )
            }),
            Kind::List { items, flow: false } => items.last().map_or(key_line, |last| {
                self.end(last, self.lines.of(last.start), self.lines.column(node.start))
            }),
            Kind::Scalar { .. } | Kind::Alias | Kind::Map { .. } | Kind::List { .. } => {
                self.lines.of(node.end.saturating_sub(1).max(node.start))
            }
        }
    }
}

/// A comment behind a key without a value on its line.
fn comment_of(behind: &str) -> Option<&str> {
    let text = behind.trim_start().strip_prefix(':').unwrap_or(behind).trim();
    text.starts_with('#').then_some(text)
}

/// A line moved to the right, or to the left as far as there is room.
fn shifted(line: &str, by: isize) -> String {
    let text = line.trim_start_matches(' ');
    if text.is_empty() {
        return String::new();
    }
    let indent = signed(line.len() - text.len()).saturating_add(by).max(0);
    format!("{}{text}", " ".repeat(indent.unsigned_abs()))
}

fn signed(value: usize) -> isize {
    isize::try_from(value).unwrap_or(isize::MAX)
}
