//! Ways to ask humans, and decision points, in `companion.json`.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use apl_compiler::{ApprovalsUse, Deployment, ElicitorUse, PointUse, SecretSource, TextSource};
use apl_vm::Tree;
use companion_protocol::Json;
use companion_protocol::config::{
    ApprovalsConfig, CedarPoint, CibaDelivery, CibaElicitor, CibaHint, DecisionPointConfig, ElicitorConfig,
    OpaPoint, PageElicitor, RemotePoint, SecretRef, SignInConfig, VaultRef, WebhookConfig,
};

use super::super::Fault;
use super::variable;

/// Literal secrets by variable.
type Secrets = BTreeMap<String, String>;

/// Seconds that an approver has on the companion's pages, unless the policy says otherwise.
const PAGE_S: u64 = 900;
/// The same with CIBA.
const CIBA_S: u64 = 300;

/// How the companion finds a secret; a literal one goes to `secrets.env`.
pub(super) fn reference(name: &str, secret: &SecretSource, secrets: &mut Secrets) -> SecretRef {
    match secret {
        SecretSource::Env(name) => SecretRef::Env(name.clone()),
        SecretSource::File(path) => SecretRef::File(path.clone()),
        SecretSource::Vault { mount, path, field } => SecretRef::Vault(VaultRef {
            mount: mount.clone(),
            path: path.clone(),
            field: field.clone(),
        }),
        SecretSource::Literal(secret) => {
            let variable = variable(name, secrets);
            secrets.insert(variable.clone(), secret.clone());
            SecretRef::Env(variable)
        }
    }
}

/// The companion's pages.
pub(super) fn approvals(approvals: &ApprovalsUse, secrets: &mut Secrets) -> ApprovalsConfig {
    let sign_in = approvals.sign_in.as_ref().map(|sign_in| SignInConfig {
        issuer: sign_in.issuer.clone(),
        authorization_endpoint: sign_in.authorization_endpoint.clone(),
        token_endpoint: sign_in.token_endpoint.clone(),
        client_id: sign_in.client_id.clone(),
        client_secret: sign_in
            .secret
            .as_ref()
            .map(|secret| reference("approvals", secret, secrets)),
        scope: sign_in
            .scope
            .clone()
            .unwrap_or_else(|| "openid profile email".to_owned()),
        approver_claim: sign_in
            .approver_claim
            .clone()
            .unwrap_or_else(|| "preferred_username".to_owned()),
        timeout_ms: sign_in.timeout_ms,
    });
    ApprovalsConfig {
        public_url: approvals.public_url.clone(),
        allow_http: approvals.allow_http,
        sign_in,
    }
}

pub(super) fn elicitors(deployment: &Deployment, secrets: &mut Secrets) -> BTreeMap<String, ElicitorConfig> {
    let config = |(name, elicitor): (&String, &ElicitorUse)| {
        let config = match elicitor {
            ElicitorUse::Page {
                timeout_s,
                allow_self,
                webhook,
            } => ElicitorConfig::Page(PageElicitor {
                timeout_s: if *timeout_s == 0 { PAGE_S } else { *timeout_s },
                allow_self: *allow_self,
                webhook: webhook.as_ref().map(|webhook| WebhookConfig {
                    url: webhook.url.clone(),
                    allow_http: webhook.allow_http,
                    secret: reference(name, &webhook.secret, secrets),
                    timeout_ms: webhook.timeout_ms,
                }),
            }),
            ElicitorUse::Ciba(ciba) => ElicitorConfig::Ciba(CibaElicitor {
                backchannel_endpoint: ciba.backchannel_endpoint.clone(),
                token_endpoint: ciba.token_endpoint.clone(),
                allow_http: ciba.allow_http,
                issuer: ciba.issuer.clone(),
                client_id: ciba.client_id.clone(),
                client_secret: reference(name, &ciba.secret, secrets),
                scope: ciba.scope.clone().unwrap_or_else(|| "openid".to_owned()),
                default_expiry_s: ciba.default_expiry_s.unwrap_or(CIBA_S),
                timeout_ms: ciba.timeout_ms,
                approver_claim: ciba
                    .approver_claim
                    .clone()
                    .unwrap_or_else(|| "preferred_username".to_owned()),
                hint: CibaHint::LoginHint,
                delivery: if ciba.ping {
                    CibaDelivery::Ping
                } else {
                    CibaDelivery::Poll
                },
                allow_self: ciba.allow_self,
            }),
        };
        (name.clone(), config)
    };
    deployment.elicitors.iter().map(config).collect()
}

