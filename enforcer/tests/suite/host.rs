//! A host that behaves like Envoy with `allow_on_headers_stop_iteration`, and checks the promises of `Command` on the way.

use std::collections::BTreeMap;

use apl_bytecode::Algorithm;
use aplomb_enforcer::{
    CallToken, Callout, Command, Engine, Event, Exchange, ExchangeId, Flow, PluginConfig, Reaction, Reply,
    Secrets,
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use companion_protocol::{Effect, EffectResult, EffectsRequest, EffectsResponse, Grant, Labels};
use serde_json::{Value, json};

use crate::{jwt, program};

/// 22 November 2026, 12:00 UTC.
pub(crate) const NOW_MS: u64 = 1_795_348_800_000;

pub(crate) type Header = (Vec<u8>, Vec<u8>);

/// Names and values.
pub(crate) type Headers = Vec<(String, String)>;

/// What a call to the companion comes to.
#[derive(Clone)]
pub(crate) enum Said {
    Status(u16, Vec<u8>),
    Failed,
}

/// The companion: labels in memory, tokens for everybody, and a script of faults.
#[derive(Default)]
pub(crate) struct Companion {
    pub(crate) sessions: BTreeMap<String, Vec<String>>,
    pub(crate) records: Vec<companion_protocol::AuditRecord>,
    pub(crate) calls: Vec<EffectsRequest>,
    pub(crate) epoch: String,
    /// Instead of the next answers.
    pub(crate) faults: Vec<Said>,
    /// Instead of a result, by the effect's kind.
    pub(crate) results: BTreeMap<&'static str, EffectResult>,
    pub(crate) jwks: Option<String>,
    pub(crate) key_requests: Vec<String>,
    /// How long a minted token lives, in seconds.
    pub(crate) token_life: u64,
}

impl Companion {
    pub(crate) fn answer(&mut self, callout: &Callout, now_ms: u64) -> Said {
        let header = |name: &str| {
            callout
                .headers
                .iter()
                .find(|(n, _)| n == name)
                .map(|(_, v)| v.clone())
                .unwrap()
        };
        if header(":method") == "GET" {
            self.key_requests.push(header(":path"));
            return match &self.jwks {
                Some(jwks) => Said::Status(200, jwks.clone().into_bytes()),
                None => Said::Status(503, Vec::new()),
            };
        }
        let request: EffectsRequest = serde_json::from_slice(&callout.body).unwrap();
        self.calls.push(request.clone());
        if !self.faults.is_empty() {
            return self.faults.remove(0);
        }
        let mut results = Vec::new();
        let mut stopped = false;
        for call in &request.effects {
            if stopped {
                results.push(EffectResult::Skipped);
                continue;
            }
            let result = self.perform(&call.effect, now_ms);
            stopped = call.on_fail == companion_protocol::OnFail::Stop
                && matches!(result, EffectResult::Denied { .. } | EffectResult::Failed { .. });
            results.push(result);
        }
        let response = EffectsResponse {
            epoch: self.epoch.clone(),
            results,
        };
        Said::Status(200, serde_json::to_vec(&response).unwrap())
    }

    fn perform(&mut self, effect: &Effect, now_ms: u64) -> EffectResult {
        let kind = kind(effect);
        if let Some(result) = self.results.get(kind) {
            return result.clone();
        }
        match effect {
            Effect::SessionLoad { session } => {
                let labels = self.sessions.get(&session.session).cloned().unwrap_or_default();
                EffectResult::Labels(Labels {
                    session: labels,
                    ..Labels::default()
                })
            }
            Effect::SessionAppend { session, labels, .. } => {
                let known = self.sessions.entry(session.session.clone()).or_default();
                known.extend(labels.iter().cloned());
                known.sort();
                known.dedup();
                EffectResult::Labels(Labels {
                    session: known.clone(),
                    ..Labels::default()
                })
            }
            Effect::TokenExchange(asked) => EffectResult::Granted(Grant {
                token: format!("minted-for-{}", asked.expected_sub.clone().unwrap_or_default()),
                outbound_header: "authorization".to_owned(),
                outbound_prefix: "Bearer ".to_owned(),
                audience: asked.audience.clone(),
                permissions: asked.permissions.clone(),
                expires_at: now_ms / 1000
                    + if self.token_life == 0 {
                        300
                    } else {
                        self.token_life
                    },
            }),
            Effect::ElicitBegin(_)
            | Effect::ElicitCheck(_)
            | Effect::ElicitRedeem(_)
            | Effect::PdpDecide(_)
            | Effect::ApiKey { .. }
            | Effect::LimitCount { .. } => panic!("this host answers no {kind}"),
            Effect::AuditAppend { record } => {
                self.records.push((**record).clone());
                EffectResult::Done
            }
        }
    }
}

pub(crate) fn kind(effect: &Effect) -> &'static str {
    match effect {
        Effect::SessionLoad { .. } => "session.load",
        Effect::SessionAppend { .. } => "session.append",
        Effect::TokenExchange(_) => "token.exchange",
        Effect::AuditAppend { .. } => "audit.append",
        Effect::ElicitBegin(_) => "elicit.begin",
        Effect::ElicitCheck(_) => "elicit.check",
        Effect::ElicitRedeem(_) => "elicit.redeem",
        Effect::PdpDecide(_) => "pdp.decide",
        Effect::ApiKey { .. } => "identity.api_key",
        Effect::LimitCount { .. } => "limit.count",
    }
}

