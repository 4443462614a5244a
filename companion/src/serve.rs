//! Puts the parts together and runs them until a signal comes.

use std::future::Future;
use std::io::Write;
use std::net::SocketAddr;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;

use crate::admin::{Admin, Door};
use crate::approvals::{self, ApprovalPages};
use crate::audit::{self, AuditLog, AuditOptions, SigningKey};
use crate::config::{ConfigError, Policies};
use crate::delegation::Minter;
use crate::effects::Effects;
use crate::elicitation::{Desk, Webhooks};
use crate::jwks::KeySets;
use crate::metrics::Metrics;
use crate::outbound::{Egress, Outbound, TlsError};
use crate::service::{AccessToken, Service, router};
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
    /// The environment variable that holds the bearer token.
    pub token_env: Option<String>,
    /// Where labels live, if not where the policies say.
    pub store: Option<StoreChoice>,
    /// How long labels live, where it is not as the policies say.
    pub lifetimes: LifetimeOverrides,
    /// Where the approval pages are served; absent: with everything else.
    pub approvals_listen: Option<SocketAddr>,
    /// Print a one-time link for every request on the pages. Whoever reads it can answer.
    pub demo_links: bool,
    /// What may be reached beside public addresses.
    pub egress: Egress,
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
        "`{0}` is not a loopback address: set a bearer token and name its variable with `--token-env NAME`"
    )]
    Open(SocketAddr),
    /// The variable is not set, or empty.
    #[error("`--token-env` names `{0}`, which is not set or empty")]
    NoToken(String),
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
    /// The address cannot be listened on.
    #[error("cannot listen on `{address}`")]
    Listen {
        /// Which address.
        address: SocketAddr,
        /// What the system said.
        source: std::io::Error,
    },
    /// The server failed.
    #[error("the server failed")]
    Server(#[source] std::io::Error),
}

/// A companion that listens.
pub struct Companion {
    listener: TcpListener,
    address: SocketAddr,
    service: Service,
    keys: Arc<KeySets>,
    embedded: Option<Arc<EmbeddedStore>>,
    pages: Option<ApprovalPages>,
    pages_listener: Option<TcpListener>,
}

impl Companion {
    /// Reads, opens and binds everything; what is wrong is found here.
    pub async fn start(options: &Options) -> Result<Self, ServeError> {
        let mut policies = Policies::read(&options.configs).await?;
        policies.override_lifetimes(|lifetimes| options.lifetimes.apply(lifetimes));
        let policies = Arc::new(policies);
        let token = access_token(options)?;
        check_egress(&policies, &options.egress)?;
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
        let audit_path = match &options.audit {
            Some(path) => path.clone(),
            None => options.data.join("audit.jsonl"),
        };
        let keys = KeySets::new(&policies, Arc::clone(&outbound), Arc::clone(&metrics));
        let keys = Arc::new(keys);
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
        let service = Service {
            admin: Admin::new(Arc::clone(&store), Arc::clone(&audit)),
            admin_token: AccessToken::new(&admin_token),
            effects: Effects {
                policies,
                store,
                audit,
                minter: Minter::new(Arc::clone(&outbound), Arc::clone(&metrics)),
                outbound,
                desk,
                counters: crate::counting::Counters::default(),
                metrics,
            },
            keys: Arc::clone(&keys),
            token,
        };
        tracing::info!(
            %address,
            policies = ?service.effects.policies.digests(),
            audit = %audit_path.display(),
            store = place.as_deref().unwrap_or("embedded"),
            epoch = %service.effects.store.epoch(),
            "ready"
        );
        Ok(Self {
            listener,
            address,
            service,
            keys,
            embedded,
            pages,
            pages_listener,
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

    /// Serves until `stop` completes, then lets running requests finish.
    pub async fn run(self, stop: impl Future<Output = ()> + Send + 'static) -> Result<(), ServeError> {
        let refresher = tokio::spawn(self.keys.keep_fresh());
        let ticker = tokio::spawn(tick(self.embedded));
        let (stopping, stopped) = tokio::sync::oneshot::channel();
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
        let server = axum::serve(self.listener, routes).with_graceful_shutdown(async {
            stop.await;
            let _ = stopping.send(());
        });
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
        outcome
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

fn access_token(options: &Options) -> Result<Option<AccessToken>, ServeError> {
    match &options.token_env {
        None if options.listen.ip().is_loopback() => Ok(None),
        None => Err(ServeError::Open(options.listen)),
        Some(name) => match std::env::var(name) {
            Ok(text) if !text.is_empty() => Ok(Some(AccessToken::new(&text))),
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
