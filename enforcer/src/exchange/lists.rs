//! Lists filtered for their caller (`execution.md` rule 15).
//!
//! An entry is hidden when no call of it by this caller could be allowed: the program that governs the call is run with
//! the arguments, the answers of effects and everything else that another request could say differently unknown, and ends
//! in a denial all the same. What it does not know for sure stays.

use std::rc::Rc;

use apl_bytecode::{BlockId, EntityKind, IdentityId, Matcher, Program, Unmatched};
use apl_vm::{Document, Fact, Facts, NodeId};

use super::{Exchange, answers::unparseable, challenge, decide, work::Work};
use crate::{
    Engine, Reply,
    http::media::only_events,
    identity::{
        principal::{Principal, Unverified},
        token::text_of,
    },
    mcp::{
        list::{Entry, Offer, entries, shared_with_all},
        request::{Message, Operation},
    },
    pins::{PinMark, Pinned, is_changed, pinned},
    refusal::{Refusal, RefusalKind, unknown_tool},
    session,
};

/// What governs the calls of an entry.
struct Ruled {
    route: Option<usize>,
    pre: Option<BlockId>,
    identities: Vec<IdentityId>,
    /// Denied whatever the rules say.
    unmatched: bool,
    /// Allowed whatever the rules say.
    shadow: bool,
}

/// A caller as one set of identities knows it, and what policy could read of its calls of one kind of entity.
struct Caller {
    entity: EntityKind,
    /// One of the routes, of which rules can read tags and properties.
    route: Option<usize>,
    identities: Vec<IdentityId>,
    /// `None`: its credentials are refused.
    facts: Option<Facts>,
}

/// What was taken from a list.
#[derive(Debug, Default)]
pub(super) struct Sifted {
    /// How many entries.
    pub(super) hidden: u64,
    /// Those whose definition is not the pinned one.
    pub(super) changed: Vec<PinMark>,
}

/// What pins say of an entry.
enum Pin {
    Fine,
    Hidden,
    Changed(PinMark),
}

/// Judges the entries of one list.
struct Sieve<'a> {
    exchange: &'a Exchange,
    /// The operation that asked for the list.
    work: &'a Work,
    /// What it knows of labels counts.
    labels: bool,
    scope: Option<String>,
    callers: Vec<Caller>,
    /// For all entries together. When it is used up, what is left of the list stays.
    fuel: u64,
    now_ms: u64,
}

impl Exchange {
    /// Takes the entries away that are nothing for the caller of `work`, and definitions that are not as pinned; says how
    /// many, and which were changed.
    ///
    /// # Errors
    ///
    /// What should be a list is none.
    pub(super) fn sift(
        &self,
        engine: &mut Engine,
        work: &Work,
        message: &mut Document,
        now_ms: u64,
    ) -> Result<Sifted, Refusal> {
        let entries = entries(message).map_err(|()| {
            unparseable("a list of the result is none, or stands under a key in another case")
        })?;
        let mut sieve = Sieve::new(self, engine, work, true, now_ms);
        let mut sifted = Sifted::default();
        for entry in entries {
            let pin = sieve.pin(engine, &entry, message);
            let filters = engine.filters_lists;
            let nothing = match (&entry.offer, pin) {
                (_, Pin::Changed(mark)) => {
                    sifted.changed.push(mark);
                    true
                }
                (_, Pin::Hidden) => true,
                (Offer::Entity(entity, name), Pin::Fine) => {
                    filters
                        && sieve.is_denied(engine, *entity, name)
                        && !sieve.annotates(engine, *entity, name, message, entry.at)
                }
                (Offer::Resources(prefix), Pin::Fine) => filters && sieve.all_denied(engine, prefix),
                (Offer::Nothing, Pin::Fine) => true,
            };
            if nothing {
                message.remove(entry.at);
                sifted.hidden = sifted.hidden.saturating_add(1);
            }
        }
        if let (true, Some(scope)) = (engine.filters_lists, shared_with_all(message)) {
            message
                .replace_text(scope, "private")
                .map_err(|_| unparseable("an edit could not be written"))?;
        }
        Ok(sifted)
    }

