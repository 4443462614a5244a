//! What is kept of a request's head, and the refusals that need nothing but it.

use crate::{
    HeaderList,
    assertions::HeaderEdits,
    codec::Codec,
    http::media::{Media, is_identity, media_type},
    mcp::revision::Revision,
    refusal::Refusal,
};

/// The kept part of a request's head.
#[derive(Debug, Default)]
pub(crate) struct Head {
    /// Known before anything else of it.
    pub(crate) codec: Codec,
    /// When it came, in milliseconds since the Unix epoch; 0: it was not read.
    pub(crate) began_ms: u64,
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) authority: String,
    pub(crate) scheme: String,
    pub(crate) accept: String,
    pub(crate) content_length: Option<u64>,
    pub(crate) session_id: Option<String>,
    pub(crate) mcp_session_id: Option<String>,
    pub(crate) revision: Revision,
    pub(crate) last_event_id: Option<String>,
    pub(crate) mcp_method: Option<String>,
    pub(crate) mcp_name: Option<String>,
    pub(crate) traceparent: Option<String>,
    /// What a browser says of the page that sent it.
    pub(crate) origins: Vec<String>,
    /// Approvals that the client comes back with, in the order of the header.
    pub(crate) elicitations: Vec<String>,
    /// The client only wants to know whether they were given.
    pub(crate) peeks: bool,
    /// Headers with a credential that the program names, by its name there.
    pub(crate) credentials: Vec<(String, String)>,
    /// Properties of the host that credentials are read from, in the engine's order.
    pub(crate) properties: Vec<Option<Vec<u8>>>,
    /// Headers that policy reads.
    pub(crate) readable: Vec<(String, String)>,
    /// Headers of ours that the client sent; none of them goes on.
    pub(crate) internal: Vec<String>,
    /// Headers that some route asserts or strips, as the client sent them.
    pub(crate) asserted: Vec<String>,
    pub(crate) has_accept_encoding: bool,
    media: Option<Media>,
    encoded: bool,
    partial: bool,
    overridden: bool,
    upgrade: bool,
    preflight: (bool, bool),
}

/// What the program wants to be kept.
#[derive(Debug, Default)]
pub(crate) struct Wanted {
    /// Headers with credentials, lower-case.
    pub(crate) credentials: Vec<String>,
    /// Headers that policy reads as `http.request_headers.*`, lower-case; never one with a credential.
    pub(crate) readable: Vec<String>,
    /// Headers that policy reads as `http.response_headers.*`, lower-case; never a cookie.
    pub(crate) response: Vec<String>,
    /// Headers that some route asserts or strips.
    pub(crate) asserted: HeaderEdits,
}

/// Carry one meaning each; two of them are two meanings.
const SINGLE: &[&str] = &[
    ":authority",
    ":method",
    ":path",
    ":scheme",
    "authorization",
    "content-encoding",
    "content-length",
    "content-type",
    "host",
    "last-event-id",
    "mcp-method",
    "mcp-name",
    "mcp-protocol-version",
    "mcp-session-id",
    "traceparent",
    "x-session-id",
    "x-user-token",
];

/// Ours: a client's copy is removed before anything reads it.
const INTERNAL: &[&str] = &["x-policy-", "x-aplomb-", "x-mcp-policy-"];

/// Approvals that one request can come back with: as many as a phase can ask for in practice.
const MAX_ELICITATIONS: usize = 8;
/// Longest id of one, in bytes.
const MAX_ELICITATION_ID: usize = 128;

/// Longest session id that is taken from a client, in bytes.
pub(crate) const MAX_SESSION_ID: usize = 512;

impl Head {
    /// The trace id in the `traceparent`.
    pub(crate) fn trace_id(&self) -> Option<&str> {
        self.traceparent.as_deref()?.get(3..35)
    }

    /// Keeps what is needed.
    ///
    /// # Errors
    ///
    /// A refusal: a header that must stand once stands twice, or holds what it must not.
    pub(crate) fn read(headers: &HeaderList, wanted: &Wanted) -> Result<Self, Refusal> {
        let mut head = Self::default();
        let mut seen = 0_u32;
        for (name, value) in headers {
            let Ok(name) = std::str::from_utf8(name) else {
                return Err(Refusal::bad_request(
                    "protocol.header",
                    "a header's name is not text",
                ));
            };
            if let Some(at) = SINGLE.iter().position(|single| *single == name) {
                let bit = 1_u32.checked_shl(u32::try_from(at).unwrap_or(31)).unwrap_or(0);
                if seen & bit != 0 {
                    return Err(duplicate(name));
                }
                seen |= bit;
            }
            head.take(name, value, wanted)?;
        }
        Ok(head)
    }

