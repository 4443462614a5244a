//! How claims become attributes (the standard mapping, `reference/praxis-policy-0.5.md` section 1.4).

use std::collections::BTreeSet;

use apl_bytecode::{TokenRole, push_key_segment};
use apl_vm::{Fact, FactMap};
use serde_json::{Map, Value};

use super::token::TokenError;

/// Claims that say how long and for whom the token is, not who somebody is.
const REGISTERED: &[&str] = &["iss", "sub", "aud", "exp", "nbf", "iat", "jti"];

/// Deepest claim that becomes an attribute; deeper ones are opaque.
const MAX_DEPTH: usize = 16;

/// Who a token speaks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Speaker {
    /// The subject, client id or workload id.
    pub(crate) id: String,
    /// The client that the token names (`client_id` or `azp`), when it does.
    pub(crate) client: Option<String>,
    /// The claim `session_id`, when it is a text.
    pub(crate) session_id: Option<String>,
}

/// Writes a token's attributes into `facts`.
///
/// # Errors
///
/// [`TokenError::Mapping`]: the claim that names the speaker is missing.
pub(crate) fn map(
    role: TokenRole,
    claims: &Map<String, Value>,
    facts: &mut FactMap,
) -> Result<Speaker, TokenError> {
    let client = text(claims, "client_id").or_else(|| text(claims, "azp"));
    let id = match role {
        TokenRole::User => user(claims, facts)?,
        TokenRole::Client => {
            let id = client.clone().ok_or(TokenError::Mapping)?;
            map_client(claims, &id, facts);
            id
        }
        TokenRole::CallerWorkload => workload(claims, facts)?,
    };
    Ok(Speaker {
        id,
        client,
        session_id: text(claims, "session_id"),
    })
}

fn user(claims: &Map<String, Value>, facts: &mut FactMap) -> Result<String, TokenError> {
    let id = text(claims, "sub").ok_or(TokenError::Mapping)?;
    facts.insert("authenticated".to_owned(), Fact::Bool(true));
    facts.insert("subject.id".to_owned(), Fact::Str(id.clone()));
    let roles = set(claims, "roles").unwrap_or_default();
    let permissions = set(claims, "permissions")
        .or_else(|| words(claims, "scope"))
        .unwrap_or_default();
    let teams = set(claims, "teams")
        .or_else(|| set(claims, "groups"))
        .unwrap_or_default();
    members(facts, "role", &roles);
    members(facts, "perm", &permissions);
    members(facts, "team", &teams);
    facts.insert("subject.roles".to_owned(), Fact::Set(roles));
    facts.insert("subject.permissions".to_owned(), Fact::Set(permissions));
    facts.insert("subject.teams".to_owned(), Fact::Set(teams));
    flatten(
        facts,
        "claim",
        claims,
        &["roles", "permissions", "scope", "teams", "groups"],
    );
    Ok(id)
}

fn map_client(claims: &Map<String, Value>, id: &str, facts: &mut FactMap) {
    facts.insert("client.client_id".to_owned(), Fact::Str(id.to_owned()));
    if let Some(name) = text(claims, "client_name") {
        facts.insert("client.client_name".to_owned(), Fact::Str(name));
    }
    let roles = set(claims, "roles").unwrap_or_default();
    members(facts, "client.role", &roles);
    let scopes = set(claims, "authorized_scopes")
        .or_else(|| words(claims, "scope"))
        .unwrap_or_default();
    let audiences = set(claims, "aud").or_else(|| text(claims, "aud").map(|one| BTreeSet::from([one])));
    facts.insert("client.roles".to_owned(), Fact::Set(roles));
    facts.insert("client.permissions".to_owned(), Fact::Set(BTreeSet::new()));
    facts.insert(
        "client.teams".to_owned(),
        Fact::Set(set(claims, "teams").unwrap_or_default()),
    );
    facts.insert("client.authorized_scopes".to_owned(), Fact::Set(scopes));
    facts.insert(
        "client.authorized_audiences".to_owned(),
        Fact::Set(audiences.unwrap_or_default()),
    );
    flatten(
        facts,
        "client.claim",
        claims,
        &[
            "client_id",
            "client_name",
            "authorized_scopes",
            "scope",
            "roles",
            "teams",
        ],
    );
}

