//! Callbacks of streams.

use aplomb_enforcer::{Counter, Event, Flow};

use super::{
    Plugin, Running, Vm,
    stream::{Hold, Part},
};
use crate::{
    host::{self, Direction, HeaderMap},
    refusal::Refusal,
};

/// What a stream's callback brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    RequestHead { end: bool },
    RequestBody { size: usize, end: bool },
    RequestTrailers,
    ResponseHead { end: bool },
    ResponseBody { size: usize, end: bool },
    ResponseTrailers,
}

impl Phase {
    const fn direction(self) -> Direction {
        match self {
            Self::RequestHead { .. } | Self::RequestBody { .. } | Self::RequestTrailers => Direction::Request,
            Self::ResponseHead { .. } | Self::ResponseBody { .. } | Self::ResponseTrailers => {
                Direction::Response
            }
        }
    }
}

impl Vm {
    /// A callback of a stream. `true`: hold what it brought.
    pub(crate) fn on_stream(&mut self, context: u32, phase: Phase) -> bool {
        self.enter(context);
        let direction = phase.direction();
        let Some(stream) = self.streams.get_mut(&context) else {
            return true;
        };
        if stream.replied || stream.over {
            // Of the request nothing more goes on; the response is our own reply on its way.
            return direction == Direction::Request;
        }
        let held = stream.held_mut(direction);
        let head = match phase {
            Phase::RequestHead { end } | Phase::ResponseHead { end } => {
                held.ended = end;
                true
            }
            Phase::RequestBody { size, end } | Phase::ResponseBody { size, end } => {
                held.ended = end;
                held.buffered = size;
                false
            }
            Phase::RequestTrailers | Phase::ResponseTrailers => {
                held.ended = true;
                // The last body callback did not hold: what it counted is gone.
                if !held.body {
                    held.buffered = 0;
                }
                false
            }
        };
        self.running.stream = Some((context, direction));
        self.running.head = head;
        if !head {
            self.waiting.remove(&(context, direction));
        }
        let hold = match &stream.part {
            Part::Unconfigured => {
                self.refuse(context, Refusal::NotConfigured);
                true
            }
            Part::Decider(_) => self.on_decider(context, phase),
            Part::Holder(_) => self.on_holder(context, phase),
        };
        self.note(context, direction, head, hold)
    }

    /// Remembers what the callback returns.
    fn note(&mut self, context: u32, direction: Direction, head: bool, hold: bool) -> bool {
        let Running { stream: running, .. } = std::mem::take(&mut self.running);
        debug_assert!(running.is_some(), "a stream's callback is running");
        let Some(stream) = self.streams.get_mut(&context) else {
            return hold;
        };
        let held = stream.held_mut(direction);
        if head {
            held.head = hold;
        } else if hold {
            held.body = true;
        } else {
            // A body that goes on takes a held head with it.
            held.release();
        }
        hold
    }

    fn on_decider(&mut self, context: u32, phase: Phase) -> bool {
        let Some(hold) = self
            .streams
            .get(&context)
            .and_then(|s| s.decider())
            .map(|d| d.hold)
        else {
            return true;
        };
        match (hold, phase) {
            (_, Phase::RequestHead { end }) => self.on_request_head(context, hold, end),
            (Hold::Full | Hold::Single, Phase::RequestBody { size, end }) => {
                self.on_body(context, Direction::Request, size, end)
            }
            (Hold::Full | Hold::Single, Phase::RequestTrailers) => {
                self.on_trailers(context, context, Direction::Request)
            }
            (Hold::Paired, Phase::RequestBody { size, end }) => {
                self.require_holder(context) || self.on_body(context, Direction::Request, size, end)
            }
            (Hold::Paired, Phase::RequestTrailers) => {
                self.require_holder(context) || self.on_trailers(context, context, Direction::Request)
            }
            (Hold::Full | Hold::Single, Phase::ResponseHead { end }) => {
                let held = self.on_response_head(context, end);
                // Without the flag a held head holds the body back too, so it goes, without the length that may change.
                if held && hold == Hold::Single && !end {
                    return self.expect(
                        context,
                        host::remove_header(HeaderMap::Response, "content-length"),
                    );
                }
                if held && hold == Hold::Full && !end {
                    self.waiting.insert((context, Direction::Response));
                }
                held
            }
            (Hold::Full | Hold::Single, Phase::ResponseBody { size, end }) => {
                self.on_body(context, Direction::Response, size, end)
            }
            (Hold::Full | Hold::Single, Phase::ResponseTrailers) => {
                self.on_trailers(context, context, Direction::Response)
            }
            // The holder collects the response; this half holds its head.
            (Hold::Paired, Phase::ResponseHead { .. }) => self.on_paired_response_head(context),
            (Hold::Paired, Phase::ResponseBody { .. } | Phase::ResponseTrailers) => self
                .streams
                .get(&context)
                .is_some_and(|stream| stream.response.head),
        }
    }

