//! Coverage for people.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::PathBuf;

use super::percent;
use super::points::Points;

/// Longest text of a rule that is shown.
const WIDTH: usize = 72;

/// A line for each rule: how often it was reached, and what did not happen.
pub(super) fn write(policies: &BTreeMap<PathBuf, Points>) -> String {
    let mut out = String::new();
    for (path, points) in policies {
        let (reached, all) = points.counts();
        let _ = writeln!(
            out,
            "\n{}: {:.1} % ({reached} of {all})",
            path.display(),
            percent(reached, all)
        );
        let _ = writeln!(out, "  line   hits  rule");
        let mut file = points.rules.values().next().map_or("", |rule| rule.file.as_str());
        for (place, rule) in &points.rules {
            // A policy may be a folder.
            if rule.file != file {
                file = &rule.file;
                let _ = writeln!(out, "  {file}");
            }
            let text: String = rule.text.chars().take(WIDTH).collect();
            let _ = writeln!(out, "  {:>4} {:>6}  {text}", place.line, rule.hits);
            if rule.hits == 0 {
                let _ = writeln!(out, "{:15}never reached", "");
                continue;
            }
            for way in rule.missing() {
                let _ = writeln!(out, "{:15}never {way}", "");
            }
        }
    }
    out
}
