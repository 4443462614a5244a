//! `restrict` really narrows: labelled endpoints behind a real Envoy that `aplc emit envoy` configured, each of which says
//! its name.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use aplomb_test_harness::envoy::Envoy;
use aplomb_test_harness::{ports, programs};
use serde_json::{Value, json};

use crate::rig::{build, done, text};

/// Enough that each of four endpoints, taken in turn by two workers, is met.
const CALLS: usize = 24;

/// An endpoint that answers every call with its name.
async fn endpoint(name: &'static str) -> SocketAddr {
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0))
        .await
        .expect("a port");
    let address = listener.local_addr().expect("an address");
    let answer = json!({"jsonrpc": "2.0", "id": 1, "result": {"content": [{"type": "text", "text": name}]}});
    let router = axum::Router::new().fallback(move || {
        let answer = answer.clone();
        async move { axum::Json(answer) }
    });
    tokio::spawn(async move { axum::serve(listener, router).await });
    address
}

const ENDPOINTS: [(&str, &str); 4] = [
    ("a", "model=vendor/a region=eu cost_tier=economy gpu=h100"),
    ("b", "model=vendor/b region=us cost_tier=standard"),
    ("c", "model=other/c region=eu cost_tier=premium gpu=h100 zone=1"),
    ("d", "region=ap"),
];

/// What a call is restricted to, and who may serve it: the names, or nobody.
const CASES: [(&str, &str, &str); 15] = [
    ("free", "", "abcd"),
    ("region", "allow_regions: [eu, mars]", "ac"),
    ("regions", "allow_regions: [us, ap]", "bd"),
    ("vendor", "allow_models: ['vendor/*']", "ab"),
    ("exact", "allow_models: ['other/c', 'vendor']", "c"),
    ("banned", "deny_models: ['vendor/*']", "cd"),
    (
        "one_of_both",
        "allow_models: ['*'], deny_models: ['*/b', 'x']",
        "ac",
    ),
    ("cost", "max_cost_tier: standard", "ab"),
    ("unranked", "max_cost_tier: free", ""),
    ("own", "custom: {gpu: h100}", "ac"),
    ("owns", "custom: {gpu: h100, zone: 1}", "c"),
    (
        "several",
        "allow_regions: [eu], max_cost_tier: economy, custom: {gpu: h100}",
        "a",
    ),
    ("nowhere", "allow_regions: [mars], on_empty: deny", ""),
    (
        "anywhere",
        "allow_regions: [mars], deny_models: ['vendor/*'], on_empty: fallback",
        "cd",
    ),
    ("fits", "allow_regions: [us], on_empty: fallback", "b"),
];

fn policy() -> String {
    let mut policy = "engine_settings: {unmatched: deny}\nroutes:\n".to_owned();
    for (tool, restrict, _) in CASES {
        let step = if restrict.is_empty() {
            "\"args.x: deny\"".to_owned()
        } else {
            format!("{{restrict: {{{restrict}}}}}")
        };
        policy.push_str(&format!("  - tool: {tool}\n    pre_invocation: [{step}]\n"));
    }
    policy.push_str("  - tool: asked\n    pre_invocation: [{restrict: {allow_regions: args.region}}]\n");
    policy
}

async fn start(mode: &str, dir: &std::path::Path) -> Envoy {
    let built = build(dir, "policy", &policy(), mode);
    let (listen, admin) = (ports::free().expect("a port"), ports::free().expect("a port"));
    let module = programs::filter().expect("built");
    let (listen_at, admin_at) = (listen.to_string(), admin.to_string());
    let mut upstreams = Vec::new();
    for (name, labels) in ENDPOINTS {
        upstreams.push(format!("/mcp=http://{}/mcp {labels}", endpoint(name).await));
    }
    let mut arguments = vec![
        "emit",
        "envoy",
        "--build",
        text(&built),
        "--module",
        text(&module),
    ];
    arguments.extend(["--listen", &listen_at, "--admin", &admin_at]);
    arguments.extend(["--cost-tiers", "economy,standard,premium"]);
    for upstream in &upstreams {
        arguments.extend(["--upstream", upstream]);
    }
    let document: Value = serde_saphyr::from_str(&done("aplc", &arguments)).expect("YAML");
    Envoy::start_document(&document, (listen, admin), 2, dir)
        .await
        .expect("Envoy starts")
}

/// Who answered, or the status and the code of a refusal.
async fn ask(
    http: &reqwest::Client,
    envoy: &Envoy,
    tool: &str,
    region: &str,
    forged: &[(&str, &str)],
) -> Result<String, (u16, String)> {
    let call = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call",
        "params": {"name": tool, "arguments": {"region": region}}});
    let mut request = http
        .post(envoy.url("/mcp"))
        .header("content-type", "application/json")
        .header("accept", "application/json, text/event-stream");
    for (name, value) in forged {
        request = request.header(*name, *value);
    }
    let reply = request.body(call.to_string()).send().await.expect("an answer");
    let status = reply.status().as_u16();
    let code = reply.headers().get("x-policy-violation").cloned();
    let body = reply.text().await.expect("a body");
    if let Some(code) = code {
        return Err((status, code.to_str().expect("text").to_owned()));
    }
    let answer: Value = serde_json::from_str(&body).unwrap_or_default();
    match answer.pointer("/result/content/0/text").and_then(Value::as_str) {
        Some(name) => Ok(name.to_owned()),
        None => Err((status, body)),
    }
}

async fn a_request_reaches_only_the_endpoints_that_its_policy_leaves(mode: &str) {
    let dir = tempfile::tempdir().expect("a directory");
    let envoy = start(mode, dir.path()).await;
    let http = reqwest::Client::builder().no_proxy().build().expect("a client");
    let empty = Err((503, "policy.restrict_empty".to_owned()));
    for (tool, restrict, may) in CASES {
        let mut seen = BTreeSet::new();
        for _ in 0..CALLS {
            match ask(&http, &envoy, tool, "", &[]).await {
                Ok(name) => seen.extend(name.chars()),
                refused => assert_eq!(
                    (refused, may),
                    (empty.clone(), ""),
                    "{tool}: {restrict}\n{}",
                    envoy.log()
                ),
            }
        }
        assert_eq!(seen.into_iter().collect::<String>(), may, "{tool}: {restrict}");
    }

    // What the agent says is one name, whatever stands in it, and its own headers are not the policy's.
    assert_eq!(ask(&http, &envoy, "asked", "us", &[]).await, Ok("b".to_owned()));
    for region in ["us,eu", "us;on-empty=deny", "*", "us%2Ceu"] {
        assert_eq!(ask(&http, &envoy, "asked", region, &[]).await, empty, "{region}");
    }
    let forged = [
        ("x-policy-restrict-all", "allow-regions=eu;on-empty=fallback"),
        ("x-policy-restrict-on-empty", "fallback"),
    ];
    for _ in 0..CALLS {
        assert_eq!(
            ask(&http, &envoy, "asked", "us", &forged).await,
            Ok("b".to_owned())
        );
        assert_eq!(ask(&http, &envoy, "nowhere", "", &forged).await, empty);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_reaches_only_the_endpoints_that_its_policy_leaves_in_full_mode() {
    a_request_reaches_only_the_endpoints_that_its_policy_leaves("full").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_reaches_only_the_endpoints_that_its_policy_leaves_in_paired_mode() {
    a_request_reaches_only_the_endpoints_that_its_policy_leaves("paired").await;
}
