//! Policies in shadow: judged first, on the bytes as received, recorded, and never enforced (`execution.md` rule 14).
//!
//! A route is in shadow by its `enforcement`, everything is by that of the configuration, and the whole of a second
//! program (`shadow_policy`) always is. Each judges the operation as work of its own, which leaves nothing behind but a
//! verdict: it reads labels and asks decision points, and of everything else it says what it would have had done.

use apl_vm::{Answer, Document, Mode, Outcome, Verdict};
use companion_protocol::{ShadowVerdict, WouldKind};

use super::{
    Exchange, Out, Stage,
    answers::govern,
    request::json_limits,
    run::{self, Context, Step},
    work::Work,
};
use crate::{
    Command, Counter, Engine,
    engine::count,
    identity::{principal::Unverified, token::TokenError},
    mcp::response::{Answer as Message, GovernedResult, classify},
    refusal::{Refusal, RefusalKind},
    session,
};

/// How far the policies in shadow are.
#[derive(Debug, Default)]
pub(super) struct Shadows {
    /// Each with the number of its operation, in the order of the request.
    pub(super) all: Vec<(usize, Work)>,
    /// The one that is judged now.
    at: usize,
    begun: bool,
    /// All of them were judged.
    pub(super) over: bool,
}

impl Exchange {
    /// Judges every operation in shadow, before anything is enforced. False: the companion was asked.
    pub(super) fn shadow_first(&mut self, engine: &mut Engine, now_ms: u64, out: &mut Out) -> bool {
        if self.shadows.over {
            return true;
        }
        if !self.shadows.begun {
            self.shadows.begun = true;
            self.find_shadows(engine, now_ms);
        }
        self.shadow_on(engine, None, now_ms, out)
    }

    /// The work that a shadow's answers are for.
    pub(super) fn asking_shadow(&mut self) -> Option<&mut Work> {
        let shadows = &mut self.shadows;
        shadows.all.get_mut(shadows.at).map(|(_, shadow)| shadow)
    }

    /// Goes on, with the companion's answers if it was asked.
    pub(super) fn shadow_on(
        &mut self,
        engine: &mut Engine,
        mut answers: Option<&[Answer]>,
        now_ms: u64,
        out: &mut Out,
    ) -> bool {
        let mut all = std::mem::take(&mut self.shadows.all);
        while let Some((_, shadow)) = all.get_mut(self.shadows.at) {
            let mut document = self.work.as_mut().and_then(|work| work.document.take());
            std::mem::swap(&mut shadow.document, &mut document);
            let step = match answers.take() {
                None => self.begin_shadow(engine, shadow, now_ms, out),
                Some(answers) => {
                    let cx = self.shadow_context(shadow.beside, now_ms);
                    run::resume(engine, shadow, None, answers, &cx, out)
                }
            };
            std::mem::swap(&mut shadow.document, &mut document);
            if let Some(document) = &mut document {
                document.revert();
            }
            if let Some(work) = &mut self.work {
                work.document = document;
            }
            if let Step::Asked(flight) = step {
                self.flight = Some(flight);
                self.stage = Stage::Asking;
                self.shadows.all = all;
                out.pause();
                return false;
            }
            self.pre_judged(engine, shadow, out);
            self.shadows.at = self.shadows.at.saturating_add(1);
        }
        self.shadows.over = true;
        for (number, shadow) in all {
            let first = self.work.iter_mut();
            if let Some(work) = first.chain(&mut self.batch.waiting).nth(number) {
                work.shadows.push(shadow);
            }
        }
        true
    }

    fn find_shadows(&mut self, engine: &Engine, now_ms: u64) {
        let scope = self.scope(engine);
        let mut all = Vec::new();
        let works = self.work.iter_mut().chain(&mut self.batch.waiting);
        for (number, work) in works.enumerate() {
            let law = work.law_in(engine, scope.as_deref());
            work.lifted = engine.in_shadow(law.enforcement, now_ms);
            // What is resumed was judged when it was performed.
            if work.resumed {
                continue;
            }
            if work.lifted {
                all.push((number, work.in_shadow(false)));
            }
            if engine.beside.is_some() {
                all.push((number, work.in_shadow(true)));
            }
        }
        self.shadows.all = all;
    }

