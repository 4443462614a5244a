//! Decision points: what decides, and that everything else denies.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use axum::{Json, Router};
use companion_protocol::{Effect, EffectResult, Json as Tree, PdpDecide};
use serde_json::{Value, json};

use super::client::{DIGEST, Running};

async fn with_point(point: Value) -> Running {
    Running::with(json!({"version": 1, "policy_digest": DIGEST, "decision_points": {"p": point}})).await
}

fn tree(value: &Value) -> Tree {
    serde_json::from_value(value.clone()).expect("a tree")
}

async fn decide(running: &Running, dialect: &str, call: &Value, input: &Value) -> EffectResult {
    let asked = PdpDecide {
        plugin: "p".to_owned(),
        dialect: dialect.to_owned(),
        call: tree(call),
        input: tree(input),
    };
    running.one(Effect::PdpDecide(Box::new(asked))).await
}

/// `allow`, or the code.
fn said(result: EffectResult) -> String {
    match result {
        EffectResult::Decision(decision) if decision.allow => "allow".to_owned(),
        EffectResult::Decision(decision) => decision.code.expect("a denial has a code"),
        EffectResult::Denied { code, .. } | EffectResult::Failed { code, .. } => code,
        other => panic!("{other:?}"),
    }
}

const CEDAR: &str = r#"
@id("own-team") permit(principal, action == Action::"read", resource)
  when { principal.teams.contains(resource.team) };
@id("no-secrets") @reason("secrets stay") forbid(principal, action, resource)
  when { context.security.labels.contains("secret") };
permit(principal in Group::"admins", action == Action::"write", resource);
permit(principal, action == Action::"count", resource) when { context.args.n > 3 };
"#;

async fn cedar() -> Running {
    with_point(json!({"kind": "cedar", "policies": CEDAR, "entities": [
        {"uid": {"type": "User", "id": "root"}, "attrs": {}, "parents": [{"type": "Group", "id": "admins"}]},
        {"uid": {"type": "Group", "id": "admins"}, "attrs": {}, "parents": []}]}))
    .await
}

fn caller(id: &str) -> Value {
    json!({"subject": {"id": id, "type": "user", "teams": ["hr"]}, "security": {"labels": []}, "authenticated": true})
}

fn read(team: &str) -> Value {
    json!({"action": "Action::\"read\"", "resource": {"type": "Doc", "id": "d", "attributes": {"team": team}}})
}

#[tokio::test]
async fn cedar_decides_and_names_the_policy() {
    let running = cedar().await;
    let ask = async |call: Value, input: Value| said(decide(&running, "cedar", &call, &input).await);
    assert_eq!(ask(read("hr"), caller("a")).await, "allow");
    assert_eq!(ask(read("it"), caller("a")).await, "cedar.default_deny");
    let mut secret = caller("a");
    secret["security"]["labels"] = json!(["secret"]);
    let denied = decide(&running, "cedar", &read("hr"), &secret).await;
    let EffectResult::Decision(denied) = denied else {
        panic!("a decision")
    };
    assert_eq!(
        (denied.code.as_deref(), denied.reason.as_deref()),
        (Some("no-secrets"), Some("secrets stay"))
    );
    // Groups come from the configuration.
    let write = json!({"action": "Action::\"write\"", "resource": {"type": "Doc", "id": "d"}});
    assert_eq!(ask(write.clone(), caller("root")).await, "allow");
    assert_eq!(ask(write, caller("a")).await, "cedar.default_deny");
    let count = |n: Value| json!({"action": "Action::\"count\"", "resource": {"type": "Doc", "id": "d"}, "context": {"args": {"n": n}}});
    assert_eq!(ask(count(json!(4)), caller("a")).await, "allow");
    assert_eq!(ask(count(json!(4.0)), caller("a")).await, "allow");
    for wrong in [json!(4.5), json!("4"), json!(null), json!([4])] {
        assert_eq!(ask(count(wrong), caller("a")).await, "cedar.evaluation_error");
    }
}

