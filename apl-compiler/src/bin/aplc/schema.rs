//! `aplc schema`.

use super::{End, Fault};

/// Prints the JSON Schema of a policy.
pub(crate) fn run() -> Result<End, Fault> {
    println!(
        "{}",
        serde_json::to_string_pretty(&apl_compiler::vocabulary::json_schema())?
    );
    Ok(End::Fine)
}
