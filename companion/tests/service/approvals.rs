//! Approvals on the built-in pages: what an approver, a requester and a forger can do.

use std::sync::Arc;

use axum::http::Request;
use companion_protocol::{Effect, EffectResult, ElicitAsk, ElicitState, OnFail};
use http_body_util::Full;
use serde_json::json;

use super::approval_stage::{Stage, ask, begin, cookie, hidden, start, text};
use super::client::{DIGEST, Running, call, get, options, perform, send};

#[tokio::test]
async fn an_approval_lets_one_operation_through_once() {
    let stage = Stage::set(json!({})).await;
    let pending = stage.elicit(start("1"), "k0").await;
    assert_eq!(pending.state, ElicitState::Pending);
    assert_eq!(
        (pending.approver.as_deref(), pending.channel.as_deref()),
        (Some("alice"), Some("page"))
    );
    // The same question again finds the same case.
    assert_eq!(stage.elicit(start("1"), "k1").await.id, pending.id);
    let redeem = Effect::ElicitRedeem(ask(&pending.id, "1"));
    assert_eq!(
        stage.elicit(redeem.clone(), "k2").await.state,
        ElicitState::Pending
    );
    let alice = stage.sign_in("alice").await;
    assert!(text(&stage.get("/approvals", &alice).await).contains("Approve pay"));
    let answered = stage.decide(&pending.id, &alice, "approve").await;
    assert_eq!(answered.status, 200);
    for _ in 0..2 {
        let check = stage
            .elicit(Effect::ElicitCheck(ask(&pending.id, "1")), "k3")
            .await;
        assert_eq!(check.state, ElicitState::Approved);
    }
    assert_eq!(
        stage.elicit(redeem.clone(), "k4").await.state,
        ElicitState::Approved
    );
    // The proxy did not see the answer and asks again; somebody else under another key gets nothing.
    assert_eq!(
        stage.elicit(redeem.clone(), "k4").await.state,
        ElicitState::Approved
    );
    assert_eq!(stage.elicit(redeem, "k5").await.state, ElicitState::UnknownId);
    let log = std::fs::read_to_string(stage.running.audit_log()).expect("a log");
    assert_eq!(log.matches("aplomb.approvals.answer").count(), 1);
    assert!(log.contains("\"client\":\"alice\""), "{log}");
}

#[tokio::test]
async fn an_approval_is_good_for_nothing_else() {
    let stage = Stage::set(json!({})).await;
    let pending = stage.elicit(start("1"), "k0").await;
    let alice = stage.sign_in("alice").await;
    stage.decide(&pending.id, &alice, "approve").await;
    let changes: [fn(&mut ElicitAsk); 7] = [
        |ask| ask.binding.requester = "b".repeat(64),
        |ask| ask.binding.route = "tool:pay@other".to_owned(),
        |ask| ask.binding.operation = "refund".to_owned(),
        |ask| ask.binding.args_digest = "2".to_owned(),
        // The rules of the route, which another policy may share.
        |ask| ask.binding.step = "routes.tool:pay.pre_invocation[1]".to_owned(),
        |ask| ask.binding.policy_digest = "f".repeat(64),
        |ask| ask.from = "carol".to_owned(),
    ];
    for change in changes {
        let mut asked = ask(&pending.id, "1");
        change(&mut asked);
        let redeemed = stage.elicit(Effect::ElicitRedeem(asked), "k1").await;
        assert_eq!(redeemed.state, ElicitState::BindingMismatch);
    }
    for id in [
        "",
        "x",
        "0.0",
        &format!("{}.{}", &pending.id[..32], "0".repeat(32)),
    ] {
        let unknown = stage.elicit(Effect::ElicitRedeem(ask(id, "1")), "k1").await;
        assert_eq!(unknown.state, ElicitState::UnknownId, "{id}");
    }
    let mine = stage
        .elicit(Effect::ElicitRedeem(ask(&pending.id, "1")), "k2")
        .await;
    assert_eq!(mine.state, ElicitState::Approved);
}

#[tokio::test]
async fn of_many_redeems_one_counts() {
    let stage = Arc::new(Stage::set(json!({})).await);
    let pending = stage.elicit(start("1"), "k0").await;
    let alice = stage.sign_in("alice").await;
    stage.decide(&pending.id, &alice, "approve").await;
    let mut tasks = Vec::new();
    for at in 0..16 {
        let (stage, id) = (Arc::clone(&stage), pending.id.clone());
        tasks.push(tokio::spawn(async move {
            stage
                .elicit(Effect::ElicitRedeem(ask(&id, "1")), &format!("r{at}"))
                .await
                .state
        }));
    }
    let mut approved = 0;
    for task in tasks {
        approved += usize::from(task.await.expect("ends") == ElicitState::Approved);
    }
    assert_eq!(approved, 1);
}

