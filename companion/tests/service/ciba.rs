//! CIBA against a provider that does what the test says. The real one is in the test harness.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::body::Bytes;
use axum::extract::State;
use axum::http::{Request, StatusCode};
use axum::routing::post;
use axum::{Json, Router};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use companion_protocol::{Effect, EffectResult, ElicitState};
use http_body_util::Full;
use serde_json::{Value, json};

use super::approval_stage::{ask, begin};
use super::client::{DIGEST, Running, send};

/// What the provider asks to be left alone for.
const INTERVAL: Duration = Duration::from_secs(1);

#[derive(Default)]
struct Op {
    /// Forms of the backchannel endpoint.
    asked: Mutex<Vec<String>>,
    /// How often the token endpoint was asked.
    polls: Mutex<usize>,
    /// What it answers next.
    answers: Mutex<VecDeque<(u16, Value)>>,
}

struct Stage {
    op: Arc<Op>,
    running: Running,
}

impl Stage {
    async fn set(extra: Value, answers: Vec<(u16, Value)>) -> Self {
        let op = Arc::new(Op::default());
        op.answers.lock().expect("a lock").extend(answers);
        let backchannel = async |State(op): State<Arc<Op>>, body: Bytes| {
            op.asked
                .lock()
                .expect("a lock")
                .push(String::from_utf8_lossy(&body).into_owned());
            Json(json!({"auth_req_id": "req-1", "expires_in": 120, "interval": INTERVAL.as_secs()}))
        };
        let token = async |State(op): State<Arc<Op>>| {
            *op.polls.lock().expect("a lock") += 1;
            let next = op.answers.lock().expect("a lock").pop_front();
            let (status, body) = next.unwrap_or((400, json!({"error": "authorization_pending"})));
            (StatusCode::from_u16(status).expect("a status"), Json(body))
        };
        let routes = Router::new()
            .route("/bc", post(backchannel))
            .route("/token", post(token))
            .with_state(Arc::clone(&op));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("binds");
        let at = listener.local_addr().expect("an address");
        tokio::spawn(axum::serve(listener, routes).into_future());
        let secret = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(secret.path(), "s3cret").expect("writes");
        let mut ciba = json!({"kind": "ciba", "backchannel_endpoint": format!("http://{at}/bc"),
            "token_endpoint": format!("http://{at}/token"), "allow_http": true, "client_id": "agent", "timeout_ms": 60_000,
            "client_secret": {"file": secret.path().display().to_string()}});
        ciba.as_object_mut()
            .expect("an object")
            .extend(extra.as_object().cloned().expect("an object"));
        let running = Running::with(json!({
            "version": 1, "policy_digest": DIGEST, "elicitors": {"manager": ciba},
            "approvals": {"public_url": "http://approvals.test", "allow_http": true},
        }))
        .await;
        Self { op, running }
    }

    async fn begin(&self) -> String {
        match self.running.one(Effect::ElicitBegin(Box::new(begin("1")))).await {
            EffectResult::Elicitation(begun) => begun.id,
            other => panic!("{other:?}"),
        }
    }

    async fn check(&self, id: &str) -> EffectResult {
        self.running.one(Effect::ElicitCheck(ask(id, "1"))).await
    }

    fn polls(&self) -> usize {
        *self.op.polls.lock().expect("a lock")
    }
}

fn state(result: &EffectResult) -> ElicitState {
    match result {
        EffectResult::Elicitation(elicitation) => elicitation.state,
        other => panic!("{other:?}"),
    }
}

fn tokens(who: &str) -> Value {
    let claims = json!({"iss": "https://op", "aud": "agent", "exp": 9_999_999_999_u64, "sub": "x",
        "preferred_username": who});
    json!({"access_token": "a", "token_type": "Bearer",
        "id_token": format!("e30.{}.x", URL_SAFE_NO_PAD.encode(claims.to_string()))})
}

async fn interval() {
    tokio::time::sleep(INTERVAL + Duration::from_millis(100)).await;
}

