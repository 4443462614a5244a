//! Programs out of bytes: nearly all of them verify, so that the fuzzer's time goes into running them.

use std::sync::OnceLock;

use apl_bytecode::*;

/// The input as a source of choices; zero when it is used up, which always chooses the first and shortest.
pub(super) struct Bytes<'a> {
    data: &'a [u8],
}

impl<'a> Bytes<'a> {
    pub(super) const fn new(data: &'a [u8]) -> Self {
        Self { data }
    }

    pub(super) fn byte(&mut self) -> u8 {
        let Some((first, rest)) = self.data.split_first() else {
            return 0;
        };
        self.data = rest;
        *first
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.data.is_empty()
    }

    pub(super) fn below(&mut self, count: usize) -> usize {
        usize::from(self.byte()) % count.max(1)
    }

    pub(super) fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())]
    }

    /// Text of the input's own.
    pub(super) fn text(&mut self) -> String {
        let length = self.below(24).min(self.data.len());
        let (text, rest) = self.data.split_at(length);
        self.data = rest;
        String::from_utf8_lossy(text).into_owned()
    }
}

const STRINGS: [&str; 24] = [
    "role",
    "hr",
    "args",
    "n",
    "s",
    "l",
    "o",
    "result",
    "security",
    "labels",
    "x",
    "p",
    "q",
    "delegation",
    "granted",
    "permissions",
    "",
    "a.b",
    "5",
    " 7.5 ",
    "0",
    "deep",
    "no",
    "cel",
];

/// A program; `None` if these choices make none that verifies.
pub(super) fn program(bytes: &mut Bytes<'_>) -> Option<apl_vm::Prepared> {
    let mut program = Program {
        strings: STRINGS.iter().map(|text| (*text).to_owned()).collect(),
        ..Program::default()
    };
    program.strings.push(bytes.text());
    let strings = program.strings.len() as u32;
    let str = |at: usize| StrId(at as u32);
    program.consts = vec![
        Const::Null,
        Const::Bool(true),
        Const::Int(i64::from(bytes.byte()) - 100),
        Const::Int(i64::MAX),
        Const::Int(1 << 53),
        Const::Uint(u64::MAX),
        Const::Float(7.5),
        Const::Float(-1e300),
        Const::Str(str(10)),
        Const::Str(str(11)),
        Const::Str(str(19)),
        Const::Str(StrId(strings - 1)),
        Const::Int(0),
        Const::Int(2),
    ];
    let name = |at: usize| Seg::Name(str(at));
    program.attrs = vec![
        Attr {
            segs: vec![name(0), name(1)],
        },
        Attr { segs: vec![name(10)] },
        Attr { segs: vec![name(2)] },
        Attr {
            segs: vec![name(2), name(3)],
        },
        Attr {
            segs: vec![name(2), name(4)],
        },
        Attr {
            segs: vec![name(2), name(5)],
        },
        Attr {
            segs: vec![name(2), name(6)],
        },
        Attr {
            segs: vec![name(2), Seg::Value(AttrId(1))],
        },
        Attr {
            segs: vec![name(2), name(6), Seg::Value(AttrId(7)), name(20)],
        },
        Attr {
            segs: vec![name(8), name(9)],
        },
        Attr {
            segs: vec![name(13), name(14), name(15)],
        },
        Attr { segs: vec![name(7)] },
        Attr {
            segs: vec![name(7), name(4)],
        },
        Attr {
            segs: vec![name(2), name(17)],
        },
        Attr {
            segs: vec![name(2), Seg::Name(StrId(strings - 1))],
        },
    ];
    program.regexes = patterns()
        .iter()
        .map(|dfa| Regex {
            pattern: str(10),
            dfa: dfa.clone(),
        })
        .collect();
    let step = Code::Step {
        source: str(0),
        phase: Phase::Pre,
        index: 3,
        reactions: vec![(true, 1)],
    };
    program.denials = vec![
        Denial {
            code: Code::Text(str(22)),
            reason: None,
        },
        Denial {
            code: step.clone(),
            reason: Some(str(23)),
        },
    ];
    scanners(&mut program, bytes);
    effects(&mut program, &step, bytes);
    let expressions = bytes.below(4);
    for _ in 0..expressions {
        let code = block(&program, BlockKind::Expr, bytes);
        program.blocks.push(Block {
            kind: BlockKind::Expr,
            code,
        });
    }
    for _ in 0..bytes.below(4) {
        let pipeline = pipeline(&program, bytes);
        program.pipelines.push(pipeline);
    }
    for phase in 0..2 {
        let code = block(&program, BlockKind::Steps, bytes);
        program.blocks.push(Block {
            kind: BlockKind::Steps,
            code,
        });
        let fallback = |pre, post| Fallback {
            entity: (phase == 1).then_some(EntityKind::Tool),
            pre,
            post,
            identities: vec![],
            assertions: None,
        };
        let id = Some(BlockId(program.blocks.len() as u32 - 1));
        program.fallbacks.push(if phase == 0 {
            fallback(id, None)
        } else {
            fallback(None, id)
        });
    }
    apl_vm::Prepared::new(verify(program).ok()?).ok()
}

