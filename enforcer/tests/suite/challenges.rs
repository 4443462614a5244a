//! Scope challenges (RFC 6750 section 3.1) and paths without identity (`execution.md` rule 22).

use apl_bytecode::{
    Algorithm, Challenge, Code, Denial, DenialId, EntityKind, Fallback, Instr, Phase, TokenRole, Unmatched,
};
use aplomb_enforcer::{ConfigError, Engine, PluginConfig};
use serde_json::{Value, json};

use crate::{
    host::{Backend, Seen, Worker, call, config, secrets},
    jwt::token,
    program::Builder,
};

fn denial(builder: &mut Builder, code: &str) -> DenialId {
    let source = builder.text("routes.tool:pay");
    let code = Code::Named {
        code: builder.text(code),
        source,
        phase: Phase::Pre,
        index: 0,
        reactions: Vec::new(),
    };
    builder.program.denials.push(Denial { code, reason: None });
    DenialId(builder.program.denials.len() as u32 - 1)
}

/// `pay`: `require(perm.pay)`, then `args.all: deny`; `fire`: `require(role.boss)`; `label`: `require(perm.pay)` and a label.
fn policy(annotates: bool) -> Builder {
    let mut b = Builder::default();
    let user = b.identity("authorization", TokenRole::User, &[Algorithm::Es256], None);
    let gate = |b: &mut Builder, attr: &str| {
        let attr = b.attr(attr);
        vec![Instr::Truth(attr), Instr::Not, Instr::DenyIf(denial(b, "gate"))]
    };
    let mut pay = gate(&mut b, "perm.pay");
    let all = b.attr("args.all");
    let other = denial(&mut b, "not.all");
    pay.extend([Instr::Truth(all), Instr::DenyIf(other)]);
    b.route("pay", pay, None, &[user]);
    let fire = gate(&mut b, "role.boss");
    b.route("fire", fire, None, &[user]);
    let plain = gate(&mut b, "perm.pay");
    b.route("plain", plain, None, &[user]);
    b.housekeeping(&[user]);
    let scopes = vec![b.text("pay"), b.text("pay:all")];
    b.program.challenges = [0, 1]
        .map(|route| Challenge {
            route,
            scopes: scopes.clone(),
            annotates,
        })
        .into();
    b.program.settings.unmatched = Unmatched::Deny;
    b
}

