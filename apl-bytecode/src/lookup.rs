//! Which route governs an operation.

mod a2a;
mod http;

pub use a2a::{A2A_METHODS, a2a_operation};
pub(crate) use http::HttpRoutes;
pub use http::{HttpRank, captured, http_rank};

use alloc::{collections::BTreeMap, string::String, vec::Vec};

use crate::model::{EntityKind, Matcher, Program, StrId};

mod globs;

pub use globs::glob_matches;

use globs::Globs;

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
    globs: Globs,
    any: Option<usize>,
}

impl RouteTable {
    pub(crate) fn new(program: &Program) -> Self {
        let text = |id: StrId| program.strings.get(id.at()).cloned().unwrap_or_default();
        let mut groups: BTreeMap<_, Group> = BTreeMap::new();
        let mut patterns: BTreeMap<_, Vec<(String, usize)>> = BTreeMap::new();
        for (index, route) in program.routes.iter().enumerate() {
            let key = (route.entity, route.scope.map(text));
            let group = groups.entry(key.clone()).or_default();
            match &route.matcher {
                // Found by path and method: see `http`.
                Matcher::Http { .. } => {}
                Matcher::Exact(name) => {
                    group.exact.entry(text(*name)).or_insert(index);
                }
                Matcher::Glob(pattern) => patterns.entry(key).or_default().push((text(*pattern), index)),
                Matcher::Any => {
                    group.any.get_or_insert(index);
                }
            }
        }
        for (key, patterns) in patterns {
            groups.entry(key).or_default().globs = Globs::new(patterns);
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
        exact.or_else(|| self.globs.find(name)).or(self.any)
    }
}
