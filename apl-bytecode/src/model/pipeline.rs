//! Field pipelines and scanners.

use alloc::vec::Vec;

use super::{BlockId, DenialId, RegexId, ScannerId, Scopes, StrId};

/// One field's stages: `ssn: "str | redact(!perm.view_ssn)"`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Pipeline {
    /// Which document.
    pub side: Side,
    /// The field. Arrays on the way are fanned out.
    pub path: Vec<PathSeg>,
    /// At least one stage, run left to right.
    pub stages: Vec<Stage>,
    /// The denial of a failing validator; its reason, when it has none, is made from stage and field, never the value.
    pub denial: DenialId,
}

/// Which document a pipeline works on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Side {
    Args,
    Result,
}

/// One segment of a field path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PathSeg {
    /// An object's key (compared case-insensitively when the pipeline has a `redact`), or, if it is all digits, also an
    /// array's index.
    Key(StrId),
    /// `**`: any depth. Only in a pipeline with a `redact`.
    AnyDepth,
}

/// Types a value can be checked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the names are the language's own")]
pub enum TypeCheck {
    Str,
    Int,
    Bool,
    Float,
}

/// One stage.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Stage {
    /// `str`, `int`, `bool`, `float`.
    Type(TypeCheck),
    /// `email`: the WHATWG HTML pattern for `input type=email`.
    Email,
    /// `url`: an absolute `http` or `https` URL with a host.
    Url,
    /// `uuid`: RFC 9562 text form.
    Uuid,
    /// `1..10`, inclusive, integers.
    Range(Option<i64>, Option<i64>),
    /// `len(1..10)`, inclusive, in Unicode scalar values.
    Len(Option<u32>, Option<u32>),
    /// `enum(a, b)`.
    Enum(Vec<StrId>),
    /// `regex(p)`, unanchored.
    Regex(RegexId),
    /// `mask(n)`: all but the last `n` become `*`, and at least half is hidden.
    Mask(u32),
    /// `redact` or `redact(predicate)`: becomes `"[REDACTED]"`. The block is an expression.
    Redact(Option<BlockId>),
    /// `omit`: the field is removed; the pipeline ends.
    Omit,
    /// `hash`: HMAC-SHA-256 under the deployment's key, `hash:` and 32 hex digits.
    Hash,
    /// `taint(label, scopes)`.
    Taint(StrId, Scopes),
    /// `pii.detect`, `pii.redact`, `injection.scan`, `run(pii-scan)` as a stage. `label` is recorded on a find.
    Scan {
        /// The detectors.
        scanner: ScannerId,
        /// What a find does.
        mode: ScanMode,
        /// The session label that a find records.
        label: Option<StrId>,
    },
    /// `required`: the field must be there. Checked before all other stages.
    Required,
}

impl Stage {
    /// Whether it may change the document.
    #[must_use]
    pub const fn edits(&self) -> bool {
        match self {
            Self::Mask(_) | Self::Redact(_) | Self::Omit | Self::Hash => true,
            Self::Scan { mode, .. } => matches!(mode, ScanMode::Redact),
            Self::Type(_)
            | Self::Email
            | Self::Url
            | Self::Uuid
            | Self::Range(..)
            | Self::Len(..)
            | Self::Enum(_)
            | Self::Regex(_)
            | Self::Taint(..)
            | Self::Required => false,
        }
    }
}

/// What a scanner's find does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ScanMode {
    /// Nothing but the label.
    Detect,
    /// The match becomes `[REDACTED]`.
    Redact,
    /// Denies.
    Deny,
}

/// A set of detectors.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Scanner {
    /// The plugin's name, for reasons: `pii-scan`.
    pub name: StrId,
    /// The detectors.
    pub detectors: Vec<Detector>,
    /// The code of a denial, `pii.detected` unless configured.
    pub code: StrId,
}

/// Detectors that the machine has built in. Numbers in the file are stable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Detector {
    Ssn,
    CreditCard,
    Iban,
    Email,
    Phone,
    IpAddress,
    ApiKey,
    PrivateKey,
    Jwt,
    PromptInjection,
    /// A pattern of the policy's own.
    Custom(StrId, RegexId),
}
