//! One HTTP stream as Envoy would deliver it, with `allow_on_headers_stop_iteration`.

use aplomb_enforcer::{Callout, Command, Engine, Event, Exchange, ExchangeId, Flow, Reaction, Reply};

use super::companion::Companion;
use super::message::Response;
use super::{Forwarded, ProxyError};

type Headers = Vec<(String, String)>;

/// A stream and both its buffers.
pub(super) struct Stream {
    exchange: Exchange,
    request: Headers,
    request_body: Vec<u8>,
    response: Headers,
    response_body: Vec<u8>,
    response_end: bool,
    pending: Option<Callout>,
    upstream: Option<Forwarded>,
    reply: Option<Reply>,
    client: Option<Vec<u8>>,
}

/// Key sets and queued records.
///
/// # Errors
///
/// The enforcer's fault.
pub(super) fn tick(engine: &mut Engine, companion: &mut Companion, now_ms: u64) -> Result<(), ProxyError> {
    let mut commands = engine.on_tick(now_ms);
    // Each answer may lead to one more call; the queue of one exchange is short.
    for _ in 0..64 {
        let mut more = Vec::new();
        for command in commands {
            match command {
                Command::Callout(callout) => {
                    let said = companion.answer(&callout, now_ms);
                    let answer = said.as_ref().map(|(status, body)| (*status, body.as_slice()));
                    more.extend(engine.on_root_answer(callout.token, answer, now_ms));
                }
                Command::Wake(_) | Command::Count { .. } | Command::Gauge { .. } | Command::Log { .. } => {}
                other => {
                    return Err(ProxyError::Enforcer(format!(
                        "between exchanges it asked for {other:?}"
                    )));
                }
            }
        }
        if more.is_empty() {
            return Ok(());
        }
        commands = more;
    }
    Err(ProxyError::Enforcer(
        "it never stops calling the companion".to_owned(),
    ))
}

impl Stream {
    /// A stream with these request headers.
    pub(super) fn new(id: u32, request: Headers) -> Self {
        Self {
            exchange: Exchange::new(ExchangeId(id)),
            request,
            request_body: Vec::new(),
            response: Vec::new(),
            response_body: Vec::new(),
            response_end: false,
            pending: None,
            upstream: None,
            reply: None,
            client: None,
        }
    }

    /// Names the exchange's verdict.
    pub(super) fn decision_id(&self) -> &str {
        self.exchange.decision_id()
    }

    /// Whether the request went on.
    pub(super) const fn forwarded(&self) -> bool {
        self.upstream.is_some()
    }

    /// The local reply.
    pub(super) const fn reply(&self) -> Option<&Reply> {
        self.reply.as_ref()
    }

    /// Its status.
    pub(super) fn reply_status(&self) -> Option<u16> {
        self.reply.as_ref().map(|reply| reply.status)
    }

    /// The response as it leaves.
    pub(super) fn client(&self) -> Option<(&Headers, &[u8])> {
        self.client.as_ref().map(|body| (&self.response, body.as_slice()))
    }

    /// The request as it went on, and the response's body as it left.
    pub(super) fn into_bytes(self) -> (Option<Forwarded>, Option<Vec<u8>>) {
        (self.upstream, self.client)
    }

    /// What the proxy says of the connection, head and body.
    pub(super) fn request(
        &mut self,
        engine: &mut Engine,
        companion: &mut Companion,
        properties: Vec<Option<Vec<u8>>>,
        body: &[u8],
        now_ms: u64,
    ) -> Result<(), ProxyError> {
        if !properties.is_empty() {
            self.event(engine, Event::Properties { values: properties }, now_ms)?;
        }
        let headers = bytes(&self.request);
        let seed = u128::from(self.exchange.id().0) + 1;
        let head = Event::RequestHead {
            headers: &headers,
            end_of_stream: body.is_empty(),
            seed,
        };
        self.event(engine, head, now_ms)?;
        if self.reply.is_none() && !body.is_empty() {
            self.request_body = body.to_vec();
            let event = Event::RequestBody {
                buffered: body.len(),
                end: true,
            };
            self.event(engine, event, now_ms)?;
        }
        self.settle(engine, companion, now_ms)
    }

