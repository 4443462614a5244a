//! The filter's own code in one process: the enforcer on the policy's program, with a companion and a backend that answer
//! what a test says. What is not here is the proxy-wasm layer; bytes in and bytes out are the real ones.

mod companion;
pub(crate) mod credentials;
mod exchange;
mod judging;
mod message;
mod presented;
mod properties;

use std::collections::BTreeMap;

use apl_bytecode::{BoundIssuer, EntityKind, Program, VerifiedProgram, encode};
use apl_vm::trace::TraceEvent;
use aplomb_enforcer::{Engine, PluginConfig, Secrets};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use companion_protocol::{AuditRecord, VerdictKind};
use serde_json::{Value, json};

use super::case::{Given, Operation};
use companion::Companion;
use exchange::Stream;
use presented::Presented;

pub(crate) use judging::{Judged, Judging};
pub(crate) use message::{args_of, result_of};
pub(crate) use presented::key_digest;

/// The key of `hash` in tests, so that what it makes of a value can be written down.
const HASH_KEY: &[u8] = b"aplc test: hash key";

/// A proxy with one policy, for one test.
pub(crate) struct Proxy {
    program: VerifiedProgram,
    bytes: Vec<u8>,
    /// One for each scope and protocol of traffic that was used.
    engines: BTreeMap<(Option<String>, &'static str), Engine>,
    companion: Companion,
    exchanges: u32,
}

/// What came of one exchange.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    /// `allow`, `deny`, `deny_after`, `pending`, `would_deny`.
    pub verdict: &'static str,
    /// The violation code of a denial.
    pub code: Option<String>,
    /// Its reason.
    pub reason: Option<String>,
    /// The position of the rule that denied.
    pub rule: Option<String>,
    /// Nobody could be identified.
    pub unauthenticated: bool,
    /// The request as the backend got it.
    pub upstream: Option<Forwarded>,
    /// The body as the client got it, when the backend answered.
    pub client: Option<Vec<u8>>,
    /// Effects performed.
    pub effects: Vec<String>,
    /// Labels added.
    pub labels: Vec<String>,
    /// Fields edited.
    pub edits: Vec<String>,
    /// What the machine did.
    pub trace: Vec<TraceEvent>,
    /// Answers that the test does not give, and what to write.
    pub missing: Vec<String>,
}

/// A request as it went on.
#[derive(Debug, Clone)]
pub(crate) struct Forwarded {
    /// Names lower-case.
    pub headers: Vec<(String, String)>,
    /// All of it.
    pub body: Vec<u8>,
}

/// Why a policy cannot be tested at all.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ProxyError {
    /// The filter would refuse it.
    #[error("the filter would refuse this policy: {0}")]
    Config(#[from] aplomb_enforcer::ConfigError),
    /// A credential could not be signed.
    #[error("no test credential can be made: {0}")]
    Credential(String),
    /// The enforcer did something that no host can do.
    #[error("the enforcer is at fault: {0}; please report it")]
    Enforcer(String),
}

impl Proxy {
    /// With this program.
    pub(crate) fn new(program: &VerifiedProgram) -> Result<Self, ProxyError> {
        let (program, bytes) = with_test_keys(program)?;
        Ok(Self {
            program,
            bytes,
            engines: BTreeMap::new(),
            companion: Companion::default(),
            exchanges: 0,
        })
    }

    /// The program that runs: the policy's, whose instructions are what traces speak of.
    pub(crate) fn program(&self) -> &Program {
        self.program.program()
    }

    /// One exchange.
    pub(crate) fn run(&mut self, given: &Given) -> Result<Outcome, ProxyError> {
        let scope = given.request.scope.clone();
        let traffic = (scope.clone(), given.request.operation.speaks());
        if !self.engines.contains_key(&traffic) {
            let engine = engine(&self.bytes, scope.as_deref(), traffic.1)?;
            self.engines.insert(traffic.clone(), engine);
        }
        let (Some(engine), companion) = (self.engines.get_mut(&traffic), &mut self.companion) else {
            return Err(ProxyError::Enforcer("an engine is lost".to_owned()));
        };
        companion.begin(given);
        let now_ms = given.now_ms;
        exchange::tick(engine, companion, now_ms)?;
        self.exchanges += 1;

        let (method, name, body) = message::request(&given.request.operation);
        let mut headers = message::headers(&given.request, body.len());
        let presented = Presented::new(self.program.program(), &given.identity, now_ms)
            .map_err(ProxyError::Credential)?;
        companion.know(&presented.keys);
        headers.extend(presented.headers.iter().cloned());
        if let Some(id) = given.session.as_ref().and_then(|session| session.id.as_ref()) {
            headers.push(("x-session-id".to_owned(), id.clone()));
        }
        // What the test says of a header counts instead.
        headers.retain(|(name, _)| !given.request.headers.iter().any(|(own, _)| own == name));
        headers.extend(given.request.headers.iter().cloned());
        let properties = presented.values(engine.properties());

        apl_vm::trace::start();
        let mut stream = Stream::new(self.exchanges, headers);
        let ran = stream.request(engine, companion, properties, &body, now_ms).and_then(|()| {
            if !stream.forwarded() {
                return Ok(());
            }
            match &given.result {
                Some(answer) => {
                    let response = message::response(answer, &given.request.operation);
                    stream.respond(engine, companion, &response, now_ms)
                }
                None if looks_at_result(&self.program, method, &name, scope.as_deref()) => {
                    companion.missing.push(format!(
                        "the policy looks at the result of `{name}`: add `result: {{...}}` (or `response: {{status, body}}`)"
                    ));
                    Ok(())
                }
                None => Ok(()),
            }
        });
        let gone = stream.gone(engine, companion, now_ms);
        let trace = apl_vm::trace::take();
        ran.and(gone)?;
        exchange::tick(engine, companion, now_ms)?;
        let record = companion.verdict_of(stream.decision_id());
        Ok(outcome(
            stream,
            record,
            trace,
            std::mem::take(&mut companion.missing),
        ))
    }
}

