//! Carries out what the enforcer says.

use aplomb_enforcer::{Callout, Command, Counter, Event, Flow, Gauge, LogLevel, Reaction, Reply};

use super::{
    Asker, Call, MAX_CALLS, Vm,
    stream::{Hold, Stream},
};
use crate::{
    host::{self, Body, Direction, HeaderMap, HostError, Level},
    plugin::Plugin,
    refusal::Refusal,
};

/// Events that commands bring about at once (bytes that were asked for, a callout that cannot be made) nest at most this
/// deep. The enforcer needs three.
const MAX_NESTING: u8 = 8;

impl Vm {
    /// Tells an exchange what happened and does what it says. Returns what the callback is to return.
    pub(super) fn tell(&mut self, decider: u32, event: Event<'_>) -> Flow {
        self.tell_nested(decider, event, 0)
    }

    fn tell_nested(&mut self, decider: u32, event: Event<'_>, nesting: u8) -> Flow {
        let Some(state) = self.streams.get_mut(&decider).and_then(Stream::decider_mut) else {
            return Flow::Pause;
        };
        let plugin = state.plugin.clone();
        let reaction = match &mut *plugin.borrow_mut() {
            Plugin::Decider(engine) => state.exchange.on_event(engine, event, self.now_ms),
            Plugin::Holder(_) => Reaction {
                commands: Vec::new(),
                flow: Flow::Pause,
            },
        };
        let mut flow = reaction.flow;
        for command in reaction.commands {
            if let Some(nested) = self.perform(decider, command, nesting) {
                flow = nested;
            }
        }
        flow
    }

    /// Does one thing. `Some`: it brought bytes, and the exchange's reaction to them says what to return.
    fn perform(&mut self, decider: u32, command: Command, nesting: u8) -> Option<Flow> {
        use Direction::{Request, Response};
        let stream = self.streams.get(&decider)?;
        let silent = stream.over || stream.replied;
        match command {
            Command::Count { counter, by } => self.count(counter, by),
            Command::Log { level, text } => log(level, &text),
            Command::FilterState { key, value } => {
                if self.make_effective(decider) {
                    // For access logs only: nothing depends on it.
                    let _logged = host::set_property(key, value.as_bytes());
                }
            }
            // Nothing else can be done for a stream that is over or answered.
            _ if silent => {}
            Command::SetRequestHeader { name, value } => {
                self.edit(decider, Site::Headers(Request), |map| {
                    host::replace_header(map, &name, &value)
                });
            }
            Command::RemoveRequestHeader { name } => {
                self.edit(decider, Site::Headers(Request), |map| {
                    host::remove_header(map, &name)
                });
            }
            Command::SetResponseHeader { name, value } => {
                self.edit(decider, Site::Headers(Response), |map| {
                    host::replace_header(map, &name, &value)
                });
            }
            Command::RemoveResponseHeader { name } => {
                self.edit(decider, Site::Headers(Response), |map| {
                    host::remove_header(map, &name)
                });
            }
            // Nothing for nothing. It matters when trailers end a body of which nothing is buffered: then there is no
            // buffer to write to.
            Command::ReplaceRequestBody { bytes }
                if bytes.is_empty() && self.buffered(decider, Request) == 0 => {}
            Command::ReplaceResponseBody { bytes }
                if bytes.is_empty() && self.buffered(decider, Response) == 0 => {}
            Command::ReplaceRequestBody { bytes } => {
                self.edit(decider, Site::Body(Request), |_| {
                    host::replace_body(Body::Request, &bytes)
                });
            }
            Command::ReplaceResponseBody { bytes } => {
                self.edit(decider, Site::Body(Response), |_| {
                    host::replace_body(Body::Response, &bytes)
                });
            }
            Command::ReadRequestBody => return self.read_body(decider, Request, nesting),
            Command::ReadResponseBody => return self.read_body(decider, Response, nesting),
            Command::Callout(callout) => self.call(decider, callout, nesting),
            Command::Reply(reply) => self.reply(decider, &reply),
            Command::ResumeRequest => self.resume(decider, Request),
            Command::ResumeResponse => self.resume(decider, Response),
            Command::Wake(_) | Command::Gauge { .. } => {
                log(
                    LogLevel::Error,
                    "aplomb: an exchange asked for what is the engine's",
                );
            }
        }
        None
    }

