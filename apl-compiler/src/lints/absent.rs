//! Deny rules that an absent attribute switches off.
//!
//! `args.amount > 1000: deny` does not deny a call without an amount, and the caller chooses what the arguments hold. A
//! read is excused where the rule itself asks `exists`, where an earlier rule or a `required` stage denies on absence, or
//! where a tool's schema requires the argument.

use std::collections::HashSet;

use apl_bytecode::{CmpOp, Phase, Side, Stage};

use super::walk::{self, shown};
use crate::diagnostics::{Code, Reports, warning};
use crate::document::SectionDecl;
use crate::syntax::{AttrSeg, EffectKind, Field, Path, Predicate, StageKind, Step, StepKind, Test};

/// What is known to be there.
pub(super) struct Present {
    names: HashSet<String>,
}

impl Present {
    /// Begins with what the schema of the tool requires, as `args.name`.
    pub(super) fn new(required: impl IntoIterator<Item = String>) -> Self {
        Self {
            names: required.into_iter().collect(),
        }
    }

    fn holds(&self, text: &str) -> bool {
        self.names.iter().any(|known| {
            known
                .strip_prefix(text)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
        })
    }

    /// Checks both phases of these layers.
    pub(super) fn check(&mut self, layers: &[&SectionDecl], reports: &mut Reports) {
        for phase in [Phase::Pre, Phase::Post] {
            for field in walk::fields(layers, phase) {
                self.field(field);
            }
            for layer in layers {
                self.steps(walk::phase(layer, phase), true, reports);
            }
        }
    }

    fn field(&mut self, field: &Field) {
        let required = field
            .stages
            .iter()
            .any(|stage| matches!(stage.kind, StageKind::Plain(Stage::Required)));
        if required && !field.path.iter().any(|seg| seg == "**") {
            let root = match field.side {
                Side::Args => "args",
                Side::Result => "result",
            };
            self.names.insert(format!("{root}.{}", field.path.join(".")));
        }
    }

    fn steps(&mut self, steps: &[Step], always: bool, reports: &mut Reports) {
        for step in steps {
            match &step.kind {
                StepKind::When(condition, _) if denies(step) => {
                    self.rule(condition, reports);
                    if always {
                        let mut paths = Vec::new();
                        condition.paths(&mut paths);
                        for path in paths {
                            if without(condition, path) == Some(true) {
                                self.names.insert(shown(path));
                            }
                        }
                    }
                }
                StepKind::When(..) | StepKind::Do(_) => {}
                StepKind::Pdp(pdp) => {
                    self.steps(&pdp.on_allow, false, reports);
                    self.steps(&pdp.on_deny, false, reports);
                }
            }
        }
    }

    fn rule(&self, condition: &Predicate, reports: &mut Reports) {
        let mut asked = Vec::new();
        exists(condition, &mut asked);
        let mut risky = Vec::new();
        collect(condition, false, &mut risky);
        for (path, how) in risky {
            let asks = || asked.iter().any(|known| walk::same(known, path));
            if !may_be_absent(path) || asks() {
                continue;
            }
            let name = shown(path);
            if self.holds(&name) {
                continue;
            }
            let message = format!("this rule does not deny when `{name}` is absent");
            let help = help(&name, path, how);
            // `--strict` makes an error of it.
            reports.push(warning(Code::MayBeAbsent, path.span, message).help(help));
        }
    }
}

fn help(name: &str, path: &Path, how: How) -> String {
    let turned = match how {
        How::Order => "turn it around, as in `require(x <= 10)`, which denies on absence",
        How::Other => "turn it around with `require(...)`, which denies on absence",
    };
    let stage = match (path.root(), path.dotted()) {
        ("args" | "result", Some(_)) => format!(
            ", or put the stage `required` on `{}` under `{}:`",
            name.split_once('.').map_or(name, |(_, rest)| rest),
            path.root()
        ),
        _ => String::new(),
    };
    format!("{turned}{stage}; if absence is fine, say so: `exists({name}) & ...`")
}

fn denies(step: &Step) -> bool {
    let mut found = false;
    walk::effects(step, &mut |effect| {
        found |= matches!(effect.kind, EffectKind::Deny(..))
    });
    found
}

