//! A verified program with its patterns ready to run.

use std::ops::Deref;

use crate::data::Data;

use apl_bytecode::{EntityKind, LoadError, RegexId, VerifiedProgram, load_to_run};
use regex_automata::{
    Input,
    dfa::{Automaton as _, sparse::DFA},
};

/// A verified program whose patterns were checked and unpacked. This is what everything in this crate runs; it reads as
/// the [`VerifiedProgram`] that it holds.
#[derive(Debug, Clone)]
pub struct Prepared {
    program: VerifiedProgram,
    patterns: Vec<DFA<Vec<u8>>>,
    data: Option<Data>,
}

/// Why a program cannot be run.
#[derive(Debug, thiserror::Error)]
pub enum PrepareError {
    /// It does not load.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// A pattern is not exactly one automaton that can search from anywhere in a text.
    #[error("pattern {index} of the program is damaged")]
    Pattern {
        /// Into the program's patterns.
        index: usize,
    },
    /// The static attributes are not one JSON object.
    #[error("the static attributes of the program are damaged")]
    Data,
}

impl Prepared {
    /// Decodes, verifies, checks the digest and unpacks the patterns. The debug section is left out.
    ///
    /// # Errors
    ///
    /// If any of that fails.
    pub fn load(bytes: &[u8]) -> Result<Self, PrepareError> {
        Self::new(load_to_run(bytes)?)
    }

    /// Unpacks the patterns of a program.
    ///
    /// # Errors
    ///
    /// [`PrepareError::Pattern`] if one of them is no automaton, [`PrepareError::Data`] if its static attributes cannot be
    /// read.
    pub fn new(program: VerifiedProgram) -> Result<Self, PrepareError> {
        let mut patterns = Vec::new();
        for (index, regex) in program.program().regexes.iter().enumerate() {
            let pattern = unpack(&regex.dfa).ok_or(PrepareError::Pattern { index })?;
            patterns.push(pattern);
        }
        let data = match program.program().data.as_str() {
            "" => None,
            text => Some(Data::read(text).ok_or(PrepareError::Data)?),
        };
        Ok(Self {
            program,
            patterns,
            data,
        })
    }

    /// The static attributes, if there are any.
    pub(crate) const fn data(&self) -> Option<&Data> {
        self.data.as_ref()
    }

    /// Whether a pattern matches somewhere in the text. `None` when the automaton gives up (a byte that it was built not
    /// to handle): treat it as an error, never as an answer.
    #[must_use]
    pub fn is_match(&self, regex: RegexId, text: &str) -> Option<bool> {
        let pattern = self.patterns.get(regex.at())?;
        let found = pattern.try_search_fwd(&Input::new(text).earliest(true)).ok()?;
        Some(found.is_some())
    }

    /// A pattern's automaton.
    #[must_use]
    pub fn pattern(&self, regex: RegexId) -> Option<&DFA<Vec<u8>>> {
        self.patterns.get(regex.at())
    }
}

impl Deref for Prepared {
    type Target = VerifiedProgram;

    fn deref(&self) -> &VerifiedProgram {
        &self.program
    }
}

fn unpack(bytes: &[u8]) -> Option<DFA<Vec<u8>>> {
    let (pattern, read) = DFA::from_bytes(bytes).ok()?;
    // An automaton without an unanchored start would fail on every text, so it is refused here.
    let searches = pattern.try_search_fwd(&Input::new("")).is_ok();
    (read == bytes.len() && searches).then(|| pattern.to_owned())
}

/// The index of the route that governs an operation, or `None`: then a fallback does. Scoped routes win over unscoped
/// ones, exact names over the longest matching glob, and globs over `*`. The name of an HTTP operation is its method and
/// its path, with a space between them.
#[must_use]
pub fn find_route(
    program: &VerifiedProgram,
    entity: EntityKind,
    name: &str,
    scope: Option<&str>,
) -> Option<usize> {
    match (entity, name.split_once(' ')) {
        (EntityKind::Http, Some((method, path))) => program.http_route(path, method, scope),
        _ => program.routes().find(entity, name, scope),
    }
}
