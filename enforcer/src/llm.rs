//! Requests to models: which endpoint is asked, and for which model.

mod flow;
mod place;
mod stream;
mod visit;

pub(crate) use flow::{Flow, Stop};
pub(crate) use place::Fields;
pub(crate) use stream::{Replay, TOKENS};

use std::collections::BTreeSet;

use apl_bytecode::EntityKind;
use apl_vm::{Document, Kind, Node, set_of};

use crate::{
    codec::Codec,
    mcp::request::{Message, Operation, invalid, invalid_params, no_twins, plain_text},
    refusal::Refusal,
};

/// What a path ends with, whatever stands before it.
const ENDPOINTS: &[(&str, Codec)] = &[
    ("chat/completions", Codec::OpenAi),
    ("completions", Codec::OpenAi),
    ("embeddings", Codec::OpenAi),
    ("responses", Codec::OpenAi),
    ("messages", Codec::Anthropic),
    ("messages/count_tokens", Codec::Anthropic),
];

/// Members that decide what a provider does. A twin in another case could be read instead.
const RESERVED: &[&str] = &[
    "input",
    "instructions",
    "messages",
    "model",
    "prompt",
    "stream",
    "system",
    "tools",
];

/// The endpoint of a path; `None`: one that is not governed here, and so is denied.
pub(crate) fn endpoint(path: &str) -> Option<(&'static str, Codec)> {
    let path = path.split('?').next().unwrap_or_default();
    ENDPOINTS
        .iter()
        .find(|(name, _)| {
            path.strip_suffix(name)
                .is_some_and(|before| before.ends_with('/'))
        })
        .copied()
}

/// Whether models are listed or described: that needs identity and the global rules only.
pub(crate) fn is_listing(path: &str) -> bool {
    let path = path.split('?').next().unwrap_or_default();
    path.rsplit('/').take(2).any(|segment| segment == "models")
}

/// Reads a request: the operation is on the model, and the whole request is its arguments.
///
/// # Errors
///
/// The refusal.
pub(crate) fn classify(document: &Document, method: &'static str) -> Result<Message, Refusal> {
    let root = document.node(document.root());
    if root.kind() != Kind::Object {
        return Err(invalid(
            "protocol.invalid_request",
            "the request is not an object",
        ));
    }
    no_twins(root, RESERVED)?;
    let model = root.get("model").and_then(plain_text);
    Ok(Message::Operation(Operation {
        entity: EntityKind::Llm,
        name: model.ok_or_else(|| invalid_params("`model` names no model"))?,
        method,
        id: None,
        args: Some(root.id()),
    }))
}

/// The names of the tools that a request offers to the model; of a provider's own tools their types.
pub(crate) fn offered_tools(request: Node<'_>) -> BTreeSet<String> {
    let lists = ["tools", "functions"]
        .into_iter()
        .filter_map(|key| request.get(key));
    set_of(lists.flat_map(Node::elements).filter_map(|tool| {
        let name = tool.get("function").and_then(|function| function.get("name"));
        let name = name.or_else(|| tool.get("name")).or_else(|| tool.get("type"))?;
        Some(name.as_str()?.into_owned())
    }))
}