#[derive(Clone, Copy)]
enum How {
    Order,
    Other,
}

/// The reads whose absence moves the condition away from holding.
fn collect<'a>(predicate: &'a Predicate, negated: bool, out: &mut Vec<(&'a Path, How)>) {
    match predicate {
        Predicate::Not(inner) => collect(inner, !negated, out),
        Predicate::And(parts) | Predicate::Or(parts) => {
            parts.iter().for_each(|part| collect(part, negated, out));
        }
        Predicate::Test(test) => match test {
            Test::Exists(_) => {}
            Test::Compare(CmpOp::Ne, path, _) => {
                if negated {
                    out.push((path, How::Other));
                }
            }
            Test::Compare(CmpOp::Eq, path, _) | Test::Truth(path) | Test::Contains(path, _) => {
                if !negated {
                    out.push((path, How::Other));
                }
            }
            Test::Compare(CmpOp::Lt | CmpOp::Le | CmpOp::Gt | CmpOp::Ge, path, _) => {
                if !negated {
                    out.push((path, How::Order));
                }
            }
            Test::In(member, set) => {
                if !negated {
                    out.extend([(member, How::Other), (set, How::Other)]);
                }
            }
        },
    }
}

fn exists<'a>(predicate: &'a Predicate, out: &mut Vec<&'a Path>) {
    match predicate {
        Predicate::Not(inner) => exists(inner, out),
        Predicate::And(parts) | Predicate::Or(parts) => parts.iter().for_each(|part| exists(part, out)),
        Predicate::Test(Test::Exists(path)) => out.push(path),
        Predicate::Test(Test::Truth(_) | Test::Compare(..) | Test::Contains(..) | Test::In(..)) => {}
    }
}

/// The predicate's value when `gone` is absent and nothing else is known; `None`: it depends.
fn without(predicate: &Predicate, gone: &Path) -> Option<bool> {
    let is = |path: &Path| walk::same(path, gone);
    match predicate {
        Predicate::Not(inner) => without(inner, gone).map(|value| !value),
        Predicate::And(parts) => join(parts, gone, false),
        Predicate::Or(parts) => join(parts, gone, true),
        Predicate::Test(test) => match test {
            Test::Compare(CmpOp::Ne, path, _) => is(path).then_some(true),
            Test::Truth(path) | Test::Exists(path) | Test::Contains(path, _) | Test::Compare(_, path, _) => {
                is(path).then_some(false)
            }
            Test::In(member, set) => (is(member) || is(set)).then_some(false),
        },
    }
}

/// `decides`: the value of one part that settles the whole.
fn join(parts: &[Predicate], gone: &Path, decides: bool) -> Option<bool> {
    let values: Vec<Option<bool>> = parts.iter().map(|part| without(part, gone)).collect();
    if values.contains(&Some(decides)) {
        return Some(decides);
    }
    values
        .iter()
        .all(|value| *value == Some(!decides))
        .then_some(!decides)
}

/// Whether an attribute can be missing although the caller was verified. Flattened booleans (`role.hr`) and whole sets are
/// always known, and static attributes (`data`) are in a file: absence there is an answer.
fn may_be_absent(path: &Path) -> bool {
    let second = match path.segs.get(1) {
        Some(AttrSeg::Name(name)) => name.as_str(),
        Some(AttrSeg::Value(_)) => "*",
        None => "",
    };
    match path.root() {
        // Every request to a model has these.
        "llm" => !matches!(
            second,
            "" | "model_id" | "provider" | "offered_tools" | "capabilities"
        ),
        "args" | "result" | "claim" | "custom" | "agent" | "framework" | "completion" | "mcp"
        | "provenance" | "caller_workload" | "this_workload" => !second.is_empty() && second != "selectors",
        "client" => {
            matches!(second, "client_id" | "client_name" | "trust_level" | "claim")
        }
        "http" => matches!(second, "request_headers" | "response_headers"),
        "security" => second == "classification",
        "meta" => matches!(second, "scope" | "properties"),
        "request" => matches!(second, "trace_id" | "span_id" | "environment"),
        _ => false,
    }
}
