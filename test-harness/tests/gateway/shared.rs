//! A gateway that serves other things: with the filter in its chain each of their bytes is what it was without it.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use aplomb_test_harness::envoy::wasm::{Governed, InstallMode};
use aplomb_test_harness::envoy::{Envoy, Setup, Upstream, config};
use aplomb_test_harness::patience::PATIENCE;
use aplomb_test_harness::{ports, programs};
use serde_json::{Value, json};

use crate::rig::build;

/// A backend of literal bytes: it answers each connection's first request by its path, and keeps all that it hears.
struct Backend {
    address: SocketAddr,
    heard: Mutex<Vec<u8>>,
    /// What the client has got so far: some answers go on only when it has what was sent before.
    client: Mutex<Vec<u8>>,
    /// Something that was sent did not come to the client.
    held: AtomicBool,
}

const BIG: usize = 3 * 1024 * 1024;

impl Backend {
    fn start() -> Arc<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
        let backend = Arc::new(Self {
            address: listener.local_addr().expect("an address"),
            heard: Mutex::default(),
            client: Mutex::default(),
            held: AtomicBool::new(false),
        });
        let served = Arc::clone(&backend);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let backend = Arc::clone(&served);
                std::thread::spawn(move || backend.serve(stream));
            }
        });
        backend
    }

    fn serve(&self, mut stream: TcpStream) {
        let _set = stream.set_read_timeout(Some(PATIENCE));
        let (mut all, mut buffer) = (Vec::new(), [0_u8; 65536]);
        while !complete(&all) {
            match stream.read(&mut buffer) {
                Ok(count @ 1..) => all.extend_from_slice(&buffer[..count]),
                Ok(_) | Err(_) => break,
            }
        }
        self.heard.lock().expect("lock").extend_from_slice(&all);
        let line = String::from_utf8_lossy(&all[..all.len().min(200)]).into_owned();
        let path = line.split(' ').nth(1).unwrap_or_default().to_owned();
        let mut say = |bytes: &[u8]| {
            let _gone = stream.write_all(bytes);
            let _gone = stream.flush();
        };
        match path.as_str() {
            "/ws" => {
                say(b"HTTP/1.1 101 Switching Protocols\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\r\n");
                while let Ok(count @ 1..) = stream.read(&mut buffer) {
                    self.heard.lock().expect("lock").extend_from_slice(&buffer[..count]);
                    let mut back = buffer[..count].to_vec();
                    back.reverse();
                    let _gone = stream.write_all(&back);
                }
            }
            "/stream" => {
                say(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\ntrailer: x-sum\r\n\r\n");
                for number in 0..3 {
                    let event = format!("data: {number}\n\n");
                    say(format!("{:x}\r\n{event}\r\n", event.len()).as_bytes());
                    self.arrives(&event);
                }
                say(b"0\r\nx-sum: 3\r\n\r\n");
            }
            "/big" => {
                say(format!("HTTP/1.1 200 OK\r\ncontent-length: {BIG}\r\n\r\n").as_bytes());
                say(&vec![b'z'; BIG]);
            }
            "/teapot" => say(b"HTTP/1.1 418 I'm a teapot\r\nx-odd: a\r\nx-odd: b\r\nset-cookie: s=1\r\ncontent-encoding: gzip\r\netag: \"1\"\r\ncontent-length: 3\r\n\r\nabc"),
            "/moved" => say(b"HTTP/1.1 302 Found\r\nlocation: /else\r\ncontent-length: 0\r\n\r\n"),
            "/error" => say(b"HTTP/1.1 503 Busy\r\nretry-after: 7\r\ncontent-length: 4\r\n\r\nbusy"),
            "/cut" => {
                say(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nabc");
                self.arrives("\r\n\r\nabc");
            }
            _ => say(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 17\r\n\r\n{\"tools\":[\"raw\"]}"),
        }
    }
}

impl Backend {
    /// Waits until the client has this.
    fn arrives(&self, text: &str) {
        let until = Instant::now() + PATIENCE;
        let has = || String::from_utf8_lossy(&self.client.lock().expect("lock")).contains(text);
        while !has() {
            if Instant::now() > until {
                self.held.store(true, Ordering::SeqCst);
                return;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

/// Head and as much body as `content-length` says, or the last chunk.
fn complete(bytes: &[u8]) -> bool {
    let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else {
        return false;
    };
    let head = String::from_utf8_lossy(&bytes[..end]).to_ascii_lowercase();
    let body = &bytes[end + 4..];
    if head.contains("transfer-encoding: chunked") {
        // With or without trailers the last chunk ends in an empty line.
        return body.ends_with(b"\r\n\r\n") && body.windows(3).any(|three| three == b"0\r\n");
    }
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length: ")?.parse::<usize>().ok());
    body.len() >= length.unwrap_or(0)
}

/// Envoy in front of it, with or without the filter.
struct Gateway {
    envoy: Envoy,
    backend: Arc<Backend>,
}

async fn gateway(dir: &Path, filters: Vec<Value>) -> Gateway {
    std::fs::create_dir_all(dir).expect("a directory");
    let backend = Backend::start();
    let upstream = Upstream {
        name: "others".into(),
        path: "/".into(),
        rewrite: "/".into(),
        keep_host: false,
        address: backend.address,
    };
    let setup = Setup::new(ports::free().expect("a port"), filters, vec![upstream]);
    let admin = ports::free().expect("a port");
    let mut document = config::bootstrap(&setup, admin, &dir.join("access.log"));
    let manager = document
        .pointer_mut("/static_resources/listeners/0/filter_chains/0/filters/0/typed_config")
        .expect("the manager");
    manager["upgrade_configs"] = json!([{"upgrade_type": "websocket"}]);
    // What differs from request to request by itself.
    manager["generate_request_id"] = json!(false);
    manager["http_protocol_options"] = json!({"enable_trailers": true});
    manager["server_name"] = json!("gw");
    // A fixed Host, so that what both backends hear is the same.
    manager["route_config"]["virtual_hosts"][0]["routes"][0]["route"]["host_rewrite_literal"] =
        json!("others");
    for router in manager["http_filters"].as_array_mut().expect("filters") {
        if router["name"] == "router" {
            router["typed_config"]["suppress_envoy_headers"] = json!(true);
        }
    }
    document["static_resources"]["clusters"][0]["typed_extension_protocol_options"] = json!({
        "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
            "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
            "explicit_http_config": {"http_protocol_options": {"enable_trailers": true}},
            // The backend closes a connection when it has answered: a second request on it could meet the close.
            "common_http_protocol_options": {"max_requests_per_connection": 1},
        }
    });
    let listen = setup.listeners[0].address;
    let envoy = Envoy::start_document(&document, (listen, admin), 1, dir)
        .await
        .expect("Envoy starts");
    Gateway { envoy, backend }
}

/// What the client got, and what the backend heard.
#[derive(Debug, PartialEq)]
struct Seen {
    client: String,
    backend: String,
}

impl Gateway {
    fn ask(&self, request: &[u8], rest: &[&[u8]]) -> Seen {
        self.backend.heard.lock().expect("lock").clear();
        self.backend.client.lock().expect("lock").clear();
        let mut stream = TcpStream::connect(self.envoy.listen).expect("connects");
        stream.set_read_timeout(Some(2 * PATIENCE)).expect("a timeout");
        stream.write_all(request).expect("sent");
        let (mut all, mut buffer) = (Vec::new(), [0_u8; 65536]);
        for piece in rest {
            // An answer to what was sent before comes first.
            let count = stream.read(&mut buffer).expect("an answer");
            all.extend_from_slice(&buffer[..count]);
            stream.write_all(piece).expect("sent");
        }
        if !rest.is_empty() {
            let count = stream.read(&mut buffer).expect("an answer");
            all.extend_from_slice(&buffer[..count]);
            stream.shutdown(std::net::Shutdown::Both).expect("ends");
        }
        while let Ok(count @ 1..) = stream.read(&mut buffer) {
            all.extend_from_slice(&buffer[..count]);
            let got = &buffer[..count];
            self.backend.client.lock().expect("lock").extend_from_slice(got);
        }
        let heard = self.backend.heard.lock().expect("lock").clone();
        Seen {
            client: plain(&all),
            backend: plain(&heard),
        }
    }
}

/// Without the one thing that is never the same.
fn plain(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes).into_owned();
    let lines = text.split("\r\n").filter(|line| !line.starts_with("date: "));
    lines.collect::<Vec<_>>().join("\r\n")
}

fn requests() -> Vec<(&'static str, Vec<u8>)> {
    let get = |path: &str, more: &str| {
        format!("GET {path} HTTP/1.1\r\nhost: shop.example\r\nconnection: close\r\n{more}\r\n").into_bytes()
    };
    let post = |path: &str, more: &str, body: &[u8]| {
        let head = format!(
            "POST {path} HTTP/1.1\r\nhost: shop.example\r\nconnection: close\r\n{more}content-length: {}\r\n\r\n",
            body.len()
        );
        [head.as_bytes(), body].concat()
    };
    vec![
        ("a page", get("/page?q=1&q=2", "cookie: a=b\r\nauthorization: Basic eDp5\r\nx-twice: 1\r\nx-twice: 2\r\n")),
        ("our own headers in other people's traffic", get("/page", "x-policy-restrict-allow-regions: eu\r\nx-policy-elicitation-id: 1\r\n")),
        ("a JSON-RPC body elsewhere", post("/api", "content-type: application/json\r\n", br#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"denied"}}"#)),
        ("a body that is not what it says", post("/api", "content-type: application/json\r\ncontent-encoding: gzip\r\n", b"\xff\xfe{{")),
        ("a large upload", post("/upload", "content-type: application/octet-stream\r\n", &vec![b'q'; BIG])),
        ("a large download", get("/big", "")),
        ("odd responses", get("/teapot", "accept-encoding: gzip\r\n")),
        ("a redirection", get("/moved", "")),
        ("a failure", get("/error", "")),
        ("a response that breaks off", get("/cut", "")),
        ("a path that only begins like a governed one", post("/mcp2", "content-type: application/json\r\n", b"{}")),
        ("a preflight", b"OPTIONS /api HTTP/1.1\r\nhost: shop.example\r\nconnection: close\r\norigin: https://a\r\naccess-control-request-method: POST\r\n\r\n".to_vec()),
        ("chunks and trailers", b"POST /api HTTP/1.1\r\nhost: shop.example\r\nconnection: close\r\ntransfer-encoding: chunked\r\ntrailer: x-sum\r\n\r\n3\r\nabc\r\n0\r\nx-sum: 1\r\n\r\n".to_vec()),
        ("no body at all", post("/api", "", b"")),
    ]
}

/// The filter with a policy for `/mcp`, on a gateway that serves other things.
pub(crate) fn governed(dir: &Path, mode: InstallMode) -> Governed {
    let policy = "engine_settings: {unmatched: deny}\nroutes:\n  - tool: open\n    pre_invocation: [\"args.x: deny\"]\n";
    let built = build(dir, "policy", policy, "full");
    let filter = std::fs::read_to_string(built.join("filter-config.json")).expect("built");
    let mut configuration: Value = serde_json::from_str(&filter).expect("JSON");
    let members = configuration.as_object_mut().expect("an object");
    members.remove("install");
    members.remove("companion");
    Governed {
        module: programs::filter().expect("built"),
        configuration,
        environment: BTreeMap::new(),
        plugins: mode.plugins(),
    }
}

async fn installing_changes_nothing_for_others(mode: InstallMode) {
    let dir = tempfile::tempdir().expect("a directory");
    let governed = governed(dir.path(), mode);
    let without = gateway(&dir.path().join("without"), Vec::new()).await;
    let with = gateway(&dir.path().join("with"), governed.filters()).await;
    let mut count = 0;
    for (what, request) in requests() {
        let before = without.ask(&request, &[]);
        let after = with.ask(&request, &[]);
        assert!(
            !before.client.is_empty(),
            "{what}: there was an answer without the filter"
        );
        assert!(after == before, "{what}: {} and {}", show(&after), show(&before));
        count += 1;
    }

    // Events are not held: each is sent when the one before it has come.
    let stream = b"GET /stream HTTP/1.1\r\nhost: shop.example\r\nconnection: close\r\nte: trailers\r\n\r\n";
    let before = without.ask(stream, &[]);
    let after = with.ask(stream, &[]);
    assert!(
        before.client.contains("data: 2") && before.client.contains("x-sum: 3"),
        "{}",
        before.client
    );
    assert_eq!(after, before);
    for gateway in [&without, &with] {
        assert!(!gateway.backend.held.load(Ordering::SeqCst));
    }

    // An upgraded connection carries bytes both ways.
    let upgrade = b"GET /ws HTTP/1.1\r\nhost: shop.example\r\nconnection: Upgrade\r\nupgrade: websocket\r\nsec-websocket-key: x\r\n\r\n";
    let before = without.ask(upgrade, &[b"hello"]);
    let after = with.ask(upgrade, &[b"hello"]);
    assert!(before.client.contains("olleh"), "{}", before.client);
    assert_eq!(after, before);

    let unlisted = with
        .envoy
        .stat("wasmcustom.aplomb.unlisted")
        .await
        .expect("stats");
    assert_eq!(unlisted, Some(count + 2), "every one of them is counted");

    // What is ours elsewhere is not passed by.
    for header in [
        "mcp-session-id: 1",
        "mcp-protocol-version: 2025-06-18",
        "a2a-version: 1.0",
        "Mcp-Method: x",
    ] {
        let request = format!(
            "POST /elsewhere HTTP/1.1\r\nhost: x\r\nconnection: close\r\n{header}\r\ncontent-length: 2\r\n\r\n{{}}"
        );
        let seen = with.ask(request.as_bytes(), &[]);
        assert!(
            seen.client.starts_with("HTTP/1.1 403"),
            "{header}: {}",
            seen.client
        );
        assert!(
            seen.client.contains("protocol.unlisted_path"),
            "{header}: {}",
            seen.client
        );
        assert_eq!(seen.backend, "", "{header}");
    }
}

fn show(seen: &Seen) -> String {
    format!("{:.400} / {:.400}", seen.client, seen.backend)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn installing_the_filter_changes_nothing_for_others_in_full_mode() {
    installing_changes_nothing_for_others(InstallMode::Full).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn installing_the_filter_changes_nothing_for_others_in_paired_mode() {
    installing_changes_nothing_for_others(InstallMode::Paired).await;
}
