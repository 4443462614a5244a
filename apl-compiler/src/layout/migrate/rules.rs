//! Keys and calls that only change their name.

use super::Round;
use crate::layout::tree::{Node, Style};

/// Keys of a section and what they are called now.
const KEYS: &[(&str, &str)] = &[
    ("identity", "authentication"),
    ("policy", "pre_invocation"),
    ("post_policy", "post_invocation"),
];

impl Round<'_> {
    /// `global`, a default, a group, a route, or the wrapper in one.
    pub(super) fn section(&mut self, node: &Node) {
        for entry in node.entries() {
            if let Some((_, now)) = KEYS.iter().find(|(old, _)| *old == entry.key) {
                if node.get(now).is_some() {
                    self.leave(
                        entry.key_start,
                        format!("`{}` and `{now}` say the same thing twice", entry.key),
                    );
                } else {
                    self.edit(entry.key_start, entry.key_end, *now);
                }
            }
            if matches!(entry.key.as_str(), "apl" | "authorization") {
                self.unwrap(node, entry);
            }
        }
    }

    /// `plugin(x)` is `run(x)`; names and labels of plain characters need no quotes.
    pub(super) fn rule(&mut self, node: &Node, value: &str, style: Style) {
        let raw = self.text(node.start, node.end);
        let pipeline = value.trim_start().starts_with("args.")
            || value.trim_start().starts_with("result.")
            || !value.trim_start().starts_with(['!', '(']) && value.contains('|');
        let mut edits = Vec::new();
        for word in ["plugin(", "run(", "taint("] {
            for (at, _) in raw.match_indices(word) {
                let before = raw.get(..at).unwrap_or("").trim_end();
                let begins = before.is_empty() || matches!(before, "\"" | "'") || starts_block(before, style);
                let staged = pipeline && before.ends_with('|');
                if !(begins || staged) {
                    continue;
                }
                if word == "plugin(" {
                    edits.push((
                        node.start + at,
                        node.start + at + "plugin".len(),
                        "run".to_owned(),
                    ));
                }
                if let Some((start, end, name)) = quoted_name(raw, at + word.len()) {
                    edits.push((node.start + start, node.start + end, name.to_owned()));
                }
            }
        }
        if !edits.is_empty() {
            self.edits(edits);
        }
    }
}

/// Whether only the header of a block scalar stands before.
fn starts_block(before: &str, style: Style) -> bool {
    style == Style::Block
        && before
            .trim_start()
            .chars()
            .all(|ch| "|>+-0123456789".contains(ch))
}

/// A name in quotes at an offset, however the scalar around it writes them: where it begins and ends, and the name.
fn quoted_name(raw: &str, at: usize) -> Option<(usize, usize, &str)> {
    let rest = raw.get(at..)?;
    let start = at + (rest.len() - rest.trim_start().len());
    let rest = raw.get(start..)?;
    // An escaped quote first: a bare one is its last character.
    let quote = ["\\\"", "''", "\"", "'"]
        .into_iter()
        .find(|quote| rest.starts_with(quote))?;
    let inner = rest.get(quote.len()..)?;
    let length = inner.find(|ch: char| !(ch.is_ascii_alphanumeric() || "_-".contains(ch)))?;
    let name = inner.get(..length).filter(|name| !name.is_empty())?;
    inner.get(length..)?.strip_prefix(quote)?;
    Some((start, start + length + 2 * quote.len(), name))
}
