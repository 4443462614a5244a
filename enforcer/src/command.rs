//! What an exchange, or the engine between exchanges, tells the host to do.

use crate::{CallToken, Counter, ExchangeId, Gauge};

/// The answer to one event. The host carries out the commands in order, then returns the flow from its callback.
#[derive(Debug, Default, PartialEq)]
#[must_use]
pub struct Reaction {
    /// In order.
    pub commands: Vec<Command>,
    /// What the callback returns, when the event is a callback of a direction. Means nothing after
    /// [`Event::CalloutAnswer`](crate::Event::CalloutAnswer), `CalloutFailed`, `Wake`, `Stuck` and `Gone`: there a held
    /// direction moves only by [`Command::ResumeRequest`] or [`Command::ResumeResponse`].
    pub flow: Flow,
}

/// What a header, body or trailer callback returns.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Flow {
    /// Pass on what the callback brought.
    #[default]
    Continue,
    /// Hold it.
    Pause,
}

/// One thing to do.
///
/// Guarantees: header and body edits of a direction come before its resume in the same reaction; a reaction holds at most
/// one [`Command::Callout`], as its last command; an exchange emits at most one of `Reply` and `ResumeRequest` for the
/// request, at most one of each kind in all, and `ResumeRequest` exactly once for every request that goes on to the
/// backend.
#[derive(Debug, Clone, PartialEq)]
pub enum Command {
    /// Replaces every value of the header. The value holds only visible ASCII, space and tab.
    SetRequestHeader {
        /// Lower-case.
        name: String,
        /// The value.
        value: String,
    },
    /// Removes every value of the header.
    RemoveRequestHeader {
        /// Lower-case.
        name: String,
    },
    /// Replaces the whole buffered request body.
    ReplaceRequestBody {
        /// The new one.
        bytes: Vec<u8>,
    },
    /// Replaces every value of the header; `:status` too (not in mode `single`).
    SetResponseHeader {
        /// Lower-case.
        name: String,
        /// The value.
        value: String,
    },
    /// Removes every value of the header.
    RemoveResponseHeader {
        /// Lower-case.
        name: String,
    },
    /// Replaces the whole buffer of the response body: everything that the last body event counted.
    ReplaceResponseBody {
        /// The new content; may be empty.
        bytes: Vec<u8>,
    },
    /// Read the buffered request body and deliver it as [`Event::RequestBytes`](crate::Event::RequestBytes) now. If it
    /// cannot be read, deliver [`Event::Gone`](crate::Event::Gone) and fail the stream.
    ReadRequestBody,
    /// Read the buffered response body and deliver it as [`Event::ResponseBytes`](crate::Event::ResponseBytes) now, also
    /// from a callout's answer. An empty buffer is delivered as no bytes.
    ReadResponseBody,
    /// Asks the companion. From an exchange: in the stream's context; from the engine: in the root context.
    Callout(Callout),
    /// The exchange's only answer to the client; nothing of the request goes on to the backend, and nothing more of a
    /// response from it to the client.
    Reply(Reply),
    /// Lets the request go on. In reaction to a request callback the flow is `Continue` as well, and the host need not
    /// do more.
    ResumeRequest,
    /// Lets the response go on, likewise.
    ResumeResponse,
    /// Deliver [`Event::Wake`](crate::Event::Wake) to this exchange, in its context, if it still exists. From the engine only.
    Wake(ExchangeId),
    /// Counts.
    Count {
        /// What.
        counter: Counter,
        /// How much.
        by: u64,
    },
    /// Shows a number as it is. From the engine only.
    Gauge {
        /// Which.
        gauge: Gauge,
        /// The number.
        value: u64,
    },
    /// Writes a line to the proxy's log. Holds no payload value and no credential.
    Log {
        /// How grave.
        level: LogLevel,
        /// The line.
        text: String,
    },
    /// Sets filter state for access logs and other filters.
    FilterState {
        /// As `aplomb.decision_id`.
        key: &'static str,
        /// The value.
        value: String,
    },
}

/// How grave a log line is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub enum LogLevel {
    Debug,
    Info,
    Warn,
    Error,
}

/// A request to the companion.
#[derive(Clone, PartialEq, Eq)]
pub struct Callout {
    /// Comes back with the answer.
    pub token: CallToken,
    /// The Envoy cluster.
    pub cluster: String,
    /// All headers, pseudo-headers included.
    pub headers: Vec<(String, String)>,
    /// The body; empty for GET.
    pub body: Vec<u8>,
    /// How long to wait, in milliseconds.
    pub timeout_ms: u32,
}

// Headers hold the companion's token, the body a caller's.
impl std::fmt::Debug for Callout {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Callout")
            .field("token", &self.token)
            .field("cluster", &self.cluster)
            .field("body_bytes", &self.body.len())
            .field("timeout_ms", &self.timeout_ms)
            .finish_non_exhaustive()
    }
}

/// A local reply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// HTTP status.
    pub status: u16,
    /// Headers, without `:status` and `content-length`.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
    /// Response code details, as `aplomb.session_tainted`; no white space.
    pub details: String,
}
