//! Two plugins of the one module: each half notices when the other is not there.

use aplomb_test_harness::abi::{ExchangeId, Host};
use serde_json::json;

use crate::fixture::{JSON_HEAD, Mode, Proxy, configuration, head, message};

fn half(host: &mut Host, role: &str) -> u32 {
    let install = json!({"mode": "paired", "role": role});
    host.configure(&configuration(install).to_string())
        .unwrap()
        .root()
}

fn request(host: &mut Host, chain: &[u32], path: &str) -> ExchangeId {
    let x = host.exchange(chain, false);
    host.request_head(x, &head("POST", path), false).unwrap();
    host.request_body(x, message("echo").as_bytes(), true).unwrap();
    x
}

fn assert_incomplete(host: &Host, x: ExchangeId, missing: &str) {
    let reply = host
        .local_reply(x)
        .unwrap_or_else(|| panic!("no reply; log: {:?}", host.logs()));
    assert_eq!(reply.details, "aplomb.config.pair_incomplete");
    let text = String::from_utf8_lossy(&reply.body).into_owned();
    assert!(text.contains(missing), "`{missing}` is not named in `{text}`");
    assert!(host.upstream(x).body.is_empty(), "a body went on");
}

#[test]
fn a_holder_alone_names_the_decider() {
    let mut host = Host::start(&[]).unwrap();
    let holder = half(&mut host, "holder");
    let x = request(&mut host, &[holder], "/mcp");
    assert_incomplete(&host, x, "install.role: decider");
    assert!(!host.upstream(x).started);
}

#[test]
fn a_decider_alone_names_the_holder() {
    let mut host = Host::start(&[]).unwrap();
    let decider = half(&mut host, "decider");
    let x = request(&mut host, &[decider], "/mcp");
    assert_incomplete(&host, x, "install.role: holder");
}

#[test]
fn a_decider_alone_does_not_let_an_answer_pass() {
    let mut host = Host::start(&[]).unwrap();
    let decider = half(&mut host, "decider");
    let x = host.exchange(&[decider], false);
    // Outside every protocol, and without a body: nothing in the request shows that the holder is missing.
    host.request_head(x, &head("GET", "/health"), true).unwrap();
    host.response_head(x, &JSON_HEAD, false).unwrap();
    assert_incomplete(&host, x, "install.role: holder");
}

#[test]
fn the_wrong_order_is_noticed() {
    let mut host = Host::start(&[]).unwrap();
    let (decider, holder) = (half(&mut host, "decider"), half(&mut host, "holder"));
    let x = request(&mut host, &[holder, decider], "/mcp");
    assert_incomplete(&host, x, "install.role: decider");
    assert!(!host.upstream(x).started);
}

#[test]
fn halves_with_different_policies_are_noticed() {
    let mut host = Host::start(&[]).unwrap();
    let digest = apl_bytecode::load(&apl_bytecode::encode(&crate::fixture::program()))
        .unwrap()
        .digest_hex();
    let mut configure = |role: &str, digest: &str| {
        let mut json = configuration(json!({"mode": "paired", "role": role}));
        json["policy_digest"] = json!(digest);
        host.configure(&json.to_string()).unwrap().root()
    };
    let chain = [
        configure("decider", &digest),
        configure("holder", &"0".repeat(64)),
    ];
    let x = request(&mut host, &chain, "/mcp");
    assert_incomplete(&host, x, "policy_digest");
    assert!(!host.upstream(x).started);
}

#[test]
fn a_lost_wake_is_made_up_for_by_a_tick() {
    let mut proxy = Proxy::start(Mode::Paired);
    proxy.host.set_fault("proxy_enqueue_shared_queue", 10);
    let x = proxy.call("echo");
    assert!(
        !proxy.host.upstream(x).started,
        "there was nothing to wake the holder"
    );
    proxy.host.tick(100).unwrap();
    assert!(proxy.host.upstream(x).ended);
}

#[test]
fn streams_go_on_when_their_plugin_is_replaced() {
    let mut proxy = Proxy::start(Mode::Paired);
    let x = proxy.open("/mcp");
    let old = proxy.chain.clone();
    for role in ["decider", "holder"] {
        half(&mut proxy.host, role);
    }
    for root in old {
        proxy.host.retire(root).unwrap();
    }
    proxy
        .host
        .request_body(x, message("echo").as_bytes(), true)
        .unwrap();
    assert!(proxy.host.upstream(x).ended, "the wake goes to the newest queue");
    proxy.host.end(x).unwrap();
}

#[test]
fn a_callout_lost_with_its_plugin_denies() {
    let mut proxy = Proxy::start(Mode::Paired);
    let x = proxy.call("recorded");
    proxy.callout();
    let decider = proxy.chain[0];
    proxy.host.retire(decider).unwrap();
    assert!(proxy.host.local_reply(x).is_some(), "nobody would ever answer");
    assert!(!proxy.host.upstream(x).started);
}
