//! The peer's certificate: a listener that demands one of the mesh's authority, and one that does not demand any.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use aplomb_test_harness::envoy::Adapt;
use aplomb_test_harness::envoy::wasm::InstallMode;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    SanType,
};
use reqwest::StatusCode;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::scene::{CALL, DENIED, Said, Scene, Setting, plugin, scene};

const HR: &str = "spiffe://cluster.local/ns/agents/sa/hr";

/// An authority that signs certificates of workloads.
struct Authority(CertifiedIssuer<'static, KeyPair>);

/// A certificate and its key.
struct Identity {
    chain: CertificateDer<'static>,
    key: Vec<u8>,
    pem: String,
    key_pem: String,
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).expect("no names");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        // A name of its own: a certificate whose issuer is called as it is itself counts as self-signed.
        params
            .distinguished_name
            .push(DnType::CommonName, "the mesh's authority");
        let key = KeyPair::generate().expect("a key");
        Authority(CertifiedIssuer::self_signed(params, key).expect("an authority"))
    }

    /// For these URIs and names.
    fn sign(&self, uris: &[&str], names: &[&str]) -> Identity {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names).expect("names");
        for uri in uris {
            let uri = (*uri).try_into().expect("ASCII");
            params.subject_alt_names.push(SanType::URI(uri));
        }
        params.extended_key_usages = vec![
            ExtendedKeyUsagePurpose::ClientAuth,
            ExtendedKeyUsagePurpose::ServerAuth,
        ];
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, &self.0).expect("a certificate");
        Identity {
            chain: certificate.der().clone(),
            key: key.serialize_der(),
            pem: certificate.pem(),
            key_pem: key.serialize_pem(),
        }
    }
}

/// Makes the listener speak TLS.
fn with_tls(authority: &Authority, demands: bool, dir: &Path) -> Adapt {
    let server = authority.sign(&[], &["localhost"]);
    let file = |name: &str, text: &str| {
        let path = dir.join(name);
        std::fs::write(&path, text).expect("written");
        json!({ "filename": path })
    };
    let context = json!({
        "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext",
        "require_client_certificate": demands,
        "common_tls_context": {
            "tls_certificates": [{
                "certificate_chain": file("server.pem", &server.pem),
                "private_key": file("server.key", &server.key_pem),
            }],
            "validation_context": { "trusted_ca": file("ca.pem", &authority.0.pem()) },
        },
    });
    Adapt::new(move |document: &mut Value| {
        let chain = &mut document["static_resources"]["listeners"][0]["filter_chains"][0];
        chain["transport_socket"] =
            json!({ "name": "envoy.transport_sockets.tls", "typed_config": context.clone() });
    })
}

/// Calls `who` with this certificate and these lines of the head; `None` if the connection was refused.
async fn call(
    address: SocketAddr,
    authority: &Authority,
    who: Option<&Identity>,
    lines: &str,
) -> Option<Said> {
    let mut roots = RootCertStore::empty();
    roots.add(authority.0.der().clone()).expect("a root");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(roots);
    let config = match who {
        None => builder.with_no_client_auth(),
        Some(identity) => {
            let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(identity.key.clone()));
            builder
                .with_client_auth_cert(vec![identity.chain.clone()], key)
                .expect("a certificate")
        }
    };
    let stream = TcpStream::connect(address).await.expect("connects");
    let name = ServerName::try_from("localhost").expect("a name");
    let mut stream = TlsConnector::from(Arc::new(config))
        .connect(name, stream)
        .await
        .ok()?;
    let head = format!(
        "POST /mcp HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-type: application/json\r\naccept: application/json, text/event-stream\r\n{lines}content-length: {}\r\n\r\n",
        CALL.len()
    );
    // A server that does not like the certificate says so after the handshake, in TLS 1.3.
    stream.write_all(format!("{head}{CALL}").as_bytes()).await.ok()?;
    let mut answer = Vec::new();
    let _end = stream.read_to_end(&mut answer).await;
    let answer = String::from_utf8_lossy(&answer).into_owned();
    let status = answer.split(' ').nth(1)?.parse().ok()?;
    let code = answer
        .lines()
        .find_map(|line| line.strip_prefix("x-policy-violation: "))
        .unwrap_or_default();
    Some(Said {
        status: StatusCode::from_u16(status).ok()?,
        code: code.trim().to_owned(),
    })
}