    fn on_request_head(&mut self, context: u32, hold: Hold, end: bool) -> bool {
        self.count(Counter::Requests, 1);
        if hold == Hold::Paired && !self.announce(context) {
            self.refuse(context, Refusal::HostCall);
            return true;
        }
        let (Ok(headers), Some(seed)) = (host::headers(HeaderMap::Request), self.entropy.take()) else {
            self.refuse(context, Refusal::HostCall);
            return true;
        };
        let values = self.properties(context);
        if !values.is_empty() {
            let _flow = self.tell(context, Event::Properties { values });
        }
        let event = Event::RequestHead {
            headers: &headers,
            end_of_stream: end,
            seed: u128::from_le_bytes(seed),
        };
        let flow = self.tell(context, event);
        let held = self.holds(context, flow);
        if !held || end {
            return held;
        }
        match hold {
            Hold::Full => {
                self.waiting.insert((context, Direction::Request));
                true
            }
            Hold::Single => false,
            Hold::Paired => {
                // Unless it was denied, the other half, which comes next, holds the head.
                let Some(stream) = self.streams.get_mut(&context) else {
                    return true;
                };
                let replied = stream.replied;
                if let Some(decider) = stream.decider_mut() {
                    decider.request_pending = true;
                }
                replied
            }
        }
    }

    /// What the host says of the caller, as far as the program reads it.
    fn properties(&self, context: u32) -> Vec<Option<Vec<u8>>> {
        let Some(state) = self.streams.get(&context).and_then(|stream| stream.decider()) else {
            return Vec::new();
        };
        match &*state.plugin.borrow() {
            Plugin::Decider(engine) => engine
                .properties()
                .iter()
                .map(|path| host::property(path).ok())
                .collect(),
            Plugin::Holder(_) => Vec::new(),
        }
    }

    /// The context is the exchange's, or its holder's when that one's callback brought the response.
    pub(super) fn on_response_head(&mut self, decider: u32, end: bool) -> bool {
        let Ok(headers) = host::headers(HeaderMap::Response) else {
            self.refuse(decider, Refusal::HostCall);
            return true;
        };
        let from_upstream = from_upstream();
        if let Some(decider) = self.streams.get_mut(&decider).and_then(|s| s.decider_mut()) {
            decider.response_seen = true;
        }
        let flow = self.tell(
            decider,
            Event::ResponseHead {
                headers: &headers,
                end_of_stream: end,
                from_upstream,
            },
        );
        self.holds(decider, flow)
    }

    pub(super) fn on_body(&mut self, decider: u32, direction: Direction, buffered: usize, end: bool) -> bool {
        let event = match direction {
            Direction::Request => Event::RequestBody { buffered, end },
            Direction::Response => Event::ResponseBody { buffered, end },
        };
        let flow = self.tell(decider, event);
        self.holds(decider, flow)
    }

    /// Trailers end the body that is buffered in `context`.
    pub(super) fn on_trailers(&mut self, decider: u32, context: u32, direction: Direction) -> bool {
        let buffered = self
            .streams
            .get(&context)
            .map_or(0, |stream| stream.held(direction).buffered);
        self.on_body(decider, direction, buffered, true)
    }

    /// Is the running callback to hold what it brought?
    fn holds(&self, decider: u32, flow: Flow) -> bool {
        if self.streams.get(&decider).is_none_or(|stream| stream.replied) {
            return true;
        }
        !self.running.resumed && flow == Flow::Pause
    }

    /// `true`, and refused, if the host did not do what it had to.
    pub(super) fn expect(&mut self, context: u32, done: Result<(), host::HostError>) -> bool {
        match done {
            Ok(()) => false,
            Err(error) => {
                self.host_failed(context, error);
                true
            }
        }
    }
}

/// Does the response come from the backend (`execution.md` rule 6)? If the host does not say, it is taken for one that
/// does, so that it is governed.
pub(super) fn from_upstream() -> bool {
    host::property(&["response", "code_details"]).map_or(true, |details| details == b"via_upstream")
}