fn workload(claims: &Map<String, Value>, facts: &mut FactMap) -> Result<String, TokenError> {
    let is_spiffe = |id: &String| id.starts_with("spiffe://");
    let id = text(claims, "sub")
        .filter(is_spiffe)
        .or_else(|| text(claims, "spiffe_id").filter(is_spiffe))
        .ok_or(TokenError::Mapping)?;
    let domain = id
        .trim_start_matches("spiffe://")
        .split('/')
        .next()
        .unwrap_or_default()
        .to_owned();
    if domain.is_empty() {
        return Err(TokenError::Mapping);
    }
    facts.insert("caller_workload.spiffe_id".to_owned(), Fact::Str(id.clone()));
    facts.insert("caller_workload.trust_domain".to_owned(), Fact::Str(domain));
    facts.insert("caller_workload.attestor".to_owned(), Fact::Str("jwt".to_owned()));
    facts.insert("caller_workload.selectors".to_owned(), Fact::Set(BTreeSet::new()));
    Ok(id)
}

/// `role.hr: true` for each name without a dot: `role.admin.readonly` must not look like something below `role.admin`.
fn members(facts: &mut FactMap, namespace: &str, names: &BTreeSet<String>) {
    for name in names
        .iter()
        .filter(|name| !name.is_empty() && !name.contains('.'))
    {
        let mut key = namespace.to_owned();
        push_key_segment(&mut key, name);
        facts.insert(key, Fact::Bool(true));
    }
}

fn text(claims: &Map<String, Value>, name: &str) -> Option<String> {
    claims
        .get(name)
        .and_then(Value::as_str)
        .filter(|text| !text.is_empty())
        .map(str::to_owned)
}

fn set(claims: &Map<String, Value>, name: &str) -> Option<BTreeSet<String>> {
    let all = claims.get(name)?.as_array()?;
    Some(all.iter().filter_map(Value::as_str).map(str::to_owned).collect())
}

fn words(claims: &Map<String, Value>, name: &str) -> Option<BTreeSet<String>> {
    Some(
        claims
            .get(name)?
            .as_str()?
            .split_ascii_whitespace()
            .map(str::to_owned)
            .collect(),
    )
}

fn flatten(facts: &mut FactMap, namespace: &str, claims: &Map<String, Value>, taken: &[&str]) {
    for (name, value) in claims {
        if REGISTERED.contains(&name.as_str()) || taken.contains(&name.as_str()) {
            continue;
        }
        let mut key = namespace.to_owned();
        push_key_segment(&mut key, name);
        put(facts, key, value, MAX_DEPTH);
    }
}

/// Depth is bounded, so the recursion is.
fn put(facts: &mut FactMap, key: String, value: &Value, depth: usize) {
    let fact = match value {
        Value::Null => return,
        Value::Bool(flag) => Fact::Bool(*flag),
        Value::String(text) => Fact::Str(text.clone()),
        Value::Number(number) => match (number.as_i64(), number.as_f64()) {
            (Some(int), _) => Fact::Int(int),
            (None, Some(float)) => Fact::Float(float),
            (None, None) => Fact::Opaque,
        },
        Value::Array(all) => scalars(all).map_or(Fact::Opaque, Fact::Set),
        Value::Object(members) => {
            if members.is_empty() {
                return;
            }
            if let Some(left) = depth.checked_sub(1) {
                for (name, value) in members {
                    let mut key = key.clone();
                    push_key_segment(&mut key, name);
                    put(facts, key, value, left);
                }
            }
            Fact::Opaque
        }
    };
    facts.insert(key, fact);
}

/// Scalars as texts, nulls left out; `None` if there is a container among them.
fn scalars(all: &[Value]) -> Option<BTreeSet<String>> {
    let mut set = BTreeSet::new();
    for value in all {
        match value {
            Value::Null => {}
            Value::String(text) => {
                set.insert(text.clone());
            }
            Value::Bool(_) | Value::Number(_) => {
                set.insert(value.to_string());
            }
            Value::Array(_) | Value::Object(_) => return None,
        }
    }
    Some(set)
}
