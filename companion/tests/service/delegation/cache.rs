//! Minted tokens are given out again: to the same caller for the same thing, while they live, and to nobody else.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::http::StatusCode;
use companion_protocol::{Effect, EffectResult, SubjectKind, TokenExchange};
use serde_json::{Value, json};

use super::{exchange, ok, refusal};
use crate::client::{Running, config, get};
use crate::fault_idp::{FaultIdp, Script, honest, honest_claims, honest_with, jwt, now_s};

/// Every token is another one, and speaks for whoever sent its own.
async fn counting() -> FaultIdp {
    let minted = AtomicU64::new(0);
    FaultIdp::answering(move |asked| {
        let number = minted.fetch_add(1, Ordering::Relaxed);
        let mut claims = honest_claims();
        claims["jti"] = json!(number);
        claims["aud"] = json!(asked.form["audience"]);
        if asked
            .form
            .get("subject_token")
            .is_some_and(|token| token == "eves-token")
        {
            claims["sub"] = json!("eve");
        }
        let mut body = honest_with(&claims);
        body["scope"] = json!(asked.form.get("scope").cloned().unwrap_or_default());
        Script::Json(StatusCode::OK, body)
    })
    .await
}

async fn token(companion: &Running, asked: &TokenExchange) -> String {
    match companion.one(Effect::TokenExchange(asked.clone())).await {
        EffectResult::Granted(grant) => grant.token,
        other => panic!("not granted: {other:?}"),
    }
}

