//! A companion that answers what the test says, and remembers what it was not told.

mod asked;

use std::collections::{BTreeMap, BTreeSet};

use aplomb_enforcer::Callout;
use companion_protocol::{
    AuditRecord, EFFECTS_PATH, Effect, EffectResult, EffectsRequest, EffectsResponse, ElicitState, Grant,
    KeyRecord, Labels, OnFail, SessionKey, TokenExchange,
};

use super::credentials;
use crate::case::{Counters, Decided, Delegation, Given, Minted, Session};

/// How long a test's minted token lives, in seconds.
const GRANT_S: u64 = 300;

/// Labels by bucket, the current step's answers, and the records that arrived.
#[derive(Debug, Default)]
pub(super) struct Companion {
    sessions: BTreeMap<String, BTreeSet<String>>,
    subjects: BTreeMap<String, BTreeSet<String>>,
    session: Option<Session>,
    delegations: Vec<Delegation>,
    decisions: Vec<(String, Decided)>,
    elicitations: Vec<(String, ElicitState)>,
    /// Approvals that were redeemed.
    spent: BTreeSet<String>,
    /// Owners of API keys, by the key's SHA-256.
    keys: BTreeMap<String, KeyRecord>,
    counters: BTreeMap<(String, u64), u64>,
    answers_of_counters: Option<Counters>,
    audit_fails: bool,
    /// Something was asked whose answer has a say in the verdict.
    asked: bool,
    records: Vec<AuditRecord>,
    /// What was asked for and not given in this step.
    pub(super) missing: Vec<String>,
}

impl Companion {
    /// Takes the answers of the next step.
    pub(super) fn begin(&mut self, given: &Given) {
        self.session.clone_from(&given.session);
        self.delegations.clone_from(&given.delegations);
        self.decisions.clone_from(&given.decisions);
        self.elicitations.clone_from(&given.elicitations);
        self.answers_of_counters = given.counters;
        self.audit_fails = given.audit_fails;
        self.missing.clear();
        self.asked = false;
    }

    /// Whether something was asked, in this step, whose answer has a say in the verdict, or that leaves a trace.
    pub(super) const fn was_asked(&self) -> bool {
        self.asked
    }

    /// Keys that the directories know from now on.
    pub(super) fn know(&mut self, keys: &[(String, KeyRecord)]) {
        self.keys.extend(keys.iter().cloned());
    }

    /// Status and body; `None`: it does not answer.
    pub(super) fn answer(&mut self, callout: &Callout, now_ms: u64) -> Option<(u16, Vec<u8>)> {
        let header = |name: &str| {
            callout
                .headers
                .iter()
                .find(|(known, _)| known == name)
                .map(|(_, value)| value.as_str())
        };
        if header(":method") == Some("GET") {
            return Some((200, credentials::jwks()?.into_bytes()));
        }
        if header(":path") != Some(EFFECTS_PATH) {
            return None;
        }
        let request: EffectsRequest = serde_json::from_slice(&callout.body).ok()?;
        let mut results = Vec::new();
        let mut stopped = false;
        for call in request.effects {
            if stopped {
                results.push(EffectResult::Skipped);
                continue;
            }
            let result = self.perform(call.effect, &call.source, now_ms);
            let failed = matches!(result, EffectResult::Denied { .. } | EffectResult::Failed { .. });
            stopped = failed && call.on_fail == OnFail::Stop;
            results.push(result);
        }
        let response = EffectsResponse {
            epoch: "aplc-test".to_owned(),
            results,
            notes: Vec::new(),
        };
        Some((200, serde_json::to_vec(&response).ok()?))
    }

