//! `aplc test`.

mod files;
mod judge;
mod junit;
mod report;
mod watch;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use apl_compiler::diagnostics::{Diagnostic, to_report};
use apl_compiler::{Compilation, Source};

use super::case::{self, Suite, Test};
use super::command::{Test as Arguments, TestFormat};
use super::coverage::Coverage;
use super::place::Places;
use super::proxy::Proxy;
use super::{End, Fault, input};
use judge::Failure;

/// What came of one test.
struct Ran {
    name: String,
    line: u32,
    took: Duration,
    failures: Vec<Failure>,
}

/// What came of one file.
struct SuiteRan {
    file: PathBuf,
    tests: Vec<Ran>,
    /// The file or its policy cannot be tested.
    broken: Option<String>,
}

/// Runs tests, once or whenever something changes.
pub(crate) fn run(arguments: &Arguments) -> Result<End, Fault> {
    if arguments.watch {
        return watch::run(arguments);
    }
    once(arguments).map(|(end, _)| end)
}

/// Runs all tests once. Also returns the files that had a say.
fn once(arguments: &Arguments) -> Result<(End, Vec<PathBuf>), Fault> {
    let files = files::find(&arguments.paths)?;
    let mut involved = files.clone();
    let mut ran = Vec::new();
    let mut coverage = Coverage::default();
    for file in &files {
        ran.push(suite(file, arguments, &mut coverage, &mut involved)?);
    }
    match arguments.format {
        TestFormat::Human => print!("{}", report::human(&ran)),
        TestFormat::Json => println!(
            "{}",
            serde_json::to_string_pretty(&report::json(&ran, &coverage))?
        ),
        TestFormat::Junit => print!("{}", junit::write(&ran)),
    }
    let enough = match arguments.coverage {
        Some(_) => coverage.write(arguments)?,
        None => true,
    };
    involved.sort();
    involved.dedup();
    let fine = enough
        && ran
            .iter()
            .all(|suite| suite.broken.is_none() && suite.tests.iter().all(|test| test.failures.is_empty()));
    let end = if fine { End::Fine } else { End::PolicyAtFault };
    Ok((end, involved))
}

fn suite(
    file: &Path,
    arguments: &Arguments,
    coverage: &mut Coverage,
    involved: &mut Vec<PathBuf>,
) -> Result<SuiteRan, Fault> {
    let broken = |why: String| SuiteRan {
        file: file.to_owned(),
        tests: Vec::new(),
        broken: Some(why),
    };
    let source = Source::new(file.to_string_lossy(), input::text(file)?);
    let suite = match case::suite(file, source) {
        Ok(suite) => suite,
        Err((source, wrong)) => return Ok(broken(told(&wrong, &[source]))),
    };
    involved.push(suite.policy.clone());
    // Not a fault of the invocation: an editor may be about to put it back.
    let compilation = match input::policy(&suite.policy) {
        Ok(compilation) => compilation,
        Err(fault) => return Ok(broken(fault.to_string())),
    };
    // A policy may be a folder, and name files besides.
    involved.extend(
        compilation
            .sources
            .iter()
            .map(|source| PathBuf::from(&source.name)),
    );
    let Some(output) = &compilation.output else {
        return Ok(broken(told(&compilation.diagnostics, &compilation.sources)));
    };
    coverage.begin(&suite.policy, output.program.program(), &compilation.sources);
    let mut tests = Vec::new();
    for test in selected(&suite, arguments.filter.as_deref()) {
        let began = Instant::now();
        let failures = match Proxy::new(&output.program) {
            Ok(proxy) => one(test, proxy, &compilation, &suite.policy, coverage),
            Err(error) => return Ok(broken(error.to_string())),
        };
        tests.push(Ran {
            name: test.name.clone(),
            line: test.line,
            took: began.elapsed(),
            failures,
        });
    }
    Ok(SuiteRan {
        file: file.to_owned(),
        tests,
        broken: None,
    })
}

fn selected<'s>(suite: &'s Suite, filter: Option<&'s str>) -> impl Iterator<Item = &'s Test> {
    suite
        .tests
        .iter()
        .filter(move |test| filter.is_none_or(|filter| test.name.contains(filter)))
}

/// Runs one test. A step that fails ends it: what follows stands on it.
fn one(
    test: &Test,
    mut proxy: Proxy,
    compilation: &Compilation,
    policy: &Path,
    coverage: &mut Coverage,
) -> Vec<Failure> {
    for step in &test.steps {
        let outcome = match proxy.run(&step.given) {
            Ok(outcome) => outcome,
            Err(error) => return vec![Failure::new(step, error.to_string())],
        };
        coverage.see(policy, &outcome.trace);
        let places = Places::new(proxy.program(), &compilation.sources);
        let failures = judge::judge(step, &outcome, proxy.program(), &places);
        if !failures.is_empty() {
            return failures;
        }
    }
    Vec::new()
}

/// Diagnostics as a text.
fn told(wrong: &[Diagnostic], sources: &[Source]) -> String {
    wrong
        .iter()
        .filter(|diagnostic| diagnostic.severity == apl_compiler::Severity::Error)
        .map(|diagnostic| format!("{:?}", to_report(diagnostic, sources)))
        .collect()
}
