//! One phase of one operation: field pipelines first, then steps, layer by layer.

use std::rc::Rc;

use apl_bytecode::{BlockId, Code, Instr, Phase, Position, ScanMode};

use super::labels::{self, Reads};
use super::policy::Lowering;
use super::tables::Use;
use super::{pipeline, steps};
use crate::diagnostics::{self, warning};
use crate::document::SectionDecl;
use crate::source::{Span, to_u32};
use crate::syntax::{Field, StageKind, Step};

/// Where a step stands, for its denial code.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    /// The section.
    pub source: Rc<str>,
    /// The phase.
    pub phase: Phase,
    /// Position in the section's list.
    pub index: u16,
    /// Reactions on the way down.
    pub reactions: Vec<(bool, u16)>,
}

impl Place {
    /// The step of a reaction list below this one.
    pub(crate) fn reaction(&self, allow: bool, index: u16) -> Self {
        let mut place = self.clone();
        place.reactions.push((allow, index));
        place
    }
}

/// A block of steps under construction.
pub(crate) struct Emitter<'l, 'a> {
    /// Everything else.
    pub lowering: &'l mut Lowering<'a>,
    /// The phase.
    pub phase: Phase,
    /// The code so far.
    pub code: Vec<Instr>,
    /// Where each instruction was written.
    spans: Vec<Span>,
    /// Labels are loaded on every way to here.
    labels: bool,
    /// A delegation may be waiting for its answer.
    pub delegates: bool,
}

/// Lowers a phase of these layers, outermost first. `None`: there is nothing to do.
pub(crate) fn lower(layers: &[&SectionDecl], phase: Phase, lowering: &mut Lowering<'_>) -> Option<BlockId> {
    let mut emitter = Emitter {
        lowering,
        phase,
        code: Vec::new(),
        spans: Vec::new(),
        labels: false,
        delegates: false,
    };
    cancelled(layers, phase, emitter.lowering);
    for (source, field) in merged(layers, phase) {
        emitter.field(source, field);
    }
    for layer in layers {
        let list = match phase {
            Phase::Pre => &layer.pre,
            Phase::Post => &layer.post,
        };
        let source: Rc<str> = layer.source.as_str().into();
        for step in list {
            let place = Place {
                source: Rc::clone(&source),
                phase,
                index: step.index,
                reactions: Vec::new(),
            };
            emitter.whole_step(step, &place);
        }
    }
    emitter.finish()
}

/// The fields of a phase: a narrower layer replaces the whole pipeline of a field that an outer one has too, in its place.
fn merged<'s>(layers: &[&'s SectionDecl], phase: Phase) -> Vec<(&'s str, &'s Field)> {
    let mut merged: Vec<(&str, &Field)> = Vec::new();
    for layer in layers {
        let fields = match phase {
            Phase::Pre => &layer.args,
            Phase::Post => &layer.result,
        };
        for field in fields {
            match merged.iter_mut().find(|(_, known)| known.path == field.path) {
                Some(known) => *known = (&layer.source, field),
                None => merged.push((&layer.source, field)),
            }
        }
    }
    merged
}

/// Warns of pipelines that hide a field and are replaced by one that does not.
fn cancelled(layers: &[&SectionDecl], phase: Phase, lowering: &mut Lowering<'_>) {
    let mut all: Vec<&Field> = Vec::new();
    for layer in layers {
        all.extend(match phase {
            Phase::Pre => &layer.args,
            Phase::Post => &layer.result,
        });
    }
    for (at, field) in all.iter().enumerate() {
        let outer = all.iter().take(at).rev().find(|known| known.path == field.path);
        if let Some(outer) = outer.filter(|outer| hides(outer) && !hides(field)) {
            lowering.reports.push(
                warning(
                    diagnostics::Code::CancelsRedaction,
                    field.span,
                    format!("this pipeline of `{}` shows what an outer one hides", field.name),
                )
                .related(outer.span, "it replaces the whole of this one")
                .help("repeat the stages of the outer pipeline, or leave the field to it"),
            );
        }
    }
}

