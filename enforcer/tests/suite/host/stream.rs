//! One HTTP stream: what the enforcer commands is done to it, and its promises are checked on the way.

use aplomb_enforcer::{CallToken, Callout, Command, Event, Exchange, ExchangeId, Flow, Reaction};

use super::{Backend, Header, Said, Seen, Worker};

/// One HTTP stream in the mock host.
pub(crate) struct Stream {
    pub(crate) exchange: Exchange,
    pub(crate) seen: Seen,
    request: Vec<(String, String)>,
    pub(crate) request_body: Vec<u8>,
    response: (u16, Vec<(String, String)>),
    response_buffer: Vec<u8>,
    response_end: bool,
    pub(crate) pending: Option<Callout>,
    released: bool,
    replied: bool,
    response_released: bool,
    reading_response: bool,
}

impl Stream {
    pub(crate) fn new(id: ExchangeId, headers: &[(&str, &str)]) -> Self {
        Self {
            exchange: Exchange::new(id),
            seen: Seen::default(),
            request: headers
                .iter()
                .map(|(n, v)| ((*n).to_owned(), (*v).to_owned()))
                .collect(),
            request_body: Vec::new(),
            response: (0, Vec::new()),
            response_buffer: Vec::new(),
            response_end: false,
            pending: None,
            released: false,
            replied: false,
            response_released: false,
            reading_response: false,
        }
    }

    /// Whether the request has this header now.
    pub(crate) fn has_header(&self, name: &str) -> bool {
        self.request.iter().any(|(known, _)| known == name)
    }

    pub(crate) fn run(&mut self, worker: &mut Worker, body: &[u8], backend: Option<&Backend>) {
        self.head(worker, body.is_empty());
        let chunk = if worker.chunk == 0 {
            body.len().max(1)
        } else {
            worker.chunk
        };
        let count = body.len().div_ceil(chunk);
        for (at, part) in body.chunks(chunk).enumerate() {
            if self.replied {
                break;
            }
            self.body(worker, part, at + 1 == count);
        }
        self.settle(worker);
        if let Some(backend) = backend
            && self.released
        {
            self.respond(worker, backend);
        }
        self.event(worker, Event::Gone);
        assert_eq!(worker.engine.inflight_bytes(), 0, "everything was given back");
    }

    pub(crate) fn head(&mut self, worker: &mut Worker, end_of_stream: bool) -> Flow {
        let headers: Vec<Header> = self
            .request
            .iter()
            .map(|(n, v)| (n.clone().into_bytes(), v.clone().into_bytes()))
            .collect();
        let paths = worker.engine.properties();
        if !paths.is_empty() {
            let values = paths
                .iter()
                .map(|path| worker.properties.get(&path.join("/")).cloned());
            let values = values.collect();
            self.event(worker, Event::Properties { values });
        }
        let seed = u128::from(self.exchange.id().0) + 1000;
        self.event(
            worker,
            Event::RequestHead {
                headers: &headers,
                end_of_stream,
                seed,
            },
        )
    }

    pub(crate) fn body(&mut self, worker: &mut Worker, part: &[u8], end: bool) -> Flow {
        self.request_body.extend_from_slice(part);
        let flow = self.event(
            worker,
            Event::RequestBody {
                buffered: self.request_body.len(),
                end,
            },
        );
        if flow == Flow::Continue {
            assert!(self.released, "body bytes must not pass before the verdict");
        }
        flow
    }

    /// Answers the companion's calls until nothing is pending.
    pub(crate) fn settle(&mut self, worker: &mut Worker) {
        while let Some(callout) = self.pending.take() {
            let said = worker.companion.answer(&callout, worker.now_ms);
            self.answer(worker, callout.token, &said);
        }
    }

    pub(crate) fn answer(&mut self, worker: &mut Worker, token: CallToken, said: &Said) {
        match said {
            Said::Status(status, body) => {
                self.event(
                    worker,
                    Event::CalloutAnswer {
                        token,
                        status: *status,
                        body,
                    },
                );
            }
            Said::Failed => {
                self.event(worker, Event::CalloutFailed { token });
            }
        }
    }

    pub(crate) fn respond(&mut self, worker: &mut Worker, backend: &Backend) {
        self.response_head(worker, backend);
        let whole = if worker.chunk == 0 {
            backend.body.len().max(1)
        } else {
            worker.chunk
        };
        let mut rest = backend.body.as_slice();
        for at in 0.. {
            if self.replied || rest.is_empty() {
                break;
            }
            let size = match worker.cuts.len() {
                0 => whole,
                cuts => worker.cuts[at % cuts],
            };
            let part;
            (part, rest) = rest.split_at(size.clamp(1, rest.len()));
            self.response_part(worker, part, rest.is_empty());
            // The companion answers a little later, when more has come.
            if at % 3 == 2 {
                self.settle(worker);
            }
        }
        self.settle(worker);
        if let Some(client) = &mut self.seen.client {
            client.0 = self.response.0;
            client.1 = self.response.1.clone();
        }
        if self.replied {
            self.seen.client = None;
        }
    }

