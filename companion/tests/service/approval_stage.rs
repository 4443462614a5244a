//! A companion with approval pages, an identity provider that signs in whom the test says, and a browser's moves.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use axum::body::Bytes;
use axum::extract::State;
use axum::http::Request;
use axum::routing::post;
use axum::{Json, Router};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use companion_protocol::{
    Binding, Effect, EffectCall, EffectResult, ElicitAsk, ElicitBegin, ElicitKind, Elicitation, OnFail,
    Requester, Shown,
};
use http_body_util::Full;
use serde_json::{Value, json};

use super::client::{Answer, DIGEST, Running, call, get, send};

/// What the next token response says of whoever signs in.
pub(crate) type Claims = Arc<Mutex<Value>>;

/// A companion with pages, and a provider that signs in whom the test says.
pub(crate) struct Stage {
    pub(crate) running: Running,
    pub(crate) claims: Claims,
    pub(crate) origin: String,
}

pub(crate) async fn provider(claims: Claims) -> SocketAddr {
    let token = async |State(claims): State<Claims>| {
        let claims = claims.lock().expect("a lock").to_string();
        let token = format!("e30.{}.x", URL_SAFE_NO_PAD.encode(claims));
        Json(json!({"access_token": "a", "token_type": "Bearer", "id_token": token}))
    };
    let routes = Router::new().route("/token", post(token)).with_state(claims);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("binds");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(axum::serve(listener, routes).into_future());
    address
}

impl Stage {
    pub(crate) async fn set(page: Value) -> Self {
        let claims = Claims::default();
        let provider = provider(Arc::clone(&claims)).await;
        let origin = "http://approvals.test".to_owned();
        let mut elicitor = json!({"kind": "page"});
        elicitor
            .as_object_mut()
            .expect("an object")
            .extend(page.as_object().cloned().unwrap_or_default());
        let config = json!({
            "version": 1, "policy_digest": DIGEST,
            "approvals": {"public_url": origin, "allow_http": true, "sign_in": {
                "issuer": "https://op", "authorization_endpoint": "http://op.test/authorize?a=b",
                "token_endpoint": format!("http://{provider}/token"), "client_id": "pages"}},
            "elicitors": {"manager": elicitor},
        });
        Self {
            running: Running::with(config).await,
            claims,
            origin,
        }
    }

    pub(crate) async fn elicit(&self, effect: Effect, key: &str) -> Elicitation {
        let asked = EffectCall {
            idempotency_key: key.to_owned(),
            ..call(effect, OnFail::Stop)
        };
        match self.running.effects(vec![asked]).await.remove(0) {
            EffectResult::Elicitation(elicitation) => elicitation,
            other => panic!("{other:?}"),
        }
    }

    /// Signs somebody in and returns their session cookie.
    pub(crate) async fn sign_in(&self, who: &str) -> String {
        let away = get(self.running.address, "/approvals/sign-in").await;
        let to = away.headers["location"].to_str().expect("text").to_owned();
        let (endpoint, query) = to.split_once("a=b&").expect("keeps the endpoint's own query");
        assert_eq!(endpoint, "http://op.test/authorize?");
        let value = |name: &str| {
            form_urlencoded::parse(query.as_bytes())
                .find(|(known, _)| known == name)
                .expect("is there")
                .1
                .into_owned()
        };
        assert_eq!(value("code_challenge_method"), "S256");
        *self.claims.lock().expect("a lock") = json!({"iss": "https://op", "aud": "pages", "exp": 9_999_999_999_u64,
            "nonce": value("nonce"), "sub": format!("id-{who}"), "preferred_username": who});
        let login = cookie(&away, "aplomb_login");
        let path = format!("/approvals/callback?code=c&state={}", value("state"));
        let back = self.get(&path, &login).await;
        assert_eq!(back.status, 200, "{:?}", back.body);
        cookie(&back, "aplomb_session")
    }

    pub(crate) async fn get(&self, path: &str, cookie: &str) -> Answer {
        let request = Request::get(format!("http://{}{path}", self.running.address))
            .header("cookie", cookie)
            .body(Full::default())
            .expect("a request");
        send(request).await.expect("an answer")
    }

