//! Which route governs an HTTP request: by path and method.
//!
//! A path is compared segment by segment, decoded and without a slash at its end: the host has refused what could be read
//! in more than one way. In a pattern `{name}` is one whole segment, and `*` any run of characters within one.

use alloc::{string::String, vec::Vec};
use core::cmp::Reverse;

use super::glob_matches;
use crate::order::sort_by;

use crate::model::{EntityKind, Matcher, Program, StrId};

/// HTTP routes, best first.
#[derive(Debug, Clone, Default)]
pub(crate) struct HttpRoutes(Vec<Entry>);

#[derive(Debug, Clone)]
struct Entry {
    index: usize,
    scope: Option<String>,
    path: String,
    prefix: bool,
    methods: Vec<String>,
}

/// How good a match is, the best first: a literal path over a pattern, then the longer literal front, a whole path over a
/// prefix, more literal characters, and the fewer methods. Two routes of one rank that match the same requests are a tie.
pub type HttpRank = (bool, Reverse<usize>, bool, Reverse<usize>, usize);

/// The rank of an HTTP route with this path and so many methods; none stands for all.
#[must_use]
pub fn http_rank(path: &str, prefix: bool, methods: usize) -> HttpRank {
    let (mut front, mut literal, mut open) = (None, 0_usize, false);
    for (at, byte) in path.bytes().enumerate() {
        match byte {
            b'{' => open = true,
            b'}' => open = false,
            _ => {}
        }
        if matches!(byte, b'{' | b'*') {
            front = front.or(Some(at));
        } else if !open && byte != b'}' {
            literal = literal.saturating_add(1);
        }
    }
    let pattern = prefix || front.is_some();
    let methods = methods.wrapping_sub(1);
    (
        pattern,
        Reverse(front.unwrap_or(path.len())),
        prefix,
        Reverse(literal),
        methods,
    )
}

/// The name that a segment of a pattern captures under.
#[must_use]
pub fn captured(segment: &str) -> Option<&str> {
    segment.strip_prefix('{')?.strip_suffix('}')
}

impl HttpRoutes {
    pub(crate) fn new(program: &Program) -> Self {
        let text = |id: &StrId| program.strings.get(id.at()).cloned().unwrap_or_default();
        let mut entries = Vec::new();
        for (index, route) in program.routes.iter().enumerate() {
            if let (
                EntityKind::Http,
                Matcher::Http {
                    path,
                    prefix,
                    methods,
                },
            ) = (route.entity, &route.matcher)
            {
                entries.push(Entry {
                    index,
                    scope: route.scope.as_ref().map(text),
                    path: text(path),
                    prefix: *prefix,
                    methods: methods.iter().map(text).collect(),
                });
            }
        }
        let rank = |entry: &Entry| {
            (
                entry.scope.is_none(),
                http_rank(&entry.path, entry.prefix, entry.methods.len()),
            )
        };
        sort_by(&mut entries, |a, b| rank(a).cmp(&rank(b)));
        Self(entries)
    }

    /// The index of the route. `path` is decoded, without its query; `fold`: letters match in any case.
    pub(crate) fn find(&self, path: &str, method: &str, scope: Option<&str>, fold: bool) -> Option<usize> {
        let entry = self.0.iter().find(|entry| {
            let here = match &entry.scope {
                None => true,
                Some(wanted) => scope == Some(wanted.as_str()),
            };
            let method = entry.methods.is_empty()
                || entry
                    .methods
                    .iter()
                    .any(|wanted| wanted.eq_ignore_ascii_case(method));
            here && method && entry.covers(path, fold)
        })?;
        Some(entry.index)
    }

    /// Whether there are any.
    pub(crate) const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Entry {
    fn covers(&self, path: &str, fold: bool) -> bool {
        let mut found = path.trim_end_matches('/').split('/');
        for wanted in self.path.trim_end_matches('/').split('/') {
            if !found.next().is_some_and(|found| matches(wanted, found, fold)) {
                return false;
            }
        }
        self.prefix || found.next().is_none()
    }
}

fn matches(wanted: &str, found: &str, fold: bool) -> bool {
    if captured(wanted).is_some() {
        !found.is_empty()
    } else if !wanted.contains('*') {
        wanted == found || (fold && wanted.eq_ignore_ascii_case(found))
    } else if fold {
        glob_matches(&wanted.to_ascii_lowercase(), &found.to_ascii_lowercase())
    } else {
        !found.is_empty() && glob_matches(wanted, found)
    }
}