fn scanners(program: &mut Program, bytes: &mut Bytes<'_>) {
    const ALL: [Detector; 10] = [
        Detector::Ssn,
        Detector::CreditCard,
        Detector::Iban,
        Detector::Email,
        Detector::Phone,
        Detector::IpAddress,
        Detector::ApiKey,
        Detector::PrivateKey,
        Detector::Jwt,
        Detector::PromptInjection,
    ];
    let mut detectors: Vec<Detector> = (0..=bytes.below(4)).map(|_| bytes.pick(&ALL)).collect();
    if bytes.byte() > 200 {
        detectors.push(Detector::Custom(StrId(3), RegexId(0)));
    }
    program.scanners.push(Scanner {
        name: StrId(3),
        detectors,
        code: StrId(22),
    });
}

fn effects(program: &mut Program, step: &Code, bytes: &mut Bytes<'_>) {
    let delegate = |on_error| Delegate {
        delegator: StrId(3),
        target: StrId(4),
        audience: StrId(4),
        permissions: vec![StrId(5), StrId(10)],
        subject: Subject::User,
        actor: None,
        ttl_s: 0,
        on_error,
        denial: DenialId(1),
    };
    let attenuate = |on_error, bytes: &mut Bytes<'_>| {
        let part = |bytes: &mut Bytes<'_>| match bytes.below(2) {
            0 => Operand::Text(StrId(bytes.below(program.strings.len()) as u32)),
            _ => Operand::Attr(AttrId(bytes.below(program.attrs.len()) as u32)),
        };
        Effect::Attenuate(Attenuate {
            delegate: Delegate {
                subject: bytes.pick(&[Subject::User, Subject::Client, Subject::CallerWorkload]),
                ttl_s: u32::from(bytes.byte()),
                ..delegate(on_error)
            },
            header: StrId(10),
            narrowed: (0..bytes.below(3))
                .map(|_| (StrId(11), StrId(bytes.below(24) as u32)))
                .collect(),
            resource: (0..bytes.below(4)).map(|_| part(bytes)).collect(),
        })
    };
    let narrowed = [
        attenuate(OnError::Deny, bytes),
        attenuate(OnError::Continue, bytes),
    ];
    let taint = |scopes| Effect::Taint {
        label: StrId(12),
        scopes,
        ttl_s: 0,
        denial: DenialId(1),
    };
    program.effects = vec![
        Effect::LoadLabels { denial: DenialId(0) },
        taint(Scopes::SESSION),
        taint(Scopes::MESSAGE),
        taint(Scopes::SUBJECT.with(Scopes::MESSAGE)),
        Effect::Delegate(delegate(OnError::Deny)),
        Effect::Delegate(delegate(OnError::Continue)),
        Effect::Audit {
            plugin: StrId(3),
            durable: true,
            code: step.clone(),
        },
        Effect::Audit {
            plugin: StrId(3),
            durable: false,
            code: step.clone(),
        },
    ];
    program.effects.extend(narrowed);
}

