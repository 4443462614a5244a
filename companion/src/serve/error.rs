//! What keeps a companion from starting.

use std::net::SocketAddr;
use std::path::PathBuf;

use crate::audit;
use crate::config::ConfigError;
use crate::listen::TlsFilesError;
use crate::otlp::OtlpError;
use crate::outbound::TlsError;
use crate::store;

/// Why the companion does not start, or stopped.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// A configuration cannot be served.
    #[error("bad configuration")]
    Config(#[from] ConfigError),
    /// Not loopback, and nobody would have to prove anything.
    #[error(
        "`{0}` is not a loopback address: ask callers for a certificate (`--tls-cert`, `--tls-key`, `--client-ca`) or a bearer token (`--token-env NAME`, `--token-file FILE`)"
    )]
    Open(SocketAddr),
    /// The variable is not set, or empty.
    #[error("`--token-env` names `{0}`, which is not set or empty")]
    NoToken(String),
    /// The file of tokens cannot be read, or holds none.
    #[error("`--token-file {path}` gives no bearer token: {source}; write one a line", path = path.display())]
    TokenFile {
        /// Where.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// https endpoints and no roots.
    #[error(
        "an endpoint is https and no root certificates were found: install `ca-certificates` or set SSL_CERT_FILE"
    )]
    NoRoots,
    /// An endpoint that would be refused whenever it is called.
    #[error(
        "{what} is at `{host}`, a private address: `--egress-allow loopback`, `private` or a network allows it"
    )]
    Egress {
        /// Whose endpoint.
        what: String,
        /// Its host.
        host: String,
    },
    /// TLS cannot be set up.
    #[error("no client for identity providers")]
    Tls(#[from] TlsError),
    /// The data directory cannot be made.
    #[error("cannot create data directory `{path}`")]
    Data {
        /// Which directory.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// TLS cannot be offered to callers.
    #[error("no TLS for callers")]
    TlsFiles(#[from] TlsFilesError),
    /// The store cannot be opened.
    #[error("no session store")]
    Store(#[from] store::OpenError),
    /// The Valkey server cannot hold labels.
    #[error("no session store")]
    Valkey(#[from] store::ValkeyError),
    /// The file that lets an operator in cannot be written.
    #[error("cannot write `{path}`")]
    Admin {
        /// Which file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The audit log cannot be opened.
    #[error("no audit log")]
    Audit(#[from] audit::OpenError),
    /// The key of the log's checkpoints cannot be read.
    #[error("cannot read `{path}`, the key of the audit log's checkpoints")]
    ReadAuditKey {
        /// Which file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The key of the log's checkpoints is none.
    #[error("`{path}` cannot sign the audit log's checkpoints")]
    AuditKey {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: audit::KeyError,
    },
    /// The variable is not set, or its key is too short.
    #[error("`--audit-pseudonyms-env` names `{0}`, which is not set or has fewer than 16 bytes")]
    Pseudonyms(String),
    /// The key that captured decisions are encrypted to cannot be read.
    #[error("`{path}` is no key that captured decisions can be encrypted to: {why}")]
    CaptureKey {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// A policy captures, and there is no key.
    #[error(
        "policy {0:.12} says `capture: facts`: name the operator's public key with `--capture-key FILE` (`openssl genpkey -algorithm x25519 -out capture.pem`, `openssl pkey -in capture.pem -pubout`)"
    )]
    NoCaptureKey(String),
    /// Copies cannot be sent.
    #[error("no OpenTelemetry collector")]
    Otlp(#[from] OtlpError),
    /// The address cannot be listened on.
    #[error("cannot listen on `{address}`")]
    Listen {
        /// Which address.
        address: SocketAddr,
        /// What the system said.
        source: std::io::Error,
    },
    /// A store does not move while it is used.
    #[error("the policies name another session store: restart to move there")]
    StoreMoved,
    /// The pages are where they are.
    #[error("the approval pages have another address: restart to move there")]
    PagesMoved,
    /// The server failed.
    #[error("the server failed")]
    Server(#[source] std::io::Error),
}
