//! Reading policies and programs, and telling what is wrong with them.

use std::fs;
use std::io::Read as _;
use std::path::Path;

use apl_compiler::diagnostics::{to_json, to_report};
use apl_compiler::yaml::MAX_BYTES;
use apl_compiler::{Compilation, Options, Severity, compile_with};
use serde_json::json;

use super::command::Listing;
use super::{End, Fault};

/// Reads and compiles a policy.
pub(crate) fn policy(path: &Path) -> Result<Compilation, Fault> {
    policy_with(path, &Options::default())
}

/// Reads and compiles a policy, and checks it as the options say.
pub(crate) fn policy_with(path: &Path, options: &Options) -> Result<Compilation, Fault> {
    let bytes = bounded(path)?;
    let text = if bytes.len() > MAX_BYTES {
        // Refused for its size; the cut may go through a character.
        String::from_utf8_lossy(&bytes).into_owned()
    } else {
        String::from_utf8(bytes).map_err(|fault| {
            let at = fault.utf8_error().valid_up_to();
            let before = String::from_utf8_lossy(fault.as_bytes().get(..at).unwrap_or_default()).into_owned();
            let start = before.rfind('\n').map_or(0, |end| end + 1);
            Fault::NotText {
                path: path.to_owned(),
                at,
                line: before.matches('\n').count() + 1,
                column: before.get(start..).unwrap_or("").chars().count() + 1,
            }
        })?
    };
    // The name in the program's debug section must not depend on where it was compiled, so that the same policy gives the
    // same bytes; but it is what people click on, so it stays as it was typed.
    Ok(compile_with(&path.to_string_lossy(), &text, options))
}

/// At most one byte more than a policy may have, whatever the file's size.
fn bounded(path: &Path) -> Result<Vec<u8>, Fault> {
    let fault = |cause| Fault::File {
        doing: "read",
        path: path.to_owned(),
        cause,
    };
    let file = fs::File::open(path).map_err(fault)?;
    let mut bytes = Vec::new();
    file.take(MAX_BYTES as u64 + 1)
        .read_to_end(&mut bytes)
        .map_err(fault)?;
    Ok(bytes)
}

/// Reads a file.
pub(crate) fn read(path: &Path) -> Result<Vec<u8>, Fault> {
    fs::read(path).map_err(|cause| Fault::File {
        doing: "read",
        path: path.to_owned(),
        cause,
    })
}

/// Writes a file.
pub(crate) fn write(path: &Path, bytes: &[u8]) -> Result<(), Fault> {
    fs::write(path, bytes).map_err(|cause| Fault::File {
        doing: "write",
        path: path.to_owned(),
        cause,
    })
}

/// Loads a program; says why not on standard error.
pub(crate) fn loaded(bytes: &[u8], path: &Path) -> Option<apl_bytecode::VerifiedProgram> {
    apl_bytecode::load(bytes)
        .map_err(|fault| eprintln!("`{}` does not load: {fault}", path.display()))
        .ok()
}

/// How a compilation ended.
pub(crate) fn end(compilation: &Compilation) -> End {
    if compilation.output.is_some() {
        End::Fine
    } else {
        End::PolicyAtFault
    }
}

/// Everything as JSON.
pub(crate) fn diagnostics(compilation: &Compilation) -> serde_json::Value {
    let list: Vec<_> = compilation
        .diagnostics
        .iter()
        .map(|diagnostic| to_json(diagnostic, &compilation.sources))
        .collect();
    json!({ "ok": compilation.output.is_some(), "diagnostics": list })
}

/// Prints reports to standard error.
pub(crate) fn report(compilation: &Compilation, no_notes: bool) {
    for diagnostic in &compilation.diagnostics {
        if !(no_notes && diagnostic.severity == Severity::Note) {
            eprintln!("{:?}", to_report(diagnostic, &compilation.sources));
        }
    }
    if compilation.output.is_none() {
        eprintln!("not compiled{}", counted(compilation, no_notes));
    }
}

/// How many of each severity, in parentheses; nothing when there are none.
pub(crate) fn counted(compilation: &Compilation, no_notes: bool) -> String {
    let count = |severity| {
        compilation
            .diagnostics
            .iter()
            .filter(|diagnostic| diagnostic.severity == severity)
            .count()
    };
    let mut parts = Vec::new();
    for severity in [Severity::Error, Severity::Warning, Severity::Note] {
        let number = count(severity);
        if number > 0 && !(no_notes && severity == Severity::Note) {
            parts.push(format!(
                "{number} {}{}",
                severity.name(),
                if number == 1 { "" } else { "s" }
            ));
        }
    }
    if parts.is_empty() {
        String::new()
    } else {
        format!(" ({})", parts.join(", "))
    }
}

/// `aplc listing`.
pub(crate) fn listing(listing: &Listing) -> Result<End, Fault> {
    let bytes = read(&listing.file)?;
    if bytes.starts_with(&apl_bytecode::MAGIC) {
        match apl_bytecode::load(&bytes) {
            Ok(program) => print!("{}", apl_bytecode::listing(program.program())),
            Err(fault) => {
                eprintln!("`{}` does not load: {fault}", listing.file.display());
                return Ok(End::PolicyAtFault);
            }
        }
        return Ok(End::Fine);
    }
    let compilation = policy(&listing.file)?;
    report(&compilation, true);
    if let Some(output) = &compilation.output {
        print!("{}", apl_bytecode::listing(output.program.program()));
    }
    Ok(end(&compilation))
}
