//! The companion as the host knows it: labels in memory, tokens for everybody, and a script of faults.

use std::collections::BTreeMap;

use aplomb_enforcer::Callout;
use companion_protocol::{Effect, EffectResult, EffectsRequest, EffectsResponse, Grant, Labels};

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
                    ..Labels::default()
                })
            }
            Effect::SessionAppend { session, labels, .. } => {
                let known = self.sessions.entry(session.session.clone()).or_default();
                known.extend(labels.iter().cloned());
                known.sort();
                known.dedup();
                EffectResult::Labels(Labels {
                    session: known.clone(),
                    ..Labels::default()
                })
            }
            Effect::TokenExchange(asked) => EffectResult::Granted(Grant {
                token: format!("minted-for-{}", asked.expected_sub.clone().unwrap_or_default()),
                outbound_header: "authorization".to_owned(),
                outbound_prefix: "Bearer ".to_owned(),
                audience: asked.audience.clone(),
                permissions: asked.permissions.clone(),
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
            Effect::ElicitBegin(_)
            | Effect::ElicitCheck(_)
            | Effect::ElicitRedeem(_)
            | Effect::PdpDecide(_)
            | Effect::LimitCount { .. } => panic!("this host answers no {kind}"),
            Effect::AuditAppend { record } => {
                self.records.push((**record).clone());
                EffectResult::Done
            }
        }
    }
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
