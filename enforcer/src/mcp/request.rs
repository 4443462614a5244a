//! A client's message: one operation, housekeeping, or a refusal.
//!
//! Strict where two parsers could differ: reserved keys in another case, positional parameters, an id that is no id, a
//! message that is request and response at once. JSON itself was read strictly before (`apl_vm::Document`).

use apl_bytecode::EntityKind;
use apl_vm::{Kind, Node, NodeId};
use base64::{Engine as _, engine::general_purpose::STANDARD};

use crate::{codec::Codec, http::head::Head, refusal::Refusal};

/// What a message asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Message {
    /// An access that policy governs.
    Operation(Operation),
    /// What needs identity and the global rules only.
    Housekeeping {
        /// The method; `response` for a client's answer to a request of the server.
        method: String,
        /// As sent; `None`: a notification or a response.
        id: Option<Vec<u8>>,
        /// What a client answers a server with.
        args: Option<NodeId>,
    },
    /// `subscriptions/listen`: housekeeping, and an access to each of these resources.
    Listen {
        /// As sent.
        id: Option<Vec<u8>>,
        /// URIs, each of them once.
        resources: Vec<String>,
    },
}

/// An access that policy governs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Operation {
    pub(crate) entity: EntityKind,
    pub(crate) name: String,
    pub(crate) method: &'static str,
    /// As sent; `None`: a notification of something that is no notification.
    pub(crate) id: Option<Vec<u8>>,
    /// `params.arguments`.
    pub(crate) args: Option<NodeId>,
}

/// Methods that need identity and the global rules only. `tasks/*` is not among them: `tasks/result` would fetch the result
/// of a governed call past its pipelines.
const HOUSEKEEPING: &[&str] = &[
    "initialize",
    "logging/setLevel",
    "ping",
    "prompts/list",
    "resources/list",
    "resources/templates/list",
    "server/discover",
    "tools/list",
];

const ENVELOPE: &[&str] = &["jsonrpc", "id", "method", "params", "result", "error"];
const PARAMS: &[&str] = &["name", "arguments", "uri", "_meta"];

/// Where a request of a stateless revision says its revision, in `params._meta`.
const META_REVISION: &str = "io.modelcontextprotocol/protocolVersion";

/// Longest method or name, in bytes.
const MAX_NAME: usize = 4096;

/// Opens a stream of notifications (2026-07-28).
pub(crate) const LISTEN: &str = "subscriptions/listen";

/// Most resources that one request subscribes to. Each may cost a call to the companion, one after the other.
pub(crate) const MAX_RESOURCES: usize = 32;

impl Message {
    /// As sent; `None`: a notification or a response.
    pub(crate) fn id(&self) -> Option<&[u8]> {
        match self {
            Self::Operation(operation) => operation.id.as_deref(),
            Self::Housekeeping { id, .. } | Self::Listen { id, .. } => id.as_deref(),
        }
    }

    pub(crate) fn method(&self) -> &str {
        match self {
            Self::Operation(operation) => operation.method,
            Self::Housekeeping { method, .. } => method,
            Self::Listen { .. } => LISTEN,
        }
    }

    /// A client's answer to a request of the server.
    pub(crate) fn is_response(&self) -> bool {
        self.method() == RESPONSE
    }
}

/// What stands for the method of a client's response.
const RESPONSE: &str = "response";

/// A refusal, and who must be told.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Refused {
    pub(crate) refusal: Refusal,
    /// The id of each message, where it is known.
    pub(crate) ids: Vec<Option<Vec<u8>>>,
    /// The messages stood in an array.
    pub(crate) array: bool,
    /// The message at fault.
    pub(crate) at: Option<usize>,
}

/// Reads one message.
///
/// # Errors
///
/// The refusal.
pub(crate) fn single(root: Node<'_>, head: &Head) -> Result<Message, Box<Refused>> {
    let refused = |refusal, id| {
        Box::new(Refused {
            refusal,
            ids: vec![id],
            array: false,
            at: Some(0),
        })
    };
    if root.kind() != Kind::Object {
        let refusal = invalid("protocol.invalid_request", "the message is not an object");
        return Err(refused(refusal, None));
    }
    let id = read_id(root).map_err(|refusal| refused(refusal, None))?;
    message(root, id.clone(), head).map_err(|refusal| refused(refusal, id))
}

