//! Patterns, arranged so that a name meets only those whose literal text it has.

use alloc::vec::Vec;
use core::cmp::Reverse;

use crate::order::{ByHash, Hash};

/// Patterns found by what of them is literal: the ends, or, where that is more, the longest run between two wildcards. A
/// look-up costs one or a few look-ups for each *shape* that occurs with the operation's kind and scope; real policies have a
/// handful, however many patterns there are.
#[derive(Debug, Clone, Default)]
pub(super) struct Globs {
    /// Routes by group and literal text.
    patterns: ByHash,
    /// Places in `shapes` by group.
    groups: ByHash,
    shapes: Vec<Shape>,
}

/// Which of a pattern's characters it is found by, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    /// So many before the first wildcard, and so many behind the last.
    Ends(usize, usize),
    /// So many somewhere between: each place of a name where they could stand is looked at.
    Inside(usize),
}

impl Globs {
    /// Each pattern with the hash of its kind and scope, and its route.
    pub(super) fn new(patterns: &[(Hash, &str, u32)]) -> Self {
        let mut entries = Vec::new();
        let mut shapes: Vec<(u32, Shape)> = Vec::new();
        for (group, pattern, route) in patterns {
            let (shape, literal) = found_by(pattern, true);
            entries.push((literal_hash(*group, shape, literal), *route));
            shapes.push((group.get(), shape));
        }
        // Equal shapes come together, but for those whose numbers collide: they are looked at twice then.
        let keys: Vec<u32> = shapes.iter().map(|(group, shape)| shape.key(*group)).collect();
        let mut kept: Vec<(u32, Shape)> = Vec::new();
        for at in crate::order::order_by_key(&keys) {
            if let Some(shape) = shapes.get(at as usize)
                && kept.last() != Some(shape)
            {
                kept.push(*shape);
            }
        }
        let groups: Vec<(u32, u32)> = (0_u32..)
            .zip(&kept)
            .map(|(at, (group, _))| (*group, at))
            .collect();
        Self {
            patterns: ByHash::new(&entries),
            groups: ByHash::new(&groups),
            shapes: kept.into_iter().map(|(_, shape)| shape).collect(),
        }
    }

    /// The route of the longest pattern that matches; of equal length the first in the table. `pattern` gives that of a
    /// route in this group.
    pub(super) fn find<'p>(
        &self,
        group: Hash,
        name: &str,
        pattern: impl Fn(u32) -> Option<&'p str>,
    ) -> Option<u32> {
        let mut best: Option<(Reverse<usize>, u32)> = None;
        let mut meet = |hash: u32| {
            for route in self.patterns.candidates(hash) {
                let Some(pattern) = pattern(*route) else { continue };
                let rank = (Reverse(pattern.len()), *route);
                if best.is_none_or(|best| rank < best) && glob_matches(pattern, name) {
                    best = Some(rank);
                }
            }
        };
        let bytes = name.as_bytes();
        for at in self.groups.candidates(group.get()) {
            match self.shapes.get(*at as usize) {
                Some(shape @ Shape::Ends(front, back)) => {
                    let tail = bytes.len().checked_sub(*back).and_then(|at| bytes.get(at..));
                    if let (Some(head), Some(tail)) = (bytes.get(..*front), tail) {
                        meet(literal_hash(group, *shape, (head, tail)));
                    }
                }
                Some(shape @ Shape::Inside(length)) => {
                    for window in bytes.windows((*length).max(1)) {
                        meet(literal_hash(group, *shape, (window, &[])));
                    }
                }
                None => {}
            }
        }
        best.map(|(_, route)| route)
    }
}

impl Shape {
    /// A number that differs for most shapes that differ.
    fn key(self, group: u32) -> u32 {
        let number = match self {
            Self::Ends(front, back) => front.wrapping_mul(0x0101).wrapping_add(back),
            Self::Inside(length) => !length,
        };
        group ^ (number as u32).wrapping_mul(0x9E37_79B1)
    }
}

fn literal_hash(group: Hash, shape: Shape, (head, tail): (&[u8], &[u8])) -> u32 {
    let kind = match shape {
        Shape::Ends(..) => 0xfd,
        Shape::Inside(_) => 0xfc,
    };
    group.byte(kind).bytes(head).byte(0xff).bytes(tail).get()
}

/// What a pattern is found by; `inside`: a run between two wildcards may be it.
pub(super) fn found_by(pattern: &str, inside: bool) -> (Shape, (&[u8], &[u8])) {
    let mut runs = pattern.split(['*', '?']);
    let head = runs.next().unwrap_or_default().as_bytes();
    let tail = runs.next_back().unwrap_or_default().as_bytes();
    let mut longest: &[u8] = &[];
    for run in runs.map(str::as_bytes) {
        if run.len() > longest.len() {
            longest = run;
        }
    }
    if inside && longest.len() > head.len().saturating_add(tail.len()) {
        (Shape::Inside(longest.len()), (longest, &[]))
    } else {
        (Shape::Ends(head.len(), tail.len()), (head, tail))
    }
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

    use super::{Hash, glob_matches};

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
            let group = Hash::NEW.byte(1);
            let entries: Vec<(Hash, &str, u32)> = patterns
                .iter()
                .map(|(pattern, route)| (group, pattern.as_str(), *route as u32))
                .collect();
            let index = super::Globs::new(&entries);
            let find = |name: &str| {
                let pattern = |route: u32| patterns.get(route as usize).map(|(pattern, _)| pattern.as_str());
                index.find(group, name, pattern).map(|route| route as usize)
            };
            for _ in 0..40 {
                let name = word(next(), next() % 6, &pieces[2..]);
                assert_eq!(
                    find(&name),
                    one_by_one(&patterns, &name),
                    "{name} in {patterns:?}"
                );
            }
        }
    }
}
