//! Secrets: none of them in what Envoy shows or `aplc` writes, and each is replaced while Envoy and the companion run, with the
//! old one and the new one good meanwhile.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use aplomb_test_harness::control_plane::{ControlPlane, Word};
use aplomb_test_harness::envoy::Envoy;
use aplomb_test_harness::ground::issuer;
use aplomb_test_harness::patience::{PATIENCE, eventually};
use aplomb_test_harness::process::{Process, answers};
use aplomb_test_harness::{ports, programs};
use axum::http::HeaderMap;
use serde_json::{Value, json};
use tokio::process::Command;

use crate::rig::{build, done, text};

/// Variables of Envoy's environment, and what no file and no answer may show.
const ENVIRONMENT: [(&str, &str); 5] = [
    ("APLOMB_HASH_KEY", "secret-of-hashes-5ea1"),
    ("APLOMB_SEAL_OLD", "secret-of-seals-first-90ad"),
    ("APLOMB_SEAL_NEW", "secret-of-seals-second-77c2"),
    ("APLOMB_TOKEN_OLD", "secret-of-proxies-first-13fe"),
    ("APLOMB_TOKEN_NEW", "secret-of-proxies-second-8b20"),
];
/// The backend's, which the companion hands out.
const DELEGATED: &str = "secret-of-the-backend-31aa";

fn policy() -> String {
    let user = issuer::plugin("user", "authorization", "user").expect("a key");
    let tokens = json!({"name": "backend", "kind": "delegator/secret", "config": {
        "secret_source": {"kind": "env_var", "name": "BACKEND_KEY"}, "default_outbound_header": "x-api-key", "outbound_prefix": ""}});
    format!(
        "plugins: {}\nengine_settings: {{unmatched: deny}}\nglobal:\n  authentication: [user]\nroutes:\n\
           \x20 - tool: counted\n    pre_invocation: [\"limit(1000 per 1h)\"]\n    result: {{ id: hash }}\n\
           \x20 - tool: delegated\n    pre_invocation: [\"require(authenticated)\", \"delegate(backend)\"]\n",
        json!([user, tokens])
    )
}

/// A server with sessions: it names one on `initialize`, and says which one each call came with, and under which key.
async fn backend() -> SocketAddr {
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0))
        .await
        .expect("a port");
    let address = listener.local_addr().expect("an address");
    let router = axum::Router::new().fallback(async |headers: HeaderMap| {
        let heard = |name: &str| {
            headers
                .get(name)
                .map_or("none", |value| value.to_str().unwrap_or("odd"))
                .to_owned()
        };
        let record = json!({"session": heard("mcp-session-id"), "keyed": heard("x-api-key") == DELEGATED});
        let answer = json!({"jsonrpc": "2.0", "id": 1, "result": {
            "content": [{"type": "text", "text": record.to_string()}], "structuredContent": record}});
        ([("mcp-session-id", "the-backends-own")], axum::Json(answer))
    });
    tokio::spawn(async move { axum::serve(listener, router).await });
    address
}

/// The companion, with its tokens in a file.
struct Companion {
    process: Process,
    tokens: PathBuf,
    address: SocketAddr,
}

impl Companion {
    async fn start(dir: &Path, build: &Path) -> Self {
        let address = ports::free().expect("a port");
        let tokens = dir.join("tokens");
        std::fs::write(&tokens, ENVIRONMENT[3].1).expect("written");
        let mut command = Command::new(programs::ours("aplomb-companion").expect("built"));
        command
            .arg("serve")
            .args(["--listen", &address.to_string()])
            .arg("--config")
            .arg(build.join("companion.json"))
            .arg("--data")
            .arg(dir.join("data"))
            .arg("--token-file")
            .arg(&tokens)
            .env("BACKEND_KEY", DELEGATED);
        let mut process =
            Process::start("the companion", command, &dir.join("companion.log")).expect("starts");
        let http = reqwest::Client::new();
        let health = format!("http://{address}/healthz");
        process
            .wait_until(PATIENCE, || answers(&http, &health))
            .await
            .expect("answers");
        Self {
            process,
            tokens,
            address,
        }
    }

    /// Another set of tokens counts from now on.
    fn admit(&self, tokens: &[&str]) {
        std::fs::write(&self.tokens, tokens.join("\n")).expect("written");
        let pid = self.process.pid().expect("it runs").to_string();
        let done = std::process::Command::new("kill").args(["-HUP", &pid]).status();
        assert!(done.expect("kill").success());
    }
}

