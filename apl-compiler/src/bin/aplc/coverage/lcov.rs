//! Coverage as an lcov tracefile: lines of the policy with rules on them, and a branch for each way of a condition.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::PathBuf;

use super::points::{Points, Rule};

/// The tracefile: a record for each file of each policy.
pub(super) fn write(policies: &BTreeMap<PathBuf, Points>) -> String {
    let mut files: BTreeMap<&str, Vec<(u32, &Rule)>> = BTreeMap::new();
    for (place, rule) in policies.values().flat_map(|points| &points.rules) {
        files.entry(&rule.file).or_default().push((place.line, rule));
    }
    let mut out = String::new();
    for (file, rules) in files {
        record(file, &rules, &mut out);
    }
    out
}

fn record(file: &str, rules: &[(u32, &Rule)], out: &mut String) {
    // Readers expect slashes whatever the system.
    let _ = writeln!(out, "TN:\nSF:{}", file.replace('\\', "/"));
    let mut lines: BTreeMap<u32, u64> = BTreeMap::new();
    let mut branches = Vec::new();
    for (line, rule) in rules {
        *lines.entry(*line).or_default() += rule.hits;
        let ways = rule.conditions.iter().flat_map(|condition| &condition.ways);
        branches.extend(ways.map(|(_, hits)| (*line, (rule.hits > 0).then_some(*hits))));
    }
    let mut number: BTreeMap<u32, u32> = BTreeMap::new();
    for (line, hits) in &branches {
        let branch = number.entry(*line).or_default();
        // `-`: what decides was not reached at all.
        let taken = hits.map_or_else(|| "-".to_owned(), |hits| hits.to_string());
        let _ = writeln!(out, "BRDA:{line},0,{branch},{taken}");
        *branch += 1;
    }
    let taken = branches
        .iter()
        .filter(|(_, hits)| hits.is_some_and(|hits| hits > 0));
    let _ = writeln!(out, "BRF:{}\nBRH:{}", branches.len(), taken.count());
    for (line, hits) in &lines {
        let _ = writeln!(out, "DA:{line},{hits}");
    }
    let hit = lines.values().filter(|hits| **hits > 0);
    let _ = writeln!(out, "LF:{}\nLH:{}\nend_of_record", lines.len(), hit.count());
}
