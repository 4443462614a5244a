//! The schema of `aplc schema` in a real language server (`yaml-language-server`, installed by `make setup`): completion, hover
//! and diagnostics, as `docs/editors.md` promises them.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};

#[expect(unreachable_pub, reason = "the harness's, where all of it is public and used")]
#[path = "../../test-harness/src/tools.rs"]
mod tools;

/// Node, and the server.
fn server() -> Option<(PathBuf, PathBuf)> {
    let name = "yaml-language-server";
    let modules = tools::needed(name, tools::node_modules(name))?;
    let node = tools::needed("node", tools::program("node"))?;
    Some((
        node,
        modules.join("yaml-language-server/bin/yaml-language-server"),
    ))
}

/// Longer than the server takes on a slow and busy machine.
const PATIENCE: Duration = Duration::from_secs(600);

struct Client {
    child: Arc<Mutex<Child>>,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    id: u64,
    diagnostics: Vec<Value>,
}

impl Client {
    fn new(node: &Path, server: &Path) -> Self {
        let mut child = Command::new(node)
            .arg(server)
            .arg("--stdio")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("node runs it");
        let (input, output) = (child.stdin.take(), child.stdout.take());
        let child = Arc::new(Mutex::new(child));
        // Whatever it does, the test ends.
        let watched = Arc::clone(&child);
        std::thread::spawn(move || {
            std::thread::sleep(PATIENCE);
            if let Ok(mut child) = watched.lock() {
                // It may have ended by itself.
                let _ = child.kill();
            }
        });
        Self {
            child,
            input: input.expect("its input"),
            output: BufReader::new(output.expect("its output")),
            id: 0,
            diagnostics: Vec::new(),
        }
    }

    fn send(&mut self, message: &Value) {
        let text = message.to_string();
        write!(self.input, "Content-Length: {}\r\n\r\n{text}", text.len()).expect("it listens");
        self.input.flush().expect("it listens");
    }

    fn notify(&mut self, method: &str, params: &Value) {
        self.send(&json!({ "jsonrpc": "2.0", "method": method, "params": params }));
    }

    fn next(&mut self) -> Value {
        let mut length = 0;
        loop {
            let mut line = String::new();
            assert!(self.output.read_line(&mut line).expect("a line") > 0, "it ended");
            if line.trim().is_empty() {
                break;
            }
            if let Some(text) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                length = text.trim().parse().expect("a length");
            }
        }
        let mut body = vec![0; length];
        self.output.read_exact(&mut body).expect("a message");
        serde_json::from_slice(&body).expect("JSON")
    }

    /// One message; what the server asks is answered, what it tells is kept.
    fn turn(&mut self) -> Option<(u64, Value)> {
        let message = self.next();
        match (message["method"].as_str(), message.get("id")) {
            (Some("workspace/configuration"), Some(id)) => {
                let count = message["params"]["items"].as_array().map_or(0, Vec::len);
                let empty: Vec<Value> = (0..count).map(|_| json!({})).collect();
                self.send(&json!({ "jsonrpc": "2.0", "id": id, "result": empty }));
                None
            }
            (Some(_), Some(id)) => {
                self.send(&json!({ "jsonrpc": "2.0", "id": id, "result": null }));
                None
            }
            (Some("textDocument/publishDiagnostics"), None) => {
                self.diagnostics.push(message["params"].clone());
                None
            }
            (Some(_), None) => None,
            (None, id) => Some((id.and_then(Value::as_u64).unwrap_or(0), message["result"].clone())),
        }
    }

    fn ask(&mut self, method: &str, params: &Value) -> Value {
        self.id += 1;
        let id = self.id;
        self.send(&json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params }));
        loop {
            if let Some((answered, result)) = self.turn()
                && answered == id
            {
                return result;
            }
        }
    }

    /// Opens a document; what is wrong with it.
    fn open(&mut self, uri: &str, text: &str) -> Vec<String> {
        self.notify(
            "textDocument/didOpen",
            &json!({ "textDocument": { "uri": uri, "languageId": "yaml", "version": 1, "text": text } }),
        );
        loop {
            if let Some(at) = self.diagnostics.iter().position(|one| one["uri"] == uri) {
                let told = self.diagnostics.remove(at);
                let list = told["diagnostics"].as_array().cloned().unwrap_or_default();
                return list
                    .iter()
                    .map(|one| one["message"].as_str().unwrap_or("").to_owned())
                    .collect();
            }
            self.turn();
        }
    }
}

#[test]
fn an_editor_completes_shows_and_marks_what_the_compiler_knows() {
    let Some((node, server)) = server() else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let schema = Command::new(env!("CARGO_BIN_EXE_aplc"))
        .arg("schema")
        .output()
        .expect("aplc");
    std::fs::write(folder.path().join("apl.schema.json"), &schema.stdout).expect("written");
    let modeline = format!(
        "# yaml-language-server: $schema=file://{}/apl.schema.json\n",
        folder.path().display()
    );
    let uri = |name: &str| format!("file://{}/{name}", folder.path().display());
    let mut client = Client::new(&node, &server);
    client.ask(
        "initialize",
        &json!({ "processId": null, "rootUri": null, "capabilities": {
            "workspace": { "configuration": true },
            "textDocument": { "completion": { "completionItem": { "snippetSupport": false } }, "hover": { "contentFormat": ["markdown"] } },
        } }),
    );
    client.notify("initialized", &json!({}));

    // A sound policy has nothing to say against it.
    let good = uri("good.yaml");
    let sound =
        format!("{modeline}routes:\n  - tool: pay\n    pre_invocation:\n      - \"require(role.hr)\"\n");
    assert_eq!(client.open(&good, &sound), Vec::<String>::new());

    // A misspelt key is marked.
    let told = client.open(
        &uri("bad.yaml"),
        &format!("{modeline}routes:\n  - tool: pay\n    pre_invocaton:\n      - deny\n"),
    );
    assert!(told.iter().any(|one| one.contains("pre_invocaton")), "{told:?}");

    // Keys of a route are offered behind `tool`.
    let half = uri("half.yaml");
    client.open(&half, &format!("{modeline}routes:\n  - tool: pay\n    \n"));
    let offered = client.ask(
        "textDocument/completion",
        &json!({ "textDocument": { "uri": half }, "position": { "line": 3, "character": 4 } }),
    );
    let items = offered["items"]
        .as_array()
        .or(offered.as_array())
        .cloned()
        .unwrap_or_default();
    let labels: Vec<&str> = items.iter().filter_map(|item| item["label"].as_str()).collect();
    for key in [
        "pre_invocation",
        "post_invocation",
        "args",
        "result",
        "groups",
        "meta",
    ] {
        assert!(labels.contains(&key), "`{key}` is not offered: {labels:?}");
    }
    assert!(
        !labels.contains(&"plugin_settings"),
        "a key of another section: {labels:?}"
    );

    // A key says what it is.
    let shown = client.ask(
        "textDocument/hover",
        &json!({ "textDocument": { "uri": good }, "position": { "line": 3, "character": 8 } }),
    );
    assert!(shown.to_string().contains("Steps before the call"), "{shown}");

    client.ask("shutdown", &Value::Null);
    client.notify("exit", &Value::Null);
    // It ends itself when its input does.
    drop(client.input);
    let mut rest = Vec::new();
    let _ended = client.output.read_to_end(&mut rest);
    let mut child = client.child.lock().expect("a lock");
    child.kill().expect("it may be killed");
    child.wait().expect("it ends");
}
