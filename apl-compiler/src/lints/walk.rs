//! Walks over what governs one operation.

use apl_bytecode::Phase;

use crate::document::{Document, RouteDecl, SectionDecl, platform_route};
use crate::syntax::{AttrSeg, Effect, EffectKind, Field, Path, Predicate, Stage, StageKind, Step, StepKind};

/// The sections that govern a route, outermost first. A group that is not defined was reported elsewhere.
pub(super) fn layers<'a>(document: &'a Document, route: &'a RouteDecl) -> Vec<&'a SectionDecl> {
    let mut layers = vec![&document.global];
    let defaults = document.defaults.iter();
    layers.extend(
        defaults
            .filter(|(kind, _)| *kind == route.selector.entity)
            .map(|(_, section)| section),
    );
    // A team's route stands below the platform's that governs the same operations.
    if let Some(above) = route.team.and_then(|_| platform_route(document, route)) {
        layers.extend(groups(document, above));
        layers.push(&above.section);
    }
    let own: Vec<&SectionDecl> = groups(document, route)
        .filter(|section| !layers.iter().any(|known| std::ptr::eq(*known, *section)))
        .collect();
    layers.extend(own);
    layers.push(&route.section);
    layers
}

/// The groups that a route joins, as far as they are defined.
fn groups<'a>(document: &'a Document, route: &'a RouteDecl) -> impl Iterator<Item = &'a SectionDecl> {
    route.groups.iter().filter_map(|(name, _, _)| {
        let group = document.groups.iter().find(|(known, _, _)| known == name);
        group.map(|(_, _, section)| section)
    })
}

/// Every section of the document, each once.
pub(super) fn sections(document: &Document) -> Vec<&SectionDecl> {
    let mut sections = vec![&document.global];
    sections.extend(document.defaults.iter().map(|(_, section)| section));
    sections.extend(document.groups.iter().map(|(_, _, section)| section));
    sections.extend(document.routes.iter().map(|route| &route.section));
    sections
}

/// The steps of a phase.
pub(super) const fn phase(section: &SectionDecl, phase: Phase) -> &Vec<Step> {
    match phase {
        Phase::Pre => &section.pre,
        Phase::Post => &section.post,
    }
}

/// The fields of a phase: a narrower layer replaces a field's whole pipeline.
pub(super) fn fields<'a>(layers: &[&'a SectionDecl], phase: Phase) -> Vec<&'a Field> {
    let mut merged: Vec<&Field> = Vec::new();
    for layer in layers {
        let fields = match phase {
            Phase::Pre => &layer.args,
            Phase::Post => &layer.result,
        };
        for field in fields {
            match merged.iter_mut().find(|known| known.name == field.name) {
                Some(known) => *known = field,
                None => merged.push(field),
            }
        }
    }
    merged
}

/// Every step, with those of reactions, in written order.
pub(super) fn steps<'a>(list: &'a [Step], visit: &mut impl FnMut(&'a Step)) {
    for step in list {
        visit(step);
        if let StepKind::Pdp(pdp) = &step.kind {
            steps(&pdp.on_allow, visit);
            steps(&pdp.on_deny, visit);
        }
    }
}

/// Every effect of a step itself, with those inside `sequential` and `parallel`; not those of its reactions.
pub(super) fn effects<'a>(step: &'a Step, visit: &mut impl FnMut(&'a Effect)) {
    match &step.kind {
        StepKind::When(_, list) => list.iter().for_each(|effect| nested(effect, visit)),
        StepKind::Do(effect) => nested(effect, visit),
        StepKind::Pdp(_) => {}
    }
}

fn nested<'a>(effect: &'a Effect, visit: &mut impl FnMut(&'a Effect)) {
    visit(effect);
    if let EffectKind::Sequential(inner) | EffectKind::Parallel(inner) = &effect.kind {
        inner.iter().for_each(|effect| nested(effect, visit));
    }
}

/// Every stage of a section, in its fields and in its steps' field operations, with the field.
pub(super) fn stages<'a>(section: &'a SectionDecl, visit: &mut impl FnMut(&'a Field, &'a Stage)) {
    for field in section.args.iter().chain(&section.result) {
        field.stages.iter().for_each(|stage| visit(field, stage));
    }
    for list in [&section.pre, &section.post] {
        steps(list, &mut |step| {
            effects(step, &mut |effect| {
                if let EffectKind::Field(field) = &effect.kind {
                    field.stages.iter().for_each(|stage| visit(field, stage));
                }
            });
        });
    }
}

/// Every predicate of a section: conditions of steps and of `redact` stages.
pub(super) fn predicates<'a>(section: &'a SectionDecl, visit: &mut impl FnMut(&'a Predicate, Phase)) {
    for which in [Phase::Pre, Phase::Post] {
        steps(phase(section, which), &mut |step| {
            if let StepKind::When(condition, _) = &step.kind {
                visit(condition, which);
            }
        });
    }
    stages(section, &mut |field, stage| {
        if let StageKind::RedactIf(condition) = &stage.kind {
            let which = match field.side {
                apl_bytecode::Side::Args => Phase::Pre,
                apl_bytecode::Side::Result => Phase::Post,
            };
            visit(condition, which);
        }
    });
}

/// Whether two paths are written alike; spans do not count.
pub(super) fn same(a: &Path, b: &Path) -> bool {
    let alike = |(a, b): (&AttrSeg, &AttrSeg)| match (a, b) {
        (AttrSeg::Name(a), AttrSeg::Name(b)) => a == b,
        (AttrSeg::Value(a), AttrSeg::Value(b)) => same(a, b),
        (AttrSeg::Name(_), AttrSeg::Value(_)) | (AttrSeg::Value(_), AttrSeg::Name(_)) => false,
    };
    a.segs.len() == b.segs.len() && a.segs.iter().zip(&b.segs).all(alike)
}

/// A path as people write it.
pub(super) fn shown(path: &Path) -> String {
    let mut text = String::new();
    for seg in &path.segs {
        match seg {
            AttrSeg::Name(name) if text.is_empty() => text.push_str(name),
            AttrSeg::Name(name) if is_name(name) => {
                text.push('.');
                text.push_str(name);
            }
            AttrSeg::Name(name) => text.push_str(&format!("[\"{name}\"]")),
            AttrSeg::Value(inner) => text.push_str(&format!("[{}]", shown(inner))),
        }
    }
    text
}

fn is_name(text: &str) -> bool {
    text.starts_with(|ch: char| ch.is_ascii_alphabetic() || ch == '_')
        && text.chars().all(|ch| ch.is_ascii_alphanumeric() || ch == '_')
}