    fn take(&mut self, name: &str, value: &[u8], wanted: &Wanted) -> Result<(), Refusal> {
        match name {
            ":method" => self.method = text(name, value)?,
            ":path" => self.path = text(name, value)?,
            ":authority" | "host" => self.authority = text(name, value)?,
            ":scheme" => self.scheme = text(name, value)?,
            ":protocol" | "upgrade" => self.upgrade = true,
            "accept" => {
                if !self.accept.is_empty() {
                    self.accept.push(',');
                }
                self.accept.push_str(&String::from_utf8_lossy(value));
            }
            "accept-encoding" => self.has_accept_encoding = true,
            "content-type" => self.media = Some(media_type(value)),
            "content-encoding" => self.encoded = !is_identity(value),
            "content-length" => {
                let length = text(name, value)?
                    .parse()
                    .map_err(|_| Refusal::bad_request("protocol.header", "content-length is not a number"))?;
                self.content_length = Some(length);
            }
            "content-range" | "range" => self.partial = true,
            "x-http-method-override" | "x-method-override" | "x-http-method" => self.overridden = true,
            "origin" => {
                self.preflight.0 = true;
                self.origins.push(String::from_utf8_lossy(value).into_owned());
            }
            "access-control-request-method" => self.preflight.1 = true,
            "x-session-id" => self.session_id = session_id(name, value)?,
            "mcp-session-id" => self.mcp_session_id = session_id(name, value)?,
            "mcp-protocol-version" => self.revision = Revision::read(Some(&text(name, value)?))?,
            "last-event-id" => self.last_event_id = Some(text(name, value)?),
            "mcp-method" => self.mcp_method = Some(text(name, value)?),
            "mcp-name" => self.mcp_name = Some(text(name, value)?),
            "traceparent" => self.traceparent = traceparent(value),
            "x-policy-elicitation-id" => self.take_elicitations(&text(name, value)?)?,
            "x-policy-elicitation-peek" => {
                let value = text(name, value)?;
                self.peeks = !matches!(value.to_ascii_lowercase().as_str(), "" | "0" | "false");
            }
            _ => {}
        }
        if wanted.asserted.removes(name) {
            self.asserted.push(name.to_owned());
        }
        if INTERNAL.iter().any(|prefix| name.starts_with(prefix)) || is_underscore_twin(name) {
            self.internal.push(name.to_owned());
            return Ok(());
        }
        if wanted.credentials.iter().any(|wanted| wanted == name) {
            if self.credentials.iter().any(|(known, _)| known == name) {
                return Err(duplicate(name));
            }
            // A credential that is not text is a malformed one; identity says so with its own code.
            self.credentials.push((
                name.to_owned(),
                std::str::from_utf8(value).unwrap_or_default().to_owned(),
            ));
        } else if wanted.readable.iter().any(|wanted| wanted == name) {
            let value = text(name, value)?;
            match self.readable.iter_mut().find(|(known, _)| known == name) {
                Some((_, joined)) => {
                    joined.push_str(", ");
                    joined.push_str(&value);
                }
                None => self.readable.push((name.to_owned(), value)),
            }
        }
        Ok(())
    }

    /// A comma list, or several headers of one each (RFC 9110 section 5.3).
    fn take_elicitations(&mut self, list: &str) -> Result<(), Refusal> {
        for id in list.split(',').map(str::trim).filter(|id| !id.is_empty()) {
            let fine = id.len() <= MAX_ELICITATION_ID && id.bytes().all(|byte| byte.is_ascii_graphic());
            if !fine || self.elicitations.len() >= MAX_ELICITATIONS {
                return Err(Refusal::bad_request(
                    "protocol.elicitation_id",
                    "`x-policy-elicitation-id` holds at most 8 ids of at most 128 visible characters, joined by commas",
                ));
            }
            if !self.elicitations.iter().any(|known| known == id) {
                self.elicitations.push(id.to_owned());
            }
        }
        Ok(())
    }

    /// Whether it is a CORS preflight: it carries no credential and changes nothing (`execution.md` rule 22).
    pub(crate) fn is_preflight(&self) -> bool {
        self.method == "OPTIONS" && self.preflight == (true, true)
    }

    /// Whether it carries headers of MCP or A2A.
    pub(crate) fn speaks_agent_protocol(headers: &HeaderList) -> bool {
        headers.iter().any(|(name, _)| {
            matches!(
                name.as_slice(),
                b"mcp-session-id"
                    | b"mcp-protocol-version"
                    | b"mcp-method"
                    | b"mcp-name"
                    | b"a2a-version"
                    | b"a2a-extensions"
            )
        })
    }

    /// Judges what an endpoint of messages never takes. `streams`: GET streams can be governed.
    ///
    /// # Errors
    ///
    /// The refusal.
    pub(crate) fn check_messages(
        &self,
        end_of_stream: bool,
        max_body: usize,
        streams: bool,
    ) -> Result<(), Refusal> {
        let allowed = match self.codec {
            Codec::Mcp if !self.revision.has_sessions() => "POST",
            Codec::Mcp if streams => "POST, GET, DELETE",
            Codec::Mcp => "POST, DELETE",
            Codec::A2a | Codec::OpenAi | Codec::Anthropic | Codec::Http => "POST",
        };
        match self.method.as_str() {
            "POST" => self.check_post(end_of_stream, max_body),
            method if !allowed.split(", ").any(|allowed| allowed == method) => {
                Err(
                    Refusal::http(405, "protocol.method", "this method is not supported here")
                        .allowing(allowed),
                )
            }
            _ if end_of_stream => Ok(()),
            _ => Err(Refusal::bad_request("protocol.body", "this method takes no body")),
        }
    }

