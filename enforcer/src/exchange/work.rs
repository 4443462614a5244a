//! The operation of an exchange, and what governs it.

use std::rc::Rc;

use apl_bytecode::{AssertionsId, BlockId, Enforcement, EntityKind, IdentityId, PhaseNeeds, Unmatched};
use apl_vm::{Document, Edit, Env, Facts, Machine, Mode, NodeId, Unmet, View};
use companion_protocol::{AuditRecord, Binding, CallRecord, CapturedDecision, SessionKey, ShadowVerdict};

use super::pins::Asking;
use crate::{
    Engine,
    codec::Codec,
    config::DenialShape,
    effects::{Approved, Minted},
    http::head::Head,
    identity::principal::Principal,
    mcp::{
        cursor::Asked,
        list::is_list,
        request::{LISTEN, Message, Operation},
        response::GovernedResult,
    },
    named_keys,
    pins::PinMark,
    refusal::Shape,
};

/// One operation on its way through both phases.
#[derive(Debug)]
pub(super) struct Work {
    /// `None`: housekeeping.
    pub(super) entity: Option<EntityKind>,
    pub(super) name: String,
    pub(super) method: String,
    /// As sent.
    pub(super) id: Option<Vec<u8>>,
    pub(super) document: Option<Document>,
    /// What of an HTTP operation's body is read.
    pub(super) reads: Reading,
    pub(super) args: Option<NodeId>,
    pub(super) law: Law,
    pub(super) principal: Rc<Principal>,
    pub(super) session: Option<SessionKey>,
    pub(super) facts: Facts,
    pub(super) machine: Option<Machine>,
    pub(super) edits: Vec<Edit>,
    pub(super) performed: Vec<String>,
    pub(super) labels_added: Vec<String>,
    /// What the companion was asked, for the record.
    pub(super) calls: Vec<CallRecord>,
    /// What of the condition that denied did not hold.
    pub(super) unmet: Unmet,
    /// What decision points said and the result as it came, where it is captured.
    pub(super) decisions: Vec<CapturedDecision>,
    pub(super) result: Option<String>,
    pub(super) scope: Option<String>,
    /// The labels as they were loaded.
    pub(super) loaded: Option<Vec<String>>,
    pub(super) minted: Vec<Minted>,
    /// Approvals that this phase has found and not spent yet.
    pub(super) approvals: Vec<Approved>,
    /// They are being spent: the answers that come next are about that.
    pub(super) redeeming: bool,
    /// The answers that come next are about a pin.
    pub(super) asking: Option<Asking>,
    /// Marks that are to be stored before its answer is released.
    pub(super) marks: Vec<PinMark>,
    /// The session's labels, loaded with a mark, for the rules' first load.
    pub(super) preloaded: Option<Vec<String>>,
    /// What approvals are bound to, but for the step.
    pub(super) binding: Option<Binding>,
    /// Numbers the effects of the exchange.
    pub(super) position: u32,
    pub(super) request_digest: Option<String>,
    pub(super) response_digest: Option<String>,
    /// The number of the record that is written when the response was judged.
    pub(super) reserved: Option<u64>,
    /// The record of its verdict that is being stored before the answer is released.
    pub(super) recording: Option<Box<AuditRecord>>,
    /// It is recorded: another one is written only if it comes to something else.
    pub(super) recorded: bool,
    /// Its answer leaves part by part, so its verdict is known at the end only.
    pub(super) flows: bool,
    /// Its answer has come.
    pub(super) answered: bool,
    /// How its rules are run. In shadow nothing of it counts.
    pub(super) mode: Mode,
    /// The second program judges it.
    pub(super) beside: bool,
    /// What the run in shadow has come to.
    pub(super) verdict: Option<ShadowVerdict>,
    /// The same operation as policies in shadow see it.
    pub(super) shadows: Vec<Work>,
    /// Its own law is in shadow, so nothing is enforced on it.
    pub(super) lifted: bool,
    /// It was performed on an earlier exchange, whose stream this one goes on with: only its answer is judged.
    pub(super) resumed: bool,
    /// It is a part of a request and has no answer of its own: who is refused is told so under this id.
    pub(super) part_of: Option<Option<Vec<u8>>>,
}

