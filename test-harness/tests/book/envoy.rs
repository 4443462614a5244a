//! `envoy-config/`: filled in as its README says, each file is valid, governs, and installs the filter as the other
//! real-Envoy tests do.

use std::path::{Path, PathBuf};
use std::process::Command;

use aplomb_test_harness::envoy::wasm::{Governed, InstallMode};
use aplomb_test_harness::patience::PATIENCE;
use aplomb_test_harness::process::{Process, answers};
use aplomb_test_harness::{ports, programs};
use serde_json::{Value, json};

/// Builds the example as the README says.
fn built(mode: InstallMode, folder: &Path) -> PathBuf {
    let root = programs::root();
    let build = folder.join("build");
    let policy = root.join("examples/hr/policy.yaml");
    let mut arguments = vec![
        "build",
        policy.to_str().expect("text"),
        "-o",
        build.to_str().expect("text"),
    ];
    arguments.extend(["--mode", mode.name()]);
    for path in ["/hr/mcp=mcp", "/repos/mcp=mcp", "/email/mcp=mcp"] {
        arguments.extend(["--protocol", path]);
    }
    let (fine, printed) = super::aplc(&arguments, folder);
    assert!(fine, "{printed}");
    build
}

/// A file of the folder with its placeholders filled in.
fn filled(template: &str, mode: InstallMode, folder: &Path) -> String {
    let root = programs::root();
    let build = built(mode, folder);
    let output = Command::new(root.join("envoy-config/fill.sh"))
        .arg(root.join("envoy-config").join(template))
        .arg(&build)
        .arg(programs::filter().expect("built"))
        .output()
        .expect("runs");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let filled = String::from_utf8(output.stdout).expect("text");
    assert!(!filled.contains("@APLOMB_"), "a placeholder is left:\n{filled}");
    filled
}

/// Where `ecds.yaml` expects its folder.
const ECDS: &str = "/etc/aplomb/ecds";

/// Every object below `value` that configures a plugin, in the order of the chain.
fn plugins(value: &Value) -> Vec<&Value> {
    match value {
        Value::Object(fields) if fields.contains_key("vm_config") => vec![value],
        Value::Object(fields) => fields.values().flat_map(plugins).collect(),
        Value::Array(items) => items.iter().flat_map(plugins).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Vec::new(),
    }
}

/// A plugin without what differs by policy and machine.
fn essence(plugin: &Value) -> Value {
    let configuration: Value =
        serde_json::from_str(plugin["configuration"]["value"].as_str().expect("a text")).expect("JSON");
    json!({
        "name": plugin["name"],
        "vm_id": plugin["vm_config"]["vm_id"],
        "runtime": plugin["vm_config"]["runtime"],
        "install": configuration["install"],
        "failure_policy": plugin["failure_policy"],
        "allow_on_headers_stop_iteration": plugin.get("allow_on_headers_stop_iteration"),
    })
}

