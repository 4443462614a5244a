//! `aplc probe URL --config filter-config.json`: sends a running gateway what its policy must deny.
//!
//! What must be denied is not guessed. Every request is first given to the filter's own code in this process, with the
//! gateway's configuration; only what that denies, without any effect, is sent. And before anything that names a real
//! operation, a call of an operation that does not exist shows whether the filter is there at all.

mod attempts;
mod caller;
mod judge;
mod report;
mod target;
mod wire;

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use super::command::Format;
use super::{End, Fault, input};
use attempts::Attempt;
use caller::Callers;
use judge::{Expected, Judge};
use report::{Came, Line};
use target::Target;
use wire::Wire;

/// `aplc probe`.
#[derive(Debug, Args)]
pub(crate) struct Probe {
    /// The gateway: scheme, host and port, as `https://gateway.example`. Paths come from the configuration.
    pub url: String,
    /// The `filter-config.json` that the gateway runs.
    #[arg(long, value_name = "FILE")]
    pub config: PathBuf,
    /// Present a real credential too: the name of an identity plugin, and of the environment variable that holds its token or
    /// key. May be given more than once. Without any, nobody is signed in.
    #[arg(long = "credential", value_name = "PLUGIN=VARIABLE")]
    pub credentials: Vec<String>,
    /// Send what may be allowed, too, and say what came of it. It may reach a backend.
    #[arg(long)]
    pub allow: bool,
    /// At most so many operations that the policy names are called without a credential, for each entry.
    #[arg(long, value_name = "N", default_value_t = 100)]
    pub operations: usize,
    /// Seconds until a request counts as unanswered.
    #[arg(long, value_name = "SECONDS", default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=300))]
    pub timeout: u64,
    /// A PEM file with certificates to trust instead of the system's.
    #[arg(long, value_name = "PEM")]
    pub ca: Option<PathBuf>,
    /// How the table is written, to standard output.
    #[arg(long, value_enum, default_value = "text")]
    pub format: Format,
}

/// Probes.
pub(crate) fn run(probe: &Probe) -> Result<End, Fault> {
    let target = Target::read(&probe.config, &probe.url)?;
    let callers = Callers::read(&probe.credentials, &target)?;
    let mut judge = Judge::new(&target)?;
    callers.check(&target, &mut judge)?;
    let ca = probe.ca.as_deref().map(input::read).transpose()?;
    let wire = Wire::new(&target, ca.as_deref(), Duration::from_secs(probe.timeout))?;

    let mut lines = Vec::new();
    for (at, entry) in target.entries.iter().enumerate() {
        let attempts = attempts::of(&target, entry, &callers, probe.operations);
        let (mut there, mut silent, mut open) = (false, false, false);
        for attempt in attempts.all {
            let expected = judge.judge(&attempt);
            if silent {
                lines.push(Line {
                    entry: at,
                    tidied: false,
                    attempt: attempt.name,
                    expected,
                    came: Came::NotSent("the gateway did not answer the first one".to_owned()),
                });
                continue;
            }
            let sends = match &expected {
                Expected::Denied { .. } => !attempt.names_operation || there && !open,
                Expected::Open { .. } => probe.allow && there,
            };
            let came = if sends {
                wire.send(&attempt)
            } else {
                Came::NotSent(reason(&expected, &attempt))
            };
            // What answers as the filter does is the filter.
            silent = !there && matches!(&came, Came::Unanswered(_));
            there |= matches!(&came, Came::Answered { ours: true, .. });
            let line = Line {
                entry: at,
                tidied: attempt.tidied.is_some() && there,
                attempt: attempt.name,
                expected,
                came,
            };
            // A filter that lets something through (in shadow it still answers what it cannot read) gets no real operation.
            open |= report::got_through(&line);
            lines.push(line);
        }
        if attempts.left_out > 0 {
            lines.push(Line {
                entry: at,
                tidied: false,
                attempt: format!("{} further operations without a credential", attempts.left_out),
                expected: Expected::Open {
                    why: "`--operations N` sends more".to_owned(),
                },
                came: Came::NotSent("`--operations N` sends more".to_owned()),
            });
        }
    }
    match probe.format {
        Format::Text => print!("{}", report::text(&target, &lines)),
        Format::Json => println!(
            "{}",
            serde_json::to_string_pretty(&report::json(&target, &lines))?
        ),
    }
    Ok(if report::is_fine(&lines) {
        End::Fine
    } else {
        End::PolicyAtFault
    })
}

fn reason(expected: &Expected, attempt: &Attempt) -> String {
    match expected {
        Expected::Open { why } => why.clone(),
        Expected::Denied { .. } if attempt.names_operation => {
            "the filter has not shown itself here, or let something through, and this names a real operation"
                .to_owned()
        }
        Expected::Denied { .. } => String::new(),
    }
}
