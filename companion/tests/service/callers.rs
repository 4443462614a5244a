//! Who may call, how often, and what a companion reads again while it runs.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use aplomb_companion::listen::TlsFiles;
use aplomb_companion::serve::{Companion, ServeError};
use axum::body::Bytes;
use axum::http::{Request, StatusCode};
use companion_protocol::{Effect, EffectResult, OnFail, TokenExchange};
use http_body_util::Full;
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::client::{
    DIGEST, Running, append, call, config, get, load, options, perform, post, request, send,
};
use super::delegation::exchange;
use super::durability::Process;
use crate::patience::eventually;

/// An authority and what it has signed, as PEM.
struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).expect("parameters");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        let pem = params.self_signed(&key).expect("a certificate").pem();
        let issuer = Issuer::new(params, key);
        Self { issuer, pem }
    }

    /// Certificate and key.
    fn signed(&self, name: &str) -> (String, String) {
        let key = KeyPair::generate().expect("a key");
        let params = CertificateParams::new(vec![name.to_owned()]).expect("parameters");
        let certificate = params.signed_by(&key, &self.issuer).expect("a certificate");
        (certificate.pem(), key.serialize_pem())
    }
}

/// Asks over TLS; `None`: there was no answer.
async fn ask(port: u16, trusts: &str, shows: Option<(String, String)>, body: Vec<u8>) -> Option<StatusCode> {
    let mut roots = rustls::RootCertStore::empty();
    roots
        .add(CertificateDer::from_pem_slice(trusts.as_bytes()).expect("PEM"))
        .expect("a root");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(roots);
    let tls = match shows {
        None => builder.with_no_client_auth(),
        Some((certificate, key)) => {
            let chain = vec![CertificateDer::from_pem_slice(certificate.as_bytes()).expect("PEM")];
            let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).expect("PEM");
            builder.with_client_auth_cert(chain, key).expect("a pair")
        }
    };
    let connector = hyper_rustls::HttpsConnectorBuilder::new()
        .with_tls_config(tls)
        .https_only()
        .enable_http1()
        .build();
    let client = Client::builder(TokioExecutor::new()).build(connector);
    let request = Request::post(format!("https://localhost:{port}/v1/effects"))
        .header("content-type", "application/json")
        .body(Full::new(Bytes::from(body)))
        .expect("a request");
    Some(client.request(request).await.ok()?.status())
}

