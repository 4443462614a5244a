//! Calls that need a companion, through both gateways without a pause: each pair reads a secret record at one of them (a token is
//! exchanged, a label is written, the record of it is on disk before the answer leaves) and sends a mail of the same session at
//! the other, which must be denied from then on.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use aplomb_test_harness::backend::{Replies, Role};
use aplomb_test_harness::envoy::wasm::InstallMode;
use aplomb_test_harness::mcp::McpClient;
use aplomb_test_harness::patience::eventually;
use aplomb_test_harness::programs;
use aplomb_test_harness::stack::{Fleet, FleetOptions, Store};
use serde_json::{Value, json};

/// The example's policy, asking the companion for everything, every time.
pub(crate) async fn fleet(mode: InstallMode, store: &Store, serve: &[&str], dir: &Path) -> Fleet {
    let example =
        std::fs::read_to_string(programs::root().join("examples/hr/policy.yaml")).expect("the example");
    let outbound = "default_outbound_header: \"Authorization\"";
    assert!(example.contains(outbound));
    let text = example.replace(outbound, &format!("{outbound}\n      cache: none"));
    let policy = dir.join("durable.yaml");
    std::fs::write(&policy, format!("{text}\nengine_settings: {{audit: durable}}\n")).expect("written");
    let options = FleetOptions {
        policy: &policy,
        mode,
        replies: Replies::Json,
        store,
        serve,
        dir,
    };
    Fleet::start(&options).await.expect("everything starts")
}

/// What became of a call.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Fate {
    /// The tool answered.
    Allowed,
    /// Refused with this code.
    Denied(String),
    /// Neither.
    Broken(String),
}

pub(crate) const TAINTED: &str = "session_tainted";

/// One agent that works for bob, at one gateway.
#[derive(Clone)]
pub(crate) struct Agent {
    hr: McpClient,
    email: McpClient,
}

impl Agent {
    /// One for each gateway.
    pub(crate) async fn all(fleet: &Fleet) -> Vec<Self> {
        let tokens = fleet.idp.log_in("bob").await.expect("logs in");
        let mut agents = Vec::new();
        for gateway in &fleet.gateways {
            let [mut hr, mut email] =
                [Role::Hr, Role::Email].map(|role| tokens.client(gateway, role, "begin").expect("a client"));
            hr.connect().await.expect("a handshake");
            email.connect().await.expect("a handshake");
            agents.push(Agent { hr, email });
        }
        agents
    }

    pub(crate) async fn read(&self, session: &str, trace: &str) -> Fate {
        let arguments = json!({"employee_id": "EMP-001234", "include_ssn": true});
        call(&self.hr, "get_compensation", arguments, session, trace).await
    }

    pub(crate) async fn mail(&self, session: &str, trace: &str) -> Fate {
        let arguments = json!({"to": "partner@example.com", "subject": "FYI", "body": "See you at noon."});
        call(&self.email, "send_email", arguments, session, trace).await
    }
}

async fn call(client: &McpClient, tool: &str, arguments: Value, session: &str, trace: &str) -> Fate {
    let headers = [
        ("x-session-id", session.to_owned()),
        ("traceparent", format!("00-{trace}-00f067aa0ba902b7-01")),
    ];
    let client = client.clone().with_headers(&headers).expect("headers");
    let reply = match client.call(&json!(1), tool, &arguments).await {
        Ok(reply) => reply,
        Err(error) => return Fate::Broken(format!("{error:#}")),
    };
    match reply.header("x-policy-violation") {
        Some(code) => Fate::Denied(code.to_owned()),
        None if reply.tool_json().is_some() => Fate::Allowed,
        None => Fate::Broken(reply.summary()),
    }
}

/// What became of all of them.
#[derive(Debug, Default, Clone)]
pub(crate) struct Tally {
    /// Calls.
    pub(crate) calls: usize,
    /// Mails of a session that had read secret data, and was told so.
    pub(crate) wrong: usize,
    /// What the policy allows, or denies for another reason, by code.
    pub(crate) denied: BTreeMap<String, usize>,
    /// Without a verdict.
    pub(crate) broken: Vec<String>,
    /// Sessions whose label was acknowledged.
    pub(crate) tainted: BTreeSet<String>,
    /// Trace ids of calls that the tool answered.
    pub(crate) answered: BTreeSet<String>,
}