#[tokio::test]
async fn a_denial_stays_a_denial_until_the_request_has_ended() {
    let stage = Stage::set(json!({})).await;
    let pending = stage.elicit(start("1"), "k0").await;
    let alice = stage.sign_in("alice").await;
    stage.decide(&pending.id, &alice, "deny").await;
    assert_eq!(stage.elicit(start("1"), "k1").await.state, ElicitState::Denied);
    let redeemed = stage
        .elicit(Effect::ElicitRedeem(ask(&pending.id, "1")), "k2")
        .await;
    assert_eq!(redeemed.state, ElicitState::Denied);
    let again = stage.decide_closed(&pending.id, &alice).await;
    assert_eq!(again.status, 409);
}

#[tokio::test]
async fn a_request_ends() {
    let stage = Stage::set(json!({"timeout_s": 1})).await;
    let pending = stage.elicit(start("1"), "k0").await;
    tokio::time::sleep(std::time::Duration::from_millis(2100)).await;
    let check = stage
        .elicit(Effect::ElicitCheck(ask(&pending.id, "1")), "k1")
        .await;
    assert_eq!(check.state, ElicitState::Expired);
    let alice = stage.sign_in("alice").await;
    assert_eq!(stage.decide_closed(&pending.id, &alice).await.status, 409);
    let anew = stage.elicit(start("1"), "k2").await;
    assert_ne!(anew.id, pending.id);
    assert_eq!(anew.state, ElicitState::Pending);
}

#[tokio::test]
async fn nobody_else_answers_and_nobody_for_themselves() {
    let stage = Stage::set(json!({})).await;
    let pending = stage.elicit(start("1"), "k0").await;
    let path = format!("/approvals/{}", &pending.id[..32]);
    assert_eq!(get(stage.running.address, &path).await.status, 401);
    let carol = stage.sign_in("carol").await;
    assert_eq!(stage.get(&path, &carol).await.status, 404);
    assert!(!text(&stage.get("/approvals", &carol).await).contains("pay"));
    // Bob asks himself.
    let mut own = begin("2");
    own.from = "bob".to_owned();
    let own = stage.elicit(Effect::ElicitBegin(Box::new(own)), "k1").await;
    let bob = stage.sign_in("bob").await;
    assert_eq!(stage.decide(&own.id, &bob, "approve").await.status, 403);
    let lenient = Stage::set(json!({"allow_self": true})).await;
    let mut own = begin("2");
    own.from = "bob".to_owned();
    let own = lenient.elicit(Effect::ElicitBegin(Box::new(own)), "k1").await;
    let bob = lenient.sign_in("bob").await;
    assert_eq!(lenient.decide(&own.id, &bob, "approve").await.status, 200);
}

#[tokio::test]
async fn a_foreign_page_changes_nothing() {
    let stage = Stage::set(json!({})).await;
    let pending = stage.elicit(start("1"), "k0").await;
    let alice = stage.sign_in("alice").await;
    let path = format!("/approvals/{}", &pending.id[..32]);
    let page = text(&stage.get(&path, &alice).await);
    let (csrf, nonce) = (hidden(&page, "csrf"), hidden(&page, "nonce"));
    let good = [("csrf", &*csrf), ("nonce", &*nonce), ("decision", "approve")];
    for origin in ["https://evil.test", "null", "http://approvals.test.evil", ""] {
        assert_eq!(
            stage.post(&path, &alice, origin, &good).await.status,
            403,
            "{origin}"
        );
    }
    let forged = [("csrf", "0"), ("nonce", &*nonce), ("decision", "approve")];
    assert_eq!(
        stage.post(&path, &alice, &stage.origin, &forged).await.status,
        403
    );
    let undecided = [("csrf", &*csrf), ("nonce", &*nonce)];
    assert_eq!(
        stage.post(&path, &alice, &stage.origin, &undecided).await.status,
        400
    );
    // A cookie that somebody made themselves.
    let (payload, _) = alice.split_once('.').expect("a signature");
    assert_eq!(stage.get(&path, &format!("{payload}.AAAA")).await.status, 401);
    let check = stage
        .elicit(Effect::ElicitCheck(ask(&pending.id, "1")), "k1")
        .await;
    assert_eq!(check.state, ElicitState::Pending);
}

