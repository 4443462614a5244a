//! Where a value stands in a model's answer, and which of a policy's fields can name it.

use std::iter;

use apl_bytecode::{
    BlockId, Instr, PathSeg, Program, ScanMode, ScannerId, Side, Stage, TypeCheck, VerifiedProgram,
};
use apl_vm::{Node, Prepared, Running, quote};

/// A step on the way from the answer's root.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Seg {
    /// A member.
    Key(String),
    /// An element; `None`: one of which only the list is known.
    At(Option<usize>),
}

/// Elements of a list in an answer.
pub(crate) const MAX_ELEMENTS: usize = 1024;

/// The fields of a route whose phase after the call is nothing but pipelines that look at one value each.
#[derive(Debug)]
pub(crate) struct Fields(Vec<Field>);

#[derive(Debug)]
struct Field {
    path: Vec<Option<String>>,
    /// The scan that is all that it does.
    scan: Option<(Running, ScanMode)>,
}

/// What a policy's fields have to do with a place.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Reach {
    /// How many name exactly it.
    pub(crate) exact: usize,
    /// The last such one that does nothing but scan.
    pub(crate) scan: Option<usize>,
    /// Some name what it is a part of.
    pub(crate) above: bool,
    /// Some name what could be in it.
    pub(crate) inside: bool,
}

/// One names exactly it.
const EXACT: Reach = Reach {
    exact: 1,
    scan: None,
    above: false,
    inside: false,
};

impl Reach {
    pub(crate) const fn is_none(self) -> bool {
        self.exact == 0 && !self.above && !self.inside
    }
}

impl Fields {
    /// The fields of a phase. `None`: it has rules, or stages that need to know of more than their own value (execution.md
    /// rule 19).
    pub(crate) fn of(program: &Prepared, block: BlockId) -> Option<Self> {
        let model = program.program();
        let code = &model.blocks.get(block.at())?.code;
        let fields = code.iter().map(|instr| match instr {
            Instr::Pipeline(id) => {
                let pipeline = model.pipelines.get(id.at())?;
                let alone = pipeline.side == Side::Result
                    && pipeline.stages.iter().all(|stage| stands_alone(program, stage));
                alone.then(|| Field {
                    path: pipeline.path.iter().map(|seg| key(model, *seg)).collect(),
                    scan: only_scan(&pipeline.stages)
                        .and_then(|(scanner, mode)| Some((Running::new(program, scanner)?, mode))),
                })
            }
            Instr::Scan(scanner, _) => Some(Field {
                path: Vec::new(),
                scan: Running::new(program, *scanner).map(|running| (running, ScanMode::Deny)),
            }),
            _ => None,
        });
        fields.collect::<Option<_>>().map(Self)
    }

    pub(crate) fn reach(&self, place: &[Seg]) -> Reach {
        let mut reach = Reach::default();
        for (number, field) in self.0.iter().enumerate() {
            let found = if field.path.is_empty() && field.scan.is_some() {
                // A scanner of everything looks at each text as if it were named.
                EXACT
            } else {
                meet(&field.path, place)
            };
            if found.exact > 0 {
                reach.exact = reach.exact.saturating_add(1);
                reach.scan = field.scan.as_ref().map(|_| number);
            }
            reach.above |= found.above;
            reach.inside |= found.inside;
        }
        reach
    }

    /// A scan that begins.
    pub(crate) fn scan(&self, number: usize) -> Option<(Running, ScanMode)> {
        self.0.get(number)?.scan.clone()
    }

    /// The field's name, as records have it.
    pub(crate) fn name(&self, number: usize) -> Option<String> {
        let path = self.0.get(number)?.path.iter();
        let path = path.map(|key| key.as_deref().unwrap_or("**"));
        Some(iter::once("result").chain(path).collect::<Vec<_>>().join("."))
    }
}

