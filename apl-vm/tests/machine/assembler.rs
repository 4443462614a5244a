//! Programs as text, one instruction a string: `compare args.n >= 5`, `deny-if no`, `skip-unless end`, `end:`.

use std::collections::HashMap;

use apl_bytecode::*;
use apl_vm::{Fact, Facts, Prepared};
use serde_json::Value;

#[derive(Default)]
pub(crate) struct Assembler {
    pub(crate) program: Program,
}

impl Assembler {
    pub(crate) fn text(&mut self, text: &str) -> StrId {
        let strings = &mut self.program.strings;
        let at = strings.iter().position(|known| known == text).unwrap_or_else(|| {
            strings.push(text.into());
            strings.len() - 1
        });
        StrId(at as u32)
    }

    /// `a.b`, `a["odd.name"]`, `a[b.c].d`
    pub(crate) fn attr(&mut self, path: &str) -> AttrId {
        let mut segs = vec![];
        let mut rest = path;
        while !rest.is_empty() {
            if let Some(quoted) = rest.strip_prefix("[\"") {
                let (name, tail) = quoted.split_once("\"]").unwrap();
                segs.push(Seg::Name(self.text(name)));
                rest = tail;
            } else if let Some(inner) = rest.strip_prefix('[') {
                let (inner, tail) = inner.split_once(']').unwrap();
                segs.push(Seg::Value(self.attr(inner)));
                rest = tail;
            } else {
                let bare = rest.strip_prefix('.').unwrap_or(rest);
                let end = bare.find(['.', '[']).unwrap_or(bare.len());
                segs.push(Seg::Name(self.text(&bare[..end])));
                rest = &bare[end..];
            }
        }
        self.program.attrs.push(Attr { segs });
        AttrId(self.program.attrs.len() as u32 - 1)
    }

    fn constant(&mut self, literal: &str) -> ConstId {
        let unsigned = literal
            .strip_suffix('u')
            .and_then(|digits| digits.parse().ok())
            .map(Const::Uint);
        let constant = unsigned.unwrap_or_else(|| match serde_json::from_str(literal).unwrap() {
            Value::Null => Const::Null,
            Value::Bool(value) => Const::Bool(value),
            Value::Number(number) => match number.as_i64() {
                Some(value) => Const::Int(value),
                None => Const::Float(number.as_f64().unwrap()),
            },
            Value::String(text) => Const::Str(self.text(&text)),
            other => panic!("{other} is no literal"),
        });
        self.program.consts.push(constant);
        ConstId(self.program.consts.len() as u32 - 1)
    }

    /// The author's code, at a position that tells how many denials stand before it.
    pub(crate) fn denial(&mut self, code: &str) -> DenialId {
        let (code, source) = (self.text(code), self.text("test"));
        let index = self.program.denials.len() as u16;
        let code = Code::Named {
            code,
            source,
            phase: Phase::Pre,
            index,
            reactions: vec![],
        };
        self.program.denials.push(Denial { code, reason: None });
        DenialId(u32::from(index))
    }

    pub(crate) fn effect(&mut self, effect: Effect) -> Instr {
        self.program.effects.push(effect);
        Instr::Effect(EffectId(self.program.effects.len() as u32 - 1))
    }

    pub(crate) fn block(&mut self, kind: BlockKind, code: &[impl AsRef<str>]) -> BlockId {
        let mut labels = HashMap::new();
        let mut lines = vec![];
        for line in code {
            match line.as_ref().strip_suffix(':') {
                Some(label) => {
                    labels.insert(label, lines.len() as u32);
                }
                None => lines.push(line.as_ref()),
            }
        }
        let code = lines.iter().map(|line| self.instr(line, &labels)).collect();
        self.program.blocks.push(Block { kind, code });
        BlockId(self.program.blocks.len() as u32 - 1)
    }

