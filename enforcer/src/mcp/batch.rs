//! What a body holds: one message, or several in a JSON-RPC batch (2025-03-26).

use apl_vm::{Document, Kind, Node};

use super::request::{LISTEN, Message, Refused, invalid, read_id, single};
use crate::{codec::Codec, http::head::Head};

/// Most messages in a batch. Each may cost a call to the companion, one after the other.
pub(crate) const MAX_BATCH: usize = 32;

/// The messages of a body, at least one.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Messages {
    /// They stood in an array, and so will their answers.
    pub(crate) array: bool,
    /// In order.
    pub(crate) all: Vec<Message>,
}

/// Reads a body.
///
/// # Errors
///
/// The refusal, with the ids that must be answered.
pub(crate) fn classify(document: &Document, head: &Head) -> Result<Messages, Box<Refused>> {
    let root = document.node(document.root());
    if root.kind() != Kind::Array {
        return single(root, head).map(|message| Messages {
            array: false,
            all: vec![message],
        });
    }
    let ids = ids(root);
    batch(root, head).map_err(|(refusal, at)| {
        Box::new(Refused {
            refusal,
            ids: match at {
                // The array itself is at fault; what is in it is not looked at.
                None if root.len() > MAX_BATCH => Vec::new(),
                _ => ids,
            },
            array: true,
            at,
        })
    })
}

/// The ids of all elements that have one.
fn ids(root: Node<'_>) -> Vec<Option<Vec<u8>>> {
    root.elements()
        .take(MAX_BATCH)
        .map(|element| match element.kind() {
            // A response's id is the server's: it is not answered.
            Kind::Object if element.get("method").is_some() => read_id(element).ok().flatten(),
            Kind::Object | Kind::Array | Kind::Null | Kind::Bool | Kind::Number | Kind::String => None,
        })
        .collect()
}

/// The refusal, and the place of the element at fault.
type Fault = (crate::refusal::Refusal, Option<usize>);

fn batch(root: Node<'_>, head: &Head) -> Result<Messages, Fault> {
    let refused = |code: &str, reason: &str| Err((invalid(code, reason), None));
    if !head.revision.has_batches() || head.codec != Codec::Mcp {
        return refused(
            "protocol.batch",
            "there are no batches here: send the messages one by one",
        );
    }
    if head.mcp_method.is_some() || head.mcp_name.is_some() {
        return refused(
            "protocol.batch",
            "a batch has no one method or name that a header could repeat",
        );
    }
    if root.is_empty() {
        return refused("protocol.batch", "the batch is empty");
    }
    if root.len() > MAX_BATCH {
        return refused("protocol.batch", "the batch holds more messages than allowed");
    }
    let mut all: Vec<Message> = Vec::with_capacity(root.len());
    for (at, element) in root.elements().enumerate() {
        let message = single(element, head).map_err(|refused| (refused.refusal, Some(at)))?;
        let wrong = |reason: &str| Err((invalid("protocol.batch", reason), Some(at)));
        if matches!(message.method(), "initialize" | LISTEN) {
            return wrong("`initialize` and `subscriptions/listen` must stand alone");
        }
        if all
            .first()
            .is_some_and(|first| first.is_response() != message.is_response())
        {
            return wrong("requests and responses do not stand in one batch");
        }
        if message.id().is_some_and(|id| {
            all.iter()
                .any(|other| other.id().is_some_and(|other| same(other, id)))
        }) {
            return wrong("two messages of the batch have one id");
        }
        all.push(message);
    }
    Ok(Messages { array: true, all })
}

/// Same type and value; how a string is escaped does not matter.
fn same(a: &[u8], b: &[u8]) -> bool {
    let text = |id: &[u8]| serde_json::from_slice::<String>(id).ok();
    a == b || text(a).is_some_and(|a| text(b).is_some_and(|b| a == b))
}
