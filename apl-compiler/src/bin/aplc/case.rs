//! Test files: what is given to the proxy, and what is expected of it.
//!
//! `docs/testing-policies.md` is the page about the format. A file has `defaults`, named `identities` and a list of
//! `tests`; a test has `steps` that share sessions, or is one step itself; `for` makes one test of each variant.

mod identity;
mod layers;
mod read;

use std::path::PathBuf;

use companion_protocol::ElicitState;
use serde_json::{Map, Value};

pub(crate) use read::{identity_file, request_file, suite};

/// One test file.
#[derive(Debug)]
pub(crate) struct Suite {
    /// The policy that it tests.
    pub policy: PathBuf,
    /// The tests in written order.
    pub tests: Vec<Test>,
}

/// One test.
#[derive(Debug, Clone)]
pub(crate) struct Test {
    /// Its name, with that of the variant.
    pub name: String,
    /// Line of the test file, from 1.
    pub line: u32,
    /// At least one; they share the companion's state and the proxy's caches.
    pub steps: Vec<Step>,
}

/// One exchange.
#[derive(Debug, Clone)]
pub(crate) struct Step {
    /// Its name, in a sequence.
    pub name: Option<String>,
    /// Line of the test file, from 1.
    pub line: u32,
    /// What the proxy is given.
    pub given: Given,
    /// What it is expected to do.
    pub expect: Expect,
}

/// What the proxy is given.
#[derive(Debug, Clone)]
pub(crate) struct Given {
    /// Who calls.
    pub identity: Identity,
    /// The session; `None`: not said, so its labels are not known.
    pub session: Option<Session>,
    /// What is called.
    pub request: Request,
    /// What the backend answers; `None`: not said.
    pub result: Option<Answer>,
    /// What the identity provider does.
    pub delegations: Vec<Delegation>,
    /// What decision points say, by plugin.
    pub decisions: Vec<(String, Decided)>,
    /// What humans say, by plugin.
    pub elicitations: Vec<(String, ElicitState)>,
    /// What counters answer, whatever was counted before; `None`: they count.
    pub counters: Option<Counters>,
    /// The audit log cannot be written.
    pub audit_fails: bool,
    /// The time, in milliseconds since the Unix epoch.
    pub now_ms: u64,
}

/// 1 January 2026, 12:00 UTC: the time when a test says none.
pub(crate) const NOW_MS: u64 = 1_767_268_800_000;

impl Given {
    /// A JSON-RPC message, sent by nobody.
    pub(crate) fn message(body: Value) -> Self {
        Self {
            identity: Identity::default(),
            session: None,
            request: Request {
                operation: Operation::Raw(body),
                headers: Vec::new(),
                scope: None,
                path: "/mcp".to_owned(),
            },
            result: None,
            delegations: Vec::new(),
            decisions: Vec::new(),
            elicitations: Vec::new(),
            counters: None,
            audit_fails: false,
            now_ms: NOW_MS,
        }
    }
}

/// Who calls.
#[derive(Debug, Clone, Default)]
pub(crate) struct Identity {
    /// The user.
    pub subject: Option<Speaker>,
    /// The agent.
    pub client: Option<Speaker>,
    /// The workload that calls the proxy, a SPIFFE id.
    pub workload: Option<Speaker>,
    /// What is wrong with the credentials.
    pub fault: Option<Fault>,
    /// The identity plugins whose credentials are presented; `None`: all that somebody is named for.
    pub by: Option<Vec<String>>,
}

/// One credential's content.
#[derive(Debug, Clone, Default)]
pub(crate) struct Speaker {
    /// `sub` or `client_id`.
    pub id: String,
    /// All claims but those that every token has.
    pub claims: Map<String, Value>,
}

/// What is wrong with the credentials.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// `exp` has passed.
    Expired,
    /// For another audience.
    Audience,
    /// Signed by another key.
    Signature,
    /// From another issuer.
    Issuer,
}

/// The session.
#[derive(Debug, Clone, Default)]
pub(crate) struct Session {
    /// What the client calls it; `None`: it names none.
    pub id: Option<String>,
    /// Labels that it has.
    pub labels: Vec<String>,
    /// Labels that its subject has.
    pub subject_labels: Vec<String>,
    /// The store cannot be reached.
    pub fails: bool,
}

