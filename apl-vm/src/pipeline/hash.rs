//! The `hash` stage: a pseudonym that only this deployment can recompute.
//!
//! `hash:` and the first 32 hexadecimal digits (128 bits) of HMAC-SHA-256 under the deployment's key, over the value in one
//! spelling: JSON without white space, strings escaped only where RFC 8259 requires, numbers and the order of members as
//! received. There is no other domain separation: the same value gives the same pseudonym in every field and route, which
//! is what makes pseudonyms joinable, and the text `"5"` and the number `5` give different ones.

use hmac::{Hmac, Mac as _};
use sha2::Sha256;

use apl_json::{Kind, Node, quote};

/// The pseudonym; `None` without a usable key.
pub(super) fn pseudonym(key: Option<&[u8]>, node: Node<'_>) -> Option<String> {
    let key = key.filter(|key| !key.is_empty())?;
    let mut mac = Hmac::<Sha256>::new_from_slice(key).ok()?;
    mac.update(&one_spelling(node));
    let tag = mac.finalize().into_bytes();
    let mut text = String::from("hash:");
    for byte in tag.iter().take(16) {
        text.extend(
            [byte >> 4, byte & 15].map(|digit| char::from_digit(u32::from(digit), 16).unwrap_or('0')),
        );
    }
    Some(text)
}

enum Todo<'a> {
    Value(Node<'a>),
    Key(Node<'a>),
    Byte(u8),
}

fn one_spelling(root: Node<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    let mut todo = vec![Todo::Value(root)];
    while let Some(next) = todo.pop() {
        match next {
            Todo::Byte(byte) => out.push(byte),
            Todo::Key(key) => {
                quote(&key.as_str().unwrap_or_default(), &mut out);
                out.push(b':');
            }
            Todo::Value(node) => match node.kind() {
                Kind::Null | Kind::Bool | Kind::Number => out.extend_from_slice(node.raw()),
                Kind::String => quote(&node.as_str().unwrap_or_default(), &mut out),
                // Put there back to front, as they are taken from the end.
                Kind::Array => {
                    out.push(b'[');
                    todo.push(Todo::Byte(b']'));
                    let from = todo.len();
                    for (i, child) in node.elements().enumerate() {
                        if i > 0 {
                            todo.push(Todo::Byte(b','));
                        }
                        todo.push(Todo::Value(child));
                    }
                    todo.get_mut(from..).unwrap_or_default().reverse();
                }
                Kind::Object => {
                    out.push(b'{');
                    todo.push(Todo::Byte(b'}'));
                    let from = todo.len();
                    for (i, (key, child)) in node.entries().enumerate() {
                        if i > 0 {
                            todo.push(Todo::Byte(b','));
                        }
                        todo.extend([Todo::Key(key), Todo::Value(child)]);
                    }
                    todo.get_mut(from..).unwrap_or_default().reverse();
                }
            },
        }
    }
    out
}
