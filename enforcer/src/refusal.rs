//! Why an exchange is not let through, and the one local reply that says so (`design/wire.md`).

mod reply;
#[cfg(test)]
mod tests;

use apl_bytecode::{Program, Response};

pub(crate) use reply::{Challenge, Shape, unknown_tool};

use crate::{Counter, identity::token::text_of, json_text};

/// A refusal: of the message (malformed), of the caller (identity) or of the operation (policy).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refusal {
    /// HTTP status where the reply is not the protocol's own 200.
    pub(crate) status: u16,
    /// JSON-RPC error code.
    pub(crate) rpc: i32,
    /// The stable code.
    pub(crate) code: String,
    /// For the person who reads it; holds no payload value.
    pub(crate) reason: String,
    /// The position of the rule, when policy decided.
    pub(crate) rule: Option<String>,
    /// What it counts as.
    pub(crate) kind: RefusalKind,
    /// What few refusals have.
    details: Option<Box<Details>>,
}

/// Boxed, because refusals are errors of functions that hardly ever fail so.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Details {
    /// Methods that would be allowed, for a 405.
    allow: Option<&'static str>,
    /// For the error's `data`.
    entries: Vec<(&'static str, String)>,
    /// Members behind them, as JSON with a comma before each.
    more: Vec<u8>,
}

/// What a refusal counts as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RefusalKind {
    /// The message is not one that can be judged.
    Message,
    /// Nobody could be identified.
    Identity,
    /// Policy denied.
    Operation,
    /// A human has to say something first, or has (`x-policy-elicitation-peek`).
    Waiting,
}

impl Refusal {
    fn new(status: u16, rpc: i32, code: &str, reason: &str, kind: RefusalKind) -> Self {
        Self {
            status,
            rpc,
            code: code.to_owned(),
            reason: reason.to_owned(),
            rule: None,
            kind,
            details: None,
        }
    }

    /// A message that cannot be judged.
    pub(crate) fn http(status: u16, code: &str, reason: &str) -> Self {
        Self::new(status, -32600, code, reason, RefusalKind::Message)
    }

    /// The same with status 400.
    pub(crate) fn bad_request(code: &str, reason: &str) -> Self {
        Self::http(400, code, reason)
    }

    /// The same with a JSON-RPC code.
    pub(crate) fn rpc(status: u16, rpc: i32, code: &str, reason: &str) -> Self {
        Self::new(status, rpc, code, reason, RefusalKind::Message)
    }

    /// Not strict JSON, or over a limit.
    pub(crate) fn json(error: &apl_vm::JsonError) -> Self {
        if error.is_limit() {
            Self::bad_request("protocol.too_complex", &error.to_string())
        } else {
            Self::rpc(400, -32700, "protocol.invalid_json", &error.to_string())
        }
    }

    /// Over `limits.max_body_bytes`.
    pub(crate) fn too_large() -> Self {
        Self::http(413, "protocol.too_large", "the body is larger than allowed")
    }

    /// Over `limits.max_inflight_bytes`.
    pub(crate) fn memory() -> Self {
        Self::http(503, "limit.memory", "the proxy holds too much at the moment")
    }

    /// Nobody could be identified.
    pub(crate) fn identity(code: &str, reason: &str) -> Self {
        Self::new(401, -32001, code, reason, RefusalKind::Identity)
    }

    /// Policy, or what it needs, denies.
    pub(crate) fn operation(code: &str, reason: &str) -> Self {
        Self::new(200, -32001, code, reason, RefusalKind::Operation)
    }

    /// A method that nobody here can judge. JSON-RPC's own code, so that clients take it for a server without that method;
    /// without sessions the status says it too (2026-07-28, Streamable HTTP).
    pub(crate) fn unknown_method(has_sessions: bool) -> Self {
        let status = if has_sessions { 200 } else { 404 };
        let reason = "the method is not known here";
        Self::new(
            status,
            -32601,
            "protocol.unknown_method",
            reason,
            RefusalKind::Operation,
        )
    }

