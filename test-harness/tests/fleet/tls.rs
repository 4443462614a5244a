//! Companions on other machines: TLS, a certificate of their own each, callers known by theirs, a bearer token. Health checks go
//! the same way, and need no token.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use aplomb_test_harness::envoy::Envoy;
use aplomb_test_harness::patience::eventually;
use aplomb_test_harness::process::Process;
use aplomb_test_harness::stack::{Server, Store};
use aplomb_test_harness::{ports, programs};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use serde_json::{Value, json};
use tokio::process::Command;

const TOKEN: (&str, &str) = ("APLOMB_TEST_TOKEN", "a-token-for-development");

/// Runs `aplc`, which must succeed; what it printed.
async fn aplc(arguments: &[&str]) -> Vec<u8> {
    let output = Command::new(programs::ours("aplc").expect("built"))
        .args(arguments)
        .output()
        .await
        .expect("runs");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "aplc {arguments:?}:\n{said}");
    output.stdout
}

/// The files of this run.
struct Folder(PathBuf);

impl Folder {
    fn at(&self, name: &str) -> String {
        self.0.join(name).display().to_string()
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.0.join(name), text).expect("written");
    }

    /// An authority, and certificates of it: one for each address, and one for the proxy.
    fn certificates(&self, names: &[&str]) {
        // Names that differ: BoringSSL takes a certificate of its issuer's name for one that signed itself.
        let params = |alternatives: Vec<String>, name: &str| {
            let mut params = CertificateParams::new(alternatives).expect("parameters");
            params.distinguished_name.push(DnType::CommonName, name);
            params
        };
        let mut authority = params(Vec::new(), "authority");
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        self.write(
            "ca.pem",
            &authority.self_signed(&key).expect("a certificate").pem(),
        );
        let authority = Issuer::new(authority, key);
        for name in names {
            let key = KeyPair::generate().expect("a key");
            let own = params(vec![(*name).to_owned()], name);
            let certificate = own.signed_by(&key, &authority).expect("a certificate");
            self.write(&format!("{name}.pem"), &certificate.pem());
            self.write(&format!("{name}.key"), &key.serialize_pem());
        }
    }

    fn companion(&self, address: SocketAddr) -> Process {
        let name = address.ip();
        let mut command = Command::new(programs::ours("aplomb-companion").expect("built"));
        command
            .args(["serve", "--listen", &address.to_string()])
            .args(["--tls-cert", &self.at(&format!("{name}.pem"))])
            .args(["--tls-key", &self.at(&format!("{name}.key"))])
            .args(["--client-ca", &self.at("ca.pem")])
            .args(["--token-env", TOKEN.0])
            .args(["--config", &self.at("built/companion.json")])
            .args(["--data", &self.at(&format!("data-{name}"))])
            .env(TOKEN.0, TOKEN.1);
        Process::start("the companion", command, &self.0.join(format!("{name}.log"))).expect("starts")
    }

    /// An Envoy for these companions, with or without the proxy's certificate.
    async fn envoy(&self, companions: &[SocketAddr], backend: SocketAddr, identity: bool) -> Envoy {
        let at = (ports::free().expect("a port"), ports::free().expect("a port"));
        let (listen, admin) = (at.0.to_string(), at.1.to_string());
        let module = programs::filter().expect("built").display().to_string();
        let (built, ca, upstream) = (
            self.at("built"),
            self.at("ca.pem"),
            format!("/mcp=http://{backend}/mcp"),
        );
        let own = format!("{},{}", self.at("proxy.pem"), self.at("proxy.key"));
        let urls: Vec<String> = companions.iter().map(|at| format!("https://{at}")).collect();
        let mut arguments = vec![
            "emit", "envoy", "--build", &built, "--module", &module, "--ca", &ca,
        ];
        arguments.extend(["--upstream", &upstream, "--listen", &listen, "--admin", &admin]);
        for url in &urls {
            arguments.extend(["--companion", url]);
        }
        if identity {
            arguments.extend(["--companion-identity", &own]);
        }
        let document: Value = serde_saphyr::from_slice(&aplc(&arguments).await).expect("YAML");
        let own = self.0.join(format!("envoy-{identity}"));
        std::fs::create_dir_all(&own).expect("a folder");
        Envoy::start_with(&document, at, 1, &own, &[TOKEN])
            .await
            .expect("Envoy starts")
    }
}