struct Client {
    http: reqwest::Client,
    url: String,
    token: String,
}

impl Client {
    /// Status, code, session id and the backend's word.
    async fn call(&self, tool: &str, session: &str) -> (u16, String, String, Value) {
        let call = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call",
            "params": {"name": tool, "arguments": {}}});
        self.send(&call, session).await
    }

    async fn send(&self, message: &Value, session: &str) -> (u16, String, String, Value) {
        let mut request = self
            .http
            .post(&self.url)
            .header("content-type", "application/json")
            .header("accept", "application/json, text/event-stream")
            .header("authorization", format!("Bearer {}", self.token));
        if !session.is_empty() {
            request = request.header("mcp-session-id", session);
        }
        let reply = request.body(message.to_string()).send().await.expect("an answer");
        let header = |name: &str| {
            let value = reply.headers().get(name);
            value
                .and_then(|value| value.to_str().ok())
                .unwrap_or_default()
                .to_owned()
        };
        let (status, code, id) = (
            reply.status().as_u16(),
            header("x-policy-violation"),
            header("mcp-session-id"),
        );
        let body: Value = serde_json::from_str(&reply.text().await.expect("a body")).unwrap_or_default();
        (status, code, id, body["result"]["structuredContent"].clone())
    }
}

/// Every file below a folder, but for the one that is there for secrets.
fn files(folder: &Path, into: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).expect("a folder").flatten() {
        let path = entry.path();
        if path.is_dir() {
            files(&path, into);
        } else if path.file_name().is_none_or(|name| name != "secrets.env") {
            into.push(path);
        }
    }
}

fn shows_no_secret(what: &str, bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    for secret in ENVIRONMENT.iter().map(|(_, secret)| *secret).chain([DELEGATED]) {
        assert!(!text.contains(secret), "{what} shows {secret}");
        let encoded = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, secret);
        assert!(!text.contains(&encoded), "{what} shows {secret} in base64");
    }
}

/// The filter's configuration with these members in it.
fn configured(build: &Path, members: &Value) {
    let path = build.join("filter-config.json");
    let filter = std::fs::read_to_string(&path).expect("built");
    let mut filter: Value = serde_json::from_str(&filter).expect("JSON");
    for (name, value) in members.as_object().expect("members") {
        match value {
            Value::Null => {
                filter.as_object_mut().expect("an object").remove(name);
            }
            _ if name == "token_env" => filter["companion"][name] = value.clone(),
            value => filter[name] = value.clone(),
        }
    }
    std::fs::write(path, filter.to_string()).expect("written");
}

