//! Identity, route, and the phase before the call.

use std::collections::BTreeSet;
use std::rc::Rc;

use apl_bytecode::EntityKind;
use apl_vm::{Answer, Fact, FactMap, Facts, LabelState};

use super::{
    Exchange, Out, Stage, pins,
    run::{self, Context, Step},
    work::Work,
};
use crate::{
    Counter, Engine,
    codec::Codec,
    engine::count,
    http::head::Head,
    identity::{
        principal::{Principal, Unverified},
        token::text_of,
    },
    llm,
    refusal::Refusal,
    session,
};

/// How long a request waits for keys, in milliseconds (`execution.md` rule 9).
const KEYS_MS: u64 = 2_000;

impl Exchange {
    /// The message is known: find what governs it and who asks, and run the phase before the call.
    pub(super) fn decide(&mut self, engine: &mut Engine, now_ms: u64, out: &mut Out) {
        if self.lookup.is_some() {
            return out.pause();
        }
        if !self.open_seals(engine, now_ms, out) {
            return;
        }
        if !self.shadow_first(engine, now_ms, out) {
            return;
        }
        let Some(mut work) = self.work.take() else { return };
        let scope = self.scope(engine);
        work.law = work.law_in(engine, scope.as_deref());
        if work.lifted {
            work.law = work.law.lifted();
        }
        if work.has_twin(engine) {
            self.work = Some(work);
            let refusal = Refusal::rpc(
                400,
                -32602,
                "protocol.case_variant",
                "an argument that policy names is written in another case",
            );
            return self.refuse(engine, &refusal, now_ms, out);
        }
        let verified = engine.identify(&work.law.identities, &self.head, now_ms);
        let (principal, known) = match verified {
            Ok(verified) => verified,
            Err(unverified) => {
                self.work = Some(work);
                return self.unverified(engine, unverified, now_ms, out);
            }
        };
        if known {
            out.push(count(Counter::IdentityHits, 1));
        }
        engine.stop_waiting(self.id);
        work.session = session::key_of(&principal, &self.head, &engine.config.session_sources);
        work.facts = self.facts(engine, &work, &principal, scope.as_deref(), now_ms);
        work.binding = super::binding::of(engine, &work, scope.as_deref());
        work.principal = principal;
        if engine.captures() {
            work.scope = scope.clone();
        }
        if work.lifted
            && let Some(shadow) = work.shadows.first()
        {
            // Nobody has to be identified; but if somebody is, the record says who.
            work.principal = Rc::clone(&shadow.principal);
        }
        let cx = Context {
            head: &self.head,
            decision_id: &self.decision_id,
            now_ms,
        };
        let step = pins::before(engine, &mut work, scope.as_deref(), &cx, out);
        self.work = Some(work);
        self.pre_step(engine, step, now_ms, out);
    }

    /// The companion has answered.
    pub(super) fn go_on(&mut self, engine: &mut Engine, answers: &[Answer], now_ms: u64, out: &mut Out) {
        let Some(mut work) = self.work.take() else { return };
        let cx = Context {
            head: &self.head,
            decision_id: &self.decision_id,
            now_ms,
        };
        let step = run::resume(engine, &mut work, None, answers, &cx, out);
        self.work = Some(work);
        self.pre_step(engine, step, now_ms, out);
    }

    fn pre_step(&mut self, engine: &mut Engine, step: Step, now_ms: u64, out: &mut Out) {
        match step {
            Step::Asked(flight) => {
                self.flight = Some(flight);
                self.stage = Stage::Asking;
                out.pause();
            }
            Step::Verdict(Some(refusal)) => self.refuse(engine, &refusal, now_ms, out),
            Step::Verdict(None) if self.work.as_ref().is_some_and(|work| work.law.unmatched) => {
                let refusal =
                    Refusal::operation("route.unmatched", "no route of the policy covers this operation");
                self.refuse(engine, &refusal, now_ms, out);
            }
            Step::Verdict(None) => self.next_operation(engine, now_ms, out),
        }
    }

    pub(super) fn on_wake(&mut self, engine: &mut Engine, now_ms: u64, out: &mut Out) {
        match self.stage {
            Stage::Keys { .. } => self.decide(engine, now_ms, out),
            Stage::New
            | Stage::Untouched
            | Stage::Body
            | Stage::Asking
            | Stage::Forwarded
            | Stage::Replied
            | Stage::Gone => engine.stop_waiting(self.id),
        }
    }

    /// The head as a program wants it.
    pub(super) fn head_of(&self, beside: bool) -> &Head {
        match &self.head_beside {
            Some(head) if beside => head,
            Some(_) | None => &self.head,
        }
    }

    /// The `protocols` entry's scope.
    pub(super) fn scope(&self, engine: &Engine) -> Option<String> {
        engine
            .config
            .protocols
            .get(self.entry)
            .and_then(|entry| entry.scope.clone())
    }

