//! What a step expects against what came: each disagreement is one sentence.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use companion_protocol::{AuditRecord, VerdictKind};
use serde_json::{Value, json};

use super::{Allowed, Denied, Expect, Step};
use crate::backend::record::Request;
use crate::mcp::Reply;
use crate::stack::Tokens;

/// The JSON-RPC code of a denial.
const DENIED: i64 = -32001;
/// The same while an approval waits.
const PENDING: i64 = -32120;
/// The same when a peek finds it approved.
const APPROVED: i64 = -32121;

/// All that one step brought about.
pub(super) struct Observed<'a> {
    pub(super) id: &'a Value,
    pub(super) tokens: &'a Tokens,
    pub(super) reply: &'a Reply,
    /// What the backend answers to the same message without Envoy; absent where a denial is expected.
    pub(super) direct: Option<&'a Reply>,
    /// The calls that reached the step's backend.
    pub(super) calls: &'a [Request],
    /// The verdict records of the step's tool that are new.
    pub(super) verdicts: &'a [AuditRecord],
}

/// Everything in which the step and the observation disagree.
pub(super) fn disagreements(step: &Step, seen: &Observed<'_>) -> Vec<String> {
    let mut found = Vec::new();
    let id = seen.reply.message.as_ref().and_then(|message| message.get("id"));
    check(&mut found, id == Some(seen.id), || {
        format!("the reply's id is {id:?}, {} was sent", seen.id)
    });
    let status = seen.reply.status.as_u16();
    check(&mut found, status == 200, || {
        format!("HTTP {status} instead of 200")
    });
    match &step.expect {
        Expect::Allowed(allowed) => {
            allowed_reply(&mut found, allowed, seen);
            allowed_call(&mut found, step, allowed, seen);
            verdict(&mut found, VerdictKind::Allow, None, seen);
        }
        Expect::Denied(denied) => {
            denied_reply(&mut found, denied, DENIED, seen);
            not_called(&mut found, seen);
            verdict(&mut found, VerdictKind::Deny, Some(denied.code), seen);
        }
        Expect::Pending(approver, channel) => {
            let code = "elicitation.pending";
            denied_reply(&mut found, &Denied { code, message: None }, PENDING, seen);
            data(&mut found, "approver", approver, seen);
            data(&mut found, "channel", channel, seen);
            not_called(&mut found, seen);
            verdict(&mut found, VerdictKind::Pending, Some(code), seen);
        }
        Expect::Approved(approver) => {
            let code = "elicitation.approved";
            denied_reply(&mut found, &Denied { code, message: None }, APPROVED, seen);
            data(&mut found, "approver", approver, seen);
            not_called(&mut found, seen);
            verdict(&mut found, VerdictKind::Pending, Some(code), seen);
        }
    }
    found
}

fn not_called(found: &mut Vec<String>, seen: &Observed<'_>) {
    let calls = seen.calls.len();
    check(found, calls == 0, || {
        format!("the backend received {calls} call(s)")
    });
}

/// A member of the error's data.
fn data(found: &mut Vec<String>, name: &str, expected: &str, seen: &Observed<'_>) {
    let message = seen.reply.message.as_ref();
    let got = message.and_then(|message| message.pointer(&format!("/error/data/{name}")));
    check(found, got == Some(&json!(expected)), || {
        format!("data.{name} is {got:?} instead of `{expected}`")
    });
}

fn allowed_reply(found: &mut Vec<String>, allowed: &Allowed, seen: &Observed<'_>) {
    if let Some(violation) = seen.reply.header("x-policy-violation") {
        found.push(format!("the reply carries the violation {violation}"));
    }
    let tool = seen.reply.tool_json().unwrap_or_default();
    for (pointer, value) in &allowed.fields {
        let got = tool.pointer(pointer);
        check(found, got == Some(value), || {
            format!("{pointer} is {got:?} instead of {value}")
        });
    }
    if allowed.acts {
        return;
    }
    let own = seen
        .direct
        .and_then(|reply| reply.payload.as_deref())
        .unwrap_or_default();
    let expected = match allowed.edited {
        Some((from, to)) => own.replace(from, to),
        None => own.to_owned(),
    };
    let got = seen.reply.payload.as_deref().unwrap_or_default();
    check(found, got == expected, || {
        format!("the reply is not the backend's own\n  expected {expected}\n  got      {got}")
    });
    if let Some((from, _)) = allowed.edited {
        let leaked = seen.reply.body.contains(from);
        check(found, !leaked, || {
            "the redacted value stands somewhere in the reply".to_owned()
        });
    }
}

