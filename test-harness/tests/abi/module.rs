//! The module itself.

use aplomb_test_harness::abi::Host;
use serde_json::json;

use crate::fixture::{MODES, Proxy, configuration};

#[test]
fn imports_only_what_envoy_has() {
    let imports = Host::imports().unwrap();
    for import in &imports {
        assert!(
            import.starts_with("env.proxy_") || import.starts_with("wasi_snapshot_preview1."),
            "Envoy would refuse the module for {import}"
        );
    }
    assert!(
        imports
            .iter()
            .any(|import| import == "env.proxy_send_local_response"),
        "{imports:?}"
    );
}

#[test]
fn survives_callbacks_that_mean_nothing() {
    for mode in MODES {
        let mut proxy = Proxy::start(mode);
        let live = proxy.open("/mcp");
        for context in [0, 1, 2, 3, 4, 99, u32::MAX] {
            for size in [0, 1, u32::MAX] {
                for name in [
                    "request_headers",
                    "request_body",
                    "response_headers",
                    "response_body",
                ] {
                    proxy
                        .host
                        .raw(&format!("proxy_on_{name}"), &[context, size, 1])
                        .unwrap();
                }
                proxy
                    .host
                    .raw("proxy_on_request_trailers", &[context, size])
                    .unwrap();
                proxy
                    .host
                    .raw("proxy_on_response_trailers", &[context, size])
                    .unwrap();
                proxy.host.raw("proxy_on_queue_ready", &[context, size]).unwrap();
                proxy
                    .host
                    .raw("proxy_on_http_call_response", &[context, size, size, size, size])
                    .unwrap();
                proxy
                    .host
                    .raw("proxy_on_context_create", &[context.saturating_add(1000), size])
                    .unwrap();
            }
            proxy.host.raw("proxy_on_tick", &[context]).unwrap();
        }
        for context in [99, 99, u32::MAX, 1000, 1001] {
            proxy.host.raw("proxy_on_done", &[context]).unwrap();
            proxy.host.raw("proxy_on_delete", &[context]).unwrap();
            proxy.host.raw("proxy_on_request_body", &[context, 1, 1]).unwrap();
        }
        proxy.host.end(live).unwrap();
    }
}

#[test]
fn survives_host_calls_that_fail() {
    let calls = [
        "proxy_get_header_map_pairs",
        "proxy_get_buffer_bytes",
        "proxy_set_buffer_bytes",
        "proxy_add_header_map_value",
        "proxy_enqueue_shared_queue",
    ];
    for mode in MODES {
        for call in calls {
            for status in [1, 2, 5, 6, 10, 12, 4_000_000_000] {
                let mut proxy = Proxy::start(mode);
                proxy.host.set_fault(call, status);
                let x = proxy.call("edited");
                proxy.host.tick(100).unwrap();
                let body = proxy.host.upstream(x).body;
                let text = String::from_utf8_lossy(&body);
                assert!(
                    !text.contains("s3"),
                    "{mode:?}: {call} failed with {status}, and {text} was forwarded"
                );
                proxy.host.end(x).unwrap();
            }
        }
    }
}

#[test]
fn a_stream_without_configuration_is_refused() {
    let mut host = Host::start(&[]).unwrap();
    let mut wrong = configuration(json!({"mode": "full"}));
    wrong["surprise"] = json!(1);
    host.configure(&wrong.to_string()).unwrap();
    // Root 1 exists, and has no configuration.
    let x = host.exchange(&[1], true);
    host.request_head(x, &crate::fixture::head("POST", "/mcp"), false)
        .unwrap();
    assert_eq!(host.local_reply(x).unwrap().details, "aplomb.config.not_loaded");
    assert!(!host.upstream(x).started);
}
