//! What the host tells an exchange.

/// The headers of a message in the order of arrival, names lower-case, pseudo-headers (`:method`, `:path`, ...) included.
/// Values are bytes: nothing guarantees UTF-8.
pub type HeaderList = [(Vec<u8>, Vec<u8>)];

/// Something that happened to one HTTP exchange.
///
/// Bodies are not handed over unasked. The host reports how much is buffered ([`Event::RequestBody`],
/// [`Event::ResponseBody`]); when the enforcer wants the bytes it answers with [`Command::ReadRequestBody`] or
/// [`Command::ReadResponseBody`], and the host then delivers [`Event::RequestBytes`] or [`Event::ResponseBytes`] at once,
/// inside the same callback. So limits are checked before memory is spent.
///
/// [`Command::ReadRequestBody`]: crate::Command::ReadRequestBody
/// [`Command::ReadResponseBody`]: crate::Command::ReadResponseBody
#[derive(Debug)]
pub enum Event<'a> {
    /// The request's head. The first event of every exchange that is not only [`Event::Gone`].
    RequestHead {
        /// All headers.
        headers: &'a HeaderList,
        /// There is no body.
        end_of_stream: bool,
        /// The only source of randomness of this exchange: its decision id derives from it.
        seed: u128,
    },
    /// What the host says of the connection and of tokens that it has verified: the values of
    /// [`Engine::properties`](crate::Engine::properties), in that order, `None` for what is not there. Before
    /// [`Event::RequestHead`], if the list is not empty.
    Properties {
        /// The values.
        values: Vec<Option<Vec<u8>>>,
    },
    /// Body bytes arrived (or the body ended) and lie in the host's buffer, which nothing has been drained from.
    RequestBody {
        /// Bytes in the buffer now.
        buffered: usize,
        /// The body is complete: the last data frame, or trailers follow.
        end: bool,
    },
    /// The whole body; only after [`Command::ReadRequestBody`](crate::Command::ReadRequestBody).
    RequestBytes {
        /// The buffer's content.
        bytes: Vec<u8>,
    },
    /// Found on a tick: the proxy received body bytes (`request.total_size` grew past its value at the head) but delivers
    /// no body callback although the head is held. The proxy lacks `allow_on_headers_stop_iteration`
    /// (`execution.md` rule 3).
    Stuck,
    /// The response's head.
    ResponseHead {
        /// All headers, `:status` included.
        headers: &'a HeaderList,
        /// There is no body.
        end_of_stream: bool,
        /// `response.code_details` is `via_upstream`: it comes from the backend, not from the proxy itself.
        from_upstream: bool,
    },
    /// Response body bytes arrived, or the response body ended.
    ResponseBody {
        /// Bytes in the buffer now.
        buffered: usize,
        /// The body is complete: the last data frame, or trailers follow.
        end: bool,
    },
    /// The buffer's content; only after [`Command::ReadResponseBody`](crate::Command::ReadResponseBody).
    ResponseBytes {
        /// All of it.
        bytes: Vec<u8>,
        /// As the last [`Event::ResponseBody`] said.
        end: bool,
    },
    /// The answer to a callout.
    CalloutAnswer {
        /// The one in [`Command::Callout`](crate::Command::Callout).
        token: CallToken,
        /// HTTP status; a timeout is an ordinary 504.
        status: u16,
        /// At most [`companion_protocol::MAX_RESPONSE_BYTES`] bytes; a host reports a larger one as [`Event::CalloutFailed`].
        body: &'a [u8],
    },
    /// The callout could not be dispatched, was reset, or its answer was too large. May be delivered at once, while the
    /// commands of the reaction that held the callout are carried out (it is always the last of them).
    CalloutFailed {
        /// The one in [`Command::Callout`](crate::Command::Callout).
        token: CallToken,
    },
    /// What the exchange waits for may have come, or it has waited long enough ([`Command::Wake`](crate::Command::Wake)).
    Wake,
    /// The stream is over, in whatever way. The exchange gives back what it holds. Always the last event.
    Gone,
}

/// Names a callout. Unique within a worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CallToken(pub u32);

/// Names an exchange to its host: the host's own number, as the stream's context id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ExchangeId(pub u32);
