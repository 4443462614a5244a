//! An identity provider over TLS: the system's roots decide, and `SSL_CERT_FILE` names others.

use std::net::SocketAddr;
use std::sync::Arc;

use companion_protocol::{Effect, EffectResult, OnFail, SubjectKind, TokenExchange};
use rcgen::{CertifiedKey, generate_simple_self_signed};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};

use crate::client::{DIGEST, call, config, perform};
use crate::durability::Process;
use crate::fault_idp::honest;

/// Answers every connection with one honest token response; returns its address and its certificate as PEM.
async fn tls_idp() -> (SocketAddr, String) {
    let CertifiedKey { cert, signing_key } =
        generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(signing_key.serialize_der()));
    let provider = Arc::new(tokio_rustls::rustls::crypto::ring::default_provider());
    let tls = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(vec![cert.der().clone()], key)
        .expect("a server configuration");
    let acceptor = TlsAcceptor::from(Arc::new(tls));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("binds");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let Ok(mut stream) = acceptor.accept(stream).await else {
                continue;
            };
            let mut request = [0; 8192];
            let _ = stream.read(&mut request).await;
            let body = honest().to_string();
            let head = format!(
                "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
                body.len()
            );
            let _ = stream.write_all(format!("{head}{body}").as_bytes()).await;
            let _ = stream.shutdown().await;
        }
    });
    (address, cert.pem())
}

async fn exchange(address: SocketAddr) -> EffectResult {
    let asked = TokenExchange {
        delegator: "d".to_owned(),
        subject: SubjectKind::User,
        subject_token: Some("callers-token".to_owned()),
        expected_sub: Some("bob".to_owned()),
        actor_token: None,
        target: "api".to_owned(),
        audience: "api".to_owned(),
        permissions: vec!["read".to_owned()],
        attenuation: None,
    };
    let calls = vec![call(Effect::TokenExchange(asked), OnFail::Stop)];
    perform(address, DIGEST, calls).await.results.remove(0)
}

#[tokio::test]
async fn exchanges_over_tls_only_with_a_trusted_certificate() {
    let directory = tempfile::tempdir().expect("a directory");
    let (idp, trusted) = tls_idp().await;
    let (_, other) = tls_idp().await;
    let config = config(&format!("https://localhost:{}/token", idp.port()));
    let roots = directory.path().join("roots.pem");
    let environment = [("SSL_CERT_FILE", roots.to_str().expect("text"))];

    std::fs::write(&roots, trusted).expect("writes");
    let process = Process::start(directory.path(), &config, &environment);
    let result = exchange(process.address).await;
    assert!(matches!(result, EffectResult::Granted(_)), "{result:?}");
    process.kill();

    std::fs::write(&roots, other).expect("writes");
    let process = Process::start(directory.path(), &config, &environment);
    let result = exchange(process.address).await;
    assert!(matches!(result, EffectResult::Failed { code, .. } if code == "delegation.idp_unreachable"));
}