/// `directory`: where relative paths start.
pub(super) fn points(
    deployment: &Deployment,
    directory: &Path,
    secrets: &mut Secrets,
) -> Result<BTreeMap<String, DecisionPointConfig>, Fault> {
    let mut points = BTreeMap::new();
    for (name, point) in &deployment.points {
        let config = match point {
            PointUse::Cedar {
                policies,
                schema,
                namespace,
            } => DecisionPointConfig::Cedar(CedarPoint {
                dialect: name.clone(),
                policies: text(policies, directory)?,
                schema: schema
                    .as_ref()
                    .map(|schema| text(schema, directory))
                    .transpose()?,
                entities: None,
                entity_namespace: namespace.clone(),
            }),
            PointUse::Opa {
                modules,
                data,
                data_files,
                decision_field,
            } => DecisionPointConfig::Opa(OpaPoint {
                dialect: name.clone(),
                modules: modules
                    .iter()
                    .map(|module| text(module, directory))
                    .collect::<Result<_, _>>()?,
                data: merged(data.as_ref().map(json), data_files, directory)?,
                decision_field: decision_field.clone().unwrap_or_else(|| "allow".to_owned()),
                timeout_ms: 1000,
            }),
            PointUse::Remote {
                nemo,
                url,
                allow_http,
                token,
                config_id,
                timeout_ms,
            } => {
                let remote = RemotePoint {
                    dialect: Some(name.clone()),
                    url: url.clone(),
                    allow_http: *allow_http,
                    token: token.as_ref().map(|token| reference(name, token, secrets)),
                    config_id: config_id.clone(),
                    timeout_ms: *timeout_ms,
                };
                if *nemo {
                    DecisionPointConfig::Nemo(remote)
                } else {
                    DecisionPointConfig::Authzen(remote)
                }
            }
        };
        points.insert(name.clone(), config);
    }
    Ok(points)
}

/// The time that each of them may take, in milliseconds.
pub(super) fn timeouts(deployment: &Deployment) -> Vec<u64> {
    let elicitors = deployment
        .elicitors
        .values()
        .filter_map(|elicitor| match elicitor {
            ElicitorUse::Ciba(ciba) => Some(ciba.timeout_ms),
            ElicitorUse::Page { .. } => None,
        });
    let points = deployment.points.values().filter_map(|point| match point {
        PointUse::Remote { timeout_ms, .. } => Some(*timeout_ms),
        PointUse::Cedar { .. } | PointUse::Opa { .. } => None,
    });
    elicitors.chain(points).collect()
}

fn text(source: &TextSource, directory: &Path) -> Result<String, Fault> {
    match source {
        TextSource::Text(text) => Ok(text.clone()),
        TextSource::File(path) => read(path, directory),
    }
}

fn read(path: &str, directory: &Path) -> Result<String, Fault> {
    let path = directory.join(path);
    fs::read_to_string(&path).map_err(|cause| Fault::File {
        doing: "read",
        path,
        cause,
    })
}

/// `data` with the files merged into it; two values for one leaf are an error.
fn merged(data: Option<Json>, files: &[String], directory: &Path) -> Result<Option<Json>, Fault> {
    let mut all = data;
    for file in files {
        let more: Json = serde_json::from_str(&read(file, directory)?)
            .map_err(|fault| Fault::Argument(format!("the data file `{file}` is no JSON: {fault}")))?;
        all = Some(match all {
            None => more,
            Some(known) => join(known, more).ok_or_else(|| {
                Fault::Argument(format!(
                    "the data file `{file}` gives a second value for something"
                ))
            })?,
        });
    }
    Ok(all)
}

fn join(known: Json, more: Json) -> Option<Json> {
    match (known, more) {
        (Json::Map(mut known), Json::Map(more)) => {
            for (name, value) in more {
                let joined = match known.remove(&name) {
                    None => value,
                    Some(other) => join(other, value)?,
                };
                known.insert(name, joined);
            }
            Some(Json::Map(known))
        }
        (known, more) => (known == more).then_some(known),
    }
}

fn json(tree: &Tree) -> Json {
    match tree {
        Tree::Null => Json::Null,
        Tree::Bool(value) => Json::Bool(*value),
        Tree::Int(value) => Json::Int(*value),
        Tree::Uint(value) => Json::UInt(*value),
        Tree::Float(value) => Json::Float(*value),
        Tree::Text(text) => Json::Text(text.clone()),
        Tree::List(items) => Json::List(items.iter().map(json).collect()),
        Tree::Map(members) => Json::Map(
            members
                .iter()
                .map(|(name, value)| (name.clone(), json(value)))
                .collect(),
        ),
    }
}