fn message(root: Node<'_>, id: Option<Vec<u8>>, head: &Head) -> Result<Message, Refusal> {
    no_twins(root, ENVELOPE)?;
    if !root.get("jsonrpc").is_some_and(|version| version.is_str("2.0")) {
        return Err(invalid("protocol.invalid_request", "`jsonrpc` is not \"2.0\""));
    }
    let answers =
        usize::from(root.get("result").is_some()).saturating_add(usize::from(root.get("error").is_some()));
    let Some(method) = root.get("method") else {
        // A client's answer to a request of the server: it reaches no entity.
        return match (answers, &id) {
            (1, Some(_)) if root.get("params").is_none() && head.codec == Codec::Mcp => {
                Ok(Message::Housekeeping {
                    method: RESPONSE.to_owned(),
                    id: None,
                    args: root.get("result").or_else(|| root.get("error")).map(Node::id),
                })
            }
            _ => Err(invalid(
                "protocol.invalid_request",
                "the message is neither a request nor a response",
            )),
        };
    };
    if answers != 0 {
        return Err(invalid(
            "protocol.invalid_request",
            "the message is a request and a response",
        ));
    }
    let method = plain(method, "method")?;
    let params = root.get("params");
    if params.is_some_and(|params| params.kind() != Kind::Object) {
        return Err(invalid("protocol.invalid_request", "`params` is not an object"));
    }
    if head.codec == Codec::A2a {
        return a2a(&method, params, id);
    }
    let message = match method.as_str() {
        "tools/call" => operation(EntityKind::Tool, "tools/call", "name", params, id)?,
        "prompts/get" => operation(EntityKind::Prompt, "prompts/get", "name", params, id)?,
        "resources/read" => operation(EntityKind::Resource, "resources/read", "uri", params, id)?,
        // Gone with the sessions.
        "resources/subscribe" | "resources/unsubscribe" if !head.revision.has_sessions() => {
            return Err(Refusal::unknown_method(false));
        }
        "resources/subscribe" => operation(EntityKind::Resource, "resources/subscribe", "uri", params, id)?,
        "resources/unsubscribe" => {
            operation(EntityKind::Resource, "resources/unsubscribe", "uri", params, id)?
        }
        "completion/complete" => completion(params, id)?,
        LISTEN => listen(params, id)?,
        _ if method.starts_with("notifications/") && id.is_none() => Message::Housekeeping {
            method: method.clone(),
            id: None,
            args: None,
        },
        _ if HOUSEKEEPING.contains(&method.as_str()) => Message::Housekeeping {
            method: method.clone(),
            id,
            args: None,
        },
        _ => return Err(Refusal::unknown_method(head.revision.has_sessions())),
    };
    check_mirrored(&method, &message, params, head)?;
    Ok(message)
}

/// A method of A2A: the operation is the method itself, and its parameters are the arguments.
fn a2a(method: &str, params: Option<Node<'_>>, id: Option<Vec<u8>>) -> Result<Message, Refusal> {
    match apl_bytecode::a2a_operation(method) {
        Some(method) => Ok(Message::Operation(Operation {
            entity: EntityKind::A2a,
            name: method.to_owned(),
            method,
            id,
            args: params.map(Node::id),
        })),
        None => {
            let mut refusal = Refusal::operation("protocol.unknown_method", "the method is not known here");
            refusal.rpc = -32601;
            Err(refusal)
        }
    }
}

/// A stream of notifications: of what changes in lists, and of the resources that are named.
fn listen(params: Option<Node<'_>>, id: Option<Vec<u8>>) -> Result<Message, Refusal> {
    let wanted = match params {
        Some(params) => {
            no_twins(params, &["notifications", "_meta"])?;
            params.get("notifications")
        }
        None => None,
    };
    let wrong = |reason| Err(invalid_params(reason));
    let mut resources: Vec<String> = Vec::new();
    if let Some(wanted) = wanted {
        if wanted.kind() != Kind::Object {
            return wrong("`params.notifications` is not an object");
        }
        no_twins(wanted, &["resourceSubscriptions"])?;
        if let Some(named) = wanted.get("resourceSubscriptions") {
            if named.kind() != Kind::Array {
                return wrong("`resourceSubscriptions` is not an array");
            }
            if named.len() > MAX_RESOURCES {
                return wrong(
                    "`resourceSubscriptions` names more resources than one request may: send several",
                );
            }
            for uri in named.elements() {
                let uri = plain(uri, "resourceSubscriptions")?;
                if !resources.contains(&uri) {
                    resources.push(uri);
                }
            }
        }
    }
    Ok(Message::Listen { id, resources })
}

/// Completions of a prompt's or a resource template's argument: what they suggest is that entity's.
fn completion(params: Option<Node<'_>>, id: Option<Vec<u8>>) -> Result<Message, Refusal> {
    let method = "completion/complete";
    let wrong = || invalid_params("`params.ref` names neither a prompt nor a resource");
    if params.is_some_and(|params| params.folded_twin("ref").is_some()) {
        return Err(twin());
    }
    let reference = params.and_then(|params| params.get("ref")).ok_or_else(wrong)?;
    no_twins(reference, &["type", "name", "uri"])?;
    let kind = reference.get("type").and_then(Node::as_str);
    let (entity, key, other) = match kind.as_deref() {
        Some("ref/prompt") => (EntityKind::Prompt, "name", "uri"),
        Some("ref/resource") => (EntityKind::Resource, "uri", "name"),
        Some(_) | None => return Err(wrong()),
    };
    // With both a server could take the other one.
    if reference.get(other).is_some() {
        return Err(wrong());
    }
    let name = plain(reference.get(key).ok_or_else(wrong)?, key)?;
    Ok(Message::Operation(Operation {
        entity,
        name,
        method,
        id,
        args: None,
    }))
}

