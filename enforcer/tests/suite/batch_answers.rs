//! What comes back for a batch: each answer through the phase of its own request.

use apl_bytecode::{Algorithm, Instr, TokenRole};
use serde_json::{Value, json};

use crate::{
    batches::{SSN, answer, call, ids, post, violation},
    host::{Backend, Worker},
    jwt::{es256, jwks},
    program::Builder,
};

/// Three operations: two whose records are redacted, one that is free.
fn three() -> Value {
    json!([
        call(&json!(1), "after", &json!({})),
        call(&json!("b"), "open", &json!({})),
        call(&json!(3), "after", &json!({})),
    ])
}

#[test]
fn every_answer_goes_through_the_phase_of_its_own_request() {
    let secret = json!({"ssn": SSN});
    let (one, free, other) = (
        answer(&json!(1), &secret),
        answer(&json!("b"), &json!({"text": "free", "ssn": "shown"})),
        answer(&json!(3), &secret),
    );
    let foreign = answer(&json!(77), &secret);
    for body in [
        json!([other, free, one]).to_string(),
        json!([foreign, one, one, free, other]).to_string(),
    ] {
        for chunk in [0, 1, 13] {
            let mut worker = Worker::new();
            worker.chunk = chunk;
            let seen = post(&mut worker, "eve", &three(), Some(&Backend::json(&body)));
            let answers: Value = serde_json::from_str(&seen.client_body()).expect("JSON");
            assert_eq!(answers.as_array().unwrap().len(), 3, "{answers}");
            assert!(!answers.to_string().contains(SSN) && answers.to_string().contains("shown"));
            assert_eq!(seen.companion_calls, 1, "the second label is known to be there");
        }
    }
    let events: String = [&other, &free, &one]
        .map(|one| format!("data: {one}\n\n"))
        .concat();
    let batched = format!("data: {}\n\ndata: {one}\n\n", json!([other, free]));
    for stream in [events, batched] {
        for chunk in [0, 1, 13] {
            let mut worker = Worker::new();
            worker.chunk = chunk;
            let seen = post(&mut worker, "eve", &three(), Some(&Backend::events(&stream)));
            let body = seen.client_body();
            assert!(!body.contains(SSN) && body.contains("shown"), "{body}");
            assert_eq!(body.matches("[REDACTED]").count(), 2, "{body}");
        }
    }
}

#[test]
fn a_denied_answer_leaves_the_others_of_its_batch() {
    let (bad, good) = (
        json!({"jsonrpc": "2.0", "id": 1, "result": {"content": [{"type": "text", "text": SSN}]}}),
        answer(&json!(3), &json!({"ssn": SSN, "name": "x"})),
    );
    let mut worker = Worker::new();
    let seen = post(
        &mut worker,
        "eve",
        &three(),
        Some(&Backend::json(&json!([bad, good]).to_string())),
    );
    let answers: Value = serde_json::from_str(&seen.client_body()).unwrap();
    assert_eq!(violation(&answers[0]), "result.unparseable");
    assert_eq!(answers[0]["error"]["data"]["executed"], json!(true));
    assert!(answers[1].to_string().contains("[REDACTED]") && !answers.to_string().contains(SSN));
    let mut worker = Worker::new();
    let stream = format!("data: {bad}\n\ndata: {good}\n\n");
    let seen = post(&mut worker, "eve", &three(), Some(&Backend::events(&stream)));
    let body = seen.client_body();
    assert!(
        body.contains("result.unparseable") && body.contains("[REDACTED]") && !body.contains(SSN),
        "{body}"
    );
}

#[test]
fn a_reply_that_cannot_be_read_denies_every_id() {
    for backend in [
        Backend::json("nonsense"),
        Backend::of(200, "text/html", SSN),
        Backend::json(&answer(&json!(99), &json!({"ssn": SSN})).to_string()),
        Backend::json("[]"),
    ] {
        let mut worker = Worker::new();
        let seen = post(&mut worker, "eve", &three(), Some(&backend));
        let body = match (&seen.reply, &seen.client) {
            (Some(reply), _) => reply.body.clone(),
            (None, Some((_, _, body))) => body.clone(),
            (None, None) => panic!("no answer"),
        };
        let answers: Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(ids(&answers).len(), 3, "{answers}");
        assert!(!answers.to_string().contains(SSN));
    }
    let mut worker = Worker::new();
    let seen = post(
        &mut worker,
        "eve",
        &three(),
        Some(&Backend::events("data: nonsense\n\ndata: more\n\n")),
    );
    assert_eq!(
        seen.client_body().matches("result.unparseable").count(),
        3,
        "{}",
        seen.client_body()
    );
    assert!(!seen.client_body().contains("more"));
}

#[test]
fn rules_after_the_call_see_the_arguments_of_their_own_element() {
    let keys = jwks(&[&es256()]);
    let mut b = Builder::default();
    let user = b.identity("authorization", TokenRole::User, &[Algorithm::Es256], Some(&keys));
    let secret = b.attr("args.secret");
    let post_phase = vec![Instr::Truth(secret), Instr::DenyIf(b.denial("was_secret", "no"))];
    b.route("ask", Vec::new(), Some(post_phase), &[user]);
    let policy = b.bytes();
    let ask = |id: u32, secret: bool| call(&json!(id), "ask", &json!({"secret": secret}));
    let reply = json!([answer(&json!(1), &json!({})), answer(&json!(2), &json!({}))]).to_string();
    let mut worker = Worker::cold(&policy, |_| {});
    for (first, second) in [(true, false), (false, true), (true, true)] {
        let body = json!([ask(1, first), ask(2, second)]);
        let seen = post(&mut worker, "bob", &body, Some(&Backend::json(&reply)));
        let answers: Value = serde_json::from_str(&seen.client_body()).unwrap();
        assert_eq!(violation(&answers[0]) == "was_secret", first);
        assert_eq!(violation(&answers[1]) == "was_secret", second);
    }
}
