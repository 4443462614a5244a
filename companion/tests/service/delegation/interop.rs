//! Exchanges at real servers: `oidc-provider` (npm, certified) and `authgent-server` (PyPI, exchange built in).

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use axum::body::Bytes;
use axum::http::Request;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use companion_protocol::{Effect, EffectResult, Grant, OnFail, SubjectKind, TokenExchange};
use http_body_util::Full;
use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256};
use serde_json::{Value, json};

use super::{exchange, refusal};
use crate::client::{DIGEST, call, get, perform, send};
use crate::durability::Process;
use crate::patience::eventually;
use crate::real::{free_port, program, script};

/// Ends with the test.
struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

async fn ask(process: &Process, asked: TokenExchange) -> EffectResult {
    let calls = vec![call(Effect::TokenExchange(asked), OnFail::Stop)];
    perform(process.address, DIGEST, calls).await.results.remove(0)
}

async fn granted(process: &Process, asked: TokenExchange) -> Grant {
    match ask(process, asked).await {
        EffectResult::Granted(grant) => grant,
        other => panic!("not granted: {other:?}"),
    }
}

fn claims(token: &str) -> Value {
    let payload = token.split('.').nth(1).expect("a JWT");
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).expect("base64")).expect("JSON")
}

/// `None`: not installed.
fn openid_provider(port: u16, jwk: &Value) -> Option<(Server, Value, tempfile::TempDir)> {
    let node = program("node")?;
    let text = include_str!("../exchange_op.mjs");
    let script = script("oidc-provider", "exchange_op.mjs", text)?;
    let mut child = Command::new(node)
        .arg(script.path().join("exchange_op.mjs"))
        .args([port.to_string(), jwk.to_string()])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("starts");
    let stdout = child.stdout.take().expect("piped");
    let server = Server(child);
    let mut lines = BufReader::new(stdout).lines().map_while(Result::ok);
    let tokens = lines
        .find_map(|line| serde_json::from_str(&line).ok())
        .expect("tokens");
    assert!(lines.any(|line| line == "up"), "the provider does not start");
    // It goes on talking, and dies when nobody listens.
    std::thread::spawn(move || lines.for_each(drop));
    Some((server, tokens, script))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certified_provider_exchanges_for_every_way_of_authentication() {
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).expect("a key");
    let point = key.public_key_raw();
    let coordinate = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
    let jwk = json!({"kty": "EC", "crv": "P-256", "kid": "ours", "use": "sig", "alg": "ES256",
        "x": coordinate(&point[1..33]), "y": coordinate(&point[33..])});
    let port = free_port();
    let Some((_server, tokens, _script)) = openid_provider(port, &jwk) else {
        return;
    };
    let directory = tempfile::tempdir().expect("a directory");
    std::fs::write(directory.path().join("key.pem"), key.serialize_pem()).expect("writes");
    let issuer = format!("http://127.0.0.1:{port}");
    let delegator = |client: &str, more: Value| {
        let mut delegator = json!({"kind": "oauth", "token_endpoint": format!("{issuer}/token"), "allow_http": true, "timeout_ms": 60_000,
            "client_id": client, "introspection_endpoint": format!("{issuer}/token/introspection")});
        delegator
            .as_object_mut()
            .expect("an object")
            .extend(more.as_object().cloned().expect("an object"));
        delegator
    };
    let secret = json!({"env": "OP_SECRET"});
    let config = json!({"version": 1, "policy_digest": DIGEST, "delegators": {
        "basic": delegator("basic", json!({"client_secret": secret})),
        "post": delegator("post", json!({"client_auth": "client_secret_post", "client_secret": secret})),
        "key": delegator("key", json!({"client_auth": "private_key_jwt", "client_key": {"file": "key.pem"},
            "client_key_id": "ours", "assertion_audience": issuer})),
        "shallow": delegator("basic", json!({"client_secret": secret, "max_depth": 0})),
        "stranger": delegator("basic", json!({"client_secret": {"env": "WRONG"}})),
    }});
    let environment = [("OP_SECRET", "s3cret"), ("WRONG", "wrong")];
    let process = Process::start(directory.path(), &config, &environment);
    let text = |name: &str| tokens[name].as_str().map(str::to_owned);
    let asked = |delegator: &str| TokenExchange {
        delegator: delegator.to_owned(),
        subject_token: text("bob"),
        target: "https://api.example/hr".to_owned(),
        audience: "https://api.example/hr".to_owned(),
        ..exchange()
    };
    for name in ["basic", "post", "key"] {
        let grant = granted(&process, asked(name)).await;
        let claims = claims(&grant.token);
        assert_eq!(
            (&claims["sub"], &claims["aud"]),
            (&json!("bob"), &json!("https://api.example/hr")),
            "{name}"
        );
        assert_eq!(
            (&claims["scope"], &claims["client_id"]),
            (&json!("read"), &json!(name)),
            "{name}"
        );
        // The agent acts for bob, and the token says so.
        let acting = TokenExchange {
            actor_token: text("agent"),
            ..asked(name)
        };
        let grant = granted(&process, acting).await;
        assert_eq!(
            self::claims(&grant.token)["act"],
            json!({"sub": "agent"}),
            "{name}"
        );
        // Opaque tokens are looked into at the provider.
        let opaque = TokenExchange {
            audience: "https://opaque.example/hr".to_owned(),
            ..asked(name)
        };
        let grant = granted(&process, opaque).await;
        assert!(!grant.token.contains('.'), "{}", grant.token);
    }
    let too_deep = TokenExchange {
        actor_token: text("agent"),
        ..asked("shallow")
    };
    assert_eq!(refusal(ask(&process, too_deep).await).0, "delegation.too_deep");
    assert_eq!(
        refusal(ask(&process, asked("stranger")).await).0,
        "delegation.idp_rejected"
    );
    let wider = TokenExchange {
        permissions: vec!["admin".to_owned()],
        ..asked("basic")
    };
    assert_eq!(refusal(ask(&process, wider).await).0, "delegation.idp_rejected");
    let forged = TokenExchange {
        subject_token: Some(crate::fault_idp::jwt(&json!({"sub": "bob"}))),
        ..asked("basic")
    };
    assert_eq!(refusal(ask(&process, forged).await).0, "delegation.idp_rejected");
    let own = TokenExchange {
        subject: SubjectKind::ThisWorkload,
        subject_token: None,
        expected_sub: None,
        permissions: Vec::new(),
        audience: "https://api.example".to_owned(),
        ..asked("basic")
    };
    let grant = granted(&process, own).await;
    assert_eq!(claims(&grant.token)["client_id"], json!("basic"));
}

