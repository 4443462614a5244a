//! What an operator does to labels: `aplomb-companion sessions show|clear|import`.
//!
//! An operator is whoever can read the data directory. A running companion leaves a [`Door`] there (mode 0600): its
//! address and a token drawn at start, which no proxy has. When no companion runs, the command line opens the store
//! itself; the store's lock decides which of the two it is.
//!
//! A clear is recorded in the audit log *before* labels go; a log that cannot be written means that nothing is cleared.

mod door;
mod import;

use std::sync::Arc;

use companion_protocol::{AuditRecord, StepRecord};
use serde::{Deserialize, Serialize};

use crate::audit::AuditLog;
use crate::clock::now_ms;
use crate::store::{Bucket, Cleared, Selection, SessionStore, StoreError, random_id};

pub use door::{Door, DoorError};
pub use import::{
    IMPORT_PATH, IMPORT_STEP, ImportLifetimes, ImportRequest, Imported, Incoming, MAX_IMPORTED,
};

/// The path that lists buckets: `POST` of a [`Selection`], answered with a list of [`Bucket`].
pub const SHOW_PATH: &str = "/v1/admin/sessions/show";

/// The path that clears buckets: `POST` of a [`ClearRequest`], answered with a [`Cleared`].
pub const CLEAR_PATH: &str = "/v1/admin/sessions/clear";

/// The longest reason in bytes.
pub const MAX_REASON_BYTES: usize = 1024;

/// The plugin name under which a clear stands in the audit log.
pub const CLEAR_STEP: &str = "aplomb.sessions.clear";

/// What to remove, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ClearRequest {
    /// Which buckets.
    pub selection: Selection,
    /// Why, for the audit log.
    pub reason: String,
    /// Who, as they say themselves.
    pub operator: String,
}

/// Why an operator's wish was not performed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AdminError {
    /// No reason, or a novel.
    #[error("it needs a reason of at most {MAX_REASON_BYTES} bytes")]
    Reason,
    /// More buckets than one import takes.
    #[error("one import takes at most {MAX_IMPORTED} buckets")]
    TooMany,
    /// The log refused, so nothing was changed.
    #[error("the audit log cannot be written; nothing was changed")]
    Audit,
    /// The system has no randomness.
    #[error("the system has no randomness")]
    Random,
    /// The store refused.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Performs an operator's wishes.
#[derive(Clone)]
pub struct Admin {
    store: Arc<dyn SessionStore>,
    audit: Arc<AuditLog>,
}

impl Admin {
    /// Over this store and log.
    pub fn new(store: Arc<dyn SessionStore>, audit: Arc<AuditLog>) -> Self {
        Self { store, audit }
    }

    /// What the selected buckets hold.
    pub async fn show(&self, selection: &Selection) -> Result<Vec<Bucket>, AdminError> {
        Ok(self.store.list(selection).await?)
    }

    /// Records the clear, then removes the labels.
    pub async fn clear(&self, asked: &ClearRequest) -> Result<Cleared, AdminError> {
        if asked.reason.trim().is_empty() || asked.reason.len() > MAX_REASON_BYTES {
            return Err(AdminError::Reason);
        }
        let held = self.store.list(&asked.selection).await?;
        let record = self.record(asked, &held)?;
        self.audit.append(&record).await.map_err(|_| AdminError::Audit)?;
        let cleared = self.store.clear(&asked.selection).await?;
        tracing::warn!(
            operator = asked.operator,
            reason = asked.reason,
            subject = asked.selection.subject,
            session = asked.selection.session,
            labels = cleared.labels,
            epoch = cleared.epoch,
            "an operator cleared labels"
        );
        Ok(cleared)
    }

    fn record(&self, asked: &ClearRequest, held: &[Bucket]) -> Result<AuditRecord, AdminError> {
        let mut labels: Vec<String> = held
            .iter()
            .flat_map(|bucket| bucket.labels.iter().map(|held| held.label.clone()))
            .collect();
        labels.sort_unstable();
        labels.dedup();
        let id = random_id().map_err(|_| AdminError::Random)?;
        Ok(AuditRecord {
            // An operator's acts are few and each is a stream of its own: nothing numbers them across restarts.
            seq: 0,
            stream: format!("operator-{id}"),
            at_ms: now_ms(),
            decision_id: format!("operator-{id}"),
            policy_digest: String::new(),
            step: Some(StepRecord {
                plugin: CLEAR_STEP.to_owned(),
                source: asked.reason.clone(),
            }),
            entity_type: "sessions".to_owned(),
            entity_name: "clear".to_owned(),
            subject: Some(format!("sha256:{}", asked.selection.subject)),
            client: Some(asked.operator.clone()),
            session: asked.selection.session.clone(),
            labels,
            ..AuditRecord::default()
        })
    }
}
