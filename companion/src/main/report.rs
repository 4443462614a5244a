//! `audit report` for people.

use std::collections::BTreeMap;
use std::io::{self, Write};

use aplomb_companion::audit::{Approval, Change, Enforcement, OperatorsAct, PolicyUse, Report, Signer};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// Digits of a digest that tell programs apart.
const DIGEST_DIGITS: usize = 16;

pub(super) fn print(out: &mut impl Write, report: &Report) -> io::Result<()> {
    let Report {
        records, unreadable, ..
    } = report;
    writeln!(out, "{records} records, {unreadable} unreadable lines")?;
    if let (Some(from), Some(to)) = (report.from_ms, report.to_ms) {
        writeln!(out, "from {} to {}", date(from), date(to))?;
    }
    let rows = report.policies.iter().map(policy).collect();
    let heads = [
        "policy",
        "first verdict",
        "last verdict",
        "verdicts",
        "denied",
        "in shadow",
        "signed",
    ];
    table(out, "policies", heads, rows)?;
    let rows = report.enforcement.iter().map(enforcement).collect();
    table(out, "enforcement", ["when", "policy", "change"], rows)?;
    let rows = report.approvals.iter().map(approval).collect();
    let heads = ["when", "operation", "requester", "answer", "approver", "step"];
    table(out, "approvals", heads, rows)?;
    let rows = report.operators.iter().map(act).collect();
    table(
        out,
        "operators",
        ["when", "act", "operator", "labels", "reason"],
        rows,
    )?;
    counts(out, "verdicts", &report.verdicts)?;
    counts(out, "codes", &report.codes)?;
    counts(out, "operations", &report.operations)?;
    counts(out, "steps", &report.steps)
}

fn policy(policy: &PolicyUse) -> [String; 7] {
    [
        short(&policy.digest),
        date(policy.first_ms),
        date(policy.last_ms),
        policy.verdicts.to_string(),
        policy.denied.to_string(),
        policy.in_shadow.to_string(),
        match &policy.signer {
            Signer::Unknown => "not known: give it as --program".to_owned(),
            Signer::Unsigned => "no".to_owned(),
            Signer::Stranger => "by none of the --signer keys".to_owned(),
            Signer::Key { name } => format!("by {}", printable(name)),
        },
    ]
}

fn enforcement(change: &Enforcement) -> [String; 3] {
    let what = match &change.change {
        Change::Begins { after: None } => "decides".to_owned(),
        Change::Begins { after: Some(after) } => format!("decides in place of {}", short(after)),
        Change::Returns { after } => format!("decides again, after {}", short(after)),
        Change::IntoShadow { operation } => {
            format!("{} is not enforced any more (shadow)", printable(operation))
        }
        Change::OutOfShadow { operation } => format!("{} is enforced again", printable(operation)),
        Change::Beside { shadow_digest } => format!("{} judges beside it, in shadow", short(shadow_digest)),
    };
    [date(change.at_ms), short(&change.policy_digest), what]
}

fn approval(approval: &Approval) -> [String; 6] {
    [
        date(approval.at_ms),
        printable(&approval.operation),
        printable(&approval.requester),
        printable(&approval.answer),
        printable(&approval.approver),
        printable(&approval.step),
    ]
}

fn act(act: &OperatorsAct) -> [String; 5] {
    [
        date(act.at_ms),
        printable(&act.act),
        printable(&act.operator),
        printable(&act.labels.join(", ")),
        printable(&act.reason),
    ]
}

/// Columns as wide as what stands in them. Nothing is printed of a table without rows.
fn table<const N: usize>(
    out: &mut impl Write,
    name: &str,
    heads: [&str; N],
    rows: Vec<[String; N]>,
) -> io::Result<()> {
    if rows.is_empty() {
        return Ok(());
    }
    let heads = heads.map(str::to_owned);
    let width = |column: usize| {
        let cells = rows.iter().chain([&heads]).map(|row| row[column].chars().count());
        cells.max().unwrap_or(0)
    };
    let widths: [usize; N] = std::array::from_fn(width);
    writeln!(out, "\n{name}")?;
    for row in std::iter::once(&heads).chain(&rows) {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(widths) {
            line.push_str(&format!("  {cell:<width$}"));
        }
        writeln!(out, "{}", line.trim_end())?;
    }
    Ok(())
}

fn counts(out: &mut impl Write, name: &str, counts: &BTreeMap<String, u64>) -> io::Result<()> {
    if !counts.is_empty() {
        writeln!(out, "\n{name}")?;
    }
    for (key, count) in counts {
        writeln!(out, "{count:>10} {}", printable(key))?;
    }
    Ok(())
}

fn short(digest: &str) -> String {
    printable(digest.get(..DIGEST_DIGITS).unwrap_or(digest))
}

fn date(ms: u64) -> String {
    let at = OffsetDateTime::from_unix_timestamp_nanos(i128::from(ms) * 1_000_000);
    at.ok()
        .and_then(|at| at.format(&Rfc3339).ok())
        .unwrap_or_else(|| format!("{ms} ms since 1970"))
}

/// Names come from tokens and tools: none of them moves the cursor or begins a line.
fn printable(text: &str) -> String {
    text.chars()
        .map(|char| if char.is_control() { '\u{fffd}' } else { char })
        .collect()
}