async fn post(url: String, headers: &[(&str, String)], body: String) -> Value {
    let mut request = Request::post(url);
    for (name, value) in headers {
        request = request.header(*name, value);
    }
    let request = request.body(Full::new(Bytes::from(body))).expect("a request");
    send(request).await.expect("an answer").json()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_with_exchange_built_in_names_the_gateway_as_actor() {
    let Some(program) = program("authgent/bin/authgent-server") else {
        return;
    };
    let program = std::fs::canonicalize(program.parent().expect("a folder"))
        .expect("is there")
        .join("authgent-server");
    let directory = tempfile::tempdir().expect("a directory");
    let port = free_port();
    let issuer = format!("http://127.0.0.1:{port}");
    let command = |arguments: &[&str]| {
        let mut command = Command::new(&program);
        command
            .args(arguments)
            .current_dir(directory.path())
            .env("AUTHGENT_SERVER_URL", &issuer);
        command.stdout(Stdio::null()).stderr(Stdio::null());
        command
    };
    assert!(command(&["init"]).status().expect("runs").success());
    let _server = Server(
        command(&["run", "--host", "127.0.0.1", "--port", &port.to_string()])
            .spawn()
            .expect("starts"),
    );
    let address = std::net::SocketAddr::from(([127, 0, 0, 1], port));
    eventually("authgent-server", async || {
        tokio::net::TcpStream::connect(address).await.ok()
    })
    .await;
    assert_eq!(get(address, "/.well-known/jwks.json").await.status, 200);
    let json_body = [("content-type", "application/json".to_owned())];
    let registered = async |name: &str| {
        let grants = [
            "client_credentials",
            "urn:ietf:params:oauth:grant-type:token-exchange",
        ];
        let client = json!({"client_name": name, "grant_types": grants, "scope": "read admin",
            "token_endpoint_auth_method": "client_secret_basic"});
        post(format!("{issuer}/register"), &json_body, client.to_string()).await
    };
    let (agent, gateway) = (registered("agent").await, registered("gateway").await);
    let text = |value: &Value| value.as_str().expect("text").to_owned();
    let basic = STANDARD.encode(format!(
        "{}:{}",
        text(&agent["client_id"]),
        text(&agent["client_secret"])
    ));
    let form = [
        ("content-type", "application/x-www-form-urlencoded".to_owned()),
        ("authorization", format!("Basic {basic}")),
    ];
    let own = post(
        format!("{issuer}/token"),
        &form,
        "grant_type=client_credentials&scope=read".to_owned(),
    )
    .await;
    let subject_token = text(&own["access_token"]);
    let sub = text(&claims(&subject_token)["sub"]);
    let delegator = |more: Value| {
        let mut delegator = json!({"kind": "oauth", "token_endpoint": format!("{issuer}/token"), "allow_http": true, "timeout_ms": 60_000,
            "client_id": gateway["client_id"], "client_secret": {"env": "GATEWAY_SECRET"}});
        delegator
            .as_object_mut()
            .expect("an object")
            .extend(more.as_object().cloned().expect("an object"));
        delegator
    };
    let config = json!({"version": 1, "policy_digest": DIGEST, "delegators": {
        "gateway": delegator(json!({})), "shallow": delegator(json!({"max_depth": 0}))}});
    let secret = text(&gateway["client_secret"]);
    let process = Process::start(directory.path(), &config, &[("GATEWAY_SECRET", secret.as_str())]);
    let asked = |delegator: &str| TokenExchange {
        delegator: delegator.to_owned(),
        subject_token: Some(subject_token.clone()),
        expected_sub: Some(sub.clone()),
        target: "https://hr.example".to_owned(),
        audience: "https://hr.example".to_owned(),
        ..exchange()
    };
    let grant = granted(&process, asked("gateway")).await;
    let minted = claims(&grant.token);
    assert_eq!(
        (&minted["sub"], &minted["aud"]),
        (&json!(sub), &json!("https://hr.example"))
    );
    assert_eq!(
        minted["act"]["sub"],
        json!(format!("client:{}", text(&gateway["client_id"])))
    );
    assert_eq!(
        refusal(ask(&process, asked("shallow")).await).0,
        "delegation.too_deep"
    );
    let wider = TokenExchange {
        permissions: vec!["admin".to_owned()],
        ..asked("gateway")
    };
    assert_eq!(refusal(ask(&process, wider).await).0, "delegation.idp_rejected");
}