/// Whether the body of an HTTP operation becomes arguments.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Reading {
    /// It has no say.
    #[default]
    Nothing,
    /// Only what is in shadow asks: a body that cannot be read is none.
    WhatItCan,
    /// A body that cannot be read is refused.
    All,
}

/// What governs an operation.
#[derive(Debug, Clone)]
pub(super) struct Law {
    pub(super) pre: Option<BlockId>,
    pub(super) post: Option<BlockId>,
    pub(super) pre_needs: PhaseNeeds,
    pub(super) post_needs: PhaseNeeds,
    pub(super) identities: Vec<IdentityId>,
    pub(super) pass_unparseable: bool,
    /// No route matched, and then the operation is denied after the global rules.
    pub(super) unmatched: bool,
    pub(super) owner: Option<String>,
    pub(super) assertions: Option<AssertionsId>,
    /// The route's place in the table.
    pub(super) route: Option<usize>,
    /// Whether it counts.
    pub(super) enforcement: Enforcement,
}

impl Default for Law {
    fn default() -> Self {
        Self {
            pre: None,
            post: None,
            pre_needs: PhaseNeeds::default(),
            post_needs: PhaseNeeds::default(),
            identities: Vec::new(),
            pass_unparseable: false,
            unmatched: false,
            owner: None,
            assertions: None,
            route: None,
            enforcement: Enforcement::Enforce,
        }
    }
}

impl Law {
    /// What is left of it in shadow: whose it is.
    pub(super) fn lifted(self) -> Self {
        Self {
            owner: self.owner,
            ..Self::default()
        }
    }

    /// The law for an operation, or for housekeeping.
    pub(super) fn of(engine: &Engine, entity: Option<EntityKind>, name: &str, scope: Option<&str>) -> Self {
        let program = &engine.program;
        let model = program.program();
        let route = entity.and_then(|entity| apl_vm::find_route(program, entity, name, scope));
        if let Some((at, route)) = route.and_then(|at| Some((at, model.routes.get(at)?))) {
            let needs = program.needs(at);
            return Self {
                pre: route.pre,
                post: route.post,
                pre_needs: needs.pre,
                post_needs: needs.post,
                identities: route.identities.clone(),
                pass_unparseable: route.pass_unparseable,
                unmatched: false,
                owner: route
                    .owner
                    .map(|owner| crate::identity::token::text_of(model, owner).to_owned()),
                assertions: route.assertions,
                route: Some(at),
                enforcement: route.enforcement,
            };
        }
        let unmatched = entity.is_some()
            && match model.settings.unmatched {
                Unmatched::Deny => true,
                Unmatched::Allow => false,
            };
        let Some(fallback) = model.fallbacks.iter().find(|fallback| fallback.entity == entity) else {
            return Self {
                unmatched,
                enforcement: model.settings.enforcement,
                ..Self::default()
            };
        };
        let needs = program.needs_of(fallback.pre, fallback.post);
        Self {
            pre: fallback.pre,
            post: fallback.post,
            pre_needs: needs.pre,
            post_needs: needs.post,
            identities: fallback.identities.clone(),
            pass_unparseable: false,
            unmatched,
            owner: None,
            assertions: fallback.assertions,
            route: None,
            enforcement: model.settings.enforcement,
        }
    }
}

/// Whether the two phases of an operation read its arguments.
pub(crate) const fn reads_arguments(pre: &PhaseNeeds, post: &PhaseNeeds) -> bool {
    pre.reads_args
        || pre.edits_args
        || pre.pipelines
        || pre.scans
        || pre.elicits
        || pre.decides
        || post.reads_args
        || post.elicits
        || post.decides
}

impl Law {
    /// Whether the body has a say in the verdict.
    pub(super) const fn reads_body(&self) -> bool {
        reads_arguments(&self.pre_needs, &self.post_needs)
    }

