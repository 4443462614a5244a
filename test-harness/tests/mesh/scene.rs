//! A policy that says who may call `who`, an Envoy with the filter, a backend that keeps what it heard.

use aplomb_test_harness::envoy::Adapt;
use aplomb_test_harness::envoy::wasm::InstallMode;
use aplomb_test_harness::ground::recorder::{Answer, Recorder, piece, result};
use aplomb_test_harness::ground::{Ground, Options, untouched};
use reqwest::StatusCode;
use serde_json::{Value, json};
use tempfile::TempDir;

/// What differs between the tests.
pub(crate) struct Setting {
    pub(crate) plugins: Value,
    /// The predicate that lets a call of `who` through.
    pub(crate) require: &'static str,
    pub(crate) mode: InstallMode,
    pub(crate) in_front: Vec<Value>,
    pub(crate) adapt: Option<Adapt>,
    pub(crate) companion: Option<Value>,
    pub(crate) beside_companion: Vec<(String, String)>,
}

pub(crate) struct Scene {
    pub(crate) ground: Ground,
    pub(crate) backend: Recorder,
    pub(crate) dir: TempDir,
    http: reqwest::Client,
}

/// The status and the code of a reply.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Said {
    pub(crate) status: StatusCode,
    pub(crate) code: String,
}

pub(crate) fn plugin(name: &str, kind: &str, config: &Value) -> Value {
    json!({ "name": name, "kind": kind, "config": config })
}

pub(crate) async fn scene(setting: Setting) -> Scene {
    let backend = Recorder::start(Answer::JSON, |heard, frames| async move {
        let id = heard.message()["id"].clone();
        piece(&frames, result(&id, &json!({ "fine": true }))).await;
    })
    .await
    .expect("listens");
    let first = setting.plugins[0]["name"].as_str().expect("a name").to_owned();
    let policy = format!(
        "plugins: {}\nengine_settings: {{ unmatched: deny }}\nglobal:\n  authentication: [{first}]\nroutes:\n  - tool: who\n    pre_invocation: [\"require({})\"]\n",
        setting.plugins, setting.require
    );
    let dir = tempfile::tempdir().expect("a directory");
    let options = Options {
        policy,
        beside_companion: setting.beside_companion,
        mode: setting.mode,
        filter_config: json!({ "protocols": [{ "path_prefix": "/mcp", "speaks": "mcp" }] }),
        companion: setting.companion,
        upstreams: vec![untouched("/mcp", backend.address)],
        in_front: setting.in_front,
        adapt: setting.adapt,
    };
    let ground = Ground::start(options, dir.path())
        .await
        .expect("everything starts");
    let http = reqwest::Client::builder().no_proxy().build().expect("a client");
    Scene {
        ground,
        backend,
        dir,
        http,
    }
}

pub(crate) const CALL: &str =
    r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"who","arguments":{}}}"#;

impl Scene {
    /// Calls `who` with these headers.
    pub(crate) async fn call(&self, headers: &[(&str, &str)]) -> Said {
        self.call_at("/mcp", headers).await
    }

    pub(crate) async fn call_at(&self, path: &str, headers: &[(&str, &str)]) -> Said {
        let mut request = self
            .http
            .post(self.ground.envoy.url(path))
            .header("content-type", "application/json")
            .header("accept", "application/json, text/event-stream")
            .body(CALL);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let reply = request.send().await.expect("a reply");
        let code = reply.headers().get("x-policy-violation");
        Said {
            status: reply.status(),
            code: code
                .and_then(|code| code.to_str().ok())
                .unwrap_or_default()
                .to_owned(),
        }
    }

    /// The call is let through, and the backend hears it.
    pub(crate) async fn lets_in(&self, what: &str, headers: &[(&str, &str)]) {
        self.backend.forget();
        let said = self.call(headers).await;
        let log = self.ground.envoy.log();
        assert_eq!(said, fine(), "{what}: {log}");
        assert_eq!(self.backend.heard().len(), 1, "{what}");
    }

    /// The call is refused with one of these statuses, by the filter if the code says so, and the backend hears nothing.
    pub(crate) async fn refuses(&self, what: &str, headers: &[(&str, &str)], status: u16, code: &str) {
        self.backend.forget();
        let said = self.call(headers).await;
        self.is_refused(what, &said, status, code);
    }

    pub(crate) fn is_refused(&self, what: &str, said: &Said, status: u16, code: &str) {
        assert_eq!(
            (said.status.as_u16(), said.code.as_str()),
            (status, code),
            "{what}: {}",
            self.ground.envoy.log()
        );
        assert!(self.backend.heard().is_empty(), "{what} GOT THROUGH");
    }
}

fn fine() -> Said {
    Said {
        status: StatusCode::OK,
        code: String::new(),
    }
}

/// The code of the one rule: its place.
pub(crate) const DENIED: &str = "routes.tool:who.pre_invocation[0]";
