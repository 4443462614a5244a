//! Performs the effects of one exchange, in the order in which policy wrote them.

use std::sync::Arc;
use std::time::{Instant, SystemTime};

use companion_protocol::{
    Effect, EffectCall, EffectNote, EffectResult, EffectsRequest, EffectsResponse, ElicitState, OnFail,
    TokenExchange,
};

use crate::audit::AuditLog;
use crate::clock::now_ms;
use crate::config::{Policies, Policy};
use crate::counting::{self, Counters};
use crate::decision::DecisionError;
use crate::delegation::{DelegationError, Minter};
use crate::elicitation::{Desk, ElicitError};
use crate::key_directory::DirectoryError;
use crate::live::Live;
use crate::metrics::Metrics;
use crate::otlp::Lap;
use crate::outbound::Outbound;
use crate::store::{Append, Held, SessionStore, StoreError};

/// What effects are performed with.
pub struct Effects {
    /// Which policies are known.
    pub(crate) policies: Live<Policies>,
    /// Labels.
    pub store: Arc<dyn SessionStore>,
    /// Records.
    pub audit: Arc<AuditLog>,
    /// Decision points.
    pub outbound: Arc<Outbound>,
    /// Tokens for backends.
    pub minter: Minter,
    /// Humans.
    pub desk: Arc<Desk>,
    /// What is counted for `limit` and `budget`.
    pub(crate) counters: Counters,
    /// Metrics.
    pub metrics: Arc<Metrics>,
}

impl Effects {
    /// One result an effect, and a lap for each that was begun. Stops performing at the first that fails with [`OnFail::Stop`].
    pub(crate) async fn perform(&self, request: &EffectsRequest, laps: &mut Vec<Lap>) -> EffectsResponse {
        let policies = self.policies.get();
        let Some(policy) = policies.get(&request.policy_digest) else {
            tracing::warn!(decision_id = request.decision_id, "effects of an unknown policy");
            return EffectsResponse {
                epoch: self.store.epoch().to_string(),
                results: request.effects.iter().map(|_| unknown_policy()).collect(),
                notes: Vec::new(),
            };
        };
        // No newer than the oldest labels in the answer, see `Held`.
        let mut epoch = Reported::of(self.store.epoch());
        let mut results = Vec::with_capacity(request.effects.len());
        let mut notes = Vec::with_capacity(request.effects.len());
        let mut stopped = false;
        for call in &request.effects {
            if stopped {
                results.push(EffectResult::Skipped);
                notes.push(EffectNote::default());
                continue;
            }
            let (result, note, lap) = self.timed(policy, request, call, &mut epoch).await;
            laps.push(lap);
            stopped = call.on_fail == OnFail::Stop && !is_success(&result);
            results.push(result);
            notes.push(note);
        }
        EffectsResponse {
            epoch: epoch.text.to_string(),
            results,
            notes,
        }
    }

    async fn timed(
        &self,
        policy: &Policy,
        request: &EffectsRequest,
        call: &EffectCall,
        epoch: &mut Reported,
    ) -> (EffectResult, EffectNote, Lap) {
        let (begun, began) = (Instant::now(), SystemTime::now());
        let mut code = None;
        let outcome = self.one(policy, call, epoch).await;
        let kind = kind(&call.effect);
        let mut provider = None;
        let (result, name) = match outcome {
            Ok(result) => (result, "success"),
            Err(refusal) => {
                code = Some(refusal.code());
                self.metrics.refusal(refusal.code());
                tracing::warn!(
                    decision_id = request.decision_id,
                    effect = kind,
                    source = call.source,
                    code = refusal.code(),
                    reason = %refusal,
                    "an effect was not performed"
                );
                provider = refusal.provider();
                let name = if refusal.is_failure() { "failed" } else { "denied" };
                (refusal.into_result(), name)
            }
        };
        let took = begun.elapsed();
        self.metrics.effect(kind, name, took);
        let ms = u32::try_from(took.as_millis()).unwrap_or(u32::MAX);
        let lap = Lap {
            kind,
            began,
            took,
            code,
        };
        (result, EffectNote { ms, provider }, lap)
    }

    async fn one(
        &self,
        policy: &Policy,
        call: &EffectCall,
        epoch: &mut Reported,
    ) -> Result<EffectResult, Refusal> {
        match &call.effect {
            Effect::SessionLoad { session } => self
                .store
                .load(session)
                .await
                .map(|held| epoch.labels(held))
                .map_err(Refusal::Load),
            Effect::SessionAppend {
                session,
                labels,
                subject_labels,
                ttl_s,
            } => {
                let append = Append {
                    key: session.clone(),
                    labels: labels.clone(),
                    subject_labels: subject_labels.clone(),
                    ttl_s: *ttl_s,
                    lifetimes: policy.lifetimes(),
                };
                let held = self.store.append(append).await.map_err(Refusal::Append)?;
                Ok(epoch.labels(held))
            }
            Effect::TokenExchange(asked) => self.exchange(policy, asked).await,
            Effect::ElicitBegin(asked) => {
                Ok(EffectResult::Elicitation(self.desk.begin(policy, asked).await?))
            }
            Effect::ElicitCheck(asked) => {
                Ok(EffectResult::Elicitation(self.desk.check(policy, asked).await?))
            }
            Effect::ElicitRedeem(asked) => {
                let redeemed = self.desk.redeem(policy, asked, &call.idempotency_key).await?;
                Ok(EffectResult::Elicitation(redeemed))
            }
            Effect::PdpDecide(asked) => {
                let point = policy
                    .point(&asked.plugin)
                    .ok_or_else(|| DecisionError::Unknown(asked.plugin.clone()))?;
                Ok(EffectResult::Decision(point.decide(&self.outbound, asked).await?))
            }
            Effect::ApiKey { plugin, digest } => {
                let directory = policy
                    .key_directory(plugin)
                    .ok_or_else(|| DirectoryError::Unknown(plugin.clone()))?;
                let record = directory.find(digest)?;
                Ok(EffectResult::Identity { record })
            }
            Effect::LimitCount {
                key,
                window_s,
                cost,
                limit,
            } => {
                let asked = counting::Asked {
                    key,
                    window_s: *window_s,
                    cost: *cost,
                    limit: *limit,
                    idempotency_key: &call.idempotency_key,
                };
                self.counters
                    .count(&*self.desk.cases, asked, now_ms())
                    .await
                    .map(EffectResult::Count)
                    .map_err(Refusal::Count)
            }
            Effect::AuditAppend { record } => self
                .audit
                .append(&self.policies.get().with_line(record))
                .await
                .map(|()| EffectResult::Done)
                .map_err(|_| Refusal::Audit),
        }
    }