    fn instr(&mut self, line: &str, labels: &HashMap<&str, u32>) -> Instr {
        let (name, rest) = line.split_once(' ').unwrap_or((line, ""));
        let jump = || *labels.get(rest).unwrap_or_else(|| panic!("no label `{rest}`"));
        match name {
            "truth" => Instr::Truth(self.attr(rest)),
            "exists" => Instr::Exists(self.attr(rest)),
            "compare" => {
                let [path, op, literal] = words(rest);
                Instr::Compare(cmp(op), self.attr(path), self.constant(literal))
            }
            "contains" => {
                let (path, literal) = rest.split_once(' ').unwrap();
                Instr::Contains(self.attr(path), self.constant(literal))
            }
            "in" => {
                let (member, set) = rest.split_once(' ').unwrap();
                Instr::In(self.attr(member), self.attr(set))
            }
            "and" => Instr::And,
            "or" => Instr::Or,
            "not" => Instr::Not,
            "const" => Instr::Const(self.constant(rest)),
            "load" => Instr::Load(self.attr(rest)),
            "has" => Instr::Has(self.attr(rest)),
            "cel" => Instr::Cel(cmp(rest)),
            "cel-in" => Instr::CelIn,
            "arith" => Instr::Arith(match rest {
                "+" => Arith::Add,
                "-" => Arith::Sub,
                "*" => Arith::Mul,
                "/" => Arith::Div,
                "%" => Arith::Rem,
                other => panic!("{other}"),
            }),
            "neg" => Instr::Neg,
            "index" => Instr::Index,
            "select" => Instr::Select(self.text(rest)),
            "has-field" => Instr::HasField(self.text(rest)),
            "choose" => Instr::Choose,
            "list" => Instr::List(rest.parse().unwrap()),
            "call" => Instr::Call(match rest {
                "size" => Call::Size,
                "startsWith" => Call::StartsWith,
                "endsWith" => Call::EndsWith,
                "contains" => Call::Contains,
                "int" => Call::Int,
                "uint" => Call::Uint,
                "double" => Call::Double,
                "string" => Call::String,
                "bool" => Call::Bool,
                "lowerAscii" => Call::LowerAscii,
                "upperAscii" => Call::UpperAscii,
                "trim" => Call::Trim,
                other => panic!("{other}"),
            }),
            "local" => Instr::Local(rest.parse().unwrap()),
            "fold" => {
                let (kind, body) = rest.split_once(' ').unwrap();
                let kind = match kind {
                    "all" => Fold::All,
                    "exists" => Fold::Exists,
                    "exists_one" => Fold::ExistsOne,
                    "filter" => Fold::Filter,
                    "map" => Fold::Map,
                    other => panic!("{other}"),
                };
                Instr::Fold(kind, BlockId(body.parse().unwrap()))
            }
            "deny-if" => Instr::DenyIf(self.denial(rest)),
            "skip-unless" => Instr::SkipUnless(jump(), self.denial("skip")),
            "decide" => Instr::Decide(jump()),
            "deny" => Instr::Deny(self.denial(rest)),
            "jump" => Instr::Jump(jump()),
            "await" => Instr::Await,
            "matches" => Instr::Matches(self.regex(rest)),
            "scan" => {
                let (scanner, denial) = (self.scanner(), self.denial(rest));
                Instr::Scan(scanner, denial)
            }
            "pipeline" => self.pipeline(rest),
            "load-labels" => {
                let denial = self.denial("session.load_failed");
                self.effect(Effect::LoadLabels { denial })
            }
            "taint" => {
                let (label, scope) = rest.split_once(' ').unwrap();
                let scopes = if scope == "message" {
                    Scopes::MESSAGE
                } else {
                    Scopes::SESSION
                };
                let (label, denial) = (self.text(label), self.denial("session.append_failed"));
                self.effect(Effect::Taint {
                    label,
                    scopes,
                    ttl_s: 0,
                    denial,
                })
            }
            "audit" => {
                let (plugin, code) = (self.text("log"), Code::Text(self.text(rest)));
                self.effect(Effect::Audit {
                    plugin,
                    durable: false,
                    code,
                })
            }
            "delegate" => {
                let on_error = if rest == "continue" {
                    OnError::Continue
                } else {
                    OnError::Deny
                };
                let (name, denial) = (self.text("idp"), self.denial("delegation.failed"));
                self.effect(Effect::Delegate(Delegate {
                    delegator: name,
                    target: name,
                    audience: name,
                    permissions: vec![name],
                    subject: Subject::User,
                    actor: None,

                    ttl_s: 0,
                    on_error,
                    denial,
                }))
            }
            other => panic!("no instruction `{other}`"),
        }
    }

