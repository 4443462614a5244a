//! What a deployment says, and how approvals reach people.

use super::Key;
use super::Treatment::Read;

pub(super) const APPROVALS: &[Key] = &[("public_url", Read), ("insecure_http", Read), ("sign_in", Read)];

pub(super) const SIGN_IN: &[Key] = &[
    ("issuer", Read),
    ("authorization_endpoint", Read),
    ("token_endpoint", Read),
    ("client_id", Read),
    ("client_secret_source", Read),
    ("scope", Read),
    ("approver_claim", Read),
    ("timeout_seconds", Read),
];

pub(super) const WEBHOOK: &[Key] = &[
    ("url", Read),
    ("insecure_http", Read),
    ("secret_source", Read),
    ("timeout_seconds", Read),
];

pub(super) const DEPLOY: &[Key] = &[
    ("bindings", Read),
    ("companion", Read),
    ("filter", Read),
    ("session_store", Read),
    ("approvals", Read),
];

pub(super) const COMPANION: &[Key] = &[
    ("cluster", Read),
    ("authority", Read),
    ("path", Read),
    ("token_env", Read),
];

pub(super) const FILTER: &[Key] = &[("hash_key_env", Read), ("seal_key_env", Read)];
