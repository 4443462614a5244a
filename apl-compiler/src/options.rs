//! What a check may be told beside the policy.

use crate::input::File;
use crate::tools::Tools;

/// How to check a policy.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Old spellings, and deny rules that an absent attribute switches off, are errors.
    pub strict: bool,
    /// The tools that the policy is about.
    pub tools: Option<Tools>,
    /// Where the policy comes from: what will differ is reported.
    pub from: Option<Dialect>,
    /// The deployment that binds what the policy leaves open.
    pub deploy: Option<File>,
    /// Seconds since 1970: what has ended by now is reported.
    pub now: Option<u64>,
}

/// An implementation for which a policy may have been written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    /// CPEX 0.2.
    Cpex02,
    /// Praxis Policy Engine 0.5.
    Praxis05,
}

impl Dialect {
    /// What people call it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Cpex02 => "CPEX 0.2",
            Self::Praxis05 => "Praxis Policy 0.5",
        }
    }
}
