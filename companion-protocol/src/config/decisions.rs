//! Decision points and key directories.

use serde::{Deserialize, Serialize};

use super::SecretRef;
use crate::Json;

/// Who decides.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum DecisionPointConfig {
    /// Cedar policies, evaluated in the companion.
    Cedar(CedarPoint),
    /// Rego modules, evaluated in the companion.
    Opa(OpaPoint),
    /// A server that speaks the OpenID AuthZEN Authorization API 1.0.
    Authzen(RemotePoint),
    /// A NeMo Guardrails server.
    Nemo(RemotePoint),
}

/// Cedar policies.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CedarPoint {
    /// The name that a step asks for; default `cedar`.
    #[serde(default = "default_cedar")]
    pub dialect: String,
    /// The policies, in Cedar's syntax.
    pub policies: String,
    /// A schema in Cedar's syntax; the policies must be valid under it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schema: Option<String>,
    /// Entities in Cedar's JSON form, as groups and their members.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub entities: Option<Json>,
    /// What stands before the principal's type, as `Acme`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub entity_namespace: Option<String>,
}

/// Rego modules.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OpaPoint {
    /// The name that a step asks for; default `opa`.
    #[serde(default = "default_opa")]
    pub dialect: String,
    /// The modules' texts.
    #[serde(default)]
    pub modules: Vec<String>,
    /// `data`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<Json>,
    /// The member of an object answer that decides; default `allow`.
    #[serde(default = "default_decision_field")]
    pub decision_field: String,
    /// Time for one evaluation in milliseconds; default 1000.
    #[serde(default = "default_evaluation_ms")]
    pub timeout_ms: u64,
}

/// A server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RemotePoint {
    /// The name that a step asks for; absent: `authzen` or `nemo`, as the kind.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dialect: Option<String>,
    /// AuthZEN: the base, to which `/access/v1/evaluation` is added. NeMo: the endpoint.
    pub url: String,
    /// Plain `http:` is allowed (development only).
    #[serde(default)]
    pub allow_http: bool,
    /// A bearer token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<SecretRef>,
    /// NeMo: the guardrails configuration to use.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config_id: Option<String>,
    /// Time for one decision in milliseconds; default 5000.
    #[serde(default = "default_remote_ms")]
    pub timeout_ms: u64,
}

/// Whose an API key is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum KeyDirectoryConfig {
    /// A JSON file: an object from the key's SHA-256 (lower-case hex) to a [`crate::KeyRecord`].
    File(KeyFile),
}

/// A file of keys.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeyFile {
    /// The file. A relative path starts at the directory of `companion.json`. Read anew when it changes.
    pub path: String,
}

fn default_cedar() -> String {
    "cedar".to_owned()
}
fn default_opa() -> String {
    "opa".to_owned()
}
fn default_decision_field() -> String {
    "allow".to_owned()
}
const fn default_evaluation_ms() -> u64 {
    1000
}
const fn default_remote_ms() -> u64 {
    5000
}