    fn shadow_context(&self, beside: bool, now_ms: u64) -> Context<'_> {
        Context {
            head: self.head_of(beside),
            decision_id: &self.decision_id,
            now_ms,
        }
    }

    fn begin_shadow(&self, engine: &mut Engine, shadow: &mut Work, now_ms: u64, out: &mut Out) -> Step {
        let scope = self.scope(engine);
        let head = self.head_of(shadow.beside);
        let judge = engine.of(shadow.beside);
        shadow.law = shadow.law_in(judge, scope.as_deref());
        let verified = engine
            .of_mut(shadow.beside)
            .identify(&shadow.law.identities, head, now_ms);
        let principal = match verified {
            Ok((principal, _)) => principal,
            Err(unverified) => {
                let (kind, found) = match unverified {
                    Unverified::Refused(found) => (WouldKind::WouldDeny, found),
                    Unverified::NeedsRecord(_) => (WouldKind::Unknown, TokenError::Directory.into()),
                    Unverified::NeedsKeys(issuer, found) => {
                        engine.of_mut(shadow.beside).miss_keys(&issuer, now_ms);
                        (WouldKind::Unknown, found)
                    }
                };
                let place = found.place(engine.of(shadow.beside).program.program());
                shadow.would(kind, found.error.code(), &place);
                return Step::Verdict(None);
            }
        };
        let judge = engine.of(shadow.beside);
        if shadow.has_twin(judge) {
            shadow.would(WouldKind::WouldDeny, "protocol.case_variant", "");
            return Step::Verdict(None);
        }
        shadow.session = session::key_of(&principal, head, &engine.config.session_sources);
        shadow.facts = self.facts(judge, shadow, &principal, scope.as_deref(), now_ms);
        shadow.principal = principal;
        let cx = self.shadow_context(shadow.beside, now_ms);
        let block = shadow.law.pre;
        run::start(engine, shadow, block, None, &cx, out)
    }

    /// The phase before the call is over for a policy in shadow.
    fn pre_judged(&mut self, engine: &mut Engine, shadow: &mut Work, out: &mut Out) {
        if shadow.law.unmatched && !shadow.would_deny() {
            shadow.would(WouldKind::WouldDeny, "route.unmatched", "");
        } else if shadow.verdict.is_none() {
            shadow.would(WouldKind::WouldAllow, "", "");
        }
        let post = shadow.law.post.filter(|_| !shadow.would_deny());
        shadow.law.post = post;
        if post.is_some() && shadow.law.post_needs.reads_args {
            let document = self.work.as_ref().and_then(|work| work.document.as_ref());
            let size = document.map_or(0, |document| document.bytes().len());
            shadow.document = document.cloned();
            if !self.charge(engine, size) {
                shadow.document = None;
                shadow.law.post = None;
                shadow.would(WouldKind::Unknown, "limit.memory", "");
            }
        }
        tell(shadow, out);
    }

    /// What would be said of the answer to the operation at work.
    pub(super) fn shadow_after(&mut self, engine: &Engine, raw: &[u8], out: &mut Out) {
        let Some(mut work) = self.work.take() else { return };
        for shadow in &mut work.shadows {
            if shadow.law.post.is_none() || std::mem::replace(&mut shadow.answered, true) {
                continue;
            }
            let limits = json_limits(engine);
            let Ok(message) = Document::parse(raw.to_vec(), &limits) else {
                continue;
            };
            match govern(shadow, message, self.head.codec, &limits) {
                Err(refusal) => shadow.would(WouldKind::WouldDenyAfter, &refusal.code, ""),
                Ok(mut result) => self.judge_after(engine, shadow, &mut result),
            }
            tell(shadow, out);
        }
        self.work = Some(work);
    }

    /// After the call nothing is asked: the answer would have to wait for it.
    fn judge_after(&self, engine: &Engine, shadow: &mut Work, result: &mut GovernedResult) {
        let Some(block) = shadow.law.post else { return };
        let before = std::mem::take(&mut shadow.edits);
        let program = &engine.of(shadow.beside).program;
        shadow.machine = Some(apl_vm::Machine::new(block, engine.config.limits.fuel));
        let mut outcome = shadow.with_machine(engine, Some(&mut *result), |machine, env| {
            machine.run(program, env)
        });
        while let Some(Outcome::Await(_)) = outcome {
            outcome = shadow.with_machine(engine, Some(&mut *result), |machine, env| {
                machine.resume(program, env, &[])
            });
        }
        let after = std::mem::replace(&mut shadow.edits, before);
        shadow.edits.extend(after);
        if let Some(Outcome::Done(verdict)) = outcome {
            shadow.found(verdict, WouldKind::WouldDenyAfter);
        }
    }

    /// Messages of a response that only policies in shadow look at.
    pub(super) fn watch(&mut self, engine: &mut Engine, document: &Document, now_ms: u64, out: &mut Out) {
        let root = document.node(document.root());
        if self.head.codec.is_plain() {
            self.shadow_after(engine, root.raw(), out);
            return self.record_after(engine, None, now_ms);
        }
        let array = root.kind() == apl_vm::Kind::Array;
        let messages = root.elements().filter(|_| array).chain((!array).then_some(root));
        for message in messages {
            let asked: Vec<Option<&[u8]>> = self.works().map(|work| work.id.as_deref()).collect();
            if let Message::Response(number) = classify(message, &asked, !self.batch.array) {
                self.select(number);
                self.shadow_after(engine, message.raw(), out);
                self.record_after(engine, None, now_ms);
            }
        }
    }

    /// Whether a policy in shadow wants to see the response.
    pub(super) fn is_watched(&self) -> bool {
        self.works()
            .flat_map(|work| &work.shadows)
            .any(|shadow| shadow.law.post.is_some())
    }

    /// A message that nobody can judge passes where nothing is enforced. True: it does.
    pub(super) fn passes_unjudged(
        &mut self,
        engine: &Engine,
        refusal: &Refusal,
        now_ms: u64,
        out: &mut Out,
    ) -> bool {
        let unjudged = !self.shadows.over && refusal.kind == RefusalKind::Message;
        if !unjudged || !engine.all_in_shadow(now_ms) {
            return false;
        }
        out.push(count(Counter::WouldDeny, 1));
        out.push(shadow_state(WouldKind::WouldDeny, &refusal.code));
        self.leave(out);
        true
    }
}

