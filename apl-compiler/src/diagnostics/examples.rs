//! For each code: why it is checked, a policy that has it, and one that has not.
//!
//! A test compiles all of them. The first line of an example may be `# aplc check` with the arguments it is checked with;
//! `--tools tools.json` means [`TOOLS`].

mod advice;
mod document;
mod rules;
mod yaml;

use super::{Code, Page};

/// An example.
#[derive(Debug, Clone, Copy)]
pub struct Example {
    /// Of which code.
    pub code: Code,
    /// Why it is checked.
    pub why: &'static str,
    /// A policy that has it. `...` alone: one that is too large to show.
    pub wrong: &'static str,
    /// The same, mended.
    pub right: &'static str,
}

/// The `tools.json` of the examples.
pub const TOOLS: &str = r#"{"tools": [
  {"name": "pay", "inputSchema": {"type": "object", "required": ["iban"],
    "properties": {"iban": {"type": "string"}, "amount": {"type": "number"}, "memo": {"type": "string"}}},
   "outputSchema": {"type": "object", "properties": {"receipt": {"type": "string"}, "card": {"type": "string"}}}}
]}"#;

/// Every example, in the order of the codes.
#[must_use]
pub fn examples() -> Vec<Example> {
    [
        yaml::EXAMPLES,
        document::EXAMPLES,
        rules::EXAMPLES,
        advice::EXAMPLES,
    ]
    .concat()
}

impl Page {
    /// The page's example.
    #[must_use]
    pub fn example(&self) -> Option<Example> {
        examples()
            .into_iter()
            .find(|example| example.code.id() == self.id)
    }
}
