//! Step code back to steps. Jumps go forward only, so ranges nest.

use apl_bytecode::{
    Attenuate, BlockId, Delegate, Detector, Effect, Instr, OnError, Operand, PathSeg, Pipeline, Position,
    Program, ScannerId, Side, Stage, spell_effect,
};
use apl_bytecode::{ScanMode, TypeCheck};

use super::expression;
use super::spell::{attr, denial, place, regex, scopes, text, texts};
use super::{DelegateView, Step, StepKind};

/// The steps of a phase.
pub(super) fn steps(program: &Program, block: Option<BlockId>) -> Vec<Step> {
    let Some(id) = block else { return Vec::new() };
    let code = program.blocks.get(id.at()).map_or(&[][..], |block| &block.code);
    let reader = Reader { program, id, code };
    reader.range(0, code.len())
}

struct Reader<'p> {
    program: &'p Program,
    id: BlockId,
    code: &'p [Instr],
}

impl Reader<'_> {
    fn range(&self, from: usize, to: usize) -> Vec<Step> {
        let mut steps = Vec::new();
        let mut stack = Vec::new();
        let mut pc = from;
        while pc < to {
            let Some(instr) = self.code.get(pc) else { break };
            let at = pc;
            pc += 1;
            if expression::push(self.program, instr, &mut stack).is_some() {
                continue;
            }
            let target = |jump: u32| (jump as usize).clamp(pc, to);
            let kind = match instr {
                Instr::DenyIf(id) => StepKind::Gate {
                    when: expression::pop(&mut stack).0,
                    denial: denial(self.program, *id),
                },
                Instr::SkipUnless(jump, id) => {
                    let end = target(*jump);
                    let kind = StepKind::When {
                        condition: expression::pop(&mut stack).0,
                        then: self.range(pc, end),
                        denial: denial(self.program, *id),
                    };
                    pc = end;
                    kind
                }
                Instr::Decide(jump) => {
                    let end = target(*jump);
                    let kind = StepKind::Decision {
                        expression: expression::pop(&mut stack).0,
                        on_deny: self.range(pc, end),
                    };
                    pc = end;
                    kind
                }
                Instr::Deny(id) | Instr::DenyAs(_, id) => StepKind::Deny(denial(self.program, *id)),
                Instr::Pipeline(id) => match self.program.pipelines.get(id.at()) {
                    Some(pipeline) => self.field(pipeline),
                    None => continue,
                },
                Instr::Scan(scanner, id) => StepKind::Scan {
                    scanner: self.scanner(*scanner),
                    denial: denial(self.program, *id),
                },
                Instr::Effect(id) => match self.program.effects.get(id.at()) {
                    Some(effect) => self.effect(effect),
                    None => continue,
                },
                // What is pending is answered here; it changes no verdict by itself.
                Instr::Await => continue,
                // The compiler writes none into steps; a jump decides nothing that its target does not show.
                Instr::Jump(_) => continue,
                Instr::Truth(_)
                | Instr::Exists(_)
                | Instr::Compare(..)
                | Instr::Contains(..)
                | Instr::In(..)
                | Instr::And
                | Instr::Or
                | Instr::Not
                | Instr::Const(_)
                | Instr::Load(_)
                | Instr::Has(_)
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
                | Instr::Fold(..) => continue,
            };
            let position = u32::try_from(at).map(|at| Position::Instr(self.id.0, at));
            steps.push(Step {
                kind,
                at: position.ok().and_then(|position| place(self.program, position)),
            });
        }
        steps
    }

    fn field(&self, pipeline: &Pipeline) -> StepKind {
        let mut path = String::from(match pipeline.side {
            Side::Args => "args",
            Side::Result => "result",
        });
        for seg in &pipeline.path {
            path.push('.');
            match seg {
                PathSeg::Key(name) => path.push_str(&text(self.program, *name)),
                PathSeg::AnyDepth => path.push_str("**"),
            }
        }
        StepKind::Field {
            path,
            stages: pipeline.stages.iter().map(|stage| self.stage(stage)).collect(),
            denial: denial(self.program, pipeline.denial),
        }
    }

    fn stage(&self, stage: &Stage) -> String {
        match stage {
            Stage::Type(TypeCheck::Str) => "str".to_owned(),
            Stage::Type(TypeCheck::Int) => "int".to_owned(),
            Stage::Type(TypeCheck::Bool) => "bool".to_owned(),
            Stage::Type(TypeCheck::Float) => "float".to_owned(),
            Stage::Email => "email".to_owned(),
            Stage::Url => "url".to_owned(),
            Stage::Uuid => "uuid".to_owned(),
            Stage::Range(low, high) => range(*low, *high),
            Stage::Len(low, high) => format!("len({})", range(*low, *high)),
            Stage::Enum(values) => format!("enum({})", texts(self.program, values).join(", ")),
            Stage::Regex(id) => format!("regex({})", regex(self.program, *id)),
            Stage::Mask(shown) => format!("mask({shown})"),
            Stage::Redact(None) => "redact".to_owned(),
            Stage::Redact(Some(condition)) => {
                format!("redact({})", expression::block(self.program, *condition))
            }
            Stage::Omit => "omit".to_owned(),
            Stage::Hash => "hash".to_owned(),
            Stage::Taint(label, on) => {
                format!(
                    "taint({}, [{}])",
                    text(self.program, *label),
                    scopes(*on).join(", ")
                )
            }
            Stage::Scan { scanner, mode, label } => {
                let mode = match mode {
                    ScanMode::Detect => "detect",
                    ScanMode::Redact => "redact",
                    ScanMode::Deny => "deny",
                };
                let label = label.map_or_else(String::new, |label| {
                    format!(", label {}", text(self.program, label))
                });
                format!("scan({}, {mode}{label})", self.scanner(*scanner))
            }
            Stage::Required => "required".to_owned(),
        }
    }

    fn scanner(&self, id: ScannerId) -> String {
        let Some(scanner) = self.program.scanners.get(id.at()) else {
            return "?".to_owned();
        };
        let detectors: Vec<String> = scanner
            .detectors
            .iter()
            .map(|detector| match detector {
                Detector::Custom(name, pattern) => {
                    format!("{} {}", text(self.program, *name), regex(self.program, *pattern))
                }
                Detector::Ssn
                | Detector::CreditCard
                | Detector::Iban
                | Detector::Email
                | Detector::Phone
                | Detector::IpAddress
                | Detector::ApiKey
                | Detector::PrivateKey
                | Detector::Jwt
                | Detector::PromptInjection => format!("{detector:?}"),
            })
            .collect();
        format!(
            "{} [{}] as {}",
            text(self.program, scanner.name),
            detectors.join(", "),
            text(self.program, scanner.code)
        )
    }

    fn delegate(&self, delegate: &Delegate) -> DelegateView {
        DelegateView {
            delegator: text(self.program, delegate.delegator),
            target: text(self.program, delegate.target),
            audience: text(self.program, delegate.audience),
            permissions: texts(self.program, &delegate.permissions),
            subject: format!("{:?}", delegate.subject),
            actor: delegate.actor.map(|actor| format!("{actor:?}")),
            narrowed: Vec::new(),
            goes_on: delegate.on_error == OnError::Continue,
        }
    }

    fn narrowed(&self, attenuate: &Attenuate) -> Vec<String> {
        let mut narrowed: Vec<String> = Vec::new();
        for kind in ["action", "capability"] {
            let of_kind = attenuate
                .narrowed
                .iter()
                .filter(|(own, _)| text(self.program, *own) == kind);
            let values: Vec<String> = of_kind.map(|(_, value)| text(self.program, *value)).collect();
            if !values.is_empty() {
                narrowed.push(format!("{kind} {}", values.join(" or ")));
            }
        }
        let part = |part: &Operand| match part {
            Operand::Text(id) => text(self.program, *id),
            Operand::Attr(id) => format!("${{{}}}", attr(self.program, *id)),
        };
        if !attenuate.resource.is_empty() {
            let parts: Vec<String> = attenuate.resource.iter().map(part).collect();
            narrowed.push(format!("resource {}", parts.concat()));
        }
        narrowed
    }

    fn effect(&self, effect: &Effect) -> StepKind {
        match effect {
            Effect::Taint {
                label,
                scopes: on,
                ttl_s,
                denial: _,
            } => StepKind::Taint {
                label: text(self.program, *label),
                scopes: scopes(*on),
                ttl_s: *ttl_s,
            },
            Effect::LoadLabels { denial: _ } => StepKind::LoadLabels,
            Effect::Delegate(delegate) => StepKind::Delegate(self.delegate(delegate)),
            Effect::Attenuate(attenuate) => StepKind::Delegate(DelegateView {
                narrowed: self.narrowed(attenuate),
                ..self.delegate(&attenuate.delegate)
            }),
            Effect::Audit {
                plugin,
                durable,
                code: _,
            } => StepKind::Audit {
                plugin: text(self.program, *plugin),
                durable: *durable,
            },
            Effect::Decide(decision) => StepKind::Ask(format!(
                "ask {} {} about {}",
                decision.dialect.name(),
                text(self.program, decision.point),
                expression::block(self.program, decision.call)
            )),
            Effect::Elicit(_) | Effect::Count(_) | Effect::Restrict(_) => {
                StepKind::Ask(spell_effect(self.program, effect))
            }
        }
    }
}

fn range(low: Option<impl ToString>, high: Option<impl ToString>) -> String {
    let side = |value: Option<String>| value.unwrap_or_default();
    format!(
        "{}..{}",
        side(low.map(|low| low.to_string())),
        side(high.map(|high| high.to_string()))
    )
}
