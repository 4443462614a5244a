//! What humans, decision points and counters answer.

use companion_protocol::{Count, Decision, EffectResult, ElicitState, Elicitation, PdpDecide};

use super::{Companion, failed};
use crate::case::{Counters, Decided};

/// How long an approval of a test can be spent, in seconds.
const APPROVAL_S: u64 = 600;

impl Companion {
    /// A decision point.
    pub(super) fn decide(&mut self, asked: &PdpDecide) -> EffectResult {
        let name = &asked.plugin;
        match self.decisions.iter().find(|(plugin, _)| plugin == name) {
            Some((_, Decided::Answered { allow, code, reason })) => EffectResult::Decision(Decision {
                allow: *allow,
                code: code.clone(),
                reason: reason.clone(),
            }),
            Some((_, Decided::Failed)) => failed("pdp.unavailable", "the decision point does not answer"),
            None => {
                self.missing.push(format!(
                    "the policy asks the decision point `{name}`: add `decisions: {{{name}: allow}}`, `deny` or `fails`"
                ));
                failed("pdp.unavailable", "the test gives no decision")
            }
        }
    }

    /// A human. `redeem`: the approval is spent, if there is one.
    pub(super) fn elicit(
        &mut self,
        plugin: &str,
        from: &str,
        id: &str,
        redeem: bool,
        now_ms: u64,
    ) -> EffectResult {
        let Some((_, state)) = self.elicitations.iter().find(|(known, _)| known == plugin) else {
            self.missing.push(format!(
                "the policy asks a human through `{plugin}`: add `elicitations: {{{plugin}: approved}}`, `denied`, \
                 `pending` or `expired`"
            ));
            return failed("elicit.unavailable", "the test gives no answer of a human");
        };
        let id = if id.is_empty() {
            format!("{plugin}-1")
        } else {
            id.to_owned()
        };
        let spent = *state == ElicitState::Approved && redeem && !self.spent.insert(id.clone());
        EffectResult::Elicitation(Elicitation {
            state: if spent { ElicitState::UnknownId } else { *state },
            id,
            approver: Some(from.to_owned()),
            channel: Some("test".to_owned()),
            expires_at: Some(now_ms / 1000 + APPROVAL_S),
            intent_id: None,
            at: (*state == ElicitState::Approved || *state == ElicitState::Denied).then_some(now_ms / 1000),
        })
    }

    /// A counter, counted for real in windows that begin at multiples of their length.
    pub(super) fn count(
        &mut self,
        key: String,
        window_s: u64,
        cost: u64,
        limit: u64,
        now_ms: u64,
    ) -> EffectResult {
        let now = now_ms / 1000;
        let length = window_s.max(1);
        let window = now / length;
        match self.answers_of_counters {
            None => {}
            Some(Counters::Fail) => return failed("limit.unavailable", "the counter does not answer"),
            Some(Counters::Exceeded) => {
                return EffectResult::Count(Count {
                    allow: false,
                    count: limit,
                    remaining: 0,
                    resets_at: (window + 1).saturating_mul(length),
                });
            }
        }
        let used = self.counters.entry((key, window)).or_default();
        let allow = used.checked_add(cost).is_some_and(|sum| sum <= limit);
        if allow {
            *used += cost;
        }
        EffectResult::Count(Count {
            allow,
            count: *used,
            remaining: limit.saturating_sub(*used),
            resets_at: (window + 1).saturating_mul(length),
        })
    }
}
