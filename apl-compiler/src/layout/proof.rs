//! The proof that a rewritten policy means what it meant.

use apl_bytecode::{Program, encode};

use crate::Output;
use crate::outline::{Operation, outline};

/// Whether two policies compile to the same program and deployment.
///
/// Equal bytes without the debug section are the usual case. Where only the tables are in another order, everything that
/// the programs do is spelled out and compared.
///
/// # Errors
///
/// Where they differ.
pub fn same_program(before: &Output, after: &Output) -> Result<(), String> {
    if before.deployment != after.deployment {
        return Err("what the companion is told (issuers, delegators, session store)".to_owned());
    }
    let bare = |output: &Output| Program {
        debug: None,
        ..output.program.program().clone()
    };
    let (before, after) = (bare(before), bare(after));
    if encode(&before) == encode(&after) {
        return Ok(());
    }
    let (before, after) = (outline(&before), outline(&after));
    if before.identities != after.identities {
        return Err("the credentials".to_owned());
    }
    let name = |operation: &Operation| operation.name.clone();
    let (old, new) = (&before.operations, &after.operations);
    if old.iter().map(name).ne(new.iter().map(name)) {
        return Err("the routes".to_owned());
    }
    if let Some((operation, _)) = old.iter().zip(new).find(|(old, new)| old != new) {
        return Err(format!("`{}`", operation.name));
    }
    if before == after {
        Ok(())
    } else {
        Err("`engine_settings` or static attributes".to_owned())
    }
}