fn allowed_call(found: &mut Vec<String>, step: &Step, allowed: &Allowed, seen: &Observed<'_>) {
    let [call] = seen.calls else {
        found.push(format!(
            "the backend received {} calls instead of one",
            seen.calls.len()
        ));
        return;
    };
    let expected = allowed.arguments.as_ref().unwrap_or(&step.arguments);
    let got = call.arguments.as_ref();
    check(found, got == Some(expected), || {
        format!("the backend's arguments are {got:?} instead of {expected}")
    });
    let Some((audience, scope)) = allowed.token else {
        return;
    };
    for (name, token) in [("user's", &seen.tokens.user), ("agent's", &seen.tokens.client)] {
        let leaked = call.headers.values().any(|value| value.contains(token.as_str()));
        check(found, !leaked, || {
            format!("the backend received the {name} own token")
        });
    }
    check(found, call.x_user_token.is_none(), || {
        "the backend received X-User-Token".to_owned()
    });
    let Some(claims) = bearer_claims(call) else {
        found.push(format!(
            "the backend received no bearer token: {:?}",
            call.authorization
        ));
        return;
    };
    let got = claims.get("aud");
    let matches = got == Some(&json!(audience)) || got == Some(&json!([audience]));
    check(found, matches, || {
        format!("the token's audience is {got:?} instead of {audience}")
    });
    let got = claims.get("scope");
    check(found, got == Some(&json!(scope)), || {
        format!("the token's scope is {got:?} instead of `{scope}`")
    });
    let user = claims_of(&seen.tokens.user).and_then(|claims| claims.get("sub").cloned());
    let got = claims.get("sub");
    check(found, got == user.as_ref(), || {
        format!("the token's subject is {got:?} instead of {user:?}")
    });
}

fn denied_reply(found: &mut Vec<String>, denied: &Denied, number: i64, seen: &Observed<'_>) {
    let header = seen.reply.header("x-policy-violation");
    check(found, header == Some(denied.code), || {
        format!("X-Policy-Violation is {header:?} instead of `{}`", denied.code)
    });
    let error = seen
        .reply
        .message
        .as_ref()
        .and_then(|message| message.get("error"))
        .cloned()
        .unwrap_or_default();
    let code = error.get("code");
    check(found, code == Some(&json!(number)), || {
        format!("the error code is {code:?} instead of {number}")
    });
    let violation = error.pointer("/data/violation");
    check(found, violation == Some(&json!(denied.code)), || {
        format!("data.violation is {violation:?} instead of `{}`", denied.code)
    });
    if let Some(expected) = denied.message {
        let message = error.get("message");
        check(found, message == Some(&json!(expected)), || {
            format!("the message is {message:?} instead of `{expected}`")
        });
    }
    let decision = error.pointer("/data/decision_id").and_then(Value::as_str);
    let recorded = seen.verdicts.first().map(|record| record.decision_id.as_str());
    check(found, decision.is_some() && decision == recorded, || {
        format!("the reply's decision id is {decision:?}, the audit record's {recorded:?}")
    });
}

fn verdict(found: &mut Vec<String>, kind: VerdictKind, code: Option<&str>, seen: &Observed<'_>) {
    let [record] = seen.verdicts else {
        found.push(format!(
            "{} audit records of a verdict instead of one",
            seen.verdicts.len()
        ));
        return;
    };
    check(found, record.verdict == Some(kind), || {
        format!("audit says {:?} instead of {kind:?}", record.verdict)
    });
    check(found, record.code.as_deref() == code, || {
        format!("audit's code is {:?} instead of {code:?}", record.code)
    });
    check(found, record.subject.is_some(), || {
        "audit names no subject".to_owned()
    });
}

fn check(found: &mut Vec<String>, holds: bool, otherwise: impl FnOnce() -> String) {
    if !holds {
        found.push(otherwise());
    }
}

/// The claims of the token that the backend received. Only read: that it is genuine is the identity provider's test.
pub(super) fn bearer_claims(call: &Request) -> Option<Value> {
    claims_of(call.authorization.as_deref()?.strip_prefix("Bearer ")?)
}

fn claims_of(token: &str) -> Option<Value> {
    let bytes = URL_SAFE_NO_PAD.decode(token.split('.').nth(1)?).ok()?;
    serde_json::from_slice(&bytes).ok()
}
