//! What a phase needs of its host, computed from its code and never stored.

use alloc::{vec, vec::Vec};

use crate::model::{
    AttrId, Block, BlockId, BlockKind, Cost, Effect, Instr, Members, Operand, PipelineId, Program, Scopes,
    Seg, Side, Stage,
};

/// What a route needs of its host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Needs {
    /// Before the call.
    pub pre: PhaseNeeds,
    /// After it.
    pub post: PhaseNeeds,
}

/// What one phase needs of its host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is an independent answer to a question of the host"
)]
pub struct PhaseNeeds {
    /// Reads `args.*`, in a condition or a pipeline.
    pub reads_args: bool,
    /// Reads `result.*`.
    pub reads_result: bool,
    /// A pipeline may change the arguments.
    pub edits_args: bool,
    /// A pipeline may change the result.
    pub edits_result: bool,
    /// Has field pipelines.
    pub pipelines: bool,
    /// Scans the whole document of its phase.
    pub scans: bool,
    /// Reads request headers.
    pub reads_request_headers: bool,
    /// Reads response headers or the status.
    pub reads_response_head: bool,
    /// Reads `security.labels`.
    pub reads_labels: bool,
    /// Loads labels from the store.
    pub loads_labels: bool,
    /// Sets a label that outlives the exchange.
    pub taints: bool,
    /// Mints a credential.
    pub delegates: bool,
    /// Asks a human.
    pub elicits: bool,
    /// Asks a decision point.
    pub decides: bool,
    /// Counts against a limit.
    pub counts: bool,
    /// Narrows where the request may go.
    pub restricts: bool,
    /// Writes step records.
    pub audits: bool,
    /// Some of them wait for their acknowledgement.
    pub durable_audit: bool,
}

impl PhaseNeeds {
    /// Whether it may ask the companion before its verdict.
    #[must_use]
    pub const fn companion(&self) -> bool {
        self.loads_labels
            || self.taints
            || self.delegates
            || self.elicits
            || self.decides
            || self.counts
            || self.durable_audit
    }

    /// Whether the response's body must be looked at, when this is the phase after the call.
    #[must_use]
    pub const fn response_body(&self) -> bool {
        self.reads_result || self.edits_result || self.pipelines || self.scans
    }
}

/// The needs of every block, in the order of the table. Expressions first: they refer to bodies before them only, and
/// steps refer to expressions anywhere.
pub(crate) fn of_blocks(program: &Program) -> Vec<PhaseNeeds> {
    let mut all = vec![PhaseNeeds::default(); program.blocks.len()];
    for kind in [BlockKind::Expr, BlockKind::Steps] {
        for (at, block) in program
            .blocks
            .iter()
            .enumerate()
            .filter(|(_, block)| block.kind == kind)
        {
            let mut needs = PhaseNeeds::default();
            Collect {
                program,
                needs: &mut needs,
                done: &all,
            }
            .block(block);
            if let Some(slot) = all.get_mut(at) {
                *slot = needs;
            }
        }
    }
    all
}

struct Collect<'a> {
    program: &'a Program,
    needs: &'a mut PhaseNeeds,
    /// Of the blocks that this one can refer to.
    done: &'a [PhaseNeeds],
}

