//! A host that behaves like Envoy with `allow_on_headers_stop_iteration`, and checks the promises of `Command` on the way.

#[path = "host/companion.rs"]
mod companion;
#[path = "host/stream.rs"]
mod stream;

use apl_bytecode::Algorithm;
use aplomb_enforcer::{Command, Engine, ExchangeId, PluginConfig, Reply, Secrets};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

use crate::{jwt, program};

pub(crate) use companion::{Companion, Said, kind};
pub(crate) use stream::Stream;

/// 22 November 2026, 12:00 UTC.
pub(crate) const NOW_MS: u64 = 1_795_348_800_000;

pub(crate) type Header = (Vec<u8>, Vec<u8>);

/// Names and values.
pub(crate) type Headers = Vec<(String, String)>;

/// A worker: engine, companion, clock.
pub(crate) struct Worker {
    pub(crate) engine: Engine,
    pub(crate) companion: Companion,
    pub(crate) now_ms: u64,
    next: u32,
    /// Chunks in which bodies arrive; 0: all at once.
    pub(crate) chunk: usize,
    /// Properties of the proxy, by their paths joined by slashes.
    pub(crate) properties: std::collections::BTreeMap<String, Vec<u8>>,
    /// Sizes of the chunks of a response, one after the other and again from the start; wins over `chunk`.
    pub(crate) cuts: Vec<usize>,
    /// What the engine showed last.
    pub(crate) gauges: std::collections::BTreeMap<&'static str, u64>,
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
    /// Bytes of the response that the client had before the last of it came.
    pub(crate) before_end: usize,
    /// Filter state, as it was set last.
    pub(crate) states: std::collections::BTreeMap<&'static str, String>,
    /// What was counted.
    pub(crate) counts: std::collections::BTreeMap<&'static str, u64>,
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
        seal_key: Some(b"seal-key-of-the-tests".to_vec()),
        seal_previous_key: None,
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
            properties: std::collections::BTreeMap::new(),
            cuts: Vec::new(),
            gauges: std::collections::BTreeMap::new(),
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
                Command::Gauge { gauge, value } => {
                    self.gauges.insert(gauge.name(), value);
                }
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