/// A worker: engine, companion, clock.
pub(crate) struct Worker {
    pub(crate) engine: Engine,
    pub(crate) companion: Companion,
    pub(crate) now_ms: u64,
    next: u32,
    /// Chunks in which bodies arrive; 0: all at once.
    pub(crate) chunk: usize,
}

/// What the backend and the client saw.
#[derive(Debug, Default, Clone, PartialEq)]
pub(crate) struct Seen {
    pub(crate) reply: Option<Reply>,
    /// The request as it went on.
    pub(crate) upstream: Option<(Headers, Vec<u8>)>,
    /// The response as it went on: status, headers, body.
    pub(crate) client: Option<(u16, Headers, Vec<u8>)>,
    pub(crate) companion_calls: usize,
}

impl Seen {
    pub(crate) fn code(&self) -> String {
        let headers = match (&self.reply, &self.client) {
            (Some(reply), _) => &reply.headers,
            (None, Some((_, headers, _))) => headers,
            (None, None) => panic!("nothing was answered: {self:?}"),
        };
        headers
            .iter()
            .find(|(name, _)| name == "x-policy-violation")
            .map(|(_, v)| v.clone())
            .unwrap_or_default()
    }

    pub(crate) fn reply_json(&self) -> Value {
        serde_json::from_slice(&self.reply.as_ref().expect("a reply").body).expect("JSON")
    }

    pub(crate) fn forwarded(&self) -> bool {
        self.upstream.is_some()
    }

    pub(crate) fn upstream_header(&self, name: &str) -> Option<String> {
        let (headers, _) = self.upstream.as_ref().expect("forwarded");
        headers.iter().find(|(n, _)| n == name).map(|(_, v)| v.clone())
    }

    pub(crate) fn client_body(&self) -> String {
        String::from_utf8(self.client.as_ref().expect("a response").2.clone()).unwrap()
    }
}

/// A response of the backend.
#[derive(Clone)]
pub(crate) struct Backend {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Backend {
    pub(crate) fn json(body: &str) -> Self {
        Self::of(200, "application/json", body)
    }

    pub(crate) fn events(body: &str) -> Self {
        Self::of(200, "text/event-stream", body)
    }

    pub(crate) fn of(status: u16, media: &str, body: &str) -> Self {
        let mut headers = vec![
            ("content-type".to_owned(), media.to_owned()),
            ("etag".to_owned(), "\"x\"".to_owned()),
        ];
        if media != "text/event-stream" {
            headers.push(("content-length".to_owned(), body.len().to_string()));
        }
        Self {
            status,
            headers,
            body: body.as_bytes().to_vec(),
        }
    }
}

pub(crate) fn config(policy: &[u8], change: impl FnOnce(&mut Value)) -> Value {
    let mut config = json!({
        "policy": STANDARD.encode(policy),
        "protocols": [{"path_prefix": "/mcp", "speaks": "mcp"}],
        "companion": {"cluster": "companion"},
        "install": {"mode": "full"},
        "hash_key_env": "HASH_KEY",
    });
    change(&mut config);
    config
}

pub(crate) fn secrets() -> Secrets {
    Secrets {
        hash_key: Some(b"0123456789abcdef".to_vec()),
        companion_token: None,
        variable: |name| (name == "UPSTREAM_KEY").then(|| "s3cret".to_owned()),
    }
}

pub(crate) fn engine(policy: &[u8], change: impl FnOnce(&mut Value)) -> Engine {
    let text = config(policy, change).to_string();
    match PluginConfig::parse(text.as_bytes()).expect("a configuration") {
        PluginConfig::Decide(config) => Engine::new(*config, secrets(), [1; 32]).expect("an engine"),
        PluginConfig::Hold(_) => panic!("a holder"),
    }
}

impl Worker {
    /// With the seed-like program and its keys loaded.
    pub(crate) fn new() -> Self {
        Self::with(&program::seed(&[Algorithm::Es256], None).bytes(), |_| {})
    }

