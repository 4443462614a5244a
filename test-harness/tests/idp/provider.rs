//! Runs a provider and speaks OAuth with it.

use std::net::SocketAddr;

use aplomb_test_harness::idp::{DevIdp, Options};
use axum::body::Bytes;
use axum::http::{Request, StatusCode};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use serde_json::Value;

pub(crate) const AGENT: (&str, &str) = ("hr-copilot", "hr-copilot-secret");
pub(crate) const GATEWAY: (&str, &str) = ("praxis-gateway", "praxis-gateway-secret");

pub(crate) struct Provider {
    pub(crate) address: SocketAddr,
    pub(crate) token_endpoint: String,
    pub(crate) jwks_url: String,
}

impl Provider {
    pub(crate) async fn start() -> Self {
        let listen = "127.0.0.1:0".parse().expect("an address");
        let options = Options {
            control: true,
            ..Options::default()
        };
        let idp = DevIdp::bind(listen, options).await.expect("binds");
        let provider = Self {
            address: idp.address(),
            token_endpoint: idp.token_endpoint(),
            jwks_url: idp.jwks_url(),
        };
        tokio::spawn(idp.run(std::future::pending()));
        provider
    }

    /// A token request with `client_secret_basic`.
    pub(crate) async fn token(&self, client: (&str, &str), form: &[(&str, &str)]) -> (StatusCode, Value) {
        let basic = STANDARD.encode(format!("{}:{}", client.0, client.1));
        let body = form_urlencoded::Serializer::new(String::new())
            .extend_pairs(form)
            .finish();
        let request = Request::post(&self.token_endpoint)
            .header("content-type", "application/x-www-form-urlencoded")
            .header("authorization", format!("Basic {basic}"))
            .body(Full::new(Bytes::from(body)))
            .expect("a request");
        send(request).await
    }

    pub(crate) async fn user_token(&self, user: &str) -> String {
        let form = [("grant_type", "password"), ("username", user), ("password", user)];
        let (status, body) = self.token(AGENT, &form).await;
        assert_eq!(status, StatusCode::OK, "{body}");
        access_token(&body)
    }

    /// The gateway exchanges a user's token.
    pub(crate) async fn exchange(&self, subject: &str, audience: &str, scope: &str) -> (StatusCode, Value) {
        let form = [
            ("grant_type", "urn:ietf:params:oauth:grant-type:token-exchange"),
            ("subject_token", subject),
            (
                "subject_token_type",
                "urn:ietf:params:oauth:token-type:access_token",
            ),
            ("audience", audience),
            ("scope", scope),
        ];
        self.token(GATEWAY, &form).await
    }

    pub(crate) async fn control(&self, change: &str) {
        let request = Request::post(format!("http://{}/control", self.address))
            .header("content-type", "application/json")
            .body(Full::new(Bytes::from(change.to_owned())))
            .expect("a request");
        assert_eq!(send(request).await.0, StatusCode::OK);
    }

    pub(crate) async fn get(&self, url: &str) -> Value {
        let request = Request::get(url).body(Full::default()).expect("a request");
        send(request).await.1
    }

    pub(crate) async fn log(&self) -> Value {
        self.get(&format!("http://{}/control/log", self.address)).await
    }
}

pub(crate) fn access_token(body: &Value) -> String {
    body["access_token"].as_str().expect("a token").to_owned()
}

pub(crate) fn claims(token: &str) -> Value {
    let payload = token.split('.').nth(1).expect("a payload");
    let bytes = URL_SAFE_NO_PAD.decode(payload).expect("base64url");
    serde_json::from_slice(&bytes).expect("JSON")
}

pub(crate) async fn send(request: Request<Full<Bytes>>) -> (StatusCode, Value) {
    let client = Client::builder(TokioExecutor::new()).build_http();
    let response = client.request(request).await.expect("an answer");
    let status = response.status();
    let body = response.into_body().collect().await.expect("a body").to_bytes();
    (status, serde_json::from_slice(&body).unwrap_or_default())
}
