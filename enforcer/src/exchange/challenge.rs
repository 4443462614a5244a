//! What a caller whom the rules deny may acquire: OAuth scopes (RFC 6750 section 3.1), where the route names some.
//!
//! It is told only what would help: the phase, run again with nothing performed, denies for sure, and with the scopes held
//! it does not.

use apl_bytecode::{BlockId, Challenge, Program};
use apl_vm::{Document, Env, Fact, Facts, Machine, Mode, Node, Outcome, Verdict, View};

use super::Exchange;
use crate::{
    Engine,
    identity::token::text_of,
    json_text,
    refusal::{Refusal, RefusalKind},
};

/// The member of an entry's `_meta` that names scopes.
const ANNOTATION: &str = "aplomb/scopes";

/// What a route's callers may acquire.
pub(super) fn of_route(program: &Program, route: Option<usize>) -> Option<&Challenge> {
    let route = u32::try_from(route?).ok()?;
    let all = &program.challenges;
    let at = all
        .binary_search_by_key(&route, |challenge| challenge.route)
        .ok()?;
    all.get(at)
}

/// What is known of a caller, but nothing that effects were answered.
pub(super) fn known(facts: &Facts) -> Facts {
    Facts {
        base: facts.base.clone(),
        own: facts.own.clone(),
        labels: facts.labels.clone(),
        ..Facts::default()
    }
}

/// The facts as they would be for a caller with these scopes.
pub(super) fn grant(engine: &Engine, facts: &mut Facts, challenge: &Challenge) {
    let program = engine.program.program();
    let scopes = || challenge.scopes.iter().map(|id| text_of(program, *id));
    for scope in scopes() {
        let mut key = "perm".to_owned();
        apl_bytecode::push_key_segment(&mut key, scope);
        facts.own.insert(key, Fact::Bool(true));
    }
    for key in ["subject.permissions", "client.authorized_scopes"] {
        if engine.mentions(key) {
            let mut set = match facts.get(key) {
                Some(Fact::Set(set)) => set.clone(),
                _ => std::collections::BTreeSet::new(),
            };
            set.extend(scopes().map(str::to_owned));
            facts.own.insert(key.to_owned(), Fact::Set(set));
        }
    }
    if engine.mentions("claim.scope") {
        facts.own.insert("claim.scope".to_owned(), Fact::Unknown);
    }
}

/// Whether the phase is denied whatever is not known.
pub(super) fn is_denied(
    engine: &Engine,
    pre: BlockId,
    facts: &mut Facts,
    args: Option<View<'_>>,
    fuel: &mut u64,
) -> bool {
    let mut machine = Machine::new(pre, *fuel);
    let mut env = Env {
        facts,
        args,
        result: None,
        hash_key: None,
        mode: Mode::Probe,
        edits: &mut Vec::new(),
    };
    let outcome = machine.run(&engine.program, &mut env);
    *fuel = machine.fuel_left();
    match outcome {
        Outcome::Done(Verdict::Deny(_)) => true,
        Outcome::Done(Verdict::Allow | Verdict::Pending(_) | Verdict::Unknown) | Outcome::Await(_) => false,
    }
}

impl Exchange {
    /// The scopes to tell the caller of, joined by spaces.
    pub(super) fn lacking(&mut self, engine: &Engine, refusal: &Refusal) -> Option<String> {
        let program = engine.program.program();
        if program.challenges.is_empty() || self.batch.array {
            return None;
        }
        let work = self.work.as_deref_mut()?;
        let challenge = of_route(program, work.law.route)?;
        let helps = match refusal.kind {
            RefusalKind::Identity => true,
            RefusalKind::Message | RefusalKind::Waiting => false,
            // Without a rule it was no rule that denied.
            RefusalKind::Operation if refusal.rule.is_none() => false,
            RefusalKind::Operation => {
                let mut facts = known(&work.facts);
                let mut fuel = engine.config.limits.fuel;
                let pre = work.law.pre?;
                let mut denied = |facts: &mut Facts| {
                    let args = match (&mut work.document, work.args) {
                        (Some(document), Some(node)) => Some(View::of(document, node)),
                        (Some(_) | None, _) => None,
                    };
                    is_denied(engine, pre, facts, args, &mut fuel)
                };
                denied(&mut facts) && {
                    grant(engine, &mut facts, challenge);
                    !denied(&mut facts)
                }
            }
        };
        helps.then(|| scopes(program, challenge))
    }
}

fn scopes(program: &Program, challenge: &Challenge) -> String {
    let names: Vec<&str> = challenge.scopes.iter().map(|id| text_of(program, *id)).collect();
    names.join(" ")
}

/// An entry of a list with what its caller lacks; `None`: it cannot be told there.
pub(super) fn annotated(program: &Program, challenge: &Challenge, entry: Node<'_>) -> Option<Vec<u8>> {
    let mut note = Vec::new();
    json_text::push_string(&mut note, ANNOTATION);
    note.extend_from_slice(b":[");
    for (at, scope) in challenge.scopes.iter().enumerate() {
        if at > 0 {
            note.push(b',');
        }
        json_text::push_string(&mut note, text_of(program, *scope));
    }
    note.push(b']');
    let meta = entry.get("_meta");
    // One that is there already, ours or another's, would make two.
    if entry.folded_twin("_meta").is_some() || meta.is_some_and(|meta| meta.get(ANNOTATION).is_some()) {
        return None;
    }
    match meta {
        Some(meta) => {
            let rest = meta.raw().strip_prefix(b"{")?;
            let comma: &[u8] = if meta.is_empty() { b"" } else { b"," };
            Some([b"{", note.as_slice(), comma, rest].concat())
        }
        None => {
            let head = entry.raw().trim_ascii_end().strip_suffix(b"}")?;
            Some([head, b",\"_meta\":{", note.as_slice(), b"}}"].concat())
        }
    }
}

/// Writes the annotation; false: it cannot be told there.
pub(super) fn annotate(
    program: &Program,
    challenge: &Challenge,
    message: &mut Document,
    at: apl_vm::NodeId,
) -> bool {
    let entry = message.node(at);
    let place = entry.get("_meta").map_or(at, Node::id);
    annotated(program, challenge, entry).is_some_and(|json| message.replace(place, json).is_ok())
}
