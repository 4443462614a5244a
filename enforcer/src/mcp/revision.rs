//! Revisions of MCP, and what each of them allows in framing.

use crate::refusal::Refusal;

/// The revision that a request is made under.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Revision {
    /// The header came with 2025-06-18; a request without it is of an older revision, or the first of a session.
    #[default]
    Unstated,
    /// HTTP+SSE. Some SDKs negotiate it over Streamable HTTP too.
    V2024_11_05,
    /// Streamable HTTP, batches.
    V2025_03_26,
    /// No batches any more; the version header.
    V2025_06_18,
    /// Streams that a server closes and a client polls.
    V2025_11_25,
    /// Stateless: no sessions, no GET, no resumption; method and name are repeated in headers.
    V2026_07_28,
}

/// What `MCP-Protocol-Version` may say.
const KNOWN: &[(&str, Revision)] = &[
    ("2024-11-05", Revision::V2024_11_05),
    ("2025-03-26", Revision::V2025_03_26),
    ("2025-06-18", Revision::V2025_06_18),
    ("2025-11-25", Revision::V2025_11_25),
    ("2026-07-28", Revision::V2026_07_28),
];

impl Revision {
    /// What the header says.
    ///
    /// # Errors
    ///
    /// A refusal: a revision that is not known here cannot be judged.
    pub(crate) fn read(header: Option<&str>) -> Result<Self, Refusal> {
        let Some(text) = header else {
            return Ok(Self::Unstated);
        };
        KNOWN
            .iter()
            .find(|(name, _)| *name == text)
            .map(|(_, revision)| *revision)
            .ok_or_else(|| {
                let supported: Vec<&str> = KNOWN.iter().map(|(name, _)| *name).collect();
                let reason = format!(
                    "the revision of MCP is not known here; known are {}",
                    supported.join(", ")
                );
                Refusal::unknown_revision(text, &reason)
            })
    }

    /// Its text; empty when it is not stated.
    pub(crate) fn name(self) -> &'static str {
        KNOWN
            .iter()
            .find(|(_, revision)| *revision == self)
            .map_or("", |(name, _)| name)
    }

    /// JSON-RPC batches (2025-03-26 only, and a request that states nothing counts as such).
    pub(crate) const fn has_batches(self) -> bool {
        match self {
            Self::Unstated | Self::V2025_03_26 => true,
            Self::V2024_11_05 | Self::V2025_06_18 | Self::V2025_11_25 | Self::V2026_07_28 => false,
        }
    }

    /// Sessions, GET streams and resumption; otherwise every POST stands for itself and its method and name are repeated
    /// in headers.
    pub(crate) const fn has_sessions(self) -> bool {
        match self {
            Self::Unstated
            | Self::V2024_11_05
            | Self::V2025_03_26
            | Self::V2025_06_18
            | Self::V2025_11_25 => true,
            Self::V2026_07_28 => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_five_revisions_and_no_other() {
        for (name, revision) in KNOWN {
            assert_eq!(Revision::read(Some(name)), Ok(*revision));
            assert_eq!(revision.name(), *name);
        }
        assert_eq!(Revision::read(None), Ok(Revision::Unstated));
        for unknown in ["", "2024-10-07", "2027-01-01", "2025-06-18 ", "latest"] {
            let refusal = Revision::read(Some(unknown)).unwrap_err();
            assert_eq!((refusal.status, refusal.rpc), (400, -32022), "{unknown}");
        }
    }
}
