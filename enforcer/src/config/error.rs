//! What can be wrong with a configuration.

/// Why a configuration is refused. Envoy keeps the last good one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// Not JSON, an unknown key, a missing key, a wrong type. The text names the key.
    #[error("the plugin configuration is not valid: {0}")]
    Json(String),
    /// No `install.mode`.
    #[error(
        "`install.mode` is missing: say `full` (Envoy's allow_on_headers_stop_iteration is set), `paired` (two plugins of \
         this module) or `single` (headers are not held)"
    )]
    MissingMode,
    /// A role where none belongs, or none where one does.
    #[error("`install.role` must be `decider` or `holder` with mode `paired`, and absent otherwise")]
    Role,
    /// `protocols` is empty.
    #[error("`protocols` lists no entry: nothing would be governed")]
    NoProtocols,
    /// A prefix without `/` in front, or with a query.
    #[error("`protocols[].path_prefix` must be an absolute path, not `{0}`")]
    Prefix(String),
    /// No origin.
    #[error(
        "`protocols[].origins`: `{0}` is no origin as browsers write it: a scheme, `://`, a host in lower case, and a port where it is not the scheme's own (`https://app.example`)"
    )]
    Origin(String),
    /// Two entries for the same authority and prefix.
    #[error("`protocols` has two entries for `{0}`")]
    DuplicateProtocol(String),
    /// `policy` is missing.
    #[error("`policy` is missing: base64 of the file that `aplc build` writes")]
    MissingPolicy,
    /// `policy` is not base64.
    #[error("`policy` is not base64")]
    PolicyBase64,
    /// The second program cannot be judged by.
    #[error("`shadow_policy`: {0}")]
    Shadow(Box<ConfigError>),
    /// A limit out of its range.
    #[error("`{0}` must be {1}")]
    Limit(&'static str, &'static str),
    /// The program does not load.
    #[error("the policy does not load: {0}")]
    Program(String),
    /// Another program than expected.
    #[error("the policy's digest is {found}, but `policy_digest` says {expected}")]
    Digest {
        /// In the configuration.
        expected: String,
        /// Of the program.
        found: String,
    },
    /// `policy_public_key` is no key.
    #[error(
        "`policy_public_key` is not the base64 of an Ed25519 public key (32 bytes): `aplc sign` prints it"
    )]
    PublicKey,
    /// A key is configured, and the program carries no signature.
    #[error(
        "the policy is not signed, and `policy_public_key` is configured: sign it with `aplc sign` or `aplc build --sign-key`"
    )]
    Unsigned,
    /// The signature is not of this key, or not over this program.
    #[error(
        "the policy's signature is not one of `policy_public_key` over {0}: sign this program with the key that belongs to it"
    )]
    Signature(String),
    /// The policy needs the companion.
    #[error("the policy needs the companion ({0}), but `companion` is not configured")]
    NeedsCompanion(&'static str),
    /// The policy needs the hash key.
    #[error("the policy uses `hash`, but {0}")]
    NeedsHashKey(&'static str),
    /// A variable that the configuration names is not set.
    #[error("the environment variable `{0}`, named by `{1}`, is not set or empty")]
    MissingVariable(String, &'static str),
    /// The policy needs held headers.
    #[error("`install.mode: single` does not hold headers, but {need} ({route}): use `full` or `paired`")]
    NeedsHeldHeaders {
        /// What needs them.
        need: &'static str,
        /// Where.
        route: String,
    },
    /// A seal key that is too short, or one that cannot be used.
    #[error("`{0}`: {1}")]
    SealKey(&'static str, &'static str),
    /// The policy makes public what it governs.
    #[error(
        "`engine_settings.public_paths` of the policy makes `{0}` public, which `protocols` governs: name paths below it"
    )]
    PublicPath(String),
    /// Something that a later build brings.
    #[error("{0} is not in this build")]
    NotInBuild(&'static str),
    /// The policy leaves an identity to the deployment, and the configuration does not name its issuers.
    #[error(
        "the policy leaves the issuers of `{0}` to the deployment, and `identities` does not name them: build with `aplc \
         build --deploy FILE`"
    )]
    Unbound(String),
    /// Issuers for an identity that has its own, or that is none.
    #[error("`identities` binds `{0}`, which is no identity that the policy leaves to the deployment")]
    NothingToBind(String),
    /// Keys that the policy brings are not a JWKS.
    #[error("the keys of issuer `{0}` in the policy are not a JWKS")]
    InlineKeys(String),
}