    fn perform(&mut self, effect: Effect, source: &str, now_ms: u64) -> EffectResult {
        // Nobody knows the keys that strangers make up; counters say no more than that it was enough.
        let idle = matches!(
            effect,
            Effect::ApiKey { .. } | Effect::AuditAppend { .. } | Effect::LimitCount { .. }
        );
        self.asked |= !idle;
        match effect {
            Effect::SessionLoad { session } => self.load(&session, source),
            Effect::SessionAppend {
                session,
                labels,
                subject_labels,
                ..
            } => {
                if self.session.as_ref().is_some_and(|session| session.fails) {
                    return failed("session.persist_failed", "the label could not be stored");
                }
                self.sessions
                    .entry(session.session.clone())
                    .or_default()
                    .extend(labels);
                self.subjects
                    .entry(session.subject.clone())
                    .or_default()
                    .extend(subject_labels);
                self.labels(&session)
            }
            Effect::TokenExchange(asked) => self.mint(&asked, now_ms),
            Effect::ElicitBegin(asked) => self.elicit(&asked.plugin, &asked.from, "", false, now_ms),
            Effect::ElicitCheck(asked) => self.elicit(&asked.plugin, &asked.from, &asked.id, false, now_ms),
            Effect::ElicitRedeem(asked) => self.elicit(&asked.plugin, &asked.from, &asked.id, true, now_ms),
            Effect::PdpDecide(asked) => self.decide(&asked),
            Effect::ApiKey { digest, .. } => EffectResult::Identity {
                record: self.keys.get(&digest).cloned(),
            },
            Effect::LimitCount {
                key,
                window_s,
                cost,
                limit,
            } => self.count(key, window_s, cost, limit, now_ms),
            Effect::AuditAppend { record } => {
                // A verdict's record is how the test sees the verdict, so only the policy's own steps can fail.
                if self.audit_fails && record.step.is_some() {
                    return failed("audit.unavailable", "the audit record could not be written");
                }
                self.records.push(*record);
                EffectResult::Done
            }
        }
    }

    fn load(&mut self, key: &SessionKey, source: &str) -> EffectResult {
        match &self.session {
            Some(session) if session.fails => failed("session.load_failed", "the labels could not be read"),
            Some(session) => {
                let (own, subject) = (session.labels.clone(), session.subject_labels.clone());
                self.sessions.entry(key.session.clone()).or_default().extend(own);
                self.subjects
                    .entry(key.subject.clone())
                    .or_default()
                    .extend(subject);
                self.labels(key)
            }
            // An earlier step of the test has written to it.
            None if self.sessions.contains_key(&key.session) => self.labels(key),
            None => {
                self.missing.push(format!(
                    "`{source}` reads the session's labels: add `session: {{labels: []}}`, or the labels that it has"
                ));
                failed("session.load_failed", "the test gives no session")
            }
        }
    }

    fn labels(&self, key: &SessionKey) -> EffectResult {
        let of = |all: &BTreeMap<String, BTreeSet<String>>, key: &str| {
            all.get(key).into_iter().flatten().cloned().collect::<Vec<_>>()
        };
        EffectResult::Labels(Labels {
            session: of(&self.sessions, &key.session),
            subject: of(&self.subjects, &key.subject),
            expires_at_ms: None,
        })
    }

    fn mint(&mut self, asked: &TokenExchange, now_ms: u64) -> EffectResult {
        let given = self.delegations.iter().find(|given| {
            given.delegator == asked.delegator
                && given
                    .audience
                    .as_ref()
                    .is_none_or(|audience| *audience == asked.audience)
        });
        match given.map(|given| &given.answer) {
            Some(Minted::Granted { permissions, token }) => EffectResult::Granted(Grant {
                token: token
                    .clone()
                    .unwrap_or_else(|| format!("minted-by-{}", asked.delegator)),
                outbound_header: "authorization".to_owned(),
                outbound_prefix: "Bearer ".to_owned(),
                audience: asked.audience.clone(),
                permissions: permissions.clone().unwrap_or_else(|| asked.permissions.clone()),
                expires_at: now_ms / 1000 + GRANT_S,
                no_store: false,
            }),
            Some(Minted::Failed { code, reason }) => failed(code, reason),
            None => {
                self.missing.push(format!(
                    "the policy asks `{0}` for a token for `{1}` with {2:?}: add `delegations: [{{delegator: {0}}}]`, or \
                     `{{delegator: {0}, fails: delegation.idp_unreachable}}`",
                    asked.delegator, asked.audience, asked.permissions
                ));
                failed(
                    "delegation.bad_request",
                    "the test gives no answer for this delegation",
                )
            }
        }
    }

    /// The verdict's record of an exchange.
    pub(super) fn verdict_of(&mut self, decision_id: &str) -> Option<AuditRecord> {
        let at = self
            .records
            .iter()
            .position(|record| record.decision_id == decision_id && record.verdict.is_some())?;
        Some(self.records.swap_remove(at))
    }
}

fn failed(code: &str, reason: &str) -> EffectResult {
    EffectResult::Failed {
        code: code.to_owned(),
        reason: reason.to_owned(),
    }
}
