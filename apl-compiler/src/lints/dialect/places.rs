//! The parts of a policy that differences are looked for in, each with its place.

use apl_bytecode::{CmpOp, Phase};

use super::super::walk;
use crate::document::{Document, PluginKind, SectionDecl};
use crate::source::{Source, Span};
use crate::syntax::{
    AttrSeg, DelegateCall, Effect, EffectKind, Field, Path, Pdp, Predicate, Stage, StageKind, Step, StepKind,
    TaintCall, Test,
};
use crate::yaml::Node;

/// Everything in a policy, by kind.
pub(super) struct Places<'a> {
    pub document: &'a Document,
    pub root: &'a Node,
    sources: &'a [Source],
    sections: Vec<&'a SectionDecl>,
    effects: Vec<&'a Effect>,
    stages: Vec<(&'a Field, &'a Stage)>,
    tests: Vec<(&'a Test, Phase)>,
    decisions: Vec<(&'a Pdp, Span)>,
}

impl<'a> Places<'a> {
    pub(super) fn collect(document: &'a Document, root: &'a Node, sources: &'a [Source]) -> Self {
        let sections = walk::sections(document);
        let (mut effects, mut stages, mut tests, mut decisions) =
            (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for section in &sections {
            for list in [&section.pre, &section.post] {
                walk::steps(list, &mut |step: &'a Step| {
                    walk::effects(step, &mut |effect| effects.push(effect));
                    if let StepKind::Pdp(pdp) = &step.kind {
                        decisions.push((pdp, step.span));
                    }
                });
            }
            walk::stages(section, &mut |field, stage| stages.push((field, stage)));
            walk::predicates(section, &mut |predicate, phase| {
                leaves(predicate, phase, &mut tests)
            });
        }
        Self {
            document,
            root,
            sources,
            sections,
            effects,
            stages,
            tests,
            decisions,
        }
    }

    /// What is written at a place.
    pub(super) fn written(&self, span: Span) -> &'a str {
        let source = self.sources.get(usize::from(span.file));
        source.map_or("", |source| source.slice(span))
    }

    /// Places of leaves for which `test` holds, at the path that it yields.
    pub(super) fn tests(&self, test: impl Fn(&'a Test, Phase) -> Option<&'a Path>) -> Vec<Span> {
        self.tests
            .iter()
            .filter_map(|(leaf, phase)| test(leaf, *phase))
            .map(|path| path.span)
            .collect()
    }

    /// Places of paths for which `test` holds.
    pub(super) fn paths(&self, test: impl Fn(&Path, Phase) -> bool) -> Vec<Span> {
        let mut found = Vec::new();
        for (leaf, phase) in &self.tests {
            let (first, second) = operands(leaf);
            for path in [Some(first), second].into_iter().flatten() {
                if test(path, *phase) {
                    found.push(path.span);
                }
            }
        }
        found
    }

    /// Places of stages.
    pub(super) fn stages(&self, test: impl Fn(&Field, &StageKind) -> bool) -> Vec<Span> {
        self.stages
            .iter()
            .filter(|(field, stage)| test(field, &stage.kind))
            .map(|(_, stage)| stage.span)
            .collect()
    }

    /// Places of declared fields.
    pub(super) fn fields(&self, test: impl Fn(&Field) -> bool) -> Vec<Span> {
        self.sections
            .iter()
            .flat_map(|section| section.args.iter().chain(&section.result))
            .filter(|field| test(field))
            .map(|field| field.span)
            .collect()
    }

    /// Places of effects.
    pub(super) fn effects(&self, test: impl Fn(&EffectKind) -> bool) -> Vec<Span> {
        self.effects
            .iter()
            .filter(|effect| test(&effect.kind))
            .map(|effect| effect.span)
            .collect()
    }

    /// Places of delegations.
    pub(super) fn delegations(&self, test: impl Fn(&DelegateCall) -> bool) -> Vec<Span> {
        self.effects(|kind| matches!(kind, EffectKind::Delegate(call) if test(call)))
    }

    /// Places of taints, in steps and in stages.
    pub(super) fn taints(&self, test: impl Fn(&TaintCall, Span) -> bool) -> Vec<Span> {
        let steps = self.effects.iter().filter_map(|effect| match &effect.kind {
            EffectKind::Taint(call) if test(call, effect.span) => Some(effect.span),
            _ => None,
        });
        let stages = self.stages.iter().filter_map(|(_, stage)| match &stage.kind {
            StageKind::Taint(call) if test(call, stage.span) => Some(stage.span),
            _ => None,
        });
        steps.chain(stages).collect()
    }

    /// Places of decision points.
    pub(super) fn decisions(&self, test: impl Fn(&Pdp) -> bool) -> Vec<Span> {
        self.decisions
            .iter()
            .filter(|(pdp, _)| test(pdp))
            .map(|(_, span)| *span)
            .collect()
    }

    /// Places of declared plugins.
    pub(super) fn plugins(&self, test: impl Fn(&PluginKind) -> bool) -> Vec<Span> {
        self.document
            .plugins
            .iter()
            .filter(|plugin| test(&plugin.kind))
            .map(|plugin| plugin.span)
            .collect()
    }

    /// Places of plugins that a section lists.
    pub(super) fn listed(&self) -> Vec<Span> {
        let all = self.sections.iter();
        all.flat_map(|section| &section.listed_at).copied().collect()
    }

    /// Steps that read a label which an earlier step of the same list sets.
    pub(super) fn labels_of_the_same_phase(&self) -> Vec<Span> {
        let mut found = Vec::new();
        for section in &self.sections {
            for list in [&section.pre, &section.post] {
                let mut set: Vec<&str> = Vec::new();
                walk::steps(list, &mut |step| {
                    if let StepKind::When(condition, _) = &step.kind {
                        super::super::labels::reads(condition, &mut |path, label| {
                            if set.contains(&label) {
                                found.push(path.span);
                            }
                        });
                    }
                    walk::effects(step, &mut |effect| {
                        if let EffectKind::Taint(call) = &effect.kind {
                            set.push(&call.label);
                        }
                    });
                });
            }
        }
        found
    }

    /// The second of two delegations in one list, when something reads what was granted.
    pub(super) fn second_delegations(&self) -> Vec<Span> {
        let reads = |path: &Path| path.reads(&["delegation", "granted"]);
        if self.paths(|path, _| reads(path)).is_empty() {
            return Vec::new();
        }
        let mut found = Vec::new();
        for section in &self.sections {
            let mut count = 0;
            walk::steps(&section.pre, &mut |step| {
                walk::effects(step, &mut |effect| {
                    if matches!(effect.kind, EffectKind::Delegate(_)) {
                        count += 1;
                        if count > 1 {
                            found.push(effect.span);
                        }
                    }
                });
            });
        }
        found
    }
}

fn leaves<'a>(predicate: &'a Predicate, phase: Phase, out: &mut Vec<(&'a Test, Phase)>) {
    match predicate {
        Predicate::Not(inner) => leaves(inner, phase, out),
        Predicate::And(parts) | Predicate::Or(parts) => {
            parts.iter().for_each(|part| leaves(part, phase, out))
        }
        Predicate::Test(test) => out.push((test, phase)),
    }
}

const fn operands(test: &Test) -> (&Path, Option<&Path>) {
    match test {
        Test::Truth(path) | Test::Exists(path) | Test::Compare(_, path, _) | Test::Contains(path, _) => {
            (path, None)
        }
        Test::In(member, set) => (member, Some(set)),
    }
}

/// Whether a path reads what the caller or the backend wrote.
pub(super) fn payload(path: &Path) -> bool {
    matches!(path.root(), "args" | "result") && path.segs.len() > 1
}

/// Whether a comparison orders.
pub(super) const fn orders(op: CmpOp) -> bool {
    matches!(op, CmpOp::Lt | CmpOp::Le | CmpOp::Gt | CmpOp::Ge)
}

/// Whether a subscript of the path holds another path.
pub(super) fn interpolates(path: &Path) -> bool {
    path.segs.iter().any(|seg| matches!(seg, AttrSeg::Value(_)))
}