    /// Whether nothing that this caller could do with the resource is allowed.
    pub(super) fn withholds(&self, engine: &mut Engine, uri: &str, now_ms: u64) -> bool {
        let Some(work) = self.works().next() else {
            return true;
        };
        let mut sieve = Sieve::new(self, engine, work, true, now_ms);
        sieve.is_denied(engine, EntityKind::Resource, uri)
    }

    /// The answer to a call of a tool that its caller cannot find in any list, where policy's existence is to be hidden
    /// too. A refusal that depends on more than the caller is told as it is.
    pub(super) fn cloaked(&self, engine: &mut Engine, refusal: &Refusal, now_ms: u64) -> Option<Reply> {
        let work = self.work.as_deref().filter(|work| work.calls_a_tool())?;
        let id = work.id.as_deref()?;
        if !engine.config.cloak || self.batch.array || refusal.kind != RefusalKind::Operation {
            return None;
        }
        let mut sieve = Sieve::new(self, engine, work, false, now_ms);
        let only_events = only_events(&self.head.accept);
        let tool = EntityKind::Tool;
        let hidden =
            sieve.is_denied(engine, tool, &work.name) && sieve.lacks(engine, tool, &work.name).is_none();
        hidden.then(|| unknown_tool(id, &work.name, only_events))
    }
}

impl<'a> Sieve<'a> {
    fn new(exchange: &'a Exchange, engine: &Engine, work: &'a Work, labels: bool, now_ms: u64) -> Self {
        Self {
            exchange,
            work,
            labels,
            scope: exchange.scope(engine),
            callers: Vec::new(),
            fuel: engine.config.limits.fuel,
            now_ms,
        }
    }

    /// Tools of every answer are compared, whoever asks and whatever the rules say.
    fn pin(&self, engine: &Engine, entry: &Entry, message: &Document) -> Pin {
        let Offer::Entity(EntityKind::Tool, name) = &entry.offer else {
            return Pin::Fine;
        };
        let scope = self.scope.as_deref();
        match pinned(engine.program.program(), scope, name) {
            Pinned::Free => Pin::Fine,
            // A route in shadow touches nothing.
            Pinned::As(_) | Pinned::Hidden if self.in_shadow(engine, name) => Pin::Fine,
            Pinned::Hidden => Pin::Hidden,
            Pinned::As(pin) if is_changed(message.node(entry.at), pin) => {
                Pin::Changed(PinMark::new(scope.unwrap_or_default(), name, pin))
            }
            Pinned::As(_) => Pin::Fine,
        }
    }

    fn in_shadow(&self, engine: &Engine, tool: &str) -> bool {
        let route = apl_vm::find_route(&engine.program, EntityKind::Tool, tool, self.scope.as_deref());
        ruled(engine, route, EntityKind::Tool, self.now_ms).shadow
    }

    fn is_denied(&mut self, engine: &mut Engine, entity: EntityKind, name: &str) -> bool {
        let route = apl_vm::find_route(&engine.program, entity, name, self.scope.as_deref());
        let ruled = ruled(engine, route, entity, self.now_ms);
        self.probe(engine, &ruled, entity, Some(name), None)
    }

    /// The route's place, when its entries are shown to those whom only scopes are missing, and to this one they are.
    fn lacks(&mut self, engine: &mut Engine, entity: EntityKind, name: &str) -> Option<usize> {
        let route = apl_vm::find_route(&engine.program, entity, name, self.scope.as_deref());
        challenge::of_route(engine.program.program(), route).filter(|challenge| challenge.annotates)?;
        let ruled = ruled(engine, route, entity, self.now_ms);
        let known = self
            .caller(engine, entity, &ruled)
            .and_then(|at| self.callers.get(at));
        let denied = known.is_some_and(|caller| caller.facts.is_none())
            || self.probe(engine, &ruled, entity, Some(name), route);
        route.filter(|_| !denied)
    }

