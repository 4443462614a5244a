//! The configuration, read again while the companion runs.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use super::prepare::{access_tokens, read};
use super::{Options, ServeError};
use crate::listen::{LiveTls, TlsFiles};
use crate::service::Service;
use crate::store::Address;

/// Completes when the configuration is to be read again.
pub type Reload = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Reads the configuration again, secrets and certificates with it, and keeps the keys of issuers fresh.
pub(super) struct Renewer {
    pub(super) service: Arc<Service>,
    pub(super) tls: Option<LiveTls>,
    pub(super) options: Options,
    pub(super) store: Option<Address>,
}

impl Renewer {
    pub(super) async fn run(self, mut reload: impl FnMut() -> Reload) {
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
