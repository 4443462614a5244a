//! Delegators in `companion.json`.

use std::collections::BTreeMap;

use apl_compiler::{ClientProof, Delegator, OauthUse, RootKey};
use companion_protocol::config::{
    BiscuitDelegator, ClientAuth, DEFAULT_CACHE_TTL_S, DelegatorConfig, OauthDelegator, PublicKeyRef,
    SecretDelegator,
};

use super::asks::reference;

/// How long the proxy may use a backend's secret before it asks again, in seconds, unless the policy says otherwise.
const SECRET_S: u64 = 60;

/// How long a narrowed Biscuit is good, likewise.
const BISCUIT_S: u64 = 300;

/// One delegator; literal secrets go to `secrets`.
pub(super) fn config(
    name: &str,
    delegator: &Delegator,
    secrets: &mut BTreeMap<String, String>,
) -> DelegatorConfig {
    let bearer = |prefix: &Option<String>| prefix.clone().unwrap_or_else(|| "Bearer ".to_owned());
    match delegator {
        Delegator::Oauth(oauth) => {
            let outbound_prefix = bearer(&oauth.outbound_prefix);
            DelegatorConfig::Oauth(Box::new(client(name, oauth, outbound_prefix, secrets)))
        }
        Delegator::Secret {
            secret,
            outbound_header,
            outbound_prefix,
            ttl_s,
        } => DelegatorConfig::Secret(SecretDelegator {
            secret: reference(name, secret, secrets),
            outbound_header: outbound_header.clone(),
            outbound_prefix: bearer(outbound_prefix),
            ttl_s: ttl_s.unwrap_or(SECRET_S),
        }),
        Delegator::Biscuit(biscuit) => DelegatorConfig::Biscuit(BiscuitDelegator {
            root_public_key: match &biscuit.root {
                RootKey::Hex(hex) => PublicKeyRef::Hex(hex.clone()),
                RootKey::File(path) => PublicKeyRef::File(path.clone()),
            },
            outbound_header: biscuit.outbound_header.clone(),
            outbound_prefix: bearer(&biscuit.outbound_prefix),
            ttl_s: biscuit.ttl_s.unwrap_or(BISCUIT_S),
            subject_fact: biscuit.subject_fact.clone(),
            bind_subject: biscuit.bind_subject,
            cache: biscuit.cache,
        }),
    }
}

fn client(
    name: &str,
    oauth: &OauthUse,
    outbound_prefix: String,
    secrets: &mut BTreeMap<String, String>,
) -> OauthDelegator {
    let or = |given: &Option<String>, otherwise: &str| given.clone().unwrap_or_else(|| otherwise.to_owned());
    let mut config = OauthDelegator {
        token_endpoint: oauth.token_endpoint.clone(),
        allow_http: oauth.allow_http,
        client_id: oauth.client_id.clone(),
        client_auth: ClientAuth::ClientSecretBasic,
        client_secret: None,
        client_key: None,
        client_key_id: None,
        assertion_audience: None,
        timeout_ms: oauth.timeout_ms,
        outbound_header: oauth.outbound_header.clone(),
        outbound_prefix,
        subject_token_type: or(
            &oauth.subject_token_type,
            "urn:ietf:params:oauth:token-type:access_token",
        ),
        actor_token_type: or(&oauth.actor_token_type, "urn:ietf:params:oauth:token-type:jwt"),
        workload_assertion_type: or(
            &oauth.workload_assertion_type,
            "urn:ietf:params:oauth:client-assertion-type:jwt-spiffe",
        ),
        allowed_extra_scopes: oauth.allowed_extra_scopes.clone(),
        strict_response_validation: oauth.strict,
        accept_missing_actor: oauth.accept_missing_actor,
        max_depth: oauth.max_depth,
        introspection_endpoint: oauth.introspection_endpoint.clone(),
        cache_ttl_s: oauth.cache_ttl_s.unwrap_or(DEFAULT_CACHE_TTL_S),
    };
    match &oauth.proof {
        ClientProof::Basic(secret) => config.client_secret = Some(reference(name, secret, secrets)),
        ClientProof::Post(secret) => {
            config.client_auth = ClientAuth::ClientSecretPost;
            config.client_secret = Some(reference(name, secret, secrets));
        }
        ClientProof::Key { key, id, audience } => {
            config.client_auth = ClientAuth::PrivateKeyJwt;
            config.client_key = Some(reference(name, key, secrets));
            config.client_key_id.clone_from(id);
            config.assertion_audience.clone_from(audience);
        }
    }
    config
}

/// The time that a delegator may take, in milliseconds.
pub(super) fn timeout_ms(delegator: &Delegator) -> Option<u64> {
    match delegator {
        Delegator::Oauth(oauth) => Some(oauth.timeout_ms),
        Delegator::Secret { .. } | Delegator::Biscuit(_) => None,
    }
}
