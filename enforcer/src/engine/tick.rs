//! What is due from time to time, and the answers to what a tick asked.

use companion_protocol::{EffectsRequest, JWKS_PATH};

use super::{Engine, Flight, count, reads};
use crate::{CallToken, Callout, Command, Counter, Gauge, LogLevel, audit, effects::acknowledged};

/// Records that a tick ships at a time.
const TICK_RECORDS: usize = companion_protocol::MAX_EFFECTS;

impl Engine {
    /// Does what is due: key sets, queued audit records, exchanges that have waited long enough. To be called about
    /// every [`TICK_MS`](crate::TICK_MS), in the root context.
    pub fn on_tick(&mut self, now_ms: u64) -> Vec<Command> {
        let mut commands = Vec::new();
        self.ask_for_keys(now_ms, false, &mut commands);
        self.ask_for_keys(now_ms, true, &mut commands);
        self.show_shadow(now_ms, &mut commands);
        self.ship_audit(now_ms, &mut commands);
        self.wake_the_late(now_ms, &mut commands);
        commands
    }

    /// The answer to a callout of [`Engine::on_tick`] with its status; `None`: it failed.
    pub fn on_root_answer(
        &mut self,
        token: CallToken,
        answer: Option<(u16, &[u8])>,
        now_ms: u64,
    ) -> Vec<Command> {
        let mut commands = Vec::new();
        let body = answer.and_then(|(status, body)| (status == 200).then_some(body));
        match self.flights.remove(&token) {
            None => {}
            Some(Flight::Keys(beside, at)) => {
                let judge = self.of_mut(beside);
                let Some(set) = judge.keys.get_mut(at) else {
                    return commands;
                };
                if body.is_none() {
                    commands.push(count(Counter::CalloutsFailed, 1));
                    commands.push(warn(format!(
                        "no keys of issuer `{}` from the companion",
                        set.issuer()
                    )));
                }
                if set.answer(body) {
                    judge.principals.clear();
                }
                // Whatever came: those that wait look again, and decide for themselves whether to go on waiting.
                commands.extend(self.waiting.iter().map(|(id, _)| Command::Wake(*id)));
            }
            Some(Flight::Audit(records, _)) => {
                let sent = records.len();
                let lost = acknowledged(records, body, sent, &mut self.caches);
                let shipped = sent.saturating_sub(lost.len());
                commands.push(count(
                    Counter::AuditShipped,
                    u64::try_from(shipped).unwrap_or(u64::MAX),
                ));
                if !lost.is_empty() {
                    commands.push(count(Counter::CalloutsFailed, 1));
                    commands.push(warn(
                        "the companion did not take audit records; they wait".to_owned(),
                    ));
                }
                self.audit.settle(sent, lost);
                // What piled up meanwhile goes at once, but a companion that fails is asked on the next tick only.
                if shipped > 0 {
                    self.ship_audit(now_ms, &mut commands);
                }
            }
        }
        commands
    }

    fn ask_for_keys(&mut self, now_ms: u64, beside: bool, commands: &mut Vec<Command>) {
        let Some(companion) = self.config.companion.clone() else {
            return;
        };
        if beside && self.beside.is_none() {
            return;
        }
        let timeout_ms = self.timeout_ms();
        for at in 0..self.of(beside).keys.len() {
            let Some(set) = self.of_mut(beside).keys.get_mut(at) else {
                continue;
            };
            let Some(forced) = set.due(now_ms, u64::from(timeout_ms)) else {
                continue;
            };
            let mut path = format!(
                "{}{JWKS_PATH}?issuer={}",
                companion.path,
                reads::percent_encoded(set.issuer())
            );
            if forced {
                path.push_str("&refresh=true");
            }
            let token = self.new_token();
            self.flights.insert(token, Flight::Keys(beside, at));
            let headers = self.companion_headers("GET", &path);
            let cluster = companion.cluster.clone();
            commands.push(Command::Callout(Callout {
                token,
                cluster,
                headers,
                body: Vec::new(),
                timeout_ms,
            }));
        }
    }

    /// Says how much is in shadow. Again and again, because gauges are the proxy's, not the configuration's.
    fn show_shadow(&mut self, now_ms: u64, commands: &mut Vec<Command>) {
        let model = self.program.program();
        let all = model.routes.iter().map(|route| route.enforcement);
        let all = all.chain([model.settings.enforcement]);
        let lifted = all
            .filter(|enforcement| self.in_shadow(*enforcement, now_ms))
            .count();
        let shown = [
            (Gauge::Shadow, u64::try_from(lifted).unwrap_or(u64::MAX)),
            (Gauge::ShadowPolicy, u64::from(self.beside.is_some())),
        ];
        for (gauge, value) in shown {
            if value > 0 || !self.shown {
                commands.push(Command::Gauge { gauge, value });
            }
        }
        // Once all of it is enforced, that is said once.
        self.shown = lifted == 0;
    }

    fn ship_audit(&mut self, now_ms: u64, commands: &mut Vec<Command>) {
        if self.config.companion.is_none() {
            // Without a companion the proxy's log is the only place for them; no request bounds how many go at once.
            while !self.audit.is_empty() {
                for record in self.audit.take(usize::MAX) {
                    let text = serde_json::to_string(&record).unwrap_or_default();
                    commands.push(Command::Log {
                        level: LogLevel::Info,
                        text: format!("audit {text}"),
                    });
                    self.audit.settle(1, Vec::new());
                }
            }
            return;
        }
        self.recall_lost_audit(now_ms);
        let flying = self
            .flights
            .values()
            .any(|flight| matches!(flight, Flight::Audit(..)));
        if flying || self.audit.is_empty() {
            return;
        }
        let records = self.audit.take(TICK_RECORDS);
        let token = self.new_token();
        let request = EffectsRequest {
            policy_digest: self.digest.clone(),
            decision_id: format!("{}.{}", self.stream, token.0),
            effects: records.iter().map(audit::append).collect(),
        };
        if let Some(callout) = self.effects_callout(token, &request, None) {
            self.flights.insert(token, Flight::Audit(records, now_ms));
            commands.push(Command::Callout(callout));
        }
    }

    /// Records whose call was never answered, not even with a failure, wait again.
    fn recall_lost_audit(&mut self, now_ms: u64) {
        let patience = u64::from(self.timeout_ms()).saturating_mul(2);
        let lost = self.flights.iter().find_map(|(token, flight)| match flight {
            Flight::Audit(_, sent) if now_ms.saturating_sub(*sent) > patience => Some(*token),
            Flight::Audit(..) | Flight::Keys(..) => None,
        });
        if let Some(Flight::Audit(records, _)) = lost.and_then(|token| self.flights.remove(&token)) {
            self.audit.settle(records.len(), records);
        }
    }

    fn wake_the_late(&mut self, now_ms: u64, commands: &mut Vec<Command>) {
        let late = self
            .waiting
            .iter()
            .filter(|(_, deadline_ms)| now_ms >= *deadline_ms);
        commands.extend(late.map(|(id, _)| Command::Wake(*id)));
    }
}

fn warn(text: String) -> Command {
    Command::Log {
        level: LogLevel::Warn,
        text,
    }
}