fn write(folder: &Path, name: &str, text: &str) -> std::path::PathBuf {
    let path = folder.join(name);
    std::fs::write(&path, text).expect("writes");
    path
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_caller_without_the_right_certificate_is_not_let_in() {
    let (ours, theirs) = (Authority::new(), Authority::new());
    let directory = tempfile::tempdir().expect("a directory");
    let (certificate, key) = ours.signed("localhost");
    let mut options = options(&directory, &config("http://127.0.0.1:1/token"));
    options.tls = Some(TlsFiles {
        certificate: write(directory.path(), "server.pem", &certificate),
        key: write(directory.path(), "server.key", &key),
        client_authority: Some(write(directory.path(), "ca.pem", &ours.pem)),
    });
    let companion = Running::with_options(directory, &options).await;
    let body = || request(DIGEST, vec![call(load('a'), OnFail::Stop)]);
    let port = companion.address.port();
    assert_eq!(
        ask(port, &ours.pem, Some(ours.signed("envoy")), body()).await,
        Some(StatusCode::OK)
    );
    assert_eq!(ask(port, &ours.pem, None, body()).await, None);
    assert_eq!(
        ask(port, &ours.pem, Some(theirs.signed("envoy")), body()).await,
        None
    );
    // Nor does a caller take another server for it, and plain HTTP is no way in.
    assert_eq!(
        ask(port, &theirs.pem, Some(ours.signed("envoy")), body()).await,
        None
    );
    let plain = Request::get(format!("http://{}/healthz", companion.address))
        .body(Full::default())
        .expect("a request");
    assert!(
        super::client::send(plain)
            .await
            .is_none_or(|answer| answer.status != 200)
    );
}

#[tokio::test]
async fn nothing_but_loopback_is_served_to_anybody() {
    let ours = Authority::new();
    let (certificate, key) = ours.signed("localhost");
    for (authority, opens) in [(None, false), (Some(&ours.pem), true)] {
        let directory = tempfile::tempdir().expect("a directory");
        let mut options = options(&directory, &config("http://127.0.0.1:1/token"));
        options.listen = "0.0.0.0:0".parse().expect("an address");
        options.tls = Some(TlsFiles {
            certificate: write(directory.path(), "server.pem", &certificate),
            key: write(directory.path(), "server.key", &key),
            client_authority: authority.map(|pem| write(directory.path(), "ca.pem", pem)),
        });
        match Companion::start(&options).await {
            Ok(_) => assert!(opens, "served to anybody"),
            Err(ServeError::Open(_)) => assert!(!opens),
            Err(other) => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn files_that_are_no_certificates_stop_the_start() {
    let (certificate, key) = Authority::new().signed("localhost");
    let (other, _) = Authority::new().signed("localhost");
    for (certificate, key) in [("none", key.as_str()), (&certificate, "none"), (&other, &key)] {
        let directory = tempfile::tempdir().expect("a directory");
        let mut options = options(&directory, &config("http://127.0.0.1:1/token"));
        options.tls = Some(TlsFiles {
            certificate: write(directory.path(), "server.pem", certificate),
            key: write(directory.path(), "server.key", key),
            client_authority: None,
        });
        let error = Companion::start(&options).await.err().expect("refused");
        assert!(matches!(error, ServeError::TlsFiles(_)), "{error:?}");
    }
}

#[tokio::test]
async fn a_caller_that_asks_too_often_is_told_so_and_probes_are_not() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut options = options(&directory, &config("http://127.0.0.1:1/token"));
    options.rate_limit = Some(5);
    let companion = Running::with_options(directory, &options).await;
    let body = || request(DIGEST, vec![call(load('a'), OnFail::Stop)]);
    // However long it takes: five at once, and one more each fifth of a second.
    let begun = Instant::now();
    let callers: JoinSet<_> = (0..100).map(|_| post(companion.address, body())).collect();
    let answers = callers.join_all().await;
    let most = 5 + begun.elapsed().as_millis() / 200 + 1;
    let (admitted, refused): (Vec<_>, Vec<_>) = answers.iter().partition(|answer| answer.status == 200);
    assert!(admitted.len() >= 5, "{} admitted", admitted.len());
    assert!(admitted.len() as u128 <= most, "{} admitted", admitted.len());
    for answer in refused {
        assert_eq!(
            (answer.status, answer.error_code().as_str()),
            (StatusCode::TOO_MANY_REQUESTS, "companion.too_often")
        );
    }
    for _ in 0..10 {
        assert_eq!(get(companion.address, "/healthz").await.status, 200);
    }
    eventually("another request", async || {
        (post(companion.address, body()).await.status == 200).then_some(())
    })
    .await;
}

fn hang_up(process: &Process) {
    let status = Command::new("kill")
        .args(["-HUP", &process.pid().to_string()])
        .status()
        .expect("kill");
    assert!(status.success());
}

/// A policy with this digest whose backend secret is `secret`.
fn policy(digest: &str, secret: &str) -> Value {
    json!({"version": 1, "policy_digest": digest, "delegators": {"d": {
        "kind": "secret", "secret": {"file": secret}, "outbound_header": "x-api-key", "outbound_prefix": ""}}})
}

async fn handed_out(process: &Process, digest: &str) -> String {
    let asked = TokenExchange {
        permissions: Vec::new(),
        ..exchange()
    };
    let calls = vec![call(Effect::TokenExchange(asked), OnFail::Stop)];
    match perform(process.address, digest, calls).await.results.remove(0) {
        EffectResult::Granted(grant) => grant.token,
        EffectResult::Denied { code, .. } => code,
        other => panic!("{other:?}"),
    }
}

async fn soon(process: &Process, digest: &str, expected: &str) {
    eventually(expected, async || {
        (handed_out(process, digest).await == expected).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hang_up_reads_policies_and_secrets_again_and_keeps_what_is_good() {
    let directory = tempfile::tempdir().expect("a directory");
    let key = write(directory.path(), "backend.key", "first");
    let key = key.display().to_string();
    let process = Process::start(directory.path(), &policy(DIGEST, &key), &[]);
    perform(
        process.address,
        DIGEST,
        vec![call(append('a', "kept"), OnFail::Stop)],
    )
    .await;
    assert_eq!(handed_out(&process, DIGEST).await, "first");
    // A rotated secret.
    write(directory.path(), "backend.key", "second");
    assert_eq!(handed_out(&process, DIGEST).await, "first");
    hang_up(&process);
    soon(&process, DIGEST, "second").await;
    // Another policy, which the old digest is no longer good for.
    let next = DIGEST.replace("aa", "bb");
    write(
        directory.path(),
        "companion.json",
        &policy(&next, &key).to_string(),
    );
    hang_up(&process);
    soon(&process, &next, "second").await;
    assert_eq!(handed_out(&process, DIGEST).await, "companion.unknown_policy");
    // What cannot be read changes nothing: no text, no secret, another store.
    let elsewhere = {
        let mut policy = policy(&next, &key);
        policy["session_store"] = json!({"kind": "valkey", "endpoint": "localhost:1"});
        policy.to_string()
    };
    for broken in ["{", &policy(&next, "/nowhere").to_string(), &elsewhere] {
        write(directory.path(), "companion.json", broken);
        hang_up(&process);
        tokio::time::sleep(Duration::from_millis(300)).await;
        assert_eq!(handed_out(&process, &next).await, "second", "{broken}");
    }
    let held = perform(process.address, &next, vec![call(load('a'), OnFail::Stop)]).await;
    assert!(matches!(&held.results[..], [EffectResult::Labels(labels)] if labels.session == ["kept"]));
}

/// What a probe that carries this token is answered.
async fn admitted(process: &Process, token: &str) -> StatusCode {
    let request = Request::get(format!("http://{}/v1/jwks?issuer=x", process.address))
        .header("authorization", format!("Bearer {token}"))
        .body(Full::default())
        .expect("a request");
    send(request).await.expect("an answer").status
}

async fn soon_admitted(process: &Process, token: &str, expected: bool) {
    for _ in 0..600 {
        if (admitted(process, token).await != StatusCode::UNAUTHORIZED) == expected {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("{token} admitted: {}", !expected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_bearer_token_is_replaced_without_a_restart_and_both_count_meanwhile() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = write(directory.path(), "tokens", "# before\nfirst\n");
    let arguments = ["--token-file", file.to_str().expect("text")];
    let process = Process::start_with(
        directory.path(),
        &config("http://127.0.0.1:1/token"),
        &[],
        &arguments,
    );
    soon_admitted(&process, "first", true).await;
    assert_eq!(admitted(&process, "second").await, StatusCode::UNAUTHORIZED);
    write(directory.path(), "tokens", "first\n\nsecond\n");
    hang_up(&process);
    soon_admitted(&process, "second", true).await;
    soon_admitted(&process, "first", true).await;
    // A file without a token would let everybody in or nobody: the old one stays.
    write(directory.path(), "tokens", "# none\n");
    hang_up(&process);
    write(directory.path(), "tokens", "second\n");
    hang_up(&process);
    soon_admitted(&process, "first", false).await;
    for wrong in ["", "# before", "first\tsecond"] {
        assert_eq!(
            admitted(&process, wrong).await,
            StatusCode::UNAUTHORIZED,
            "{wrong}"
        );
    }
    assert_ne!(admitted(&process, "second").await, StatusCode::UNAUTHORIZED);
}
