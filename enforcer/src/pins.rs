//! Pinned definitions of tools (`execution.md` rule 18): what a policy pins, and the mark of one that changed.
//!
//! A mark is a label, `pin:<server>/<tool>`, in a bucket of its own that no subject has: its name is the digest of server,
//! tool and *pinned* digest. So it holds for every caller, and a policy that pins another definition starts without it.

use apl_bytecode::Program;
use apl_vm::{Node, PINNED_MEMBERS, pin_digest};
use companion_protocol::SessionKey;

use crate::{identity::token::text_of, json_text::hex, session::digest};

/// How long a mark lives, in seconds: a hundred years, whatever lifetime a policy gives to labels. An operator clears it.
pub(crate) const MARK_TTL_S: u64 = 3_153_600_000;

/// What the policy says of a tool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pinned<'a> {
    /// Nothing.
    Free,
    /// Its server's tools are pinned, it is not, and `unpinned: hide`.
    Hidden,
    /// Its definition has this digest.
    As(&'a [u8; 32]),
}

/// The pin of a tool. The list of the server's scope counts, and without one the list that has no scope.
pub(crate) fn pinned<'a>(program: &'a Program, scope: Option<&str>, tool: &str) -> Pinned<'a> {
    let of = |wanted: Option<&str>| {
        let same = |id| Some(text_of(program, id)) == wanted;
        let found = |pins: &&apl_bytecode::Pins| match pins.scope {
            Some(id) => same(id),
            None => wanted.is_none(),
        };
        program.pins.iter().find(found)
    };
    let Some(pins) = of(scope).or_else(|| of(None)) else {
        return Pinned::Free;
    };
    let found = pins
        .tools
        .binary_search_by(|pin| text_of(program, pin.name).cmp(tool));
    match found.ok().and_then(|at| pins.tools.get(at)) {
        Some(pin) => Pinned::As(&pin.digest),
        None if pins.hides_unpinned => Pinned::Hidden,
        None => Pinned::Free,
    }
}

/// Whether a definition is another than the pinned one. One that a reader without case could read differently is.
pub(crate) fn is_changed(definition: Node<'_>, pin: &[u8; 32]) -> bool {
    let twin = |key: &&str| definition.folded_twin(key).is_some();
    PINNED_MEMBERS.iter().any(twin) || pin_digest(definition).as_ref() != Ok(pin)
}

/// A mark: a label in its bucket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PinMark {
    /// The bucket.
    pub session: SessionKey,
    /// The label.
    pub label: String,
}

impl PinMark {
    /// The mark that a tool of this server has when it is not as pinned. `scope`: of the server's entries of `protocols`,
    /// empty for none.
    #[must_use]
    pub fn new(scope: &str, tool: &str, pin: &[u8; 32]) -> Self {
        let bucket = hex(&digest(&[b"pin", scope.as_bytes(), tool.as_bytes(), pin]));
        Self {
            session: SessionKey {
                subject: bucket.clone(),
                session: bucket,
            },
            label: ["pin:", scope, "/", tool].concat(),
        }
    }
}
