//! Running a captured decision through a program (`capture: facts`). Nothing is performed and nobody is asked: what was
//! answered then is answered now, and what nobody knows stays unknown.

use apl_bytecode::{BlockId, EntityKind, IdentityId, PhaseNeeds, Unmatched};
use apl_vm::{
    Answer, Batch, Bound, Document, Edit, Env, Fact, FactMap, Facts, LabelState, Limits, Machine, Mode,
    Outcome, Prepared, Verdict, View, find_route,
};
use companion_protocol::{AuditRecord, Captured, Json};

use crate::{
    effects::json_of,
    engine::reads::{mentions, reads_all, spelled},
    exchange::work::reads_arguments,
    identity::token::text_of,
    mcp::response::GovernedResult,
};

/// What a decision would come to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Replayed {
    /// Allowed, with these fields edited, as `result.ssn:redact`.
    Allow(Vec<String>),
    /// Denied before the call.
    Deny(Denied),
    /// Denied after the call.
    DenyAfter(Denied),
    /// It cannot be known, and why.
    Unknown(&'static str),
}

/// Why it would be denied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Denied {
    /// The violation code.
    pub code: String,
    /// The position of the rule; empty for the engine's own.
    pub rule: String,
}

/// What `program` makes of a decision that was captured when `then` was in force.
#[must_use]
pub fn replay(program: &Prepared, then: &Prepared, record: &AuditRecord, captured: &Captured) -> Replayed {
    let Some(entity) = entity(&record.entity_type) else {
        return Replayed::Unknown("it is no operation");
    };
    let scope = captured.scope.as_deref();
    let law = Law::of(program, entity, &record.entity_name, scope);
    let was = Law::of(then, entity, &record.entity_name, scope);
    if !known_callers(program, &law, then, &was) {
        return Replayed::Unknown("it wants a credential that was not looked at");
    }
    let mut run = Run {
        program,
        captured,
        facts: facts(program, then, entity, &law, record, captured),
        edits: Vec::new(),
    };
    let args = match run.args(&law, &was) {
        Ok(args) => args,
        Err(why) => return Replayed::Unknown(why),
    };
    let mut args = args;
    match run.phase(law.pre, args.as_mut(), None) {
        Verdict::Allow => {}
        Verdict::Deny(denied) => {
            return Replayed::Deny(Denied {
                code: denied.code,
                rule: denied.rule,
            });
        }
        Verdict::Unknown | Verdict::Pending(_) => {
            return Replayed::Unknown(
                "it hangs on what was not captured, or on what a human or a counter says",
            );
        }
    }
    if law.unmatched {
        return Replayed::Deny(Denied {
            code: "route.unmatched".to_owned(),
            rule: String::new(),
        });
    }
    let Some(post) = law.post else {
        return Replayed::Allow(run.fields());
    };
    let Some(mut result) = run.result(entity, record) else {
        return Replayed::Unknown("it judges a result that was not captured");
    };
    match run.phase(Some(post), args.as_mut(), Some(&mut result)) {
        Verdict::Allow => Replayed::Allow(run.fields()),
        Verdict::Deny(denied) => Replayed::DenyAfter(Denied {
            code: denied.code,
            rule: denied.rule,
        }),
        Verdict::Unknown | Verdict::Pending(_) => {
            Replayed::Unknown("after the call it hangs on what was not captured")
        }
    }
}

struct Law {
    route: Option<usize>,
    pre: Option<BlockId>,
    post: Option<BlockId>,
    pre_needs: PhaseNeeds,
    post_needs: PhaseNeeds,
    identities: Vec<IdentityId>,
    unmatched: bool,
}

impl Law {
    fn of(program: &Prepared, entity: EntityKind, name: &str, scope: Option<&str>) -> Self {
        let model = program.program();
        let at = find_route(program, entity, name, scope);
        if let Some((at, route)) = at.and_then(|at| Some((at, model.routes.get(at)?))) {
            let needs = program.needs(at);
            return Self {
                route: Some(at),
                pre: route.pre,
                post: route.post,
                pre_needs: needs.pre,
                post_needs: needs.post,
                identities: route.identities.clone(),
                unmatched: false,
            };
        }
        let fallback = model
            .fallbacks
            .iter()
            .find(|fallback| fallback.entity == Some(entity));
        let (pre, post) = fallback.map_or((None, None), |fallback| (fallback.pre, fallback.post));
        let needs = program.needs_of(pre, post);
        Self {
            route: None,
            pre,
            post,
            pre_needs: needs.pre,
            post_needs: needs.post,
            identities: fallback.map_or_else(Vec::new, |fallback| fallback.identities.clone()),
            unmatched: model.settings.unmatched == Unmatched::Deny,
        }
    }

