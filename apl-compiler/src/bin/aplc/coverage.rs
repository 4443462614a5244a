//! Which rules, conditions, reactions and stages the tests of a policy reach.
//!
//! A rule is a step of the policy as it was written; one that many routes inherit is compiled into each of them, and is
//! still one rule. A condition counts twice: seen to hold, and seen not to. Each stage of a field pipeline counts once,
//! the condition of a `redact` twice.

mod lcov;
mod points;
mod table;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use apl_bytecode::Program;
use apl_compiler::Source;
use apl_vm::trace::TraceEvent;
use serde_json::{Value, json};

use super::Fault;
use super::command::{CoverageKind, Test as Arguments, TestFormat};
use super::place::Places;
use points::Points;

/// Coverage of all policies that were tested.
#[derive(Debug, Default)]
pub(crate) struct Coverage {
    policies: BTreeMap<PathBuf, Points>,
}

impl Coverage {
    /// Tests of this policy follow. The same policy may be tested by several files.
    pub(crate) fn begin(&mut self, policy: &Path, program: &Program, sources: &[Source]) {
        self.policies
            .entry(policy.to_owned())
            .or_insert_with(|| Points::new(program, &Places::new(program, sources)));
    }

    /// One exchange of a test.
    pub(crate) fn see(&mut self, policy: &Path, trace: &[TraceEvent]) {
        if let Some(points) = self.policies.get_mut(policy) {
            trace.iter().for_each(|event| points.see(event));
        }
    }

    /// Points reached, and all.
    fn counts(&self) -> (usize, usize) {
        self.policies
            .values()
            .map(Points::counts)
            .fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1))
    }

    /// As JSON; null when nothing was tested.
    pub(crate) fn json(&self) -> Value {
        let policies: Vec<Value> = self
            .policies
            .iter()
            .map(|(path, points)| {
                let (reached, all) = points.counts();
                json!({ "policy": path.to_string_lossy(), "reached": reached, "points": all, "missing": points.missing() })
            })
            .collect();
        let (reached, all) = self.counts();
        json!({ "percent": percent(reached, all), "policies": policies })
    }

    /// Writes what was asked for. False: it is less than was asked for.
    pub(crate) fn write(&self, arguments: &Arguments) -> Result<bool, Fault> {
        match arguments.coverage {
            Some(CoverageKind::Lcov) => {
                let path = &arguments.coverage_output;
                std::fs::write(path, lcov::write(&self.policies)).map_err(|cause| Fault::File {
                    doing: "write",
                    path: path.clone(),
                    cause,
                })?;
            }
            Some(CoverageKind::Table) => {
                let table = table::write(&self.policies);
                match arguments.format {
                    TestFormat::Human => print!("{table}"),
                    // Standard output is for a program.
                    TestFormat::Json | TestFormat::Junit => eprint!("{table}"),
                }
            }
            None => {}
        }
        let (reached, all) = self.counts();
        let Some(wanted) = arguments.min_coverage else {
            return Ok(true);
        };
        let enough = reached * 100 >= usize::from(wanted) * all;
        if !enough {
            eprintln!(
                "coverage is {:.1} %, less than the {wanted} % that are asked for",
                percent(reached, all)
            );
        }
        Ok(enough)
    }
}

/// Nothing to reach is all of it.
fn percent(reached: usize, all: usize) -> f64 {
    if all == 0 {
        return 100.0;
    }
    #[expect(clippy::cast_precision_loss, reason = "for people")]
    let percent = reached as f64 * 100.0 / all as f64;
    percent
}