impl Work {
    /// The same operation, to be judged in shadow.
    fn in_shadow(&self, beside: bool) -> Self {
        Self {
            entity: self.entity,
            name: self.name.clone(),
            method: self.method.clone(),
            args: self.args,
            part_of: self.part_of.clone(),
            mode: Mode::Shadow,
            beside,
            ..Self::refused(None)
        }
    }

    /// What a run of it in shadow has come to. `deny`: in this phase.
    pub(super) fn found(&mut self, verdict: Verdict, deny: WouldKind) {
        let would = self.machine.as_ref().map_or(&[][..], apl_vm::Machine::would);
        self.performed.extend(would.iter().cloned());
        match verdict {
            Verdict::Deny(denied) => self.would(deny, &denied.code, &denied.rule),
            Verdict::Unknown | Verdict::Pending(_) => self.would(WouldKind::Unknown, "", ""),
            Verdict::Allow if self.verdict.is_none() => self.would(WouldKind::WouldAllow, "", ""),
            Verdict::Allow => {}
        }
    }

    fn would(&mut self, verdict: WouldKind, code: &str, rule: &str) {
        let text = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        self.verdict = Some(ShadowVerdict {
            policy_digest: String::new(),
            verdict,
            code: text(code),
            rule: text(rule),
            effects: Vec::new(),
            edits: Vec::new(),
        });
    }

    pub(super) fn would_deny(&self) -> bool {
        self.verdict.as_ref().is_some_and(|verdict| {
            matches!(verdict.verdict, WouldKind::WouldDeny | WouldKind::WouldDenyAfter)
        })
    }

    /// For the record of its operation.
    pub(super) fn shadow_verdict(&self, engine: &Engine) -> Option<ShadowVerdict> {
        let mut verdict = self.verdict.clone()?;
        engine
            .of(self.beside)
            .digest
            .clone_into(&mut verdict.policy_digest);
        if verdict.verdict == WouldKind::WouldAllow && self.law.post.is_some() && !self.answered {
            // It never saw what it would have judged.
            verdict.verdict = WouldKind::Unknown;
        }
        verdict.effects.clone_from(&self.performed);
        verdict.edits = super::record::edits(self);
        Some(verdict)
    }
}

/// Counts a verdict, and tells the access log.
fn tell(shadow: &Work, out: &mut Out) {
    let Some(verdict) = &shadow.verdict else { return };
    let counter = match verdict.verdict {
        WouldKind::WouldAllow if shadow.answered => return,
        WouldKind::Unknown if shadow.answered => return,
        WouldKind::WouldAllow => Counter::WouldAllow,
        WouldKind::WouldDeny => Counter::WouldDeny,
        WouldKind::WouldDenyAfter => Counter::WouldDenyAfter,
        WouldKind::Unknown => Counter::WouldUnknown,
    };
    out.push(count(counter, 1));
    out.push(shadow_state(
        verdict.verdict,
        verdict.code.as_deref().unwrap_or_default(),
    ));
}

fn shadow_state(kind: WouldKind, code: &str) -> Command {
    let dash = if code.is_empty() { "" } else { " " };
    Command::FilterState {
        key: "aplomb.shadow",
        value: [kind.name(), dash, code].concat(),
    }
}
