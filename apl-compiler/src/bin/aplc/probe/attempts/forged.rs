//! Credentials that nobody may be taken for.

use apl_bytecode::{Algorithm, CredentialSource, Identity};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value, json};

use super::{Attempt, Credential, nowhere};
use crate::probe::target::{Entry, Target};
use crate::proxy::credentials;

/// Far enough away that no clock is in doubt, in seconds of the Unix epoch: 1 January 2100.
const LATER: u64 = 4_102_444_800;

/// A workload of a trust domain that the policy believes, where it believes peers.
pub(super) fn peer(target: &Target) -> Option<String> {
    let program = target.program.program();
    let identity = program
        .identities
        .iter()
        .find(|identity| matches!(identity.source, CredentialSource::Peer { .. }))?;
    let authority = match identity.trust_domains.first() {
        Some(domain) => format!("spiffe://{}", credentials::text(program, *domain)),
        None => bound(target, identity)?["issuer"].as_str()?.to_owned(),
    };
    Some(format!("{authority}/ns/aplomb-probe/sa/aplomb-probe"))
}

/// A call of what is not there, with each of them.
pub(super) fn credentials(target: &Target, entry: &Entry) -> Vec<Attempt> {
    let program = target.program.program();
    let mut all = Vec::new();
    let mut push = |what: String, credential: Credential| {
        all.push(nowhere(target, entry).with(&credential).named(what));
    };
    let mut headers: Vec<&str> = Vec::new();
    for identity in &program.identities {
        let name = credentials::text(program, identity.name);
        match &identity.source {
            CredentialSource::Token { header, prefix, .. } => {
                let header = credentials::text(program, *header);
                let prefix = prefix.map_or("Bearer ", |prefix| credentials::text(program, prefix));
                let space = if prefix.ends_with(' ') { "" } else { " " };
                let value = |token: &str| format!("{prefix}{space}{token}");
                if !headers.contains(&header) {
                    headers.push(header);
                    push(
                        format!("`{name}`: text that is no token"),
                        Credential::plain(header, value("aplomb-probe")),
                    );
                }
                let Some(issuer) = issuer(target, identity) else {
                    continue;
                };
                for (what, token) in tokens(&issuer) {
                    let credential = Credential {
                        header: header.to_owned(),
                        sent: value(&token.sent),
                        judged: value(&token.judged),
                    };
                    push(format!("`{name}`: {what}"), credential);
                }
            }
            CredentialSource::ApiKey { header, prefix, .. } => {
                let prefix = prefix.map_or("", |prefix| credentials::text(program, prefix));
                let key = format!("{prefix}aplomb-probe-{}", target.nonce);
                let header = credentials::text(program, *header);
                push(
                    format!("`{name}`: a key that nobody has"),
                    Credential::plain(header, key),
                );
            }
            CredentialSource::Peer { .. } => {
                let id = peer(target).unwrap_or_default();
                push(
                    format!("`{name}`: a peer named in a header"),
                    Credential::plain(
                        "x-forwarded-client-cert",
                        format!("By=spiffe://probe.invalid/x;URI={id}"),
                    ),
                );
            }
            CredentialSource::Metadata { .. } => {}
        }
    }
    all
}

struct Token {
    sent: String,
    judged: String,
}

impl Token {
    fn plain(token: String) -> Self {
        Self {
            sent: token.clone(),
            judged: token,
        }
    }
}

struct Believed {
    issuer: String,
    audience: String,
    algorithm: Algorithm,
}

/// The first issuer that the policy, or its deployment, believes.
fn issuer(target: &Target, identity: &Identity) -> Option<Believed> {
    let program = target.program.program();
    if let Some(issuer) = identity.issuers().first() {
        let audience = issuer.audiences.first();
        return Some(Believed {
            issuer: credentials::text(program, issuer.issuer).to_owned(),
            audience: audience.map_or_else(String::new, |id| credentials::text(program, *id).to_owned()),
            algorithm: *issuer.algorithms.first()?,
        });
    }
    let issuer = bound(target, identity)?;
    let algorithm = issuer["algorithms"].as_array()?.first()?.as_str()?;
    Some(Believed {
        issuer: issuer["issuer"].as_str()?.to_owned(),
        audience: issuer["audiences"][0].as_str().unwrap_or_default().to_owned(),
        algorithm: Algorithm::ALL
            .into_iter()
            .find(|known| known.name() == algorithm)?,
    })
}

/// The first issuer that the deployment names for an identity.
fn bound<'t>(target: &'t Target, identity: &Identity) -> Option<&'t Value> {
    let name = credentials::text(target.program.program(), identity.name);
    let all = target.config.get("identities")?.as_array()?;
    let of = all.iter().find(|bound| bound["name"] == name)?;
    of["issuers"].as_array()?.first()
}

fn tokens(believed: &Believed) -> Vec<(&'static str, Token)> {
    let claims = |issuer: &str| -> Map<String, Value> {
        let claims = json!({
            "iss": issuer,
            "aud": [believed.audience],
            "sub": "aplomb-probe",
            "client_id": "aplomb-probe",
            "iat": 1_767_268_800,
            "exp": LATER,
            "roles": ["admin"],
        });
        claims.as_object().cloned().unwrap_or_default()
    };
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let body = part(&Value::Object(claims(&believed.issuer)));
    let unsigned = format!("{}.{body}.", part(&json!({ "alg": "none", "typ": "JWT" })));
    let symmetric = format!(
        "{}.{body}.{}",
        part(&json!({ "alg": "HS256", "typ": "JWT" })),
        URL_SAFE_NO_PAD.encode([7; 32])
    );
    let signed = |issuer: &str, bad| credentials::signed(claims(issuer), believed.algorithm, bad).ok();
    let mut all = vec![
        ("a token without a signature", Token::plain(unsigned)),
        ("a token under a symmetric key", Token::plain(symmetric)),
    ];
    // The judge believes this key, the gateway must not: to it the signature is shown broken.
    if let (Some(sent), Some(judged)) = (signed(&believed.issuer, false), signed(&believed.issuer, true)) {
        all.push(("a token that another key signed", Token { sent, judged }));
    }
    if let Some(token) = signed("https://aplomb-probe.invalid", false) {
        all.push(("a token of another issuer", Token::plain(token)));
    }
    all
}
