//! What an approval is good for: requester, route, operation, arguments as received, and the rules that govern them.

use apl_bytecode::sort_by;
use apl_vm::{Kind, Node};
use companion_protocol::Binding;
use sha2::{Digest as _, Sha256};

use super::work::Work;
use crate::{Engine, json_text, json_text::hex};

/// The binding of an operation, but for the step. `None`: no step asks a human, or nobody is identified.
pub(super) fn of(engine: &Engine, work: &Work, scope: Option<&str>) -> Option<Binding> {
    if !(work.law.pre_needs.elicits || work.law.post_needs.elicits) {
        return None;
    }
    let session = work.session.as_ref()?;
    let kind = work.entity.map_or("housekeeping", apl_bytecode::EntityKind::name);
    let mut route = format!("{kind}:{}", work.name);
    if let Some(scope) = scope {
        route.push('@');
        route.push_str(scope);
    }
    Some(Binding {
        requester: session.subject.clone(),
        route,
        operation: work.name.clone(),
        args_digest: hex(&args_digest(work)),
        policy_digest: hex(&engine.program.route_digest(work.law.route, work.entity)),
        step: String::new(),
    })
}

fn args_digest(work: &Work) -> [u8; 32] {
    let mut text = Vec::new();
    if let (Some(document), Some(args)) = (&work.document, work.args) {
        canonical(document.received(args), &mut text);
    }
    Sha256::digest(&text).into()
}

/// RFC 8785, but for numbers: those keep every digit that they were sent with. As doubles two large integers could look
/// alike, and an approval of one would be good for the other. The document nests to a bounded depth.
fn canonical(node: Node<'_>, out: &mut Vec<u8>) {
    match node.kind() {
        Kind::Null => out.extend_from_slice(b"null"),
        Kind::Bool | Kind::Number => out.extend_from_slice(node.raw()),
        Kind::String => json_text::push_string(out, &node.as_str().unwrap_or_default()),
        Kind::Array => {
            for (at, item) in node.elements().enumerate() {
                out.push(if at == 0 { b'[' } else { b',' });
                canonical(item, out);
            }
            out.extend_from_slice(if node.is_empty() { b"[]" } else { b"]" });
        }
        Kind::Object => {
            let mut members: Vec<_> = node.members().collect();
            sort_by(&mut members, |(a, _), (b, _)| {
                a.encode_utf16().cmp(b.encode_utf16())
            });
            for (at, (name, value)) in members.into_iter().enumerate() {
                out.push(if at == 0 { b'{' } else { b',' });
                json_text::push_string(out, &name);
                out.push(b':');
                canonical(value, out);
            }
            out.extend_from_slice(if node.is_empty() { b"{}" } else { b"}" });
        }
    }
}
