//! Puts the parts together and runs them until a signal comes.

use std::future::Future;
use std::io::Write;
use std::net::SocketAddr;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use companion_protocol::sealed::CaptureKey;
use tokio::net::TcpListener;

use crate::admin::{Admin, Door};
use crate::approvals::{self, ApprovalPages};
use crate::audit::{self, AuditLog, AuditOptions, SigningKey};
use crate::config::{ConfigError, Policies};
use crate::delegation::Minter;
use crate::effects::Effects;
use crate::elicitation::{Desk, Webhooks};
use crate::jwks::KeySets;
use crate::listen::{Caller, LiveTls, TlsFiles, TlsFilesError, TlsListener};
use crate::live::Live;
use crate::metrics::Metrics;
use crate::otlp::{Otlp, OtlpError, OtlpOptions};
use crate::outbound::{Egress, Outbound, TlsError};
use crate::service::{AccessToken, AccessTokens, RateLimit, Service, router};
use crate::store::{
    self, Address, CaseStore, EmbeddedCases, EmbeddedStore, Lifetimes, SessionStore, ValkeyStore,
};

/// Requests that are still running at shutdown get this long.
const DRAIN: Duration = Duration::from_secs(10);

/// How often the embedded store notes the time and removes some of what has ended.
const TICK: Duration = Duration::from_secs(60);

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
    /// The size in bytes at which a file of the log is sealed; default [`audit::SEGMENT_BYTES`].
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
    fn apply(self, lifetimes: &mut Lifetimes) {
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

/// A companion that listens.
pub struct Companion {
    listener: TcpListener,
    address: SocketAddr,
    service: Arc<Service>,
    tls: Option<LiveTls>,
    options: Options,
    store: Option<Address>,
    embedded: Option<Arc<EmbeddedStore>>,
    pages: Option<ApprovalPages>,
    pages_listener: Option<TcpListener>,
    otlp: Option<Otlp>,
}

impl Companion {
    /// Reads, opens and binds everything; what is wrong is found here.
    pub async fn start(options: &Options) -> Result<Self, ServeError> {
        let policies = Arc::new(read(options).await?);
        let tokens = access_tokens(options)?;
        let tls = options
            .tls
            .as_ref()
            .map(TlsFiles::read)
            .transpose()?
            .map(LiveTls::new);
        let outbound = Arc::new(Outbound::new(Arc::new(options.egress.clone()))?);
        if policies.need_tls() && !outbound.has_roots() {
            return Err(ServeError::NoRoots);
        }
        let address = match &options.store {
            Some(StoreChoice::Embedded) => {
                announce_overruled(&policies);
                None
            }
            Some(StoreChoice::Valkey(address)) => Some(Address::clone(address)),
            None => policies.store()?,
        };
        create(&options.data)?;
        let metrics = Arc::new(Metrics::new());
        let otlp = options
            .otlp
            .as_ref()
            .map(|options| Otlp::start(options, &metrics))
            .transpose()?;
        let audit_path = match &options.audit {
            Some(path) => path.clone(),
            None => options.data.join("audit.jsonl"),
        };
        let keys = KeySets::new(&policies, Arc::clone(&outbound), Arc::clone(&metrics));
        let store_address = address.clone();
        let place = address.as_ref().map(|address| address.endpoint().to_owned());
        let (store, cases, embedded): (Arc<dyn SessionStore>, Arc<dyn CaseStore>, _) = match address {
            Some(address) => {
                let valkey = Arc::new(ValkeyStore::open(address).await?);
                (Arc::clone(&valkey) as _, valkey, None)
            }
            None => {
                let embedded = Arc::new(EmbeddedStore::open(&options.data)?);
                let cases = Arc::new(EmbeddedCases::open(&options.data)?);
                (Arc::clone(&embedded) as _, cases, Some(embedded))
            }
        };
        let audit_options = AuditOptions {
            key: options.audit_key.as_deref().map(signing_key).transpose()?,
            segment_bytes: options.audit_segment_bytes.unwrap_or(audit::SEGMENT_BYTES),
            keep: options.audit_keep,
            pseudonyms: options
                .audit_pseudonyms_env
                .as_deref()
                .map(pseudonyms)
                .transpose()?,
            capture_key: options.capture_key.as_deref().map(capture_key).transpose()?,
            copies: otlp.as_ref().and_then(|otlp| otlp.logs.clone()),
        };
        let audit = Arc::new(AuditLog::open(&audit_path, audit_options, Arc::clone(&metrics))?);
        let failed = |source| ServeError::Listen {
            address: options.listen,
            source,
        };
        let listener = TcpListener::bind(options.listen).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let admin_token =
            Door::write(&options.data, address, place.as_deref()).map_err(|source| ServeError::Admin {
                path: Door::path(&options.data),
                source,
            })?;
        let desk = Arc::new(Desk {
            cases,
            outbound: Arc::clone(&outbound),
            audit: Arc::clone(&audit),
            pages: policies.pages().map(|pages| pages.origin.clone()),
            demo_links: options.demo_links,
            webhooks: Webhooks::new(Arc::clone(&outbound)),
        });
        let pages = policies
            .pages()
            .map(|pages| ApprovalPages::new(Arc::clone(&desk), pages.clone()));
        let pages_listener = match options.approvals_listen {
            None => None,
            Some(address) => {
                let failed = |source| ServeError::Listen { address, source };
                Some(TcpListener::bind(address).await.map_err(failed)?)
            }
        };
        let service = Arc::new(Service {
            admin: Admin::new(Arc::clone(&store), Arc::clone(&audit)),
            admin_token: AccessToken::new(&admin_token),
            effects: Effects {
                policies: Live::new(policies),
                store,
                audit,
                minter: Minter::new(Arc::clone(&outbound), Arc::clone(&metrics)),
                outbound,
                desk,
                counters: crate::counting::Counters::default(),
                metrics,
            },
            keys: Live::new(Arc::new(keys)),
            rate: options.rate_limit.map(RateLimit::new),
            tokens: Live::new(Arc::new(tokens)),
            leaving: AtomicBool::new(false),
            spans: otlp.as_ref().and_then(|otlp| otlp.spans.clone()),
        });
        tracing::info!(
            %address,
            policies = ?service.effects.policies.get().digests(),
            audit = %audit_path.display(),
            store = place.as_deref().unwrap_or("embedded"),
            epoch = %service.effects.store.epoch(),
            "ready"
        );
        Ok(Self {
            listener,
            address,
            service,
            tls,
            options: options.clone(),
            store: store_address,
            embedded,
            pages,
            pages_listener,
            otlp,
        })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where the approval pages are, when they are elsewhere.
    pub fn pages_address(&self) -> Option<SocketAddr> {
        self.pages_listener
            .as_ref()
            .and_then(|listener| listener.local_addr().ok())
    }

    /// Serves until `stop` completes, then lets running requests finish. `reload` completes whenever the configuration is to be
    /// read again.
    pub async fn run(
        self,
        stop: impl Future<Output = ()> + Send + 'static,
        reload: impl FnMut() -> Reload + Send + 'static,
    ) -> Result<(), ServeError> {
        let ticker = tokio::spawn(tick(self.embedded));
        let renewer = Renewer {
            service: Arc::clone(&self.service),
            tls: self.tls.clone(),
            options: self.options,
            store: self.store,
        };
        let drain = renewer.options.drain;
        let refresher = tokio::spawn(renewer.run(reload));
        let (stopping, stopped) = tokio::sync::oneshot::channel();
        let leaver = Arc::clone(&self.service);
        let mut routes = router(self.service);
        let mut pages_server = None;
        if let Some(pages) = self.pages.map(approvals::router) {
            match self.pages_listener {
                None => routes = routes.merge(pages),
                Some(listener) => {
                    pages_server = Some(tokio::spawn(axum::serve(listener, pages).into_future()))
                }
            }
        }
        let stop = async move {
            stop.await;
            leaver.leaving.store(true, Ordering::Relaxed);
            tokio::time::sleep(drain).await;
            let _ = stopping.send(());
        };
        let routes = routes.into_make_service_with_connect_info::<Caller>();
        let server: Pin<Box<dyn Future<Output = std::io::Result<()>> + Send>> = match self.tls {
            None => Box::pin(
                axum::serve(self.listener, routes)
                    .with_graceful_shutdown(stop)
                    .into_future(),
            ),
            Some(tls) => {
                let listener = TlsListener::over(self.listener, tls).map_err(ServeError::Server)?;
                Box::pin(
                    axum::serve(listener, routes)
                        .with_graceful_shutdown(stop)
                        .into_future(),
                )
            }
        };
        let drained = async {
            // A sender that is dropped means that the server ended by itself.
            if stopped.await.is_err() {
                std::future::pending::<()>().await;
            }
            tokio::time::sleep(DRAIN).await;
        };
        let outcome = tokio::select! {
            outcome = server => outcome.map_err(ServeError::Server),
            () = drained => {
                tracing::warn!("requests were still running at the end of the drain time");
                Ok(())
            }
        };
        refresher.abort();
        ticker.abort();
        if let Some(pages_server) = pages_server {
            pages_server.abort();
        }
        if let Some(otlp) = self.otlp {
            otlp.finish().await;
        }
        outcome
    }
}

/// Completes when the configuration is to be read again.
pub type Reload = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Reads the configuration again, secrets and certificates with it, and keeps the keys of issuers fresh.
struct Renewer {
    service: Arc<Service>,
    tls: Option<LiveTls>,
    options: Options,
    store: Option<Address>,
}

impl Renewer {
    async fn run(self, mut reload: impl FnMut() -> Reload) {
        let fresh = |service: &Service| tokio::spawn(service.keys.get().keep_fresh());
        let mut refresher = AbortOnDrop(fresh(&self.service));
        loop {
            reload().await;
            match self.renew().await {
                Ok(()) => {
                    refresher = AbortOnDrop(fresh(&self.service));
                    tracing::info!(policies = ?self.service.effects.policies.get().digests(), "read the configuration again");
                }
                // What was good goes on.
                Err(error) => {
                    let cause = std::error::Error::source(&error).map(ToString::to_string);
                    tracing::error!(%error, cause, "the configuration cannot be read again; the old one stays");
                }
            }
            let _ = &refresher;
        }
    }

    async fn renew(&self) -> Result<(), ServeError> {
        let policies = read(&self.options).await?;
        let store = match &self.options.store {
            Some(_) => self.store.clone(),
            None => policies.store()?,
        };
        let endpoint = |store: &Option<Address>| store.as_ref().map(|store| store.endpoint().to_owned());
        if endpoint(&store) != endpoint(&self.store) {
            return Err(ServeError::StoreMoved);
        }
        let tls = self.options.tls.as_ref().map(TlsFiles::read).transpose()?;
        let tokens = access_tokens(&self.options)?;
        let effects = &self.service.effects;
        if policies.need_tls() && !effects.outbound.has_roots() {
            return Err(ServeError::NoRoots);
        }
        if policies.pages().map(|pages| &pages.origin) != effects.desk.pages.as_ref() {
            return Err(ServeError::PagesMoved);
        }
        // All of it is good: now it counts, the keys first, because policies name their issuers.
        self.service
            .keys
            .set(Arc::new(self.service.keys.get().renewed(&policies)));
        effects.policies.set(Arc::new(policies));
        self.service.tokens.set(Arc::new(tokens));
        if let (Some(live), Some(tls)) = (&self.tls, tls) {
            live.set(tls);
        }
        Ok(())
    }
}

struct AbortOnDrop(tokio::task::JoinHandle<()>);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// The policies as the operator wants them, with endpoints that may be called.
async fn read(options: &Options) -> Result<Policies, ServeError> {
    let mut policies = Policies::read(&options.configs, options.approvals.as_deref()).await?;
    policies.override_lifetimes(|lifetimes| options.lifetimes.apply(lifetimes));
    check_egress(&policies, &options.egress)?;
    match policies.capturing() {
        Some(digest) if options.capture_key.is_none() => Err(ServeError::NoCaptureKey(digest.to_owned())),
        Some(_) | None => Ok(policies),
    }
}

/// The store's minute.
async fn tick(store: Option<Arc<EmbeddedStore>>) {
    let Some(store) = store else {
        return;
    };
    let mut minute = tokio::time::interval(TICK);
    minute.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        minute.tick().await;
        // The writer has raised the alarm; the next minute tries again.
        let _ = store.tick().await;
    }
}

fn signing_key(path: &Path) -> Result<SigningKey, ServeError> {
    let pem = std::fs::read_to_string(path).map_err(|source| ServeError::ReadAuditKey {
        path: path.to_owned(),
        source,
    })?;
    SigningKey::from_pem(&pem).map_err(|source| ServeError::AuditKey {
        path: path.to_owned(),
        source,
    })
}

fn pseudonyms(name: &str) -> Result<audit::Pseudonyms, ServeError> {
    let key = std::env::var(name).unwrap_or_default();
    audit::Pseudonyms::new(key.as_bytes()).map_err(|_| ServeError::Pseudonyms(name.to_owned()))
}

fn capture_key(path: &Path) -> Result<CaptureKey, ServeError> {
    let wrong = |why: String| ServeError::CaptureKey {
        path: path.to_owned(),
        why,
    };
    let pem = std::fs::read_to_string(path).map_err(|error| wrong(error.to_string()))?;
    CaptureKey::from_pem(&pem).map_err(|error| wrong(error.to_string()))
}

/// `None`: whoever reaches the socket may ask.
fn access_tokens(options: &Options) -> Result<Option<AccessTokens>, ServeError> {
    let asks_certificates = options
        .tls
        .as_ref()
        .is_some_and(|tls| tls.client_authority.is_some());
    match (&options.token_file, &options.token_env) {
        (None, None) if options.listen.ip().is_loopback() || asks_certificates => Ok(None),
        (None, None) => Err(ServeError::Open(options.listen)),
        (Some(path), _) => {
            let no_tokens = |source| ServeError::TokenFile {
                path: path.clone(),
                source,
            };
            let text = std::fs::read_to_string(path).map_err(no_tokens)?;
            let empty = || std::io::Error::other("it holds no token");
            Ok(Some(
                AccessTokens::of_lines(&text).ok_or_else(|| no_tokens(empty()))?,
            ))
        }
        (None, Some(name)) => match std::env::var(name) {
            Ok(text) if !text.is_empty() => Ok(Some(AccessTokens::one(&text))),
            Ok(_) | Err(_) => Err(ServeError::NoToken(name.clone())),
        },
    }
}

/// What is certain to be refused is said at start. A name is looked at when it is called.
fn check_egress(policies: &Policies, egress: &Egress) -> Result<(), ServeError> {
    let refused = policies
        .endpoints()
        .into_iter()
        .find(|(_, uri)| egress.refuses_host(uri));
    match refused {
        None => Ok(()),
        Some((what, uri)) => Err(ServeError::Egress {
            what,
            host: uri.host().unwrap_or_default().to_owned(),
        }),
    }
}

/// On standard output too: whoever starts it by hand sees no log.
fn announce_overruled(policies: &Policies) {
    for (digest, endpoint) in policies.wanting_valkey() {
        tracing::warn!(
            policy = digest,
            endpoint,
            "the policy asks for Valkey; the operator chose the embedded store"
        );
        let _ = writeln!(
            std::io::stdout(),
            "policy {digest:.12} asks for Valkey at {endpoint}: --store keeps labels in the embedded store instead"
        );
    }
}

fn create(data: &Path) -> Result<(), ServeError> {
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(data)
        .map_err(|source| ServeError::Data {
            path: data.to_owned(),
            source,
        })
}
