//! The objects that `aplc emit istio` writes, translated into Envoy's configuration as istiod documents it, in a real Envoy, with the
//! demo's scenario played on the result. No istiod runs here: what it does is read from its documentation and source, and
//! `translate.rs` says which sentence of it each step follows.

mod translate;

use std::path::Path;
use std::process::Command;

use aplomb_test_harness::backend::{Replies, Role};
use aplomb_test_harness::envoy::Adapt;
use aplomb_test_harness::envoy::wasm::InstallMode;
use aplomb_test_harness::scenario::{self, seed};
use aplomb_test_harness::stack::{Options, Stack};
use aplomb_test_harness::{programs, tools};
use serde_json::{Value, json};

fn aplc(arguments: &[&str]) {
    let output = Command::new(programs::ours("aplc").expect("built"))
        .args(arguments)
        .output()
        .expect("runs");
    assert!(
        output.status.success(),
        "aplc {arguments:?}:\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a path of text")
}

/// Where the objects come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Source {
    /// `aplc emit istio`, with `--traffic-extension` or without.
    Emitted { extension: bool },
    /// `istio/wasmplugins-paired.yaml`, filled in by hand.
    Shipped,
    /// `aplc emit istio`, and over it the overlay of this name in `istio/overlays`, by `kubectl kustomize`.
    Overlay(&'static str),
}

/// The policy, built for the demo's servers.
fn built(policy: &Path, mode: InstallMode, dir: &Path) -> std::path::PathBuf {
    let build = dir.join("istio-build");
    let mut arguments = vec!["build", text(policy), "-o", text(&build), "--mode", mode.name()];
    let protocols: Vec<String> = Role::ALL
        .iter()
        .map(|role| format!("{}=mcp", role.path()))
        .collect();
    for protocol in &protocols {
        arguments.extend(["--protocol", protocol]);
    }
    aplc(&arguments);
    build
}

/// The plugins for the policy at `policy`, as an operator gets them.
fn objects(policy: &Path, mode: InstallMode, source: Source, dir: &Path) -> Vec<Value> {
    let build = built(policy, mode, dir);
    match source {
        Source::Emitted { extension } => {
            let out = dir.join("istio");
            emit(&build, extension, &out);
            let plugins = std::fs::read_to_string(out.join("plugins.yaml")).expect("written");
            serde_saphyr::from_multiple(&plugins).expect("YAML")
        }
        Source::Shipped => shipped(&build),
        Source::Overlay(name) => {
            emit(&build, false, &dir.join("istio/base"));
            overlaid(name, dir)
        }
    }
}

/// The file of the repository with its placeholders filled in, and the paths of the demo in the place of its one.
fn shipped(build: &Path) -> Vec<Value> {
    let file = programs::root().join("istio/wasmplugins-paired.yaml");
    let text = std::fs::read_to_string(file).expect("the file");
    let filter = std::fs::read_to_string(build.join("filter-config.json")).expect("built");
    let filter: Value = serde_json::from_str(&filter).expect("JSON");
    let member = |name: &str| filter[name].as_str().expect("a text");
    let text = text
        .replace("@APLOMB_POLICY@", member("policy"))
        .replace("@APLOMB_POLICY_DIGEST@", member("policy_digest"));
    assert!(!text.contains("@APLOMB"), "every placeholder is filled in");
    let mut objects: Vec<Value> = serde_saphyr::from_multiple(&text).expect("YAML");
    objects[0]["spec"]["pluginConfig"]["protocols"] = filter["protocols"].clone();
    objects
}

/// What would be applied, without what is no plugin. The other overlay leaves the plugins as they were written.
fn overlaid(name: &str, dir: &Path) -> Vec<Value> {
    let plugins = std::fs::read_to_string(dir.join("istio/base/plugins.yaml")).expect("written");
    let written: Vec<Value> = serde_saphyr::from_multiple(&plugins).expect("YAML");
    assert_eq!(applied("production", dir), written);
    applied(name, dir)
}

fn applied(name: &str, dir: &Path) -> Vec<Value> {
    let overlay = dir.join("istio/overlays").join(name);
    std::fs::create_dir_all(&overlay).expect("a folder");
    let ours = programs::root().join("istio/overlays").join(name);
    for entry in std::fs::read_dir(ours).expect("the overlay").flatten() {
        std::fs::copy(entry.path(), overlay.join(entry.file_name())).expect("copied");
    }
    let output = Command::new(kubectl().expect("looked for before"))
        .arg("kustomize")
        .arg(&overlay)
        .output()
        .expect("runs");
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{errors}");
    let applied = String::from_utf8(output.stdout).expect("text");
    let objects: Vec<Value> = serde_saphyr::from_multiple(&applied).expect("YAML");
    let plugins = objects
        .into_iter()
        .filter(|object| object["kind"] == "WasmPlugin");
    plugins.collect()
}

fn kubectl() -> Option<std::path::PathBuf> {
    tools::needed("kubectl", tools::program("kubectl/bin/kubectl"))
}

fn emit(build: &Path, extension: bool, out: &Path) {
    let image = format!("oci://registry.example/aplomb@sha256:{}", "a".repeat(64));
    let mut arguments = vec![
        "emit",
        "istio",
        "--build",
        text(build),
        "--image",
        &image,
        "-o",
        text(out),
    ];
    if extension {
        arguments.push("--traffic-extension");
    }
    aplc(&arguments);
}

