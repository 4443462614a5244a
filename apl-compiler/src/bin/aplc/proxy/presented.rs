//! What the identities of a test present, each in the form that the policy's plugin looks for: a token in a header, claims
//! that the proxy has verified, the peer of the connection, a key that a directory knows.

use std::collections::BTreeSet;

use apl_bytecode::{CredentialSource, Identity as Declared, MeshIssuer, Program, TokenRole};
use companion_protocol::KeyRecord;
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};

use super::credentials::{self, text};
use super::properties;
use crate::case::{Fault, Identity, Speaker};

/// The credentials of one request.
#[derive(Debug, Default)]
pub(super) struct Presented {
    /// Headers with tokens and keys.
    pub(super) headers: Vec<(String, String)>,
    /// What the proxy says of itself: root of a property, and its value.
    properties: Vec<(Vec<String>, Value)>,
    /// Keys that the directory knows, by their SHA-256 in hex.
    pub(super) keys: Vec<(String, KeyRecord)>,
}

impl Presented {
    /// What `identity` presents to a policy.
    ///
    /// # Errors
    ///
    /// A token could not be signed, or the identity is presented by a plugin that the policy does not have.
    pub(super) fn new(program: &Program, identity: &Identity, now_ms: u64) -> Result<Self, String> {
        let mut presented = Self::default();
        let mut taken = BTreeSet::new();
        identity
            .by
            .iter()
            .flatten()
            .try_for_each(|name| known(program, name))?;
        for declared in &program.identities {
            let name = text(program, declared.name);
            let wanted = identity
                .by
                .as_ref()
                .is_none_or(|by| by.iter().any(|by| by == name));
            let speaker = match declared.role {
                TokenRole::User => &identity.subject,
                TokenRole::Client => &identity.client,
                TokenRole::CallerWorkload => &identity.workload,
            };
            if let Some(speaker) = speaker.as_ref().filter(|_| wanted) {
                // Two plugins on one header read one credential.
                let header = declared.header().map(|header| text(program, header).to_owned());
                if header.is_none_or(|header| taken.insert(header)) {
                    presented.add(program, declared, speaker, identity, now_ms)?;
                }
            }
        }
        Ok(presented)
    }

    fn add(
        &mut self,
        program: &Program,
        declared: &Declared,
        speaker: &Speaker,
        identity: &Identity,
        now_ms: u64,
    ) -> Result<(), String> {
        let fault = identity.fault;
        match &declared.source {
            CredentialSource::Token { header, prefix, .. } => {
                let token = credentials::token(program, declared, speaker, fault, now_ms)?;
                let prefix = prefix.map_or("Bearer ", |prefix| text(program, prefix));
                let space = if prefix.ends_with(' ') { "" } else { " " };
                let header = text(program, *header).to_owned();
                self.headers.push((header, format!("{prefix}{space}{token}")));
            }
            CredentialSource::Metadata {
                namespace,
                key,
                issuers,
            } => {
                // The mesh's filter lets no claims through whose signature does not fit.
                if fault != Some(Fault::Signature) {
                    let claims = mesh_claims(program, declared.role, issuers, speaker, fault, now_ms);
                    let root = properties::claims_of(text(program, *namespace), text(program, *key));
                    self.properties.push((root, Value::Object(claims)));
                }
            }
            CredentialSource::Peer { waypoint } => {
                let id = match fault {
                    // A certificate that TLS does not accept makes no connection, so nobody is there.
                    Some(Fault::Signature | Fault::Expired) => None,
                    Some(Fault::Issuer | Fault::Audience) => Some("spiffe://unknown.invalid/workload"),
                    None => Some(speaker.id.as_str()),
                };
                if let Some(id) = id {
                    self.properties.push((properties::peer(*waypoint), id.into()));
                }
            }
            CredentialSource::ApiKey { header, prefix, .. } => {
                let record = record(declared.role, speaker, identity, now_ms);
                let key = self.key(prefix.map_or("", |prefix| text(program, prefix)), &record, fault)?;
                self.headers.push((text(program, *header).to_owned(), key));
            }
        }
        Ok(())
    }

