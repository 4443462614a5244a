//! The program and its plain tables.

use alloc::{string::String, vec::Vec};

use super::{
    Assertions, Attr, Challenge, Code, Effect, Enforcement, Fallback, Identity, Instr, Pins, Pipeline,
    Response, Route, Scanner, StrId, Unmatched,
};

/// One compiled policy.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Program {
    /// Every text, once.
    pub strings: Vec<String>,
    /// Constants of comparisons and expressions.
    pub consts: Vec<Const>,
    /// Attribute paths.
    pub attrs: Vec<Attr>,
    /// Compiled patterns.
    pub regexes: Vec<Regex>,
    /// Denials that steps refer to.
    pub denials: Vec<Denial>,
    /// Code.
    pub blocks: Vec<Block>,
    /// Field pipelines.
    pub pipelines: Vec<Pipeline>,
    /// Scanners.
    pub scanners: Vec<Scanner>,
    /// Effects.
    pub effects: Vec<Effect>,
    /// Credentials.
    pub identities: Vec<Identity>,
    /// Routes.
    pub routes: Vec<Route>,
    /// What governs operations without a route; at most one an entity kind, and one for housekeeping.
    pub fallbacks: Vec<Fallback>,
    /// `engine_settings`.
    pub settings: Settings,
    /// Headers that routes assert.
    pub assertions: Vec<Assertions>,
    /// The static attributes below `data`, as the text of one JSON object; empty: there are none. Whoever runs the program
    /// reads it once and looks attributes up in it by binary search.
    pub data: String,
    /// Pinned definitions of tools, at most one entry a scope.
    pub pins: Vec<Pins>,
    /// `engine_settings.public_paths`: exact, or with a last segment `*` everything below; `None`: the defaults.
    pub public_paths: Option<Vec<StrId>>,
    /// What lacking callers are told, at most one entry a route, in the order of routes.
    pub challenges: Vec<Challenge>,
    /// Where everything was written. Not part of the digest; `--strip` leaves it out.
    pub debug: Option<Debug>,
}

/// A constant.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Const {
    /// `null`, CEL only.
    Null,
    /// A boolean.
    Bool(bool),
    /// A signed integer.
    Int(i64),
    /// An unsigned integer, CEL only.
    Uint(u64),
    /// A finite or, in CEL, any double.
    Float(f64),
    /// A text.
    Str(StrId),
}

/// A compiled pattern.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Regex {
    /// The pattern as written, for listings.
    pub pattern: StrId,
    /// A `regex-automata` 0.4 sparse DFA, little-endian.
    pub dfa: Vec<u8>,
}

/// What a denial says.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Denial {
    /// The violation code.
    pub code: Code,
    /// The reason; `None`: `access denied`.
    pub reason: Option<StrId>,
}

/// A piece of code.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Block {
    /// What it is.
    pub kind: BlockKind,
    /// Its instructions.
    pub code: Vec<Instr>,
}

/// What a block is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum BlockKind {
    /// Leaves one value.
    Expr,
    /// One phase of one operation.
    Steps,
}

/// `engine_settings`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// What happens to operations that no route matches, after global rules.
    pub unmatched: Unmatched,
    /// `forward_inbound_credentials: never`; otherwise unless policy delegated on that route.
    pub never_forward_credentials: bool,
    /// `global.enforcement`: what holds for operations without a route. Routes carry their own.
    pub enforcement: Enforcement,
    /// `global.response`: how HTTP operations are denied whose route has none of its own.
    pub response: Option<Response>,
    /// `audit`: what a release waits for.
    pub delivery: Delivery,
    /// `capture: facts`: records carry what the program read.
    pub capture: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            unmatched: Unmatched::Deny,
            never_forward_credentials: false,
            enforcement: Enforcement::Enforce,
            response: None,
            delivery: Delivery::Batched,
            capture: false,
        }
    }
}

/// `engine_settings.audit`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Delivery {
    /// Records queue in the worker and go in batches.
    #[default]
    Batched,
    /// Nothing is released before its record is on disk.
    Durable,
}

/// Where everything was written.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Debug {
    /// Source files, as the compiler was given them.
    pub files: Vec<String>,
    /// The compiler's version.
    pub compiler: String,
    /// Spans, ordered by position. That of an instruction holds for those behind it too, up to the next that has one: what
    /// a step became has one place.
    pub spans: Vec<(Position, Span)>,
}

impl Debug {
    /// Where something was written.
    #[must_use]
    pub fn span(&self, position: Position) -> Option<&Span> {
        let behind = self.spans.partition_point(|(at, _)| *at <= position);
        let (at, span) = self.spans.get(behind.checked_sub(1)?)?;
        let holds = match (*at, position) {
            (Position::Instr(block, _), Position::Instr(wanted, _)) => block == wanted,
            (at, wanted) => at == wanted,
        };
        holds.then_some(span)
    }
}

/// Something that a span can be given for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Position {
    /// An instruction: block, index.
    Instr(u32, u32),
    /// A pipeline.
    Pipeline(u32),
    /// A route.
    Route(u32),
}

/// A place in a source file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Span {
    /// Into [`Debug::files`].
    pub file: u16,
    /// From 1.
    pub line: u32,
    /// From 1, in characters.
    pub column: u32,
    /// In characters.
    pub length: u32,
}