fn pipeline(program: &Program, bytes: &mut Bytes<'_>) -> Pipeline {
    let condition = |bytes: &mut Bytes<'_>| {
        let blocks = program.blocks.len();
        (blocks > 0 && bytes.byte() > 127).then(|| BlockId(bytes.below(blocks) as u32))
    };
    let mut stages = Vec::new();
    for _ in 0..=bytes.below(5) {
        let number = i64::from(bytes.byte());
        let length = u32::from(bytes.byte());
        stages.push(match bytes.below(16) {
            0 => Stage::Redact(condition(bytes)),
            1 => {
                Stage::Type(bytes.pick(&[TypeCheck::Str, TypeCheck::Int, TypeCheck::Bool, TypeCheck::Float]))
            }
            2 => Stage::Email,
            3 => Stage::Url,
            4 => Stage::Uuid,
            5 => Stage::Range(Some(-number), Some(number)),
            6 => Stage::Len(None, Some(length)),
            7 => Stage::Enum(vec![StrId(10), StrId(11)]),
            8 => Stage::Regex(RegexId(bytes.below(program.regexes.len()) as u32)),
            9 => Stage::Mask(length % 8),
            10 => Stage::Omit,
            11 => Stage::Hash,
            12 => Stage::Taint(StrId(12), Scopes::SESSION),
            13 => Stage::Required,
            _ => Stage::Scan {
                scanner: ScannerId(0),
                mode: bytes.pick(&[ScanMode::Detect, ScanMode::Redact, ScanMode::Deny]),
                label: (length > 128).then_some(StrId(12)),
            },
        });
    }
    let mut path: Vec<PathSeg> = (0..=bytes.below(3))
        .map(|_| PathSeg::Key(StrId(u32::from(bytes.pick(&[3_u8, 4, 5, 6, 10, 11, 20, 24])))))
        .collect();
    if stages.iter().any(|stage| matches!(stage, Stage::Redact(_))) && bytes.byte() > 127 {
        path.insert(0, PathSeg::AnyDepth);
    }
    Pipeline {
        side: bytes.pick(&[Side::Args, Side::Result]),
        path,
        stages,
        denial: DenialId(0),
    }
}

/// A block whose stack comes out right; jumps go to later step boundaries.
fn block(program: &Program, kind: BlockKind, bytes: &mut Bytes<'_>) -> Vec<Instr> {
    let mut code = Vec::new();
    let mut depth = 0_usize;
    let mut boundaries = Vec::new();
    for _ in 0..=bytes.below(48) {
        if depth == 0 {
            boundaries.push(code.len());
        }
        let steps = kind == BlockKind::Steps && (bytes.byte() > 150 || (bytes.is_empty() && depth > 0));
        if steps {
            let takes = depth > 0;
            while depth > 1 {
                code.push(
                    bytes
                        .pick(&[Instr::And, Instr::Or, Instr::Cel(CmpOp::Eq)].each_ref())
                        .clone(),
                );
                depth -= 1;
            }
            depth = 0;
            code.push(step(program, takes, bytes));
        } else {
            let (instr, takes) = value(program, bytes);
            while depth < takes {
                code.push(Instr::Const(ConstId(bytes.below(program.consts.len()) as u32)));
                depth += 1;
            }
            depth = depth - takes + 1;
            code.push(instr);
        }
    }
    let wanted = usize::from(kind == BlockKind::Expr);
    while depth > 1 {
        code.push(Instr::And);
        depth -= 1;
    }
    if depth < wanted {
        code.push(Instr::Truth(AttrId(0)));
    } else if depth > wanted {
        code.push(Instr::DenyIf(DenialId(0)));
    }
    boundaries.push(code.len());
    for (at, instr) in code.iter_mut().enumerate() {
        if let Instr::SkipUnless(target, _) | Instr::Decide(target) | Instr::Jump(target) = instr {
            let later: Vec<usize> = boundaries.iter().copied().filter(|to| *to > at).collect();
            *target = later[(*target as usize) % later.len()] as u32;
        }
    }
    code
}

