//! Why an exchange is not let through, and the one local reply that says so (`design/wire.md`).

use apl_bytecode::{Program, Response};

use crate::{Counter, Reply, identity::token::text_of, json_text};

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

/// How the client is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape<'a> {
    /// A JSON-RPC error with this id, as sent.
    Rpc(&'a [u8]),
    /// A failed tool call, of the request with this id. `complete`: the revision has every result say that it is one.
    Tool { id: &'a [u8], complete: bool },
    /// A JSON-RPC error with id null: the id is not known.
    RpcUnknown,
    /// A notification: nothing in the body.
    Notification,
    /// Several messages: these errors, ready to be sent.
    Batch(&'a [u8]),
    /// A JSON-RPC error of A2A, which has other codes.
    Agent(&'a [u8]),
    /// RFC 9457.
    Problem,
    /// An error as OpenAI's clients read it.
    OpenAi,
    /// The same of Anthropic's.
    Anthropic,
}

impl Shape<'_> {
    /// Its media type.
    pub(crate) const fn media(self) -> &'static str {
        match self {
            Self::Problem => "application/problem+json",
            Self::Rpc(_)
            | Self::Tool { .. }
            | Self::RpcUnknown
            | Self::Notification
            | Self::Batch(_)
            | Self::Agent(_)
            | Self::OpenAi
            | Self::Anthropic => "application/json",
        }
    }

    const fn is_plain(self) -> bool {
        matches!(self, Self::Problem | Self::OpenAi | Self::Anthropic)
    }
}

/// What a caller is told to come back with (RFC 6750 section 3, RFC 9728 section 5.1).
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Challenge<'a> {
    /// URL of the metadata document.
    pub(crate) resource_metadata: Option<&'a str>,
    /// OAuth scopes, joined by spaces.
    pub(crate) scopes: Option<&'a str>,
}

