//! `aplc pin`: digests of tools' definitions, to stand in a policy.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use apl_vm::{Document, Kind, Limits, Node, pin_digest, quote};
use clap::{Args, ValueEnum};

use super::{End, Fault, input};

/// A list of tools is the operator's own file: its bounds are generous, and only there so that reading ends.
const LIMITS: Limits = Limits {
    max_depth: 128,
    max_nodes: 4_000_000,
};

/// `aplc pin`.
#[derive(Debug, Args)]
pub(crate) struct Pin {
    /// An answer to MCP's `tools/list`: the bare result, the JSON-RPC message, or an array of tools.
    pub tools: PathBuf,
    /// The scope of the server's entries of `protocols`, when they have one.
    #[arg(long, value_name = "SCOPE")]
    pub scope: Option<String>,
    /// How digests are written.
    #[arg(long, value_enum, default_value = "yaml")]
    pub format: PinFormat,
}

/// How digests are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum PinFormat {
    /// `pins` to paste into a policy.
    Yaml,
    /// A JSON object.
    Json,
}

/// Prints the digest of each tool, by name.
pub(crate) fn run(pin: &Pin) -> Result<End, Fault> {
    let pins = pins(&pin.tools)?;
    match pin.format {
        PinFormat::Json => {
            let mut server = serde_json::Map::new();
            if let Some(scope) = &pin.scope {
                server.insert("scope".to_owned(), scope.clone().into());
            }
            server.insert("tools".to_owned(), serde_json::to_value(&pins)?);
            println!(
                "{}",
                serde_json::to_string_pretty(&serde_json::json!({ "pins": [server] }))?
            );
        }
        PinFormat::Yaml => {
            let tools = if pins.is_empty() { "tools: {}" } else { "tools:" };
            match &pin.scope {
                Some(scope) => println!("pins:\n  - scope: {}\n    {tools}", quoted(scope)),
                None => println!("pins:\n  - {tools}"),
            }
            for (name, digest) in &pins {
                // In quotes: sixty-four digits without a letter would be a number in YAML.
                println!("      {}: \"{digest}\"", quoted(name));
            }
        }
    }
    Ok(End::Fine)
}

/// A name is any text, and a JSON string is one in YAML.
fn quoted(name: &str) -> String {
    let mut quoted = Vec::new();
    quote(name, &mut quoted);
    String::from_utf8_lossy(&quoted).into_owned()
}

fn pins(path: &Path) -> Result<BTreeMap<String, String>, Fault> {
    let fault = |what: String| Fault::Argument(format!("`{}`: {what}", path.display()));
    let mut bytes = input::read(path)?;
    if bytes.starts_with(b"\xEF\xBB\xBF") {
        bytes.drain(..3);
    }
    let document =
        Document::parse(bytes, &LIMITS).map_err(|cause| fault(format!("this is not JSON: {cause}")))?;
    let tools = tools(document.received(document.root())).map_err(|what| fault(what.to_owned()))?;
    let mut pins = BTreeMap::new();
    for (at, tool) in tools.elements().enumerate() {
        let name = tool.get("name").and_then(|name| name.as_str());
        let Some(name) = name.filter(|name| !name.is_empty()) else {
            return Err(fault(format!("tool {} of the list has no `name`", at + 1)));
        };
        let digest = pin_digest(tool)
            .map_err(|cause| fault(format!("the tool `{name}` cannot be pinned: {cause}")))?;
        let hex = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        if pins.insert(name.to_string(), hex).is_some() {
            return Err(fault(format!("the tool `{name}` stands twice in the list")));
        }
    }
    Ok(pins)
}

/// The list itself; a further page of it would be missed, so that is said.
fn tools(root: Node<'_>) -> Result<Node<'_>, &'static str> {
    if root.get("error").is_some() {
        return Err("this is a JSON-RPC error, not a list of tools");
    }
    let result = root.get("result").unwrap_or(root);
    if result
        .get("nextCursor")
        .is_some_and(|cursor| cursor.kind() != Kind::Null)
    {
        return Err("this is one page of several (`nextCursor`): put the tools of all pages into one array");
    }
    let list = result.get("tools").unwrap_or(result);
    if list.kind() == Kind::Array {
        Ok(list)
    } else {
        Err(
            "this is no `tools/list` answer: expected an array, `{\"tools\": [...]}`, or a JSON-RPC message with `result.tools`",
        )
    }
}
