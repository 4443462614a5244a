//! A policy from a list of tools.

use apl_compiler::{Tool, Tools};
use serde_json::Value;

use super::fields;
use super::words::{comment, quoted, selector};
use super::{GATE, HEAD};

/// Words in the names of fields that rarely everybody may see.
const SENSITIVE: &[&str] = &[
    "ssn",
    "social",
    "password",
    "secret",
    "token",
    "apikey",
    "api_key",
    "card",
    "iban",
    "account",
    "salary",
    "compensation",
    "birth",
    "dob",
    "email",
    "phone",
    "address",
    "passport",
    "tax",
    "medical",
    "diagnosis",
];

/// The whole policy, in the order of the list.
pub(super) fn policy(tools: &Tools) -> String {
    let mut out = HEAD.to_owned();
    if tools.list.is_empty() {
        out.truncate(out.len() - "routes:\n".len());
        out.push_str("routes: [] # the list had no tools\n");
    }
    for (index, tool) in tools.list.iter().enumerate() {
        if index > 0 {
            out.push('\n');
        }
        route(tool, &mut out);
    }
    out
}

fn route(tool: &Tool, out: &mut String) {
    if let Some(description) = &tool.description {
        out.push_str(&comment("  ", description));
    }
    out.push_str(&selector("tool", &tool.name));
    out.push_str("    pre_invocation:\n      # Gate: who may call this?\n");
    out.push_str(GATE);
    let fields = fields::of(&tool.input);
    if !fields.lines.is_empty() {
        out.push_str("    args: # from the tool's input schema\n");
        for (name, pipeline) in &fields.lines {
            out.push_str(&format!("      {}: {}\n", quoted(name), quoted(pipeline)));
        }
    }
    for left in &fields.left {
        out.push_str(&comment("    ", &format!("not checked: {left}")));
    }
    results(tool, out);
}

fn results(tool: &Tool, out: &mut String) {
    let Some(schema) = &tool.output else { return };
    let mut names = Vec::new();
    collect(schema, "", 0, &mut names);
    let sensitive: Vec<&String> = names
        .iter()
        .filter(|name| {
            let last = name.rsplit('.').next().unwrap_or(name).to_ascii_lowercase();
            SENSITIVE.iter().any(|word| last.contains(word))
        })
        .collect();
    if sensitive.is_empty() {
        return;
    }
    out.push_str(
        "    # Who may see these? Without a rule, everybody who may call the tool.\n    # result:\n",
    );
    for name in sensitive {
        let permission: String = name
            .chars()
            .map(|ch| {
                if ch.is_ascii_alphanumeric() {
                    ch.to_ascii_lowercase()
                } else {
                    '_'
                }
            })
            .collect();
        let line = format!(
            "{}: {}",
            quoted(name),
            quoted(&format!("redact(!perm.view_{permission})"))
        );
        out.push_str(&format!("    #   {line}\n"));
    }
}

/// Dotted names of what a result may hold, in the order of the schema.
fn collect(schema: &Value, prefix: &str, depth: u32, out: &mut Vec<String>) {
    if depth > 8 {
        return;
    }
    if let Some(items) = schema.get("items") {
        collect(items, prefix, depth + 1, out);
    }
    let properties = schema.get("properties").and_then(Value::as_object);
    for (name, inner) in properties.into_iter().flatten() {
        if !fields::nameable(name) {
            continue;
        }
        let path = if prefix.is_empty() {
            name.clone()
        } else {
            format!("{prefix}.{name}")
        };
        collect(inner, &path, depth + 1, out);
        out.push(path);
    }
}