#[tokio::test]
async fn what_a_requester_wrote_runs_nowhere() {
    let stage = Stage::set(json!({})).await;
    let pending = stage.elicit(start("1"), "k0").await;
    let alice = stage.sign_in("alice").await;
    let answer = stage
        .get(&format!("/approvals/{}", &pending.id[..32]), &alice)
        .await;
    let page = text(&answer);
    for raw in ["<script", "<img", "<i>"] {
        assert!(!page.contains(raw), "{page}");
    }
    assert!(page.contains("&lt;img src=x&gt;"));
    let policy = answer.headers["content-security-policy"].to_str().expect("text");
    assert!(policy.contains("default-src 'none'") && policy.contains("frame-ancestors 'none'"));
    assert_eq!(answer.headers["cache-control"], "no-store");
}

#[tokio::test]
async fn another_sign_in_or_another_issuer_lets_nobody_in() {
    let stage = Stage::set(json!({})).await;
    let away = get(stage.running.address, "/approvals/sign-in").await;
    let login = cookie(&away, "aplomb_login");
    let callback = "/approvals/callback?code=c&state=0";
    assert_eq!(stage.get(callback, &login).await.status, 403);
    assert_eq!(stage.get(callback, "").await.status, 403);
    let to = away.headers["location"].to_str().expect("text").to_owned();
    let state = to.split("&state=").nth(1).expect("a state")[..32].to_owned();
    for wrong in [
        json!({"iss": "https://evil"}),
        json!({"nonce": "other"}),
        json!({}),
    ] {
        let mut claims = json!({"iss": "https://op", "aud": "pages", "exp": 9_999_999_999_u64, "sub": "s",
            "preferred_username": "alice", "nonce": "other"});
        claims
            .as_object_mut()
            .expect("an object")
            .extend(wrong.as_object().cloned().expect("an object"));
        *stage.claims.lock().expect("a lock") = claims;
        let path = format!("/approvals/callback?code=c&state={state}");
        assert_eq!(stage.get(&path, &login).await.status, 403);
    }
}

#[tokio::test]
async fn a_requester_has_so_many_requests_open_and_no_more() {
    let stage = Stage::set(json!({})).await;
    for at in 0..aplomb_companion::elicitation::MAX_PENDING {
        assert_eq!(
            stage.elicit(start(&at.to_string()), "k").await.state,
            ElicitState::Pending
        );
    }
    let refused = stage.running.one(start("one more")).await;
    assert!(matches!(refused, EffectResult::Denied { code, .. } if code == "elicitation.too_many_pending"));
    // An open one is still found.
    assert_eq!(stage.elicit(start("0"), "k").await.state, ElicitState::Pending);
    let mut empty = begin("1");
    empty.from = String::new();
    let refused = stage.running.one(Effect::ElicitBegin(Box::new(empty))).await;
    assert!(matches!(refused, EffectResult::Denied { code, .. } if code == "elicitation.bad_request"));
}

#[tokio::test]
async fn another_companion_over_the_same_store_goes_on() {
    let stage = Stage::set(json!({})).await;
    let pending = stage.elicit(start("1"), "k0").await;
    let alice = stage.sign_in("alice").await;
    let directory = tempfile::tempdir().expect("a directory");
    // A copy of the store, as a restart finds it: nothing is in this process's memory.
    let data = directory.path().join("data");
    std::fs::create_dir(&data).expect("creates");
    let config =
        std::fs::read_to_string(stage.running.directory.path().join("companion.json")).expect("reads");
    let copy = stage.running.directory.path().join("data/cases.redb");
    std::fs::copy(copy, data.join("cases.redb")).expect("copies");
    let options = options(&directory, &serde_json::from_str(&config).expect("JSON"));
    let second = Running::with_options(directory, &options).await;
    let asked = call(Effect::ElicitCheck(ask(&pending.id, "1")), OnFail::Stop);
    let answer = perform(second.address, DIGEST, vec![asked])
        .await
        .results
        .remove(0);
    assert!(matches!(answer, EffectResult::Elicitation(found) if found.state == ElicitState::Pending));
    let request = Request::get(format!("http://{}/approvals", second.address))
        .header("cookie", &alice)
        .body(Full::default())
        .expect("a request");
    assert_eq!(send(request).await.expect("an answer").status, 200);
}