    pub(crate) fn with(policy: &[u8], change: impl FnOnce(&mut Value)) -> Self {
        let mut worker = Self::cold(policy, change);
        worker.companion.jwks = Some(jwt::jwks(&[&jwt::es256()]));
        worker.tick();
        worker
    }

    /// Without keys, and the companion has none either.
    pub(crate) fn cold(policy: &[u8], change: impl FnOnce(&mut Value)) -> Self {
        let companion = Companion {
            epoch: "e1".to_owned(),
            ..Companion::default()
        };
        Self {
            engine: engine(policy, change),
            companion,
            now_ms: NOW_MS,
            next: 0,
            chunk: 0,
        }
    }

    /// One tick; the exchanges to wake.
    pub(crate) fn tick(&mut self) -> Vec<ExchangeId> {
        let commands = self.engine.on_tick(self.now_ms);
        self.root(commands)
    }

    fn root(&mut self, commands: Vec<Command>) -> Vec<ExchangeId> {
        let mut wake = Vec::new();
        for command in commands {
            match command {
                Command::Callout(callout) => {
                    let said = self.companion.answer(&callout, self.now_ms);
                    let answer = match &said {
                        Said::Status(status, body) => Some((*status, body.as_slice())),
                        Said::Failed => None,
                    };
                    let more = self.engine.on_root_answer(callout.token, answer, self.now_ms);
                    wake.extend(self.root(more));
                }
                Command::Wake(id) => wake.push(id),
                Command::Count { .. } | Command::Log { .. } => {}
                other => panic!("not from the engine: {other:?}"),
            }
        }
        wake
    }

    pub(crate) fn open(&mut self, headers: &[(&str, &str)]) -> Stream {
        self.next += 1;
        Stream::new(ExchangeId(self.next), headers)
    }

    /// A whole POST of a JSON-RPC body, answered by the backend if it gets there.
    pub(crate) fn post(&mut self, headers: &[(&str, &str)], body: &str, backend: Option<&Backend>) -> Seen {
        let length = body.len().to_string();
        let mut all = vec![
            (":method", "POST"),
            (":path", "/mcp"),
            (":authority", "x"),
            (":scheme", "http"),
            ("content-type", "application/json"),
            ("accept", "application/json, text/event-stream"),
            ("content-length", length.as_str()),
        ];
        for (name, value) in headers {
            all.retain(|(known, _)| known != name);
            if !value.is_empty() {
                all.push((name, value));
            }
        }
        let mut stream = self.open(&all);
        stream.run(self, body.as_bytes(), backend);
        stream.seen
    }

    /// `tools/call` as a user.
    pub(crate) fn call(&mut self, user: &str, tool: &str, args: &str, backend: Option<&Backend>) -> Seen {
        let bearer = format!("Bearer {}", jwt::token(user));
        self.post(&[("authorization", &bearer)], &call(tool, args), backend)
    }
}

pub(crate) fn call(tool: &str, args: &str) -> String {
    format!(
        r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{"name":"{tool}","arguments":{args}}}}}"#
    )
}

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
        let chunk = if worker.chunk == 0 {
            backend.body.len().max(1)
        } else {
            worker.chunk
        };
        let count = backend.body.len().div_ceil(chunk);
        for (at, part) in backend.body.chunks(chunk).enumerate() {
            if self.replied {
                break;
            }
            self.response_buffer.extend_from_slice(part);
            self.response_end = at + 1 == count;
            let event = Event::ResponseBody {
                buffered: self.response_buffer.len(),
                end: self.response_end,
            };
            let flow = self.event(worker, event);
            if flow == Flow::Continue {
                self.flush();
            }
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
                Command::Wake(_) => panic!("only the engine wakes"),
                Command::Count { .. } | Command::Log { .. } | Command::FilterState { .. } => {}
            }
        }
        flow
    }
}
