//! `aplomb-companion audit verify|report`.

mod report;

use std::error::Error;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use aplomb_companion::audit::{
    LIMITS, Outstanding, Pseudonyms, Signers, Verdict, VerifyingKey, report as read_report, verify,
};
use clap::{Subcommand, ValueEnum};

#[derive(Subcommand)]
pub(crate) enum Audit {
    /// Finds records that were removed, changed or reordered, and numbers that workers lost. Exit code 1: something is wrong.
    Verify {
        /// The log's file that is written to; its sealed segments and checkpoints are beside it.
        #[arg(long, value_name = "FILE")]
        log: PathBuf,
        /// The public key (PEM) of the key that signs checkpoints. Without it, signatures are not checked.
        #[arg(long, value_name = "FILE")]
        public_key: Option<PathBuf>,
        #[arg(long, value_enum, default_value_t = Format::Text)]
        format: Format,
    },
    /// Prints the pseudonym of a name, to look for somebody in a log that was written with `--audit-pseudonyms-env`.
    Pseudonym {
        /// The variable with the key.
        #[arg(long, value_name = "NAME")]
        key_env: String,
        /// The name, as the subject of a token.
        name: String,
    },
    /// Which programs decided and who signed them, changes of enforcement, approvals, what operators did to labels, and
    /// counts of verdicts, codes and operations.
    Report {
        /// The log's file that is written to; its sealed segments are beside it.
        #[arg(long, value_name = "FILE")]
        log: PathBuf,
        /// A program (`policy.aplb`) whose signature is looked at; repeat it.
        #[arg(long, value_name = "FILE")]
        program: Vec<PathBuf>,
        /// The public key (PEM) of somebody who signs programs, named by its file; repeat it.
        #[arg(long, value_name = "FILE", requires = "program")]
        signer: Vec<PathBuf>,
        #[arg(long, value_enum, default_value_t = Format::Text)]
        format: Format,
    },
}

#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum Format {
    Text,
    Json,
}

pub(crate) fn run(command: Audit) -> Result<ExitCode, Box<dyn Error>> {
    let mut out = std::io::stdout().lock();
    match command {
        Audit::Verify {
            log,
            public_key,
            format,
        } => {
            let pem = public_key.as_ref().map(std::fs::read_to_string).transpose()?;
            let key = pem.as_deref().map(VerifyingKey::from_pem).transpose()?;
            let verdict = verify(&log, key.as_ref())?;
            match format {
                Format::Json => {
                    let limits = serde_json::json!({"verdict": verdict, "not_proved": LIMITS});
                    writeln!(out, "{}", serde_json::to_string_pretty(&limits)?)?;
                }
                Format::Text => print_verdict(&mut out, &verdict, key.is_some())?,
            }
            let is_whole = verdict.findings.is_empty();
            Ok(if is_whole {
                ExitCode::SUCCESS
            } else {
                ExitCode::from(1)
            })
        }
        Audit::Pseudonym { key_env, name } => {
            let key = std::env::var(&key_env)
                .map_err(|_| format!("`--key-env` names `{key_env}`, which is not set"))?;
            writeln!(out, "{}", Pseudonyms::new(key.as_bytes())?.of(&name))?;
            Ok(ExitCode::SUCCESS)
        }
        Audit::Report {
            log,
            program,
            signer,
            format,
        } => {
            let report = read_report(&log, &Signers::read(&program, &signer)?)?;
            match format {
                Format::Json => writeln!(out, "{}", serde_json::to_string_pretty(&report)?)?,
                Format::Text => report::print(&mut out, &report)?,
            }
            Ok(ExitCode::SUCCESS)
        }
    }
}

fn print_verdict(out: &mut impl Write, verdict: &Verdict, has_key: bool) -> std::io::Result<()> {
    let Verdict {
        findings,
        records,
        unchained,
        first,
        last,
        head,
        signed_to,
        checkpoints,
        outstanding,
    } = verdict;
    writeln!(
        out,
        "{records} records, {first} to {last}, {checkpoints} checkpoints"
    )?;
    writeln!(out, "last record {last}, hash {head}")?;
    if *first > 1 {
        writeln!(
            out,
            "note: records 1 to {} are in segments that are not here",
            first - 1
        )?;
    }
    if *unchained > 0 {
        writeln!(
            out,
            "note: {unchained} records are older than the chain; nothing vouches for them"
        )?;
    }
    for Outstanding { stream, from, to } in outstanding {
        writeln!(
            out,
            "note: worker `{stream}` had numbered records {from} to {to} when it last sent some, and they are not here: on their way if it lives, lost if it was killed"
        )?;
    }
    match has_key {
        false => writeln!(out, "note: no --public-key, so signatures were not checked")?,
        true if signed_to < last => {
            writeln!(
                out,
                "note: records {} to {last} are behind the last signature",
                signed_to + 1
            )?;
        }
        true => {}
    }
    match findings.is_empty() {
        true => writeln!(
            out,
            "nothing was removed, changed or reordered, as far as this can be known"
        )?,
        false => {
            for finding in findings {
                writeln!(out, "FOUND: {finding}")?;
            }
        }
    }
    writeln!(out, "what the chain cannot prove:")?;
    for limit in LIMITS {
        writeln!(out, "  - {limit}")?;
    }
    Ok(())
}
