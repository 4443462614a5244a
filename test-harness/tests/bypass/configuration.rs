//! What is installed, and what is not.

use aplomb_test_harness::{
    abi::{Configured, Host},
    programs,
};
use serde_json::{Value, json};

use crate::{
    gate::{Ask, Back, MODES, Mode, Proxy, send},
    policy::{self, With, call},
    proof::{Proof, Verdict, governed, proof, refused},
};

fn full() -> Value {
    let mut configuration = policy::configuration(With::Nothing);
    configuration["install"] = json!({"mode": "full"});
    configuration
}

pub(crate) fn not_loaded() -> Proof {
    let mut host = Host::start(&[]).unwrap();
    let mut wrong = full();
    wrong["surprise"] = json!(1);
    host.configure(&wrong.to_string()).unwrap();
    let x = host.exchange(&[1], true);
    let head = [
        (":method", "POST"),
        (":path", "/mcp"),
        (":authority", "a"),
        ("content-type", "application/json"),
    ];
    host.request_head(x, &head, false).unwrap();
    host.request_body(x, call("echo").as_bytes(), true).unwrap();
    assert!(!host.upstream(x).started, "GOT THROUGH");
    assert_eq!(host.local_reply(x).unwrap().details, "aplomb.config.not_loaded");
    refused(
        "a call to a plugin whose configuration was refused",
        "503 config.not_loaded",
    )
}

pub(crate) fn bad_configurations() -> Proof {
    let without = |key: &str| {
        let mut json = full();
        json.as_object_mut().unwrap().remove(key);
        json.to_string()
    };
    let with = |key: &str, value: Value| {
        let mut json = full();
        json[key] = value;
        json.to_string()
    };
    let tries = [
        String::new(),
        "{}".to_owned(),
        "null".to_owned(),
        "{".to_owned(),
        without("policy"),
        without("protocols"),
        without("install"),
        with("protocols", json!([])),
        with("policy", json!("")),
        with("policy", json!("aGVsbG8gd29ybGQ=")),
        with("policy_digest", json!("00")),
        with("policies", json!([])),
        with("enforcement", json!("off")),
    ];
    for text in tries {
        let answer = Host::start(&[]).unwrap().configure(&text).unwrap();
        assert!(matches!(answer, Configured::Refused(_)), "GOT THROUGH: {text}");
    }
    refused(
        "13 configurations: empty, cut, without policy or protocols, of another digest, with unknown keys",
        "on_configure false each time",
    )
}

pub(crate) fn updates() -> Proof {
    for mode in MODES {
        let mut proxy = Proxy::start(mode, &policy::configuration(With::Nothing));
        let ask = Ask::post(call("edited"));
        let x = proxy.head(&ask);
        proxy.body(x, &ask);
        // Another policy on new plugins of the same VM, the old ones go while the result is awaited.
        let old = proxy.chain.clone();
        proxy.chain = Proxy::install(&mut proxy.host, mode, &policy::configuration(With::Identity));
        let strict = proxy.send(&Ask::post(call("echo")));
        strict.refused(401, "auth.malformed_header");
        proxy.back(x, &Back::answer(), true);
        proxy.seen(x).governed();
        proxy.host.end(x).unwrap();
        old.into_iter().for_each(|root| proxy.host.retire(root).unwrap());
        proxy
            .send(&Ask::post(call("denied")))
            .refused(401, "auth.malformed_header");
    }
    governed(
        "a new policy while a call waits for its result",
        "the call ends under its policy, the next one is under the new",
    )
}

pub(crate) fn module_not_fetched() -> Proof {
    let mut files = 0;
    for folder in ["istio", "envoy-config"] {
        for entry in std::fs::read_dir(programs::root().join(folder)).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_none_or(|kind| kind != "yaml") {
                continue;
            }
            let text = std::fs::read_to_string(&path).unwrap();
            if !text.contains("failStrategy") && !text.contains("failure_policy") {
                continue;
            }
            files += 1;
            for line in text.lines().filter(|line| !line.trim_start().starts_with('#')) {
                let line = line.split('#').next().unwrap();
                assert!(!line.contains("FAIL_OPEN"), "{}: {line}", path.display());
            }
        }
    }
    assert!(files > 0);
    proof(
        "the settings of the files that are shipped",
        "all fail closed, none FAIL_OPEN",
        Verdict::NotTestable("fetching is istio-agent's work; what it does when it cannot needs a cluster"),
    )
}

pub(crate) fn not_installed() -> Proof {
    let half = |role: &str| {
        let mut host = Host::start(&[]).unwrap();
        let mut json = full();
        json["install"] = json!({"mode": "paired", "role": role});
        let root = host.configure(&json.to_string()).unwrap().root();
        let x = host.exchange(&[root], false);
        let head = [
            (":method", "POST"),
            (":path", "/mcp"),
            (":authority", "a"),
            ("content-type", "application/json"),
        ];
        host.request_head(x, &head, false).unwrap();
        host.request_body(x, call("echo").as_bytes(), true).unwrap();
        host.tick(3000).unwrap();
        // Nobody holds the head there; the body and with it the call stays.
        assert!(host.upstream(x).body.is_empty(), "GOT THROUGH: {role} alone");
        assert_eq!(
            host.local_reply(x).unwrap().details,
            "aplomb.config.pair_incomplete"
        );
    };
    half("decider");
    half("holder");
    // Envoy's flag is not set.
    let mut proxy = Proxy::start(Mode::Full, &policy::configuration(With::Nothing));
    let x = proxy.host.exchange(&proxy.chain.clone(), false);
    let head = [
        (":method", "POST"),
        (":path", "/mcp"),
        (":authority", "a"),
        ("content-type", "application/json"),
    ];
    proxy.host.request_head(x, &head, false).unwrap();
    proxy.host.request_body(x, call("echo").as_bytes(), true).unwrap();
    proxy.host.tick(3000).unwrap();
    assert_eq!(
        proxy.host.local_reply(x).unwrap().details,
        "aplomb.config.stop_iteration_missing"
    );
    let elsewhere = Ask::post(call("denied"))
        .with(":path", "/elsewhere")
        .with("mcp-session-id", "s");
    let came = send(&elsewhere).refused(403, "protocol.unlisted_path");
    proof(
        "half a pair alone; full without Envoy's flag; MCP on a path that is not listed",
        format!("503 config.pair_incomplete; 503 config.stop_iteration_missing; {came}"),
        Verdict::NotOurs(
            "a proxy in which no part of the filter runs cannot say so: probe after deployment, and let backends accept only the gateway's identity",
        ),
    )
}
