//! What an event of a model's streamed answer says, and where in the answer it belongs.

use apl_vm::{Kind, Node};

use super::{
    place::{MAX_ELEMENTS, Seg},
    stream::{TOKENS, Unreadable, WHOLE},
};
use crate::codec::Codec;

/// How an event says a thing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum How {
    /// The next piece of a text.
    Piece,
    /// The next piece of a text that is JSON.
    JsonPiece,
    /// A value that comes whole and is no text.
    Value,
    /// All of what stands there, as in an answer that is not streamed.
    Whole,
    /// Nothing more comes for the texts below.
    End,
    /// Repeats a text token by token.
    Tokens,
}

/// Takes what an event says.
pub(crate) type Sink<'a, 'n> = &'a mut dyn FnMut(&[Seg], Node<'n>, How) -> Result<(), Unreadable>;

type Read = Result<(), Unreadable>;

/// Reads one event.
///
/// # Errors
///
/// It is of an unknown kind.
pub(crate) fn visit<'n>(codec: Codec, root: Node<'n>, sink: Sink<'_, 'n>) -> Read {
    if root.kind() != Kind::Object {
        return Err(Unreadable);
    }
    let kind = root.get("type").and_then(Node::as_str);
    match (codec, kind) {
        (Codec::Anthropic, kind) => message(root, &kind.unwrap_or_default(), sink),
        (_, Some(kind)) if root.get("choices").is_none() => response(root, &kind, sink),
        (_, _) => chat(root, sink),
    }
}

fn key(name: &str) -> Seg {
    Seg::Key(name.to_owned())
}

fn number(node: Node<'_>, name: &str) -> Result<Seg, Unreadable> {
    let at = node.get(name).and_then(Node::number);
    let at = at.and_then(|number| usize::try_from(number.as_u64()?).ok());
    at.filter(|at| *at < MAX_ELEMENTS)
        .map(|at| Seg::At(Some(at)))
        .ok_or(Unreadable)
}

/// A chunk of a chat: what `delta` holds belongs to `message`.
fn chat<'n>(root: Node<'n>, sink: Sink<'_, 'n>) -> Read {
    if root.get("choices").or_else(|| root.get("error")).is_none() {
        return Err(Unreadable);
    }
    for (name, value) in root.members() {
        if name != "choices" {
            parts(&mut vec![key(&name)], value, &name, sink)?;
            continue;
        }
        if value.kind() != Kind::Array {
            return Err(Unreadable);
        }
        for choice in value.elements() {
            let mut place = vec![key("choices"), number(choice, "index")?];
            for (name, value) in choice.members() {
                if name == TOKENS {
                    sink(&place, value, How::Tokens)?;
                    continue;
                }
                place.push(key(if name == "delta" { "message" } else { &name }));
                parts(&mut place, value, &name, sink)?;
                place.pop();
            }
            if choice
                .get("finish_reason")
                .is_some_and(|reason| reason.kind() == Kind::String)
            {
                sink(&place, choice, How::End)?;
            }
        }
    }
    Ok(())
}

/// An event of a message.
fn message<'n>(root: Node<'n>, kind: &str, sink: Sink<'_, 'n>) -> Read {
    let part = |name: &str| root.get(name).ok_or(Unreadable);
    let block = || Ok(vec![key("content"), number(root, "index")?]);
    match kind {
        "message_start" => parts(&mut Vec::new(), part("message")?, "", sink),
        "content_block_start" => {
            let mut place = block()?;
            for (name, value) in part("content_block")?.members() {
                place.push(key(&name));
                // Its JSON comes in pieces; what stands here is a place for it.
                if name != "input" || !value.is_empty() {
                    parts(&mut place, value, &name, sink)?;
                }
                place.pop();
            }
            Ok(())
        }
        "content_block_delta" => {
            let mut place = block()?;
            for (name, value) in part("delta")?.members() {
                match &*name {
                    "type" => {}
                    "partial_json" => {
                        place.push(key("input"));
                        sink(&place, value, How::JsonPiece)?;
                        place.pop();
                    }
                    "citation" => {
                        place.extend([key("citations"), Seg::At(None)]);
                        sink(&place, value, How::Whole)?;
                        place.truncate(2);
                    }
                    name => {
                        place.push(key(name));
                        parts(&mut place, value, name, sink)?;
                        place.pop();
                    }
                }
            }
            Ok(())
        }
        "content_block_stop" => sink(&block()?, root, How::End),
        "message_delta" => {
            if let Some(delta) = root.get("delta") {
                parts(&mut Vec::new(), delta, "delta", sink)?;
            }
            match root.get("usage") {
                Some(usage) => parts(&mut vec![key("usage")], usage, "usage", sink),
                None => Ok(()),
            }
        }
        "error" => parts(&mut vec![key("error")], part("error")?, "", sink),
        "message_stop" | "ping" => Ok(()),
        _ => Err(Unreadable),
    }
}

/// Where an event of the Responses API stands, and what it is called there.
const INDICES: &[(&str, &str)] = &[
    ("output_index", "output"),
    ("content_index", "content"),
    ("summary_index", "summary"),
    ("annotation_index", "annotations"),
];

