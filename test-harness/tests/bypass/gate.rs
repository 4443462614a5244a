//! The compiled filter as one gate: what is sent to it, and what came out at both ends.
//!
//! Whatever a case sends, these hold, in both ways of holding headers: what policy denies or removes is in no byte at the
//! backend or the client, there is an answer, the module does not trap and never answers twice (the host says so).

use aplomb_test_harness::abi::{ExchangeId, Host, Message};
use serde_json::{Value, json};

use crate::policy::{self, ARGUMENT, RESULT, With};

/// How the module is installed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    Full,
    Paired,
    Single,
}

/// Both ways that hold headers.
pub(crate) const MODES: [Mode; 2] = [Mode::Full, Mode::Paired];

/// A VM with the module installed one way.
pub(crate) struct Proxy {
    pub(crate) host: Host,
    pub(crate) chain: Vec<u32>,
    mode: Mode,
}

/// A message of the backend.
#[derive(Debug, Clone)]
pub(crate) struct Back {
    pub(crate) head: Vec<(String, String)>,
    pub(crate) chunks: Vec<Vec<u8>>,
    pub(crate) trailers: bool,
}

/// A message of the client.
#[derive(Debug, Clone)]
pub(crate) struct Ask {
    pub(crate) head: Vec<(String, String)>,
    pub(crate) chunks: Vec<Vec<u8>>,
    pub(crate) trailers: bool,
    pub(crate) back: Option<Back>,
}

/// What came of an exchange.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    pub(crate) upstream: Message,
    pub(crate) client: Message,
    pub(crate) status: String,
    pub(crate) code: String,
}

impl Back {
    /// A complete message of this type.
    pub(crate) fn of(media: &str, body: impl Into<Vec<u8>>) -> Self {
        let body = body.into();
        let head = [(":status", "200"), ("content-type", media)];
        Self {
            head: head
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .to_vec(),
            chunks: vec![body],
            trailers: false,
        }
    }

    pub(crate) fn json(body: impl Into<Vec<u8>>) -> Self {
        Self::of("application/json", body)
    }

    pub(crate) fn events(body: impl Into<Vec<u8>>) -> Self {
        Self::of("text/event-stream", body)
    }

    /// The right answer to [`policy::call`], with the value that policy removes.
    pub(crate) fn answer() -> Self {
        Self::json(policy::answer(&json!(7)))
    }

    pub(crate) fn with(mut self, name: &str, value: &str) -> Self {
        set(&mut self.head, name, value);
        self
    }

    pub(crate) fn bytewise(mut self) -> Self {
        self.chunks = split(&self.chunks.concat());
        self
    }
}

impl Ask {
    /// A POST of this body.
    pub(crate) fn post(body: impl Into<Vec<u8>>) -> Self {
        Self::of("POST", vec![body.into()])
    }

    pub(crate) fn of(method: &str, chunks: Vec<Vec<u8>>) -> Self {
        let head = [
            (":method", method),
            (":path", "/mcp"),
            (":authority", "tools.example"),
            (":scheme", "http"),
            ("content-type", "application/json"),
            ("accept", "application/json, text/event-stream"),
        ];
        Self {
            head: head
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .to_vec(),
            chunks,
            trailers: false,
            back: None,
        }
    }

    pub(crate) fn with(mut self, name: &str, value: &str) -> Self {
        set(&mut self.head, name, value);
        self
    }

    /// Once more, beside what stands there.
    pub(crate) fn twice(mut self, name: &str, value: &str) -> Self {
        self.head.push((name.to_owned(), value.to_owned()));
        self
    }

    pub(crate) fn without(mut self, name: &str) -> Self {
        self.head.retain(|(known, _)| known != name);
        self
    }

    pub(crate) fn bytewise(mut self) -> Self {
        self.chunks = split(&self.chunks.concat());
        self
    }

    pub(crate) fn back(mut self, back: Back) -> Self {
        self.back = Some(back);
        self
    }

    fn pairs(head: &[(String, String)]) -> Vec<(&str, &str)> {
        head.iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect()
    }
}

fn set(head: &mut Vec<(String, String)>, name: &str, value: &str) {
    head.retain(|(known, _)| known != name);
    head.push((name.to_owned(), value.to_owned()));
}

fn split(bytes: &[u8]) -> Vec<Vec<u8>> {
    bytes.iter().map(|byte| vec![*byte]).collect()
}

impl Proxy {
    pub(crate) fn start(mode: Mode, configuration: &Value) -> Self {
        let mut host = Host::start(&[("SEAL_KEY", "a key of thirty-two bytes, or so")]).unwrap();
        let chain = Self::install(&mut host, mode, configuration);
        Self { host, chain, mode }
    }

    /// Adds the plugins of an installation to the VM.
    pub(crate) fn install(host: &mut Host, mode: Mode, configuration: &Value) -> Vec<u32> {
        let installs = match mode {
            Mode::Full => vec![json!({"mode": "full"})],
            Mode::Single => vec![json!({"mode": "single"})],
            Mode::Paired => ["decider", "holder"]
                .map(|role| json!({"mode": "paired", "role": role}))
                .to_vec(),
        };
        installs
            .into_iter()
            .map(|install| {
                let mut configuration = configuration.clone();
                configuration["install"] = install;
                host.configure(&configuration.to_string()).unwrap().root()
            })
            .collect()
    }

    pub(crate) fn open(&mut self) -> ExchangeId {
        self.host.exchange(&self.chain, self.mode == Mode::Full)
    }