    /// Does what an engine says between exchanges.
    pub(super) fn perform_for_engine(&mut self, root: u32, commands: Vec<Command>) {
        for command in commands {
            match command {
                Command::Callout(callout) => self.call_for_engine(root, &callout),
                Command::Wake(exchange) => {
                    if self.make_effective(exchange.0) {
                        self.tell(exchange.0, Event::Wake);
                    }
                }
                Command::Count { counter, by } => self.count(counter, by),
                Command::Gauge { gauge, value } => self.show(gauge, value),
                Command::Log { level, text } => log(level, &text),
                Command::SetRequestHeader { .. }
                | Command::RemoveRequestHeader { .. }
                | Command::ReplaceRequestBody { .. }
                | Command::SetResponseHeader { .. }
                | Command::RemoveResponseHeader { .. }
                | Command::ReplaceResponseBody { .. }
                | Command::ReadRequestBody
                | Command::ReadResponseBody
                | Command::Reply(_)
                | Command::ResumeRequest
                | Command::ResumeResponse
                | Command::FilterState { .. } => {
                    log(
                        LogLevel::Error,
                        "aplomb: an engine gave a command that needs a stream",
                    );
                }
            }
        }
    }

    /// The context that can edit there, see the table in [`super`].
    fn site(&self, decider: u32, site: Site) -> u32 {
        let (direction, body) = match site {
            Site::Headers(direction) => (direction, false),
            Site::Body(direction) => (direction, true),
        };
        let Some(state) = self.streams.get(&decider).and_then(Stream::decider) else {
            return decider;
        };
        let (Hold::Paired, Some(holder)) = (state.hold, state.holder) else {
            return decider;
        };
        let holds_head = |context| {
            self.streams
                .get(&context)
                .is_some_and(|s: &Stream| s.held(direction).head)
        };
        match (direction, body) {
            (Direction::Request, true) => decider,
            (Direction::Response, true) => holder,
            (_, false) => match self.running.stream {
                Some((context, running)) if running == direction && self.running.head => context,
                // One of the two holds the head; before either does, it is the callback above.
                _ if holds_head(holder) => holder,
                _ => decider,
            },
        }
    }

    fn edit(&mut self, decider: u32, site: Site, edit: impl FnOnce(HeaderMap) -> Result<(), HostError>) {
        let context = self.site(decider, site);
        let map = match site {
            Site::Headers(Direction::Request) | Site::Body(Direction::Request) => HeaderMap::Request,
            Site::Headers(Direction::Response) | Site::Body(Direction::Response) => HeaderMap::Response,
        };
        let done = if self.make_effective(context) {
            edit(map)
        } else {
            Err(HostError(0))
        };
        self.expect(decider, done);
    }

    fn read_body(&mut self, decider: u32, direction: Direction, nesting: u8) -> Option<Flow> {
        let context = self.site(decider, Site::Body(direction));
        let body = match direction {
            Direction::Request => Body::Request,
            Direction::Response => Body::Response,
        };
        let buffered = self.buffered(decider, direction);
        let bytes = match self.make_effective(context).then(|| host::body(body)) {
            Some(Ok(bytes)) => Ok(bytes),
            // A host may refuse to give an empty buffer.
            Some(Err(_)) if buffered == 0 => Ok(Vec::new()),
            Some(Err(error)) => Err(error),
            None => Err(HostError(0)),
        };
        let nesting = nesting.saturating_add(1);
        match bytes {
            Ok(bytes) if nesting < MAX_NESTING => {
                let event = match direction {
                    Direction::Request => Event::RequestBytes { bytes },
                    Direction::Response => Event::ResponseBytes {
                        bytes,
                        end: self.response_ended(context),
                    },
                };
                Some(self.tell_nested(decider, event, nesting))
            }
            Ok(_) => {
                self.refuse(decider, Refusal::HostCall);
                None
            }
            Err(error) => {
                self.host_failed(decider, error);
                None
            }
        }
    }

    /// How much of a body the last body callback counted.
    fn buffered(&self, decider: u32, direction: Direction) -> usize {
        let context = self.site(decider, Site::Body(direction));
        self.streams
            .get(&context)
            .map_or(0, |stream| stream.held(direction).buffered)
    }

    fn response_ended(&self, context: u32) -> bool {
        self.streams
            .get(&context)
            .is_some_and(|stream| stream.response.ended)
    }

    fn call(&mut self, decider: u32, callout: Callout, nesting: u8) {
        let number = if self.calls.len() < MAX_CALLS && self.make_effective(decider) {
            host::http_call(
                &callout.cluster,
                &callout.headers,
                &callout.body,
                callout.timeout_ms.max(1),
            )
            .ok()
        } else {
            None
        };
        let root = self.streams.get(&decider).map_or(0, |stream| stream.root);
        match number {
            Some(number) => {
                self.calls.insert(
                    number,
                    Call {
                        root,
                        token: callout.token,
                        asked_by: Asker::Exchange(decider),
                    },
                );
            }
            None if nesting < MAX_NESTING => {
                let event = Event::CalloutFailed { token: callout.token };
                self.tell_nested(decider, event, nesting.saturating_add(1));
            }
            None => self.refuse(decider, Refusal::HostCall),
        }
    }