fn operation(
    entity: EntityKind,
    method: &'static str,
    key: &str,
    params: Option<Node<'_>>,
    id: Option<Vec<u8>>,
) -> Result<Message, Refusal> {
    let Some(params) = params else {
        return Err(invalid_params("`params` is missing"));
    };
    no_twins(params, PARAMS)?;
    let name = params
        .get(key)
        .ok_or_else(|| invalid_params(&format!("`params.{key}` is missing")))?;
    let name = plain(name, key)?;
    let args = match (entity, params.get("arguments")) {
        (EntityKind::Resource, _) | (_, None) => None,
        (_, Some(args)) if args.kind() == Kind::Object => Some(args.id()),
        (_, Some(_)) => return Err(invalid_params("`params.arguments` is not an object")),
    };
    Ok(Message::Operation(Operation {
        entity,
        name,
        method,
        id,
        args,
    }))
}

/// Since 2026-07-28 the headers `Mcp-Method` and `Mcp-Name` must say what the body says, because what is in front of us
/// may have routed by them, and the body repeats the revision. Before that they may be absent, but not wrong.
fn check_mirrored(
    method: &str,
    message: &Message,
    params: Option<Node<'_>>,
    head: &Head,
) -> Result<(), Refusal> {
    let required = !head.revision.has_sessions();
    let name = match message {
        Message::Operation(operation) => Some(operation.name.as_str()),
        Message::Housekeeping { .. } | Message::Listen { .. } => None,
    };
    let repeats_name = matches!(method, "tools/call" | "prompts/get" | "resources/read");
    let wrong = |header| {
        Err(Refusal::rpc(
            400,
            -32020,
            "protocol.header_mismatch",
            &format!("the header `{header}` does not say what the body says"),
        ))
    };
    let meta = params.and_then(|params| params.get("_meta"));
    if let Some(said) = meta.and_then(|meta| meta.get(META_REVISION))
        && !said.is_str(head.revision.name())
    {
        return wrong("MCP-Protocol-Version");
    }
    match &head.mcp_method {
        Some(said) if said != method => return wrong("Mcp-Method"),
        None if required => return wrong("Mcp-Method"),
        Some(_) | None => {}
    }
    match (&head.mcp_name, name) {
        (Some(said), Some(name)) if decoded(said).as_deref() != Some(name) => wrong("Mcp-Name"),
        (None, Some(_)) if required && repeats_name => wrong("Mcp-Name"),
        (Some(_) | None, _) => Ok(()),
    }
}

/// A value that is not plain ASCII stands as `=?base64?...?=`.
fn decoded(value: &str) -> Option<String> {
    match value
        .strip_prefix("=?base64?")
        .and_then(|rest| rest.strip_suffix("?="))
    {
        Some(encoded) => String::from_utf8(STANDARD.decode(encoded).ok()?).ok(),
        None => Some(value.to_owned()),
    }
}

/// An id as sent: a string or an integer. MCP forbids null; a fraction would not survive every parser.
pub(crate) fn read_id(root: Node<'_>) -> Result<Option<Vec<u8>>, Refusal> {
    let Some(id) = root.get("id") else { return Ok(None) };
    let fine = match id.kind() {
        Kind::String => true,
        Kind::Number => !id.raw().iter().any(|byte| matches!(byte, b'.' | b'e' | b'E')),
        Kind::Null | Kind::Bool | Kind::Object | Kind::Array => false,
    };
    if fine && id.raw().len() <= MAX_NAME {
        Ok(Some(id.raw().to_vec()))
    } else {
        Err(invalid(
            "protocol.invalid_request",
            "`id` is neither a string nor an integer",
        ))
    }
}

/// A text without control characters. Compared unescaped and byte for byte.
fn plain(node: Node<'_>, key: &str) -> Result<String, Refusal> {
    plain_text(node).ok_or_else(|| {
        invalid(
            "protocol.invalid_request",
            &format!("`{key}` is not a plain text"),
        )
    })
}

/// What a method, a name or a URI may be.
pub(crate) fn plain_text(node: Node<'_>) -> Option<String> {
    let text = node.as_str()?;
    let plain = !text.is_empty() && text.len() <= MAX_NAME && !text.chars().any(char::is_control);
    plain.then(|| text.into_owned())
}

pub(crate) fn no_twins(node: Node<'_>, reserved: &[&str]) -> Result<(), Refusal> {
    if reserved.iter().any(|key| node.folded_twin(key).is_some()) {
        return Err(twin());
    }
    Ok(())
}

fn twin() -> Refusal {
    invalid(
        "protocol.case_variant",
        "a reserved key is written in another case",
    )
}

pub(crate) fn invalid(code: &str, reason: &str) -> Refusal {
    Refusal::rpc(400, -32600, code, reason)
}

pub(crate) fn invalid_params(reason: &str) -> Refusal {
    Refusal::rpc(400, -32602, "protocol.invalid_params", reason)
}