    /// The backend's answer.
    pub(super) fn respond(
        &mut self,
        engine: &mut Engine,
        companion: &mut Companion,
        response: &Response,
        now_ms: u64,
    ) -> Result<(), ProxyError> {
        self.response.clone_from(&response.headers);
        self.client = Some(Vec::new());
        let mut headers = vec![(b":status".to_vec(), response.status.to_string().into_bytes())];
        headers.extend(bytes(&response.headers));
        let empty = response.body.is_empty();
        let head = Event::ResponseHead {
            headers: &headers,
            end_of_stream: empty,
            from_upstream: true,
        };
        self.event(engine, head, now_ms)?;
        if !empty {
            self.response_body.clone_from(&response.body);
            self.response_end = true;
            let event = Event::ResponseBody {
                buffered: response.body.len(),
                end: true,
            };
            if self.event(engine, event, now_ms)? == Flow::Continue {
                self.flush();
            }
        }
        self.settle(engine, companion, now_ms)
    }

    /// The end.
    pub(super) fn gone(
        &mut self,
        engine: &mut Engine,
        companion: &mut Companion,
        now_ms: u64,
    ) -> Result<(), ProxyError> {
        self.event(engine, Event::Gone, now_ms)?;
        tick(engine, companion, now_ms)
    }

    /// Answers the companion's calls until nothing is pending.
    fn settle(
        &mut self,
        engine: &mut Engine,
        companion: &mut Companion,
        now_ms: u64,
    ) -> Result<(), ProxyError> {
        while let Some(callout) = self.pending.take() {
            match companion.answer(&callout, now_ms) {
                Some((status, body)) => {
                    let event = Event::CalloutAnswer {
                        token: callout.token,
                        status,
                        body: &body,
                    };
                    self.event(engine, event, now_ms)?;
                }
                None => {
                    self.event(engine, Event::CalloutFailed { token: callout.token }, now_ms)?;
                }
            }
        }
        Ok(())
    }

    fn flush(&mut self) {
        let body = std::mem::take(&mut self.response_body);
        if let Some(client) = &mut self.client {
            client.extend(body);
        }
    }

    fn event(&mut self, engine: &mut Engine, event: Event<'_>, now_ms: u64) -> Result<Flow, ProxyError> {
        let reaction = self.exchange.on_event(engine, event, now_ms);
        self.carry_out(engine, reaction, now_ms)
    }

    fn carry_out(
        &mut self,
        engine: &mut Engine,
        reaction: Reaction,
        now_ms: u64,
    ) -> Result<Flow, ProxyError> {
        let mut flow = reaction.flow;
        for command in reaction.commands {
            match command {
                Command::SetRequestHeader { name, value } => set(&mut self.request, name, value),
                Command::RemoveRequestHeader { name } => self.request.retain(|(known, _)| *known != name),
                Command::ReplaceRequestBody { bytes } => self.request_body = bytes,
                Command::SetResponseHeader { name, value } => set(&mut self.response, name, value),
                Command::RemoveResponseHeader { name } => self.response.retain(|(known, _)| *known != name),
                Command::ReplaceResponseBody { bytes } => self.response_body = bytes,
                Command::ReadRequestBody => {
                    let bytes = self.request_body.clone();
                    flow = self.event(engine, Event::RequestBytes { bytes }, now_ms)?;
                }
                Command::ReadResponseBody => {
                    let event = Event::ResponseBytes {
                        bytes: self.response_body.clone(),
                        end: self.response_end,
                    };
                    flow = self.event(engine, event, now_ms)?;
                }
                Command::Callout(callout) => self.pending = Some(callout),
                Command::Reply(reply) => {
                    self.reply = Some(reply);
                    self.client = None;
                }
                Command::ResumeRequest => {
                    self.upstream = Some(Forwarded {
                        headers: self.request.clone(),
                        body: self.request_body.clone(),
                    })
                }
                Command::ResumeResponse => self.flush(),
                Command::Wake(_) | Command::Gauge { .. } => {
                    return Err(ProxyError::Enforcer(
                        "an exchange did what is the engine's".to_owned(),
                    ));
                }
                Command::Count { .. } | Command::Log { .. } | Command::FilterState { .. } => {}
            }
        }
        Ok(flow)
    }
}

fn set(headers: &mut Headers, name: String, value: String) {
    headers.retain(|(known, _)| *known != name);
    headers.push((name, value));
}

fn bytes(headers: &Headers) -> Vec<(Vec<u8>, Vec<u8>)> {
    headers
        .iter()
        .map(|(name, value)| (name.clone().into_bytes(), value.clone().into_bytes()))
        .collect()
}
