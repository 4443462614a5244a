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

/// What a phase needs, a bit for each field of [`PhaseNeeds`].
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Bits(u32);

impl Bits {
    const READS_ARGS: u32 = 1 << 0;
    const READS_RESULT: u32 = 1 << 1;
    const EDITS_ARGS: u32 = 1 << 2;
    const EDITS_RESULT: u32 = 1 << 3;
    const PIPELINES: u32 = 1 << 4;
    const SCANS: u32 = 1 << 5;
    const READS_REQUEST_HEADERS: u32 = 1 << 6;
    const READS_RESPONSE_HEAD: u32 = 1 << 7;
    const READS_LABELS: u32 = 1 << 8;
    const LOADS_LABELS: u32 = 1 << 9;
    const TAINTS: u32 = 1 << 10;
    const DELEGATES: u32 = 1 << 11;
    const ELICITS: u32 = 1 << 12;
    const DECIDES: u32 = 1 << 13;
    const COUNTS: u32 = 1 << 14;
    const RESTRICTS: u32 = 1 << 15;
    const AUDITS: u32 = 1 << 16;
    const DURABLE_AUDIT: u32 = 1 << 17;

    /// What both need.
    pub(crate) const fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// As fields.
    pub(crate) const fn needs(self) -> PhaseNeeds {
        PhaseNeeds {
            reads_args: self.0 & Self::READS_ARGS != 0,
            reads_result: self.0 & Self::READS_RESULT != 0,
            edits_args: self.0 & Self::EDITS_ARGS != 0,
            edits_result: self.0 & Self::EDITS_RESULT != 0,
            pipelines: self.0 & Self::PIPELINES != 0,
            scans: self.0 & Self::SCANS != 0,
            reads_request_headers: self.0 & Self::READS_REQUEST_HEADERS != 0,
            reads_response_head: self.0 & Self::READS_RESPONSE_HEAD != 0,
            reads_labels: self.0 & Self::READS_LABELS != 0,
            loads_labels: self.0 & Self::LOADS_LABELS != 0,
            taints: self.0 & Self::TAINTS != 0,
            delegates: self.0 & Self::DELEGATES != 0,
            elicits: self.0 & Self::ELICITS != 0,
            decides: self.0 & Self::DECIDES != 0,
            counts: self.0 & Self::COUNTS != 0,
            restricts: self.0 & Self::RESTRICTS != 0,
            audits: self.0 & Self::AUDITS != 0,
            durable_audit: self.0 & Self::DURABLE_AUDIT != 0,
        }
    }
}

/// The needs of every block, in the order of the table. Expressions first: they refer to bodies before them only, and
/// steps refer to expressions anywhere.
pub(crate) fn of_blocks(program: &Program) -> Vec<Bits> {
    let attrs = of_attrs(program);
    let mut all = vec![Bits::default(); program.blocks.len()];
    for kind in [BlockKind::Expr, BlockKind::Steps] {
        for (at, block) in program
            .blocks
            .iter()
            .enumerate()
            .filter(|(_, block)| block.kind == kind)
        {
            let mut collect = Collect {
                program,
                attrs: &attrs,
                done: &all,
                needs: 0,
            };
            collect.block(block);
            let needs = Bits(collect.needs);
            if let Some(slot) = all.get_mut(at) {
                *slot = needs;
            }
        }
    }
    all
}

/// What reading each attribute needs, with those that its path interpolates: they stand before it.
fn of_attrs(program: &Program) -> Vec<Bits> {
    let mut all: Vec<Bits> = Vec::new();
    for attr in &program.attrs {
        let name = |seg: Option<&Seg>| match seg {
            Some(Seg::Name(name)) => program
                .strings
                .get(name.at())
                .map_or("", alloc::string::String::as_str),
            Some(Seg::Value(_)) | None => "",
        };
        let mut needs = match (name(attr.segs.first()), name(attr.segs.get(1))) {
            ("args", _) => Bits::READS_ARGS,
            ("result", _) => Bits::READS_RESULT,
            ("security", "labels" | "") => Bits::READS_LABELS,
            ("http", "request_headers") => Bits::READS_REQUEST_HEADERS,
            ("http", "response_headers" | "status") => Bits::READS_RESPONSE_HEAD,
            // The whole map, or a segment that is only known at run time.
            ("http", "") => Bits::READS_REQUEST_HEADERS | Bits::READS_RESPONSE_HEAD,
            _ => 0,
        };
        for seg in &attr.segs {
            if let Seg::Value(inner) = seg {
                needs |= all.get(inner.at()).map_or(0, |inner| inner.0);
            }
        }
        all.push(Bits(needs));
    }
    all
}

struct Collect<'a> {
    program: &'a Program,
    attrs: &'a [Bits],
    /// Of the blocks that this one can refer to.
    done: &'a [Bits],
    needs: u32,
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
                Instr::Scan(..) => self.needs |= Bits::SCANS,
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
        self.needs |= self.done.get(body.at()).map_or(0, |known| known.0);
    }

    fn attr(&mut self, id: AttrId) {
        self.needs |= self.attrs.get(id.at()).map_or(0, |known| known.0);
    }

    fn pipeline(&mut self, id: PipelineId) {
        let Some(pipeline) = self.program.pipelines.get(id.at()) else {
            return;
        };
        let (reads, edits) = match pipeline.side {
            Side::Args => (Bits::READS_ARGS, Bits::EDITS_ARGS),
            Side::Result => (Bits::READS_RESULT, Bits::EDITS_RESULT),
        };
        self.needs |= Bits::PIPELINES | reads;
        if pipeline.stages.iter().any(Stage::edits) {
            self.needs |= edits;
        }
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
            Effect::LoadLabels { .. } => self.needs |= Bits::LOADS_LABELS,
            Effect::Delegate(_) => self.needs |= Bits::DELEGATES,
            Effect::Attenuate(attenuate) => {
                self.needs |= Bits::DELEGATES;
                for part in &attenuate.resource {
                    match part {
                        Operand::Text(_) => {}
                        Operand::Attr(attr) => self.attr(*attr),
                    }
                }
            }
            Effect::Elicit(elicit) => {
                self.needs |= Bits::ELICITS;
                match elicit.from {
                    Operand::Text(_) => {}
                    Operand::Attr(attr) => self.attr(attr),
                }
                match &elicit.show {
                    None => self.needs |= Bits::READS_ARGS,
                    Some(shown) => shown.iter().for_each(|attr| self.attr(*attr)),
                }
            }
            Effect::Decide(decision) => {
                self.needs |= Bits::DECIDES;
                self.body(decision.call);
                decision.input.iter().for_each(|attr| self.attr(*attr));
            }
            Effect::Count(count) => {
                self.needs |= Bits::COUNTS;
                count.by.iter().for_each(|attr| self.attr(*attr));
                match count.cost {
                    Cost::Fixed(_) => {}
                    Cost::Attr(attr) => self.attr(attr),
                }
            }
            Effect::Restrict(restrict) => {
                self.needs |= Bits::RESTRICTS;
                for (_, members) in &restrict.lists {
                    match members {
                        Members::Texts(_) => {}
                        Members::Attr(attr) => self.attr(*attr),
                    }
                }
            }
            Effect::Audit { durable, .. } => {
                self.needs |= Bits::AUDITS;
                if *durable {
                    self.needs |= Bits::DURABLE_AUDIT;
                }
            }
        }
    }

    fn taint(&mut self, scopes: Scopes) {
        if scopes.has(Scopes::SESSION) || scopes.has(Scopes::SUBJECT) {
            self.needs |= Bits::TAINTS;
        }
    }
}