#[tokio::test]
async fn the_same_question_gets_the_same_token_and_every_other_one_its_own() {
    let idp = counting().await;
    let companion = Running::with(config(&idp.endpoint())).await;
    let first = token(&companion, &exchange()).await;
    assert_eq!(token(&companion, &exchange()).await, first);
    assert_eq!(idp.asked().len(), 1);
    let others = [
        TokenExchange {
            subject_token: Some("eves-token".to_owned()),
            expected_sub: Some("eve".to_owned()),
            ..exchange()
        },
        TokenExchange {
            subject_token: Some("bobs-new-token".to_owned()),
            ..exchange()
        },
        TokenExchange {
            subject: SubjectKind::Client,
            ..exchange()
        },
        TokenExchange {
            target: "api-2".to_owned(),
            ..exchange()
        },
        TokenExchange {
            audience: "api-2".to_owned(),
            ..exchange()
        },
        TokenExchange {
            permissions: Vec::new(),
            ..exchange()
        },
        TokenExchange {
            subject: SubjectKind::ThisWorkload,
            subject_token: None,
            expected_sub: None,
            ..exchange()
        },
    ];
    let mut seen = vec![first];
    for other in &others {
        let own = token(&companion, other).await;
        assert!(!seen.contains(&own), "{other:?}");
        assert_eq!(token(&companion, other).await, own, "{other:?}");
        seen.push(own);
    }
    assert_eq!(idp.asked().len(), 1 + others.len());
    let metrics = String::from_utf8(get(companion.address, "/metrics").await.body.to_vec()).expect("text");
    assert!(
        metrics.contains(r#"aplomb_companion_token_cache_total{outcome="minted"} 8"#),
        "{metrics}"
    );
    assert!(
        metrics.contains(r#"aplomb_companion_token_cache_total{outcome="held"} 8"#),
        "{metrics}"
    );
}

#[tokio::test]
async fn one_delegator_never_answers_for_another() {
    let idp = counting().await;
    let mut config = config(&idp.endpoint());
    let mut twin = config["delegators"]["d"].clone();
    twin["client_id"] = json!("another");
    config["delegators"]["e"] = twin;
    let companion = Running::with(config).await;
    let of_e = TokenExchange {
        delegator: "e".to_owned(),
        ..exchange()
    };
    assert_ne!(
        token(&companion, &exchange()).await,
        token(&companion, &of_e).await
    );
}

#[tokio::test]
async fn many_at_once_are_one_exchange() {
    let idp = FaultIdp::scripted(Script::Slow(Duration::from_millis(300), honest())).await;
    let companion = Arc::new(Running::with(config(&idp.endpoint())).await);
    let callers: Vec<_> = (0..20)
        .map(|_| {
            let companion = Arc::clone(&companion);
            tokio::spawn(async move { token(&companion, &exchange()).await })
        })
        .collect();
    for caller in callers {
        caller.await.expect("joins");
    }
    assert_eq!(idp.asked().len(), 1);
}

#[tokio::test]
async fn a_failure_is_shared_by_those_who_wait_and_kept_for_nobody() {
    let idp = FaultIdp::scripted(Script::Json(StatusCode::BAD_GATEWAY, json!({}))).await;
    let companion = Running::with(config(&idp.endpoint())).await;
    let result = companion.one(Effect::TokenExchange(exchange())).await;
    assert_eq!(refusal(result).0, "delegation.idp_rejected");
    idp.now(ok(honest()));
    token(&companion, &exchange()).await;
    assert_eq!(idp.asked().len(), 2);
}

#[tokio::test]
async fn a_lie_is_not_kept() {
    let mut claims = honest_claims();
    claims["sub"] = json!("eve");
    let idp = FaultIdp::scripted(ok(honest_with(&claims))).await;
    let companion = Running::with(config(&idp.endpoint())).await;
    for _ in 0..2 {
        let result = companion.one(Effect::TokenExchange(exchange())).await;
        assert_eq!(refusal(result).0, "delegation.subject_mismatch");
    }
    assert_eq!(idp.asked().len(), 2);
}

#[tokio::test]
async fn a_token_ends_in_the_cache_before_it_ends() {
    // On a machine too busy for two questions within the life of a token, with a longer life.
    for life_s in [2, 8, 32, 128] {
        let ends = now_s() + life_s;
        let claims = json!({"sub": "bob", "aud": "api", "scope": "read", "exp": ends});
        let short = json!({"access_token": jwt(&claims), "token_type": "Bearer", "scope": "read",
            "issued_token_type": "urn:ietf:params:oauth:token-type:access_token"});
        let idp = FaultIdp::scripted(ok(short)).await;
        let companion = Running::with(config(&idp.endpoint())).await;
        for _ in 0..2 {
            let _ = companion.one(Effect::TokenExchange(exchange())).await;
        }
        // Its last quarter is not given out.
        if now_s() >= ends - life_s / 4 - 1 {
            continue;
        }
        assert_eq!(idp.asked().len(), 1);
        while now_s() < ends {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        // It has ended, and is asked for anew; that the provider says the same again is another matter.
        let _ = companion.one(Effect::TokenExchange(exchange())).await;
        assert_eq!(idp.asked().len(), 2);
        return;
    }
    panic!("a minute and a half were not enough for two questions");
}

#[tokio::test]
async fn without_a_cache_every_call_asks_and_the_proxy_is_told_to_keep_nothing() {
    let idp = counting().await;
    let mut config = config(&idp.endpoint());
    config["delegators"]["d"]["cache_ttl_s"] = json!(0);
    let companion = Running::with(config).await;
    for _ in 0..2 {
        match companion.one(Effect::TokenExchange(exchange())).await {
            EffectResult::Granted(grant) => assert!(grant.no_store),
            other => panic!("not granted: {other:?}"),
        }
    }
    assert_eq!(idp.asked().len(), 2);
}

#[tokio::test]
async fn a_backends_own_secret_is_handed_out_as_it_is_and_never_narrowed() {
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), "backend-key\n").expect("writes");
    let config: Value = json!({"version": 1, "policy_digest": crate::client::DIGEST, "delegators": {"d": {
        "kind": "secret", "secret": {"file": file.path()}, "outbound_header": "x-api-key", "outbound_prefix": ""}}});
    let companion = Running::with(config).await;
    let plain = TokenExchange {
        permissions: Vec::new(),
        ..exchange()
    };
    match companion.one(Effect::TokenExchange(plain.clone())).await {
        EffectResult::Granted(grant) => {
            assert_eq!(
                (grant.token.as_str(), grant.outbound_header.as_str()),
                ("backend-key", "x-api-key")
            );
            assert!(grant.expires_at <= now_s() + 60 && grant.permissions.is_empty());
        }
        other => panic!("not granted: {other:?}"),
    }
    for asked in [
        exchange(),
        TokenExchange {
            actor_token: Some("a".to_owned()),
            ..plain
        },
    ] {
        let result = companion.one(Effect::TokenExchange(asked)).await;
        assert_eq!(refusal(result).0, "delegation.bad_request");
    }
}