    /// Whether the phase after the call looks at the response's body.
    pub(super) const fn reads_response_body(&self) -> bool {
        self.post_needs.response_body() || self.post_needs.decides
    }
}

impl Work {
    /// A message that was read; its law is not looked up and nobody is identified yet.
    pub(super) fn new(message: Message, document: Option<Document>) -> Self {
        let (entity, name, method, id, args) = match message {
            Message::Operation(op) => (Some(op.entity), op.name, op.method.to_owned(), op.id, op.args),
            Message::Housekeeping { method, id, args } => (None, String::new(), method, id, args),
            Message::Listen { id, .. } => (None, String::new(), LISTEN.to_owned(), id, None),
        };
        Self {
            entity,
            name,
            method,
            id,
            document,
            reads: Reading::default(),
            args,
            law: Law::default(),
            principal: Rc::default(),
            session: None,
            facts: Facts::default(),
            machine: None,
            edits: Vec::new(),
            performed: Vec::new(),
            labels_added: Vec::new(),
            calls: Vec::new(),
            unmet: Unmet::default(),
            decisions: Vec::new(),
            result: None,
            scope: None,
            loaded: None,
            minted: Vec::new(),
            approvals: Vec::new(),
            redeeming: false,
            asking: None,
            marks: Vec::new(),
            preloaded: None,
            binding: None,
            position: 0,
            request_digest: None,
            response_digest: None,
            reserved: None,
            recording: None,
            recorded: false,
            flows: false,
            answered: false,
            mode: Mode::Enforce,
            beside: false,
            verdict: None,
            shadows: Vec::new(),
            lifted: false,
            resumed: false,
            part_of: None,
        }
    }

    /// What a message asks for: one operation, or the parts of one before it.
    pub(super) fn all_of(message: Message) -> Vec<Self> {
        let parts = match &message {
            Message::Operation(_) | Message::Housekeeping { .. } => Vec::new(),
            Message::Listen { id, resources } => resources
                .iter()
                .map(|uri| Self::subscription(uri, id.clone()))
                .collect(),
        };
        let whole = Self::new(message, None);
        parts.into_iter().chain([whole]).collect()
    }

    /// A resource that a stream is to tell of.
    fn subscription(uri: &str, id: Option<Vec<u8>>) -> Self {
        let message = Message::Operation(Operation {
            entity: EntityKind::Resource,
            name: uri.to_owned(),
            method: LISTEN,
            id: None,
            args: None,
        });
        Self {
            part_of: Some(id),
            ..Self::new(message, None)
        }
    }

    /// What governs it. A part of a request has no answer, so nothing governs that.
    pub(super) fn law_in(&self, engine: &Engine, scope: Option<&str>) -> Law {
        let law = Law::of(engine, self.entity, &self.name, scope);
        match self.part_of {
            None => law,
            Some(_) => Law {
                post: None,
                post_needs: PhaseNeeds::default(),
                ..law
            },
        }
    }

    /// An access to an HTTP resource.
    pub(super) fn http(method: &str, path: &str) -> Self {
        let message = Message::Housekeeping {
            method: method.to_owned(),
            id: None,
            args: None,
        };
        let shown = if path.is_empty() { "/" } else { path };
        Self {
            entity: Some(EntityKind::Http),
            name: [method, " ", shown].concat(),
            ..Self::new(message, None)
        }
    }

    /// A request whose answer comes on a resumed stream.
    pub(super) fn resumed(asked: Asked) -> Self {
        Self {
            entity: asked.entity,
            name: asked.name,
            resumed: true,
            ..Self::new(
                Message::Housekeeping {
                    method: asked.method,
                    id: Some(asked.id),
                    args: None,
                },
                None,
            )
        }
    }

    /// What an event id of a stream says of it; `None`: nobody waits for its answer.
    pub(super) fn asked(&self) -> Option<Asked> {
        self.id.as_ref().map(|id| Asked {
            entity: self.entity,
            name: self.name.clone(),
            method: self.method.clone(),
            id: id.clone(),
        })
    }