/// Kind and name of an operation.
pub(crate) fn operation_of(operation: &Operation) -> (Option<EntityKind>, String) {
    let (kind, name, _) = message::request(operation);
    (kind, name)
}

/// Whether some rule of the phase after the call governs this operation.
fn looks_at_result(
    program: &VerifiedProgram,
    entity: Option<EntityKind>,
    name: &str,
    scope: Option<&str>,
) -> bool {
    let Some(entity) = entity else { return false };
    let model = program.program();
    match apl_vm::find_route(program, entity, name, scope).and_then(|at| model.routes.get(at)) {
        Some(route) => route.post.is_some(),
        None => model
            .fallbacks
            .iter()
            .any(|fallback| fallback.entity == Some(entity) && fallback.post.is_some()),
    }
}

fn outcome(
    stream: Stream,
    record: Option<AuditRecord>,
    trace: Vec<TraceEvent>,
    missing: Vec<String>,
) -> Outcome {
    let said = message::denial(&stream);
    let mut outcome = Outcome {
        verdict: if stream.forwarded() { "allow" } else { "deny" },
        trace,
        missing,
        ..Outcome::default()
    };
    if let Some((code, reason)) = said {
        outcome.code = Some(code);
        outcome.reason = reason;
    }
    outcome.unauthenticated = stream.reply_status() == Some(401);
    if let Some(record) = record {
        outcome.verdict = match record.verdict {
            Some(VerdictKind::Allow) => "allow",
            Some(VerdictKind::Deny) => "deny",
            Some(VerdictKind::DenyAfter) => "deny_after",
            Some(VerdictKind::Pending) => "pending",
            None => outcome.verdict,
        };
        outcome.code = record.code.or(outcome.code);
        outcome.rule = record.rule;
        outcome.effects = record.effects;
        outcome.labels = record.labels_added;
        outcome.edits = record.edits;
        // What is in shadow passes; what is asked for here is what the policy says of it.
        if let Some(shadow) = record
            .shadow
            .into_iter()
            .next()
            .filter(|_| outcome.verdict == "allow")
        {
            outcome.verdict = shadow.verdict.name();
            outcome.code = shadow.code;
            outcome.rule = shadow.rule;
            outcome.effects = shadow.effects;
            outcome.edits = shadow.edits;
        }
    }
    (outcome.upstream, outcome.client) = stream.into_bytes();
    outcome
}

/// Keys that the policy itself brings are of somebody else, who alone can sign with them. So that the tokens of a test
/// verify, they are asked of the (test's) companion like all others. Nothing else of the program changes.
fn with_test_keys(program: &VerifiedProgram) -> Result<(VerifiedProgram, Vec<u8>), ProxyError> {
    let mut program = program.clone();
    while let Some(name) = program.unbound().map(str::to_owned) {
        let issuer = |name: &str| BoundIssuer {
            issuer: name.to_owned(),
            audiences: vec!["aplc-test".to_owned()],
            algorithms: vec![apl_bytecode::Algorithm::Rs256],
            leeway_s: 60,
            jwks: None,
        };
        program
            .bind(
                &name,
                &[
                    issuer("https://unbound.invalid"),
                    issuer("spiffe://unbound.invalid"),
                ],
            )
            .map_err(|error| ProxyError::Enforcer(error.to_string()))?;
    }
    let mut model = program.program().clone();
    for issuer in model
        .identities
        .iter_mut()
        .flat_map(apl_bytecode::Identity::issuers_mut)
    {
        issuer.jwks = None;
    }
    let bytes = encode(&model);
    let program = apl_bytecode::load(&bytes).map_err(|error| ProxyError::Enforcer(error.to_string()))?;
    Ok((program, bytes))
}

fn engine(bytes: &[u8], scope: Option<&str>, speaks: &str) -> Result<Engine, ProxyError> {
    let mut entry = json!({ "path_prefix": "/", "speaks": speaks });
    if let (Some(scope), Value::Object(map)) = (scope, &mut entry) {
        map.insert("scope".to_owned(), scope.into());
    }
    let config = json!({
        "policy": STANDARD.encode(bytes),
        "protocols": [entry],
        "companion": { "cluster": "companion" },
        "install": { "mode": "full" },
        "hash_key_env": "HASH_KEY",
    });
    let secrets = Secrets {
        hash_key: Some(HASH_KEY.to_vec()),
        // A stand-in: what the proxy's environment holds is not known here.
        variable: |name| Some(format!("<{name}>")),
        ..Secrets::default()
    };
    match PluginConfig::parse(config.to_string().as_bytes())? {
        PluginConfig::Decide(config) => Ok(Engine::new(*config, secrets, [7; 32])?),
        PluginConfig::Hold(_) => Err(ProxyError::Enforcer("it took a decider for a holder".to_owned())),
    }
}