#[tokio::test]
async fn nobody_forges_an_entity_and_what_is_missing_denies() {
    let running = cedar().await;
    let ask = async |call: Value, input: Value| said(decide(&running, "cedar", &call, &input).await);
    let mut forged = read("hr");
    forged["context"] = json!({"args": {"who": {"__entity": {"type": "User", "id": "root"}}}});
    assert_eq!(ask(forged, caller("a")).await, "cedar.input_withheld");
    let mut claims = caller("a");
    claims["subject"]["claims"] = json!({"x": [{"__extn": {"fn": "ip", "arg": "::1"}}]});
    assert_eq!(ask(read("hr"), claims).await, "cedar.input_withheld");
    assert_eq!(ask(read("hr"), json!({})).await, "pdp.bad_request");
    for call in [
        json!({}),
        json!({"action": "read", "resource": {"type": "Doc", "id": "d"}}),
        json!({"action": "Action::\"read\"", "resource": {"type": "Doc", "id": 7}}),
        json!({"action": "Action::\"read\"", "resource": {"type": "no type", "id": "d"}}),
    ] {
        assert_eq!(ask(call, caller("a")).await, "pdp.bad_request");
    }
    assert_eq!(
        said(decide(&running, "opa", &read("hr"), &caller("a")).await),
        "pdp.bad_request"
    );
    let deep = (0..companion_protocol::MAX_INPUT_DEPTH + 1).fold(json!(1), |inner, _| json!([inner]));
    assert_eq!(
        ask(read("hr"), json!({"subject": {"id": "a"}, "args": deep})).await,
        "pdp.input_too_deep"
    );
}

const REGO: &str = r#"
package authz
import rego.v1
default allow := false
allow if { "hr" in input.subject.teams }
verdict := {"allow": false, "reason": "no payroll", "id": "payroll"} if { input.args.n > 3 } else := {"allow": true}
problems contains "too many" if { input.args.n > 3 }
number := 7
slow if { some i in numbers.range(1, 5000); some j in numbers.range(1, 5000); i + j < 0 }
broken := 1 / input.args.zero
"#;

#[tokio::test]
async fn rego_decides_by_what_the_query_is() {
    let within = async |timeout_ms: u64| {
        with_point(json!({"kind": "opa", "modules": [REGO], "data": {"limit": 3}, "timeout_ms": timeout_ms}))
            .await
    };
    let running = within(60_000).await;
    let input = |n: i64| json!({"subject": {"id": "a", "teams": ["hr"]}, "args": {"n": n, "zero": 0}});
    let ask =
        async |query: &str, n: i64| said(decide(&running, "opa", &json!({"query": query}), &input(n)).await);
    assert_eq!(ask("authz.allow", 1).await, "allow");
    assert_eq!(ask("data.authz.allow", 1).await, "allow");
    assert_eq!(ask("data.authz.verdict", 1).await, "allow");
    assert_eq!(ask("data.authz.verdict", 4).await, "payroll");
    assert_eq!(ask("data.authz.problems", 1).await, "allow");
    assert_eq!(ask("data.authz.problems", 4).await, "opa");
    for query in [
        "data.authz.number",
        "data.authz.nothing",
        "data.authz",
        "data.authz.broken",
        "1 == 1",
    ] {
        assert_eq!(ask(query, 1).await, "opa", "{query}");
    }
    let slow = json!({"query": "data.authz.slow"});
    let slow = said(decide(&within(300).await, "opa", &slow, &input(1)).await);
    assert!(matches!(slow.as_str(), "opa" | "pdp.timeout"), "{slow}");
    let stranger = json!({"subject": {"id": "a", "teams": []}});
    let denied = decide(&running, "opa", &json!({"query": "authz.allow"}), &stranger).await;
    assert_eq!(said(denied), "opa");
    let own = |package: &str| json!({"query": format!("{package}.ok"), "module": format!("package {package}\nok := true")});
    assert_eq!(
        said(decide(&running, "opa", &own("mine"), &stranger).await),
        "allow"
    );
    assert_eq!(
        said(decide(&running, "opa", &own("authz"), &stranger).await),
        "pdp.bad_request"
    );
    assert_eq!(
        said(decide(&running, "opa", &json!({}), &stranger).await),
        "pdp.bad_request"
    );
}

#[tokio::test]
async fn a_policy_that_does_not_compile_stops_the_start() {
    for point in [
        json!({"kind": "cedar", "policies": "permit(principal"}),
        json!({"kind": "cedar", "policies": "permit(principal, action, resource);", "schema": "entity {"}),
        json!({"kind": "cedar", "policies": "permit(principal, action, resource) when { context.x };",
            "schema": "entity User; action read appliesTo {principal: User, resource: User, context: {}};"}),
        json!({"kind": "opa", "modules": ["package a\nallow {"]}),
        json!({"kind": "authzen", "url": "http://plain"}),
    ] {
        let directory = tempfile::tempdir().expect("a directory");
        let config = json!({"version": 1, "policy_digest": DIGEST, "decision_points": {"p": point}});
        let options = super::client::options(&directory, &config);
        assert!(
            aplomb_companion::serve::Companion::start(&options).await.is_err(),
            "{point}"
        );
    }
}

