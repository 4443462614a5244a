//! Which route governs an HTTP request: by path and method.
//!
//! A path is compared segment by segment, decoded and without a slash at its end: the host has refused what could be read
//! in more than one way. In a pattern `{name}` is one whole segment, and `*` any run of characters within one.
//!
//! Routes are found by a hash of their literal segments, and of the ends of the others. So a look-up costs one or a few
//! hashes of the path for each *form* that occurs in the operation's scope: how many segments there are, and which of them
//! are literal. Real policies have a handful.

use alloc::{borrow::Cow, vec, vec::Vec};
use core::cmp::Reverse;

use super::{
    glob_matches,
    globs::{Shape, found_by},
    group, scope_of, text,
};
use crate::{
    model::{EntityKind, Matcher, Program},
    order::{ByHash, Hash},
};

/// HTTP routes, arranged for look-up.
#[derive(Debug, Clone, Default)]
pub(crate) struct HttpRoutes {
    /// Routes by scope and literal text, letters in lower case.
    patterns: ByHash,
    /// Places in `forms` by scope.
    scopes: ByHash,
    forms: Vec<Form>,
}

/// What the paths of some routes are found by.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Form {
    /// The hash of the scope.
    scope: u32,
    /// Only the first segments are looked at.
    prefix: bool,
    /// Of each segment; `None`: all of it. At most one is found by a run inside.
    segments: Vec<Option<Shape>>,
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
        let (mut patterns, mut forms) = (Vec::new(), Forms::for_routes(program.routes.len()));
        for (index, route) in (0_u32..).zip(&program.routes) {
            if let (EntityKind::Http, Matcher::Http { path, prefix, .. }) = (route.entity, &route.matcher) {
                let scope = group(EntityKind::Http, scope_of(program, route));
                let path = lower(text(program, *path));
                patterns.push((forms.take(scope, &path, *prefix), index));
            }
        }
        let kept = forms.kept;
        let scopes: Vec<(u32, u32)> = kept.iter().map(|form| form.scope).zip(0..).collect();
        Self {
            patterns: ByHash::new(&patterns),
            scopes: ByHash::new(&scopes),
            forms: kept,
        }
    }

    /// The index of the route: one of the scope before one of none, then by rank, then the first in the table. `path` is
    /// decoded, without its query; `fold`: letters match in any case.
    pub(crate) fn find(
        &self,
        program: &Program,
        path: &str,
        method: &str,
        scope: Option<&str>,
        fold: bool,
    ) -> Option<usize> {
        let lower = lower(path);
        let lower: Vec<&[u8]> = segments(&lower).map(str::as_bytes).collect();
        let find_in = |scope: Option<&str>| {
            let mut best: Option<(HttpRank, u32)> = None;
            let mut meet = |hash: u32| {
                for index in self.patterns.candidates(hash) {
                    let rank = rank_of(program, *index, path, method, scope, fold);
                    if let Some(rank) = rank.map(|rank| (rank, *index))
                        && best.is_none_or(|best| rank < best)
                    {
                        best = Some(rank);
                    }
                }
            };
            let group = group(EntityKind::Http, scope);
            for at in self.scopes.candidates(group.get()) {
                if let Some(form) = self.forms.get(*at as usize) {
                    form.hashes(group, &lower, &mut meet);
                }
            }
            best.map(|(_, index)| index as usize)
        };
        let scoped = scope.and_then(|scope| find_in(Some(scope)));
        scoped.or_else(|| find_in(None))
    }

    /// Whether there are any.
    pub(crate) const fn is_empty(&self) -> bool {
        self.forms.is_empty()
    }
}

/// Forms, each once.
struct Forms {
    kept: Vec<Form>,
    /// Places in `kept` and one more, by [`Form::key`]; 0: free. Twice as many as there are routes, so that one is free.
    table: Vec<u32>,
    /// What the next form is put together in: most are known already.
    next: Form,
}

impl Forms {
    fn for_routes(count: usize) -> Self {
        let next = Form {
            scope: 0,
            prefix: false,
            segments: Vec::new(),
        };
        Self {
            kept: Vec::new(),
            table: vec![0; count.saturating_mul(2).next_power_of_two()],
            next,
        }
    }

    /// Keeps the form of a pattern in lower case. The hash that the pattern is found by.
    fn take(&mut self, scope: Hash, path: &str, prefix: bool) -> u32 {
        let hash = self.next.read(scope, path, prefix);
        let mut at = self.next.key() as usize;
        loop {
            let places = self.table.len().wrapping_sub(1);
            let Some(place) = self.table.get_mut(at & places) else {
                return hash;
            };
            match self.kept.get((*place as usize).wrapping_sub(1)) {
                Some(known) if *known == self.next => return hash,
                Some(_) => at = at.wrapping_add(1),
                None => {
                    self.kept.push(self.next.clone());
                    *place = self.kept.len() as u32;
                    return hash;
                }
            }
        }
    }
}

