//! The peer of a waypoint's tunnel, as Istio's waypoint keeps it: filter state `io.istio.peer_principal`. Here Envoy's own
//! `set_filter_state` writes it, from a header that only this test knows, so that one Envoy plays every peer.

use aplomb_test_harness::envoy::wasm::InstallMode;
use serde_json::{Value, json};

use crate::scene::{DENIED, Scene, Setting, plugin, scene};

const PEER: &str = "x-the-tunnels-peer";
const HR: &str = "spiffe://cluster.local/ns/agents/sa/hr";

fn tunnel() -> Value {
    json!({
        "name": "tunnel",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.http.set_filter_state.v3.Config",
            "on_request_headers": [{
                "object_key": "io.istio.peer_principal",
                "factory_key": "envoy.string",
                "format_string": {
                    "text_format_source": { "inline_string": format!("%REQ({PEER})%") },
                    "omit_empty_values": true,
                },
                // No header, no peer.
                "skip_if_empty": true,
            }],
        },
    })
}

async fn waypoint(mode: InstallMode, in_front: Vec<Value>) -> Scene {
    let config = json!({ "source": "waypoint", "trust_domain": "cluster.local" });
    scene(Setting {
        plugins: json!([plugin("peer", "identity/spiffe", &config)]),
        require: "caller_workload.spiffe_id == 'spiffe://cluster.local/ns/agents/sa/hr'",
        mode,
        in_front,
        adapt: None,
        companion: None,
        beside_companion: Vec::new(),
    })
    .await
}

async fn the_tunnels_peer_is_the_caller(mode: InstallMode) {
    let scene = waypoint(mode, vec![tunnel()]).await;
    scene.lets_in("the right peer", &[(PEER, HR)]).await;
    for (what, peer, status, code) in [
        (
            "another account",
            "spiffe://cluster.local/ns/agents/sa/eve",
            200,
            DENIED,
        ),
        (
            "another domain",
            "spiffe://evil.example/ns/agents/sa/hr",
            401,
            "auth.untrusted_workload",
        ),
        (
            "a principal without its scheme",
            "cluster.local/ns/agents/sa/hr",
            401,
            "auth.mapping_failed",
        ),
        (
            "a path with dots",
            "spiffe://cluster.local/ns/agents/sa/x/../hr",
            401,
            "auth.mapping_failed",
        ),
    ] {
        scene.refuses(what, &[(PEER, peer)], status, code).await;
    }
    for name in [
        "io.istio.peer_principal",
        "x-forwarded-client-cert",
        "x-envoy-peer-principal",
        "x-istio-peer-principal",
        "baggage",
    ] {
        scene
            .refuses(name, &[(name, HR)], 401, "auth.missing_credential")
            .await;
    }
    scene
        .refuses("no tunnel", &[], 401, "auth.missing_credential")
        .await;
}

#[tokio::test]
async fn the_tunnels_peer_is_the_caller_in_full_mode() {
    the_tunnels_peer_is_the_caller(InstallMode::Full).await;
}

#[tokio::test]
async fn the_tunnels_peer_is_the_caller_in_paired_mode() {
    the_tunnels_peer_is_the_caller(InstallMode::Paired).await;
}