    /// Shows an entry with the scopes that are missing; false: they are not what is missing.
    fn annotates(
        &mut self,
        engine: &mut Engine,
        entity: EntityKind,
        name: &str,
        message: &mut Document,
        at: NodeId,
    ) -> bool {
        let route = self.lacks(engine, entity, name);
        let program = engine.program.program();
        challenge::of_route(program, route)
            .is_some_and(|found| challenge::annotate(program, found, message, at))
    }

    /// Whether every resource of a template is denied: those of every route that one of its URIs could match, and those
    /// that no route matches.
    fn all_denied(&mut self, engine: &mut Engine, prefix: &str) -> bool {
        let entity = EntityKind::Resource;
        let model = engine.program.program();
        let scope = self.scope.as_deref();
        let routes: Vec<usize> = model
            .routes
            .iter()
            .enumerate()
            .filter(|(_, route)| route.entity == entity)
            .filter(|(_, route)| route.scope.is_none_or(|id| Some(text_of(model, id)) == scope))
            .filter(|(_, route)| match route.matcher {
                Matcher::Exact(name) => text_of(model, name).starts_with(prefix),
                Matcher::Glob(pattern) => {
                    let head = text_of(model, pattern)
                        .split(['*', '?'])
                        .next()
                        .unwrap_or_default();
                    head.starts_with(prefix) || prefix.starts_with(head)
                }
                Matcher::Any => true,
                // Of HTTP routes only.
                Matcher::Http { .. } => false,
            })
            .map(|(at, _)| at)
            .collect();
        let looked_at = u64::try_from(model.routes.len()).unwrap_or(u64::MAX);
        self.fuel = self.fuel.saturating_sub(looked_at);
        routes.into_iter().map(Some).chain([None]).all(|route| {
            let ruled = ruled(engine, route, entity, self.now_ms);
            self.probe(engine, &ruled, entity, None, None)
        })
    }

    /// Whether a call is denied for sure. Without a `name` it is not known; `granted`: with the scopes that this route
    /// names.
    fn probe(
        &mut self,
        engine: &mut Engine,
        ruled: &Ruled,
        entity: EntityKind,
        name: Option<&str>,
        granted: Option<usize>,
    ) -> bool {
        if ruled.shadow {
            return false;
        }
        if ruled.unmatched {
            return true;
        }
        let (Some(at), true) = (self.caller(engine, entity, ruled), self.fuel > 0) else {
            return false;
        };
        let Some(caller) = self.callers.get_mut(at) else {
            return false;
        };
        let Some(facts) = &mut caller.facts else {
            return true;
        };
        let Some(pre) = ruled.pre else { return false };
        decide::name(engine, &mut facts.own, entity, name);
        let denied = match challenge::of_route(engine.program.program(), granted) {
            Some(challenge) => {
                let mut facts = challenge::known(facts);
                challenge::grant(engine, &mut facts, challenge);
                challenge::is_denied(engine, pre, &mut facts, None, &mut self.fuel)
            }
            None => challenge::is_denied(engine, pre, facts, None, &mut self.fuel),
        };
        // An entry costs something even where no rule is run.
        self.fuel = self.fuel.saturating_sub(1);
        denied
    }