impl Form {
    /// Becomes the form of a pattern in lower case. The hash that the pattern is found by.
    fn read(&mut self, scope: Hash, path: &str, prefix: bool) -> u32 {
        let (mut hash, mut inside) = (begin(scope, prefix), None);
        self.scope = scope.get();
        self.prefix = prefix;
        self.segments.clear();
        for segment in segments(path) {
            let shape = if captured(segment).is_some() {
                Some(Shape::Ends(0, 0))
            } else if segment.as_bytes().contains(&b'*') {
                let (shape, literal) = found_by(segment, inside.is_none());
                match shape {
                    Shape::Ends(..) => hash = ends(hash, literal),
                    Shape::Inside(_) => inside = Some(literal.0),
                }
                Some(shape)
            } else {
                hash = whole(hash, segment.as_bytes());
                None
            };
            self.segments.push(shape);
        }
        inside.map_or(hash, |run| hash.bytes(run)).get()
    }

    /// A number that differs for most forms that differ.
    fn key(&self) -> u32 {
        let number = |hash: Hash, number: usize| hash.byte(number as u8).byte((number >> 8) as u8);
        let hash = Hash::NEW
            .bytes(&self.scope.to_le_bytes())
            .byte(u8::from(self.prefix));
        let hash = self.segments.iter().fold(hash, |hash, shape| match shape {
            None => hash.byte(0),
            Some(Shape::Ends(head, tail)) => number(number(hash.byte(1), *head), *tail),
            Some(Shape::Inside(length)) => number(hash.byte(2), *length),
        });
        hash.get()
    }

    /// Calls `meet` with each hash that a route of this form which covers the path can have.
    fn hashes(&self, scope: Hash, path: &[&[u8]], meet: &mut dyn FnMut(u32)) {
        let many = path.len().cmp(&self.segments.len());
        if many.is_lt() || (many.is_gt() && !self.prefix) {
            return;
        }
        let (mut hash, mut inside) = (begin(scope, self.prefix), None);
        for (shape, segment) in self.segments.iter().zip(path) {
            match shape {
                None => hash = whole(hash, segment),
                Some(Shape::Ends(0, 0)) => {}
                Some(Shape::Ends(head, tail)) => {
                    let behind = segment.len().checked_sub(*tail);
                    let behind = behind.and_then(|at| segment.get(at..));
                    let (Some(front), Some(behind)) = (segment.get(..*head), behind) else {
                        return;
                    };
                    hash = ends(hash, (front, behind));
                }
                Some(Shape::Inside(length)) => inside = Some(segment.windows((*length).max(1))),
            }
        }
        match inside {
            None => meet(hash.get()),
            Some(windows) => windows.for_each(|run| meet(hash.bytes(run).get())),
        }
    }
}

fn begin(scope: Hash, prefix: bool) -> Hash {
    scope.byte(if prefix { 0xfb } else { 0xfa })
}

fn whole(hash: Hash, segment: &[u8]) -> Hash {
    hash.bytes(segment).byte(0xff)
}

fn ends(hash: Hash, (head, tail): (&[u8], &[u8])) -> Hash {
    if head.is_empty() && tail.is_empty() {
        return hash;
    }
    hash.bytes(head).byte(0xfe).bytes(tail).byte(0xfd)
}

/// Letters in lower case.
fn lower(path: &str) -> Cow<'_, str> {
    if path.bytes().any(|byte| byte.is_ascii_uppercase()) {
        Cow::Owned(path.to_ascii_lowercase())
    } else {
        Cow::Borrowed(path)
    }
}

/// The segments of a path; the root has one, which is empty.
fn segments(path: &str) -> impl Iterator<Item = &str> {
    path.trim_end_matches('/').split('/')
}

/// The rank of a route in this scope, if it covers the request.
fn rank_of(
    program: &Program,
    index: u32,
    path: &str,
    method: &str,
    scope: Option<&str>,
    fold: bool,
) -> Option<HttpRank> {
    let route = program.routes.get(index as usize)?;
    let Matcher::Http {
        path: pattern,
        prefix,
        methods,
    } = &route.matcher
    else {
        return None;
    };
    let pattern = text(program, *pattern);
    let mut known = methods.iter().map(|known| text(program, *known));
    let method = methods.is_empty() || known.any(|known| known.eq_ignore_ascii_case(method));
    let here = route.entity == EntityKind::Http && scope_of(program, route) == scope;
    let governs = here && method && covers(pattern, *prefix, path, fold);
    governs.then(|| http_rank(pattern, *prefix, methods.len()))
}

fn covers(pattern: &str, prefix: bool, path: &str, fold: bool) -> bool {
    let mut found = segments(path);
    let mut wanted = segments(pattern);
    wanted.all(|wanted| found.next().is_some_and(|found| matches(wanted, found, fold)))
        && (prefix || found.next().is_none())
}

fn matches(wanted: &str, found: &str, fold: bool) -> bool {
    if captured(wanted).is_some() {
        !found.is_empty()
    } else if !wanted.contains('*') {
        wanted == found || (fold && wanted.eq_ignore_ascii_case(found))
    } else if found.is_empty() {
        false
    } else if fold {
        glob_matches(&wanted.to_ascii_lowercase(), &found.to_ascii_lowercase())
    } else {
        glob_matches(wanted, found)
    }
}