/// Whether a pipeline may keep a value from whoever receives it.
fn hides(field: &Field) -> bool {
    field.stages.iter().any(|stage| match &stage.kind {
        StageKind::RedactIf(_) | StageKind::BuiltIn(ScanMode::Redact | ScanMode::Deny, _) => true,
        StageKind::Plain(plain) => plain.edits(),
        StageKind::BuiltIn(ScanMode::Detect, _)
        | StageKind::Enum(_)
        | StageKind::Regex(_)
        | StageKind::Taint(_)
        | StageKind::Run(_) => false,
    })
}

impl Emitter<'_, '_> {
    /// Appends an instruction.
    pub(crate) fn push(&mut self, instr: Instr, span: Span) {
        self.code.push(instr);
        self.spans.push(span);
    }

    /// Appends instructions of an expression.
    pub(crate) fn extend(&mut self, code: Vec<Instr>, span: Span) {
        for instr in code {
            self.push(instr, span);
        }
    }

    /// Makes sure that what is read from here on is there.
    pub(crate) fn provide(&mut self, reads: Reads, code: &Code, span: Span) {
        if reads.labels && !self.labels {
            // The step that reads them gives the denial its position; the store's answer gives it its code.
            let denial = self.lowering.tables.denial(code.clone(), None);
            let effect = self
                .lowering
                .tables
                .effect(apl_bytecode::Effect::LoadLabels { denial });
            self.push(Instr::Effect(effect), span);
            self.push(Instr::Await, span);
            self.labels = true;
            self.delegates = false;
        } else if reads.granted && self.delegates {
            self.push(Instr::Await, span);
            self.delegates = false;
        }
    }

    /// Waits for everything that was asked for.
    pub(crate) fn wait(&mut self, span: Span) {
        self.push(Instr::Await, span);
        self.delegates = false;
    }

    /// Whether labels are loaded on every way to here.
    pub(crate) const fn has_labels(&self) -> bool {
        self.labels
    }

    /// Emits what may be jumped over: what it provides is not provided behind it, and what it leaves pending may be.
    pub(crate) fn branch(&mut self, emit: impl FnOnce(&mut Self)) {
        let before = (self.labels, self.delegates);
        emit(self);
        self.labels = before.0;
        self.delegates |= before.1;
    }

    /// The target of a jump to here.
    pub(crate) fn here(&self) -> u32 {
        to_u32(self.code.len())
    }

    /// Code of a step's denial without a code of its own.
    pub(crate) fn position(&mut self, place: &Place) -> Code {
        Code::Step {
            source: self.lowering.tables.str(&place.source),
            phase: place.phase,
            index: place.index,
            reactions: place.reactions.clone(),
        }
    }

    /// A code of the author's or of a built-in step, with the position of the step that denies: the client sees the
    /// code, the audit record both.
    pub(crate) fn named(&mut self, code: &str, place: &Place) -> Code {
        Code::Named {
            code: self.lowering.tables.str(code),
            source: self.lowering.tables.str(&place.source),
            phase: place.phase,
            index: place.index,
            reactions: place.reactions.clone(),
        }
    }

    fn field(&mut self, source: &str, field: &Field) {
        let code = Code::Field {
            source: self.lowering.tables.str(source),
            result: self.phase == Phase::Post,
            field: self.lowering.tables.str(&field.name),
        };
        self.provide(labels::field(field), &code, field.span);
        if let Some(id) = pipeline::field(field, code, self.lowering) {
            self.push(Instr::Pipeline(id), field.span);
        }
    }

    fn whole_step(&mut self, step: &Step, place: &Place) {
        // Labels are loaded before the whole step, so that no branch in it can go without them.
        let reads = labels::step(step);
        let code = self.position(place);
        self.provide(
            Reads {
                granted: false,
                ..reads
            },
            &code,
            step.span,
        );
        steps::step(step, place, self);
    }

    fn finish(self) -> Option<BlockId> {
        if self.code.is_empty() {
            return None;
        }
        let what = match self.phase {
            Phase::Pre => Use::Pre,
            Phase::Post => Use::Post,
        };
        let (id, new) = self.lowering.tables.block(what, self.code);
        if new {
            // One entry for the instructions that were written in one place.
            let mut last = None;
            for (at, span) in self.spans.into_iter().enumerate() {
                if last != Some(span) {
                    let position = Position::Instr(id.0, to_u32(at));
                    self.lowering.tables.spans.push((position, span));
                    last = Some(span);
                }
            }
        }
        Some(id)
    }
}
