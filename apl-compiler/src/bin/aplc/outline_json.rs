//! An outline as JSON.

use apl_compiler::outline::{DenialView, Operation, Outline, Step, StepKind};
use serde_json::{Value, json};

/// The whole.
pub(crate) fn of(outline: &Outline) -> Value {
    json!({
        "unmatched": if outline.unmatched_allowed { "allow" } else { "deny" },
        "forward_inbound_credentials": if outline.never_forward_credentials { "never" } else { "unless_delegated" },
        "audit": if outline.waits_for_records { "durable" } else { "batched" },
        "capture": if outline.captures { "facts" } else { "none" },
        "identities": outline.identities.iter().map(|identity| json!({
            "name": identity.name,
            "what": identity.what,
            "issuers": identity.issuers.iter().map(|issuer| json!({
                "issuer": issuer.issuer,
                "audiences": issuer.audiences,
                "algorithms": issuer.algorithms,
                "leeway_seconds": issuer.leeway_s,
                "keys": if issuer.jwks.is_some() { "in the policy" } else { "fetched by the companion" },
            })).collect::<Vec<_>>(),
        })).collect::<Vec<_>>(),
        "pins": outline.pins.iter().map(|pins| json!({
            "scope": pins.scope,
            "unpinned": if pins.hides_unpinned { "hide" } else { "allow" },
            "tools": pins.tools.iter().cloned().collect::<std::collections::BTreeMap<_, _>>(),
        })).collect::<Vec<_>>(),
        "public_paths": outline.public_paths,
        "operations": outline.operations.iter().map(operation).collect::<Vec<_>>(),
    })
}

fn operation(operation: &Operation) -> Value {
    json!({
        "name": operation.name,
        "route": operation.route,
        "identities": operation.identities,
        "pre_invocation": steps(&operation.pre),
        "post_invocation": steps(&operation.post),
        "response": operation.response,
        "assertions": operation.assertions,
        "challenge": operation.challenge.as_ref().map(|challenge| json!({
            "scopes": challenge.scopes,
            "lists": if challenge.annotates { "annotate" } else { "hide" },
        })),
        "unparseable_result": if operation.pass_unparseable { "pass" } else { "deny" },
        "enforcement": if operation.shadow.is_some() { "shadow" } else { "enforce" },
        "until": operation.shadow.filter(|until| *until != 0),
        "owner": operation.owner,
        "at": operation.at,
    })
}

fn steps(steps: &[Step]) -> Vec<Value> {
    steps.iter().map(step).collect()
}

fn step(step: &Step) -> Value {
    let mut value = match &step.kind {
        StepKind::Gate { when, denial } => {
            json!({ "step": "gate", "deny_if": when, "denial": of_denial(denial) })
        }
        StepKind::When { condition, then, .. } => {
            json!({ "step": "when", "condition": condition, "do": steps(then) })
        }
        StepKind::Decision { expression, on_deny } => {
            json!({ "step": "decision", "expression": expression, "on_deny": steps(on_deny) })
        }
        StepKind::Deny(denial) => json!({ "step": "deny", "denial": of_denial(denial) }),
        StepKind::Field { path, stages, .. } => json!({ "step": "field", "path": path, "stages": stages }),
        StepKind::Scan { scanner, denial } => {
            json!({ "step": "scan", "scanner": scanner, "denial": of_denial(denial) })
        }
        StepKind::Taint { label, scopes, ttl_s } => {
            json!({ "step": "taint", "label": label, "scopes": scopes, "ttl_seconds": ttl_s })
        }
        StepKind::LoadLabels => json!({ "step": "load_labels" }),
        StepKind::Delegate(delegate) => json!({
            "step": "delegate",
            "delegator": delegate.delegator,
            "target": delegate.target,
            "audience": delegate.audience,
            "permissions": delegate.permissions,
            "subject": delegate.subject,
            "actor": delegate.actor,
            "narrowed": delegate.narrowed,
            "on_error": if delegate.goes_on { "continue" } else { "deny" },
        }),
        StepKind::Ask(words) => json!({ "step": "ask", "what": words }),
        StepKind::Audit { plugin, durable } => {
            json!({ "step": "audit", "plugin": plugin, "durable": durable })
        }
    };
    if let (Some(map), Some(at)) = (value.as_object_mut(), &step.at) {
        map.insert("at".to_owned(), at.as_str().into());
    }
    value
}

fn of_denial(denial: &DenialView) -> Value {
    json!({ "code": denial.code, "position": denial.position, "reason": denial.reason })
}