fn key(model: &Program, seg: PathSeg) -> Option<String> {
    match seg {
        PathSeg::AnyDepth => None,
        PathSeg::Key(name) => Some(model.strings.get(name.at()).cloned().unwrap_or_default()),
    }
}

/// Whether a stage needs its value only: no other field, not the field's absence. A scan may label what it finds; what
/// holds the find waits for that.
fn stands_alone(program: &VerifiedProgram, stage: &Stage) -> bool {
    match stage {
        Stage::Redact(Some(condition)) => !program.needs_of(Some(*condition), None).pre.reads_result,
        Stage::Taint(..) | Stage::Required => false,
        Stage::Type(_)
        | Stage::Email
        | Stage::Url
        | Stage::Uuid
        | Stage::Range(..)
        | Stage::Len(..)
        | Stage::Enum(_)
        | Stage::Regex(_)
        | Stage::Mask(_)
        | Stage::Redact(None)
        | Stage::Omit
        | Stage::Hash
        | Stage::Scan { .. } => true,
    }
}

fn only_scan(stages: &[Stage]) -> Option<(ScannerId, ScanMode)> {
    let mut stages = stages
        .iter()
        .filter(|stage| !matches!(stage, Stage::Type(TypeCheck::Str)));
    match (stages.next(), stages.next()) {
        (Some(Stage::Scan { scanner, mode, .. }), None) => Some((*scanner, *mode)),
        (_, _) => None,
    }
}

/// How a field's path and a place meet. Keys in any case, so that it says rather too much. Paths are short.
fn meet(path: &[Option<String>], place: &[Seg]) -> Reach {
    match (path.split_first(), place.split_first()) {
        (None, None) => EXACT,
        (None, Some(_)) => Reach {
            above: true,
            ..Reach::default()
        },
        (Some((None, behind)), None) => {
            let here = meet(behind, place);
            Reach { inside: true, ..here }
        }
        (Some((Some(_), _)), None) => Reach {
            inside: true,
            ..Reach::default()
        },
        (Some((None, behind)), Some((_, below))) => or(meet(behind, place), meet(path, below)),
        (Some((Some(wanted), behind)), Some((Seg::Key(found), below))) => {
            if apl_vm::same_folded(wanted, found) {
                meet(behind, below)
            } else {
                Reach::default()
            }
        }
        (Some((Some(wanted), behind)), Some((Seg::At(at), below))) => {
            let number: Option<usize> = wanted.parse().ok();
            let named = number.is_some_and(|number| at.is_none_or(|at| at == number));
            let element = if named {
                meet(behind, below)
            } else {
                Reach::default()
            };
            or(element, meet(path, below))
        }
    }
}

const fn or(a: Reach, b: Reach) -> Reach {
    Reach {
        exact: if a.exact > b.exact { a.exact } else { b.exact },
        scan: None,
        above: a.above || b.above,
        inside: a.inside || b.inside,
    }
}

/// A document that holds nothing but this value, at its place.
pub(crate) fn alone(place: &[Seg], value: &[u8]) -> Vec<u8> {
    let (mut out, mut ends) = (Vec::new(), Vec::new());
    for seg in place {
        match seg {
            Seg::Key(key) => {
                out.push(b'{');
                quote(key, &mut out);
                out.push(b':');
                ends.push(b'}');
            }
            Seg::At(at) => {
                out.push(b'[');
                for _ in 0..at.unwrap_or(0).min(MAX_ELEMENTS) {
                    out.extend_from_slice(b"null,");
                }
                ends.push(b']');
            }
        }
    }
    out.extend_from_slice(value);
    out.extend(ends.into_iter().rev());
    out
}

/// What stands at a place.
pub(crate) fn at<'a>(root: Node<'a>, place: &[Seg]) -> Option<Node<'a>> {
    place.iter().try_fold(root, |node, seg| match seg {
        Seg::Key(key) => node.get(key),
        Seg::At(at) => node.elements().nth(at.unwrap_or(0)),
    })
}