    pub(crate) async fn post(&self, path: &str, cookie: &str, origin: &str, form: &[(&str, &str)]) -> Answer {
        let body = form_urlencoded::Serializer::new(String::new())
            .extend_pairs(form)
            .finish();
        let request = Request::post(format!("http://{}{path}", self.running.address))
            .header("cookie", cookie)
            .header("origin", origin)
            .header("content-type", "application/x-www-form-urlencoded")
            .body(Full::new(Bytes::from(body)))
            .expect("a request");
        send(request).await.expect("an answer")
    }

    /// Opens a request as somebody and answers it.
    pub(crate) async fn decide(&self, id: &str, cookie: &str, decision: &str) -> Answer {
        let path = format!("/approvals/{}", &id[..32]);
        let page = text(&self.get(&path, cookie).await);
        let (csrf, nonce) = (hidden(&page, "csrf"), hidden(&page, "nonce"));
        let form = [
            ("csrf", &*csrf),
            ("nonce", &nonce),
            ("decision", decision),
            ("note", "<b>fine</b>"),
        ];
        self.post(&path, cookie, &self.origin, &form).await
    }
}

pub(crate) fn cookie(answer: &Answer, name: &str) -> String {
    answer
        .headers
        .get_all("set-cookie")
        .into_iter()
        .filter_map(|value| value.to_str().ok()?.split(';').next())
        .find(|pair| pair.starts_with(name))
        .expect("a cookie")
        .to_owned()
}

pub(crate) fn text(answer: &Answer) -> String {
    String::from_utf8(answer.body.to_vec()).expect("text")
}

pub(crate) fn hidden(page: &str, name: &str) -> String {
    // The last one: the first form of a page signs out.
    let (_, rest) = page
        .rsplit_once(&format!("name=\"{name}\" value=\""))
        .expect("a field");
    rest.split_once('"').expect("ends").0.to_owned()
}

pub(crate) fn binding(args: &str) -> Binding {
    Binding {
        requester: "a".repeat(64),
        route: "tool:pay".to_owned(),
        operation: "pay".to_owned(),
        args_digest: args.to_owned(),
        policy_digest: DIGEST.to_owned(),
        step: "routes.tool:pay.pre_invocation[0]".to_owned(),
    }
}

pub(crate) fn begin(args: &str) -> ElicitBegin {
    ElicitBegin {
        plugin: "manager".to_owned(),
        verb: ElicitKind::Approval,
        requester: Requester {
            subject: "id-bob".to_owned(),
            name: "Bob <script>alert(1)</script>".to_owned(),
            known_as: vec!["bob".to_owned()],
        },
        from: "alice".to_owned(),
        channel: None,
        purpose: Some("pay the <i>bill</i>".to_owned()),
        scope_text: None,
        timeout_s: None,
        binding: binding(args),
        shown: vec![Shown {
            name: "args.amount".to_owned(),
            value: "\"><img src=x>".to_owned(),
        }],
    }
}

pub(crate) fn ask(id: &str, args: &str) -> Box<ElicitAsk> {
    Box::new(ElicitAsk {
        plugin: "manager".to_owned(),
        id: id.to_owned(),
        from: "alice".to_owned(),
        binding: binding(args),
    })
}

pub(crate) fn start(args: &str) -> Effect {
    Effect::ElicitBegin(Box::new(begin(args)))
}

impl Stage {
    /// Answers a request whose form is gone, as a second browser tab would.
    pub(crate) async fn decide_closed(&self, id: &str, cookie: &str) -> Answer {
        let path = format!("/approvals/{}", &id[..32]);
        let page = text(&self.get(&path, cookie).await);
        assert!(!page.contains("value=\"approve\""));
        let csrf = hidden(&page, "csrf");
        let form = [("csrf", &*csrf), ("nonce", &id[33..]), ("decision", "approve")];
        self.post(&path, cookie, &self.origin, &form).await
    }
}
