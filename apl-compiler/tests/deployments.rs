//! `aplc build --deploy`: one program, several deployments.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use aplomb_enforcer::{Engine, PluginConfig, Secrets};
use serde_json::Value;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/deploy")
}

fn aplc(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_aplc"))
        .args(arguments)
        .current_dir(folder())
        .output()
        .expect("aplc")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// What a build wrote.
struct Built {
    program: Vec<u8>,
    filter: Value,
    companion: Value,
}

fn built(deployment: &str) -> Built {
    let out = tempfile::tempdir().expect("a folder");
    let path = out.path().to_str().expect("a name");
    let run = aplc(&["build", "policy.yaml", "--deploy", deployment, "-o", path]);
    assert!(run.status.success(), "{}", text(&run.stderr));
    let read = |name: &str| std::fs::read(out.path().join(name)).expect(name);
    Built {
        program: read("policy.aplb"),
        filter: serde_json::from_slice(&read("filter-config.json")).expect("JSON"),
        companion: serde_json::from_slice(&read("companion.json")).expect("JSON"),
    }
}

/// Builds the policy with changed texts; what is written to standard error.
fn refused(change: impl Fn(&str) -> String, policy: impl Fn(&str) -> String) -> String {
    let dir = tempfile::tempdir().expect("a folder");
    let read = |name: &str| std::fs::read_to_string(folder().join(name)).expect(name);
    let write = |name: &str, text: String| {
        let path = dir.path().join(name);
        std::fs::write(&path, text).expect(name);
        path.to_str().expect("a name").to_owned()
    };
    let policy = write("policy.yaml", policy(&read("policy.yaml")));
    let deployment = write("prod.yaml", change(&read("prod.yaml")));
    write("prod.cedar", read("prod.cedar"));
    let out = dir.path().join("out");
    let run = aplc(&[
        "build",
        &policy,
        "--deploy",
        &deployment,
        "-o",
        out.to_str().expect("a name"),
    ]);
    assert!(!run.status.success(), "it was built");
    assert!(!out.exists(), "nothing is written");
    text(&run.stderr)
}

fn same(text: &str) -> String {
    text.to_owned()
}

#[test]
fn one_program_runs_in_every_deployment() {
    let (staging, prod) = (built("staging.yaml"), built("prod.yaml"));
    assert_eq!(staging.program, prod.program, "the program, byte for byte");
    assert_eq!(staging.filter["policy_digest"], prod.filter["policy_digest"]);
    assert_eq!(staging.filter["policy"], prod.filter["policy"]);
    assert_ne!(staging.filter["identities"], prod.filter["identities"]);
    assert_ne!(staging.companion["issuers"], prod.companion["issuers"]);
    let program = text(&prod.program);
    for word in [
        "idp.example",
        "idp.staging",
        "gateway-prod",
        "valkey.example",
        "hooks",
    ] {
        assert!(!program.contains(word), "`{word}` is in the program");
    }
}

#[test]
fn what_a_deployment_binds_is_in_what_is_deployed() {
    let prod = built("prod.yaml");
    let user = &prod.filter["identities"][0];
    assert_eq!(user["name"], "user");
    assert_eq!(user["issuers"][0]["issuer"], "https://idp.example/realms/corp");
    assert_eq!(
        user["issuers"][0]["algorithms"],
        serde_json::json!(["ES256", "RS256"])
    );
    assert_eq!(user["issuers"][0]["leeway_s"], 5);
    assert_eq!(user["issuers"][1]["audiences"], serde_json::json!(["gateway"]));
    let identities = prod.filter["identities"].as_array().expect("a list");
    let workload = identities.iter().find(|one| one["name"] == "workload");
    let issuers = workload.expect("it is bound")["issuers"]
        .as_array()
        .expect("a list");
    let domains: Vec<&str> = issuers.iter().filter_map(|one| one["issuer"].as_str()).collect();
    assert_eq!(domains, ["spiffe://prod.local", "spiffe://dr.local"]);
    let backend = &prod.companion["delegators"]["backend"];
    assert_eq!(backend["outbound_header"], "x-backend-key", "{backend}");
    assert!(backend.to_string().contains("/run/secrets/backend"), "{backend}");
    let companion = &prod.filter["companion"];
    assert_eq!(
        companion["cluster"],
        "outbound|9470||companion.aplomb.svc.cluster.local"
    );
    assert_eq!(companion["authority"], "companion.aplomb");
    assert_eq!(companion["path"], "/aplomb");
    assert_eq!(companion["token_env"], "COMPANION_TOKEN");
    assert_eq!(prod.filter["hash_key_env"], "HASH_KEY");
    assert_eq!(prod.filter["seal_key_env"], "SEAL_KEY");
    let companion = &prod.companion;
    assert_eq!(companion["delegators"]["tokens"]["client_id"], "gateway-prod");
    assert_eq!(companion["session_store"]["kind"], "valkey");
    assert_eq!(companion["approvals"]["public_url"], "https://approvals.example");
    assert_eq!(
        companion["approvals"]["sign_in"]["client_secret"]["env"],
        "APPROVALS_SECRET"
    );
    assert_eq!(
        companion["elicitors"]["manager"]["webhook"]["url"],
        "https://chat.example/hooks/1"
    );
    assert_eq!(
        companion["key_directories"]["keys"]["path"],
        "/etc/aplomb/keys.yaml"
    );
    assert_eq!(
        companion["decision_points"]["authzen"]["url"],
        "https://pdp.example"
    );
}

#[test]
fn a_flag_wins_over_the_deployment() {
    let out = tempfile::tempdir().expect("a folder");
    let path = out.path().to_str().expect("a name");
    let run = aplc(&[
        "build",
        "policy.yaml",
        "--deploy",
        "prod.yaml",
        "-o",
        path,
        "--companion-cluster",
        "mine",
    ]);
    assert!(run.status.success(), "{}", text(&run.stderr));
    let filter: Value =
        serde_json::from_slice(&std::fs::read(out.path().join("filter-config.json")).expect("a file"))
            .expect("JSON");
    assert_eq!(filter["companion"]["cluster"], "mine");
}

/// The enforcer itself takes each deployment, and not the program without one.
#[test]
fn the_filter_loads_what_was_bound() {
    let load = |filter: &Value| {
        let parsed = PluginConfig::parse(filter.to_string().as_bytes()).expect("a configuration");
        let PluginConfig::Decide(config) = parsed else {
            panic!("it decides")
        };
        let secrets = Secrets {
            hash_key: Some(b"key".to_vec()),
            seal_key: Some(b"0123456789abcdef".to_vec()),
            companion_token: Some("token".to_owned()),
            ..Secrets::default()
        };
        Engine::new(*config, secrets, [1; 32]).map(|_| ())
    };
    for deployment in ["staging.yaml", "prod.yaml"] {
        assert_eq!(load(&built(deployment).filter), Ok(()), "{deployment}");
    }
    let mut filter = built("prod.yaml").filter;
    filter.as_object_mut().expect("a map").remove("identities");
    let fault = load(&filter).expect_err("it is refused").to_string();
    assert!(fault.contains("`user`") && fault.contains("--deploy"), "{fault}");
}

/// Only who is of a trust domain that the deployment names is believed.
#[test]
fn a_peer_is_believed_as_the_deployment_says() {
    use aplomb_enforcer::{Command, Event, Exchange, ExchangeId};
    let code = |deployment: &str, peer: &str| {
        let parsed = PluginConfig::parse(built(deployment).filter.to_string().as_bytes());
        let PluginConfig::Decide(config) = parsed.expect("a configuration") else {
            panic!("it decides")
        };
        let secrets = Secrets {
            hash_key: Some(b"key".to_vec()),
            seal_key: Some(b"0123456789abcdef".to_vec()),
            companion_token: Some("token".to_owned()),
            ..Secrets::default()
        };
        let mut engine = Engine::new(*config, secrets, [1; 32]).expect("an engine");
        let is_peer = |path: &Vec<String>| path.iter().any(|name| name == "uri_san_peer_certificate");
        let value = |path| is_peer(path).then(|| peer.as_bytes().to_vec());
        let values = engine.properties().iter().map(value).collect();
        let body = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"report"}}"#;
        let length = body.len().to_string();
        let headers: Vec<(Vec<u8>, Vec<u8>)> = [
            (":method", "POST"),
            (":path", "/mcp"),
            (":authority", "gateway"),
            (":scheme", "https"),
            ("content-type", "application/json"),
            ("content-length", length.as_str()),
        ]
        .map(|(name, value)| (name.into(), value.into()))
        .into();
        let mut exchange = Exchange::new(ExchangeId(1));
        let _held = exchange.on_event(&mut engine, Event::Properties { values }, 1_000_000);
        let head = Event::RequestHead {
            headers: &headers,
            end_of_stream: false,
            seed: 1,
        };
        let _held = exchange.on_event(&mut engine, head, 1_000_000);
        let buffered = body.len();
        let _held = exchange.on_event(&mut engine, Event::RequestBody { buffered, end: true }, 1_000_000);
        let bytes = body.as_bytes().to_vec();
        let reaction = exchange.on_event(&mut engine, Event::RequestBytes { bytes }, 1_000_000);
        reaction.commands.iter().find_map(|command| match command {
            Command::Reply(reply) => {
                let code = reply
                    .headers
                    .iter()
                    .find(|(name, _)| name == "x-policy-violation");
                code.map(|(_, code)| code.clone())
            }
            _ => None,
        })
    };
    let other = Some("routes.tool:report.pre_invocation[0]".to_owned());
    let untrusted = Some("auth.untrusted_workload".to_owned());
    for (deployment, domain, said) in [
        ("prod.yaml", "prod.local", &other),
        ("prod.yaml", "dr.local", &other),
        ("prod.yaml", "staging.local", &untrusted),
        ("staging.yaml", "staging.local", &other),
        ("staging.yaml", "prod.local", &untrusted),
        ("staging.yaml", "unbound.invalid", &untrusted),
    ] {
        let peer = format!("spiffe://{domain}/ns/other/sa/x");
        assert_eq!(&code(deployment, &peer), said, "{deployment} {peer}");
    }
}

