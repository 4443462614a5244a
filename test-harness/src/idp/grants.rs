//! The grants. A refusal is an OAuth error (RFC 6749 section 5.2) with Keycloak's status.

use std::collections::BTreeMap;
use std::time::{SystemTime, UNIX_EPOCH};

use axum::http::StatusCode;
use serde_json::{Map, Value, json};

use super::ciba;
use super::control::{Exchange, Lie};
use super::keys::random_id;
use super::realm::{self, Audience, Client, ClientRole, User};
use super::{State, TOKEN_LIFETIME_S};

const TOKEN_EXCHANGE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
const ACCESS_TOKEN: &str = "urn:ietf:params:oauth:token-type:access_token";
const JWT: &str = "urn:ietf:params:oauth:token-type:jwt";

/// The form, each parameter once.
pub(super) type Form = BTreeMap<String, String>;

/// An OAuth error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Refused {
    pub(super) status: StatusCode,
    pub(super) error: &'static str,
    pub(super) description: &'static str,
}

impl Refused {
    pub(super) const CLIENT: Self = Self::new(
        StatusCode::UNAUTHORIZED,
        "invalid_client",
        "Invalid client or Invalid client credentials",
    );

    pub(super) const fn new(status: StatusCode, error: &'static str, description: &'static str) -> Self {
        Self {
            status,
            error,
            description,
        }
    }

    const fn bad(error: &'static str, description: &'static str) -> Self {
        Self::new(StatusCode::BAD_REQUEST, error, description)
    }
}

/// The token response to a form of an authenticated client.
pub(super) fn token(state: &State, client: &Client, form: &Form) -> Result<Value, Refused> {
    match (field(form, "grant_type"), client.role) {
        ("password", ClientRole::Agent) => password(state, client, form),
        ("client_credentials", _) => client_credentials(state, client, form),
        (TOKEN_EXCHANGE, ClientRole::Gateway) => exchange(state, client, form),
        (ciba::GRANT, ClientRole::Gateway) => ciba::token(state, client, form),
        ("password" | TOKEN_EXCHANGE | ciba::GRANT, _) => Err(Refused::bad(
            "unauthorized_client",
            "Client not allowed for this grant",
        )),
        _ => Err(Refused::bad("unsupported_grant_type", "Unsupported grant_type")),
    }
}

fn password(state: &State, client: &Client, form: &Form) -> Result<Value, Refused> {
    let user = realm::user_by_name(field(form, "username"))
        .filter(|user| user.name == field(form, "password"))
        .ok_or(Refused::new(
            StatusCode::UNAUTHORIZED,
            "invalid_grant",
            "Invalid user credentials",
        ))?;
    let mut claims = claims(state, user.sub, client.id, json!([realm::GATEWAY]), "openid");
    describe(&mut claims, user, user.permissions);
    if !user.gh_permissions.is_empty() {
        claims.insert("gh_permissions".to_owned(), json!(user.gh_permissions));
    }
    if let Some(manager) = user.manager {
        claims.insert("manager".to_owned(), json!(manager));
    }
    respond(state, claims, "openid")
}

fn client_credentials(state: &State, client: &Client, form: &Form) -> Result<Value, Refused> {
    let asked = field(form, "audience");
    let (audience, scope) = if asked.is_empty() {
        (json!([realm::GATEWAY, "account"]), String::new())
    } else {
        let audience = known_audience(asked)?;
        let requested = requested(form, audience)?;
        (json!(audience.name), requested.join(" "))
    };
    let mut claims = claims(state, client.sub, client.id, audience, &scope);
    claims.insert("client_id".to_owned(), json!(client.id));
    let account = format!("service-account-{}", client.id);
    claims.insert("preferred_username".to_owned(), json!(account));
    respond(state, claims, &scope)
}

fn exchange(state: &State, client: &Client, form: &Form) -> Result<Value, Refused> {
    let mut record = Exchange {
        client: client.id.to_owned(),
        subject: None,
        audience: field(form, "audience").to_owned(),
        requested: field(form, "scope").to_owned(),
        granted: None,
        error: None,
    };
    let outcome = exchange_recorded(state, client, form, &mut record);
    record.error = outcome.as_ref().err().map(|refused| refused.error.to_owned());
    state.control.record(record);
    outcome
}