    /// The caller by these identities; `None`: it cannot be said yet.
    fn caller(&mut self, engine: &mut Engine, entity: EntityKind, ruled: &Ruled) -> Option<usize> {
        let Ruled {
            route, identities, ..
        } = ruled;
        let known = |caller: &Caller| {
            caller.entity == entity
                && caller.identities == *identities
                && says_the_same(engine.program.program(), caller.route, *route)
        };
        let looked_at = u64::try_from(self.callers.len()).unwrap_or(u64::MAX);
        self.fuel = self.fuel.saturating_sub(looked_at);
        if let Some(at) = self.callers.iter().position(known) {
            return Some(at);
        }
        let verified = engine.identify(identities, &self.exchange.head, self.now_ms);
        let facts = match verified {
            Ok((principal, _)) => Some(self.possible(engine, entity, *route, &principal)),
            Err(Unverified::Refused(_)) => None,
            Err(Unverified::NeedsKeys(..) | Unverified::NeedsRecord(_)) => return None,
        };
        self.callers.push(Caller {
            entity,
            route: *route,
            identities: identities.clone(),
            facts,
        });
        self.callers.len().checked_sub(1)
    }

    /// What policy could read of a call: what holds for every call of this caller, and the rest unknown.
    fn possible(
        &self,
        engine: &Engine,
        entity: EntityKind,
        route: Option<usize>,
        principal: &Rc<Principal>,
    ) -> Facts {
        let mut call = Work::new(
            Message::Operation(Operation {
                entity,
                name: String::new(),
                // Prompts and resources have several.
                method: "tools/call",
                id: None,
                args: None,
            }),
            None,
        );
        call.law.route = route;
        let mut facts = self
            .exchange
            .facts(engine, &call, principal, self.scope.as_deref(), self.now_ms);
        let one_method = entity == EntityKind::Tool;
        for (key, fact) in &mut facts.own {
            let lasts = key.starts_with("meta.") || (key == "mcp.method" && one_method);
            if key == "http.method" {
                *fact = Fact::Str("POST".to_owned());
            } else if !lasts && !matches!(fact, Fact::Set(_)) {
                *fact = Fact::Unknown;
            }
        }
        let headers = engine.wanted.readable.iter();
        let named = headers.map(|name| format!("http.request_headers.{name}"));
        for key in named.chain(VARYING.map(str::to_owned)) {
            if engine.mentions(&key) {
                facts.own.insert(key, Fact::Unknown);
            }
        }
        // Only those of the bucket that a call in this session would read.
        if self.labels
            && self.work.facts.labels.loaded
            && session::key_of(principal, &self.exchange.head, &engine.config.session_sources)
                == self.work.session
        {
            facts.labels.clone_from(&self.work.facts.labels);
        }
        facts
    }
}

/// What one request may have and another not.
const VARYING: [&str; 6] = [
    "agent.session_id",
    "http.host",
    "http.path",
    "http.scheme",
    "request.request_id",
    "request.trace_id",
];

/// Whether rules read the same tags and properties of both.
fn says_the_same(program: &Program, one: Option<usize>, other: Option<usize>) -> bool {
    let said = |route: Option<usize>| {
        route
            .and_then(|at| program.routes.get(at))
            .map(|route| (route.tags.as_slice(), route.properties.as_slice()))
            .unwrap_or_default()
    };
    one == other || said(one) == said(other)
}

fn ruled(engine: &Engine, route: Option<usize>, entity: EntityKind, now_ms: u64) -> Ruled {
    let model = engine.program.program();
    if let Some((at, route)) = route.and_then(|at| Some((at, model.routes.get(at)?))) {
        return Ruled {
            route: Some(at),
            pre: route.pre,
            identities: route.identities.clone(),
            unmatched: false,
            shadow: engine.in_shadow(route.enforcement, now_ms),
        };
    }
    let fallback = model
        .fallbacks
        .iter()
        .find(|fallback| fallback.entity == Some(entity));
    Ruled {
        route: None,
        pre: fallback.and_then(|fallback| fallback.pre),
        identities: fallback.map_or_else(Vec::new, |fallback| fallback.identities.clone()),
        unmatched: match model.settings.unmatched {
            Unmatched::Deny => true,
            Unmatched::Allow => false,
        },
        shadow: engine.in_shadow(model.settings.enforcement, now_ms),
    }
}