#[test]
fn without_a_deployment_it_can_be_checked_and_not_built() {
    let check = aplc(&["check", "policy.yaml"]);
    assert!(check.status.success(), "{}", text(&check.stderr));
    let out = tempfile::tempdir().expect("a folder");
    let path = out.path().join("out");
    let build = aplc(&["build", "policy.yaml", "-o", path.to_str().expect("a name")]);
    assert!(!build.status.success());
    let said = text(&build.stderr);
    assert!(
        said.contains("--deploy FILE") && said.contains("bind: corporate-idp"),
        "{said}"
    );
    assert!(!path.exists(), "nothing is written");
}

#[test]
fn a_missing_binding_is_told_at_the_name_that_needs_it() {
    let said = refused(|text| text.replace("  mesh:\n", "  meshy:\n"), same);
    assert!(said.contains("APL0124"), "{said}");
    assert!(
        said.contains("does not bind `mesh`, which `mesh` needs"),
        "{said}"
    );
    assert!(said.contains("did you mean `meshy`"), "{said}");
    // And the other side of the same mistake.
    assert!(
        said.contains("nothing in the policy is bound by `meshy`"),
        "{said}"
    );
}

#[test]
fn only_what_is_not_in_the_program_can_be_bound() {
    let said = refused(
        |text| text.replace("  pages:\n", "  pages:\n    allow_self: true\n"),
        same,
    );
    assert!(
        said.contains("`allow_self` of `elicitation/page` cannot be bound"),
        "{said}"
    );
    let said = refused(
        |text| {
            text.replace(
                "    trusted_issuers:\n",
                "    header: x-user\n    trusted_issuers:\n",
            )
        },
        same,
    );
    assert!(
        said.contains("`header` of `identity/jwt` cannot be bound"),
        "{said}"
    );
    let said = refused(same, |text| {
        text.replace(
            "  - name: keys\n",
            "  - {name: scan, kind: validator/pii-scan, bind: x}\n  - name: keys\n",
        )
    });
    assert!(
        said.contains("nothing of `validator/pii-scan` is bound"),
        "{said}"
    );
}

