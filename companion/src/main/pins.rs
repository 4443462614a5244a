//! `aplomb-companion pins show|clear`: marks of tools whose definition changed.
//!
//! Each pin of a policy has a bucket of its own, so the policy says where to look; nothing else could.

use std::collections::BTreeSet;
use std::io::Write;
use std::path::PathBuf;

use apl_bytecode::{Program, StrId};
use aplomb_companion::admin::ClearRequest;
use aplomb_companion::store::Selection;
use aplomb_enforcer::PinMark;
use clap::{Args, Subcommand};

use super::sessions::{Outcome, Place, Why};

#[derive(Subcommand)]
pub(crate) enum Pins {
    /// Prints the marks of tools whose definition was seen changed.
    Show {
        #[command(flatten)]
        which: Which,
    },
    /// Removes a tool's mark, so that it can be called again. The reason goes to the audit log first.
    Clear {
        #[command(flatten)]
        which: Which,
        /// The tool, as it stands in the policy.
        #[arg(long, value_name = "NAME")]
        tool: String,
        #[command(flatten)]
        why: Why,
    },
}

#[derive(Args)]
pub(crate) struct Which {
    #[command(flatten)]
    place: Place,
    /// The policy.aplb that pins the tools.
    #[arg(long, value_name = "FILE")]
    policy: PathBuf,
    /// The scope of the server's entry of `protocols` [default: those without one, and every scope that the policy names].
    #[arg(long, value_name = "SCOPE")]
    scope: Option<String>,
}

pub(crate) async fn run(command: Pins) -> Outcome<()> {
    let mut out = std::io::stdout();
    match command {
        Pins::Show { which } => {
            let mut found = false;
            for (mark, held) in marked(&which, None).await? {
                found = true;
                writeln!(out, "{mark}\n  bucket {held}")?;
            }
            if !found {
                writeln!(out, "no marks")?;
            }
        }
        Pins::Clear { which, tool, why } => {
            let mut removed = 0;
            for (label, subject) in marked(&which, Some(&tool)).await? {
                let asked = ClearRequest {
                    selection: Selection {
                        subject,
                        session: None,
                    },
                    reason: format!("{label}: {}", why.reason),
                    operator: why.operator.clone(),
                };
                if why.reason.trim().is_empty() {
                    return Err("a clear needs a reason".into());
                }
                let cleared = which.place.clear(&asked).await?;
                removed += cleared.labels;
                writeln!(out, "{label}: removed")?;
            }
            if removed == 0 {
                return Err(format!("`{tool}` has no mark, or the policy does not pin it").into());
            }
        }
    }
    Ok(())
}

/// Labels and buckets of the marks that are there.
async fn marked(which: &Which, tool: Option<&str>) -> Outcome<Vec<(String, String)>> {
    let mut all = Vec::new();
    for mark in possible(which, tool)? {
        let selection = Selection {
            subject: mark.session.subject.clone(),
            session: None,
        };
        let buckets = which.place.show(&selection).await?;
        let mut labels = buckets.iter().flat_map(|bucket| &bucket.labels);
        if labels.any(|held| held.label == mark.label) {
            all.push((mark.label, mark.session.subject));
        }
    }
    Ok(all)
}

/// Every mark that the policy's pins could have.
fn possible(which: &Which, tool: Option<&str>) -> Outcome<Vec<PinMark>> {
    let bytes =
        std::fs::read(&which.policy).map_err(|error| format!("`{}`: {error}", which.policy.display()))?;
    let loaded =
        apl_bytecode::load(&bytes).map_err(|error| format!("`{}`: {error}", which.policy.display()))?;
    let program = loaded.program();
    let scopes: BTreeSet<&str> = match &which.scope {
        Some(scope) => [scope.as_str()].into(),
        None => {
            let of_routes = program.routes.iter().filter_map(|route| route.scope);
            let of_pins = program.pins.iter().filter_map(|pins| pins.scope);
            let named = of_routes.chain(of_pins).map(|id| text(program, id));
            named.chain([""]).collect()
        }
    };
    let mut marks = Vec::new();
    for pins in &program.pins {
        for pin in &pins.tools {
            let name = text(program, pin.name);
            if tool.is_some_and(|wanted| wanted != name) {
                continue;
            }
            match pins.scope.map(|id| text(program, id)) {
                Some(own) if scopes.contains(own) => marks.push(PinMark::new(own, name, &pin.digest)),
                Some(_) => {}
                // A list without a scope also holds for servers without a list of their own.
                None => marks.extend(scopes.iter().map(|scope| PinMark::new(scope, name, &pin.digest))),
            }
        }
    }
    Ok(marks)
}

fn text(program: &Program, id: StrId) -> &str {
    program
        .strings
        .get(usize::try_from(id.0).unwrap_or(usize::MAX))
        .map_or("", String::as_str)
}
