//! `aplc probe` against a real Envoy: with the filter nothing gets through and the backend hears nothing; what is missing or
//! switched off is found out, without an operation of the policy being performed.

use std::path::Path;

use aplomb_test_harness::envoy::wasm::InstallMode;
use aplomb_test_harness::envoy::{Envoy, Setup, Upstream};
use aplomb_test_harness::ground::recorder::{Answer, Recorder, piece, result};
use aplomb_test_harness::ground::{Ground, Options, issuer, untouched};
use aplomb_test_harness::stack::SEAL_KEY_ENV;
use aplomb_test_harness::{ports, programs};
use serde_json::{Value, json};
use tokio::process::Command;

fn policy() -> String {
    let user = issuer::plugin("user", "authorization", "user").expect("a key");
    format!(
        r#"
plugins:
  - {user}
  - name: keys
    kind: identity/api-key
    config:
      credential: {{kind: header, name: x-api-key}}
      prefix: sk-
      provider: {{kind: file, path: keys.json}}
global:
  authentication: [user]
routes:
  - tool: pay
    pre_invocation: ["require(role.hr)"]
  - tool: report
    authentication: {{steps: [keys], replace_inherited: true}}
    pre_invocation: ["require(role.staff)"]
  - tool: weather
    authentication: {{steps: [], replace_inherited: true}}
  - a2a: "message/send"
    pre_invocation: ["require(role.hr)"]
  - llm: gpt-4
    pre_invocation: ["require(role.hr)"]
  - http: "/api/{{id}}"
    pre_invocation: ["require(role.hr)"]
"#
    )
}

fn filter_config(enforcement: &str) -> Value {
    json!({
        "protocols": [
            { "path_prefix": "/mcp", "speaks": "mcp" },
            { "path_prefix": "/agent", "speaks": "a2a" },
            { "path_prefix": "/llm", "speaks": "llm" },
            { "path_prefix": "/api", "speaks": "http" },
        ],
        "seal_key_env": SEAL_KEY_ENV,
        "enforcement": enforcement,
    })
}

async fn backend() -> Recorder {
    Recorder::start(Answer::JSON, |heard, frames| async move {
        let message = heard.message();
        piece(&frames, result(&message["id"], &json!({ "done": heard.tool() }))).await;
    })
    .await
    .expect("starts")
}

async fn ground(mode: InstallMode, enforcement: &str, backend: &Recorder, dir: &Path) -> Ground {
    let upstreams = ["/mcp", "/agent", "/llm", "/api"];
    let options = Options {
        policy: policy(),
        beside_companion: vec![("keys.json".to_owned(), "{}".to_owned())],
        mode,
        filter_config: filter_config(enforcement),
        companion: Some(json!({})),
        upstreams: upstreams.map(|path| untouched(path, backend.address)).into(),
        in_front: Vec::new(),
        adapt: None,
    };
    Ground::start(options, dir).await.expect("everything starts")
}

/// The configuration that a gateway should run, as a file.
fn configuration(ground: &Ground, dir: &Path) -> std::path::PathBuf {
    let mut configuration = ground.artefacts.filter_configuration();
    let members = filter_config("enforce");
    for (name, value) in members.as_object().expect("an object") {
        configuration[name] = value.clone();
    }
    let path = dir.join("probed.json");
    std::fs::write(&path, configuration.to_string()).expect("written");
    path
}

/// Exit code, and what it says as JSON.
async fn probe(envoy: &Envoy, config: &Path, more: &[&str]) -> (i32, Value) {
    let mut command = Command::new(programs::ours("aplc").expect("built"));
    command
        .arg("probe")
        .arg(envoy.url(""))
        .arg("--config")
        .arg(config);
    command.args(["--format", "json", "--timeout", "60"]).args(more);
    let token = issuer::token(&json!({ "sub": "eve", "roles": ["engineer"] })).expect("a token");
    let ended = issuer::token(&json!({ "sub": "eve", "exp": 1_000_000_000 })).expect("a token");
    command.env("EVE", token).env("ENDED", ended);
    let output = command.output().await.expect("runs");
    let said = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|_| Value::from(String::from_utf8_lossy(&output.stderr).into_owned()));
    (output.status.code().unwrap_or(-1), said)
}

fn with<'v>(said: &'v Value, verdict: &str) -> Vec<&'v str> {
    let probes = said["probes"].as_array().expect("probes").iter();
    probes
        .filter(|probe| probe["verdict"] == verdict)
        .map(|probe| probe["attempt"].as_str().expect("text"))
        .collect()
}