fn step(program: &Program, takes: bool, bytes: &mut Bytes<'_>) -> Instr {
    let denial = DenialId(bytes.below(2) as u32);
    let target = u32::from(bytes.byte());
    if takes {
        return match bytes.below(4) {
            0 | 1 => Instr::SkipUnless(target, denial),
            2 => Instr::DenyIf(denial),
            _ => Instr::Decide(target),
        };
    }
    match bytes.below(12) {
        0..=3 => Instr::Effect(EffectId(bytes.below(program.effects.len()) as u32)),
        4 | 5 => Instr::Await,
        6..=8 if !program.pipelines.is_empty() => {
            Instr::Pipeline(PipelineId(bytes.below(program.pipelines.len()) as u32))
        }
        9 => Instr::Scan(ScannerId(0), denial),
        10 => Instr::Deny(denial),
        _ => Instr::Jump(target),
    }
}

/// An instruction of an expression, and how many values it takes.
fn value(program: &Program, bytes: &mut Bytes<'_>) -> (Instr, usize) {
    const OPS: [CmpOp; 6] = [CmpOp::Eq, CmpOp::Ne, CmpOp::Lt, CmpOp::Le, CmpOp::Gt, CmpOp::Ge];
    const CALLS: [Call; 12] = [
        Call::Size,
        Call::StartsWith,
        Call::EndsWith,
        Call::Contains,
        Call::Int,
        Call::Uint,
        Call::Double,
        Call::String,
        Call::Bool,
        Call::LowerAscii,
        Call::UpperAscii,
        Call::Trim,
    ];
    let attr = AttrId(bytes.below(program.attrs.len()) as u32);
    let constant = ConstId(bytes.below(program.consts.len()) as u32);
    match bytes.below(26) {
        0 => (Instr::Truth(attr), 0),
        1 => (Instr::Exists(attr), 0),
        2 | 3 => (Instr::Compare(bytes.pick(&OPS), attr, constant), 0),
        4 => (Instr::Contains(attr, constant), 0),
        5 => (
            Instr::In(attr, AttrId(bytes.below(program.attrs.len()) as u32)),
            0,
        ),
        6 => (Instr::And, 2),
        7 => (Instr::Or, 2),
        8 => (Instr::Not, 1),
        9 => (Instr::Const(constant), 0),
        10 | 11 => (Instr::Load(attr), 0),
        12 => (Instr::Has(attr), 0),
        13 => (Instr::Cel(bytes.pick(&OPS)), 2),
        14 => (Instr::CelIn, 2),
        15 => (
            Instr::Arith(bytes.pick(&[Arith::Add, Arith::Sub, Arith::Mul, Arith::Div, Arith::Rem])),
            2,
        ),
        16 => (Instr::Neg, 1),
        17 => (Instr::Index, 2),
        18 => (Instr::Select(StrId(bytes.below(STRINGS.len()) as u32)), 1),
        19 => (Instr::HasField(StrId(bytes.below(STRINGS.len()) as u32)), 1),
        20 => (Instr::Choose, 3),
        21 => {
            let count = bytes.below(4);
            (Instr::List(count as u16), count)
        }
        22 => {
            let call = bytes.pick(&CALLS);
            (Instr::Call(call), usize::from(call.arity()))
        }
        23 => (
            Instr::Matches(RegexId(bytes.below(program.regexes.len()) as u32)),
            1,
        ),
        24 => (Instr::Local(0), 0),
        _ if program.blocks.is_empty() => (Instr::Truth(attr), 0),
        _ => (
            Instr::Fold(
                bytes.pick(&[Fold::All, Fold::Exists, Fold::ExistsOne, Fold::Filter, Fold::Map]),
                BlockId(bytes.below(program.blocks.len()) as u32),
            ),
            1,
        ),
    }
}

/// Automata as the compiler builds them.
fn patterns() -> &'static [Vec<u8>; 2] {
    static PATTERNS: OnceLock<[Vec<u8>; 2]> = OnceLock::new();
    PATTERNS.get_or_init(|| {
        ["[a-p]+[0-9]", "^q?p$"].map(|pattern| {
            let dense = regex_automata::dfa::dense::Builder::new()
                .configure(
                    regex_automata::dfa::dense::Config::new()
                        .start_kind(regex_automata::dfa::StartKind::Unanchored),
                )
                .build(pattern)
                .expect("a pattern");
            dense.to_sparse().expect("a sparse one").to_bytes_little_endian()
        })
    })
}