    /// A human is asked. `ids`: everything that the client is to come back with.
    pub(crate) fn pending(pending: &apl_vm::Pending, ids: &str) -> Self {
        let approval = &pending.approval;
        let reason = format!(
            "waits for `{}`; call again with the header x-policy-elicitation-id: {ids}",
            pending.handler
        );
        let mut refusal = Self::new(200, -32120, "elicitation.pending", &reason, RefusalKind::Waiting);
        let known = [
            ("elicitation_id", Some(ids.to_owned())),
            ("plugin", Some(pending.handler.clone())),
            ("approver", approval.approver.clone()),
            ("channel", approval.channel.clone()),
            ("expires_at", approval.expires_at.clone()),
            ("intent_id", approval.intent_id.clone()),
        ];
        let entries = known
            .into_iter()
            .filter_map(|(name, value)| Some((name, value?)))
            .collect();
        refusal.details = Some(Box::new(Details {
            entries,
            ..Details::default()
        }));
        refusal.at(&pending.rule)
    }

    /// A peek: it is approved, and nothing was done.
    pub(crate) fn peeked(ids: &str, handler: &str, approver: Option<&str>) -> Self {
        let reason = "approved; call again without the header x-policy-elicitation-peek";
        let mut refusal = Self::new(200, -32121, "elicitation.approved", reason, RefusalKind::Waiting);
        let mut entries = vec![("elicitation_id", ids.to_owned()), ("plugin", handler.to_owned())];
        entries.extend(approver.map(|approver| ("approver", approver.to_owned())));
        refusal.details = Some(Box::new(Details {
            entries,
            ..Details::default()
        }));
        refusal
    }

    /// A revision that is not known here. What is offered is what a request without a session may name; the others are agreed
    /// on by `initialize`.
    pub(crate) fn unknown_revision(requested: &str, reason: &str) -> Self {
        let mut refusal = Self::rpc(400, -32022, "protocol.unknown_revision", reason);
        refusal.details = Some(Box::new(Details {
            allow: None,
            entries: vec![("requested", requested.chars().take(64).collect())],
            more: b",\"supported\":[\"2026-07-28\"]".to_vec(),
        }));
        refusal
    }

    /// With the methods that would be allowed (RFC 9110 section 15.5.6).
    pub(crate) fn allowing(mut self, methods: &'static str) -> Self {
        self.details.get_or_insert_default().allow = Some(methods);
        self
    }

    /// With the rule that decided.
    pub(crate) fn at(mut self, rule: &str) -> Self {
        if !rule.is_empty() {
            self.rule = Some(rule.to_owned());
        }
        self
    }

    /// The counter that it raises.
    pub(crate) const fn counter(&self) -> Counter {
        match self.kind {
            RefusalKind::Message => Counter::Refused,
            RefusalKind::Identity => Counter::Unidentified,
            RefusalKind::Operation => Counter::Denied,
            RefusalKind::Waiting => Counter::Pending,
        }
    }

    /// With what the route's `response` says, in the error's `data`: JSON-RPC has no other place for it.
    pub(crate) fn telling(mut self, response: &Response, program: &Program) -> Self {
        let more = &mut self.details.get_or_insert_default().more;
        if response.status > 0 {
            more.extend_from_slice(b",\"http.status\":");
            more.extend_from_slice(response.status.to_string().as_bytes());
        }
        if let Some(body) = response.body {
            more.extend_from_slice(b",\"http.body\":");
            json_text::push_string(more, text_of(program, body));
        }
        for (at, (name, value)) in response.headers.iter().enumerate() {
            more.extend_from_slice(if at == 0 { b",\"http.headers\":{" } else { b"," });
            json_text::push_string(more, text_of(program, *name));
            more.push(b':');
            json_text::push_string(more, text_of(program, *value));
        }
        if !response.headers.is_empty() {
            more.push(b'}');
        }
        self
    }
}