fn fine() -> Backend {
    Backend::json(r#"{"jsonrpc":"2.0","id":1,"result":{"content":[]}}"#)
}

fn challenge(seen: &Seen) -> (u16, Option<String>) {
    let reply = seen.reply.as_ref().expect("a reply");
    let header = reply.headers.iter().find(|(name, _)| name == "www-authenticate");
    (reply.status, header.map(|(_, value)| value.clone()))
}

#[test]
fn a_denial_for_lack_of_scope_says_what_to_acquire() {
    let mut worker = Worker::with(&policy(false).bytes(), |config| {
        config["protected_resource"] = json!({"resource": "https://gw.example/mcp"});
    });
    let seen = worker.call("alice", "pay", "{}", Some(&fine()));
    let expected = "Bearer error=\"insufficient_scope\", scope=\"pay pay:all\", \
                    resource_metadata=\"https://gw.example/.well-known/oauth-protected-resource/mcp\"";
    assert_eq!(challenge(&seen), (403, Some(expected.to_owned())));
    assert_eq!(seen.code(), "gate");
    assert_eq!(
        seen.reply_json()["error"]["code"],
        -32001,
        "the body is what it always is"
    );
    assert_eq!(seen.reply_json()["id"], 1);
}

#[test]
fn nothing_is_told_that_would_not_help() {
    let mut worker = Worker::with(&policy(false).bytes(), |_| {});
    for (tool, args, why) in [
        (
            "pay",
            r#"{"all":true}"#,
            "with the scope it would be denied all the same",
        ),
        ("fire", "{}", "it is a role that is missing"),
        ("plain", "{}", "the route names no scopes"),
        ("ghost", "{}", "there is no route"),
    ] {
        let seen = worker.call("alice", tool, args, Some(&fine()));
        assert_eq!(challenge(&seen), (200, None), "{tool}: {why}");
    }
    let bearer = format!("Bearer {}", token("alice"));
    let batch = format!("[{}]", call("pay", "{}"));
    let seen = worker.post(&[("authorization", &bearer)], &batch, None);
    assert_eq!(challenge(&seen), (200, None), "a batch has many reasons");
}

#[test]
fn a_caller_without_identity_is_told_the_scopes_too() {
    let mut worker = Worker::with(&policy(false).bytes(), |_| {});
    let seen = worker.post(&[], &call("pay", "{}"), None);
    assert_eq!(
        challenge(&seen),
        (401, Some("Bearer scope=\"pay pay:all\"".to_owned()))
    );
    let seen = worker.post(&[], &call("plain", "{}"), None);
    assert_eq!(challenge(&seen), (401, Some("Bearer".to_owned())));
}

fn listed(worker: &mut Worker, tools: &str) -> Value {
    let bearer = format!("Bearer {}", token("alice"));
    let body = r#"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#;
    let answer = format!("{{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{{\"tools\":[{tools}]}}}}");
    let seen = worker.post(&[("authorization", &bearer)], body, Some(&Backend::json(&answer)));
    let said: Value = serde_json::from_str(&seen.client_body()).expect("JSON");
    said["result"]["tools"].clone()
}

#[test]
fn lists_show_what_could_be_acquired_only_where_policy_says_so() {
    let tools = r#"{"name":"pay","description":"d"},{"name":"fire"},{"name":"plain"}"#;
    let mut hiding = Worker::with(&policy(false).bytes(), |_| {});
    assert_eq!(listed(&mut hiding, tools), json!([]));
    let mut showing = Worker::with(&policy(true).bytes(), |_| {});
    let scopes = json!(["pay", "pay:all"]);
    assert_eq!(
        listed(&mut showing, tools),
        json!([{"name": "pay", "description": "d", "_meta": {"aplomb/scopes": scopes}}]),
        "no scope makes a boss"
    );
    for (meta, expected) in [
        ("{}", json!({"aplomb/scopes": scopes})),
        (r#"{ "a":1}"#, json!({"aplomb/scopes": scopes, "a": 1})),
    ] {
        let found = listed(&mut showing, &format!("{{\"_meta\":{meta},\"name\":\"pay\"}}"));
        assert_eq!(found[0]["_meta"], expected);
    }
    for sly in [
        r#"{"name":"pay","_meta":7}"#,
        r#"{"name":"pay","_meta":{"aplomb/scopes":["admin"]}}"#,
        r#"{"name":"pay","_Meta":{}}"#,
    ] {
        assert_eq!(listed(&mut showing, sly), json!([]), "{sly}");
    }
}

#[test]
fn what_is_cloaked_is_not_challenged() {
    let cloak = |config: &mut Value| config["cloak"] = json!(true);
    let mut worker = Worker::with(&policy(false).bytes(), cloak);
    let seen = worker.call("alice", "pay", "{}", None);
    assert_eq!(seen.reply_json()["error"]["code"], -32602, "an unknown tool");
    assert_eq!(challenge(&seen).1, None);
    // What lists show need not be hidden.
    let mut worker = Worker::with(&policy(true).bytes(), cloak);
    assert_eq!(challenge(&worker.call("alice", "pay", "{}", None)).0, 403);
}

fn public(paths: Option<&[&str]>) -> Builder {
    let mut b = policy(false);
    let user = apl_bytecode::IdentityId(0);
    b.program.fallbacks.push(Fallback {
        entity: Some(EntityKind::Tool),
        pre: None,
        post: None,
        identities: vec![user],
        assertions: None,
    });
    b.program.public_paths = paths.map(|paths| paths.iter().map(|path| b.text(path)).collect());
    b
}

#[test]
fn public_paths_need_no_identity_and_the_policys_replace_the_defaults() {
    let root = |config: &mut Value| config["protocols"] = json!([{"path_prefix": "/", "speaks": "mcp"}]);
    let card = "/.well-known/agent-card.json";
    let passes = |worker: &mut Worker, method: &str, path: &str| {
        let mut stream = worker.open(&[(":method", method), (":path", path), (":authority", "x")]);
        stream.run(worker, b"", Some(&Backend::of(200, "text/plain", "x")));
        stream.seen.forwarded()
    };
    let mut defaults = Worker::with(&public(None).bytes(), root);
    assert!(passes(&mut defaults, "GET", card));
    assert!(!passes(&mut defaults, "GET", "/docs/a"));
    let mut own = Worker::with(&public(Some(&["/docs/*", "/health"])).bytes(), root);
    for (path, fine) in [
        ("/docs/a/b?c", true),
        ("/health", true),
        (card, false),
        ("/docs", false),
        ("/health/x", false),
        ("/docs/../mcp", false),
        ("/docs/%2e%2e/mcp", false),
        ("/Docs/a", false),
    ] {
        assert_eq!(passes(&mut own, "GET", path), fine, "{path}");
    }
    assert!(!passes(&mut own, "POST", "/health"), "only reading is public");
    assert!(!passes(&mut own, "DELETE", "/health"));
    let mut none = Worker::with(&public(Some(&[])).bytes(), root);
    assert!(!passes(&mut none, "GET", card));
}

#[test]
fn a_governed_endpoint_is_never_public() {
    let refused = |paths: &[&str]| {
        let text = config(&public(Some(paths)).bytes(), |_| {}).to_string();
        match PluginConfig::parse(text.as_bytes()).expect("a configuration") {
            PluginConfig::Decide(config) => Engine::new(*config, secrets(), [1; 32]).err(),
            PluginConfig::Hold(_) => panic!("a holder"),
        }
    };
    for path in ["/mcp", "/*"] {
        assert_eq!(refused(&[path]), Some(ConfigError::PublicPath("/mcp".to_owned())));
    }
    assert_eq!(refused(&["/mcp/docs", "/mcp/*"]), None);
}
