//! What the host knows.

use std::collections::{BTreeMap, HashMap, VecDeque};

/// Headers in the order of arrival.
pub type Headers = Vec<(Vec<u8>, Vec<u8>)>;

/// What reached one end of an exchange.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Message {
    /// Empty until the head came.
    pub headers: Headers,
    /// All that came of the body.
    pub body: Vec<u8>,
    /// The head came.
    pub started: bool,
    /// It is complete.
    pub ended: bool,
}

impl Message {
    /// The only value of a header as text; `None` if there is none.
    ///
    /// # Panics
    /// If there are several: no test means the first of several.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<String> {
        let mut values = self.headers.iter().filter(|(key, _)| key == name.as_bytes());
        let value = values.next()?;
        assert!(values.next().is_none(), "several values of {name}");
        Some(String::from_utf8_lossy(&value.1).into_owned())
    }
}

/// A local reply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// HTTP status.
    pub status: u32,
    /// Headers as given.
    pub headers: Headers,
    /// Body.
    pub body: Vec<u8>,
    /// Response code details.
    pub details: String,
}

/// A callout that waits for its answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Callout {
    /// Its number.
    pub token: u32,
    /// The root context that it belongs to.
    pub root: u32,
    /// The cluster.
    pub cluster: String,
    /// Its headers.
    pub headers: Headers,
    /// Its body.
    pub body: Vec<u8>,
    /// Milliseconds.
    pub timeout_ms: u32,
}

/// What comes of a callout when it is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Dispatch {
    /// It waits for the test's answer.
    #[default]
    Accept,
    /// A status and no callback: a cluster without hosts.
    Refuse,
}

/// One direction of an exchange as one context sees it.
#[derive(Debug, Default)]
pub(super) struct Slot {
    /// The headers callback ran.
    pub(super) called: bool,
    /// It returned Pause, and the head waits here.
    pub(super) held: bool,
    /// It did so without the flag: nothing more is delivered.
    pub(super) stopped: bool,
    /// Held or being delivered: the header map is in reach.
    pub(super) map: bool,
    /// What body callbacks paused.
    pub(super) buffer: Vec<u8>,
    /// The last body or trailers callback returned Pause.
    pub(super) buffering: bool,
    /// The buffer is in reach: in body and trailers callbacks, and while buffering.
    pub(super) buffer_open: bool,
    /// The end of the message reached this context.
    pub(super) ended: bool,
    /// Bytes came while nothing was delivered.
    pub(super) undelivered: bool,
    /// Trailers came while nothing was delivered.
    pub(super) undelivered_trailers: bool,
    /// The trailers callback returned Pause.
    pub(super) trailers_held: bool,
}

/// One context of a chain.
#[derive(Debug)]
pub(super) struct Filter {
    pub(super) context: u32,
    pub(super) root: u32,
    pub(super) stop_iteration: bool,
    pub(super) request: Slot,
    pub(super) response: Slot,
}

/// One HTTP exchange.
#[derive(Debug, Default)]
pub(super) struct Exchange {
    pub(super) filters: Vec<Filter>,
    pub(super) request: Headers,
    pub(super) response: Headers,
    pub(super) upstream: Message,
    pub(super) client: Message,
    /// A reply of a filter or of the host: the details.
    pub(super) local: Option<Reply>,
    /// The client saw a cut instead of an end.
    pub(super) reset: bool,
    /// Contexts are gone.
    pub(super) destroyed: bool,
    /// Body bytes that the host received.
    pub(super) received: usize,
    pub(super) response_complete: bool,
    /// A response head was given to the chain.
    pub(super) response_begun: bool,
    pub(super) properties: BTreeMap<String, Vec<u8>>,
}

/// What a call of the module asked for, done when it has returned.
#[derive(Debug)]
pub(super) enum Action {
    Continue { context: u32, response: bool },
    Reply { context: u32, reply: Reply },
}

/// Answers of a callout that is being delivered.
#[derive(Debug, Default)]
pub(super) struct Answer {
    pub(super) headers: Headers,
    pub(super) body: Vec<u8>,
}

/// All of it.
#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) exchanges: Vec<Exchange>,
    /// Context to exchange and place in its chain.
    pub(super) places: HashMap<u32, (usize, usize)>,
    pub(super) roots: HashMap<u32, Vec<u8>>,
    pub(super) current: u32,
    pub(super) effective: Option<u32>,
    pub(super) actions: VecDeque<Action>,
    pub(super) callouts: Vec<Callout>,
    pub(super) dispatch: Dispatch,
    pub(super) answer: Option<Answer>,
    pub(super) next_token: u32,
    pub(super) now_ns: u64,
    pub(super) tick_ms: HashMap<u32, u32>,
    pub(super) logs: Vec<String>,
    pub(super) metrics: Vec<(String, i64)>,
    pub(super) env: Vec<(String, String)>,
    /// Name, owning root, items.
    pub(super) queues: Vec<(String, u32, VecDeque<Vec<u8>>)>,
    pub(super) ready: VecDeque<u32>,
    pub(super) random: u64,
    /// Host calls by these names fail with this status.
    pub(super) faults: HashMap<&'static str, u32>,
    /// Continuing another context inside a body callback: Envoy crashed on it.
    pub(super) in_body_of: Option<usize>,
    pub(super) misuse: Vec<String>,
    /// Bytes that the module asked for and got: headers, bodies, properties.
    pub(super) handed_over: usize,
}

impl State {
    /// The context that calls act on.
    pub(super) fn acting(&self) -> u32 {
        self.effective
            .filter(|context| self.places.contains_key(context) || self.roots.contains_key(context))
            .unwrap_or(self.current)
    }

    pub(super) fn filter(&self, context: u32) -> Option<(&Exchange, &Filter)> {
        let (exchange, at) = *self.places.get(&context)?;
        let exchange = self.exchanges.get(exchange)?;
        Some((exchange, exchange.filters.get(at)?))
    }

    pub(super) fn filter_mut(&mut self, context: u32) -> Option<&mut Filter> {
        let (exchange, at) = *self.places.get(&context)?;
        self.exchanges.get_mut(exchange)?.filters.get_mut(at)
    }
}