    pub(super) fn unverified(
        &mut self,
        engine: &mut Engine,
        unverified: Unverified,
        now_ms: u64,
        out: &mut Out,
    ) {
        let found = match unverified {
            Unverified::Refused(found) => found,
            Unverified::NeedsRecord(question) => return self.look_up(engine, question, now_ms, out),
            Unverified::NeedsKeys(issuer, found) => {
                let until_ms = self.keys_until(now_ms);
                let set = engine
                    .keys
                    .iter_mut()
                    .find(|set| !set.is_inline() && set.issuer() == issuer);
                if now_ms < until_ms && set.is_some_and(|set| set.miss(now_ms)) {
                    self.stage = Stage::Keys { until_ms };
                    engine.wait(self.id, until_ms);
                    return out.pause();
                }
                found
            }
        };
        let place = found.place(engine.program.program());
        let refusal = Refusal::identity(found.error.code(), &found.error.to_string()).at(&place);
        self.refuse(engine, &refusal, now_ms, out);
    }

    /// Until when it waits for what verifies its caller.
    pub(super) fn keys_until(&self, now_ms: u64) -> u64 {
        match self.stage {
            Stage::Keys { until_ms } => until_ms,
            Stage::New
            | Stage::Untouched
            | Stage::Body
            | Stage::Asking
            | Stage::Forwarded
            | Stage::Replied
            | Stage::Gone => now_ms.saturating_add(KEYS_MS),
        }
    }

    /// What policy can read besides documents and credentials. Only what the program mentions is written down.
    pub(super) fn facts(
        &self,
        engine: &Engine,
        work: &Work,
        principal: &Rc<Principal>,
        scope: Option<&str>,
        now_ms: u64,
    ) -> Facts {
        let mut own = FactMap::new();
        let mut put = |key: &str, value: &str| {
            if !value.is_empty() && engine.mentions(key) {
                own.insert(key.to_owned(), Fact::Str(value.to_owned()));
            }
        };
        let head = self.head_of(work.beside);
        put("http.method", &head.method);
        put(
            "http.path",
            match work.name.split_once(' ') {
                Some((_, path)) if head.codec == Codec::Http => path,
                Some(_) | None => head.path.split('?').next().unwrap_or_default(),
            },
        );
        put("llm.provider", head.codec.provider().unwrap_or_default());
        put("http.host", &head.authority);
        put("http.scheme", &head.scheme);
        for (name, value) in &head.readable {
            put(&format!("http.request_headers.{name}"), value);
        }
        if head.codec == Codec::Mcp {
            put("mcp.method", &work.method);
        }
        put(
            "agent.session_id",
            head.session_id
                .as_deref()
                .or(head.mcp_session_id.as_deref())
                .unwrap_or_default(),
        );
        put("request.trace_id", head.trace_id().unwrap_or_default());
        put("request.request_id", &self.decision_id);
        put("request.timestamp", &crate::json_text::rfc3339(now_ms / 1000));
        put("meta.scope", scope.unwrap_or_default());
        if let Some(entity) = work.entity {
            put("meta.entity_type", entity.name());
        }
        let model = engine.program.program();
        let route = work.law.route.and_then(|at| model.routes.get(at));
        for (name, value) in route.into_iter().flat_map(|route| &route.properties) {
            let mut key = "meta.properties".to_owned();
            apl_bytecode::push_key_segment(&mut key, text_of(model, *name));
            put(&key, text_of(model, *value));
        }
        if let Some(entity) = work.entity {
            name(engine, &mut own, entity, Some(&work.name));
        }
        if engine.mentions("meta.tags") {
            let tags = route.into_iter().flat_map(|route| &route.tags);
            let tags = apl_vm::set_of(tags.map(|tag| text_of(model, *tag).to_owned()));
            own.insert("meta.tags".to_owned(), Fact::Set(tags));
        }
        let request = work.document.as_ref().filter(|_| head.codec.provider().is_some());
        if let Some(request) = request.filter(|_| engine.mentions("llm.offered_tools")) {
            let tools = llm::offered_tools(request.received(request.root()));
            own.insert("llm.offered_tools".to_owned(), Fact::Set(tools));
        }
        if engine.mentions("llm.capabilities") {
            own.insert("llm.capabilities".to_owned(), Fact::Set(BTreeSet::new()));
        }
        Facts {
            base: Rc::clone(&principal.facts),
            own,
            labels: LabelState::default(),
            ..Facts::default()
        }
    }
}

/// Writes down what the operation is on; `name`: not known.
pub(super) fn name(engine: &Engine, own: &mut FactMap, entity: EntityKind, name: Option<&str>) {
    let mut put = |key: &str, value: Option<String>| {
        if engine.mentions(key) {
            own.insert(key.to_owned(), value.map_or(Fact::Unknown, Fact::Str));
        }
    };
    let own_key = match entity {
        EntityKind::Tool => Some("mcp.tool.name"),
        EntityKind::Prompt => Some("mcp.prompt.name"),
        EntityKind::Resource => Some("mcp.resource.uri"),
        EntityKind::Llm => Some("llm.model_id"),
        EntityKind::A2a | EntityKind::Http => None,
    };
    for key in own_key.into_iter().chain(["meta.entity_name"]) {
        put(key, name.map(str::to_owned));
    }
    put("route.key", name.map(|name| format!("{}:{name}", entity.name())));
}
