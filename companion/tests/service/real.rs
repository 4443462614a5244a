//! With the real things: an OpenID provider (`oidc-provider`, certified) and an approver in Chromium.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use companion_protocol::{Effect, EffectResult, ElicitState, OnFail};
use serde_json::{Value, json};

use super::approval_stage::{ask, begin};
use super::client::{DIGEST, call, perform};
use super::durability::Process;
use crate::patience::eventually;
use crate::tools;

pub(crate) fn program(name: &str) -> Option<PathBuf> {
    tools::needed(name, tools::program(name))
}

/// A script beside the modules that it imports, of which `module` is one: Node looks for them upwards from the file.
pub(crate) fn script(module: &str, name: &str, text: &str) -> Option<tempfile::TempDir> {
    let modules = tools::needed(module, tools::node_modules(module))?;
    let directory = tempfile::tempdir().expect("a directory");
    std::fs::write(directory.path().join(name), text).expect("writes");
    std::os::unix::fs::symlink(modules, directory.path().join("node_modules")).expect("links");
    Some(directory)
}

struct Op {
    child: Child,
    port: u16,
    _script: tempfile::TempDir,
}

impl Drop for Op {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub(crate) fn free_port() -> u16 {
    crate::ports::free().expect("a port").port()
}

/// `None`: not installed.
fn provider(pages: u16) -> Option<Op> {
    let node = program("node")?;
    let script = script("oidc-provider", "op.mjs", include_str!("op.mjs"))?;
    let port = free_port();
    let mut child = Command::new(node)
        .arg(script.path().join("op.mjs"))
        .arg(port.to_string())
        .arg(format!("http://127.0.0.1:{pages}/approvals/callback"))
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("starts");
    let stdout = child.stdout.take().expect("piped");
    let mut lines = BufReader::new(stdout).lines().map_while(Result::ok);
    let up = lines.any(|line| line == "up");
    // It goes on talking, and dies when nobody listens.
    std::thread::spawn(move || lines.for_each(drop));
    assert!(up, "the provider does not start");
    let _script = script;
    Some(Op { child, port, _script })
}

fn config(op: u16, pages: u16) -> Value {
    let op = format!("http://127.0.0.1:{op}");
    json!({
        "version": 1, "policy_digest": DIGEST,
        "approvals": {"public_url": format!("http://127.0.0.1:{pages}"), "allow_http": true, "sign_in": {
            "issuer": op, "authorization_endpoint": format!("{op}/auth"), "token_endpoint": format!("{op}/token"),
            "client_id": "pages", "timeout_ms": 60_000, "client_secret": {"env": "OP_SECRET"}, "scope": "openid profile"}},
        "elicitors": {
            "manager": {"kind": "page"},
            "phone": {"kind": "ciba", "backchannel_endpoint": format!("{op}/backchannel"), "issuer": op,
                "token_endpoint": format!("{op}/token"), "allow_http": true, "client_id": "agent", "timeout_ms": 60_000,
                "client_secret": {"env": "OP_SECRET"}, "scope": "openid profile"}},
    })
}

async fn elicit(address: SocketAddr, effect: Effect) -> companion_protocol::Elicitation {
    match perform(address, DIGEST, vec![call(effect, OnFail::Stop)])
        .await
        .results
        .remove(0)
    {
        EffectResult::Elicitation(elicitation) => elicitation,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_certified_provider_asks_by_its_backchannel() {
    let pages = free_port();
    let Some(op) = provider(pages) else { return };
    let directory = tempfile::tempdir().expect("a directory");
    let process = Process::start(
        directory.path(),
        &config(op.port, pages),
        &[("OP_SECRET", "s3cret")],
    );
    for (who, expected) in [("alice", ElicitState::Approved), ("carol", ElicitState::Denied)] {
        let mut asked = begin("1");
        (asked.plugin, asked.from) = ("phone".to_owned(), who.to_owned());
        let begun = elicit(process.address, Effect::ElicitBegin(Box::new(asked))).await;
        assert_eq!(
            (begun.state, begun.channel.as_deref()),
            (ElicitState::Pending, Some("ciba"))
        );
        let mut question = ask(&begun.id, "1");
        (question.plugin, question.from) = ("phone".to_owned(), who.to_owned());
        let state = eventually("an answer of the approver", async || {
            let redeem = Effect::ElicitRedeem(question.clone());
            let state = elicit(process.address, redeem).await.state;
            (state != ElicitState::Pending).then_some(state)
        })
        .await;
        assert_eq!(state, expected, "{who}");
    }
}

#[tokio::test]
async fn an_approver_signs_in_and_approves_in_chromium_without_javascript() {
    let pages = free_port();
    let (Some(node), Some(chromium)) = (program("node"), program("chromium")) else {
        return;
    };
    // axe-core comes with it.
    let Some(script) = script("puppeteer-core", "browser.mjs", include_str!("browser.mjs")) else {
        return;
    };
    let Some(op) = provider(pages) else { return };
    let directory = tempfile::tempdir().expect("a directory");
    let listen = format!("127.0.0.1:{pages}");
    let arguments = ["--approvals-listen", &*listen];
    let secret = [("OP_SECRET", "s3cret")];
    let process = Process::start_with(directory.path(), &config(op.port, pages), &secret, &arguments);
    let begun = elicit(process.address, Effect::ElicitBegin(Box::new(begin("1")))).await;
    let output = tokio::task::spawn_blocking({
        let (script, key) = (script.path().join("browser.mjs"), begun.id[..32].to_owned());
        move || {
            Command::new(node)
                .arg(script)
                .arg(chromium)
                .args([format!("http://{listen}"), key])
                .output()
                .expect("runs")
        }
    });
    let output = output.await.expect("ends");
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{errors}");
    let seen: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(seen["violations"], json!([]), "axe found something");
    assert_eq!(seen["blocked"], json!([]), "a page breaks its own policy");
    assert_eq!(seen["images"], 0, "what the requester wrote became markup");
    assert_eq!(seen["before"], "Sign in to decide – approvals");
    assert_eq!(
        (&seen["request"], &seen["after"]),
        (&json!("Approve pay – approvals"), &json!("Approved – approvals"))
    );
    assert!(
        seen["list"]
            .as_str()
            .is_some_and(|list| list.contains("Nothing waits")),
        "{seen}"
    );
    assert_eq!(seen["cookie"], json!({"httpOnly": true, "sameSite": "Strict"}));
    let redeemed = elicit(process.address, Effect::ElicitRedeem(ask(&begun.id, "1"))).await;
    assert_eq!(
        (redeemed.state, redeemed.approver.as_deref()),
        (ElicitState::Approved, Some("alice"))
    );
}