/// Puts what istiod would make of the objects in the place of the harness's own plugins.
fn through_istiod(policy: std::path::PathBuf, mode: InstallMode, source: Source, dir: &Path) -> Adapt {
    let dir = dir.to_owned();
    Adapt::new(move |document| {
        // Discovery wants to know who asks; Istio's proxies say it.
        document["node"] =
            json!({ "id": "gateway~127.0.0.1~agents.agents~cluster.local", "cluster": "agents" });
        let objects = objects(&policy, mode, source, &dir);
        let filters = translate::filters(&objects, &programs::filter().expect("built"), &dir);
        let expected = if mode == InstallMode::Paired { 2 } else { 1 };
        assert_eq!(filters.len(), expected, "{filters:#?}");
        let chain = document
            .pointer_mut("/static_resources/listeners/0/filter_chains/0/filters/0/typed_config/http_filters")
            .and_then(Value::as_array_mut)
            .expect("a chain");
        let router = chain.pop().expect("the router");
        *chain = filters;
        chain.push(router);
        // Istio's name for the companion's Service.
        let cluster = json!("outbound|9470||aplomb-companion.aplomb.svc.cluster.local");
        let clusters = document["static_resources"]["clusters"]
            .as_array_mut()
            .expect("clusters");
        let companion = clusters.last_mut().expect("the companion's");
        companion["name"] = cluster.clone();
        companion["load_assignment"]["cluster_name"] = cluster;
    })
}

async fn the_demo_runs(mode: InstallMode, source: Source) {
    let dir = tempfile::tempdir().expect("a directory");
    let scenario = seed::scenario();
    let mut options = Options::new(scenario.policy.clone(), mode, dir.path());
    options.replies = Replies::Sse;
    // The copy with this run's identity provider in it.
    let policy = dir.path().join("policy.yaml");
    options.adapt = Some(through_istiod(policy, mode, source, dir.path()));
    let mut stack = Stack::start(&options, |what| println!("==> {what}"))
        .await
        .expect("everything starts");
    let report = scenario::run(stack.scene(), &scenario, |step| println!("{step}"))
        .await
        .expect("plays");
    assert!(report.agrees(), "{report}\n---- Envoy\n{}", stack.envoy.log());
}

#[tokio::test]
async fn the_demo_runs_on_a_pair_of_wasm_plugins() {
    the_demo_runs(InstallMode::Paired, Source::Emitted { extension: false }).await;
}

#[tokio::test]
async fn the_demo_runs_on_a_pair_of_traffic_extensions() {
    the_demo_runs(InstallMode::Paired, Source::Emitted { extension: true }).await;
}

#[tokio::test]
async fn the_demo_runs_on_an_envoy_filter() {
    the_demo_runs(InstallMode::Full, Source::Emitted { extension: false }).await;
}

#[tokio::test]
async fn the_demo_runs_on_the_pair_that_is_shipped() {
    the_demo_runs(InstallMode::Paired, Source::Shipped).await;
}

#[tokio::test]
async fn the_demo_runs_on_what_the_overlays_apply() {
    if kubectl().is_some() {
        the_demo_runs(InstallMode::Paired, Source::Overlay("private-registry")).await;
    }
}

/// Mode `single` refuses policies that need held headers, and the demo's delegates: this one asks, denies and redacts.
const WITHOUT_HELD_HEADERS: &str = r#"
plugins:
  - name: user
    kind: identity/jwt
    config:
      header: x-user-token
      claim_mapper: standard
      trusted_issuers:
        - issuer: "http://localhost:8081/realms/cpex-demo"
          audiences: [praxis-gateway]
          algorithms: [RS256]
          decoding_key: { kind: jwks_url, url: "http://localhost:8081/realms/cpex-demo/protocol/openid-connect/certs", insecure_http: true }
global:
  authentication: [user]
  session_store: { kind: embedded }
routes:
  - tool: get_compensation
    pre_invocation: ["require(role.hr)"]
    result: { ssn: "str | redact(!perm.view_ssn)" }
"#;

#[tokio::test]
async fn a_single_wasm_plugin_denies_and_redacts() {
    let dir = tempfile::tempdir().expect("a directory");
    let source = dir.path().join("single.yaml");
    std::fs::write(&source, WITHOUT_HELD_HEADERS).expect("written");
    let mut options = Options::new(source, InstallMode::Single, dir.path());
    options.replies = Replies::Json;
    let policy = dir.path().join("policy.yaml");
    options.adapt = Some(through_istiod(
        policy,
        InstallMode::Single,
        Source::Emitted { extension: false },
        dir.path(),
    ));
    let stack = Stack::start(&options, |what| println!("==> {what}"))
        .await
        .expect("everything starts");
    for (user, code, shown) in [
        ("bob", None, Some("123-45-6789")),
        ("eve", None, Some("[REDACTED]")),
        (
            "alice",
            Some("routes.tool:get_compensation.pre_invocation[0]"),
            None,
        ),
    ] {
        let tokens = stack.idp.log_in(user).await.expect("a login");
        let client = stack.client(Role::Hr, &tokens, "single").expect("headers");
        let record = json!({ "employee_id": "EMP-001234" });
        let reply = client
            .call(&json!(1), "get_compensation", &record)
            .await
            .expect("a reply");
        assert_eq!(
            reply.header("x-policy-violation"),
            code,
            "{user}: {}",
            reply.summary()
        );
        let ssn = reply
            .tool_json()
            .and_then(|record| record["ssn"].as_str().map(str::to_owned));
        assert_eq!(
            ssn.as_deref(),
            shown,
            "{user}: {}\n{}",
            reply.summary(),
            stack.envoy.log()
        );
    }
}