    const fn reads_args(&self) -> bool {
        reads_arguments(&self.pre_needs, &self.post_needs)
    }
}

/// Whether every credential that the law wants was verified then, under the same name.
fn known_callers(program: &Prepared, law: &Law, then: &Prepared, was: &Law) -> bool {
    let names = |program: &Prepared, law: &Law| -> Vec<String> {
        let model = program.program();
        let identities = law
            .identities
            .iter()
            .filter_map(|id| model.identities.get(id.at()));
        identities
            .map(|identity| text_of(model, identity.name).to_owned())
            .collect()
    };
    let known = names(then, was);
    names(program, law).iter().all(|name| known.contains(name))
}

fn entity(name: &str) -> Option<EntityKind> {
    let all = [
        EntityKind::Tool,
        EntityKind::Prompt,
        EntityKind::Resource,
        EntityKind::Llm,
        EntityKind::A2a,
        EntityKind::Http,
    ];
    all.into_iter().find(|kind| kind.name() == name)
}

/// Namespaces that a run itself writes, and those that stand elsewhere.
const NOT_FACTS: &[&str] = &["args", "result", "data", "delegation", "elicitation", "security"];

/// What was known then; what this program names and that one did not look at is not known.
fn facts(
    program: &Prepared,
    then: &Prepared,
    entity: EntityKind,
    law: &Law,
    record: &AuditRecord,
    captured: &Captured,
) -> Facts {
    let mut own = FactMap::new();
    for (key, value) in &captured.attributes {
        // What the route of that program says of itself is not what this one's says.
        if !key.starts_with("meta.tags") && !key.starts_with("meta.properties") {
            own.insert(key.clone(), fact(value));
        }
    }
    let everything = captured.everything || reads_all(then);
    for key in spelled(program) {
        let root = key.split('.').next().unwrap_or_default();
        if !NOT_FACTS.contains(&root) && !own.contains_key(key) && !everything && !mentions(then, key) {
            own.insert(key.to_owned(), Fact::Unknown);
        }
    }
    let mut said = |key: &str, value: &str| {
        own.insert(key.to_owned(), Fact::Str(value.to_owned()));
    };
    said("meta.entity_type", entity.name());
    said("meta.entity_name", &record.entity_name);
    said("route.key", &[entity.name(), ":", &record.entity_name].concat());
    match entity {
        EntityKind::Tool => said("mcp.tool.name", &record.entity_name),
        EntityKind::Prompt => said("mcp.prompt.name", &record.entity_name),
        EntityKind::Resource => said("mcp.resource.uri", &record.entity_name),
        EntityKind::Llm => said("llm.model_id", &record.entity_name),
        EntityKind::A2a | EntityKind::Http => {}
    }
    if let Some(scope) = &captured.scope {
        said("meta.scope", scope);
    }
    let model = program.program();
    own.retain(|key, _| !key.starts_with("meta.properties"));
    let mut tags = Vec::new();
    if let Some(route) = law.route.and_then(|at| model.routes.get(at)) {
        for (name, value) in &route.properties {
            let mut key = "meta.properties".to_owned();
            apl_bytecode::push_key_segment(&mut key, text_of(model, *name));
            own.insert(key, Fact::Str(text_of(model, *value).to_owned()));
        }
        tags.extend(route.tags.iter().map(|tag| text_of(model, *tag).to_owned()));
    }
    own.insert("meta.tags".to_owned(), Fact::Set(apl_vm::set_of(tags)));
    Facts {
        own,
        labels: LabelState::default(),
        ..Facts::default()
    }
}

