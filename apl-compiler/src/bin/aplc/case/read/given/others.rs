//! Reading what decision points and humans answer.

use apl_compiler::yaml::Node;
use companion_protocol::ElicitState;

use crate::case::Decided;
use crate::case::read::Reader;

const STATES: &[(&str, ElicitState)] = &[
    ("pending", ElicitState::Pending),
    ("approved", ElicitState::Approved),
    ("denied", ElicitState::Denied),
    ("expired", ElicitState::Expired),
];

/// `decisions: {plugin: allow}`, or a map with `allow`, `code` and `reason`.
pub(super) fn decisions(node: &Node, reader: &mut Reader) -> Vec<(String, Decided)> {
    let Some(entries) = node.as_map() else {
        reader.error(
            node.span,
            "`decisions` takes a map".to_owned(),
            "write `decisions: {plugin: allow}`",
        );
        return Vec::new();
    };
    entries
        .iter()
        .map(|entry| (entry.key.clone(), decision(&entry.node, reader)))
        .collect()
}

fn decision(node: &Node, reader: &mut Reader) -> Decided {
    let plain = |allow| Decided::Answered {
        allow,
        code: None,
        reason: None,
    };
    if node.as_map().is_none() {
        let word = reader.word(
            node,
            "decisions",
            &[("allow", Some(true)), ("deny", Some(false)), ("fails", None)],
        );
        return word.flatten().map_or(Decided::Failed, plain);
    }
    reader.keys(node, "a decision", &["allow", "code", "reason"]);
    let mut text = |key: &str| node.get(key).map(|entry| reader.text(&entry.node, key));
    let (code, reason) = (text("code"), text("reason"));
    let allow = match node.get("allow") {
        Some(entry) => reader.flag(&entry.node, "allow"),
        None => {
            reader.error(
                node.span,
                "a decision without `allow`".to_owned(),
                "add `allow: true` or `allow: false`",
            );
            false
        }
    };
    Decided::Answered { allow, code, reason }
}

/// `elicitations: {plugin: approved}`.
pub(super) fn elicitations(node: &Node, reader: &mut Reader) -> Vec<(String, ElicitState)> {
    let Some(entries) = node.as_map() else {
        reader.error(
            node.span,
            "`elicitations` takes a map".to_owned(),
            "write `elicitations: {plugin: approved}`",
        );
        return Vec::new();
    };
    let state = |entry: &apl_compiler::yaml::Entry, reader: &mut Reader| {
        Some((
            entry.key.clone(),
            reader.word(&entry.node, "elicitations", STATES)?,
        ))
    };
    entries.iter().filter_map(|entry| state(entry, reader)).collect()
}