async fn is_valid_and_governs(template: &str, mode: InstallMode) {
    let folder = tempfile::tempdir().expect("a folder");
    let (listen, admin) = (ports::free().expect("a port"), ports::free().expect("a port"));
    let text = filled(template, mode, folder.path());
    let ecds = folder.path().join("ecds");
    let text = text.replace(ECDS, ecds.to_str().expect("text"));
    std::fs::create_dir(&ecds).expect("a folder");
    std::fs::write(
        ecds.join("aplomb.yaml"),
        filled("ecds/aplomb.yaml", mode, folder.path()),
    )
    .expect("written");
    for fixed in ["port_value: 10000", "port_value: 9901"] {
        assert_eq!(
            text.matches(fixed).count(),
            1,
            "the template has another port than `{fixed}`"
        );
    }
    let text = text
        .replace("port_value: 10000", &format!("port_value: {}", listen.port()))
        .replace("port_value: 9901", &format!("port_value: {}", admin.port()));
    let config = folder.path().join("envoy.yaml");
    std::fs::write(&config, text).expect("written");

    let output = Command::new(programs::envoy().expect("installed"))
        .args(["--mode", "validate", "--disable-hot-restart", "-c"])
        .arg(&config)
        .output()
        .expect("runs");
    let log = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{log}");

    let mut command = tokio::process::Command::new(programs::envoy().expect("installed"));
    command
        .args(["--disable-hot-restart", "--concurrency", "1", "-c"])
        .arg(&config);
    command.args(["--file-flush-interval-msec", "100"]);
    let mut envoy = Process::start("Envoy", command, &folder.path().join("envoy.log")).expect("starts");
    let http = reqwest::Client::builder().no_proxy().build().expect("a client");
    let ready = format!("http://{}/ready", admin);
    envoy
        .wait_until(PATIENCE, || answers(&http, &ready))
        .await
        .expect("ready");

    // Nobody is identified, so each listed path says 401, and what is not listed is none of the filter's business.
    for path in ["/hr/mcp", "/repos/mcp", "/email/mcp"] {
        let reply = http
            .post(format!("http://{listen}{path}"))
            .header("content-type", "application/json")
            .body(r#"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#)
            .send()
            .await
            .expect("an answer");
        assert_eq!(reply.status(), 401, "{path}: {}", envoy.log());
        assert_eq!(
            reply.headers().get("x-policy-violation").expect("a code"),
            "auth.malformed_header"
        );
        let id = reply.headers().get("x-policy-decision-id").expect("an id");
        let id = id.to_str().expect("text").to_owned();
        envoy
            .wait_until(PATIENCE, async || {
                let log = std::fs::read_to_string(folder.path().join("envoy.log")).unwrap_or_default();
                log.contains(&id) && log.contains("auth.malformed_header")
            })
            .await
            .expect("the access log has id and code");
    }
    let reply = http
        .get(format!("http://{listen}/other"))
        .send()
        .await
        .expect("an answer");
    assert_eq!(reply.status(), 404);

    // The same plugins, but for policy and module, as the Envoy of the other tests.
    let dump = http
        .get(format!("http://{admin}/config_dump"))
        .send()
        .await
        .expect("an answer")
        .json::<Value>()
        .await
        .expect("JSON");
    // The bootstrap part of the dump holds them once more.
    let listeners = dump["configs"].as_array().expect("a list").iter().filter(|part| {
        part["@type"]
            .as_str()
            .is_some_and(|kind| kind.ends_with(".ListenersConfigDump") || kind.ends_with(".EcdsConfigDump"))
    });
    let ours: Vec<Value> = listeners.flat_map(plugins).map(essence).collect();
    let rendered = Governed {
        module: programs::filter().expect("built"),
        configuration: json!({}),
        environment: [].into(),
        plugins: mode.plugins(),
    }
    .filters();
    let theirs: Vec<Value> = rendered.iter().flat_map(plugins).map(essence).collect();
    assert_eq!(ours, theirs);
}

#[tokio::test]
async fn the_full_configuration_is_valid_and_governs() {
    is_valid_and_governs("full.yaml", InstallMode::Full).await;
}

#[tokio::test]
async fn the_paired_configuration_is_valid_and_governs() {
    is_valid_and_governs("paired.yaml", InstallMode::Paired).await;
}

#[tokio::test]
async fn the_egress_sidecar_is_valid_and_governs() {
    is_valid_and_governs("egress-sidecar.yaml", InstallMode::Full).await;
}

#[tokio::test]
async fn the_configuration_that_changes_its_policy_while_it_runs_is_valid_and_governs() {
    is_valid_and_governs("ecds.yaml", InstallMode::Full).await;
}

/// With the placeholders of the folder in the place of what differs.
fn with_placeholders(emitted: &str) -> String {
    let mut text = String::new();
    for line in emitted.lines() {
        match line.split_once("value: \"{") {
            Some((before, _)) => text.push_str(&format!("{before}value: '@APLOMB_FILTER_CONFIG@'")),
            None => text.push_str(line),
        }
        text.push('\n');
    }
    text
}

/// `BLESS=1` writes them.
#[test]
fn the_sidecar_and_the_one_with_discovery_are_what_aplc_emits() {
    let folder = tempfile::tempdir().expect("a folder");
    built(InstallMode::Full, folder.path());
    let kept = programs::root().join("envoy-config");
    let emit = |listen: &str, upstreams: [&str; 3], more: &[&str]| {
        let mut arguments = vec![
            "emit",
            "envoy",
            "--build",
            "build",
            "--module",
            "@APLOMB_WASM@",
            "--listen",
            listen,
        ];
        for upstream in &upstreams {
            arguments.extend(["--upstream", upstream]);
        }
        arguments.extend(more);
        let (fine, printed) = super::aplc(&arguments, folder.path());
        assert!(fine, "{printed}");
        with_placeholders(&printed)
    };
    let remote = [
        "/hr/mcp=https://hr.example.com/mcp",
        "/repos/mcp=https://repos.example.com/mcp",
        "/email/mcp=https://email.example.com/mcp",
    ];
    let near = [
        "/hr/mcp=http://127.0.0.1:9101/mcp",
        "/repos/mcp=http://127.0.0.1:9102/mcp",
        "/email/mcp=http://127.0.0.1:9103/mcp",
    ];
    let sidecar = emit("127.0.0.1:10000", remote, &[]);
    let discovering = emit("0.0.0.0:10000", near, &["--ecds", "ecds"]);
    let discovered = std::fs::read_to_string(folder.path().join("ecds/aplomb.yaml")).expect("written");
    for (name, text) in [
        ("egress-sidecar.yaml", sidecar),
        (
            "ecds.yaml",
            discovering.replace("path: ecds", &format!("path: {ECDS}")),
        ),
        ("ecds/aplomb.yaml", with_placeholders(&discovered)),
    ] {
        let at = kept.join(name);
        if std::env::var_os("BLESS").is_some() {
            std::fs::create_dir_all(at.parent().expect("a folder")).expect("a folder");
            std::fs::write(&at, &text).expect("written");
        }
        let found = std::fs::read_to_string(&at).unwrap_or_default();
        assert_eq!(found, text, "envoy-config/{name} is stale: BLESS=1 writes it");
    }
}

#[test]
fn filling_says_what_is_missing() {
    let output = Command::new(programs::root().join("envoy-config/fill.sh"))
        .args(["no-such-template", "no-such-folder", "x"])
        .output()
        .expect("runs");
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("cannot read no-such-template"));
}