fn fact(value: &Json) -> Fact {
    match value {
        Json::Bool(value) => Fact::Bool(*value),
        Json::Int(value) => Fact::Int(*value),
        Json::Float(value) => Fact::Float(*value),
        Json::Text(text) => Fact::Str(text.clone()),
        Json::List(items) => Fact::Set(apl_vm::set_of(
            items.iter().filter_map(Json::as_str).map(str::to_owned),
        )),
        Json::Null | Json::UInt(_) | Json::Map(_) => Fact::Opaque,
    }
}

struct Run<'a> {
    program: &'a Prepared,
    captured: &'a Captured,
    facts: Facts,
    edits: Vec<Edit>,
}

/// Far above what a policy needs, so that no replay ends where the decision did not.
const FUEL: u64 = 100_000_000;

impl Run<'_> {
    /// The arguments, if there were any.
    fn args(&self, law: &Law, was: &Law) -> Result<Option<Document>, &'static str> {
        if !law.reads_args() {
            return Ok(None);
        }
        if self.captured.left_out.iter().any(|name| name == "args") {
            return Err("it reads arguments that were too large to be captured");
        }
        match &self.captured.args {
            Some(text) => Document::parse(text.clone().into_bytes(), &Limits::default())
                .map(Some)
                .map_err(|_| "the captured arguments cannot be read"),
            None if was.reads_args() => Ok(None),
            None => Err("it reads arguments, and the policy of then did not"),
        }
    }

    fn result(&self, entity: EntityKind, record: &AuditRecord) -> Option<GovernedResult> {
        let limits = Limits::default();
        let text = self.captured.result.clone()?;
        let document = Document::parse(text.into_bytes(), &limits).ok()?;
        Some(match entity {
            EntityKind::Llm | EntityKind::Http => {
                let root = document.root();
                GovernedResult::tree(document, root, &limits)
            }
            EntityKind::Tool | EntityKind::Prompt | EntityKind::Resource | EntityKind::A2a => {
                let method = record.method.as_deref().unwrap_or_default();
                GovernedResult::new(document, entity, method, &limits)
            }
        })
    }

    fn phase(
        &mut self,
        block: Option<BlockId>,
        mut args: Option<&mut Document>,
        mut result: Option<&mut GovernedResult>,
    ) -> Verdict {
        let Some(block) = block else {
            return Verdict::Allow;
        };
        let mut machine = Machine::new(block, FUEL);
        let mut edits = Vec::new();
        let mut answers: Option<Vec<Answer>> = None;
        let verdict = loop {
            let mut env = Env {
                facts: &mut self.facts,
                args: args.as_deref_mut().map(|document| {
                    let root = document.root();
                    View::of(document, root)
                }),
                result: result.as_deref_mut().map(GovernedResult::view),
                // A stage that hashes needs some key; which one does not matter.
                hash_key: Some(b"replay"),
                mode: Mode::Shadow,
                edits: &mut edits,
            };
            let outcome = match &answers {
                None => machine.run(self.program, &mut env),
                Some(answers) => machine.resume(self.program, &mut env, answers),
            };
            match outcome {
                Outcome::Done(verdict) => break verdict,
                Outcome::Await(batch) => answers = Some(self.answers(batch)),
            }
        };
        self.edits.append(&mut edits);
        verdict
    }

    /// What was answered then. What nobody answered stays open.
    fn answers(&self, batch: Batch) -> Vec<Answer> {
        let effects = batch.effects.into_iter();
        effects
            .map(|(_, bound)| match bound {
                Bound::LoadLabels { .. } => match &self.captured.labels {
                    Some(labels) => Answer::Labels(labels.clone()),
                    None => Answer::Skipped,
                },
                Bound::Decide(call) => {
                    let asked = json_of(call.call);
                    let mut decisions = self.captured.decisions.iter();
                    let told = decisions.find(|known| known.plugin == call.point && known.call == asked);
                    told.map_or(Answer::Skipped, |told| Answer::Decided {
                        allow: told.allow,
                        code: told.code.clone().unwrap_or_default(),
                        reason: String::new(),
                    })
                }
                Bound::Taint { .. }
                | Bound::Delegate(_)
                | Bound::Elicit(_)
                | Bound::Count(_)
                | Bound::Audit { .. } => Answer::Skipped,
            })
            .collect()
    }

    fn fields(&self) -> Vec<String> {
        let spelled = self
            .edits
            .iter()
            .map(|edit| format!("{}:{}", edit.field, edit.kind));
        spelled.collect()
    }
}