impl Challenge<'_> {
    fn spelled(self, error: Option<&str>) -> String {
        let parameters = [
            ("error", error),
            ("scope", self.scopes),
            ("resource_metadata", self.resource_metadata),
        ];
        let mut text = "Bearer".to_owned();
        let mut mark = " ";
        for (name, value) in parameters {
            let Some(value) = value else { continue };
            for part in [mark, name, "=\"", value, "\""] {
                text.push_str(part);
            }
            mark = ", ";
        }
        text
    }
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

    /// The reply before the call.
    pub(crate) fn reply(
        &self,
        shape: Shape<'_>,
        decision_id: &str,
        only_events: bool,
        challenge: Challenge<'_>,
    ) -> Reply {
        let mut headers = self.policy_headers(decision_id);
        headers.extend(
            self.details
                .as_ref()
                .and_then(|details| details.allow)
                .map(|methods| ("allow".to_owned(), methods.to_owned())),
        );
        if self.kind == RefusalKind::Identity {
            headers.push(("www-authenticate".to_owned(), challenge.spelled(None)));
        } else if challenge.scopes.is_some() {
            let lack = Some("insufficient_scope");
            headers.push(("www-authenticate".to_owned(), challenge.spelled(lack)));
        }
        let (status, body) = match (self.kind, shape) {
            (_, shape) if shape.is_plain() => {
                headers.push(("content-type".to_owned(), shape.media().to_owned()));
                (self.plain_status(), self.envelope(shape, decision_id, false))
            }
            (RefusalKind::Identity, _) => {
                headers.push(("content-type".to_owned(), "text/plain; charset=utf-8".to_owned()));
                (401, format!("{}: {}", self.code, self.reason).into_bytes())
            }
            // An operation without an id is a notification, whatever its method.
            (RefusalKind::Operation | RefusalKind::Waiting, Shape::Notification | Shape::RpcUnknown) => {
                (403, Vec::new())
            }
            (RefusalKind::Message, Shape::Notification) => (self.status, Vec::new()),
            (
                RefusalKind::Message | RefusalKind::Operation | RefusalKind::Waiting,
                Shape::Rpc(_)
                | Shape::Tool { .. }
                | Shape::RpcUnknown
                | Shape::Batch(_)
                | Shape::Agent(_)
                | Shape::Problem
                | Shape::OpenAi
                | Shape::Anthropic,
            ) => {
                let status = if challenge.scopes.is_some() {
                    403
                } else {
                    self.status
                };
                let envelope = self.envelope(shape, decision_id, false);
                let (media, body) = framed(envelope, only_events && status == 200);
                headers.push(("content-type".to_owned(), media.to_owned()));
                (status, body)
            }
        };
        Reply {
            status,
            headers,
            body,
            details: format!("aplomb.{}", detail(&self.code)),
        }
    }

    /// The headers that every answer of ours has.
    pub(crate) fn policy_headers(&self, decision_id: &str) -> Vec<(String, String)> {
        vec![
            ("x-policy-violation".to_owned(), header_text(&self.code)),
            ("x-policy-decision-id".to_owned(), decision_id.to_owned()),
        ]
    }

    /// The status where no protocol has one of its own for denials.
    pub(crate) const fn plain_status(&self) -> u16 {
        if self.status == 200 { 403 } else { self.status }
    }

    /// The JSON-RPC error, or the result of a tool that failed. `executed`: the backend has acted.
    pub(crate) fn envelope(&self, shape: Shape<'_>, decision_id: &str, executed: bool) -> Vec<u8> {
        let mut out = Vec::with_capacity(256);
        let mut rpc = self.rpc;
        let mut end: &[u8] = b"}}}";
        let mut id: &[u8] = b"null";
        match shape {
            Shape::Batch(errors) => return errors.to_vec(),
            Shape::Rpc(sent) | Shape::Tool { id: sent, .. } => id = sent,
            Shape::Agent(sent) => {
                id = sent;
                // -32001 says there that a task was not found.
                if rpc == -32001 {
                    rpc = -32000;
                }
            }
            Shape::RpcUnknown | Shape::Notification => {}
            Shape::Problem => {
                out.extend_from_slice(b"{\"title\":");
                json_text::push_string(&mut out, self.title());
                out.extend_from_slice(b",\"detail\":");
                end = b"}";
            }
            Shape::OpenAi | Shape::Anthropic => {
                if shape == Shape::Anthropic {
                    out.extend_from_slice(b"{\"type\":\"error\",\"error\":{\"type\":");
                } else {
                    out.extend_from_slice(b"{\"error\":{\"param\":null,\"code\":");
                    json_text::push_string(&mut out, &self.code);
                    out.extend_from_slice(b",\"type\":");
                }
                json_text::push_string(&mut out, self.error_type());
                out.extend_from_slice(b",\"message\":");
                end = b"}}";
            }
        }
        if shape.is_plain() {
            json_text::push_string(&mut out, &self.reason);
            out.extend_from_slice(b",\"violation\":");
            return self.push_data(out, decision_id, executed, end);
        }
        push_id(&mut out, id);
        let tool = match shape {
            // A malformed message is no failure of a tool.
            Shape::Tool { complete, .. } if self.kind == RefusalKind::Operation => Some(complete),
            Shape::Tool { .. }
            | Shape::Rpc(_)
            | Shape::RpcUnknown
            | Shape::Notification
            | Shape::Batch(_)
            | Shape::Agent(_)
            | Shape::Problem
            | Shape::OpenAi
            | Shape::Anthropic => None,
        };
        match tool {
            Some(complete) => {
                out.extend_from_slice(b",\"result\":{");
                if complete {
                    out.extend_from_slice(b"\"resultType\":\"complete\",");
                }
                out.extend_from_slice(b"\"content\":[{\"type\":\"text\",\"text\":");
                json_text::push_string(&mut out, &self.reason);
                out.extend_from_slice(b"}],\"isError\":true,\"structuredContent\":{\"violation\":");
            }
            None => {
                push_error(&mut out, rpc, &self.reason);
                out.extend_from_slice(b",\"data\":{\"violation\":");
            }
        }
        self.push_data(out, decision_id, executed, end)
    }

    /// The code and what comes behind it.
    fn push_data(&self, mut out: Vec<u8>, decision_id: &str, executed: bool, end: &[u8]) -> Vec<u8> {
        json_text::push_string(&mut out, &self.code);
        out.extend_from_slice(b",\"decision_id\":");
        json_text::push_string(&mut out, decision_id);
        if executed {
            out.extend_from_slice(b",\"executed\":true");
        }
        for (name, value) in self.details.iter().flat_map(|details| &details.entries) {
            out.extend_from_slice(b",\"");
            out.extend_from_slice(name.as_bytes());
            out.extend_from_slice(b"\":");
            json_text::push_string(&mut out, value);
        }
        out.extend(self.details.iter().flat_map(|details| &details.more));
        out.extend_from_slice(end);
        out
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

    /// What providers of models call it.
    const fn error_type(&self) -> &'static str {
        match self.kind {
            RefusalKind::Message => "invalid_request_error",
            RefusalKind::Identity => "authentication_error",
            RefusalKind::Operation => "permission_error",
            RefusalKind::Waiting => "policy_pending",
        }
    }

    const fn title(&self) -> &'static str {
        match self.kind {
            RefusalKind::Message => "the request cannot be judged",
            RefusalKind::Identity => "the caller is not identified",
            RefusalKind::Operation => "denied by policy",
            RefusalKind::Waiting => "waits for an approval",
        }
    }
}

