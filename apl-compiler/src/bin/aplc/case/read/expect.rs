//! Reading `expect`.

use apl_compiler::yaml::Node;

use super::Reader;
use crate::case::Expect;

const KEYS: &[&str] = &[
    "verdict",
    "code",
    "reason",
    "rule",
    "unauthenticated",
    "args",
    "result",
    "effects",
    "labels",
    "edits",
    "headers",
];

const VERDICTS: &[(&str, &str)] = &[
    ("allow", "allow"),
    ("deny", "deny"),
    ("deny_after", "deny_after"),
    ("pending", "pending"),
    ("would_allow", "would_allow"),
    ("would_deny", "would_deny"),
    ("would_deny_after", "would_deny_after"),
    ("unknown", "unknown"),
];

/// Reads what is expected.
pub(super) fn expect(node: &Node, reader: &mut Reader) -> Expect {
    let mut expect = Expect {
        line: reader.line(node.span),
        ..Expect::default()
    };
    if !reader.keys(node, "`expect`", KEYS) {
        return expect;
    }
    for entry in node.as_map().unwrap_or_default() {
        let value = &entry.node;
        let key = entry.key.as_str();
        match key {
            "verdict" => expect.verdict = reader.word(value, key, VERDICTS),
            "code" => expect.code = Some(reader.text(value, key)),
            "reason" => expect.reason = Some(reader.text(value, key)),
            "rule" => expect.rule = Some(reader.text(value, key)),
            "unauthenticated" => expect.unauthenticated = Some(reader.flag(value, key)),
            "args" => expect.args = Some(value.to_json()),
            "result" => expect.result = Some(value.to_json()),
            "effects" => expect.effects = Some(reader.texts(value, key)),
            "labels" => expect.labels = Some(reader.texts(value, key)),
            "edits" => expect.edits = Some(reader.texts(value, key)),
            "headers" => {
                for entry in value.as_map().unwrap_or_default() {
                    let text = (!entry.node.is_null()).then(|| reader.text(&entry.node, "headers"));
                    expect.headers.push((entry.key.to_ascii_lowercase(), text));
                }
            }
            _ => {}
        }
    }
    if node.get("verdict").is_none() && expect.unauthenticated.is_none() {
        reader.error(
            node.span,
            "`expect` says no verdict".to_owned(),
            "add `verdict: allow`, `deny`, `deny_after` or `pending`, or `unauthenticated: true`",
        );
    }
    expect
}
