//! Routes, fallbacks, and the debug section that points at them.

use alloc::vec::Vec;

use super::{
    Place, VerifyError,
    entries::{Checked, Entries, at_most, present},
};
use crate::{
    limits,
    model::{
        BlockId, BlockKind, Debug, EntityKind, Fallback, IdentityId, Matcher, Position, Response, Route,
    },
};

impl Entries<'_> {
    pub(super) fn route(&self, route: &Route, place: Place) -> Checked {
        match &route.matcher {
            Matcher::Exact(name) | Matcher::Glob(name) => self.text(*name, place)?,
            Matcher::Any => {}
            Matcher::Http { path, methods, .. } => {
                if route.entity != EntityKind::Http {
                    return Err(VerifyError::Meaningless {
                        place,
                        what: "an HTTP path",
                    });
                }
                self.text(*path, place)?;
                self.texts(methods, "methods", place)?;
            }
        }
        self.asserts(route.assertions, place)?;
        self.texts(&route.tags, "tags", place)?;
        at_most(route.properties.len(), limits::MAX_LIST, "properties", place)?;
        for (name, value) in &route.properties {
            self.text(*name, place)?;
            self.text(*value, place)?;
        }
        self.option(route.scope, place)?;
        self.option(route.owner, place)?;
        self.phases(route.pre, route.post, &route.identities, place)?;
        self.response(route.response.as_ref(), place)
    }

    pub(super) fn response(&self, response: Option<&Response>, place: Place) -> Checked {
        let Some(Response {
            status,
            body,
            headers,
        }) = response
        else {
            return Ok(());
        };
        // Below 200 it would be no answer at all.
        if *status != 0 && !(200..=599).contains(status) {
            return Err(VerifyError::Meaningless {
                place,
                what: "a status",
            });
        }
        self.option(*body, place)?;
        at_most(headers.len(), limits::MAX_LIST, "headers", place)?;
        for (name, value) in headers {
            self.text(*name, place)?;
            self.text(*value, place)?;
        }
        Ok(())
    }

    fn phases(
        &self,
        pre: Option<BlockId>,
        post: Option<BlockId>,
        identities: &[IdentityId],
        place: Place,
    ) -> Checked {
        for block in [pre, post].into_iter().flatten() {
            self.block(block, BlockKind::Steps, place)?;
        }
        at_most(identities.len(), limits::MAX_LIST, "identities", place)?;
        let table = self.program.identities.len();
        identities
            .iter()
            .try_for_each(|id| present(id.0, table, "identity", place))
    }

    pub(super) fn fallbacks(&self) -> Checked {
        self.response(self.program.settings.response.as_ref(), Place::Tables)?;
        // One for each kind and one for none: there are a handful.
        let mut seen = Vec::new();
        for (
            at,
            Fallback {
                entity,
                pre,
                post,
                identities,
                assertions,
            },
        ) in self.program.fallbacks.iter().enumerate()
        {
            let place = Place::Fallback(at);
            self.phases(*pre, *post, identities, place)?;
            self.asserts(*assertions, place)?;
            if seen.contains(entity) {
                return Err(VerifyError::DuplicateFallback { place });
            }
            seen.push(*entity);
        }
        Ok(())
    }

    /// Spans are in order, so that a reader may search them, and point into the program.
    pub(super) fn debug(&self, debug: &Debug) -> Checked {
        let place = Place::Debug;
        let mut last = None;
        for (position, span) in &debug.spans {
            if last.is_some_and(|last| last >= *position) {
                return Err(VerifyError::Meaningless {
                    place,
                    what: "an order of spans",
                });
            }
            last = Some(*position);
            present(u32::from(span.file), debug.files.len(), "file", place)?;
            match *position {
                Position::Instr(block, index) => {
                    let code = self
                        .program
                        .blocks
                        .get(block as usize)
                        .map_or(0, |block| block.code.len());
                    present(index, code, "instruction", place)?;
                }
                Position::Pipeline(pipeline) => {
                    present(pipeline, self.program.pipelines.len(), "pipeline", place)?
                }
                Position::Route(route) => present(route, self.program.routes.len(), "route", place)?,
            }
        }
        Ok(())
    }
}
