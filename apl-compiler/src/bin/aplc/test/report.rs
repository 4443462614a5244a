//! Results for people and as JSON.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::SuiteRan;
use crate::coverage::Coverage;

/// For people: a line for each test, and what is wrong below it.
pub(super) fn human(suites: &[SuiteRan]) -> String {
    let mut out = String::new();
    let (mut passed, mut failed, mut broken) = (0, 0, 0);
    for suite in suites {
        let file = suite.file.display();
        let _ = writeln!(out, "{file}");
        if let Some(why) = &suite.broken {
            broken += 1;
            let _ = writeln!(out, "{}", why.trim_end());
        }
        for test in &suite.tests {
            if test.failures.is_empty() {
                passed += 1;
                let _ = writeln!(out, "  ok    {}", test.name);
                continue;
            }
            failed += 1;
            let _ = writeln!(out, "  FAIL  {}", test.name);
            for failure in &test.failures {
                let step = failure
                    .step
                    .as_ref()
                    .map_or_else(String::new, |step| format!(" in step `{step}`"));
                let _ = writeln!(out, "        {file}:{}{step}", failure.line);
                for line in failure.what.lines() {
                    let _ = writeln!(out, "          {line}");
                }
                for note in &failure.notes {
                    let _ = writeln!(out, "          {note}");
                }
            }
        }
    }
    let files = if broken > 0 {
        format!(", {broken} files that cannot be tested")
    } else {
        String::new()
    };
    let _ = writeln!(out, "{passed} passed, {failed} failed{files}");
    out
}

/// As JSON: `{"passed", "failed", "suites": [{"file", "tests": [{"name", "line", "ok", "failures"}]}], "coverage"}`.
pub(super) fn json(suites: &[SuiteRan], coverage: &Coverage) -> Value {
    let all = || suites.iter().flat_map(|suite| &suite.tests);
    let failed = all().filter(|test| !test.failures.is_empty()).count();
    let list: Vec<Value> = suites
        .iter()
        .map(|suite| {
            let tests: Vec<Value> = suite
                .tests
                .iter()
                .map(|test| {
                    let failures: Vec<Value> = test
                        .failures
                        .iter()
                        .map(|failure| {
                            json!({ "step": failure.step, "line": failure.line, "message": failure.what, "notes": failure.notes })
                        })
                        .collect();
                    json!({
                        "name": test.name,
                        "line": test.line,
                        "ok": test.failures.is_empty(),
                        "ms": test.took.as_secs_f64() * 1000.0,
                        "failures": failures,
                    })
                })
                .collect();
            json!({ "file": suite.file.to_string_lossy(), "broken": suite.broken, "tests": tests })
        })
        .collect();
    json!({
        "passed": all().count() - failed,
        "failed": failed,
        "suites": list,
        "coverage": coverage.json(),
    })
}
