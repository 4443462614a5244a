//! Which route governs an operation.
//!
//! Every route is found by a hash: of its name, or of a literal part of its pattern. So a look-up costs the same among ten
//! routes and among ten thousand, and arranging the routes costs one pass over them. Hashes collide only where a policy
//! is written for it, and then cost comparisons, nothing else.

mod a2a;
mod http;

pub use a2a::{A2A_METHODS, a2a_operation};
pub(crate) use http::HttpRoutes;
pub use http::{HttpRank, captured, http_rank};

use alloc::vec::Vec;

use crate::{
    model::{EntityKind, Matcher, Program, Route, StrId},
    order::{ByHash, Hash},
};

mod globs;

pub use globs::glob_matches;

use globs::Globs;

/// The routes, arranged for look-up. Scoped routes win over unscoped ones; then an exact name over the longest glob, and
/// a glob over `*`. Of routes that could not be told apart by that, the first in the program's table wins: the compiler
/// puts a route with one name before one with a list, and refuses ties.
#[derive(Debug, Clone, Default)]
pub(crate) struct RouteTable {
    /// By group and name.
    exact: ByHash,
    globs: Globs,
    /// By group.
    any: ByHash,
}

impl RouteTable {
    pub(crate) fn new(program: &Program) -> Self {
        let (mut exact, mut globs, mut any) = (Vec::new(), Vec::new(), Vec::new());
        for (index, route) in (0_u32..).zip(&program.routes) {
            let group = group(route.entity, scope_of(program, route));
            match &route.matcher {
                // Found by path and method: see `http`.
                Matcher::Http { .. } => {}
                Matcher::Exact(name) => {
                    exact.push((group.bytes(text(program, *name).as_bytes()).get(), index))
                }
                Matcher::Glob(pattern) => globs.push((group, text(program, *pattern), index)),
                Matcher::Any => any.push((group.get(), index)),
            }
        }
        Self {
            exact: ByHash::new(&exact),
            globs: Globs::new(&globs),
            any: ByHash::new(&any),
        }
    }
}

/// The routes of a program, for look-up.
#[derive(Debug, Clone, Copy)]
pub struct Routes<'p> {
    pub(crate) program: &'p Program,
    pub(crate) table: &'p RouteTable,
}

impl Routes<'_> {
    /// The index of the route that governs, or `None`: then a fallback does.
    #[must_use]
    pub fn find(&self, entity: EntityKind, name: &str, scope: Option<&str>) -> Option<usize> {
        let scoped = scope.and_then(|scope| self.find_in(entity, name, Some(scope)));
        let route = scoped.or_else(|| self.find_in(entity, name, None))?;
        Some(route as usize)
    }

    fn find_in(&self, entity: EntityKind, name: &str, scope: Option<&str>) -> Option<u32> {
        let group = group(entity, scope);
        let here = |index: u32| {
            let route = self.program.routes.get(index as usize)?;
            let same = route.entity == entity && scope_of(self.program, route) == scope;
            same.then_some(&route.matcher)
        };
        let exact = self.table.exact.candidates(group.bytes(name.as_bytes()).get());
        let exact = exact.iter().copied().find(
            |index| matches!(here(*index), Some(Matcher::Exact(known)) if text(self.program, *known) == name),
        );
        let glob = || {
            self.table.globs.find(group, name, |index| match here(index) {
                Some(Matcher::Glob(pattern)) => Some(text(self.program, *pattern)),
                _ => None,
            })
        };
        let any = || {
            let any = self.table.any.candidates(group.get());
            let mut any = any.iter().copied();
            any.find(|index| matches!(here(*index), Some(Matcher::Any)))
        };
        exact.or_else(glob).or_else(any)
    }
}

/// The hash of a kind and a scope; what a route is found by goes on from it.
fn group(entity: EntityKind, scope: Option<&str>) -> Hash {
    let hash = Hash::NEW.byte(entity as u8);
    match scope {
        // No text holds this byte.
        None => hash.byte(0xff),
        Some(scope) => hash.bytes(scope.as_bytes()).byte(0xfe),
    }
}

fn scope_of<'p>(program: &'p Program, route: &Route) -> Option<&'p str> {
    route.scope.map(|scope| text(program, scope))
}

fn text(program: &Program, id: StrId) -> &str {
    program
        .strings
        .get(id.at())
        .map_or("", alloc::string::String::as_str)
}
