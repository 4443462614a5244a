//! Who acts for whom: `may_act`, the actor in the minted token, and how many may stand behind one another.

use axum::http::StatusCode;
use companion_protocol::{Effect, EffectResult, SubjectKind, TokenExchange};
use serde_json::{Value, json};

use super::{exchange, ok, refusal};
use crate::client::{Running, config};
use crate::fault_idp::{FaultIdp, Script, honest_claims, honest_with, jwt};

/// The user's token, the agent's, and what the provider claims of the token that it mints.
struct Case {
    subject: Value,
    actor: Option<Value>,
    minted: Value,
    delegator: Value,
}

fn case() -> Case {
    Case {
        subject: json!({"sub": "bob", "iss": "i"}),
        actor: Some(json!({"sub": "agent", "iss": "i"})),
        minted: json!({"act": {"sub": "agent"}}),
        delegator: json!({}),
    }
}

fn merge(into: &mut Value, members: &Value) {
    for (name, value) in members.as_object().expect("an object") {
        into[name] = value.clone();
    }
}

async fn outcome(case: Case) -> (EffectResult, FaultIdp) {
    let mut claims = honest_claims();
    merge(&mut claims, &case.minted);
    let idp = FaultIdp::scripted(ok(honest_with(&claims))).await;
    let mut config = config(&idp.endpoint());
    merge(&mut config["delegators"]["d"], &case.delegator);
    let companion = Running::with(config).await;
    let asked = TokenExchange {
        subject_token: Some(jwt(&case.subject)),
        actor_token: case.actor.as_ref().map(jwt),
        ..exchange()
    };
    (companion.one(Effect::TokenExchange(asked)).await, idp)
}

async fn code(case: Case) -> String {
    match outcome(case).await {
        (EffectResult::Granted(_), _) => "granted".to_owned(),
        (refused, _) => refusal(refused).0,
    }
}

#[tokio::test]
async fn the_actor_is_sent_and_must_stand_in_the_token() {
    let (result, idp) = outcome(case()).await;
    assert!(matches!(result, EffectResult::Granted(_)), "{result:?}");
    let form = idp.asked().remove(0).form;
    assert_eq!(form["actor_token"], jwt(&json!({"sub": "agent", "iss": "i"})));
    assert_eq!(form["actor_token_type"], "urn:ietf:params:oauth:token-type:jwt");
    for (what, minted, delegator, expected) in [
        (
            "another",
            json!({"act": {"sub": "other"}}),
            json!({}),
            "delegation.actor_mismatch",
        ),
        ("nobody", json!({}), json!({}), "delegation.actor_mismatch"),
        (
            "a nameless one",
            json!({"act": {}}),
            json!({}),
            "delegation.actor_mismatch",
        ),
        (
            "a text",
            json!({"act": "agent"}),
            json!({}),
            "delegation.actor_mismatch",
        ),
        (
            "nobody, by name",
            json!({}),
            json!({"accept_missing_actor": true}),
            "granted",
        ),
        (
            "another, all the same",
            json!({"act": {"sub": "other"}}),
            json!({"accept_missing_actor": true}),
            "delegation.actor_mismatch",
        ),
    ] {
        let case = Case {
            minted,
            delegator,
            ..case()
        };
        assert_eq!(code(case).await, expected, "{what}");
    }
}

#[tokio::test]
async fn may_act_says_who_may_and_everybody_else_is_denied_before_the_provider_is_asked() {
    let may = |may_act: Value| json!({"sub": "bob", "iss": "i", "may_act": may_act});
    for (what, subject, actor, expected) in [
        ("the agent", may(json!({"sub": "agent"})), true, "granted"),
        (
            "the agent of that issuer",
            may(json!({"sub": "agent", "iss": "i"})),
            true,
            "granted",
        ),
        (
            "another",
            may(json!({"sub": "other"})),
            true,
            "delegation.actor_not_allowed",
        ),
        (
            "the agent of another issuer",
            may(json!({"sub": "agent", "iss": "j"})),
            true,
            "delegation.actor_not_allowed",
        ),
        (
            "what we cannot compare",
            may(json!({"sub": "agent", "aal": 2})),
            true,
            "delegation.actor_not_allowed",
        ),
        ("nobody", may(json!({})), true, "delegation.actor_not_allowed"),
        (
            "a text",
            may(json!("agent")),
            true,
            "delegation.actor_not_allowed",
        ),
        // Without an actor the gateway's own client acts.
        (
            "the gateway",
            may(json!({"client_id": "gate way"})),
            false,
            "granted",
        ),
        (
            "an agent that is not sent",
            may(json!({"sub": "agent"})),
            false,
            "delegation.actor_not_allowed",
        ),
    ] {
        let actor = actor.then(|| json!({"sub": "agent", "iss": "i"}));
        let (result, idp) = outcome(Case {
            subject,
            actor,
            ..case()
        })
        .await;
        let found = match result {
            EffectResult::Granted(_) => "granted".to_owned(),
            refused => refusal(refused).0,
        };
        assert_eq!(found, expected, "{what}");
        assert_eq!(idp.asked().is_empty(), expected != "granted", "{what}");
    }
}

#[tokio::test]
async fn more_actors_than_max_depth_are_denied_before_and_after() {
    let deep = json!({"max_depth": 2});
    let chain = json!({"sub": "bob", "act": {"sub": "a", "act": {"sub": "b"}}});
    let once = json!({"sub": "bob", "act": {"sub": "a"}});
    let longer = json!({"act": {"sub": "agent", "act": {"sub": "a", "act": {"sub": "b"}}}});
    let two = json!({"act": {"sub": "agent", "act": {"sub": "a"}}});
    // Two stand in the subject's token, the agent would be the third.
    let case_of = |subject: &Value, minted: &Value| Case {
        subject: subject.clone(),
        minted: minted.clone(),
        delegator: deep.clone(),
        ..case()
    };
    assert_eq!(code(case_of(&once, &two)).await, "granted");
    let (result, idp) = outcome(case_of(&chain, &two)).await;
    assert_eq!(refusal(result).0, "delegation.too_deep");
    assert!(idp.asked().is_empty());
    // The provider adds more than it was given.
    assert_eq!(code(case_of(&once, &longer)).await, "delegation.too_deep");
    let none = Case {
        delegator: json!({"max_depth": 0}),
        ..case()
    };
    assert_eq!(code(none).await, "delegation.too_deep");
}

#[tokio::test]
async fn an_actor_belongs_to_users_and_clients_only_and_names_somebody() {
    let idp = FaultIdp::scripted(Script::Json(StatusCode::OK, json!({}))).await;
    let companion = Running::with(config(&idp.endpoint())).await;
    let named = Some(jwt(&json!({"sub": "agent"})));
    for asked in [
        TokenExchange {
            subject: SubjectKind::CallerWorkload,
            actor_token: named.clone(),
            ..exchange()
        },
        TokenExchange {
            subject: SubjectKind::ThisWorkload,
            subject_token: None,
            expected_sub: None,
            actor_token: named,
            ..exchange()
        },
        TokenExchange {
            actor_token: Some(String::new()),
            ..exchange()
        },
        TokenExchange {
            actor_token: Some("opaque".to_owned()),
            ..exchange()
        },
        TokenExchange {
            actor_token: Some(jwt(&json!({"sub": ""}))),
            ..exchange()
        },
    ] {
        let result = companion.one(Effect::TokenExchange(asked)).await;
        assert_eq!(refusal(result).0, "delegation.bad_request");
    }
    assert!(idp.asked().is_empty());
}