/// Members of such an event that hold nothing of the answer.
const ABOUT: &[&str] = &[
    "type",
    "sequence_number",
    "item_id",
    "obfuscation",
    "output_index",
    "content_index",
    "summary_index",
    "annotation_index",
];

/// An event of the Responses API. Pieces of a text are followed by the text itself, its part, its item and the whole
/// response, each of which is judged like the pieces.
fn response<'n>(root: Node<'n>, kind: &str, sink: Sink<'_, 'n>) -> Read {
    if kind == "error" {
        return sink(&[key("error")], root, How::Whole);
    }
    let Some(what) = kind.strip_prefix("response.") else {
        return Err(Unreadable);
    };
    // Before the last point it says which part of the answer, behind it what happens to that.
    let (part, step) = what.rsplit_once('.').unwrap_or(("", what));
    let payload = match (part, step) {
        ("", "created" | "queued" | "in_progress" | "completed" | "failed" | "incomplete") => {
            Some(("response", None, How::Whole))
        }
        ("output_item", "added" | "done") => Some(("item", None, How::Whole)),
        ("content_part" | "reasoning_summary_part", "added" | "done") => Some(("part", None, How::Whole)),
        ("output_text.annotation", "added") => Some(("annotation", None, How::Whole)),
        ("output_text" | "reasoning_summary_text" | "reasoning_text", "delta") => {
            Some(("delta", Some("text"), How::Piece))
        }
        ("output_text" | "reasoning_summary_text" | "reasoning_text", "done") => {
            Some(("text", Some("text"), How::Whole))
        }
        ("refusal", "delta") => Some(("delta", Some("refusal"), How::Piece)),
        ("refusal", "done") => Some(("refusal", Some("refusal"), How::Whole)),
        ("function_call_arguments" | "mcp_call_arguments", "delta") => {
            Some(("delta", Some("arguments"), How::Piece))
        }
        ("function_call_arguments" | "mcp_call_arguments", "done") => {
            Some(("arguments", Some("arguments"), How::Whole))
        }
        ("custom_tool_call_input", "delta") => Some(("delta", Some("input"), How::Piece)),
        ("custom_tool_call_input", "done") => Some(("input", Some("input"), How::Whole)),
        ("code_interpreter_call_code", "delta") => Some(("delta", Some("code"), How::Piece)),
        ("code_interpreter_call_code", "done") => Some(("code", Some("code"), How::Whole)),
        // They say that something is under way.
        (_, "in_progress" | "searching" | "interpreting" | "generating" | "completed" | "failed") => None,
        (_, _) => return Err(Unreadable),
    };
    let mut place = Vec::new();
    for (index, list) in INDICES {
        if root.get(index).is_some() {
            place.extend([key(list), number(root, index)?]);
        }
    }
    if place.is_empty() && !part.is_empty() {
        return Err(Unreadable);
    }
    let name = payload.and_then(|(name, ..)| (!name.is_empty()).then_some(name));
    for (member, value) in root.members() {
        if Some(&*member) == name {
            continue;
        }
        match &*member {
            TOKENS => sink(&place, value, How::Tokens)?,
            // The name of the function that is called; it stands in the item as well.
            "name" => {
                let place: Vec<Seg> = place.iter().cloned().chain([key("name")]).collect();
                sink(&place, value, How::Value)?;
            }
            other if ABOUT.contains(&other) => {}
            _ => return Err(Unreadable),
        }
    }
    let Some((name, text, how)) = payload else {
        return Ok(());
    };
    place.extend(text.map(key));
    let value = root.get(name).ok_or(Unreadable)?;
    match how {
        How::Piece if value.kind() != Kind::String => Err(Unreadable),
        How::Whole if step != "added" && !matches!(step, "created" | "queued" | "in_progress") => {
            sink(&place, root, How::End)?;
            sink(&place, value, How::Whole)
        }
        how => sink(&place, value, how),
    }
}

/// Everything in a value that is a part of the answer. Documents are depth-limited, so the recursion is.
fn parts<'n>(place: &mut Vec<Seg>, value: Node<'n>, name: &str, sink: Sink<'_, 'n>) -> Read {
    match value.kind() {
        Kind::Object => {
            for (name, value) in value.members() {
                place.push(key(&name));
                parts(place, value, &name, sink)?;
                place.pop();
            }
            Ok(())
        }
        Kind::Array => {
            for element in value.elements() {
                match number(element, "index") {
                    Ok(at) => {
                        place.push(at);
                        parts(place, element, "", sink)?;
                    }
                    Err(Unreadable) => {
                        place.push(Seg::At(None));
                        sink(place, element, How::Whole)?;
                    }
                }
                place.pop();
            }
            Ok(())
        }
        Kind::Null => Ok(()),
        Kind::String if !WHOLE.contains(&name) => sink(place, value, How::Piece),
        Kind::String | Kind::Bool | Kind::Number => sink(place, value, How::Value),
    }
}
