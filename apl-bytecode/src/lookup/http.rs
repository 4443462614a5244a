//! Which route governs an HTTP request: by path and method.

use alloc::{string::String, vec::Vec};
use core::cmp::Reverse;

use crate::order::sort_by;

use crate::model::{EntityKind, Matcher, Program, StrId};

/// HTTP routes, best first: a route with the operation's scope, then an exact path over the longest prefix, then the fewer
/// methods, then the order of the table.
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
                entry.prefix,
                Reverse(entry.path.len()),
                entry.methods.is_empty(),
                entry.methods.len(),
            )
        };
        sort_by(&mut entries, |a, b| rank(a).cmp(&rank(b)));
        Self(entries)
    }

    /// The index of the route. `path` is the raw path, without its query.
    pub(crate) fn find(&self, path: &str, method: &str, scope: Option<&str>) -> Option<usize> {
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
            here && method && entry.covers(path)
        })?;
        Some(entry.index)
    }

    /// Whether there are any.
    pub(crate) const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Entry {
    fn covers(&self, path: &str) -> bool {
        match path.strip_prefix(self.path.as_str()) {
            Some("") => true,
            Some(rest) => self.prefix && rest.starts_with('/'),
            None => false,
        }
    }
}