async fn secrets_stay_put_and_are_replaced(mode: &str) {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path();
    let built = build(path, "policy", &policy(), mode);
    let companion = Companion::start(path, &built).await;
    let (listen, admin) = (ports::free().expect("a port"), ports::free().expect("a port"));
    let (listen_at, admin_at) = (listen.to_string(), admin.to_string());
    let module = programs::filter().expect("built");
    let upstream = format!("/mcp=http://{}/mcp", backend().await);
    let companion_at = format!("http://{}", companion.address);
    let ecds = path.join("ecds");
    let emit = |members: Value| -> (Value, Vec<Value>) {
        configured(&built, &members);
        let arguments = [
            ["emit", "envoy"],
            ["--build", text(&built)],
            ["--module", text(&module)],
            ["--upstream", &upstream],
            ["--listen", &listen_at],
            ["--admin", &admin_at],
            ["--companion", &companion_at],
            ["--ecds", text(&ecds)],
        ];
        let written = done("aplc", arguments.as_flattened());
        shows_no_secret("the bootstrap", written.as_bytes());
        let mut plugins = Vec::new();
        for entry in std::fs::read_dir(&ecds).expect("files").flatten() {
            let text = std::fs::read_to_string(entry.path()).expect("text");
            let document: Value = serde_saphyr::from_str(&text).expect("YAML");
            plugins.push(document["resources"][0].clone());
        }
        (serde_saphyr::from_str(&written).expect("YAML"), plugins)
    };
    let (mut document, first) = emit(json!({
        "hash_key_env": "APLOMB_HASH_KEY", "seal_key_env": "APLOMB_SEAL_OLD", "token_env": "APLOMB_TOKEN_OLD",
    }));
    let plane = ControlPlane::start().await.expect("listens");
    plane.adopt(&mut document);
    let push = async |plugins: &[Value]| {
        let version = plane.push(plugins).expect("plugins");
        assert_eq!(plane.word_on(version).await.expect("a word"), Word::Taken);
    };
    plane.push(&first).expect("plugins");
    let envoy = Envoy::start_with(&document, (listen, admin), 2, path, &ENVIRONMENT)
        .await
        .expect("Envoy starts");
    let client = Client {
        http: reqwest::Client::builder().no_proxy().build().expect("a client"),
        url: envoy.url("/mcp"),
        token: issuer::token(&json!({"sub": "alice"})).expect("a token"),
    };
    let passes = async |what: &str, session: &str| {
        let own = json!("the-backends-own");
        eventually(what, async || {
            let (status, code, _, heard) = client.call("counted", session).await;
            (status == 200 && code.is_empty() && heard["session"] == own).then_some(())
        })
        .await;
    };
    let begin = async || {
        let begin = json!({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {}});
        eventually("a sealed session", async || {
            let (status, _, id, _) = client.send(&begin, "").await;
            (status == 200 && !id.is_empty() && id != "the-backends-own").then_some(id)
        })
        .await
    };
    let old_session = begin().await;
    passes("a call in the session", &old_session).await;
    let (status, code, _, heard) = client.call("delegated", &old_session).await;
    assert_eq!((status, code.as_str(), &heard["keyed"]), (200, "", &json!(true)));

    // The proxy's token: the companion takes both, the filter goes over to the new one, the old one ends.
    let (old, new) = (ENVIRONMENT[3].1, ENVIRONMENT[4].1);
    companion.admit(&[old, new]);
    passes("both tokens count", &old_session).await;
    push(&emit(json!({"token_env": "APLOMB_TOKEN_NEW"})).1).await;
    passes("the new token", &old_session).await;
    companion.admit(&[new]);
    let knock = async |token: &str| {
        let request = client.http.get(format!("{companion_at}/metrics"));
        request
            .bearer_auth(token)
            .send()
            .await
            .expect("an answer")
            .status()
            .as_u16()
    };
    eventually("the old token ends", async || {
        (knock(old).await == 401).then_some(())
    })
    .await;
    assert_eq!(knock(new).await, 200);
    passes("the new token alone", &old_session).await;

    // The key of seals: sessions of both go on, and end with the old key.
    push(&emit(json!({"seal_key_env": "APLOMB_SEAL_NEW", "seal_previous_key_env": "APLOMB_SEAL_OLD"})).1)
        .await;
    let new_session = eventually("a session under the new key", async || {
        let id = begin().await;
        (id != old_session).then_some(id)
    })
    .await;
    passes("a session under the old key", &old_session).await;
    passes("a session under the new key", &new_session).await;
    push(&emit(json!({"seal_previous_key_env": null})).1).await;
    eventually("the old key ends", async || {
        let (status, code, ..) = client.call("counted", &old_session).await;
        ((status, code.as_str()) == (404, "protocol.unknown_session")).then_some(())
    })
    .await;
    passes("a session under the new key, alone", &new_session).await;

    // Nothing of it is shown: not by Envoy, not in any file that was written on the way.
    for page in [
        "/config_dump?include_eds",
        "/server_info",
        "/stats",
        "/stats/prometheus",
        "/clusters",
    ] {
        let shown = envoy.admin_get(page).await.expect("an answer");
        assert!(shown.len() > 100, "{page}");
        shows_no_secret(page, shown.as_bytes());
    }
    let dump = envoy.admin_get("/config_dump").await.expect("an answer");
    assert!(
        dump.contains("APLOMB_SEAL_NEW"),
        "the filter's configuration is in the dump"
    );
    let mut all = Vec::new();
    for folder in [&built, &ecds] {
        files(folder, &mut all);
    }
    all.extend(["envoy.json", "envoy.log", "companion.log"].map(|name| path.join(name)));
    assert!(all.len() >= 6, "{all:?}");
    for file in all {
        shows_no_secret(
            &file.display().to_string(),
            &std::fs::read(&file).expect("a file"),
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn secrets_stay_put_and_are_replaced_in_full_mode() {
    secrets_stay_put_and_are_replaced("full").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn secrets_stay_put_and_are_replaced_in_paired_mode() {
    secrets_stay_put_and_are_replaced("paired").await;
}
