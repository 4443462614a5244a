//! JUnit XML, as continuous-integration servers read it.

use std::fmt::Write as _;
use std::time::Duration;

use super::{Ran, SuiteRan};

/// The whole report.
pub(super) fn write(suites: &[SuiteRan]) -> String {
    let mut out = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    let tests: usize = suites.iter().map(|suite| suite.tests.len()).sum();
    let failures: usize = suites.iter().map(|suite| failed(&suite.tests)).sum();
    let errors = suites.iter().filter(|suite| suite.broken.is_some()).count();
    let _ = writeln!(
        out,
        "<testsuites name=\"aplc test\" tests=\"{}\" failures=\"{failures}\" errors=\"{errors}\">",
        tests + errors
    );
    for suite in suites {
        one(suite, &mut out);
    }
    out.push_str("</testsuites>\n");
    out
}

fn one(suite: &SuiteRan, out: &mut String) {
    let file = escaped(&suite.file.to_string_lossy());
    let took: Duration = suite.tests.iter().map(|test| test.took).sum();
    let errors = usize::from(suite.broken.is_some());
    let _ = writeln!(
        out,
        "  <testsuite name=\"{file}\" tests=\"{}\" failures=\"{}\" errors=\"{errors}\" skipped=\"0\" time=\"{:.3}\">",
        suite.tests.len() + errors,
        failed(&suite.tests),
        took.as_secs_f64()
    );
    if let Some(why) = &suite.broken {
        let _ = writeln!(
            out,
            "    <testcase name=\"the file can be tested\" classname=\"{file}\">\n      <error message=\"it cannot be tested\">{}</error>\n    </testcase>",
            escaped(why)
        );
    }
    for test in &suite.tests {
        let name = escaped(&test.name);
        let time = test.took.as_secs_f64();
        let open = format!(
            "    <testcase name=\"{name}\" classname=\"{file}\" file=\"{file}\" line=\"{}\" time=\"{time:.3}\"",
            test.line
        );
        if test.failures.is_empty() {
            let _ = writeln!(out, "{open}/>");
            continue;
        }
        let _ = writeln!(out, "{open}>");
        // One element for all: several readers take only the first.
        let message = test.failures.first().map_or("", |failure| failure.what.as_str());
        let text: Vec<String> = test
            .failures
            .iter()
            .flat_map(|failure| std::iter::once(&failure.what).chain(&failure.notes).cloned())
            .collect();
        let _ = writeln!(
            out,
            "      <failure message=\"{}\" type=\"expectation\">{}</failure>\n    </testcase>",
            escaped(message),
            escaped(&text.join("\n"))
        );
    }
    out.push_str("  </testsuite>\n");
}

fn failed(tests: &[Ran]) -> usize {
    tests.iter().filter(|test| !test.failures.is_empty()).count()
}

/// Text and attribute values; characters that XML 1.0 cannot hold become U+FFFD.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for ch in text.chars() {
        match ch {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\n' => out.push_str("&#10;"),
            '\t' => out.push_str("&#9;"),
            '\u{0}'..='\u{1f}' | '\u{fffe}' | '\u{ffff}' => out.push('\u{fffd}'),
            ch => out.push(ch),
        }
    }
    out
}