/// Callers that go on until they are told to end.
pub(crate) struct Load {
    stop: Arc<AtomicBool>,
    away: Arc<AtomicUsize>,
    tally: Arc<Mutex<Tally>>,
    callers: Vec<tokio::task::JoinHandle<()>>,
}

const CALLERS: usize = 4;
/// No gateway.
const NONE: usize = usize::MAX;

impl Load {
    pub(crate) fn begin(agents: &[Agent]) -> Self {
        let (stop, tally) = (Arc::new(AtomicBool::new(false)), Arc::<Mutex<Tally>>::default());
        let next = Arc::new(AtomicUsize::new(1));
        let away = Arc::new(AtomicUsize::new(NONE));
        let callers = (0..CALLERS).map(|_| {
            let (stop, tally, next) = (Arc::clone(&stop), Arc::clone(&tally), Arc::clone(&next));
            let (agents, away) = (agents.to_vec(), Arc::clone(&away));
            tokio::spawn(async move {
                while !stop.load(Ordering::SeqCst) {
                    pair(&agents, next.fetch_add(1, Ordering::SeqCst), &away, &tally).await;
                }
            })
        });
        Self {
            callers: callers.collect(),
            away,
            stop,
            tally,
        }
    }

    /// A load balancer in front takes this gateway out of its rotation, or none.
    pub(crate) fn take_out(&self, gateway: Option<usize>) {
        self.away.store(gateway.unwrap_or(NONE), Ordering::SeqCst);
    }

    pub(crate) fn tally(&self) -> Tally {
        self.tally.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Waits for more calls with a verdict of the policy.
    pub(crate) async fn more(&self, calls: usize) {
        let good = || {
            let tally = self.tally();
            tally.calls - tally.denied.values().sum::<usize>() - tally.broken.len()
        };
        let before = good();
        eventually("more calls", async || (good() >= before + calls).then_some(())).await;
    }

    pub(crate) async fn end(self) -> Tally {
        self.stop.store(true, Ordering::SeqCst);
        for caller in self.callers {
            caller.await.expect("a caller");
        }
        self.tally.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

async fn pair(agents: &[Agent], number: usize, away: &AtomicUsize, tally: &Mutex<Tally>) {
    let at = |number: usize| {
        let gateway = number % agents.len();
        let out = gateway == away.load(Ordering::SeqCst);
        &agents[(gateway + usize::from(out)) % agents.len()]
    };
    let session = format!("load-{number}");
    let trace = |call: usize| format!("{:032x}", 2 * number + call);
    let read = at(number).read(&session, &trace(0)).await;
    let mail = at(number + 1).mail(&session, &trace(1)).await;
    let mut tally = tally.lock().unwrap_or_else(PoisonError::into_inner);
    tally.calls += 2;
    if read == Fate::Allowed {
        tally.tainted.insert(session);
        tally.answered.insert(trace(0));
    }
    match (&read, &mail) {
        (Fate::Allowed, Fate::Allowed) => tally.wrong += 1,
        // Its label may have been written or not.
        (_, Fate::Allowed) => {
            tally.answered.insert(trace(1));
        }
        (_, Fate::Denied(_) | Fate::Broken(_)) => {}
    }
    for fate in [read, mail] {
        match fate {
            Fate::Allowed => {}
            Fate::Denied(code) if code == TAINTED => {}
            Fate::Denied(code) => *tally.denied.entry(code).or_default() += 1,
            Fate::Broken(what) => tally.broken.push(what),
        }
    }
}

/// Every label that was acknowledged binds, and every answer has its record.
pub(crate) async fn nothing_is_lost(fleet: &Fleet, agents: &[Agent], tally: &Tally) {
    for (number, session) in tally.tainted.iter().enumerate() {
        let agent = &agents[number % agents.len()];
        let mail = agent.mail(session, &format!("{:032x}", u128::MAX)).await;
        assert_eq!(mail, Fate::Denied(TAINTED.to_owned()), "{session}");
    }
    let mut recorded = BTreeSet::new();
    for companion in &fleet.companions {
        let records = companion.audit().expect("records").into_iter();
        recorded.extend(records.filter_map(|record| record.trace_id));
    }
    let lost: Vec<&String> = tally.answered.difference(&recorded).collect();
    assert_eq!(lost, Vec::<&String>::new(), "answers without a record");
}