/// What is called.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    /// The operation.
    pub operation: Operation,
    /// Further headers, names lower-case.
    pub headers: Vec<(String, String)>,
    /// The scope of the traffic.
    pub scope: Option<String>,
    /// The path.
    pub path: String,
}

/// The operation.
#[derive(Debug, Clone)]
pub(crate) enum Operation {
    /// `tools/call`.
    Tool(String, Value),
    /// `prompts/get`.
    Prompt(String, Value),
    /// `resources/read`.
    Resource(String),
    /// A method of A2A, with its parameters.
    Agent(String, Value),
    /// A request to a model.
    Model(String, Value),
    /// Method and target of an HTTP request; null: without a body.
    Http(String, String, Value),
    /// A JSON-RPC body as it is.
    Raw(Value),
}

impl Operation {
    /// What its traffic speaks.
    pub(crate) const fn speaks(&self) -> &'static str {
        match self {
            Self::Tool(..) | Self::Prompt(..) | Self::Resource(_) | Self::Raw(_) => "mcp",
            Self::Agent(..) => "a2a",
            Self::Model(..) => "llm",
            Self::Http(..) => "http",
        }
    }

    /// Where it is asked for, unless the test says otherwise.
    pub(crate) fn path(&self) -> &str {
        match self {
            Self::Tool(..) | Self::Prompt(..) | Self::Resource(_) | Self::Raw(_) => "/mcp",
            Self::Agent(..) => "/agent",
            Self::Model(..) => "/v1/chat/completions",
            Self::Http(_, target, _) => target,
        }
    }
}

/// What the backend answers.
#[derive(Debug, Clone)]
pub(crate) enum Answer {
    /// A result with content.
    Result(Value),
    /// An HTTP response as it is.
    Response {
        /// The status.
        status: u16,
        /// `content-type`.
        media: String,
        /// The body.
        body: String,
    },
}

/// What the identity provider does when a delegation asks for a token.
#[derive(Debug, Clone)]
pub(crate) struct Delegation {
    /// The delegator's name.
    pub delegator: String,
    /// Only for this audience.
    pub audience: Option<String>,
    /// What it answers.
    pub answer: Minted,
}

/// What a delegation comes to.
#[derive(Debug, Clone)]
pub(crate) enum Minted {
    /// A token.
    Granted {
        /// The scopes; `None`: those asked for.
        permissions: Option<Vec<String>>,
        /// The token's text.
        token: Option<String>,
    },
    /// A refusal or a failure.
    Failed {
        /// The code.
        code: String,
        /// The reason.
        reason: String,
    },
}

/// What a decision point says.
#[derive(Debug, Clone)]
pub(crate) enum Decided {
    /// A decision.
    Answered {
        /// Whether the operation may go on.
        allow: bool,
        /// The code of a denial.
        code: Option<String>,
        /// Its reason.
        reason: Option<String>,
    },
    /// Nothing.
    Failed,
}

/// What counters answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Counters {
    /// The window is used up.
    Exceeded,
    /// Nothing.
    Fail,
}

/// What the proxy is expected to do. What is `None` is not looked at.
#[derive(Debug, Clone, Default)]
pub(crate) struct Expect {
    /// Line of the test file, from 1.
    pub line: u32,
    /// The verdict.
    pub verdict: Option<&'static str>,
    /// The violation code.
    pub code: Option<String>,
    /// The reason.
    pub reason: Option<String>,
    /// The position of the rule that denies.
    pub rule: Option<String>,
    /// Nobody could be identified.
    pub unauthenticated: Option<bool>,
    /// The arguments as the backend gets them.
    pub args: Option<Value>,
    /// The result as the client gets it.
    pub result: Option<Value>,
    /// Effects that were performed, in order.
    pub effects: Option<Vec<String>>,
    /// Labels that were added.
    pub labels: Option<Vec<String>>,
    /// Fields that were edited.
    pub edits: Option<Vec<String>>,
    /// Request headers as the backend gets them; `None`: the header must not be there.
    pub headers: Vec<(String, Option<String>)>,
}
