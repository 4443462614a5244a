//! Approvals, decision points, counters and constraints, from policy text to the wire.

use companion_protocol::{Decision, Effect, EffectResult, ElicitState, VerdictKind};
use serde_json::{Value, json};

use crate::{
    host::{Backend, Seen, Worker, call, kind},
    jwt,
};

fn worker(steps: &Value) -> Worker {
    let policy = json!({
        "plugins": [
            { "name": "user", "kind": "identity/jwt", "config": { "trusted_issuers": [{
                "issuer": "https://idp.example", "audiences": ["gateway"], "algorithms": ["ES256"],
                "decoding_key": { "kind": "jwks_url", "url": "https://idp.example/keys" } }] } },
            { "name": "pages", "kind": "elicitation/page" }],
        "global": { "authentication": ["user"], "pdp": [
            { "kind": "cedar-direct", "policy_text": "permit(principal, action, resource);" }] },
        "routes": [{ "tool": "pay", "pre_invocation": steps }],
    });
    let compilation = apl_compiler::compile("policy.yaml", &policy.to_string());
    let output = compilation
        .output
        .unwrap_or_else(|| panic!("{:?}", compilation.diagnostics));
    Worker::with(&apl_bytecode::encode(output.program.program()), |_| {})
}

fn pay(worker: &mut Worker, user: &str, args: &str, headers: &[(&str, &str)]) -> Seen {
    let token = format!("Bearer {}", jwt::es256().sign(&jwt::claims(user)));
    let mut all = vec![("authorization", token.as_str())];
    all.extend_from_slice(headers);
    let backend = Backend::json(r#"{"jsonrpc":"2.0","id":1,"result":{"content":[]}}"#);
    worker.post(&all, &call("pay", args), Some(&backend))
}

fn kinds(worker: &Worker) -> Vec<&'static str> {
    let effects = worker.companion.calls.iter().flat_map(|call| &call.effects);
    effects
        .map(|call| kind(&call.effect))
        .filter(|kind| *kind != "audit.append")
        .collect()
}

const ID: &str = "x-policy-elicitation-id";