    /// The head alone.
    pub(crate) fn head(&mut self, ask: &Ask) -> ExchangeId {
        let x = self.open();
        let end = ask.chunks.is_empty() && !ask.trailers;
        self.host.request_head(x, &Ask::pairs(&ask.head), end).unwrap();
        x
    }

    /// What follows the head.
    pub(crate) fn body(&mut self, x: ExchangeId, ask: &Ask) {
        for (at, chunk) in ask.chunks.iter().enumerate() {
            let end = at + 1 == ask.chunks.len() && !ask.trailers;
            self.host.request_body(x, chunk, end).unwrap();
        }
        if ask.trailers {
            self.host.request_trailers(x).unwrap();
        }
    }

    /// The backend's message, as far as `chunks` go; an unfinished one has neither end nor trailers.
    pub(crate) fn back(&mut self, x: ExchangeId, back: &Back, finish: bool) {
        let end = back.chunks.is_empty() && finish && !back.trailers;
        self.host.response_head(x, &Ask::pairs(&back.head), end).unwrap();
        for (at, chunk) in back.chunks.iter().enumerate() {
            let end = at + 1 == back.chunks.len() && finish && !back.trailers;
            self.host.response_body(x, chunk, end).unwrap();
        }
        if back.trailers && finish {
            self.host.response_trailers(x).unwrap();
        }
    }

    /// The whole exchange.
    pub(crate) fn send(&mut self, ask: &Ask) -> Seen {
        let x = self.head(ask);
        self.body(x, ask);
        if let Some(back) = ask.back.as_ref().filter(|_| self.host.upstream(x).ended) {
            self.back(x, back, true);
        }
        let seen = self.seen(x);
        self.host.end(x).unwrap();
        assert!(
            seen.upstream.ended || seen.client.ended,
            "a hung request: {ask:?}"
        );
        seen
    }

    /// What has come of it, and that nothing is where it must not be.
    pub(crate) fn seen(&self, x: ExchangeId) -> Seen {
        let (upstream, client) = (self.host.upstream(x), self.host.client(x));
        keeps(&upstream, &[ARGUMENT, "\"denied\""], "the backend");
        keeps(&client, &[RESULT], "the client");
        Seen {
            status: client.header(":status").unwrap_or_default(),
            code: client.header("x-policy-violation").unwrap_or_default(),
            upstream,
            client,
        }
    }
}

/// None of these words is in the message.
pub(crate) fn keeps(message: &Message, words: &[&str], whose: &str) {
    let mut text = String::from_utf8_lossy(&message.body).into_owned();
    for (name, value) in &message.headers {
        text.push_str(&String::from_utf8_lossy(name));
        text.push_str(&String::from_utf8_lossy(value));
    }
    for word in words {
        assert!(!text.contains(word), "GOT THROUGH to {whose}: `{word}` in {text}");
    }
}

/// The same request to both ways of holding headers, which must agree.
pub(crate) fn send_with(configuration: &Value, ask: &Ask) -> Seen {
    agreed(&mut MODES.map(|mode| Proxy::start(mode, configuration)), ask)
}

thread_local! {
    /// The plain policy's VMs of this thread: many requests one after the other is what they live with.
    static PLAIN: std::cell::RefCell<Option<[Proxy; 2]>> = const { std::cell::RefCell::new(None) };
}

/// The same with the plain policy.
pub(crate) fn send(ask: &Ask) -> Seen {
    let kept = PLAIN.with(|plain| plain.borrow_mut().take());
    let mut proxies =
        kept.unwrap_or_else(|| MODES.map(|mode| Proxy::start(mode, &policy::configuration(With::Nothing))));
    let seen = agreed(&mut proxies, ask);
    PLAIN.with(|plain| *plain.borrow_mut() = Some(proxies));
    seen
}

fn agreed(proxies: &mut [Proxy; 2], ask: &Ask) -> Seen {
    let [full, paired] = proxies.each_mut().map(|proxy| proxy.send(ask));
    assert_eq!(
        (&full.status, &full.code, &full.upstream.body),
        (&paired.status, &paired.code, &paired.upstream.body),
        "full and paired differ: {ask:?}"
    );
    full
}

impl Seen {
    /// Answered by the filter with this status and code, and nothing reached the backend.
    pub(crate) fn refused(&self, status: u16, code: &str) -> String {
        assert!(!self.upstream.started, "GOT THROUGH: {:?}", self.upstream);
        assert!(self.client.ended, "no answer");
        assert_eq!(
            (self.status.as_str(), self.code.as_str()),
            (status.to_string().as_str(), code)
        );
        format!("{status} {code}")
    }

    /// The answer's JSON.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.client.body).unwrap_or_else(|error| {
            panic!("{error}: {}", String::from_utf8_lossy(&self.client.body));
        })
    }

    /// The client's bytes as text.
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.client.body).into_owned()
    }

    /// It reached the backend, and the client got the backend's answer without what policy removes.
    pub(crate) fn governed(&self) -> &'static str {
        assert!(
            self.upstream.ended,
            "not forwarded: {} {} {}",
            self.status,
            self.code,
            self.text()
        );
        assert_eq!(
            (self.status.as_str(), self.code.as_str()),
            ("200", ""),
            "{}",
            self.text()
        );
        assert!(self.text().contains("\"b\":2"), "{}", self.text());
        "200, the secret removed both ways"
    }

    /// The result was withheld after the call.
    pub(crate) fn withheld(&self, code: &str) -> String {
        assert!(
            self.upstream.ended,
            "not forwarded: {} {}",
            self.status, self.code
        );
        let in_header = self.code == code;
        assert!(
            in_header || self.text().contains(&format!("\"{code}\"")),
            "{} {}",
            self.code,
            self.text()
        );
        format!("withheld, {code}")
    }
}
