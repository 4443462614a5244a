//! What an operator may say.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use crate::listen::TlsFiles;
use crate::otlp::OtlpOptions;
use crate::outbound::Egress;
use crate::store::{Address, Lifetimes};

/// What the operator asks for.
#[derive(Debug, Clone)]
pub struct Options {
    /// `companion.json` files, one a policy.
    pub configs: Vec<PathBuf>,
    /// Where to listen. Port 0 picks one.
    pub listen: SocketAddr,
    /// Where the store is. Created with mode 0700 if it is not there.
    pub data: PathBuf,
    /// The audit log; default `audit.jsonl` in `data`.
    pub audit: Option<PathBuf>,
    /// The file with the key that signs the log's checkpoints, an Ed25519 private key in PKCS#8 PEM.
    pub audit_key: Option<PathBuf>,
    /// The size in bytes at which a file of the log is sealed; default [`crate::audit::SEGMENT_BYTES`].
    pub audit_segment_bytes: Option<u64>,
    /// Sealed files of the log that are older are deleted; absent: none is.
    pub audit_keep: Option<Duration>,
    /// The environment variable with the key that names become pseudonyms under.
    pub audit_pseudonyms_env: Option<String>,
    /// The file with the X25519 public key (PEM) that what policies captured is encrypted to.
    pub capture_key: Option<PathBuf>,
    /// The environment variable that holds the bearer token.
    pub token_env: Option<String>,
    /// The file of bearer tokens, one a line, in its place.
    pub token_file: Option<PathBuf>,
    /// Where labels live, if not where the policies say.
    pub store: Option<StoreChoice>,
    /// How long labels live, where it is not as the policies say.
    pub lifetimes: LifetimeOverrides,
    /// A file with the approval pages, which are then not as the policies say.
    pub approvals: Option<PathBuf>,
    /// Where the approval pages are served; absent: with everything else.
    pub approvals_listen: Option<SocketAddr>,
    /// Print a one-time link for every request on the pages. Whoever reads it can answer.
    pub demo_links: bool,
    /// What may be reached beside public addresses.
    pub egress: Egress,
    /// TLS for callers; absent: plain TCP.
    pub tls: Option<TlsFiles>,
    /// The most requests a second of one caller; absent: any number.
    pub rate_limit: Option<u32>,
    /// At the end it answers for so long while it says that it is leaving.
    pub drain: Duration,
    /// The collector for copies of audit records and for spans.
    pub otlp: Option<OtlpOptions>,
}

/// The operator's word on where labels live.
#[derive(Debug, Clone)]
pub enum StoreChoice {
    /// In the data directory.
    Embedded,
    /// On this server.
    Valkey(Box<Address>),
}

/// What the operator says about lifetimes, in seconds. 0: they do not end.
#[derive(Debug, Clone, Copy, Default)]
pub struct LifetimeOverrides {
    /// Of a session label since the session's last use.
    pub session_idle_s: Option<u64>,
    /// Of a session label since its last append.
    pub session_max_s: Option<u64>,
    /// Of a subject label whose rule gives no `ttl`, since its last append.
    pub subject_s: Option<u64>,
}

impl LifetimeOverrides {
    pub(super) fn apply(self, lifetimes: &mut Lifetimes) {
        let set = |ms: &mut u64, s: Option<u64>| {
            if let Some(s) = s {
                *ms = s.saturating_mul(1000);
            }
        };
        set(&mut lifetimes.session_idle_ms, self.session_idle_s);
        set(&mut lifetimes.session_max_ms, self.session_max_s);
        set(&mut lifetimes.subject_ms, self.subject_s);
    }
}
