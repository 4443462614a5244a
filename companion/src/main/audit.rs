//! `aplomb-companion audit verify|report`.

mod report;

use std::error::Error;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use aplomb_companion::audit::{
    Finding, LIMITS, Outstanding, Pseudonyms, Signers, Together, Verdict, VerifyingKey,
    report as read_report, verify, verify_together,
};
use clap::{Subcommand, ValueEnum};

#[derive(Subcommand)]
pub(crate) enum Audit {
    /// Finds records that were removed, changed or reordered, and numbers that workers lost. Exit code 1: something is wrong.
    Verify {
        /// The log's file that is written to; its sealed segments and checkpoints are beside it. Repeat it for companions that
        /// stand in for each other: a worker's records lie in one or another of their logs.
        #[arg(long, value_name = "FILE", required = true)]
        log: Vec<PathBuf>,
        /// The public key (PEM) of the key that signs checkpoints: one for all logs, or one for each in their order. Without
        /// it, signatures are not checked.
        #[arg(long, value_name = "FILE")]
        public_key: Vec<PathBuf>,
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
        /// The log's file that is written to; its sealed segments are beside it. Repeat it for companions that stand in for
        /// each other: what is in two logs counts once.
        #[arg(long, value_name = "FILE", required = true)]
        log: Vec<PathBuf>,
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
            let keys = public_key.iter().map(|path| {
                let pem = std::fs::read_to_string(path)
                    .map_err(|error| format!("cannot read `{}`: {error}", path.display()))?;
                Ok(VerifyingKey::from_pem(&pem)?)
            });
            let keys = keys.collect::<Result<Vec<_>, Box<dyn Error>>>()?;
            if keys.len() > 1 && keys.len() != log.len() {
                return Err("give one `--public-key` for all logs, or one for each in their order".into());
            }
            // One key is everybody's.
            let key = |at: usize| keys.get(at).or(keys.first());
            match log.as_slice() {
                [log] => {
                    let verdict = verify(log, key(0))?;
                    match format {
                        Format::Json => print_json(&mut out, "verdict", &verdict)?,
                        Format::Text => {
                            print_verdict(&mut out, &verdict, key(0).is_some())?;
                            print_findings(&mut out, &verdict.findings, &verdict.outstanding)?;
                            print_limits(&mut out)?;
                        }
                    }
                    Ok(exit(verdict.findings.is_empty()))
                }
                logs => {
                    let asked: Vec<_> = logs
                        .iter()
                        .enumerate()
                        .map(|(at, log)| (log.as_path(), key(at)))
                        .collect();
                    let together = verify_together(&asked)?;
                    match format {
                        Format::Json => print_json(&mut out, "together", &together)?,
                        Format::Text => print_together(&mut out, logs, &together, !keys.is_empty())?,
                    }
                    Ok(exit(together.is_whole()))
                }
            }
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
            let report = read_report(
                log.iter().map(PathBuf::as_path),
                &Signers::read(&program, &signer)?,
            )?;
            match format {
                Format::Json => writeln!(out, "{}", serde_json::to_string_pretty(&report)?)?,
                Format::Text => report::print(&mut out, &report)?,
            }
            Ok(ExitCode::SUCCESS)
        }
    }
}

fn exit(is_whole: bool) -> ExitCode {
    match is_whole {
        true => ExitCode::SUCCESS,
        false => ExitCode::from(1),
    }
}

fn print_json(
    out: &mut impl Write,
    name: &str,
    verdict: &impl serde::Serialize,
) -> Result<(), Box<dyn Error>> {
    let object = serde_json::json!({name: verdict, "not_proved": LIMITS});
    Ok(writeln!(out, "{}", serde_json::to_string_pretty(&object)?)?)
}

/// Each log's own, then what is in none of them.
fn print_together(
    out: &mut impl Write,
    logs: &[PathBuf],
    together: &Together,
    has_key: bool,
) -> std::io::Result<()> {
    for (log, verdict) in logs.iter().zip(&together.logs) {
        writeln!(out, "{}", log.display())?;
        print_verdict(out, verdict, has_key)?;
        print_findings(out, &verdict.findings, &verdict.outstanding)?;
    }
    writeln!(out, "all {} logs together", logs.len())?;
    print_findings(out, &together.findings, &together.outstanding)?;
    print_limits(out)
}

fn print_verdict(out: &mut impl Write, verdict: &Verdict, has_key: bool) -> std::io::Result<()> {
    let Verdict {
        records,
        unchained,
        first,
        last,
        head,
        signed_to,
        checkpoints,
        findings: _,
        outstanding: _,
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
    Ok(())
}

fn print_findings(
    out: &mut impl Write,
    findings: &[Finding],
    outstanding: &[Outstanding],
) -> std::io::Result<()> {
    for Outstanding { stream, from, to } in outstanding {
        writeln!(
            out,
            "note: worker `{stream}` had numbered records {from} to {to} when it last sent some, and they are not here: on their way if it lives, lost if it was killed"
        )?;
    }
    if findings.is_empty() {
        writeln!(
            out,
            "nothing was removed, changed or reordered, as far as this can be known"
        )?;
    }
    for finding in findings {
        writeln!(out, "FOUND: {finding}")?;
    }
    Ok(())
}

fn print_limits(out: &mut impl Write) -> std::io::Result<()> {
    writeln!(out, "what the chain cannot prove:")?;
    for limit in LIMITS {
        writeln!(out, "  - {limit}")?;
    }
    Ok(())
}