/// The same rule in three languages, over the same inputs. CEL's answers are what its semantics say: the filter runs it.
#[tokio::test]
async fn cedar_and_rego_agree_where_both_can_say_it() {
    let cedar = with_point(json!({"kind": "cedar", "policies":
        "permit(principal, action, resource) when { principal.roles.contains(\"hr\") && context.args.n < 10 && \
         !(context.security.labels.contains(\"secret\")) };"}))
    .await;
    let rego = with_point(json!({"kind": "opa", "modules": ["package p\nimport rego.v1\ndefault allow := false\n\
        allow if { \"hr\" in input.subject.roles; input.args.n < 10; not \"secret\" in input.security.labels }"]}))
    .await;
    let mut allowed = 0;
    for roles in [json!([]), json!(["hr"]), json!(["it", "hr"])] {
        for n in [json!(-1), json!(9), json!(10), json!(9.0)] {
            for labels in [json!([]), json!(["secret"]), json!(["pii"])] {
                let input = json!({"subject": {"id": "a", "roles": roles}, "args": {"n": n}, "security": {"labels": labels}});
                let call = json!({"action": "Action::\"x\"", "resource": {"type": "T", "id": "t"},
                    "context": {"args": input["args"]}});
                let one = said(decide(&cedar, "cedar", &call, &input).await) == "allow";
                let two = said(decide(&rego, "opa", &json!({"query": "p.allow"}), &input).await) == "allow";
                assert_eq!(one, two, "{input}");
                allowed += usize::from(one);
            }
        }
    }
    assert_eq!(allowed, 2 * 3 * 2);
}

/// A file of `../shared/external`, or `None` with a reason when the checkout has none.
fn external(path: &str) -> Option<PathBuf> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../shared/external")
        .join(path);
    // A worktree lies beside the shared folder's parent as the checkout does.
    let file = if file.exists() {
        file
    } else {
        Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("../../../shared/external")
            .join(path)
    };
    if file.exists() {
        return Some(file);
    }
    let in_ci = std::env::var("CI").is_ok_and(|ci| ci == "true");
    assert!(!in_ci, "{path} is missing");
    eprintln!("SKIPPED: {path} is not there");
    None
}

fn read_json(path: &Path) -> Value {
    serde_json::from_str(&std::fs::read_to_string(path).expect("reads")).expect("JSON")
}

/// Answers as the working group's interoperability scenario says, and only to questions of exactly its form.
async fn authzen_server(known: Vec<Value>) -> String {
    let evaluate =
        async |State(known): State<Arc<Vec<Value>>>, headers: HeaderMap, Json(asked): Json<Value>| {
            assert_eq!(headers["authorization"], "Bearer t0ken");
            match known.iter().find(|case| case["request"] == asked) {
                Some(case) => (StatusCode::OK, Json(json!({"decision": case["expected"]}))),
                None => (StatusCode::BAD_REQUEST, Json(json!({"unknown": asked}))),
            }
        };
    let routes = Router::new()
        .route("/access/v1/evaluation", post(evaluate))
        .with_state(Arc::new(known));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("binds");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(axum::serve(listener, routes).into_future());
    format!("http://{address}/")
}

#[tokio::test]
async fn authzen_asks_as_the_interoperability_scenarios_do() {
    let token = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(token.path(), "t0ken").expect("writes");
    for file in [
        "authzen/gateway-decisions.json",
        "authzen/todo-decisions-1_0.json",
    ] {
        let Some(path) = external(file) else { continue };
        let cases = read_json(&path)["evaluation"].as_array().expect("cases").clone();
        let running = with_point(
            json!({"kind": "authzen", "url": authzen_server(cases.clone()).await, "allow_http": true,
            "token": {"file": token.path().display().to_string()}}),
        )
        .await;
        for case in &cases {
            let expected = if case["expected"] == json!(true) {
                "allow"
            } else {
                "authzen"
            };
            let said = said(decide(&running, "authzen", &case["request"], &json!({})).await);
            assert_eq!(said, expected, "{case}");
        }
        assert!(cases.len() >= 25);
    }
}