    fn call_for_engine(&mut self, root: u32, callout: &Callout) {
        let number = if self.calls.len() < MAX_CALLS && self.make_effective(root) {
            host::http_call(
                &callout.cluster,
                &callout.headers,
                &callout.body,
                callout.timeout_ms.max(1),
            )
            .ok()
        } else {
            None
        };
        let token = callout.token;
        if let Some(number) = number {
            self.calls.insert(
                number,
                Call {
                    root,
                    token,
                    asked_by: Asker::Engine,
                },
            );
            return;
        }
        let Some(plugin) = self.roots.get(&root).cloned().flatten() else {
            return;
        };
        let commands = match &mut *plugin.borrow_mut() {
            Plugin::Decider(engine) => engine.on_root_answer(token, None, self.now_ms),
            Plugin::Holder(_) => return,
        };
        // A call that the engine makes because one failed waits for the next tick's turn: no loop here.
        let commands = commands
            .into_iter()
            .filter(|command| !matches!(command, Command::Callout(_)))
            .collect();
        self.perform_for_engine(root, commands);
    }

    /// Lets a direction go on. Inside a callback of that direction returning Continue does it for that context.
    fn resume(&mut self, decider: u32, direction: Direction) {
        let partner = self.streams.get(&decider).and_then(Stream::partner);
        if let Some(state) = self.streams.get_mut(&decider).and_then(Stream::decider_mut) {
            match direction {
                Direction::Request => state.request_pending = false,
                Direction::Response => state.response_pending = false,
            }
        }
        self.waiting.remove(&(decider, direction));
        // The half that collects the body is released here; the half that only holds the head is woken.
        let (collects, holds) = match (direction, partner) {
            (Direction::Request, partner) => (decider, partner),
            (Direction::Response, None) => (decider, None),
            (Direction::Response, Some(holder)) => (holder, Some(decider)),
        };
        if self.running.stream == Some((collects, direction)) {
            self.running.resumed = true;
        } else if self
            .streams
            .get(&collects)
            .is_some_and(|stream| stream.held(direction).any())
            && self.make_effective(collects)
        {
            if let Some(stream) = self.streams.get_mut(&collects) {
                stream.held_mut(direction).release();
            }
            let resumed = host::resume(direction);
            if self.expect(decider, resumed) {
                return;
            }
        }
        if let Some(holds) = holds {
            self.wake(holds, direction);
        }
    }

    /// Answers the client; both halves let the answer pass.
    pub(super) fn reply(&mut self, context: u32, reply: &Reply) {
        let partner = self.streams.get(&context).and_then(Stream::partner);
        for half in [Some(context), partner].into_iter().flatten() {
            self.stop_waiting(half);
            if let Some(stream) = self.streams.get_mut(&half) {
                stream.replied = true;
            }
        }
        let sent = if self.make_effective(context) {
            host::send_local_reply(reply.status, &reply.headers, &reply.body, &reply.details)
        } else {
            Err(HostError(0))
        };
        if let Err(error) = sent {
            // What is held stays held, so nothing passes; the host's own timeouts end the stream.
            log(
                LogLevel::Error,
                &format!("aplomb: the host refused a local reply (status {})", error.0),
            );
        }
    }

    /// The filter's own refusal.
    pub(super) fn refuse(&mut self, context: u32, refusal: Refusal) {
        if self
            .streams
            .get(&context)
            .is_some_and(|stream| stream.replied || stream.over)
        {
            return;
        }
        log(
            LogLevel::Warn,
            &format!("aplomb: refused a request: {}", refusal.code()),
        );
        self.reply(context, &refusal.reply());
    }

    /// The host did not do what the verdict needs: nothing passes.
    pub(super) fn host_failed(&mut self, context: u32, error: HostError) {
        log(
            LogLevel::Error,
            &format!("aplomb: the host refused a call (status {})", error.0),
        );
        self.refuse(context, Refusal::HostCall);
    }

    pub(super) fn count(&self, counter: Counter, by: u64) {
        let metric = Counter::ALL
            .iter()
            .position(|other| *other == counter)
            .and_then(|at| self.metrics.get(at));
        if let Some(metric) = metric {
            // Only a number: nothing depends on it.
            let _counted = host::count(*metric, by);
        }
    }

    fn show(&self, gauge: Gauge, value: u64) {
        let metric = Gauge::ALL
            .iter()
            .position(|other| *other == gauge)
            .and_then(|at| self.metrics.get(at.saturating_add(Counter::ALL.len())));
        if let Some(metric) = metric {
            let _shown = host::record(*metric, value);
        }
    }
}

/// What is to be edited.
#[derive(Debug, Clone, Copy)]
enum Site {
    Headers(Direction),
    Body(Direction),
}

fn log(level: LogLevel, text: &str) {
    let level = match level {
        LogLevel::Debug => Level::Debug,
        LogLevel::Info => Level::Info,
        LogLevel::Warn => Level::Warn,
        LogLevel::Error => Level::Error,
    };
    host::log(level, text);
}