    /// Whether the phase after the call can be run without the exchange of the call: it reads nothing of it.
    pub(super) fn can_resume(&self, engine: &Engine) -> bool {
        let needs = &self.law.post_needs;
        // What it was judged for is not in the id.
        if self.method == LISTEN {
            return false;
        }
        self.law.post.is_none()
            || !(needs.reads_args
                || needs.reads_request_headers
                || needs.reads_labels
                || (self.law.pre_needs.delegates && engine.mentions_delegations()))
    }

    /// A message that could not be read far enough, but whose id is known.
    pub(super) fn refused(id: Option<Vec<u8>>) -> Self {
        let id_known = Message::Housekeeping {
            method: String::new(),
            id,
            args: None,
        };
        Self::new(id_known, None)
    }

    /// How the client is told.
    pub(super) fn shape(&self, engine: &Engine, head: &Head) -> Shape<'_> {
        if let Some(shape) = head.codec.shape() {
            return shape;
        }
        match self.told_under() {
            Some(id) if head.codec == Codec::A2a => Shape::Agent(id),
            Some(id) if engine.config.denial_shape == DenialShape::ToolResult && self.calls_a_tool() => {
                Shape::Tool {
                    id,
                    complete: !head.revision.has_sessions(),
                }
            }
            Some(id) => Shape::Rpc(id),
            None if self.method.is_empty() => Shape::RpcUnknown,
            None => Shape::Notification,
        }
    }

    /// The id under which its client is told of a refusal.
    pub(super) fn told_under(&self) -> Option<&Vec<u8>> {
        self.part_of.as_ref().map_or(self.id.as_ref(), Option::as_ref)
    }

    /// Whether an argument that its rules name is written in another case.
    pub(super) fn has_twin(&self, engine: &Engine) -> bool {
        match (&self.document, self.args) {
            (Some(document), Some(args)) => {
                let blocks = [self.law.pre, self.law.post];
                named_keys::has_twin(engine.program.program(), blocks, document.received(args))
            }
            (Some(_) | None, _) => false,
        }
    }

    /// Whether a policy in shadow judges its answer.
    pub(super) fn is_watched(&self) -> bool {
        self.shadows.iter().any(|shadow| shadow.law.post.is_some())
    }

    pub(super) fn calls_a_tool(&self) -> bool {
        self.entity == Some(EntityKind::Tool) && self.method == "tools/call"
    }

    /// Whether something of its answer is judged: by rules after the call, or as a list.
    pub(super) fn is_judged(&self, engine: &Engine) -> bool {
        self.law.post.is_some() || self.is_sifted(engine) || self.listens(engine)
    }

    /// Whether it opens a stream of notifications that are not for everybody.
    pub(super) fn listens(&self, engine: &Engine) -> bool {
        self.method == LISTEN && engine.can_deny && !self.lifted
    }

    /// Whether its answer holds lists that are filtered.
    pub(super) fn is_sifted(&self, engine: &Engine) -> bool {
        let listens = engine.filters_lists || engine.pins;
        listens && self.entity.is_none() && is_list(&self.method) && !self.lifted
    }

    /// Runs the machine with what it reads.
    pub(super) fn with_machine<T>(
        &mut self,
        engine: &Engine,
        result: Option<&mut GovernedResult>,
        run: impl FnOnce(&mut Machine, &mut Env<'_>) -> T,
    ) -> Option<T> {
        let machine = self.machine.as_mut()?;
        let args = match (&mut self.document, self.args) {
            (Some(document), Some(node)) => Some(View::of(document, node)),
            (Some(_) | None, _) => None,
        };
        let mut env = Env {
            facts: &mut self.facts,
            args,
            result: result.map(GovernedResult::view),
            hash_key: engine.hash_key.as_deref(),
            mode: self.mode,
            edits: &mut self.edits,
        };
        Some(run(machine, &mut env))
    }
}