#[tokio::test]
async fn a_server_that_fails_denies() {
    let answer = async |headers: HeaderMap| match headers["authorization"].to_str().expect("text") {
        "Bearer slow" => {
            tokio::time::sleep(std::time::Duration::from_secs(3600)).await;
            Json(json!({"decision": true})).into_response()
        }
        "Bearer text" => Json(json!({"decision": "true"})).into_response(),
        "Bearer html" => "<html>true</html>".into_response(),
        "Bearer teapot" => (StatusCode::IM_A_TEAPOT, Json(json!({"decision": true}))).into_response(),
        "Bearer blocked" => Json(json!({"status": "blocked"})).into_response(),
        "Bearer success" => Json(json!({"status": "success"})).into_response(),
        other => panic!("{other}"),
    };
    use axum::response::IntoResponse;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("binds");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    tokio::spawn(axum::serve(listener, Router::new().fallback(answer)).into_future());
    let authzen = json!({"action": "read", "resource": {"type": "t", "id": "i"}});
    let nemo = json!({"text": "hello"});
    for (kind, token, expected) in [
        ("authzen", "slow", "pdp.timeout"),
        ("authzen", "text", "pdp.bad_response"),
        ("authzen", "html", "pdp.bad_response"),
        ("authzen", "teapot", "pdp.rejected"),
        ("nemo", "text", "pdp.bad_response"),
        ("nemo", "blocked", "nemo"),
        ("nemo", "success", "allow"),
    ] {
        let file = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(file.path(), token).expect("writes");
        let running = with_point(json!({"kind": kind, "url": url, "allow_http": true,
            "timeout_ms": if token == "slow" { 300 } else { 60_000 },
            "token": {"file": file.path().display().to_string()}}))
        .await;
        let call = if kind == "nemo" { &nemo } else { &authzen };
        assert_eq!(
            said(decide(&running, kind, call, &caller("a")).await),
            expected,
            "{kind} {token}"
        );
    }
    let gone = with_point(json!({"kind": "authzen", "url": "http://127.0.0.1:1", "allow_http": true})).await;
    assert_eq!(
        said(decide(&gone, "authzen", &authzen, &caller("a")).await),
        "pdp.unreachable"
    );
}

/// The engine's own integration cases. Those that hand over extension values are Cedar's JSON form, which arguments never
/// are here.
#[tokio::test]
async fn cedars_own_cases_come_out_as_its_authors_say() {
    let Some(root) = external("cedar/tests") else {
        return;
    };
    let base = root.parent().expect("a folder").to_owned();
    let mut counted = 0;
    for folder in ["example_use_cases", "multi"] {
        let mut files: Vec<PathBuf> = std::fs::read_dir(root.join(folder))
            .expect("reads")
            .map(|entry| entry.expect("an entry").path())
            .filter(|path| path.extension().is_some_and(|kind| kind == "json"))
            .collect();
        files.sort();
        for file in files {
            let case = read_json(&file);
            // Entities that name others need the schema to be read, and only a policy that fits it can be given it.
            if case["shouldValidate"] != json!(true) {
                continue;
            }
            let text = |name: &str| {
                std::fs::read_to_string(base.join(case[name].as_str().expect("a path"))).expect("reads")
            };
            let entities: Value = serde_json::from_str(&text("entities")).expect("JSON");
            let running =
                with_point(json!({"kind": "cedar", "policies": text("policies"), "schema": text("schema"), "entities": entities}))
                    .await;
            for request in case["requests"].as_array().expect("requests") {
                let (principal, action, resource) =
                    (&request["principal"], &request["action"], &request["resource"]);
                let uses_extension = request["context"].to_string().contains("__extn");
                if uses_extension || principal["id"].is_null() || resource["id"].is_null() {
                    continue;
                }
                let kind = principal["type"].as_str().expect("text");
                let uid = format!("{}::{}", action["type"].as_str().expect("text"), action["id"]);
                let call = json!({"action": uid, "resource": resource, "context": request["context"]});
                let input = json!({"subject": {"id": principal["id"], "type": kind}});
                let said = said(decide(&running, "cedar", &call, &input).await);
                let has_errors = request["errors"]
                    .as_array()
                    .is_some_and(|errors| !errors.is_empty());
                let expected = request["decision"] == json!("allow") && !has_errors;
                assert_eq!(said == "allow", expected, "{}: {said}: {request}", file.display());
                counted += 1;
            }
        }
    }
    assert!(counted >= 20, "only {counted} cases ran");
}
