//! Asking the companion whose an API key is, before anything else can be asked.

use companion_protocol::{Effect, EffectCall, EffectResult, EffectsRequest, OnFail};

use super::{Exchange, Out, Stage};
use crate::{
    CallToken, Command, Counter, Engine,
    effects::read_response,
    engine::count,
    identity::{directory::Question, token::TokenError},
    json_text::hex,
    refusal::Refusal,
};

/// Most questions of one exchange; a policy that lists more directories for a route than that cannot be served.
const MAX_LOOKUPS: usize = 8;

/// A question that is under way.
#[derive(Debug)]
pub(super) struct Lookup {
    pub(super) token: CallToken,
    question: Question,
}

impl Exchange {
    /// Asks, and waits.
    pub(super) fn look_up(&mut self, engine: &mut Engine, question: Question, now_ms: u64, out: &mut Out) {
        let token = engine.new_token();
        let call = EffectCall {
            idempotency_key: format!("{}.identity.{}", self.decision_id, self.lookups),
            on_fail: OnFail::Stop,
            source: "global.authentication".to_owned(),
            effect: Effect::ApiKey {
                plugin: question.directory.clone(),
                digest: hex(&question.key),
            },
        };
        let request = EffectsRequest {
            policy_digest: engine.digest.clone(),
            decision_id: self.decision_id.clone(),
            effects: vec![call],
        };
        self.lookups = self.lookups.saturating_add(1);
        let callout = engine.effects_callout(token, &request, self.head.traceparent.as_deref());
        let Some(callout) = callout.filter(|_| self.lookups <= MAX_LOOKUPS) else {
            return self.no_directory(engine, now_ms, out);
        };
        let until_ms = self.keys_until(now_ms);
        self.stage = Stage::Keys { until_ms };
        self.lookup = Some(Lookup { token, question });
        out.push(count(Counter::Callouts, 1));
        out.push(Command::Callout(callout));
        out.pause();
    }

    /// The companion has answered, or has not.
    pub(super) fn on_record(
        &mut self,
        engine: &mut Engine,
        lookup: &Lookup,
        body: Option<&[u8]>,
        now_ms: u64,
        out: &mut Out,
    ) {
        if !matches!(self.stage, Stage::Keys { .. }) {
            return;
        }
        if body.is_none() {
            out.push(count(Counter::CalloutsFailed, 1));
        }
        let result = read_response(body, 1).and_then(|response| response.results.into_iter().next());
        match result {
            Some(EffectResult::Identity { record }) => {
                engine.principals.keep(&lookup.question, record, now_ms);
                self.decide(engine, now_ms, out);
            }
            Some(
                EffectResult::Done
                | EffectResult::Labels(_)
                | EffectResult::Granted(_)
                | EffectResult::Elicitation(_)
                | EffectResult::Decision(_)
                | EffectResult::Count(_)
                | EffectResult::Denied { .. }
                | EffectResult::Failed { .. }
                | EffectResult::Skipped,
            )
            | None => self.no_directory(engine, now_ms, out),
        }
    }

    fn no_directory(&mut self, engine: &mut Engine, now_ms: u64, out: &mut Out) {
        let error = TokenError::Directory;
        let refusal = Refusal::identity(error.code(), &error.to_string());
        self.refuse(engine, &refusal, now_ms, out);
    }
}
