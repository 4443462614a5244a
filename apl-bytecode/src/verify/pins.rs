//! Pins, public paths and challenges: texts, orders, sizes.

use super::{
    Place, VerifyError,
    entries::{Checked, Entries, at_least_one, at_most, present},
};
use crate::{limits, model::StrId};

impl Entries<'_> {
    /// Whoever looks a pin up relies on one entry a scope, and on the order of names.
    pub(super) fn pins(&self) -> Checked {
        for (at, pins) in self.program.pins.iter().enumerate() {
            let place = Place::Pins(at);
            self.option(pins.scope, place)?;
            let scope = |id: Option<StrId>| id.map(|id| self.spelled(id));
            let others = self.program.pins.iter().take(at);
            if others
                .into_iter()
                .any(|other| scope(other.scope) == scope(pins.scope))
            {
                return Err(VerifyError::Meaningless {
                    place,
                    what: "a second list for its scope",
                });
            }
            at_most(pins.tools.len(), limits::MAX_LIST, "tools", place)?;
            let mut last: Option<&str> = None;
            for pin in &pins.tools {
                self.text(pin.name, place)?;
                let name = self.spelled(pin.name);
                if last.is_some_and(|last| last >= name) {
                    return Err(VerifyError::Meaningless {
                        place,
                        what: "tools out of order",
                    });
                }
                last = Some(name);
            }
        }
        Ok(())
    }

    pub(super) fn public_paths(&self) -> Checked {
        let paths = self.program.public_paths.as_deref().unwrap_or_default();
        self.texts(paths, "public paths", Place::Tables)
    }

    pub(super) fn challenges(&self) -> Checked {
        let mut next = 0;
        for (at, challenge) in self.program.challenges.iter().enumerate() {
            let place = Place::Challenge(at);
            present(challenge.route, self.program.routes.len(), "route", place)?;
            if challenge.route < next {
                return Err(VerifyError::Meaningless {
                    place,
                    what: "a route out of order",
                });
            }
            next = challenge.route.saturating_add(1);
            at_least_one(challenge.scopes.len(), "scope", place)?;
            self.texts(&challenge.scopes, "scopes", place)?;
        }
        Ok(())
    }

    fn spelled(&self, id: StrId) -> &str {
        self.program.strings.get(id.at()).map_or("", |text| text)
    }
}
