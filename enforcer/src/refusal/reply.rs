//! How a refusal is written, in the words of each protocol.

use super::{Refusal, RefusalKind};
use crate::{Reply, json_text};

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
