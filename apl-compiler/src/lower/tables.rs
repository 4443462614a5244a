//! The program's tables while they are being filled. Equal entries are stored once, in the order of first use, which makes
//! output deterministic and small.

use std::collections::HashMap;
use std::hash::Hash;

use apl_bytecode::{
    Assertions, AssertionsId, Attr, AttrId, Block, BlockId, BlockKind, Code, Const, ConstId, Denial,
    DenialId, Effect, EffectId, Instr, Pipeline, PipelineId, Position, Program, Regex, RegexId, Scanner,
    ScannerId, Seg, StrId,
};

use crate::source::{Span, to_u32};
use crate::syntax::{AttrSeg, Literal, Path};

/// A program under construction.
#[derive(Default)]
pub(crate) struct Tables {
    /// The program.
    pub program: Program,
    strings: HashMap<String, u32>,
    attrs: HashMap<Attr, u32>,
    consts: HashMap<ConstKey, u32>,
    denials: HashMap<Denial, u32>,
    effects: HashMap<Effect, u32>,
    scanners: HashMap<Scanner, u32>,
    pipelines: HashMap<(Pipeline, Span), u32>,
    regexes: HashMap<String, u32>,
    blocks: HashMap<(u8, Vec<Instr>), u32>,
    /// Where things were written, for the debug section.
    pub spans: Vec<(Position, Span)>,
}

#[derive(PartialEq, Eq, Hash)]
enum ConstKey {
    Null,
    Bool(bool),
    Int(i64),
    Uint(u64),
    Float(u64),
    Str(StrId),
}

/// What a block is for; blocks of different uses are never shared.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Use {
    /// An expression.
    Expr = 0,
    /// Before the call.
    Pre = 1,
    /// After the call.
    Post = 2,
}

fn intern<K: Hash + Eq + Clone, V>(
    known: &mut HashMap<K, u32>,
    table: &mut Vec<V>,
    key: K,
    make: impl FnOnce(K) -> V,
) -> u32 {
    if let Some(id) = known.get(&key) {
        return *id;
    }
    let id = to_u32(table.len());
    known.insert(key.clone(), id);
    table.push(make(key));
    id
}

impl Tables {
    /// A text.
    pub(crate) fn str(&mut self, text: &str) -> StrId {
        if let Some(id) = self.strings.get(text) {
            return StrId(*id);
        }
        StrId(intern(
            &mut self.strings,
            &mut self.program.strings,
            text.to_owned(),
            |text| text,
        ))
    }

    /// Texts.
    pub(crate) fn strs(&mut self, texts: &[String]) -> Vec<StrId> {
        texts.iter().map(|text| self.str(text)).collect()
    }

    /// An attribute given by its names.
    pub(crate) fn attr_of(&mut self, names: &[&str]) -> AttrId {
        let segs = names.iter().map(|name| Seg::Name(self.str(name))).collect();
        AttrId(intern(
            &mut self.attrs,
            &mut self.program.attrs,
            Attr { segs },
            |attr| attr,
        ))
    }

    /// An attribute path. Paths in subscripts come before it in the table.
    pub(crate) fn attr(&mut self, path: &Path) -> AttrId {
        let segs = path
            .segs
            .iter()
            .map(|seg| match seg {
                AttrSeg::Name(name) => Seg::Name(self.str(name)),
                AttrSeg::Value(path) => Seg::Value(self.attr(path)),
            })
            .collect();
        AttrId(intern(
            &mut self.attrs,
            &mut self.program.attrs,
            Attr { segs },
            |attr| attr,
        ))
    }

    /// A literal of APL.
    pub(crate) fn literal(&mut self, literal: &Literal) -> ConstId {
        let constant = match literal {
            Literal::Str(text) => Const::Str(self.str(text)),
            Literal::Int(value) => Const::Int(*value),
            Literal::Float(value) => Const::Float(*value),
            Literal::Bool(value) => Const::Bool(*value),
        };
        self.constant(constant)
    }

    /// A constant.
    pub(crate) fn constant(&mut self, constant: Const) -> ConstId {
        let key = match constant {
            Const::Null => ConstKey::Null,
            Const::Bool(value) => ConstKey::Bool(value),
            Const::Int(value) => ConstKey::Int(value),
            Const::Uint(value) => ConstKey::Uint(value),
            Const::Float(value) => ConstKey::Float(value.to_bits()),
            Const::Str(id) => ConstKey::Str(id),
        };
        if let Some(id) = self.consts.get(&key) {
            return ConstId(*id);
        }
        let id = to_u32(self.program.consts.len());
        self.consts.insert(key, id);
        self.program.consts.push(constant);
        ConstId(id)
    }

    /// A denial.
    pub(crate) fn denial(&mut self, code: Code, reason: Option<&str>) -> DenialId {
        let reason = reason.map(|reason| self.str(reason));
        DenialId(intern(
            &mut self.denials,
            &mut self.program.denials,
            Denial { code, reason },
            |denial| denial,
        ))
    }

    /// An effect.
    pub(crate) fn effect(&mut self, effect: Effect) -> EffectId {
        EffectId(intern(
            &mut self.effects,
            &mut self.program.effects,
            effect,
            |effect| effect,
        ))
    }

    /// Asserted headers.
    pub(crate) fn assertions(&mut self, assertions: Assertions) -> AssertionsId {
        let list = &mut self.program.assertions;
        let at = list
            .iter()
            .position(|known| *known == assertions)
            .unwrap_or_else(|| {
                list.push(assertions);
                list.len() - 1
            });
        AssertionsId(to_u32(at))
    }

    /// A scanner.
    pub(crate) fn scanner(&mut self, scanner: Scanner) -> ScannerId {
        ScannerId(intern(
            &mut self.scanners,
            &mut self.program.scanners,
            scanner,
            |scanner| scanner,
        ))
    }

    /// A pipeline.
    pub(crate) fn pipeline(&mut self, pipeline: Pipeline, span: Span) -> PipelineId {
        let before = self.program.pipelines.len();
        let id = intern(
            &mut self.pipelines,
            &mut self.program.pipelines,
            (pipeline, span),
            |(pipeline, _)| pipeline,
        );
        if self.program.pipelines.len() > before {
            self.spans.push((Position::Pipeline(id), span));
        }
        PipelineId(id)
    }

    /// A pattern that was compiled before.
    pub(crate) fn known_regex(&self, pattern: &str) -> Option<RegexId> {
        self.regexes.get(pattern).map(|id| RegexId(*id))
    }

    /// A compiled pattern.
    pub(crate) fn regex(&mut self, pattern: &str, dfa: Vec<u8>) -> RegexId {
        let text = self.str(pattern);
        RegexId(intern(
            &mut self.regexes,
            &mut self.program.regexes,
            pattern.to_owned(),
            |_| Regex { pattern: text, dfa },
        ))
    }

    /// An expression block.
    pub(crate) fn expr(&mut self, code: Vec<Instr>) -> BlockId {
        self.block(Use::Expr, code).0
    }

    /// A block, and whether it is new.
    pub(crate) fn block(&mut self, what: Use, code: Vec<Instr>) -> (BlockId, bool) {
        let kind = match what {
            Use::Expr => BlockKind::Expr,
            Use::Pre | Use::Post => BlockKind::Steps,
        };
        let before = self.program.blocks.len();
        let key = (what as u8, code);
        let id = intern(&mut self.blocks, &mut self.program.blocks, key, |(_, code)| {
            Block { kind, code }
        });
        (BlockId(id), self.program.blocks.len() > before)
    }
}
