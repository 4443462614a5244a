//! Assertions: names, indices, sizes.

use super::{
    Place, VerifyError,
    entries::{Checked, Entries, at_most, present},
};
use crate::{
    limits,
    model::{Assertions, AssertionsId, Contract, Encoding, HeaderSource, StrId},
};

impl Entries<'_> {
    pub(super) fn assertions(&self) -> Checked {
        for (at, Assertions { request, response }) in self.program.assertions.iter().enumerate() {
            let place = Place::Assertions(at);
            self.contract(request, place)?;
            self.contract(response, place)?;
            let secret = response
                .headers
                .iter()
                .any(|header| matches!(header.source, HeaderSource::Variable(_)));
            if secret {
                return Err(VerifyError::Meaningless {
                    place,
                    what: "a secret for the client",
                });
            }
        }
        Ok(())
    }

    fn contract(&self, contract: &Contract, place: Place) -> Checked {
        at_most(contract.headers.len(), limits::MAX_LIST, "headers", place)?;
        at_most(contract.strip.len(), limits::MAX_LIST, "patterns", place)?;
        contract.strip.iter().try_for_each(|id| self.header(*id, place))?;
        let attrs = self.program.attrs.len();
        for header in &contract.headers {
            self.header(header.name, place)?;
            match &header.source {
                HeaderSource::Attr(attr) => present(attr.0, attrs, "attribute", place)?,
                HeaderSource::Variable(name) => self.text(*name, place)?,
                HeaderSource::Members(members) => {
                    at_most(members.len(), limits::MAX_LIST, "members", place)?;
                    if header.encoding != Encoding::Json {
                        return Err(VerifyError::Meaningless {
                            place,
                            what: "an encoding of several members",
                        });
                    }
                    for (key, attr) in members {
                        self.text(*key, place)?;
                        present(attr.0, attrs, "attribute", place)?;
                    }
                }
            }
        }
        Ok(())
    }

    /// A header's name, or a pattern of such.
    fn header(&self, id: StrId, place: Place) -> Checked {
        self.text(id, place)?;
        let name = self.program.strings.get(id.at()).map_or("", |name| name.as_str());
        let fine = !name.is_empty()
            && name.bytes().all(|byte| {
                byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"!#$%&'*+-.^_`|~?".contains(&byte)
            });
        if fine {
            Ok(())
        } else {
            Err(VerifyError::Meaningless {
                place,
                what: "the name of a header",
            })
        }
    }

    pub(super) fn asserts(&self, id: Option<AssertionsId>, place: Place) -> Checked {
        id.map_or(Ok(()), |id| {
            present(id.0, self.program.assertions.len(), "assertions", place)
        })
    }
}
