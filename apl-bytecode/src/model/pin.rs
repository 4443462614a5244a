//! What holds of a server's tools, of paths and of routes beside rules.

use alloc::vec::Vec;

use super::StrId;

/// The pinned tools of one server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pins {
    /// The scope of the server's entries of `protocols`; `None`: entries without one.
    pub scope: Option<StrId>,
    /// Tools of the server that have no pin are hidden and denied.
    pub hides_unpinned: bool,
    /// Its tools, in the order of their names, each once.
    pub tools: Vec<Pin>,
}

/// A tool's definition as it was pinned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pin {
    /// The tool.
    pub name: StrId,
    /// SHA-256 over the canonical text (RFC 8785) of what a model is told of it.
    pub digest: [u8; 32],
}

/// What a caller is told to acquire when a route's rules deny for the lack of it (RFC 6750 section 3.1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Challenge {
    /// The route's place in the table.
    pub route: u32,
    /// OAuth scopes that would do.
    pub scopes: Vec<StrId>,
    /// Lists show the entry with what is missing, where they would hide it.
    pub annotates: bool,
}
