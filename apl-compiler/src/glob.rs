//! Patterns of routes: `*` is any run of characters, `?` is one.

use std::collections::BTreeMap;
use std::ops::Bound;

/// Whether a name is a pattern.
pub(crate) fn is_glob(name: &str) -> bool {
    name.contains(['*', '?'])
}

/// Whether some name matches both patterns.
pub(crate) fn overlap(a: &str, b: &str) -> bool {
    // Most patterns that meet are told apart by their ends.
    let (x, y) = (front(a), front(b));
    let (u, v) = (back(a), back(b));
    if !(x.starts_with(y) || y.starts_with(x)) || !(u.ends_with(v) || v.ends_with(u)) {
        return false;
    }
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    // row[j]: the suffix of `a` that the outer loop is at, and the suffix of `b` from j on, have a common name.
    let mut below = vec![false; b.len() + 1];
    for i in (0..=a.len()).rev() {
        let mut row = vec![false; b.len() + 1];
        for j in (0..=b.len()).rev() {
            let (x, y) = (a.get(i), b.get(j));
            let at = |cells: &[bool], j: usize| cells.get(j).copied().unwrap_or(false);
            let value = match (x, y) {
                (None, None) => true,
                (Some('*'), _) if at(&below, j) => true,
                (_, Some('*')) if at(&row, j + 1) => true,
                (Some('*'), Some(_)) => at(&row, j + 1),
                (Some(_), Some('*')) => at(&below, j),
                (Some(x), Some(y)) => (x == y || *x == '?' || *y == '?') && at(&below, j + 1),
                (None, Some(_)) | (Some(_), None) => false,
            };
            if let Some(cell) = row.get_mut(j) {
                *cell = value;
            }
        }
        below = row;
    }
    below.first().copied().unwrap_or(false)
}

/// The literal text before the first wildcard. Two patterns overlap only if one's begins with the other's.
fn front(pattern: &str) -> &str {
    let end = pattern.find(['*', '?']).unwrap_or(pattern.len());
    pattern.get(..end).unwrap_or("")
}

/// The literal text behind the last wildcard: likewise, from the end.
fn back(pattern: &str) -> &str {
    let start = pattern.rfind(['*', '?']).map_or(0, |at| at + 1);
    pattern.get(start..).unwrap_or("")
}

fn backwards(text: &str) -> String {
    text.chars().rev().collect()
}

/// Patterns by their literal ends, so that a pattern meets only those that it can overlap.
#[derive(Default)]
pub(crate) struct Rivals {
    fronts: Beginnings,
    /// Read backwards.
    backs: Beginnings,
}

impl Rivals {
    /// Adds a pattern.
    pub(crate) fn insert(&mut self, pattern: &str, index: usize) {
        self.fronts.insert(front(pattern).to_owned(), index);
        self.backs.insert(backwards(back(pattern)), index);
    }

    /// The patterns that may overlap this one, in the order of their numbers: by the end at which there are fewer.
    pub(crate) fn of(&self, pattern: &str) -> Vec<usize> {
        let back = backwards(back(pattern));
        let by_front: Vec<usize> = self.fronts.rivals(front(pattern)).collect();
        let by_back: Vec<usize> = self.backs.rivals(&back).take(by_front.len()).collect();
        let mut rivals = if by_back.len() < by_front.len() {
            by_back
        } else {
            by_front
        };
        rivals.sort_unstable();
        rivals
    }
}

/// Numbers by texts of which one may begin with another.
#[derive(Default)]
struct Beginnings(BTreeMap<String, Vec<usize>>);

impl Beginnings {
    fn insert(&mut self, text: String, index: usize) {
        self.0.entry(text).or_default().push(index);
    }

    /// Those of texts that this one begins with, or that begin with it.
    fn rivals<'s>(&'s self, front: &'s str) -> impl Iterator<Item = usize> + 's {
        let shorter = front
            .char_indices()
            .filter_map(move |(end, _)| self.0.get(front.get(..end)?));
        let longer = self
            .0
            .range::<str, _>((Bound::Included(front), Bound::Unbounded))
            .take_while(move |(other, _)| other.starts_with(front))
            .map(|(_, list)| list);
        shorter.chain(longer).flatten().copied()
    }
}

#[cfg(test)]
mod tests {
    use super::{Rivals, overlap};

    #[test]
    fn rivals_are_all_patterns_that_overlap() {
        let patterns = [
            "*", "a*", "ab*", "ab?", "b*", "?b*", "abc-*", "ä*", "*-c", "*c", "?-ä",
        ];
        let mut known = Rivals::default();
        for (index, pattern) in patterns.into_iter().enumerate() {
            known.insert(pattern, index);
        }
        for pattern in patterns {
            let rivals = known.of(pattern);
            for (index, other) in patterns.into_iter().enumerate() {
                assert!(
                    !overlap(pattern, other) || rivals.contains(&index),
                    "{pattern} {other}"
                );
            }
        }
        assert!(
            !known.of("b*").contains(&1) && !known.of("*d").contains(&8),
            "what cannot overlap is not met"
        );
    }

    #[test]
    fn finds_a_name_that_both_match() {
        for (a, b) in [("hr-*", "*-x"), ("a?c", "a*c"), ("*", "?"), ("a*b*", "*ab")] {
            assert!(overlap(a, b) && overlap(b, a), "{a} {b}");
        }
        for (a, b) in [("hr-*", "it-*"), ("a?", "a"), ("?", "??"), ("*a", "*b")] {
            assert!(!overlap(a, b) && !overlap(b, a), "{a} {b}");
        }
    }
}
