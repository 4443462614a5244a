//! Field pipelines.

use apl_bytecode::{
    Code, Detector, PathSeg, Phase, Pipeline, PipelineId, ScanMode, Scanner, ScannerId, Side, Stage,
};

use super::expression;
use super::policy::Lowering;
use super::regex;
use crate::diagnostics::{self, error, warning};
use crate::document::{Pii, PluginKind};
use crate::source::Span;
use crate::syntax::{Field, StageKind};

/// Lowers a field; `code` is that of its denial. `None`: errors, which were reported.
pub(crate) fn field(field: &Field, code: Code, lowering: &mut Lowering<'_>) -> Option<PipelineId> {
    let path = field
        .path
        .iter()
        .map(|seg| {
            if seg == "**" {
                PathSeg::AnyDepth
            } else {
                PathSeg::Key(lowering.tables.str(seg))
            }
        })
        .collect();
    let mut stages = Vec::new();
    let mut good = true;
    for part in &field.stages {
        match stage(&part.kind, part.span, lowering) {
            Some(stage) => stages.push(stage),
            None => good = false,
        }
    }
    let denial = lowering.tables.denial(code, None);
    good.then(|| {
        lowering.tables.pipeline(
            Pipeline {
                side: field.side,
                path,
                stages,
                denial,
            },
            field.span,
        )
    })
}

fn stage(kind: &StageKind, span: Span, lowering: &mut Lowering<'_>) -> Option<Stage> {
    Some(match kind {
        StageKind::Plain(stage) => stage.clone(),
        StageKind::Enum(values) => Stage::Enum(lowering.tables.strs(values)),
        StageKind::Regex(pattern) => {
            if !anchored(pattern) {
                lowering.reports.push(
                    warning(
                        diagnostics::Code::NoAnchor,
                        span,
                        format!("`{pattern}` matches anywhere in the value"),
                    )
                    .help(format!("to check the whole value write `^(?:{pattern})$`")),
                );
            }
            Stage::Regex(regex::compile(
                pattern,
                span,
                &mut lowering.tables,
                lowering.reports,
            )?)
        }
        StageKind::RedactIf(condition) => {
            lowering.check_predicate(condition);
            let mut code = Vec::new();
            expression::predicate(condition, false, &mut lowering.tables, &mut code);
            Stage::Redact(Some(lowering.tables.expr(code)))
        }
        StageKind::Taint(taint) => {
            if taint.ttl_s != 0 {
                let diagnostic = error(
                    diagnostics::Code::NotInBuild,
                    span,
                    "`ttl` in a stage is not in this build",
                );
                lowering
                    .reports
                    .push(diagnostic.help("write a `taint(...)` step"));
                return None;
            }
            Stage::Taint(lowering.tables.str(&taint.label), taint.scopes)
        }
        StageKind::BuiltIn(mode, label) => {
            let (name, detectors): (&str, &[Detector]) = match *label {
                "injection" => ("injection", &[Detector::PromptInjection]),
                _ => (
                    "pii",
                    &[
                        Detector::Ssn,
                        Detector::CreditCard,
                        Detector::Iban,
                        Detector::Email,
                        Detector::Phone,
                    ],
                ),
            };
            let scanner = Scanner {
                name: lowering.tables.str(name),
                detectors: detectors.to_vec(),
                code: lowering.tables.str("pii.detected"),
            };
            Stage::Scan {
                scanner: lowering.tables.scanner(scanner),
                mode: *mode,
                label: Some(lowering.tables.str(label)),
            }
        }
        StageKind::Run(name) => match lowering.kind(name, span)? {
            PluginKind::Pii(pii) => {
                let (pii, mode) = (pii.clone(), pii.mode);
                Stage::Scan {
                    scanner: scanner(name, &pii, lowering)?,
                    mode,
                    label: None,
                }
            }
            PluginKind::Broken => return None,
            other @ (PluginKind::Identity(_)
            | PluginKind::Oauth(_)
            | PluginKind::BackendSecret(_)
            | PluginKind::Biscuit(_)
            | PluginKind::Audit { .. }
            | PluginKind::Elicitor(_)) => {
                let message = format!("`{name}` is {}, which is no stage", other.what());
                lowering.reports.push(
                    error(diagnostics::Code::WrongKind, span, message)
                        .help("a stage can run a validator such as `validator/pii-scan`"),
                );
                return None;
            }
        },
    })
}

fn anchored(pattern: &str) -> bool {
    let begins = pattern.starts_with('^') || pattern.starts_with("\\A") || pattern.starts_with("(?u)^");
    let ends = (pattern.ends_with('$') && !pattern.ends_with("\\$")) || pattern.ends_with("\\z");
    begins && ends
}

/// The scanner of a validator plugin. `None`: errors, which were reported.
pub(crate) fn scanner(name: &str, pii: &Pii, lowering: &mut Lowering<'_>) -> Option<ScannerId> {
    use crate::document::DetectorDecl;
    let mut detectors = Vec::new();
    for detector in &pii.detectors {
        detectors.push(match detector {
            DetectorDecl::BuiltIn(detector) => *detector,
            DetectorDecl::Custom { name, regex, span } => {
                let pattern = regex::compile(regex, *span, &mut lowering.tables, lowering.reports)?;
                Detector::Custom(lowering.tables.str(name), pattern)
            }
        });
    }
    if detectors.is_empty() {
        return None;
    }
    let scanner = Scanner {
        name: lowering.tables.str(name),
        detectors,
        code: lowering.tables.str(&pii.code),
    };
    Some(lowering.tables.scanner(scanner))
}

/// A validator that edits what it finds, as a step: over all arguments, or over the whole result.
pub(crate) fn everywhere(
    name: &str,
    pii: &Pii,
    phase: Phase,
    code: Code,
    span: Span,
    lowering: &mut Lowering<'_>,
) -> Option<PipelineId> {
    let scan = Stage::Scan {
        scanner: scanner(name, pii, lowering)?,
        mode: pii.mode,
        label: None,
    };
    let whole = Pipeline {
        side: match phase {
            Phase::Pre => Side::Args,
            Phase::Post => Side::Result,
        },
        path: Vec::new(),
        stages: vec![scan],
        denial: lowering.tables.denial(code, None),
    };
    Some(lowering.tables.pipeline(whole, span))
}

/// Whether a validator can stand as a step: only those that deny.
pub(crate) fn denies(pii: &Pii) -> bool {
    matches!(pii.mode, ScanMode::Deny)
}
