//! Who acts for the subject (RFC 8693 sections 4.1 and 4.4).
//!
//! The tokens are the proxy's: it has verified them. Here only what they claim is compared.

use serde_json::{Map, Value};

use super::DelegationError;
use super::jwt;
use crate::config::OauthClient;

/// Checks that whoever acts may, and that not too many do. Gives the actor's `sub`, which the minted token has to name.
pub(super) fn check(
    client: &OauthClient,
    subject_token: &str,
    actor_token: Option<&str>,
) -> Result<Option<String>, DelegationError> {
    let subject = jwt::payload(subject_token);
    let actor = actor_token.map(jwt::payload);
    if let Some(may_act) = subject.as_ref().and_then(|claims| claims.get("may_act")) {
        let subject = subject.as_ref();
        let allowed = match &actor {
            None => names_client(may_act, &client.oauth.client_id, subject),
            Some(actor) => actor.as_ref().is_some_and(|actor| names(may_act, actor)),
        };
        if !allowed {
            return Err(DelegationError::ActorNotAllowed);
        }
    }
    let joins = u32::from(actor.is_some());
    let depth = subject.as_ref().map_or(0, depth).saturating_add(joins);
    too_deep(client.oauth.max_depth, depth)?;
    match actor {
        None => Ok(None),
        Some(actor) => {
            let sub = actor
                .as_ref()
                .and_then(|actor| actor.get("sub"))
                .and_then(Value::as_str);
            match sub {
                Some(sub) if !sub.is_empty() => Ok(Some(sub.to_owned())),
                // Without strict validation nobody compares it.
                Some(_) | None if !client.oauth.strict_response_validation => Ok(None),
                Some(_) | None => Err(DelegationError::BadRequest("the actor token names nobody")),
            }
        }
    }
}

/// Denies more than `most` actors.
pub(super) fn too_deep(most: Option<u32>, depth: u32) -> Result<(), DelegationError> {
    match most {
        Some(most) if depth > most => Err(DelegationError::TooDeep(most)),
        Some(_) | None => Ok(()),
    }
}

/// How many parties act, one for the other.
pub(super) fn depth(claims: &Map<String, Value>) -> u32 {
    chain_length(claims.get("act"))
}

/// The same of an `act` claim alone.
pub(super) fn chain_length(act: Option<&Value>) -> u32 {
    let mut found = 0_u32;
    let mut next = act;
    while let Some(actor) = next.and_then(Value::as_object) {
        found = found.saturating_add(1);
        next = actor.get("act");
    }
    found
}

/// Whether every claim of `may_act` is the actor's. One that names nobody lets nobody act.
fn names(may_act: &Value, actor: &Map<String, Value>) -> bool {
    let Some(may_act) = may_act.as_object().filter(|may_act| !may_act.is_empty()) else {
        return false;
    };
    may_act.iter().all(|(name, wanted)| {
        let own = match name.as_str() {
            // One claim with two names (RFC 9068 and OpenID Connect).
            "client_id" => actor.get("client_id").or_else(|| actor.get("azp")),
            _ => actor.get(name),
        };
        own == Some(wanted)
    })
}

/// The same without an actor's token: then the gateway's own client acts, at the provider that issued the subject's token.
fn names_client(may_act: &Value, client_id: &str, subject: Option<&Map<String, Value>>) -> bool {
    let mut client = Map::new();
    client.insert("sub".to_owned(), client_id.into());
    client.insert("client_id".to_owned(), client_id.into());
    if let Some(issuer) = subject.and_then(|subject| subject.get("iss")) {
        client.insert("iss".to_owned(), issuer.clone());
    }
    names(may_act, &client)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn claims(value: Value) -> Map<String, Value> {
        serde_json::from_value(value).expect("an object")
    }

    #[test]
    fn may_act_lets_act_whom_it_names_wholly() {
        let agent = claims(json!({"sub": "agent", "iss": "i", "azp": "agent-client"}));
        for may_act in [
            json!({"sub": "agent"}),
            json!({"sub": "agent", "iss": "i"}),
            json!({"client_id": "agent-client"}),
        ] {
            assert!(names(&may_act, &agent), "{may_act}");
        }
        for may_act in [
            json!({}),
            json!("agent"),
            json!(null),
            json!({"sub": "other"}),
            json!({"sub": "agent", "iss": "j"}),
            json!({"sub": "agent", "unknown": true}),
            json!({"sub": ["agent"]}),
        ] {
            assert!(!names(&may_act, &agent), "{may_act}");
        }
    }

    #[test]
    fn a_chain_is_as_deep_as_actors_stand_in_it() {
        assert_eq!(depth(&claims(json!({"sub": "u"}))), 0);
        assert_eq!(depth(&claims(json!({"act": {"sub": "a"}}))), 1);
        assert_eq!(
            depth(&claims(json!({"act": {"sub": "a", "act": {"sub": "b"}}}))),
            2
        );
        assert_eq!(depth(&claims(json!({"act": "a"}))), 0);
        assert!(too_deep(Some(1), 2).is_err() && too_deep(Some(2), 2).is_ok() && too_deep(None, 9).is_ok());
    }
}