impl Collect<'_> {
    fn block(&mut self, block: &Block) {
        for instr in &block.code {
            match instr {
                Instr::Truth(attr)
                | Instr::Exists(attr)
                | Instr::Compare(_, attr, _)
                | Instr::Contains(attr, _)
                | Instr::Load(attr)
                | Instr::Has(attr) => self.attr(*attr),
                Instr::In(member, set) => {
                    self.attr(*member);
                    self.attr(*set);
                }
                Instr::Fold(_, body) => self.body(*body),
                Instr::Pipeline(pipeline) => self.pipeline(*pipeline),
                Instr::Scan(..) => self.needs.scans = true,
                Instr::Effect(effect) => {
                    if let Some(effect) = self.program.effects.get(effect.at()) {
                        self.effect(effect);
                    }
                }
                Instr::And
                | Instr::Or
                | Instr::Not
                | Instr::Const(_)
                | Instr::Cel(_)
                | Instr::CelIn
                | Instr::Arith(_)
                | Instr::Neg
                | Instr::Index
                | Instr::Select(_)
                | Instr::HasField(_)
                | Instr::Choose
                | Instr::List(_)
                | Instr::Map(_)
                | Instr::Answer(_)
                | Instr::Call(_)
                | Instr::Matches(_)
                | Instr::Local(_)
                | Instr::DenyIf(_)
                | Instr::SkipUnless(..)
                | Instr::Decide(_)
                | Instr::Deny(_)
                | Instr::DenyAs(..)
                | Instr::Jump(_)
                | Instr::Await => {}
            }
        }
    }

    fn body(&mut self, body: BlockId) {
        if let Some(known) = self.done.get(body.at()) {
            *self.needs = self.needs.and(*known);
        }
    }

    /// An attribute, and those that its path interpolates.
    fn attr(&mut self, id: AttrId) {
        let Some(attr) = self.program.attrs.get(id.at()) else {
            return;
        };
        let name = |seg: Option<&Seg>| match seg {
            Some(Seg::Name(name)) => self
                .program
                .strings
                .get(name.at())
                .map_or("", alloc::string::String::as_str),
            Some(Seg::Value(_)) | None => "",
        };
        match (name(attr.segs.first()), name(attr.segs.get(1))) {
            ("args", _) => self.needs.reads_args = true,
            ("result", _) => self.needs.reads_result = true,
            ("security", "labels") => self.needs.reads_labels = true,
            ("http", "request_headers") => self.needs.reads_request_headers = true,
            ("http", "response_headers" | "status") => self.needs.reads_response_head = true,
            // The whole map, or a segment that is only known at run time.
            ("http", "") => {
                self.needs.reads_request_headers = true;
                self.needs.reads_response_head = true;
            }
            ("security", "") => self.needs.reads_labels = true,
            _ => {}
        }
        for seg in &attr.segs {
            if let Seg::Value(inner) = seg
                && *inner < id
            {
                self.attr(*inner);
            }
        }
    }

    fn pipeline(&mut self, id: PipelineId) {
        let Some(pipeline) = self.program.pipelines.get(id.at()) else {
            return;
        };
        self.needs.pipelines = true;
        let edits = match pipeline.side {
            Side::Args => {
                self.needs.reads_args = true;
                &mut self.needs.edits_args
            }
            Side::Result => {
                self.needs.reads_result = true;
                &mut self.needs.edits_result
            }
        };
        *edits |= pipeline.stages.iter().any(Stage::edits);
        for stage in &pipeline.stages {
            match stage {
                Stage::Taint(_, scopes) => self.taint(*scopes),
                Stage::Scan { label: Some(_), .. } => self.taint(Scopes::SESSION),
                Stage::Redact(Some(condition)) => self.body(*condition),
                _ => {}
            }
        }
    }

    fn effect(&mut self, effect: &Effect) {
        match effect {
            Effect::Taint { scopes, .. } => self.taint(*scopes),
            Effect::LoadLabels { .. } => self.needs.loads_labels = true,
            Effect::Delegate(_) => self.needs.delegates = true,
            Effect::Elicit(elicit) => {
                self.needs.elicits = true;
                match elicit.from {
                    Operand::Text(_) => {}
                    Operand::Attr(attr) => self.attr(attr),
                }
                match &elicit.show {
                    None => self.needs.reads_args = true,
                    Some(shown) => shown.iter().for_each(|attr| self.attr(*attr)),
                }
            }
            Effect::Decide(decision) => {
                self.needs.decides = true;
                self.body(decision.call);
                decision.input.iter().for_each(|attr| self.attr(*attr));
            }
            Effect::Count(count) => {
                self.needs.counts = true;
                count.by.iter().for_each(|attr| self.attr(*attr));
                match count.cost {
                    Cost::Fixed(_) => {}
                    Cost::Attr(attr) => self.attr(attr),
                }
            }
            Effect::Restrict(restrict) => {
                self.needs.restricts = true;
                for (_, members) in &restrict.lists {
                    match members {
                        Members::Texts(_) => {}
                        Members::Attr(attr) => self.attr(*attr),
                    }
                }
            }
            Effect::Audit { durable, .. } => {
                self.needs.audits = true;
                self.needs.durable_audit |= *durable;
            }
        }
    }

    fn taint(&mut self, scopes: Scopes) {
        self.needs.taints |= scopes.has(Scopes::SESSION) || scopes.has(Scopes::SUBJECT);
    }
}

impl PhaseNeeds {
    /// The needs of both.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self {
            reads_args: self.reads_args || other.reads_args,
            reads_result: self.reads_result || other.reads_result,
            edits_args: self.edits_args || other.edits_args,
            edits_result: self.edits_result || other.edits_result,
            pipelines: self.pipelines || other.pipelines,
            scans: self.scans || other.scans,
            reads_request_headers: self.reads_request_headers || other.reads_request_headers,
            reads_response_head: self.reads_response_head || other.reads_response_head,
            reads_labels: self.reads_labels || other.reads_labels,
            loads_labels: self.loads_labels || other.loads_labels,
            taints: self.taints || other.taints,
            delegates: self.delegates || other.delegates,
            elicits: self.elicits || other.elicits,
            decides: self.decides || other.decides,
            counts: self.counts || other.counts,
            restricts: self.restricts || other.restricts,
            audits: self.audits || other.audits,
            durable_audit: self.durable_audit || other.durable_audit,
        }
    }
}
