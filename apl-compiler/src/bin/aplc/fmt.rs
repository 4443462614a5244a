//! `aplc fmt` and `aplc migrate`: rewriting a policy's text without changing what it means.

use std::path::{Path, PathBuf};

use apl_compiler::layout::{self, LayoutError, same_program};
use clap::Args;
use similar::TextDiff;

use super::{End, Fault, input};

/// `aplc fmt`.
#[derive(Debug, Args)]
pub(crate) struct Fmt {
    /// Policies: files, or folders with `platform.yaml` and `teams/NAME.yaml`.
    #[arg(required = true)]
    pub policies: Vec<PathBuf>,
    /// Write nothing; show what would change, and end with 1 if anything would.
    #[arg(long)]
    pub check: bool,
}

/// `aplc migrate`.
#[derive(Debug, Args)]
pub(crate) struct Migrate {
    /// The policy: a file, or a folder with `platform.yaml` and `teams/NAME.yaml`.
    pub policy: PathBuf,
    /// Write the new text; without it, the change is only shown.
    #[arg(long)]
    pub write: bool,
}

/// A file of a policy.
struct Text {
    path: PathBuf,
    old: String,
    new: String,
}

/// Lays policies out.
pub(crate) fn fmt(fmt: &Fmt) -> Result<End, Fault> {
    let mut end = End::Fine;
    for policy in &fmt.policies {
        let Some(texts) = rewritten(policy, |_, old| layout::format(old))? else {
            end = End::PolicyAtFault;
            continue;
        };
        let changed: Vec<&Text> = texts.iter().filter(|text| text.new != text.old).collect();
        if changed.is_empty() {
            continue;
        }
        if !proved(policy, &texts) {
            end = End::PolicyAtFault;
            continue;
        }
        for text in changed {
            if fmt.check {
                print!("{}", difference(text));
                end = End::PolicyAtFault;
            } else {
                input::write(&text.path, text.new.as_bytes())?;
                println!("{}: laid out", text.path.display());
            }
        }
    }
    Ok(end)
}

/// Makes old spellings new.
pub(crate) fn migrate(migrate: &Migrate) -> Result<End, Fault> {
    let migrated = rewritten(&migrate.policy, |path, old| {
        layout::migrate(old).map(|migrated| {
            for (line, why) in &migrated.left {
                eprintln!("{}:{line}: left as it is: {why}", path.display());
            }
            migrated.text
        })
    })?;
    let Some(texts) = migrated else {
        return Ok(End::PolicyAtFault);
    };
    if texts.iter().any(|text| text.new != text.old) && !proved(&migrate.policy, &texts) {
        return Ok(End::PolicyAtFault);
    }
    for text in &texts {
        let name = text.path.display();
        if text.new == text.old {
            println!("{name}: nothing to migrate");
            continue;
        }
        print!("{}", difference(text));
        if migrate.write {
            input::write(&text.path, text.new.as_bytes())?;
            println!("{name}: written; it compiles to the same program");
        } else {
            println!("{name}: compiles to the same program; `--write` writes it");
        }
    }
    Ok(End::Fine)
}

/// Every file of a policy with its new text; `None` when one has none, which is said.
fn rewritten(
    policy: &Path,
    rewrite: impl Fn(&Path, &str) -> Result<String, LayoutError>,
) -> Result<Option<Vec<Text>>, Fault> {
    let mut texts = Vec::new();
    for path in input::files_of(policy)? {
        let old = input::text(&path)?;
        let Some(new) = said(&path, rewrite(&path, &old)) else {
            return Ok(None);
        };
        texts.push(Text { path, old, new });
    }
    Ok(Some(texts))
}

fn said<T>(path: &Path, done: Result<T, LayoutError>) -> Option<T> {
    done.map_err(|fault| eprintln!("`{}` is left as it is: {fault}", path.display()))
        .ok()
}

/// Whether old and new texts compile to the same program; says why not on standard error.
fn proved(path: &Path, texts: &[Text]) -> bool {
    let before = input::compiled(
        path,
        texts.iter().map(|text| (text.path.as_path(), text.old.as_str())),
    );
    let Some(old_output) = &before.output else {
        input::report(&before, true);
        eprintln!(
            "`{}` is left as it is: it does not compile, so nothing can be proved about it; mend it first",
            path.display()
        );
        return false;
    };
    let after = input::compiled(
        path,
        texts.iter().map(|text| (text.path.as_path(), text.new.as_str())),
    );
    let Some(new_output) = &after.output else {
        input::report(&after, true);
        eprintln!(
            "`{}` is left as it is: the new text would not compile; please report the file",
            path.display()
        );
        return false;
    };
    if let Err(difference) = same_program(old_output, new_output) {
        eprintln!(
            "`{}` is left as it is: the new text would mean something else in {difference}; please report the file",
            path.display()
        );
        return false;
    }
    true
}

/// A unified difference.
fn difference(text: &Text) -> String {
    let name = text.path.display().to_string();
    TextDiff::from_lines(&text.old, &text.new)
        .unified_diff()
        .context_radius(3)
        .header(&name, &name)
        .to_string()
}
