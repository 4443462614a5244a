//! Where instructions were written.

use apl_bytecode::{BlockId, Debug, Position, Program};
use apl_compiler::Source;

/// Source places of a program's instructions.
pub(crate) struct Places<'a> {
    debug: Option<&'a Debug>,
    sources: &'a [Source],
}

/// A place for people.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Place {
    /// Into the sources.
    pub file: u16,
    /// From 1.
    pub line: u32,
    /// From 1.
    pub column: u32,
    /// In characters.
    pub length: u32,
}

/// Longest quotation of something that spans lines, in characters.
const QUOTED: usize = 120;

impl<'a> Places<'a> {
    /// Of this program, from its debug section.
    pub(crate) fn new(program: &'a Program, sources: &'a [Source]) -> Self {
        let debug = program.debug.as_ref();
        Self { debug, sources }
    }

    /// Of an instruction.
    pub(crate) fn of(&self, block: BlockId, at: usize) -> Option<Place> {
        let position = Position::Instr(block.0, u32::try_from(at).ok()?);
        self.debug?.span(position).map(|span| Place {
            file: span.file,
            line: span.line,
            column: span.column,
            length: span.length,
        })
    }

    /// The file's name.
    pub(crate) fn file(&self, place: Place) -> &'a str {
        self.sources
            .get(usize::from(place.file))
            .map_or("?", |source| source.name.as_str())
    }

    /// The line, trimmed; what spans lines on one.
    pub(crate) fn text(&self, place: Place) -> String {
        let Some(source) = self.sources.get(usize::from(place.file)) else {
            return String::new();
        };
        let size = |number: u32| usize::try_from(number).unwrap_or(usize::MAX);
        let lines: Vec<&str> = source
            .text
            .split_inclusive('\n')
            .skip(size(place.line).saturating_sub(1))
            .collect();
        let from = lines
            .iter()
            .flat_map(|line| line.chars())
            .skip(size(place.column).saturating_sub(1));
        let whole: String = from.take(size(place.length)).collect();
        if !whole.trim().contains('\n') {
            return lines
                .first()
                .map_or_else(String::new, |line| line.trim().to_owned());
        }
        let words = whole.split_whitespace().collect::<Vec<_>>().join(" ");
        match words.char_indices().nth(QUOTED) {
            Some((end, _)) => format!("{}...", &words[..end]),
            None => words,
        }
    }

    /// `policy.yaml:12: require(role.hr)`.
    pub(crate) fn quote(&self, place: Place) -> String {
        format!("{}:{}: {}", self.file(place), place.line, self.text(place))
    }
}