    /// A key of its own for every record, so that what the proxy remembers of one is never another's.
    fn key(&mut self, prefix: &str, record: &KeyRecord, fault: Option<Fault>) -> Result<String, String> {
        let written = serde_json::to_vec(record).map_err(|error| error.to_string())?;
        let leader = prefix.rsplit_once(' ').map_or(prefix, |(_, leader)| leader);
        let key = format!("{leader}aplc-test-{}", hex(&written));
        // A key that nobody has is what bad signatures, audiences and issuers are among keys.
        if !matches!(fault, Some(Fault::Signature | Fault::Audience | Fault::Issuer)) {
            self.keys.push((key_digest(&key), record.clone()));
        }
        let scheme = prefix.strip_suffix(leader).unwrap_or_default();
        Ok(format!("{scheme}{key}"))
    }

    /// The values of these properties, as the proxy hands them over.
    pub(super) fn values(&self, paths: &[Vec<String>]) -> Vec<Option<Vec<u8>>> {
        let value = |path: &Vec<String>| {
            self.properties
                .iter()
                .find_map(|(root, value)| properties::bytes(value, path.strip_prefix(root.as_slice())?))
        };
        paths.iter().map(value).collect()
    }
}

fn known(program: &Program, name: &str) -> Result<(), String> {
    let all = || {
        program
            .identities
            .iter()
            .map(|declared| text(program, declared.name))
    };
    if all().any(|known| known == name) {
        return Ok(());
    }
    let all: Vec<String> = all().map(|name| format!("`{name}`")).collect();
    Err(format!(
        "`by` names `{name}`, which is no identity plugin of the policy; it has {}",
        if all.is_empty() {
            "none".to_owned()
        } else {
            all.join(", ")
        }
    ))
}

fn mesh_claims(
    program: &Program,
    role: TokenRole,
    issuers: &[MeshIssuer],
    speaker: &Speaker,
    fault: Option<Fault>,
    now_ms: u64,
) -> Map<String, Value> {
    let issuer = issuers.first();
    credentials::claims(
        role,
        issuer.map_or("", |issuer| text(program, issuer.issuer)),
        issuer
            .and_then(|issuer| issuer.audiences.first())
            .map(|audience| text(program, *audience)),
        speaker,
        fault,
        now_ms,
    )
}

/// What a directory says of the key's owner: of `claims` what is text, as a directory holds nothing else.
fn record(role: TokenRole, speaker: &Speaker, identity: &Identity, now_ms: u64) -> KeyRecord {
    let mut record = KeyRecord {
        subject: speaker.id.clone(),
        client: match role {
            TokenRole::Client => Some(speaker.id.clone()),
            TokenRole::User | TokenRole::CallerWorkload => {
                identity.client.as_ref().map(|client| client.id.clone())
            }
        },
        expires_at: (identity.fault == Some(Fault::Expired))
            .then(|| (now_ms / 1000).saturating_sub(credentials::LIFE_S)),
        ..KeyRecord::default()
    };
    for (name, value) in &speaker.claims {
        let texts = || {
            let items = value.as_array().into_iter().flatten();
            items.filter_map(Value::as_str).map(str::to_owned).collect()
        };
        match (name.as_str(), value) {
            ("roles", _) => record.roles = texts(),
            ("permissions", _) => record.permissions = texts(),
            ("teams", _) => record.teams = texts(),
            ("subject_type", Value::String(kind)) => record.subject_type = Some(kind.clone()),
            ("expires_at", Value::Number(end)) => record.expires_at = end.as_u64().or(record.expires_at),
            (_, Value::String(text)) => {
                record.claims.insert(name.clone(), text.clone());
            }
            (_, other) => {
                record.claims.insert(name.clone(), other.to_string());
            }
        }
    }
    if role == TokenRole::CallerWorkload {
        record.claims.insert("spiffe_id".to_owned(), speaker.id.clone());
    }
    record
}

fn hex(bytes: &[u8]) -> String {
    Sha256::digest(bytes)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

/// What the filter says of a key.
pub(crate) fn key_digest(key: &str) -> String {
    hex(key.as_bytes())
}
