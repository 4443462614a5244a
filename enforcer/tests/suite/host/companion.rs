//! The companion as the host knows it: labels in memory, tokens for everybody, and a script of faults.

use std::collections::BTreeMap;

use aplomb_enforcer::Callout;
use companion_protocol::{Effect, EffectResult, EffectsRequest, EffectsResponse, ElicitState, Grant, Labels};

/// What a call to the companion comes to.
#[derive(Clone)]
pub(crate) enum Said {
    Status(u16, Vec<u8>),
    Failed,
}

/// The companion: labels in memory, tokens for everybody, and a script of faults.
#[derive(Default)]
pub(crate) struct Companion {
    pub(crate) sessions: BTreeMap<String, Vec<String>>,
    pub(crate) subjects: BTreeMap<String, Vec<String>>,
    pub(crate) records: Vec<companion_protocol::AuditRecord>,
    pub(crate) calls: Vec<EffectsRequest>,
    pub(crate) epoch: String,
    /// Instead of the next answers.
    pub(crate) faults: Vec<Said>,
    /// Instead of a result, by the effect's kind.
    pub(crate) results: BTreeMap<&'static str, EffectResult>,
    /// Records of API keys, by their digests.
    pub(crate) key_records: BTreeMap<String, companion_protocol::KeyRecord>,
    pub(crate) jwks: Option<String>,
    pub(crate) key_requests: Vec<String>,
    /// How long a minted token lives, in seconds.
    pub(crate) token_life: u64,
    /// Requests of humans: binding, state.
    pub(crate) asked: Vec<(companion_protocol::Binding, ElicitState)>,
    /// What counters stand at.
    pub(crate) counters: BTreeMap<String, u64>,
}

impl Companion {
    pub(crate) fn answer(&mut self, callout: &Callout, now_ms: u64) -> Said {
        let header = |name: &str| {
            callout
                .headers
                .iter()
                .find(|(n, _)| n == name)
                .map(|(_, v)| v.clone())
                .unwrap()
        };
        if header(":method") == "GET" {
            self.key_requests.push(header(":path"));
            return match &self.jwks {
                Some(jwks) => Said::Status(200, jwks.clone().into_bytes()),
                None => Said::Status(503, Vec::new()),
            };
        }
        let request: EffectsRequest = serde_json::from_slice(&callout.body).unwrap();
        self.calls.push(request.clone());
        if !self.faults.is_empty() {
            return self.faults.remove(0);
        }
        let mut results = Vec::new();
        let mut stopped = false;
        for call in &request.effects {
            if stopped {
                results.push(EffectResult::Skipped);
                continue;
            }
            let result = self.perform(&call.effect, now_ms);
            stopped = call.on_fail == companion_protocol::OnFail::Stop
                && matches!(result, EffectResult::Denied { .. } | EffectResult::Failed { .. });
            results.push(result);
        }
        let response = EffectsResponse {
            epoch: self.epoch.clone(),
            results,
            notes: Vec::new(),
        };
        Said::Status(200, serde_json::to_vec(&response).unwrap())
    }

    fn perform(&mut self, effect: &Effect, now_ms: u64) -> EffectResult {
        let kind = kind(effect);
        if let Some(result) = self.results.get(kind) {
            return result.clone();
        }
        match effect {
            Effect::SessionLoad { session } => {
                let labels = self.sessions.get(&session.session).cloned().unwrap_or_default();
                EffectResult::Labels(Labels {
                    session: labels,
                    subject: self.subjects.get(&session.subject).cloned().unwrap_or_default(),
                    ..Labels::default()
                })
            }
            Effect::SessionAppend {
                session,
                labels,
                subject_labels,
                ..
            } => {
                let of_subject = self.subjects.entry(session.subject.clone()).or_default();
                of_subject.extend(subject_labels.iter().cloned());
                of_subject.sort();
                of_subject.dedup();
                let of_subject = of_subject.clone();
                let known = self.sessions.entry(session.session.clone()).or_default();
                known.extend(labels.iter().cloned());
                known.sort();
                known.dedup();
                EffectResult::Labels(Labels {
                    session: known.clone(),
                    subject: of_subject,
                    ..Labels::default()
                })
            }
            Effect::TokenExchange(asked) => EffectResult::Granted(Grant {
                token: format!("minted-for-{}", asked.expected_sub.clone().unwrap_or_default()),
                outbound_header: "authorization".to_owned(),
                outbound_prefix: "Bearer ".to_owned(),
                audience: asked.audience.clone(),
                permissions: asked.permissions.clone(),
                no_store: false,
                expires_at: now_ms / 1000
                    + if self.token_life == 0 {
                        300
                    } else {
                        self.token_life
                    },
            }),
            Effect::ApiKey { digest, .. } => EffectResult::Identity {
                record: self.key_records.get(digest).cloned(),
            },
            Effect::ElicitBegin(begin) => {
                let known = self.asked.iter().position(|(binding, state)| {
                    *binding == begin.binding && *state != ElicitState::UnknownId
                });
                let at = known.unwrap_or_else(|| {
                    self.asked.push((begin.binding.clone(), ElicitState::Pending));
                    self.asked.len() - 1
                });
                elicitation(at, self.asked[at].1)
            }
            Effect::ElicitCheck(ask) => self.look(ask, false),
            Effect::ElicitRedeem(ask) => self.look(ask, true),
            Effect::LimitCount { key, cost, limit, .. } => {
                let count = self.counters.entry(key.clone()).or_default();
                let allow = count.saturating_add(*cost) <= *limit;
                if allow {
                    *count += cost;
                }
                EffectResult::Count(companion_protocol::Count {
                    allow,
                    count: *count,
                    remaining: limit.saturating_sub(*count),
                    resets_at: 1_795_348_860,
                })
            }
            Effect::PdpDecide(_) => panic!("this host answers no {kind}"),
            Effect::AuditAppend { record } => {
                self.records.push((**record).clone());
                EffectResult::Done
            }
        }
    }
}

impl Companion {
    fn look(&mut self, ask: &companion_protocol::ElicitAsk, spend: bool) -> EffectResult {
        let at: Option<usize> = ask.id.strip_prefix('e').and_then(|at| at.parse().ok());
        let Some((at, (binding, state))) = at.and_then(|at| Some((at, self.asked.get_mut(at)?))) else {
            return elicitation(0, ElicitState::UnknownId);
        };
        if *binding != ask.binding {
            return elicitation(at, ElicitState::BindingMismatch);
        }
        let found = *state;
        if spend && found == ElicitState::Approved {
            *state = ElicitState::UnknownId;
        }
        elicitation(at, found)
    }
}

fn elicitation(at: usize, state: ElicitState) -> EffectResult {
    EffectResult::Elicitation(companion_protocol::Elicitation {
        state,
        id: format!("e{at}"),
        approver: Some("carol".into()),
        channel: Some("page".into()),
        expires_at: Some(1_795_349_700),
        intent_id: None,
        at: None,
    })
}

pub(crate) fn kind(effect: &Effect) -> &'static str {
    match effect {
        Effect::SessionLoad { .. } => "session.load",
        Effect::SessionAppend { .. } => "session.append",
        Effect::TokenExchange(_) => "token.exchange",
        Effect::AuditAppend { .. } => "audit.append",
        Effect::ElicitBegin(_) => "elicit.begin",
        Effect::ElicitCheck(_) => "elicit.check",
        Effect::ElicitRedeem(_) => "elicit.redeem",
        Effect::PdpDecide(_) => "pdp.decide",
        Effect::ApiKey { .. } => "identity.api_key",
        Effect::LimitCount { .. } => "limit.count",
    }
}
