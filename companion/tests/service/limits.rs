//! Requests that are not effects get a clear 4xx.

use axum::body::Bytes;
use axum::http::{Request, StatusCode};
use companion_protocol::{MAX_EFFECTS, MAX_REQUEST_BYTES, OnFail};
use http_body_util::Full;

use crate::client::{DIGEST, Running, call, config, get, load, options, post, request, send};

async fn companion() -> Running {
    Running::with(config("http://127.0.0.1:1/token")).await
}

#[tokio::test]
async fn refuses_bodies_that_are_not_effects_requests() {
    let companion = companion().await;
    for body in [
        "",
        "<html>",
        "[]",
        "{}",
        r#"{"policy_digest":1}"#,
        r#"["d","i",[]]"#,
    ] {
        let answer = post(companion.address, body.as_bytes().to_vec()).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{body}");
        assert_eq!(answer.error_code(), "companion.bad_request");
    }
}

#[tokio::test]
async fn the_answer_does_not_quote_what_was_sent() {
    let companion = companion().await;
    let body = br#"{"policy_digest":{"secret-token":1}}"#.to_vec();
    let answer = post(companion.address, body).await;
    assert!(!String::from_utf8_lossy(&answer.body).contains("secret-token"));
}

#[tokio::test]
async fn refuses_a_body_over_the_limit() {
    let companion = companion().await;
    let answer = post(companion.address, vec![b' '; MAX_REQUEST_BYTES + 1]).await;
    assert_eq!(answer.status, StatusCode::PAYLOAD_TOO_LARGE);
    assert_eq!(answer.error_code(), "companion.too_large");
}

#[tokio::test]
async fn refuses_more_effects_than_the_limit_and_performs_none() {
    let companion = companion().await;
    let calls = |n| (0..n).map(|_| call(load('a'), OnFail::Stop)).collect();
    let answer = post(companion.address, request(DIGEST, calls(MAX_EFFECTS + 1))).await;
    assert_eq!(answer.status, StatusCode::BAD_REQUEST);
    assert_eq!(answer.error_code(), "companion.too_many_effects");
    assert_eq!(companion.effects(calls(MAX_EFFECTS)).await.len(), MAX_EFFECTS);
}

#[tokio::test]
async fn refuses_other_content_types_encodings_methods_and_paths() {
    let companion = companion().await;
    let base = format!("http://{}", companion.address);
    let effects = format!("{base}/v1/effects");
    let body = || Full::new(Bytes::from(request(DIGEST, Vec::new())));
    let cases = [
        (
            Request::post(&effects).body(body()),
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "companion.media_type",
        ),
        (
            Request::post(&effects)
                .header("content-type", "text/plain")
                .body(body()),
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "companion.media_type",
        ),
        (
            Request::post(&effects)
                .header("content-type", "application/json")
                .header("content-encoding", "gzip")
                .body(body()),
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "companion.media_type",
        ),
        (
            Request::get(&effects).body(body()),
            StatusCode::METHOD_NOT_ALLOWED,
            "companion.method_not_allowed",
        ),
        (
            Request::get(format!("{base}/nowhere")).body(body()),
            StatusCode::NOT_FOUND,
            "companion.not_found",
        ),
    ];
    for (request, status, code) in cases {
        let answer = send(request.expect("a request")).await.expect("an answer");
        assert_eq!((answer.status, answer.error_code().as_str()), (status, code));
    }
    let charset = Request::post(&effects)
        .header("content-type", "application/json; charset=utf-8")
        .body(body())
        .expect("a request");
    assert_eq!(send(charset).await.expect("an answer").status, StatusCode::OK);
}

#[tokio::test]
async fn with_a_token_set_only_probes_go_without_it() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut options = options(&directory, &config("http://127.0.0.1:1/token"));
    // `PATH` is set everywhere, and tests must not change the environment of their neighbours.
    options.token_env = Some("PATH".to_owned());
    let companion = Running::with_options(directory, &options).await;
    for path in ["/healthz", "/readyz"] {
        assert_eq!(get(companion.address, path).await.status, StatusCode::OK);
    }
    for path in ["/metrics", "/v1/jwks?issuer=x", "/nowhere"] {
        let answer = get(companion.address, path).await;
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{path}");
        assert_eq!(answer.headers["www-authenticate"], "Bearer");
    }
    assert_eq!(
        post(companion.address, request(DIGEST, Vec::new()))
            .await
            .error_code(),
        "companion.unauthorized"
    );
    for (token, status) in [
        (
            format!("Bearer {}", std::env::var("PATH").expect("set")),
            StatusCode::OK,
        ),
        ("Bearer wrong".to_owned(), StatusCode::UNAUTHORIZED),
    ] {
        let request = Request::get(format!("http://{}/metrics", companion.address))
            .header("authorization", token)
            .body(Full::default())
            .expect("a request");
        assert_eq!(send(request).await.expect("an answer").status, status);
    }
}
