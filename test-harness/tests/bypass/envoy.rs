//! The cases that are about Envoy itself: one Envoy with the module, literal bytes at both of its ends.

use std::{
    collections::BTreeMap,
    io::{Read as _, Write as _},
    net::{Shutdown, SocketAddr, TcpStream},
    sync::{Arc, OnceLock},
};

use aplomb_test_harness::envoy::wasm::{Governed, InstallMode};
use aplomb_test_harness::envoy::{Envoy, Setup, Upstream, config};
use aplomb_test_harness::patience::PATIENCE;
use aplomb_test_harness::{ports, programs};
use serde_json::{Value, json};

use crate::{
    backend::{Backend, complete},
    policy::{self, ARGUMENT, RESULT, With},
    proof::Proof,
    table::attempt,
    transport as cases,
};

/// An Envoy, its backend, and the backend that gets the mirrored requests and those of the other route.
pub(crate) struct Ground {
    pub(crate) address: SocketAddr,
    pub(crate) backend: Arc<Backend>,
    pub(crate) other: Arc<Backend>,
}

type Outcomes = BTreeMap<usize, Result<Proof, String>>;

/// All of them run on one Envoy, which ends when they have.
static OUTCOMES: OnceLock<Outcomes> = OnceLock::new();

type Case = (usize, fn(&Ground) -> Proof);

const CASES: &[Case] = &[
    (30, cases::slow_bodies),
    (31, cases::lengths),
    (36, cases::expect),
    (42, cases::pipelining),
    (45, cases::binary_headers),
    (51, cases::upgrades),
    (72, cases::informational),
    (76, cases::retries),
    (77, cases::mirrors),
    (82, cases::truncated_results),
    (93, cases::changed_routes),
];

/// What came of a case.
pub(crate) fn outcome(number: usize) -> Proof {
    match OUTCOMES.get_or_init(run).get(&number) {
        Some(Ok(proof)) => proof.clone(),
        Some(Err(why)) => panic!("{why}"),
        None => panic!("no such case"),
    }
}

fn run() -> Outcomes {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap();
    let dir = tempfile::tempdir().unwrap();
    let (backend, other) = (Backend::start(), Backend::start());
    let upstream = |name: &str, address| Upstream {
        name: name.to_owned(),
        path: "/mcp".to_owned(),
        rewrite: "/mcp".to_owned(),
        address,
        keep_host: false,
    };
    let governed = Governed {
        module: programs::filter().unwrap(),
        configuration: policy::configuration(With::Nothing),
        environment: BTreeMap::new(),
        plugins: InstallMode::Full.plugins(),
    };
    let upstreams = vec![
        upstream("backend", backend.address),
        upstream("other", other.address),
    ];
    let setup = Setup::new(ports::free().unwrap(), governed.filters(), upstreams);
    let admin = ports::free().unwrap();
    let mut document = config::bootstrap(&setup, admin, &dir.path().join("access.log"));
    adapt(&mut document);
    let address = setup.listeners[0].address;
    let envoy = runtime
        .block_on(Envoy::start_document(&document, (address, admin), 1, dir.path()))
        .unwrap();
    let ground = Ground {
        address,
        backend,
        other,
    };
    let outcomes = CASES
        .iter()
        .map(|(number, case)| {
            ground.backend.reset();
            ground.other.reset();
            let outcome = attempt(|| {
                let proof = case(&ground);
                ground.keeps();
                proof
            });
            (*number, outcome)
        })
        .collect();
    runtime.block_on(async move { drop(envoy) });
    outcomes
}

/// What an attacker would like to be there: upgrades, retries, a mirror, a route by a header that the filter removes.
fn adapt(document: &mut Value) {
    let manager = document
        .pointer_mut("/static_resources/listeners/0/filter_chains/0/filters/0/typed_config")
        .unwrap();
    manager["upgrade_configs"] = json!([{"upgrade_type": "websocket"}, {"upgrade_type": "CONNECT"}]);
    // What never ends is ended after this; long enough that a busy machine ends nothing else.
    manager["request_timeout"] = json!("10s");
    let route = |cluster: &str| json!({"cluster": cluster, "timeout": "120s"});
    let mut main = route("backend");
    main["retry_policy"] = json!({"retry_on": "5xx", "num_retries": 1});
    main["request_mirror_policies"] = json!([{"cluster": "other"}]);
    manager["route_config"]["virtual_hosts"][0]["routes"] = json!([
        {"match": {"prefix": "/mcp", "headers": [{"name": "x-policy-to", "string_match": {"exact": "other"}}]}, "route": route("other")},
        {"match": {"connect_matcher": {}}, "route": route("backend")},
        {"match": {"prefix": "/"}, "route": main},
    ]);
}

impl Ground {
    /// Sends these bytes, ends nothing, and reads until the other end is gone.
    pub(crate) fn raw(&self, bytes: &[u8]) -> String {
        let mut stream = self.connect();
        stream.write_all(bytes).unwrap();
        self.rest(stream)
    }

    /// The same, where the connection may stay: reads until the answer is whole.
    pub(crate) fn answer(&self, bytes: &[u8]) -> String {
        let mut stream = self.connect();
        stream.write_all(bytes).unwrap();
        let (mut all, mut buffer) = (Vec::new(), [0_u8; 4096]);
        while !complete(&all) {
            match stream.read(&mut buffer) {
                Ok(count @ 1..) => all.extend_from_slice(&buffer[..count]),
                Ok(_) | Err(_) => break,
            }
        }
        harmless(&all)
    }

    pub(crate) fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream
    }

    /// What comes until the end.
    pub(crate) fn rest(&self, mut stream: TcpStream) -> String {
        let (mut all, mut buffer) = (Vec::new(), [0_u8; 4096]);
        while let Ok(count @ 1..) = stream.read(&mut buffer) {
            all.extend_from_slice(&buffer[..count]);
        }
        let _gone = stream.shutdown(Shutdown::Both);
        harmless(&all)
    }

    /// Neither backend heard what policy denies or removes.
    fn keeps(&self) {
        for heard in [self.backend.heard(), self.other.heard()].concat() {
            for word in [ARGUMENT, "\"denied\""] {
                assert!(!heard.contains(word), "GOT THROUGH to a backend: {heard}");
            }
        }
    }
}

/// What a client gets never holds what policy removes.
fn harmless(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes).into_owned();
    assert!(!text.contains(RESULT), "GOT THROUGH to the client: {text}");
    text
}

/// A POST with this body, and the connection's end behind the answer.
pub(crate) fn post(body: &str, headers: &str) -> String {
    format!(
        "POST /mcp HTTP/1.1\r\nhost: tools.example\r\nconnection: close\r\ncontent-type: application/json\r\naccept: application/json, text/event-stream\r\n{headers}content-length: {}\r\n\r\n{body}",
        body.len()
    )
}
