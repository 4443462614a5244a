//! What an approval is good for: requester, route, operation, arguments as received, and the rules that govern them.

use apl_vm::{Numbers, canonical};
use companion_protocol::Binding;
use sha2::{Digest as _, Sha256};

use super::work::Work;
use crate::{Engine, json_text::hex};

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
        // Numbers keep every digit that they were sent with: as doubles two large integers could look alike, and an approval
        // of one would be good for the other. The document is not as deep as what has no canonical form.
        let _ = canonical(document.received(args), Numbers::AsSent, &mut text);
    }
    Sha256::digest(&text).into()
}