#[tokio::test]
async fn it_is_polled_at_its_pace_and_its_answer_is_redeemed_once() {
    let stage = Stage::set(json!({}), Vec::new()).await;
    let begun = Instant::now();
    let id = stage.begin().await;
    let form = stage.op.asked.lock().expect("a lock").remove(0);
    assert!(
        form.contains("login_hint=alice") && form.contains("requested_expiry=300"),
        "{form}"
    );
    assert!(form.contains("-pay-the-ibilli"), "{form}");
    // However long these take: one question an interval, the first of them after one.
    for _ in 0..3 {
        for _ in 0..5 {
            assert_eq!(state(&stage.check(&id).await), ElicitState::Pending);
        }
        let (polls, most) = (stage.polls(), begun.elapsed().as_secs() / INTERVAL.as_secs());
        assert!(polls as u64 <= most, "{polls} questions in {most} intervals");
        interval().await;
    }
    let asked = stage.polls();
    assert!(asked >= 2);
    stage
        .op
        .answers
        .lock()
        .expect("a lock")
        .push_back((200, tokens("alice")));
    let redeem = Effect::ElicitRedeem(ask(&id, "1"));
    assert_eq!(
        state(&stage.running.one(redeem.clone()).await),
        ElicitState::Approved
    );
    assert_eq!(stage.polls(), asked + 1);
    let log = std::fs::read_to_string(stage.running.audit_log()).expect("a log");
    assert_eq!(log.matches("aplomb.approvals.answer").count(), 1);
}

#[tokio::test]
async fn slow_down_slows_down() {
    let stage = Stage::set(json!({}), vec![(400, json!({"error": "slow_down"}))]).await;
    let id = stage.begin().await;
    interval().await;
    stage.check(&id).await;
    assert_eq!(stage.polls(), 1);
    let told = Instant::now();
    interval().await;
    stage.check(&id).await;
    // Five seconds more, says the specification; a machine that took them has shown nothing.
    assert!(stage.polls() == 1 || told.elapsed() >= INTERVAL + Duration::from_secs(5));
}

#[tokio::test]
async fn a_denial_and_an_end_are_told_apart() {
    for (error, expected) in [
        ("access_denied", ElicitState::Denied),
        ("expired_token", ElicitState::Expired),
    ] {
        let stage = Stage::set(json!({}), vec![(400, json!({"error": error}))]).await;
        let id = stage.begin().await;
        interval().await;
        assert_eq!(state(&stage.check(&id).await), expected);
        assert_eq!(state(&stage.check(&id).await), expected);
    }
}

#[tokio::test]
async fn somebody_elses_answer_is_no_approval_and_the_providers_words_stay_out() {
    let told = (
        400,
        json!({"error": "invalid_grant", "error_description": "hunter2"}),
    );
    let stage = Stage::set(
        json!({"issuer": "https://op"}),
        vec![told, (200, tokens("mallory"))],
    )
    .await;
    let id = stage.begin().await;
    interval().await;
    let EffectResult::Denied { code, reason } = stage.check(&id).await else {
        panic!("the provider refused")
    };
    assert_eq!(code, "elicitation.op_rejected");
    assert!(!reason.contains("hunter2") && !reason.contains("invalid_grant"));
    interval().await;
    let EffectResult::Failed { code, .. } = stage.check(&id).await else {
        panic!("somebody else answered")
    };
    assert_eq!(code, "elicitation.bad_response");
    assert_eq!(state(&stage.check(&id).await), ElicitState::Expired);
}

#[tokio::test]
async fn a_requester_is_not_asked_for_their_own_approval() {
    let stage = Stage::set(json!({}), Vec::new()).await;
    let mut own = begin("1");
    own.from = "BOB".to_owned();
    let refused = stage.running.one(Effect::ElicitBegin(Box::new(own))).await;
    assert!(matches!(refused, EffectResult::Denied { code, .. } if code == "elicitation.bad_request"));
    assert!(stage.op.asked.lock().expect("a lock").is_empty());
}

#[tokio::test]
async fn with_ping_nothing_is_asked_until_the_provider_calls() {
    let stage = Stage::set(json!({"delivery": "ping"}), vec![(200, tokens("alice"))]).await;
    let id = stage.begin().await;
    let form = stage.op.asked.lock().expect("a lock").remove(0);
    let token = form.split("client_notification_token=").nth(1).expect("a token");
    let token = token.split('&').next().expect("ends").to_owned();
    interval().await;
    assert_eq!(state(&stage.check(&id).await), ElicitState::Pending);
    assert_eq!(stage.polls(), 0);
    for (bearer, request, expected) in [
        ("0", "req-1", 401),
        (&*format!("{}.0", &id[..32]), "req-1", 401),
        (&token, "req-2", 401),
        (&token, "req-1", 204),
    ] {
        let ping = Request::post(format!("http://{}/v1/ciba/notify", stage.running.address))
            .header("authorization", format!("Bearer {bearer}"))
            .header("content-type", "application/json")
            .body(Full::new(Bytes::from(
                json!({"auth_req_id": request}).to_string(),
            )))
            .expect("a request");
        assert_eq!(send(ping).await.expect("an answer").status, expected);
    }
    assert_eq!(state(&stage.check(&id).await), ElicitState::Approved);
    assert_eq!(stage.polls(), 1);
}
