//! The program's tables while they are being filled. Equal entries are stored once, in the order of first use, which makes
//! output deterministic and small.

use std::collections::HashMap;

use apl_bytecode::{
    Assertions, AssertionsId, Attr, AttrId, Block, BlockId, BlockKind, Code, Const, ConstId, Denial,
    DenialId, Effect, EffectId, Instr, Pipeline, PipelineId, Position, Program, Regex, RegexId, Scanner,
    ScannerId, Seg, StrId,
};

use crate::known::{self, Known};
use crate::source::{Span, to_u32};
use crate::syntax::{AttrSeg, Literal, Path};

/// A program under construction.
#[derive(Default)]
pub(crate) struct Tables {
    /// The program.
    pub program: Program,
    strings: Known,
    attrs: Known,
    consts: Known,
    denials: Known,
    effects: Known,
    scanners: Known,
    pipelines: Known,
    blocks: Known,
    assertions: Known,
    regexes: HashMap<StrId, u32>,
    /// Where each pipeline was written: two that say the same are two.
    pipeline_spans: Vec<Span>,
    /// What each block is for.
    uses: Vec<Use>,
    /// Where things were written. An instruction without an entry was written where the one before it was.
    pub spans: Vec<(Position, Span)>,
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

/// Constants as they are told apart: a double by its bits.
const fn const_key(constant: Const) -> (u8, u64) {
    match constant {
        Const::Null => (0, 0),
        Const::Bool(value) => (1, value as u64),
        Const::Int(value) => (2, value.cast_unsigned()),
        Const::Uint(value) => (3, value),
        Const::Float(value) => (4, value.to_bits()),
        Const::Str(id) => (5, id.0 as u64),
    }
}

impl Tables {
    /// A text.
    pub(crate) fn str(&mut self, text: &str) -> StrId {
        let table = &mut self.program.strings;
        let hash = known::hash(text);
        let found = self
            .strings
            .find(hash, |at| table.get(at).is_some_and(|known| known == text));
        StrId(found.unwrap_or_else(|| {
            table.push(text.to_owned());
            self.strings.insert(hash, table.len() - 1)
        }))
    }

    /// Texts.
    pub(crate) fn strs(&mut self, texts: &[String]) -> Vec<StrId> {
        texts.iter().map(|text| self.str(text)).collect()
    }

    /// An attribute given by its names.
    pub(crate) fn attr_of(&mut self, names: &[&str]) -> AttrId {
        let segs = names.iter().map(|name| Seg::Name(self.str(name))).collect();
        AttrId(self.attrs.intern(&mut self.program.attrs, Attr { segs }))
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
        AttrId(self.attrs.intern(&mut self.program.attrs, Attr { segs }))
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
        let table = &mut self.program.consts;
        let key = const_key(constant);
        let hash = known::hash(&key);
        let same = |at: usize| table.get(at).is_some_and(|known| const_key(*known) == key);
        ConstId(self.consts.find(hash, same).unwrap_or_else(|| {
            table.push(constant);
            self.consts.insert(hash, table.len() - 1)
        }))
    }

    /// A denial.
    pub(crate) fn denial(&mut self, code: Code, reason: Option<&str>) -> DenialId {
        let reason = reason.map(|reason| self.str(reason));
        DenialId(
            self.denials
                .intern(&mut self.program.denials, Denial { code, reason }),
        )
    }

    /// An effect.
    pub(crate) fn effect(&mut self, effect: Effect) -> EffectId {
        EffectId(self.effects.intern(&mut self.program.effects, effect))
    }

    /// Asserted headers.
    pub(crate) fn assertions(&mut self, assertions: Assertions) -> AssertionsId {
        AssertionsId(self.assertions.intern(&mut self.program.assertions, assertions))
    }

    /// A scanner.
    pub(crate) fn scanner(&mut self, scanner: Scanner) -> ScannerId {
        ScannerId(self.scanners.intern(&mut self.program.scanners, scanner))
    }

    /// A pipeline.
    pub(crate) fn pipeline(&mut self, pipeline: Pipeline, span: Span) -> PipelineId {
        let (table, spans) = (&mut self.program.pipelines, &mut self.pipeline_spans);
        let hash = known::hash(&(&pipeline, span));
        let same = |at: usize| table.get(at) == Some(&pipeline) && spans.get(at) == Some(&span);
        PipelineId(self.pipelines.find(hash, same).unwrap_or_else(|| {
            table.push(pipeline);
            spans.push(span);
            let id = self.pipelines.insert(hash, table.len() - 1);
            self.spans.push((Position::Pipeline(id), span));
            id
        }))
    }

    /// A pattern that was compiled before.
    pub(crate) fn known_regex(&mut self, pattern: &str) -> Option<RegexId> {
        let pattern = self.str(pattern);
        self.regexes.get(&pattern).map(|id| RegexId(*id))
    }

    /// A compiled pattern.
    pub(crate) fn regex(&mut self, pattern: &str, dfa: Vec<u8>) -> RegexId {
        let pattern = self.str(pattern);
        let table = &mut self.program.regexes;
        let id = self.regexes.entry(pattern).or_insert_with(|| {
            table.push(Regex { pattern, dfa });
            to_u32(table.len() - 1)
        });
        RegexId(*id)
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
        let (table, uses) = (&mut self.program.blocks, &mut self.uses);
        let hash = known::hash(&(what as u8, &code));
        let same =
            |at: usize| uses.get(at) == Some(&what) && table.get(at).is_some_and(|block| block.code == code);
        match self.blocks.find(hash, same) {
            Some(id) => (BlockId(id), false),
            None => {
                table.push(Block { kind, code });
                uses.push(what);
                (BlockId(self.blocks.insert(hash, table.len() - 1)), true)
            }
        }
    }
}