async fn backend() -> SocketAddr {
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0))
        .await
        .expect("a port");
    let address = listener.local_addr().expect("an address");
    let answer =
        json!({"jsonrpc": "2.0", "id": 1, "result": {"content": [{"type": "text", "text": "done"}]}});
    let router = axum::Router::new().fallback(move || {
        let answer = answer.clone();
        async move { axum::Json(answer) }
    });
    tokio::spawn(async move { axum::serve(listener, router).await });
    address
}

/// The code of a denial; empty: the tool answered.
async fn call(envoy: &Envoy) -> String {
    let http = reqwest::Client::builder().no_proxy().build().expect("a client");
    let call = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call",
        "params": {"name": "counted", "arguments": {"k": "a"}}});
    let request = http
        .post(envoy.url("/mcp"))
        .header("content-type", "application/json")
        .header("accept", "application/json, text/event-stream");
    let reply = request.body(call.to_string()).send().await.expect("an answer");
    let code = reply.headers().get("x-policy-violation").cloned();
    let body = reply.text().await.expect("a body");
    match code {
        Some(code) => code.to_str().expect("text").to_owned(),
        None if body.contains("done") => String::new(),
        None => body,
    }
}

async fn health(envoy: &Envoy, companion: SocketAddr) -> Option<String> {
    let clusters = envoy.admin_get("/clusters").await.ok()?;
    let start = format!("aplomb-companion::{companion}::health_flags::");
    let flags = clusters.lines().find_map(|line| line.strip_prefix(&start));
    flags.map(str::to_owned)
}

async fn healthy(envoy: &Envoy, companion: SocketAddr) {
    eventually("a healthy companion", async || {
        (health(envoy, companion).await? == "healthy").then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn companions_are_checked_and_called_over_tls_with_the_proxys_own_certificate() {
    let dir = tempfile::tempdir().expect("a directory");
    let Some(store) = Store::start(Server::Valkey, dir.path()).await.expect("a store") else {
        return;
    };
    let folder = Folder(Path::new(dir.path()).to_owned());
    let companions = ["127.0.0.1", "127.0.0.2"].map(|ip| {
        let port = ports::free().expect("a port").port();
        SocketAddr::new(ip.parse().expect("an address"), port)
    });
    folder.certificates(&["127.0.0.1", "127.0.0.2", "proxy"]);
    folder.write(
        "policy.yaml",
        &format!(
            "global:\n  session_store: {{kind: valkey, endpoint: '{}', replicas: 0}}\nroutes:\n  - tool: counted\n    pre_invocation: [\"limit(1000 per 1h, by: args.k)\"]\n",
            store.address
        ),
    );
    let (policy, built) = (folder.at("policy.yaml"), folder.at("built"));
    let arguments = ["build", &policy, "-o", &built, "--protocol", "/mcp=mcp"];
    aplc(&[&arguments[..], &["--companion-token-env", TOKEN.0]].concat()).await;

    let mut running = companions.map(|address| folder.companion(address));
    let to = backend().await;
    let envoy = folder.envoy(&companions, to, true).await;
    for companion in companions {
        healthy(&envoy, companion).await;
    }
    // Each of them alone, so that each has been called.
    for gone in 0..companions.len() {
        running[gone].kill().await.expect("killed");
        eventually("its absence", async || {
            (health(&envoy, companions[gone]).await? != "healthy").then_some(())
        })
        .await;
        assert_eq!(call(&envoy).await, "", "{}", envoy.log());
        running[gone] = folder.companion(companions[gone]);
        healthy(&envoy, companions[gone]).await;
    }

    let stranger = folder.envoy(&companions, to, false).await;
    for companion in companions {
        eventually("a stranger is not let in", async || {
            health(&stranger, companion)
                .await?
                .contains("failed")
                .then_some(())
        })
        .await;
    }
    assert_eq!(call(&stranger).await, "limit.unavailable");
    assert_eq!(call(&envoy).await, "");
}