/// The answer of a server that has no such tool: the specification's own example of one, and nothing that tells of us.
pub(crate) fn unknown_tool(id: &[u8], name: &str, only_events: bool) -> Reply {
    let mut out = Vec::with_capacity(128);
    push_id(&mut out, id);
    push_error(&mut out, -32602, &["Unknown tool: ", name].concat());
    out.extend_from_slice(b"}}");
    let (media, body) = framed(out, only_events);
    Reply {
        status: 200,
        headers: vec![("content-type".to_owned(), media.to_owned())],
        body,
        details: "aplomb.cloaked".to_owned(),
    }
}

fn push_id(out: &mut Vec<u8>, id: &[u8]) {
    out.extend_from_slice(b"{\"jsonrpc\":\"2.0\",\"id\":");
    out.extend_from_slice(id);
}

fn push_error(out: &mut Vec<u8>, code: i32, message: &str) {
    out.extend_from_slice(b",\"error\":{\"code\":");
    out.extend_from_slice(code.to_string().as_bytes());
    out.extend_from_slice(b",\"message\":");
    json_text::push_string(out, message);
}

/// As the client takes it.
fn framed(envelope: Vec<u8>, only_events: bool) -> (&'static str, Vec<u8>) {
    if only_events {
        ("text/event-stream", crate::sse::message(&envelope))
    } else {
        ("application/json", envelope)
    }
}

/// An author's code may hold anything; a header holds visible ASCII.
fn header_text(code: &str) -> String {
    code.chars()
        .map(|c| if c.is_ascii_graphic() || c == ' ' { c } else { '?' })
        .take(256)
        .collect()
}

fn detail(code: &str) -> String {
    code.chars()
        .map(|c| if c.is_ascii_graphic() { c } else { '_' })
        .take(128)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_as_the_wire_contract_says() {
        let denial = Refusal::operation("session_tainted", "write-down \"blocked\"");
        let reply = denial.reply(Shape::Rpc(b"\"7\""), "d1", false, Challenge::default());
        assert_eq!(reply.status, 200);
        assert!(
            reply
                .headers
                .contains(&("x-policy-violation".into(), "session_tainted".into()))
        );
        assert!(
            reply
                .headers
                .contains(&("x-policy-decision-id".into(), "d1".into()))
        );
        let body: serde_json::Value = serde_json::from_slice(&reply.body).expect("json");
        assert_eq!(
            body,
            serde_json::json!({"jsonrpc":"2.0","id":"7","error":{"code":-32001,"message":"write-down \"blocked\"",
                "data":{"violation":"session_tainted","decision_id":"d1"}}})
        );
    }

    #[test]
    fn answers_as_an_event_when_nothing_else_is_accepted() {
        let reply = Refusal::operation("x", "y").reply(Shape::Rpc(b"7"), "d1", true, Challenge::default());
        assert!(
            reply
                .headers
                .contains(&("content-type".into(), "text/event-stream".into()))
        );
        assert!(
            reply.body.starts_with(b"event: message\ndata: {\"jsonrpc\"") && reply.body.ends_with(b"}\n\n")
        );
    }

    #[test]
    fn a_denied_notification_is_a_bare_403() {
        let reply =
            Refusal::operation("x", "y").reply(Shape::Notification, "d1", false, Challenge::default());
        assert_eq!((reply.status, reply.body.as_slice()), (403, b"".as_slice()));
    }

    #[test]
    fn an_identity_failure_is_a_401_with_a_challenge() {
        let reply = Refusal::identity("auth.token_expired", "the token has expired").reply(
            Shape::Rpc(b"1"),
            "d1",
            false,
            Challenge {
                resource_metadata: Some("https://x/.well-known/oauth-protected-resource"),
                scopes: None,
            },
        );
        assert_eq!(reply.status, 401);
        assert!(reply.headers.contains(&(
            "www-authenticate".into(),
            "Bearer resource_metadata=\"https://x/.well-known/oauth-protected-resource\"".into()
        )));
    }

    #[test]
    fn a_code_cannot_break_a_header() {
        let reply = Refusal::operation("a\r\nb: c\u{e9}", "y").reply(
            Shape::RpcUnknown,
            "d1",
            false,
            Challenge::default(),
        );
        assert!(
            reply
                .headers
                .iter()
                .all(|(_, value)| value.bytes().all(|b| (b' '..0x7f).contains(&b)))
        );
    }
}