fn exchange_recorded(
    state: &State,
    client: &Client,
    form: &Form,
    record: &mut Exchange,
) -> Result<Value, Refused> {
    if ![ACCESS_TOKEN, JWT].contains(&field(form, "subject_token_type")) {
        return Err(Refused::bad("invalid_request", "Unsupported subject_token_type"));
    }
    let subject = state
        .key
        .verify(field(form, "subject_token"), &state.issuer, client.id)
        .ok_or(Refused::bad("invalid_request", "Invalid token"))?;
    let sub = subject.get("sub").and_then(Value::as_str).unwrap_or_default();
    let name = subject.get("preferred_username").and_then(Value::as_str);
    record.subject = name.map(str::to_owned);
    let audience = known_audience(field(form, "audience"))?;
    let requested = requested(form, audience)?;

    let faults = state.control.faults();
    let user = realm::user_by_sub(sub);
    let mut granted = match faults.grant_less {
        true => Vec::new(),
        false => granted(&requested, audience, user),
    };
    if faults.lie == Lie::Scope {
        granted.push("admin");
    }
    let granted = granted.join(" ");
    record.granted = Some(granted.clone());

    let aud = match faults.lie {
        Lie::Audience => json!("somebody-elses-api"),
        _ => json!(audience.name),
    };
    let sub = match (faults.lie, user) {
        (Lie::Subject, Some(user)) => another(user).sub,
        _ => sub,
    };
    let mut claims = claims(state, sub, client.id, aud, &granted);
    if let Some(user) = user {
        let permissions = match audience.github {
            true => user.gh_permissions,
            false => user.permissions,
        };
        describe(&mut claims, user, permissions);
    } else if let Some(name) = name {
        claims.insert("preferred_username".to_owned(), json!(name));
    }
    let mut response = respond(state, claims, &granted)?;
    if faults.lie != Lie::IssuedType {
        response["issued_token_type"] = json!(ACCESS_TOKEN);
    }
    Ok(response)
}

fn known_audience(name: &str) -> Result<&'static Audience, Refused> {
    realm::audience(name).ok_or(Refused::bad("invalid_client", "Requested audience not available"))
}

/// The scopes asked for; one that the client does not have for this audience is an error, as in Keycloak.
fn requested<'a>(form: &'a Form, audience: &Audience) -> Result<Vec<&'a str>, Refused> {
    let scopes: Vec<&str> = field(form, "scope").split_ascii_whitespace().collect();
    match scopes.iter().all(|scope| *scope == audience.scope) {
        true => Ok(scopes),
        false => Err(Refused::bad("invalid_scope", "Invalid scopes")),
    }
}

/// For GitHub only what the user holds there: the provider is the source of system-specific permissions.
fn granted<'a>(requested: &[&'a str], audience: &Audience, user: Option<&User>) -> Vec<&'a str> {
    requested
        .iter()
        .copied()
        .filter(|scope| !audience.github || user.is_some_and(|user| user.gh_permissions.contains(scope)))
        .collect()
}

fn another(user: &User) -> &'static User {
    let [first, second, ..] = &realm::USERS;
    if first.name == user.name { second } else { first }
}

fn claims(state: &State, sub: &str, azp: &str, aud: Value, scope: &str) -> Map<String, Value> {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |elapsed| elapsed.as_secs());
    let claims = json!({
        "iss": state.issuer, "sub": sub, "aud": aud, "azp": azp, "typ": "Bearer", "scope": scope,
        "jti": random_id(), "iat": now, "exp": now + TOKEN_LIFETIME_S,
    });
    match claims {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}

fn describe(claims: &mut Map<String, Value>, user: &User, permissions: &[&str]) {
    let described = [
        ("preferred_username", json!(user.name)),
        ("roles", json!(user.roles)),
        ("permissions", json!(permissions)),
        ("teams", json!(user.teams)),
        ("groups", json!([])),
    ];
    claims.extend(described.map(|(name, value)| (name.to_owned(), value)));
}

fn respond(state: &State, claims: Map<String, Value>, scope: &str) -> Result<Value, Refused> {
    let token = state
        .key
        .sign(&Value::Object(claims))
        .map_err(|_| Refused::new(StatusCode::INTERNAL_SERVER_ERROR, "server_error", "Cannot sign"))?;
    Ok(json!({
        "access_token": token, "token_type": "Bearer", "expires_in": TOKEN_LIFETIME_S, "scope": scope,
        "not-before-policy": 0,
    }))
}

/// What a client gets when a user has approved: an ID token with their name beside the access token.
pub(super) fn signed_in(state: &State, client: &Client, user: &User) -> Result<Value, Refused> {
    let mut claims = claims(state, user.sub, client.id, json!(client.id), "openid");
    claims.insert("preferred_username".to_owned(), json!(user.name));
    let failed = |_| Refused::new(StatusCode::INTERNAL_SERVER_ERROR, "server_error", "Cannot sign");
    let id_token = state.key.sign(&Value::Object(claims.clone())).map_err(failed)?;
    let mut response = respond(state, claims, "openid")?;
    response["id_token"] = json!(id_token);
    Ok(response)
}

pub(super) fn field<'a>(form: &'a Form, name: &str) -> &'a str {
    form.get(name).map(String::as_str).unwrap_or_default()
}
