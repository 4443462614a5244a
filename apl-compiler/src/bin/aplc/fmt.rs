//! `aplc fmt` and `aplc migrate`: rewriting a policy's text without changing what it means.

use std::path::{Path, PathBuf};

use apl_compiler::layout::{self, LayoutError, same_program};
use clap::Args;
use similar::TextDiff;

use super::{End, Fault, input};

/// `aplc fmt`.
#[derive(Debug, Args)]
pub(crate) struct Fmt {
    /// Policies.
    #[arg(required = true)]
    pub policies: Vec<PathBuf>,
    /// Write nothing; show what would change, and end with 1 if anything would.
    #[arg(long)]
    pub check: bool,
}

/// `aplc migrate`.
#[derive(Debug, Args)]
pub(crate) struct Migrate {
    /// The policy.
    pub policy: PathBuf,
    /// Write the new text; without it, the change is only shown.
    #[arg(long)]
    pub write: bool,
}

/// Lays policies out.
pub(crate) fn fmt(fmt: &Fmt) -> Result<End, Fault> {
    let mut end = End::Fine;
    for path in &fmt.policies {
        let old = input::text(path)?;
        let Some(new) = said(path, layout::format(&old)) else {
            end = End::PolicyAtFault;
            continue;
        };
        if new == old {
            continue;
        }
        if !proved(path, &old, &new) {
            end = End::PolicyAtFault;
        } else if fmt.check {
            print!("{}", difference(path, &old, &new));
            end = End::PolicyAtFault;
        } else {
            input::write(path, new.as_bytes())?;
            println!("{}: laid out", path.display());
        }
    }
    Ok(end)
}

/// Makes old spellings new.
pub(crate) fn migrate(migrate: &Migrate) -> Result<End, Fault> {
    let path = &migrate.policy;
    let old = input::text(path)?;
    let Some(migrated) = said(path, layout::migrate(&old)) else {
        return Ok(End::PolicyAtFault);
    };
    for (line, why) in &migrated.left {
        eprintln!("{}:{line}: left as it is: {why}", path.display());
    }
    let new = migrated.text;
    if new == old {
        println!("{}: nothing to migrate", path.display());
        return Ok(End::Fine);
    }
    if !proved(path, &old, &new) {
        return Ok(End::PolicyAtFault);
    }
    print!("{}", difference(path, &old, &new));
    if migrate.write {
        input::write(path, new.as_bytes())?;
        println!("{}: written; it compiles to the same program", path.display());
    } else {
        println!(
            "{}: compiles to the same program; `--write` writes it",
            path.display()
        );
    }
    Ok(End::Fine)
}

fn said<T>(path: &Path, done: Result<T, LayoutError>) -> Option<T> {
    done.map_err(|fault| eprintln!("`{}` is left as it is: {fault}", path.display()))
        .ok()
}

/// Whether both texts compile to the same program; says why not on standard error.
fn proved(path: &Path, old: &str, new: &str) -> bool {
    let before = input::compiled(path, old);
    let Some(old_output) = &before.output else {
        input::report(&before, true);
        eprintln!(
            "`{}` is left as it is: it does not compile, so nothing can be proved about it; mend it first",
            path.display()
        );
        return false;
    };
    let after = input::compiled(path, new);
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
fn difference(path: &Path, old: &str, new: &str) -> String {
    let name = path.display().to_string();
    TextDiff::from_lines(old, new)
        .unified_diff()
        .context_radius(3)
        .header(&name, &name)
        .to_string()
}
