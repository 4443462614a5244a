//! Patterns of routes: `*` is any run of characters, `?` is one.

use std::collections::BTreeMap;
use std::ops::Bound;

/// Whether a name is a pattern.
pub(crate) fn is_glob(name: &str) -> bool {
    name.contains(['*', '?'])
}

/// Whether some name matches both patterns.
pub(crate) fn overlap(a: &str, b: &str) -> bool {
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
pub(crate) fn front(pattern: &str) -> &str {
    let end = pattern.find(['*', '?']).unwrap_or(pattern.len());
    pattern.get(..end).unwrap_or("")
}

/// Patterns by their literal fronts, so that a pattern meets only those that it can overlap.
#[derive(Default)]
pub(crate) struct Fronts<'p>(BTreeMap<&'p str, Vec<usize>>);

impl<'p> Fronts<'p> {
    /// Adds a pattern.
    pub(crate) fn insert(&mut self, pattern: &'p str, index: usize) {
        self.0.entry(front(pattern)).or_default().push(index);
    }

    /// The patterns that may overlap this one, in the order in which they were added within one front.
    pub(crate) fn rivals<'s>(&'s self, pattern: &'s str) -> impl Iterator<Item = usize> + 's {
        let front = front(pattern);
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
    use super::{Fronts, overlap};

    #[test]
    fn rivals_are_all_patterns_that_overlap() {
        let patterns = ["*", "a*", "ab*", "ab?", "b*", "?b*", "abc-*", "ä*"];
        let mut fronts = Fronts::default();
        for (index, pattern) in patterns.into_iter().enumerate() {
            fronts.insert(pattern, index);
        }
        for pattern in patterns {
            let rivals: Vec<usize> = fronts.rivals(pattern).collect();
            for (index, other) in patterns.into_iter().enumerate() {
                assert!(
                    !overlap(pattern, other) || rivals.contains(&index),
                    "{pattern} {other}"
                );
            }
        }
        assert!(
            !fronts.rivals("b*").any(|index| index == 1),
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
