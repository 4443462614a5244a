//! Which route governs an operation.

mod http;

pub(crate) use http::HttpRoutes;

use alloc::{collections::BTreeMap, string::String, vec::Vec};
use core::cmp::Reverse;

use crate::model::{EntityKind, Matcher, Program, StrId};

/// The routes, arranged for look-up. Scoped routes win over unscoped ones; then an exact name over the longest glob, and
/// a glob over `*`. Of routes that could not be told apart by that, the first in the program's table wins: the compiler
/// puts a route with one name before one with a list, and refuses ties.
#[derive(Debug, Clone, Default)]
pub struct RouteTable {
    groups: BTreeMap<(EntityKind, Option<String>), Group>,
}

#[derive(Debug, Clone, Default)]
struct Group {
    exact: BTreeMap<String, usize>,
    /// Longest first, in bytes.
    globs: Vec<(String, usize)>,
    any: Option<usize>,
}

impl RouteTable {
    pub(crate) fn new(program: &Program) -> Self {
        let text = |id: StrId| program.strings.get(id.at()).cloned().unwrap_or_default();
        let mut groups: BTreeMap<_, Group> = BTreeMap::new();
        for (index, route) in program.routes.iter().enumerate() {
            let group = groups.entry((route.entity, route.scope.map(text))).or_default();
            match &route.matcher {
                // Found by path and method: see `http`.
                Matcher::Http { .. } => {}
                Matcher::Exact(name) => {
                    group.exact.entry(text(*name)).or_insert(index);
                }
                Matcher::Glob(pattern) => group.globs.push((text(*pattern), index)),
                Matcher::Any => {
                    group.any.get_or_insert(index);
                }
            }
        }
        for group in groups.values_mut() {
            // Stable: of two patterns of one length the first in the table stays first.
            group.globs.sort_by_key(|(pattern, _)| Reverse(pattern.len()));
        }
        Self { groups }
    }

    /// The index of the route that governs, or `None`: then a fallback does.
    #[must_use]
    pub fn find(&self, entity: EntityKind, name: &str, scope: Option<&str>) -> Option<usize> {
        let scoped = scope.and_then(|scope| self.groups.get(&(entity, Some(String::from(scope)))));
        let unscoped = self.groups.get(&(entity, None));
        [scoped, unscoped]
            .into_iter()
            .flatten()
            .find_map(|group| group.find(name))
    }
}

impl Group {
    fn find(&self, name: &str) -> Option<usize> {
        let exact = self.exact.get(name).copied();
        let glob = || {
            self.globs
                .iter()
                .find(|(pattern, _)| glob_matches(pattern, name))
                .map(|(_, index)| *index)
        };
        exact.or_else(glob).or(self.any)
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
}
