//! Constraints on where an operation may be sent.

use alloc::vec::Vec;

use super::{AttrId, DenialId, StrId};

/// One `restrict`. Constraints of one phase are folded: allow lists intersect, deny lists and tiers unite.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Restrict {
    /// The lists, at most one of each kind.
    pub lists: Vec<(ListKind, Members)>,
    /// The ceiling of cost.
    pub max_cost_tier: Option<StrId>,
    /// Labels that a backend must have, with their values.
    pub custom: Vec<(StrId, StrId)>,
    /// `on_empty: fallback`: an allow list that nothing satisfies is given up instead of denying.
    pub fallback: bool,
    /// The denial of a reference that cannot be resolved, of a conflict, and of a list that nothing satisfies.
    pub denial: DenialId,
}

/// Which list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[expect(missing_docs, reason = "the names are the language's own")]
pub enum ListKind {
    AllowModels,
    DenyModels,
    AllowRegions,
    AllowSites,
}

impl ListKind {
    /// Every list.
    pub const ALL: [Self; 4] = [
        Self::AllowModels,
        Self::DenyModels,
        Self::AllowRegions,
        Self::AllowSites,
    ];

    /// The key that policy writes.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::AllowModels => "allow_models",
            Self::DenyModels => "deny_models",
            Self::AllowRegions => "allow_regions",
            Self::AllowSites => "allow_sites",
        }
    }

    /// Whether its members are what may be used.
    #[must_use]
    pub const fn allows(self) -> bool {
        match self {
            Self::AllowModels | Self::AllowRegions | Self::AllowSites => true,
            Self::DenyModels => false,
        }
    }
}

/// What is in a list.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Members {
    /// These; at least one.
    Texts(Vec<StrId>),
    /// The members of a set, or one text. Unresolved: nothing in an allow list, a denial in a deny list.
    Attr(AttrId),
}