    /// The head of the response alone.
    pub(crate) fn response_head(&mut self, worker: &mut Worker, backend: &Backend) {
        self.response = (backend.status, backend.headers.clone());
        let mut headers: Vec<Header> = vec![(b":status".to_vec(), backend.status.to_string().into_bytes())];
        headers.extend(
            backend
                .headers
                .iter()
                .map(|(n, v)| (n.clone().into_bytes(), v.clone().into_bytes())),
        );
        let empty = backend.body.is_empty();
        self.seen.client = Some((0, Vec::new(), Vec::new()));
        self.event(
            worker,
            Event::ResponseHead {
                headers: &headers,
                end_of_stream: empty,
                from_upstream: true,
            },
        );
    }

    /// A piece of the response's body.
    pub(crate) fn response_part(&mut self, worker: &mut Worker, part: &[u8], end: bool) {
        self.response_buffer.extend_from_slice(part);
        self.response_end = end;
        if end {
            self.seen.before_end = self.client_has().len();
        }
        let event = Event::ResponseBody {
            buffered: self.response_buffer.len(),
            end,
        };
        if self.event(worker, event) == Flow::Continue {
            self.flush();
        }
    }

    /// What the client has of the response's body.
    pub(crate) fn client_has(&self) -> &[u8] {
        self.seen.client.as_ref().map_or(&[], |(_, _, body)| body)
    }

    fn flush(&mut self) {
        let bytes = std::mem::take(&mut self.response_buffer);
        if let Some(client) = &mut self.seen.client {
            client.2.extend(bytes);
        }
    }

    pub(crate) fn event(&mut self, worker: &mut Worker, event: Event<'_>) -> Flow {
        let reaction = self.exchange.on_event(&mut worker.engine, event, worker.now_ms);
        self.carry_out(worker, reaction)
    }

    fn carry_out(&mut self, worker: &mut Worker, reaction: Reaction) -> Flow {
        let mut flow = reaction.flow;
        let last = reaction.commands.len().saturating_sub(1);
        for (at, command) in reaction.commands.into_iter().enumerate() {
            match command {
                Command::SetRequestHeader { name, value } => {
                    assert!(!self.released && !self.replied, "the head has left");
                    assert!(
                        value.bytes().all(|byte| (b' '..0x7f).contains(&byte)),
                        "{name}: {value:?}"
                    );
                    self.request.retain(|(known, _)| *known != name);
                    self.request.push((name, value));
                }
                Command::RemoveRequestHeader { name } => {
                    assert!(!self.released && !self.replied, "the head has left");
                    self.request.retain(|(known, _)| *known != name);
                }
                Command::ReplaceRequestBody { bytes } => {
                    assert!(!self.released && !self.replied);
                    self.request_body = bytes;
                }
                Command::SetResponseHeader { name, value } => {
                    assert!(!self.response_released);
                    if name == ":status" {
                        self.response.0 = value.parse().unwrap();
                    } else {
                        self.response.1.retain(|(known, _)| *known != name);
                        self.response.1.push((name, value));
                    }
                }
                Command::RemoveResponseHeader { name } => self.response.1.retain(|(known, _)| *known != name),
                Command::ReplaceResponseBody { bytes } => self.response_buffer = bytes,
                Command::ReadRequestBody => {
                    let bytes = self.request_body.clone();
                    flow = self.event(worker, Event::RequestBytes { bytes });
                }
                Command::ReadResponseBody => {
                    assert!(!self.reading_response, "read twice");
                    self.reading_response = true;
                    let bytes = self.response_buffer.clone();
                    flow = self.event(
                        worker,
                        Event::ResponseBytes {
                            bytes,
                            end: self.response_end,
                        },
                    );
                    self.reading_response = false;
                }
                Command::Callout(callout) => {
                    assert_eq!(at, last, "the callout is the last command");
                    assert!(self.pending.is_none(), "one call at a time");
                    self.seen.companion_calls += 1;
                    self.pending = Some(callout);
                }
                Command::Reply(reply) => {
                    assert!(!self.replied, "two replies");
                    self.replied = true;
                    self.seen.reply = Some(reply);
                }
                Command::ResumeRequest => {
                    assert!(!self.released && !self.replied, "two ends");
                    self.released = true;
                    self.seen.upstream = Some((self.request.clone(), self.request_body.clone()));
                }
                Command::ResumeResponse => {
                    self.response_released = true;
                    self.flush();
                }
                Command::Wake(_) | Command::Gauge { .. } => panic!("only the engine does"),
                Command::FilterState { key, value } => {
                    self.seen.states.insert(key, value);
                }
                Command::Count { counter, by } => {
                    *self.seen.counts.entry(counter.name()).or_default() += by;
                }
                Command::Log { .. } => {}
            }
        }
        flow
    }
}
