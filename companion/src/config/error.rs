//! What can be wrong with a configuration.

use std::path::PathBuf;

use companion_protocol::config::{CONFIG_VERSION, MAX_RULE_LINES};

use super::endpoint::EndpointError;
use super::secrets::SecretError;
use crate::store::AddressError;

/// Why a configuration cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read `{path}`")]
    Read {
        /// Which file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file is not a companion configuration.
    #[error("`{path}` is not a companion configuration")]
    Parse {
        /// Which file.
        path: PathBuf,
        /// Where and why.
        source: serde_json::Error,
    },
    /// The lines of rules are not in the form that `aplc build` writes.
    #[error("`{path}` does not say where rules stand: build the policy again, or remove the file")]
    Lines {
        /// Which file.
        path: PathBuf,
        /// Where and why.
        source: serde_json::Error,
    },
    /// More than are held in memory.
    #[error(
        "`{path}` has more than {MAX_RULE_LINES} rules: remove the file; `aplc why --policy` finds lines without it"
    )]
    TooManyLines {
        /// Which file.
        path: PathBuf,
    },
    /// The file was written by another generation of `aplc`.
    #[error(
        "`{path}` has version {found}, this build reads version {CONFIG_VERSION}: build the policy again"
    )]
    Version {
        /// Which file.
        path: PathBuf,
        /// Its version.
        found: u32,
    },
    /// The digest is not a SHA-256 in lower-case hex.
    #[error("`{path}`: `policy_digest` is not 64 lower-case hex digits")]
    Digest {
        /// Which file.
        path: PathBuf,
    },
    /// Two files claim one policy with different content.
    #[error("two configurations for policy {digest} differ; the second is `{path}`")]
    Conflict {
        /// The policy.
        digest: String,
        /// The second file.
        path: PathBuf,
    },
    /// Two files name different key sets for one issuer.
    #[error("issuer `{issuer}` has two key sets; the second is in `{path}`")]
    IssuerConflict {
        /// The issuer.
        issuer: String,
        /// The second file.
        path: PathBuf,
    },
    /// An endpoint cannot be used.
    #[error("{what}")]
    Endpoint {
        /// Whose endpoint: delegator or issuer.
        what: String,
        /// Why.
        source: EndpointError,
    },
    /// A store cannot be used.
    #[error("`{path}`: `session_store` cannot be used")]
    Store {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: AddressError,
    },
    /// A secret or certificate of a store is missing.
    #[error("`{path}`: `{field}` of `session_store` cannot be read")]
    StoreSecret {
        /// Which file.
        path: PathBuf,
        /// `password` or `ca_file`.
        field: &'static str,
        /// Why.
        source: SecretError,
    },
    /// Policies ask for different stores.
    #[error("the policies ask for different session stores; choose one for all with `--store`")]
    StoreConflict,
    /// A delegator's header cannot be sent.
    #[error("delegator `{delegator}`: `{field}` cannot stand in an HTTP header")]
    Header {
        /// Whose.
        delegator: String,
        /// `outbound_header` or `outbound_prefix`.
        field: &'static str,
    },
    /// Two files describe different approval pages.
    #[error("the policies describe different approval pages; the second is in `{0}`")]
    PagesConflict(PathBuf),
    /// Cookies of the pages hold for a whole origin.
    #[error("approvals: `public_url` is `{0}`; give scheme and host, without a path")]
    PublicUrl(String),
    /// Policies, modules, schema or entities of a decision point are wrong.
    #[error("decision point `{name}`: {reason}")]
    DecisionPoint {
        /// Which.
        name: String,
        /// What the engine says.
        reason: String,
    },
    /// A file of API keys cannot be read; the log says why.
    #[error("key directory `{0}` cannot be read; it is a JSON object from a key's SHA-256 to its record")]
    KeyDirectory(String),
    /// Another secret than a delegator's is missing or unreadable.
    #[error("{what} is not there")]
    OtherSecret {
        /// Whose, which.
        what: String,
        /// Which reference, and why.
        source: SecretError,
    },
    /// Vault does not give what the configuration names there.
    #[error("a secret cannot be had from Vault")]
    Vault(#[from] super::VaultError),
    /// The way of authentication needs a credential that is not named.
    #[error("delegator `{delegator}` needs `{field}` for its `client_auth`")]
    MissingCredential {
        /// Whose.
        delegator: String,
        /// `client_secret` or `client_key`.
        field: &'static str,
    },
    /// A private key that cannot sign assertions.
    #[error(
        "delegator `{0}`: `client_key` is no PEM of an RSA (2048 bits or more), P-256 or Ed25519 private key"
    )]
    ClientKey(String),
    /// Not a public key of Ed25519.
    #[error("delegator `{0}`: `root_public_key` holds no Ed25519 public keys of 64 hex digits each")]
    RootKey(String),
    /// A secret is missing or unreadable.
    #[error("delegator `{delegator}` has no `{field}`")]
    Secret {
        /// Whose.
        delegator: String,
        /// Which.
        field: &'static str,
        /// Which reference, and why.
        source: SecretError,
    },
}
