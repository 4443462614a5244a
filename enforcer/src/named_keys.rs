//! Keys that a route's policy names in the arguments: a twin that differs only in case is refused (`execution.md` rule 21),
//! because the backend may take it for the key while policy sees another one, or none.
//!
//! The code is walked when a request has come: that costs less than running it, and a program of ten thousand routes loads
//! without it.

use apl_bytecode::{
    AttrId, BlockId, Cost, Effect, Instr, Members, Operand, PathSeg, Program, Seg, Side, StrId,
};
use apl_vm::{Key, Node, has_twin as has_twin_on};

/// Whether the arguments hold a twin of a key that one of these blocks names.
pub(crate) fn has_twin(program: &Program, blocks: [Option<BlockId>; 2], args: Node<'_>) -> bool {
    let mut walk = Walk {
        program,
        args,
        bodies: Seen::default(),
        attrs: Seen::default(),
        pipelines: Seen::default(),
    };
    blocks.into_iter().flatten().any(|block| walk.code(block))
}

/// Numbers that have come up, a bit each: every entry of a table is looked at once.
#[derive(Default)]
struct Seen(Vec<u32>);

impl Seen {
    /// Whether it is the first time.
    fn first(&mut self, number: u32) -> bool {
        let (word, bit) = ((number / 32) as usize, 1_u32 << (number % 32));
        if word >= self.0.len() {
            self.0.resize(word.saturating_add(1), 0);
        }
        match self.0.get_mut(word) {
            Some(word) if *word & bit == 0 => {
                *word |= bit;
                true
            }
            Some(_) | None => false,
        }
    }
}

struct Walk<'a> {
    program: &'a Program,
    args: Node<'a>,
    bodies: Seen,
    attrs: Seen,
    pipelines: Seen,
}

impl Walk<'_> {
    /// An expression that another block runs. They nest to the depth that the verifier allows.
    fn body(&mut self, id: BlockId) -> bool {
        self.bodies.first(id.0) && self.code(id)
    }

    fn code(&mut self, id: BlockId) -> bool {
        let block = self.program.blocks.get(id.at());
        block.is_some_and(|block| block.code.iter().any(|instr| self.instr(instr)))
    }

    fn instr(&mut self, instr: &Instr) -> bool {
        match instr {
            Instr::Truth(attr)
            | Instr::Exists(attr)
            | Instr::Compare(_, attr, _)
            | Instr::Contains(attr, _)
            | Instr::Load(attr)
            | Instr::Has(attr) => self.attr(*attr),
            Instr::In(member, set) => self.attr(*member) || self.attr(*set),
            Instr::Fold(_, body) => self.body(*body),
            Instr::Pipeline(id) => {
                let pipeline = self.program.pipelines.get(id.at());
                let pipeline = pipeline.filter(|pipeline| pipeline.side == Side::Args);
                pipeline.is_some_and(|pipeline| {
                    self.pipelines.first(id.0) && {
                        let keys = pipeline.path.iter().map_while(|seg| match seg {
                            PathSeg::Key(key) => Some(Key::new(text(self.program, *key))),
                            PathSeg::AnyDepth => None,
                        });
                        has_twin_on(self.args, &keys.collect::<Vec<_>>())
                    }
                })
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
            | Instr::Scan(..)
            | Instr::Await => false,
            Instr::Effect(id) => {
                let effect = self.program.effects.get(id.at());
                effect.is_some_and(|effect| self.effect(effect))
            }
        }
    }

    /// What an effect names, and the expression that it asks with.
    fn effect(&mut self, effect: &Effect) -> bool {
        match effect {
            Effect::Taint { .. } | Effect::LoadLabels { .. } | Effect::Delegate(_) | Effect::Audit { .. } => {
                false
            }
            Effect::Attenuate(attenuate) => attenuate.resource.iter().any(|part| match part {
                Operand::Attr(attr) => self.attr(*attr),
                Operand::Text(_) => false,
            }),
            Effect::Elicit(elicit) => {
                let from = match elicit.from {
                    Operand::Attr(attr) => Some(attr),
                    Operand::Text(_) => None,
                };
                let mut shown = elicit.show.iter().flatten().copied().chain(from);
                shown.any(|attr| self.attr(attr))
            }
            Effect::Decide(decision) => self.body(decision.call),
            Effect::Count(count) => {
                let cost = match count.cost {
                    Cost::Attr(attr) => Some(attr),
                    Cost::Fixed(_) => None,
                };
                count.by.iter().copied().chain(cost).any(|attr| self.attr(attr))
            }
            Effect::Restrict(restrict) => restrict.lists.iter().any(|(_, members)| match members {
                Members::Attr(attr) => self.attr(*attr),
                Members::Texts(_) => false,
            }),
        }
    }

    /// A path below `args`, as far as its keys are spelled out.
    fn attr(&mut self, id: AttrId) -> bool {
        if !self.attrs.first(id.0) {
            return false;
        }
        let segs = self.program.attrs.get(id.at()).map_or(&[][..], |attr| &attr.segs);
        let keys: Vec<Key<'_>> = segs
            .iter()
            .map_while(|seg| match seg {
                Seg::Name(name) => Some(Key::new(text(self.program, *name))),
                Seg::Value(_) => None,
            })
            .collect();
        match keys.split_first() {
            Some((first, rest)) => first.text() == "args" && has_twin_on(self.args, rest),
            None => false,
        }
    }
}

fn text(program: &Program, id: StrId) -> &str {
    program.strings.get(id.at()).map_or("", String::as_str)
}
