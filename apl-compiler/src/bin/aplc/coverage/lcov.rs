//! Coverage as an lcov tracefile: lines of the policy with rules on them, and a branch for each way of a condition.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::PathBuf;

use super::points::Points;

/// The tracefile.
pub(super) fn write(policies: &BTreeMap<PathBuf, Points>) -> String {
    let mut out = String::new();
    for (path, points) in policies {
        // Readers expect slashes whatever the system.
        let _ = writeln!(out, "TN:\nSF:{}", path.to_string_lossy().replace('\\', "/"));
        let mut lines: BTreeMap<u32, u64> = BTreeMap::new();
        let mut branches = Vec::new();
        for (place, rule) in &points.rules {
            *lines.entry(place.line).or_default() += rule.hits;
            for condition in &rule.conditions {
                let reached = rule.hits > 0;
                branches.extend(
                    condition
                        .ways
                        .iter()
                        .map(|(_, hits)| (place.line, reached.then_some(*hits))),
                );
            }
        }
        let mut number: BTreeMap<u32, u32> = BTreeMap::new();
        for (line, hits) in &branches {
            let branch = number.entry(*line).or_default();
            // `-`: what decides was not reached at all.
            let taken = hits.map_or_else(|| "-".to_owned(), |hits| hits.to_string());
            let _ = writeln!(out, "BRDA:{line},0,{branch},{taken}");
            *branch += 1;
        }
        let _ = writeln!(out, "BRF:{}", branches.len());
        let _ = writeln!(
            out,
            "BRH:{}",
            branches
                .iter()
                .filter(|(_, hits)| hits.is_some_and(|hits| hits > 0))
                .count()
        );
        for (line, hits) in &lines {
            let _ = writeln!(out, "DA:{line},{hits}");
        }
        let _ = writeln!(
            out,
            "LF:{}\nLH:{}",
            lines.len(),
            lines.values().filter(|hits| **hits > 0).count()
        );
        out.push_str("end_of_record\n");
    }
    out
}