    fn regex(&mut self, pattern: &str) -> RegexId {
        let dfa = regex_automata::dfa::sparse::DFA::new(pattern)
            .unwrap()
            .to_bytes_little_endian();
        let pattern = self.text(pattern);
        self.program.regexes.push(Regex { pattern, dfa });
        RegexId(self.program.regexes.len() as u32 - 1)
    }

    /// Finds social security numbers.
    fn scanner(&mut self) -> ScannerId {
        let (name, code) = (self.text("pii"), self.text("pii.detected"));
        self.program.scanners.push(Scanner {
            name,
            detectors: vec![Detector::Ssn],
            code,
        });
        ScannerId(self.program.scanners.len() as u32 - 1)
    }

    /// `args.a.b str | mask 2 | redact-if 0`
    fn pipeline(&mut self, rest: &str) -> Instr {
        let (path, stages) = rest.split_once(' ').unwrap();
        let (side, path) = path.split_once('.').unwrap();
        let stages = stages.split(" | ").map(|stage| self.stage(stage)).collect();
        let path = path.split('.').map(|key| PathSeg::Key(self.text(key))).collect();
        let side = if side == "args" { Side::Args } else { Side::Result };
        let denial = self.denial("field");
        self.program.pipelines.push(Pipeline {
            side,
            path,
            stages,
            denial,
        });
        Instr::Pipeline(PipelineId(self.program.pipelines.len() as u32 - 1))
    }

    fn stage(&mut self, stage: &str) -> Stage {
        let (name, rest) = stage.split_once(' ').unwrap_or((stage, ""));
        match name {
            "required" => Stage::Required,
            "str" => Stage::Type(TypeCheck::Str),
            "int" => Stage::Type(TypeCheck::Int),
            "mask" => Stage::Mask(rest.parse().unwrap()),
            "redact" => Stage::Redact(None),
            "redact-if" => Stage::Redact(Some(BlockId(rest.parse().unwrap()))),
            "omit" => Stage::Omit,
            "hash" => Stage::Hash,
            "taint" => Stage::Taint(self.text(rest), Scopes::SESSION),
            "scan" => Stage::Scan {
                scanner: self.scanner(),
                mode: ScanMode::Redact,
                label: None,
            },
            other => panic!("no stage `{other}`"),
        }
    }

    pub(crate) fn finish(self) -> Prepared {
        let bytes = encode(&self.program);
        Prepared::load(&bytes).unwrap_or_else(|error| panic!("{error}\n{}", listing(&self.program)))
    }
}

fn words(rest: &str) -> [&str; 3] {
    let mut words = rest.splitn(3, ' ');
    std::array::from_fn(|_| words.next().unwrap())
}

fn cmp(op: &str) -> CmpOp {
    match op {
        "==" => CmpOp::Eq,
        "!=" => CmpOp::Ne,
        "<" => CmpOp::Lt,
        "<=" => CmpOp::Le,
        ">" => CmpOp::Gt,
        ">=" => CmpOp::Ge,
        other => panic!("{other}"),
    }
}

/// `{"role.hr": true, "subject.teams": ["a"], "x": {"opaque": true}, "y": {"unknown": true}}`
pub(crate) fn facts(json: &Value) -> Facts {
    let mut facts = Facts::default();
    for (key, value) in json.as_object().into_iter().flatten() {
        let fact = match value {
            Value::Bool(value) => Fact::Bool(*value),
            Value::String(text) => Fact::Str(text.clone()),
            Value::Array(items) => Fact::Set(
                items
                    .iter()
                    .map(|item| item.as_str().unwrap().to_owned())
                    .collect(),
            ),
            Value::Number(number) => match number.as_i64() {
                Some(value) => Fact::Int(value),
                None => Fact::Float(number.as_f64().unwrap()),
            },
            Value::Object(map) if map.contains_key("nan") => Fact::Float(f64::NAN),
            Value::Object(map) if map.contains_key("unknown") => Fact::Unknown,
            Value::Object(_) | Value::Null => Fact::Opaque,
        };
        facts.own.insert(key.clone(), fact);
    }
    facts
}
