//! Headers that policy asserts, to the backend and to the client.

use super::{Exchange, Out};
use crate::{Command, Engine, HeaderList, assertions::HeaderEdits, refusal::Refusal};

impl Exchange {
    /// What the laws of all operations assert: of the request, and of the response.
    ///
    /// # Errors
    ///
    /// A header that must be there has no value, or operations of one batch need different values for one.
    pub(super) fn assertions(&self, engine: &Engine) -> Result<(HeaderEdits, HeaderEdits), Refusal> {
        let program = &engine.program;
        let (mut request, mut response) = (HeaderEdits::default(), HeaderEdits::default());
        for work in self.works() {
            let id = work.law.assertions;
            let Some(assertions) = id.and_then(|id| program.program().assertions.get(id.at())) else {
                continue;
            };
            for (contract, all) in [
                (&assertions.request, &mut request),
                (&assertions.response, &mut response),
            ] {
                let edits = HeaderEdits::of(program, contract, &work.facts, &engine.variables)?;
                if !all.join(edits) {
                    return Err(Refusal::operation(
                        "batch.credential_conflict",
                        "the batch needs different values in one header: send its messages one by one",
                    ));
                }
            }
        }
        Ok((request, response))
    }

    /// Removes what the client must not say, and says it.
    pub(super) fn assert_request(&self, edits: &HeaderEdits, out: &mut Out) {
        for name in self.head.asserted.iter().filter(|name| edits.removes(name)) {
            out.push(Command::RemoveRequestHeader { name: name.clone() });
        }
        for (name, value) in &edits.set {
            out.push(Command::SetRequestHeader {
                name: name.clone(),
                value: value.clone(),
            });
        }
    }
}

/// Removes what only the proxy may say to the client, and says it.
pub(super) fn assert_response(edits: &HeaderEdits, headers: &HeaderList, out: &mut Out) {
    for (name, _) in headers {
        let name = String::from_utf8_lossy(name);
        if edits.removes(&name) {
            out.push(Command::RemoveResponseHeader {
                name: name.into_owned(),
            });
        }
    }
    for (name, value) in &edits.set {
        out.push(Command::SetResponseHeader {
            name: name.clone(),
            value: value.clone(),
        });
    }
}