#[test]
fn nothing_is_said_twice() {
    let said = refused(same, |text| {
        text.replace("bind: pages", "bind: pages\n    config: { webhook: { url: \"https://x.example\", secret_source: { kind: env_var, name: X } } }")
    });
    assert!(
        said.contains("`webhook` stands in the policy and in the deployment"),
        "{said}"
    );
    let said = refused(same, |text| {
        text.replace("global:\n", "global:\n  session_store: { kind: memory }\n")
    });
    assert!(
        said.contains("`session_store` stands in the policy and in the deployment"),
        "{said}"
    );
}

#[test]
fn a_deployment_has_a_closed_list_of_keys() {
    let said = refused(|text| text.replace("companion:\n", "companoin:\n"), same);
    assert!(said.contains("a deployment has no key `companoin`"), "{said}");
    let said = refused(|text| text.replace("  authority:", "  authrity:"), same);
    assert!(said.contains("has no key `authrity`"), "{said}");
    let said = refused(
        |text| text.replace("https://approvals.example", "approvals"),
        same,
    );
    assert!(said.contains("public_url"), "{said}");
    let said = refused(
        |text| text.replace("issuer: \"https://partners.example\"", "isuer: x"),
        same,
    );
    assert!(said.contains("prod.yaml") && said.contains("isuer"), "{said}");
}