async fn workloads(mode: InstallMode, authority: &Authority, demands: bool) -> (Scene, tempfile::TempDir) {
    let config = json!({ "source": "mtls", "trust_domain": "cluster.local" });
    let files = tempfile::tempdir().expect("a directory");
    let scene = scene(Setting {
        plugins: json!([plugin("peer", "identity/spiffe", &config)]),
        require: "caller_workload.spiffe_id == 'spiffe://cluster.local/ns/agents/sa/hr'",
        mode,
        in_front: Vec::new(),
        adapt: Some(with_tls(authority, demands, files.path())),
        companion: None,
        beside_companion: Vec::new(),
    })
    .await;
    (scene, files)
}

fn refused(scene: &Scene, what: &str, said: Option<Said>, status: u16, code: &str) {
    let said = said.unwrap_or_else(|| panic!("{what}: the connection was refused"));
    scene.is_refused(what, &said, status, code);
}

async fn the_peers_certificate_is_the_caller(mode: InstallMode) {
    let (authority, foreign) = (Authority::new(), Authority::new());
    let (scene, _files) = workloads(mode, &authority, true).await;
    let address = scene.ground.envoy.listen;
    let hr = authority.sign(&[HR], &[]);
    let said = call(address, &authority, Some(&hr), "")
        .await
        .expect("a connection");
    assert_eq!(
        (said.status.as_u16(), said.code.as_str()),
        (200, ""),
        "{}",
        scene.ground.envoy.log()
    );
    assert_eq!(scene.backend.heard().len(), 1);
    scene.backend.forget();

    let spoofed = format!("x-forwarded-client-cert: By=spiffe://cluster.local/gw;URI={HR}\r\n");
    for (what, uris, names, lines, status, code) in [
        (
            "another account",
            vec!["spiffe://cluster.local/ns/agents/sa/eve"],
            vec![],
            "",
            200,
            DENIED,
        ),
        (
            "another account that names the right one in a header",
            vec!["spiffe://cluster.local/ns/agents/sa/eve"],
            vec![],
            spoofed.as_str(),
            200,
            DENIED,
        ),
        (
            "another domain",
            vec!["spiffe://evil.example/ns/agents/sa/hr"],
            vec![],
            "",
            401,
            "auth.untrusted_workload",
        ),
        (
            "a name that is no URI",
            vec![],
            vec!["cluster.local"],
            "",
            401,
            "auth.missing_credential",
        ),
        (
            "a URI that is no SPIFFE id",
            vec!["https://cluster.local/ns/agents/sa/hr"],
            vec![],
            "",
            401,
            "auth.mapping_failed",
        ),
        (
            "the right id behind another",
            vec!["spiffe://cluster.local/ns/agents/sa/eve", HR],
            vec![],
            "",
            200,
            DENIED,
        ),
    ] {
        let identity = authority.sign(&uris, &names);
        let said = call(address, &authority, Some(&identity), lines).await;
        refused(&scene, what, said, status, code);
    }
    // These do not get as far as the filter.
    let stranger = foreign.sign(&[HR], &[]);
    for (what, who) in [("another authority", Some(&stranger)), ("no certificate", None)] {
        let said = call(address, &authority, who, &spoofed).await;
        assert_eq!(said, None, "{what}");
        assert!(scene.backend.heard().is_empty(), "{what} GOT THROUGH");
    }
}

#[tokio::test]
async fn the_peers_certificate_is_the_caller_in_full_mode() {
    the_peers_certificate_is_the_caller(InstallMode::Full).await;
}

#[tokio::test]
async fn the_peers_certificate_is_the_caller_in_paired_mode() {
    the_peers_certificate_is_the_caller(InstallMode::Paired).await;
}

#[tokio::test]
async fn where_no_certificate_is_demanded_a_header_is_none() {
    let authority = Authority::new();
    let (scene, _files) = workloads(InstallMode::Full, &authority, false).await;
    let address = scene.ground.envoy.listen;
    for lines in [
        String::new(),
        format!("x-forwarded-client-cert: URI={HR}\r\n"),
        format!("x-forwarded-client-cert: By=a;Hash=00;Subject=\"\";URI={HR}\r\n"),
        format!("connection.uri_san_peer_certificate: {HR}\r\n"),
    ] {
        let said = call(address, &authority, None, &lines).await;
        refused(&scene, &lines, said, 401, "auth.missing_credential");
    }
    let hr = authority.sign(&[HR], &[]);
    let said = call(address, &authority, Some(&hr), "")
        .await
        .expect("a connection");
    assert_eq!((said.status.as_u16(), said.code.as_str()), (200, ""));
}