    async fn exchange(&self, policy: &Policy, asked: &TokenExchange) -> Result<EffectResult, Refusal> {
        let delegator = policy
            .delegator(&asked.delegator)
            .ok_or_else(|| DelegationError::UnknownDelegator(asked.delegator.clone()))?;
        let grant = self.minter.mint(delegator, asked).await?;
        Ok(EffectResult::Granted(grant))
    }
}

/// The epoch that an answer carries: that of the first labels in it, or the store's as it was before.
struct Reported {
    text: Arc<str>,
    of_labels: bool,
}

impl Reported {
    fn of(text: Arc<str>) -> Self {
        let of_labels = false;
        Self { text, of_labels }
    }

    fn labels(&mut self, held: Held) -> EffectResult {
        if !self.of_labels {
            (self.text, self.of_labels) = (held.epoch, true);
        }
        EffectResult::Labels(held.labels)
    }
}

/// Why one effect was not performed.
#[derive(Debug, thiserror::Error)]
enum Refusal {
    #[error("labels cannot be read: {0}")]
    Load(#[source] StoreError),
    #[error("labels cannot be written: {0}")]
    Append(#[source] StoreError),
    #[error(transparent)]
    Delegation(#[from] DelegationError),
    #[error(transparent)]
    Elicitation(#[from] ElicitError),
    #[error(transparent)]
    Decision(#[from] DecisionError),
    #[error(transparent)]
    Directory(#[from] DirectoryError),
    #[error("the audit log cannot be written")]
    Audit,
    #[error("the counter cannot be read or written: {0}")]
    Count(#[source] StoreError),
}

impl Refusal {
    fn code(&self) -> &'static str {
        match self {
            Self::Load(_) => "session.load_failed",
            Self::Append(_) => "session.persist_failed",
            Self::Delegation(error) => error.code(),
            Self::Elicitation(error) => error.code(),
            Self::Decision(error) => error.code(),
            Self::Directory(error) => error.code(),
            Self::Audit => "audit.unavailable",
            Self::Count(_) => "limit.unavailable",
        }
    }

    fn provider(&self) -> Option<String> {
        match self {
            Self::Delegation(error) => error.provider(),
            Self::Load(_)
            | Self::Append(_)
            | Self::Elicitation(_)
            | Self::Decision(_)
            | Self::Directory(_)
            | Self::Audit
            | Self::Count(_) => None,
        }
    }

    fn is_failure(&self) -> bool {
        match self {
            Self::Load(_) | Self::Append(_) | Self::Audit | Self::Count(_) | Self::Directory(_) => true,
            Self::Delegation(error) => error.is_failure(),
            Self::Elicitation(error) => error.is_failure(),
            Self::Decision(error) => error.is_failure(),
        }
    }

    fn into_result(self) -> EffectResult {
        let (code, reason) = (self.code().to_owned(), self.to_string());
        if self.is_failure() {
            EffectResult::Failed { code, reason }
        } else {
            EffectResult::Denied { code, reason }
        }
    }
}

fn unknown_policy() -> EffectResult {
    EffectResult::Denied {
        code: "companion.unknown_policy".to_owned(),
        reason: "the companion does not hold this policy".to_owned(),
    }
}

fn is_success(result: &EffectResult) -> bool {
    match result {
        EffectResult::Done
        | EffectResult::Labels(_)
        | EffectResult::Granted(_)
        | EffectResult::Identity { .. } => true,
        // Anything but a yes ends the operation, and what stands behind it in the list must not be performed.
        EffectResult::Elicitation(elicitation) => elicitation.state == ElicitState::Approved,
        EffectResult::Decision(decision) => decision.allow,
        EffectResult::Count(count) => count.allow,
        EffectResult::Denied { .. } | EffectResult::Failed { .. } | EffectResult::Skipped => false,
    }
}

fn kind(effect: &Effect) -> &'static str {
    match effect {
        Effect::SessionLoad { .. } => "session.load",
        Effect::SessionAppend { .. } => "session.append",
        Effect::TokenExchange(_) => "token.exchange",
        Effect::ElicitBegin(_) => "elicit.begin",
        Effect::ElicitCheck(_) => "elicit.check",
        Effect::ElicitRedeem(_) => "elicit.redeem",
        Effect::PdpDecide(_) => "pdp.decide",
        Effect::ApiKey { .. } => "identity.api_key",
        Effect::LimitCount { .. } => "limit.count",
        Effect::AuditAppend { .. } => "audit.append",
    }
}
