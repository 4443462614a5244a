//! Puts the parts together and runs them until a signal comes.

mod error;
mod options;
mod prepare;
mod renew;

use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::net::TcpListener;

use crate::admin::{Admin, Door};
use crate::approvals::{self, ApprovalPages};
use crate::audit::{self, AuditLog, AuditOptions};
use crate::delegation::Minter;
use crate::effects::Effects;
use crate::elicitation::{Desk, Webhooks};
use crate::jwks::KeySets;
use crate::listen::{Caller, LiveTls, TlsFiles, TlsListener};
use crate::live::Live;
use crate::metrics::Metrics;
use crate::otlp::Otlp;
use crate::outbound::Outbound;
use crate::service::{AccessToken, RateLimit, Service, router};
use crate::store::{Address, CaseStore, EmbeddedCases, EmbeddedStore, SessionStore, ValkeyStore};
use prepare::{access_tokens, announce_overruled, capture_key, create, pseudonyms, read, signing_key};
use renew::Renewer;

pub use error::ServeError;
pub use options::{LifetimeOverrides, Options, StoreChoice};
pub use renew::Reload;

/// Requests that are still running at shutdown get this long.
const DRAIN: Duration = Duration::from_secs(10);

/// How often the embedded store notes the time and removes some of what has ended.
const TICK: Duration = Duration::from_secs(60);

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