#[test]
fn inspect_shows_who_is_believed() {
    let out = tempfile::tempdir().expect("a folder");
    let path = out.path().to_str().expect("a name");
    let run = aplc(&["build", "policy.yaml", "--deploy", "prod.yaml", "-o", path]);
    assert!(run.status.success(), "{}", text(&run.stderr));
    let config = format!("{path}/filter-config.json");
    let seen = text(&aplc(&["inspect", &config]).stdout);
    assert!(
        seen.contains(
            "bindings  user: https://idp.example/realms/corp for gateway, gateway-eu (ES256, RS256)"
        ),
        "{seen}"
    );
    assert!(seen.contains("open_identities  mesh, user, workload"), "{seen}");
}

/// A policy that has everything inline keeps working, with a deployment that says where the companion is.
#[test]
fn a_policy_with_everything_inline_needs_no_binding() {
    let dir = tempfile::tempdir().expect("a folder");
    let policy = dir.path().join("policy.yaml");
    std::fs::write(
        &policy,
        "routes:\n  - tool: a\n    pre_invocation: [\"require(role.hr)\"]\n",
    )
    .expect("a file");
    let deployment = dir.path().join("d.yaml");
    std::fs::write(&deployment, "companion: { cluster: here }\n").expect("a file");
    let out = dir.path().join("out");
    let arguments = [&policy, &deployment, &out].map(|path| path.to_str().expect("a name").to_owned());
    let run = aplc(&[
        "build",
        &arguments[0],
        "--deploy",
        &arguments[1],
        "-o",
        &arguments[2],
    ]);
    assert!(run.status.success(), "{}", text(&run.stderr));
    let filter: Value =
        serde_json::from_slice(&std::fs::read(out.join("filter-config.json")).expect("a file"))
            .expect("JSON");
    assert_eq!(filter["companion"]["cluster"], "here");
    assert!(filter.get("identities").is_none());
}

/// The page about deployments: its policy and its deployment are built.
#[test]
fn the_page_shows_what_works() {
    let page = include_str!("../../docs/deployments.md");
    let block = |mark: &str| {
        let (_, rest) = page.split_once(&format!("```yaml {mark}\n")).expect(mark);
        rest.split_once("```").expect("an end").0.to_owned()
    };
    let dir = tempfile::tempdir().expect("a folder");
    let write = |name: &str, text: String| {
        let path = dir.path().join(name);
        std::fs::write(&path, text).expect(name);
        path.to_str().expect("a name").to_owned()
    };
    let policy = write("policy.yaml", block("policy"));
    let deployment = write("prod.yaml", block("deployment"));
    let check = aplc(&["check", &policy]);
    assert!(check.status.success(), "{}", text(&check.stderr));
    let out = dir.path().join("out");
    let run = aplc(&[
        "build",
        &policy,
        "--deploy",
        &deployment,
        "-o",
        out.to_str().expect("a name"),
    ]);
    assert!(run.status.success(), "{}", text(&run.stderr));
}

/// Every setting that the page lists can be bound, and no other.
#[test]
fn the_page_lists_what_can_be_bound() {
    let page = include_str!("../../docs/deployments.md");
    let source = include_str!("../src/bindings.rs");
    let (_, table) = source.split_once("const BINDABLE").expect("the table");
    let (table, _) = table.split_once("/// What was bound").expect("its end");
    for word in table.split('"').skip(1).step_by(2) {
        assert!(page.contains(&format!("`{word}`")), "`{word}` is not on the page");
    }
}
