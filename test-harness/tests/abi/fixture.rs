//! A program made by hand, so that these tests need no compiler, and exchanges that call its tools.

use apl_bytecode::{
    Block, BlockId, BlockKind, Code, Denial, DenialId, Effect, EffectId, Enforcement, EntityKind, Instr,
    Matcher, PathSeg, Pipeline, PipelineId, Program, Route, Side, Stage, StrId,
};
use aplomb_test_harness::abi::{ExchangeId, Host};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

/// Tools: `echo` is allowed, `denied` is not, `edited` loses `args.secret` and `result.secret`, `recorded` waits for a
/// durable audit record.
pub(crate) fn program() -> Program {
    let mut program = Program::default();
    let mut text = |text: &str| {
        program.strings.push(text.to_owned());
        StrId(u32::try_from(program.strings.len() - 1).unwrap())
    };
    let [echo, denied, edited, recorded] = ["echo", "denied", "edited", "recorded"].map(&mut text);
    let (code, reason, secret, plugin) = (
        text("test.denied"),
        text("not today"),
        text("secret"),
        text("audit-log"),
    );
    program.denials.push(Denial {
        code: Code::Text(code),
        reason: Some(reason),
    });
    program.effects.push(Effect::Audit {
        plugin,
        durable: true,
        code: Code::Text(code),
    });
    for side in [Side::Args, Side::Result] {
        let (path, stages) = (vec![PathSeg::Key(secret)], vec![Stage::Omit]);
        program.pipelines.push(Pipeline {
            side,
            path,
            stages,
            denial: DenialId(0),
        });
    }
    for code in [
        vec![Instr::Deny(DenialId(0))],
        vec![Instr::Pipeline(PipelineId(0))],
        vec![Instr::Pipeline(PipelineId(1))],
        vec![Instr::Effect(EffectId(0)), Instr::Await],
    ] {
        program.blocks.push(Block {
            kind: BlockKind::Steps,
            code,
        });
    }
    let route = |name, pre: Option<u32>, post: Option<u32>| Route {
        entity: EntityKind::Tool,
        matcher: Matcher::Exact(name),
        scope: None,
        pre: pre.map(BlockId),
        post: post.map(BlockId),
        identities: Vec::new(),
        response: None,
        pass_unparseable: false,
        enforcement: Enforcement::Enforce,
        owner: None,
        assertions: None,
        tags: Vec::new(),
        properties: Vec::new(),
    };
    program.routes = vec![
        route(echo, None, None),
        route(denied, Some(0), None),
        route(edited, Some(1), Some(2)),
        route(recorded, Some(3), None),
    ];
    program
}

/// A configuration that is right, but for the way of installing.
pub(crate) fn configuration(install: Value) -> Value {
    json!({
        "policy": STANDARD.encode(apl_bytecode::encode(&program())),
        "protocols": [{"path_prefix": "/mcp", "speaks": "mcp"}],
        "companion": {"cluster": "companion"},
        "limits": {"max_body_bytes": 4096, "max_inflight_bytes": 1 << 20},
        "install": install,
    })
}

/// How the module is installed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    Full,
    Paired,
    /// One plugin, and the proxy does not hold headers.
    Single,
}

/// Both ways that hold headers: what is true of one must be true of the other.
pub(crate) const MODES: [Mode; 2] = [Mode::Full, Mode::Paired];

/// A VM with the module installed that way.
pub(crate) struct Proxy {
    pub(crate) host: Host,
    pub(crate) chain: Vec<u32>,
    mode: Mode,
}

impl Proxy {
    pub(crate) fn start(mode: Mode) -> Self {
        Self::with(mode, configuration)
    }

    /// With another configuration, given the way of installing.
    pub(crate) fn with(mode: Mode, configuration: impl Fn(Value) -> Value) -> Self {
        let mut host = Host::start(&[]).unwrap();
        let installs = match mode {
            Mode::Full => vec![json!({"mode": "full"})],
            Mode::Single => vec![json!({"mode": "single"})],
            Mode::Paired => vec![
                json!({"mode": "paired", "role": "decider"}),
                json!({"mode": "paired", "role": "holder"}),
            ],
        };
        let chain = installs
            .into_iter()
            .map(|install| {
                host.configure(&configuration(install).to_string())
                    .unwrap()
                    .root()
            })
            .collect();
        Self { host, chain, mode }
    }

    /// An exchange whose head has arrived.
    pub(crate) fn open(&mut self, path: &str) -> ExchangeId {
        self.ask(&head("POST", path), false)
    }

    /// An exchange with this head.
    pub(crate) fn ask(&mut self, head: &[(&str, &str)], end: bool) -> ExchangeId {
        let x = self.host.exchange(&self.chain, self.mode == Mode::Full);
        self.host.request_head(x, head, end).unwrap();
        x
    }

    /// A complete request that calls a tool.
    pub(crate) fn call(&mut self, tool: &str) -> ExchangeId {
        let x = self.open("/mcp");
        self.host.request_body(x, message(tool).as_bytes(), true).unwrap();
        x
    }

    /// Ships what the engine wants shipped between exchanges, and returns the first callout that `wanted` picks.
    pub(crate) fn callout(&self) -> u32 {
        self.host
            .callouts()
            .last()
            .unwrap_or_else(|| panic!("no callout; log: {:?}", self.host.logs()))
            .token
    }
}

pub(crate) fn head<'a>(method: &'a str, path: &'a str) -> Vec<(&'a str, &'a str)> {
    vec![
        (":method", method),
        (":path", path),
        (":authority", "tools.example"),
        (":scheme", "http"),
        ("content-type", "application/json"),
        ("accept", "application/json, text/event-stream"),
    ]
}

pub(crate) fn message(tool: &str) -> String {
    json!({"jsonrpc": "2.0", "id": 7, "method": "tools/call",
           "params": {"name": tool, "arguments": {"a": 1, "secret": "s3"}}})
    .to_string()
}

pub(crate) const JSON_HEAD: [(&str, &str); 3] = [
    (":status", "200"),
    ("content-type", "application/json"),
    ("content-length", "999"),
];

pub(crate) fn result() -> String {
    json!({"jsonrpc": "2.0", "id": 7, "result": {"content": [], "structuredContent": {"b": 2, "secret": "t4"}}})
        .to_string()
}