#[test]
fn an_operation_waits_for_a_human_and_runs_once() {
    let mut worker = worker(&json!(["require_approval(pages, from: 'carol')"]));
    let seen = pay(&mut worker, "bob", r#"{"amount":5}"#, &[]);
    let error = &seen.reply_json()["error"];
    assert_eq!((seen.forwarded(), &error["code"]), (false, &json!(-32120)));
    assert_eq!(error["data"]["violation"], "elicitation.pending");
    assert_eq!(error["data"]["elicitation_id"], "e0");
    assert_eq!(error["data"]["plugin"], "pages");
    assert_eq!(error["data"]["approver"], "carol");
    worker.tick();
    assert_eq!(worker.companion.records[0].verdict, Some(VerdictKind::Pending));

    worker.companion.asked[0].1 = ElicitState::Approved;
    let seen = pay(
        &mut worker,
        "bob",
        r#"{"amount":5}"#,
        &[(ID, "e0"), ("x-policy-elicitation-peek", "1")],
    );
    assert_eq!(
        (seen.forwarded(), &seen.reply_json()["error"]["code"]),
        (false, &json!(-32121))
    );
    let seen = pay(&mut worker, "bob", r#"{"amount":5}"#, &[(ID, "e0")]);
    assert!(seen.forwarded(), "{seen:?}");
    assert_eq!(seen.upstream_header(ID), None);
    let seen = pay(&mut worker, "bob", r#"{"amount":5}"#, &[(ID, "e0")]);
    assert_eq!(
        (seen.forwarded(), seen.code().as_str()),
        (false, "elicitation.unknown_id")
    );
    assert_eq!(
        kinds(&worker),
        [
            "elicit.begin",
            "elicit.check",
            "elicit.check",
            "elicit.redeem",
            "elicit.check"
        ]
    );
}

#[test]
fn an_approval_is_good_for_one_call_of_one_person() {
    let mut worker = worker(&json!(["require_approval(pages, from: 'carol')"]));
    pay(&mut worker, "bob", r#"{"amount":5}"#, &[]);
    worker.companion.asked[0].1 = ElicitState::Approved;
    for (user, args) in [
        ("bob", r#"{"amount":6}"#),
        ("bob", r#"{"amount":5.0}"#),
        ("alice", r#"{"amount":5}"#),
    ] {
        let seen = pay(&mut worker, user, args, &[(ID, "e0")]);
        assert_eq!(
            (seen.forwarded(), seen.code().as_str()),
            (false, "elicitation.binding_mismatch"),
            "{user} {args}"
        );
    }
    // White space is no difference.
    assert!(pay(&mut worker, "bob", r#"{ "amount" : 5 }"#, &[(ID, "e0")]).forwarded());
}

#[test]
fn a_call_that_a_later_step_denies_spends_no_approval() {
    let mut worker = worker(&json!([
        "require_approval(pages, from: 'carol')",
        "args.amount > 3: deny('no', 'late')"
    ]));
    pay(&mut worker, "bob", r#"{"amount":5}"#, &[]);
    worker.companion.asked[0].1 = ElicitState::Approved;
    let seen = pay(&mut worker, "bob", r#"{"amount":5}"#, &[(ID, "e0")]);
    assert_eq!(seen.code(), "late");
    assert!(!kinds(&worker).contains(&"elicit.redeem"));
}

#[test]
fn several_approvals_have_an_id_each() {
    let mut worker = worker(&json!([
        "confirm(pages, from: 'carol')",
        "require_review(pages, from: 'dave')"
    ]));
    pay(&mut worker, "bob", "{}", &[]);
    worker.companion.asked[0].1 = ElicitState::Approved;
    let seen = pay(&mut worker, "bob", "{}", &[(ID, "e0")]);
    assert_eq!(seen.reply_json()["error"]["data"]["elicitation_id"], "e0,e1");
    worker.companion.asked[1].1 = ElicitState::Approved;
    assert!(pay(&mut worker, "bob", "{}", &[(ID, "e0, e1")]).forwarded());
}

#[test]
fn scope_is_evaluated_after_the_approval_and_continue_passes_over_the_channel_only() {
    let step = "require_approval(pages, from: 'carol', scope: 'args.amount <= 10', on_error: continue)";
    let mut worker = worker(&json!([step]));
    pay(&mut worker, "bob", r#"{"amount":50}"#, &[]);
    worker.companion.asked[0].1 = ElicitState::Approved;
    let seen = pay(&mut worker, "bob", r#"{"amount":50}"#, &[(ID, "e0")]);
    assert_eq!(
        (seen.forwarded(), seen.code().as_str()),
        (false, "routes.tool:pay.pre_invocation[0]")
    );
    worker.companion.asked[0].1 = ElicitState::Denied;
    assert!(!pay(&mut worker, "bob", r#"{"amount":50}"#, &[(ID, "e0")]).forwarded());
    let failed = EffectResult::Failed {
        code: "elicitation.op_unreachable".into(),
        reason: "x".into(),
    };
    worker.companion.results.insert("elicit.begin", failed);
    assert!(pay(&mut worker, "bob", r#"{"amount":50}"#, &[]).forwarded());
}

#[test]
fn a_decision_point_denies_with_its_own_words_and_is_told_no_credential() {
    let mut worker =
        worker(&json!([{ "cedar": { "action": "Action::\"pay\"", "resource": { "id": "${args.to}" } } }]));
    let decision = |allow| {
        EffectResult::Decision(Decision {
            allow,
            code: Some("policy7".into()),
            reason: Some("not that account".into()),
        })
    };
    worker.companion.results.insert("pdp.decide", decision(false));
    let seen = pay(&mut worker, "bob", r#"{"to":"x","deep":{"a":[1]}}"#, &[]);
    assert_eq!(seen.code(), "policy7");
    assert_eq!(seen.reply_json()["error"]["message"], "not that account");
    let Effect::PdpDecide(asked) = &worker.companion.calls[0].effects[0].effect else {
        panic!("{:?}", worker.companion.calls)
    };
    let input = serde_json::to_value(&asked.input).unwrap();
    assert_eq!(serde_json::to_value(&asked.call).unwrap()["resource"]["id"], "x");
    assert_eq!(input["args"]["deep"]["a"][0], 1);
    assert_eq!(input["subject"]["id"], "bob");
    assert!(!input.to_string().contains("Bearer") && input["http"]["request_headers"].is_null());

    worker.companion.results.insert("pdp.decide", decision(true));
    assert!(pay(&mut worker, "bob", r#"{"to":"x"}"#, &[]).forwarded());
    // What the question refers to is not there.
    assert_eq!(pay(&mut worker, "bob", "{}", &[]).code(), "pdp:Cedar");
    worker.companion.results.insert(
        "pdp.decide",
        EffectResult::Failed {
            code: "whatever".into(),
            reason: "down".into(),
        },
    );
    assert_eq!(pay(&mut worker, "bob", r#"{"to":"x"}"#, &[]).code(), "pdp:Cedar");
}

#[test]
fn a_limit_counts_for_the_principal_or_for_what_it_names() {
    let mut worker = worker(&json!([
        "limit(2 per 1m)",
        "limit(1 per 1h, by: args.account, code: 'once')"
    ]));
    let one = r#"{"account":"a"}"#;
    assert!(pay(&mut worker, "bob", one, &[]).forwarded());
    assert_eq!(pay(&mut worker, "alice", one, &[]).code(), "once");
    assert!(pay(&mut worker, "bob", r#"{"account":"b"}"#, &[]).forwarded());
    assert_eq!(
        pay(&mut worker, "bob", r#"{"account":"c"}"#, &[]).code(),
        "limit.exceeded"
    );
    assert_eq!(pay(&mut worker, "carol", "{}", &[]).code(), "limit.uncountable");
}

#[test]
fn a_budget_lets_the_call_pass_that_reaches_it() {
    let mut worker = worker(&json!(["budget(10 per 1h, cost: args.amount)"]));
    assert!(pay(&mut worker, "bob", r#"{"amount":8}"#, &[]).forwarded());
    assert!(pay(&mut worker, "bob", r#"{"amount":8}"#, &[]).forwarded());
    assert_eq!(
        pay(&mut worker, "bob", r#"{"amount":1}"#, &[]).code(),
        "limit.exceeded"
    );
    for cost in ["-1", "\"8\"", "null"] {
        let args = format!("{{\"amount\":{cost}}}");
        assert!(!pay(&mut worker, "alice", &args, &[]).forwarded(), "{cost}");
    }
}

#[test]
fn constraints_are_folded_and_the_clients_copies_are_gone() {
    let mut worker = worker(&json!([
        { "restrict": { "allow_regions": ["eu", "us"], "deny_models": ["a"], "custom": { "gpu": "h100" } } },
        { "restrict": { "allow_regions": ["eu"], "deny_models": ["b/*"], "max_cost_tier": "low" } }]));
    let forged = [
        ("x-policy-restrict-allow-sites", "s1"),
        ("x-policy-restrict-allow-regions", "us"),
    ];
    let seen = pay(&mut worker, "bob", "{}", &forged);
    let header = |name: &str| seen.upstream_header(&format!("x-policy-restrict-{name}"));
    assert_eq!(header("allow-regions").as_deref(), Some("eu"));
    assert_eq!(header("deny-models").as_deref(), Some("a,b/*"));
    assert_eq!(header("custom").as_deref(), Some("gpu=h100"));
    assert_eq!(header("max-cost-tiers").as_deref(), Some("low"));
    assert_eq!(header("on-empty").as_deref(), Some("deny"));
    assert_eq!(header("allow-sites"), None);
    let all = "deny-models=a,b/*;allow-regions=eu;max-cost-tiers=low;custom=gpu=h100;on-empty=deny";
    assert_eq!(header("all").as_deref(), Some(all));
}

#[test]
fn constraints_that_nothing_satisfies_or_that_contradict_each_other_deny() {
    let two = |a: Value, b: Value| json!([{ "restrict": a }, { "restrict": b }]);
    for (steps, code) in [
        (
            two(json!({ "allow_sites": ["a"] }), json!({ "allow_sites": ["b"] })),
            "policy.restrict_empty",
        ),
        (
            two(json!({ "custom": { "g": 1 } }), json!({ "custom": { "g": 2 } })),
            "policy.restrict_conflict",
        ),
        (
            json!([{ "restrict": { "allow_sites": "claim.missing" } }]),
            "policy.restrict_empty",
        ),
        (
            json!([{ "restrict": { "deny_models": "claim.missing" } }]),
            "routes.tool:pay.pre_invocation[0]",
        ),
    ] {
        assert_eq!(pay(&mut worker(&steps), "bob", "{}", &[]).code(), code);
    }
    let gives_up = json!({ "allow_sites": "claim.missing", "deny_models": ["x"], "on_empty": "fallback" });
    let seen = pay(&mut worker(&json!([{ "restrict": gives_up }])), "bob", "{}", &[]);
    assert_eq!(
        seen.upstream_header("x-policy-restrict-deny-models").as_deref(),
        Some("x")
    );
    assert_eq!(seen.upstream_header("x-policy-restrict-allow-sites"), None);
}
