//! Where labels live.

use crate::deployment::SecretSource;

/// Where labels live.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Store {
    /// In the companion's own store.
    Embedded,
    /// In Valkey or Redis.
    Valkey(Box<Valkey>),
}

/// A Valkey or Redis server. What is `None` has the companion's default.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Valkey {
    /// `host:port`, or a URL without credentials.
    pub endpoint: String,
    /// Plain TCP to another host than loopback is allowed.
    pub allow_plain: bool,
    /// The ACL user.
    pub username: Option<String>,
    /// Its password.
    pub password: Option<SecretSource>,
    /// PEM of the authority that signed the server's certificate.
    pub ca_file: Option<String>,
    /// What stands before every key.
    pub key_prefix: Option<String>,
    /// Replicas that must have an append on disk.
    pub replicas: Option<u32>,
    /// Time to connect, in milliseconds.
    pub connect_timeout_ms: Option<u64>,
    /// Time for a command, in milliseconds.
    pub command_timeout_ms: Option<u64>,
    /// A session label ends when its session was not used for so long, in seconds; 0: never.
    pub session_idle_s: Option<u64>,
    /// A session label ends so long after it was appended last, in seconds; 0: never.
    pub session_max_s: Option<u64>,
    /// A subject label without a `ttl` ends so long after it was appended last, in seconds; 0: never.
    pub subject_s: Option<u64>,
}
