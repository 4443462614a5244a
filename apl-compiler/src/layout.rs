//! The text of a policy: its canonical layout, and old spellings made new. Comments stay.
//!
//! Nothing here knows what a policy means. Both functions move and re-indent what was written, line by line, and leave the
//! text of every scalar and of every flow collection as it is; whoever calls them compiles the result and compares
//! ([`same_program`]).

mod blocks;
mod emit;
mod lines;
mod migrate;
mod place;
mod proof;
mod tree;

pub use migrate::{Migrated, migrate};
pub use proof::same_program;

/// Why a text is left as it is.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LayoutError {
    /// Not YAML.
    #[error("line {line}: this is not valid YAML: {what}")]
    Yaml {
        /// From 1.
        line: usize,
        /// What the parser says.
        what: String,
    },
    /// More than one document.
    #[error("a policy file holds one document; put the second into a file of its own")]
    Documents,
    /// No document.
    #[error("the file is empty")]
    Empty,
    /// Too deep.
    #[error("maps and lists are nested more than 64 deep")]
    TooDeep,
    /// A key that is a map, a list or an alias.
    #[error("a key is a map, a list or an alias; write it as text")]
    Key,
    /// Legal YAML that cannot be laid out line by line.
    #[error("line {line}: {what}")]
    Shape {
        /// From 1.
        line: usize,
        /// What it is, and what to do.
        what: &'static str,
    },
    /// It kept changing.
    #[error("the rewriting does not come to an end; please report the file")]
    Endless,
}

/// The canonical layout: order of sections and keys, two spaces a level, rules in quotes, one blank line between sections,
/// plugins, groups and routes. Line ends become line feeds.
///
/// # Errors
///
/// [`LayoutError`]: the text is no YAML document, or written in a way that has no lines to move (an explicit `? key`).
pub fn format(text: &str) -> Result<String, LayoutError> {
    let text = normal(text);
    let root = tree::read(&text)?;
    let lines = lines::Lines::new(&text);
    if !root.is_block() {
        return Ok(format!("{}\n", text.trim_end()));
    }
    let file = blocks::build(&root, &lines)?;
    Ok(emit::emit(&file, !root.any_marked()))
}

/// Without byte order mark and carriage returns; ends with a line feed.
fn normal(text: &str) -> String {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut text = text.replace("\r\n", "\n");
    if !text.ends_with('\n') {
        text.push('\n');
    }
    text
}