    /// Judges what no protocol takes.
    ///
    /// # Errors
    ///
    /// The refusal.
    pub(crate) fn check_any(&self) -> Result<(), Refusal> {
        if self.upgrade || self.method == "CONNECT" {
            return Err(Refusal::http(
                403,
                "protocol.upgrade",
                "upgrades are not allowed here",
            ));
        }
        if self.overridden {
            return Err(Refusal::bad_request(
                "protocol.method_override",
                "the method cannot be overridden",
            ));
        }
        Ok(())
    }

    fn check_post(&self, end_of_stream: bool, max_body: usize) -> Result<(), Refusal> {
        self.check_body(max_body)?;
        if end_of_stream {
            return Err(Refusal::rpc(
                400,
                -32600,
                "protocol.body",
                "the request has no body",
            ));
        }
        Ok(())
    }

    /// Judges a body that is going to be read.
    ///
    /// # Errors
    ///
    /// The refusal.
    pub(crate) fn check_body(&self, max_body: usize) -> Result<(), Refusal> {
        if self.encoded {
            return Err(Refusal::http(
                415,
                "protocol.content_encoding",
                "the body must not be encoded",
            ));
        }
        if self.media != Some(Media::Json) {
            return Err(Refusal::http(
                415,
                "protocol.media_type",
                "the body must be application/json in UTF-8",
            ));
        }
        if self.partial {
            return Err(Refusal::bad_request(
                "protocol.range",
                "a partial body is not allowed",
            ));
        }
        let largest = u64::try_from(max_body).unwrap_or(u64::MAX);
        if self.content_length.is_some_and(|length| length > largest) {
            return Err(Refusal::too_large());
        }
        Ok(())
    }
}

fn duplicate(name: &str) -> Refusal {
    Refusal::bad_request(
        "protocol.duplicate_header",
        &format!("the header `{name}` stands more than once"),
    )
}

fn text(name: &str, value: &[u8]) -> Result<String, Refusal> {
    let fine = value
        .iter()
        .all(|byte| *byte >= b' ' && *byte != 0x7f || *byte == b'\t');
    match std::str::from_utf8(value) {
        Ok(text) if fine => Ok(text.trim().to_owned()),
        Ok(_) | Err(_) => Err(Refusal::bad_request(
            "protocol.header",
            &format!("the header `{name}` is not plain text"),
        )),
    }
}

/// Visible ASCII, as MCP asks of a session id. An empty one is none.
fn session_id(name: &str, value: &[u8]) -> Result<Option<String>, Refusal> {
    if value.is_empty() {
        return Ok(None);
    }
    if value.len() > MAX_SESSION_ID || !value.iter().all(u8::is_ascii_graphic) {
        return Err(Refusal::bad_request(
            "protocol.session_id",
            &format!("`{name}` is not a session id"),
        ));
    }
    text(name, value).map(Some)
}

/// A W3C `traceparent`, if it is one: version, trace id, span id, flags; what a later version adds is left out.
fn traceparent(value: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(value.get(..55)?).ok()?;
    let fits = |(at, byte): (usize, u8)| match at {
        2 | 35 | 52 => byte == b'-',
        _ => byte.is_ascii_hexdigit(),
    };
    text.bytes()
        .enumerate()
        .all(fits)
        .then(|| text.to_ascii_lowercase())
}

/// `mcp_session_id` and the like: some backends read an underscore as a dash.
fn is_underscore_twin(name: &str) -> bool {
    name.contains('_') && {
        let dashed = name.replace('_', "-");
        SINGLE.contains(&dashed.as_str()) || INTERNAL.iter().any(|prefix| dashed.starts_with(prefix))
    }
}

#[cfg(test)]
mod tests {
    use super::{Head, traceparent};

    const GOOD: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn a_traceparent_is_kept_if_it_is_one_and_what_later_versions_add_is_left_out() {
        let later = format!("cc-{}-what-the-future-brings", &GOOD[3..]);
        for (given, kept) in [
            (GOOD.to_owned(), Some(GOOD)),
            (GOOD.to_uppercase(), Some(GOOD)),
            (later.clone(), Some(&later[..55])),
            (GOOD[..54].to_owned(), None),
            (GOOD.replace('-', "0"), None),
            (GOOD.replace('4', "g"), None),
            (String::new(), None),
        ] {
            assert_eq!(traceparent(given.as_bytes()).as_deref(), kept, "{given}");
        }
        let head = Head {
            traceparent: traceparent(GOOD.as_bytes()),
            ..Head::default()
        };
        assert_eq!(head.trace_id(), Some("4bf92f3577b34da6a3ce929d0e0e4736"));
    }
}
