//! Reading policies and programs, and telling what is wrong with them.

use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use apl_compiler::diagnostics::{to_json, to_report};
use apl_compiler::outline::{Outline, outline};
use apl_compiler::yaml::MAX_BYTES;
use apl_compiler::{Compilation, File, Files, Options, Policy, Severity, compile_policy_with};
use serde_json::json;

use super::command::Listing;
use super::{End, Fault};

/// The outline of a policy or program; says why there is none on standard error.
pub(crate) fn outlined(path: &Path) -> Result<Option<Outline>, Fault> {
    if !path.is_dir() {
        let bytes = read(path)?;
        if bytes.starts_with(&apl_bytecode::MAGIC) {
            return Ok(loaded(&bytes, path).map(|program| outline(program.program())));
        }
    }
    let compilation = policy(path)?;
    if compilation.output.is_none() {
        report(&compilation, true);
    }
    Ok(compilation.output.map(|output| outline(output.program.program())))
}

/// Reads and compiles a policy: a file, or a folder with `platform.yaml` and `teams/NAME.yaml`.
pub(crate) fn policy(path: &Path) -> Result<Compilation, Fault> {
    policy_with(path, &Options::default())
}

/// The same, and checks it as the options say.
pub(crate) fn policy_with(path: &Path, options: &Options) -> Result<Compilation, Fault> {
    let mut files = Vec::new();
    for name in files_of(path)? {
        files.push(file(&name)?);
    }
    Ok(compiled_with(path, files, options))
}

/// The files of a policy: itself, or of a folder `platform.yaml` and then the teams' files in the order of their names.
pub(crate) fn files_of(path: &Path) -> Result<Vec<PathBuf>, Fault> {
    if !path.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let platform = path.join("platform.yaml");
    if !platform.exists() {
        return Err(Fault::Argument(format!(
            "`{}` has no `platform.yaml`, with which a policy of several files begins; name the file of a policy that is one",
            path.display()
        )));
    }
    let mut files = vec![platform];
    files.extend(team_files(&path.join("teams"))?);
    Ok(files)
}

/// Compiles these texts as if they were the files of the policy at a path, in the order of [`files_of`].
pub(crate) fn compiled<'t>(path: &Path, texts: impl Iterator<Item = (&'t Path, &'t str)>) -> Compilation {
    let files = texts.map(|(name, text)| File {
        name: name.to_string_lossy().into_owned(),
        text: text.to_owned(),
    });
    compiled_with(path, files.collect(), &Options::default())
}

fn compiled_with(path: &Path, mut files: Vec<File>, options: &Options) -> Compilation {
    let folder = if path.is_dir() {
        path
    } else {
        path.parent().unwrap_or(Path::new(""))
    };
    let teams = files.split_off(files.len().min(1));
    let main = files.pop().unwrap_or_else(|| File {
        name: path.to_string_lossy().into_owned(),
        text: String::new(),
    });
    let policy = Policy {
        main,
        teams,
        files: &Folder(folder.to_owned()),
    };
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let options = Options {
        now: since.ok().map(|since| since.as_secs()),
        ..options.clone()
    };
    compile_policy_with(&policy, &options)
}

/// The teams' files, by name.
fn team_files(folder: &Path) -> Result<Vec<PathBuf>, Fault> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(cause) => {
            return Err(Fault::File {
                doing: "read",
                path: folder.to_owned(),
                cause,
            });
        }
    };
    let mut files = Vec::new();
    for entry in entries {
        let entry = entry.map_err(|cause| Fault::File {
            doing: "read",
            path: folder.to_owned(),
            cause,
        })?;
        let path = entry.path();
        if path
            .extension()
            .is_some_and(|extension| extension == "yaml" || extension == "yml")
        {
            files.push(path);
        }
    }
    // In the order of their names, so that the same folder gives the same program everywhere.
    files.sort();
    Ok(files)
}

/// A file of a policy.
pub(crate) fn file(path: &Path) -> Result<File, Fault> {
    let text = text(path)?;
    // The name in the program's debug section must not depend on where it was compiled, so that the same policy gives the
    // same bytes; but it is what people click on, so it stays as it was typed.
    Ok(File {
        name: path.to_string_lossy().into_owned(),
        text,
    })
}

/// Reads a text, of which a policy's size is the most.
pub(crate) fn text(path: &Path) -> Result<String, Fault> {
    let bytes = bounded(path)?;
    if bytes.len() > MAX_BYTES {
        // Refused for its size by whoever reads it; the cut may go through a character.
        return Ok(String::from_utf8_lossy(&bytes).into_owned());
    }
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
    })
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

/// Files are looked for beside the policy.
struct Folder(PathBuf);

impl Files for Folder {
    fn read(&self, path: &str) -> Result<(String, String), String> {
        let path = self.0.join(path);
        let text = fs::read_to_string(&path).map_err(|cause| cause.to_string())?;
        Ok((path.to_string_lossy().into_owned(), text))
    }
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