async fn nothing_gets_through(mode: InstallMode) {
    let (dir, backend) = (tempfile::tempdir().expect("a directory"), backend().await);
    let ground = ground(mode, "enforce", &backend, dir.path()).await;
    let config = configuration(&ground, dir.path());

    for credential in [&[][..], &["--credential", "user=EVE"]] {
        let (code, said) = probe(&ground.envoy, &config, credential).await;
        assert_eq!(code, 0, "{said:#}\n{}", ground.envoy.log());
        let denied = with(&said, "denied");
        for one in [
            "nobody calls what is not there",
            "nobody lists the tools",
            "nobody calls `pay`",
            "nobody calls `report`",
            "nobody calls `gpt-4`",
            "`user`: a token without a signature",
            "`user`: a token that another key signed",
            "`user`: a token of another issuer",
            "a key that stands twice",
            "a body over the limit",
            "a session id that was never given out",
            "an MCP header on a path that is not listed",
            "a dot segment in the path",
        ] {
            assert!(denied.contains(&one), "{one} was not denied: {said:#}");
        }
        assert!(denied.len() > 50, "{} were sent", denied.len());
        // Envoy's own path normalisation is asked to refuse it.
        let by_proxy = with(&said, "refused_by_the_proxy");
        let refused = [denied.as_slice(), by_proxy.as_slice()].concat();
        assert!(refused.contains(&"an encoded slash in the path"), "{said:#}");
        // Anybody may call it, so that it is no probe.
        assert!(
            with(&said, "not_sent").contains(&"nobody calls `weather`"),
            "{said:#}"
        );
        for other in ["denied_otherwise", "got_through", "no_answer", "may_be_allowed"] {
            assert_eq!(with(&said, other), Vec::<&str>::new(), "{other}: {said:#}");
        }
        let heard = backend.heard();
        assert!(heard.is_empty(), "the backend heard {heard:?}");
    }

    // What may be allowed is sent on request only.
    let (code, said) = probe(&ground.envoy, &config, &["--allow"]).await;
    assert_eq!(code, 0, "{said:#}");
    assert!(
        with(&said, "may_be_allowed").contains(&"nobody calls `weather`"),
        "{said:#}"
    );
    assert!(backend.heard().iter().any(|heard| heard.tool() == "weather"));

    // A credential that is not good proves nothing.
    let (code, said) = probe(&ground.envoy, &config, &["--credential", "user=ENDED"]).await;
    assert_eq!(code, 2, "{said}");
    let said = said.as_str().expect("an error");
    assert!(
        said.contains("does not take these credentials") && said.contains("auth.token_expired"),
        "{said}"
    );
}

#[tokio::test]
async fn a_probe_of_a_governed_gateway_is_denied_whole_in_full_mode() {
    nothing_gets_through(InstallMode::Full).await;
}

#[tokio::test]
async fn a_probe_of_a_governed_gateway_is_denied_whole_in_paired_mode() {
    nothing_gets_through(InstallMode::Paired).await;
}

#[tokio::test]
async fn a_gateway_without_the_filter_fails_and_no_operation_is_performed() {
    let (dir, backend) = (tempfile::tempdir().expect("a directory"), backend().await);
    let (built, other) = (dir.path().join("built"), dir.path().join("plain"));
    for folder in [&built, &other] {
        std::fs::create_dir(folder).expect("a directory");
    }
    let ground = ground(InstallMode::Full, "enforce", &backend, &built).await;
    let config = configuration(&ground, dir.path());
    let upstream = Upstream {
        name: "backend".to_owned(),
        ..untouched("/", backend.address)
    };
    let setup = Setup::new(ports::free().expect("a port"), Vec::new(), vec![upstream]);
    let plain = Envoy::start(&setup, &other).await.expect("Envoy starts");

    let (code, said) = probe(&plain, &config, &["--allow"]).await;
    assert_eq!(code, 1, "{said:#}");
    assert!(
        with(&said, "got_through").contains(&"nobody calls what is not there"),
        "{said:#}"
    );
    assert!(with(&said, "denied").is_empty(), "{said:#}");
    assert!(
        with(&said, "not_sent").contains(&"nobody calls `pay`"),
        "{said:#}"
    );
    let heard = backend.heard();
    assert!(!heard.is_empty(), "what is not there was called");
    for name in ["pay", "report", "weather"] {
        assert!(
            heard.iter().all(|heard| heard.tool() != name),
            "`{name}` was called"
        );
    }
}

#[tokio::test]
async fn a_gateway_that_enforces_nothing_is_found_out() {
    let (dir, backend) = (tempfile::tempdir().expect("a directory"), backend().await);
    let ground = ground(InstallMode::Full, "shadow", &backend, dir.path()).await;
    let config = configuration(&ground, dir.path());
    let (code, said) = probe(&ground.envoy, &config, &[]).await;
    assert_eq!(code, 1, "{said:#}");
    assert!(
        with(&said, "got_through").contains(&"nobody calls what is not there"),
        "{said:#}"
    );
    assert!(backend.heard().iter().all(|heard| heard.tool() != "pay"));
}
