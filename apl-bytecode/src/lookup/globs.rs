//! Patterns, arranged so that a name meets only those whose literal ends it has.

use alloc::{string::String, vec::Vec};
use core::cmp::{Ordering, Reverse};

/// The patterns of one group of routes. A look-up costs a binary search for each *shape* (a length of the literal text in
/// front of the first wildcard with a length of that behind the last), of which real policies have a handful, however
/// many patterns there are.
#[derive(Debug, Clone, Default)]
pub(super) struct Globs {
    /// Longest first, in bytes; of equal length the first in the table first. An index is a rank.
    patterns: Vec<(String, usize)>,
    /// Ranks, ordered by literal front, literal back, rank.
    order: Vec<usize>,
    /// The shapes that occur.
    shapes: Vec<(usize, usize)>,
}

impl Globs {
    pub(super) fn new(mut patterns: Vec<(String, usize)>) -> Self {
        // Stable: of two patterns of one length the first in the table stays first.
        patterns.sort_by_key(|(pattern, _)| Reverse(pattern.len()));
        let mut order: Vec<usize> = (0..patterns.len()).collect();
        order.sort_by(|a, b| ends_at(&patterns, *a).cmp(&ends_at(&patterns, *b)).then(a.cmp(b)));
        let mut shapes: Vec<(usize, usize)> = patterns
            .iter()
            .map(|(pattern, _)| {
                let (front, back) = ends(pattern);
                (front.len(), back.len())
            })
            .collect();
        shapes.sort_unstable();
        shapes.dedup();
        Self {
            patterns,
            order,
            shapes,
        }
    }

    /// The route of the longest pattern that matches.
    pub(super) fn find(&self, name: &str) -> Option<usize> {
        let best = self
            .shapes
            .iter()
            .filter_map(|shape| self.best(name, *shape))
            .min()?;
        self.patterns.get(best).map(|(_, route)| *route)
    }

    /// The lowest rank of one shape.
    fn best(&self, name: &str, (front, back): (usize, usize)) -> Option<usize> {
        let wanted = (name.get(..front)?, name.get(name.len().checked_sub(back)?..)?);
        let compare = |rank: &usize| ends_at(&self.patterns, *rank).cmp(&wanted);
        let first = self.order.partition_point(|rank| compare(rank) == Ordering::Less);
        self.order
            .get(first..)?
            .iter()
            .take_while(|rank| compare(rank) == Ordering::Equal)
            .copied()
            .find(|rank| {
                self.patterns
                    .get(*rank)
                    .is_some_and(|(pattern, _)| glob_matches(pattern, name))
            })
    }
}

/// The literal text before the first wildcard and behind the last.
fn ends(pattern: &str) -> (&str, &str) {
    let wildcard = ['*', '?'];
    let front = pattern.find(wildcard).unwrap_or(pattern.len());
    let back = pattern
        .rfind(wildcard)
        .map_or(pattern.len(), |at| at.saturating_add(1));
    (
        pattern.get(..front).unwrap_or_default(),
        pattern.get(back..).unwrap_or_default(),
    )
}

fn ends_at(patterns: &[(String, usize)], rank: usize) -> (&str, &str) {
    patterns.get(rank).map_or(("", ""), |(pattern, _)| ends(pattern))
}

/// Whether a name matches a pattern of literal characters, `*` (any run, also an empty one) and `?` (one character).
///
/// Takes at most `pattern` times `name` steps: only the last `*` is ever gone back to.
#[must_use]
pub fn glob_matches(pattern: &str, name: &str) -> bool {
    let (mut pattern, mut name) = (pattern.chars(), name.chars());
    let mut star = None;
    loop {
        let (mut next_pattern, mut next_name) = (pattern.clone(), name.clone());
        match (next_pattern.next(), next_name.next()) {
            (None, None) => return true,
            (Some('*'), _) => {
                star = Some((next_pattern.clone(), name.clone()));
                pattern = next_pattern;
            }
            (Some(wanted), Some(found)) if wanted == '?' || wanted == found => {
                pattern = next_pattern;
                name = next_name;
            }
            (Some(_) | None, _) => {
                // The last `*` takes one character more.
                let Some((behind, mut run)) = star.take() else {
                    return false;
                };
                if run.next().is_none() {
                    return false;
                }
                pattern = behind.clone();
                name = run.clone();
                star = Some((behind, run));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::indexing_slicing, clippy::arithmetic_side_effects, reason = "tests")]

    use alloc::{string::String, vec::Vec};

    use super::glob_matches;

    #[test]
    fn globs_match_runs_and_single_characters() {
        for (pattern, name, expected) in [
            ("hr-*", "hr-pay", true),
            ("hr-*", "hr-", true),
            ("hr-*", "hr", false),
            ("*", "", true),
            ("?", "", false),
            ("?", "ä", true),
            ("a*b*c", "a-b-b-c", true),
            ("a*b*c", "a-c-b", false),
            ("*a", "aaab", false),
            ("**a", "a", true),
            ("a?c", "abc", true),
            ("", "", true),
            ("", "x", false),
            ("*-?", "x-", false),
        ] {
            assert_eq!(glob_matches(pattern, name), expected, "{pattern} on {name}");
        }
    }

    /// The way before there was an index.
    fn one_by_one(patterns: &[(String, usize)], name: &str) -> Option<usize> {
        let mut patterns = patterns.to_vec();
        patterns.sort_by_key(|(pattern, _)| core::cmp::Reverse(pattern.len()));
        patterns
            .iter()
            .find(|(pattern, _)| glob_matches(pattern, name))
            .map(|(_, route)| *route)
    }

    #[test]
    fn the_index_finds_what_trying_each_pattern_finds() {
        let pieces = ["*", "?", "a", "b", "ä", "-"];
        let word = |mut number: usize, length: usize, from: &[&str]| {
            let mut text = String::new();
            for _ in 0..length {
                text.push_str(from[number % from.len()]);
                number /= from.len();
            }
            text
        };
        let mut seed = 1_usize;
        let mut next = || {
            seed = seed
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            seed >> 33
        };
        for round in 0..300 {
            let patterns: Vec<(String, usize)> = (0..round % 40)
                .map(|route| (word(next(), next() % 6, &pieces), route))
                .collect();
            let index = super::Globs::new(patterns.clone());
            for _ in 0..40 {
                let name = word(next(), next() % 6, &pieces[2..]);
                assert_eq!(
                    index.find(&name),
                    one_by_one(&patterns, &name),
                    "{name} in {patterns:?}"
                );
            }
        }
    }
}
