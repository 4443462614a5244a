//! Routes and where a denial stands.

use alloc::vec::Vec;

use super::{AssertionsId, BlockId, IdentityId, StrId};

/// What kind of thing an operation is on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[expect(missing_docs, reason = "the names are the language's own")]
pub enum EntityKind {
    Tool,
    Prompt,
    Resource,
    Llm,
    A2a,
    Http,
}

impl EntityKind {
    /// The word that policy and codes use.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Tool => "tool",
            Self::Prompt => "prompt",
            Self::Resource => "resource",
            Self::Llm => "llm",
            Self::A2a => "a2a",
            Self::Http => "http",
        }
    }
}

/// One route: everything that governs one operation, layered already.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Route {
    /// The kind of operation.
    pub entity: EntityKind,
    /// Its name or names. A route with a list of names is as many routes, sharing blocks.
    pub matcher: Matcher,
    /// The scope that the traffic entry must have; `None` matches any, after the scoped ones.
    pub scope: Option<StrId>,
    /// `args` pipelines and `pre_invocation` steps, global to route, in order. `None`: nothing to check.
    pub pre: Option<BlockId>,
    /// `result` pipelines and `post_invocation` steps. `None`: the response is not looked at.
    pub post: Option<BlockId>,
    /// Credentials to verify, in order, each mandatory. Empty: anonymous.
    pub identities: Vec<IdentityId>,
    /// Custom denial (`response:`), for HTTP routes.
    pub response: Option<Response>,
    /// `unparseable_result: pass`.
    pub pass_unparseable: bool,
    /// Enforce or shadow.
    pub enforcement: Enforcement,
    /// `owner:`.
    pub owner: Option<StrId>,
    /// Headers that it asserts.
    pub assertions: Option<AssertionsId>,
    /// `meta.tags` and `groups`: the attribute `meta.tags`.
    pub tags: Vec<StrId>,
    /// `meta.properties`: the attributes `meta.properties.*`.
    pub properties: Vec<(StrId, StrId)>,
}

/// How a route is found. Exact beats list beats longest glob beats `*`; the compiler refuses ties.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Matcher {
    /// This name, byte for byte.
    Exact(StrId),
    /// `*` any run, `?` one character.
    Glob(StrId),
    /// `"*"`.
    Any,
    /// An HTTP path, with its methods: upper-case, sorted, none for all.
    Http {
        /// Absolute and decoded, without a slash at its end. `{name}` is one segment, `*` any run within one. A prefix
        /// ends at a segment boundary.
        path: StrId,
        /// A prefix.
        prefix: bool,
        /// The methods.
        methods: Vec<StrId>,
    },
}

/// Whether a route's verdict counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Enforcement {
    /// It does.
    Enforce,
    /// It is recorded only, until this second of the Unix epoch (0: for ever); after it, it counts.
    Shadow(u64),
}

impl Enforcement {
    /// Whether the verdict is only recorded at this moment, in milliseconds of the Unix epoch.
    #[must_use]
    pub const fn is_shadow(self, now_ms: u64) -> bool {
        match self {
            Self::Enforce => false,
            Self::Shadow(0) => true,
            Self::Shadow(until) => now_ms / 1000 < until,
        }
    }
}

/// What governs operations that no route matches.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Fallback {
    /// For which kind; `None`: housekeeping (initialize, ping, lists, notifications).
    pub entity: Option<EntityKind>,
    /// Global and default `args` pipelines and steps.
    pub pre: Option<BlockId>,
    /// Global and default `result` pipelines and steps.
    pub post: Option<BlockId>,
    /// Credentials to verify.
    pub identities: Vec<IdentityId>,
    /// Headers that are asserted.
    pub assertions: Option<AssertionsId>,
}

/// `engine_settings.unmatched`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Unmatched {
    Deny,
    Allow,
}

/// A custom denial.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Response {
    /// HTTP status, 100 to 599; 0: the default.
    pub status: u16,
    /// The body.
    pub body: Option<StrId>,
    /// Headers, in written order.
    pub headers: Vec<(StrId, StrId)>,
}

/// A phase of an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Phase {
    Pre,
    Post,
}

/// The violation code of a denial, and the position of a step.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Code {
    /// The author's own, where the position is not known.
    Text(StrId),
    /// The author's own, of the step at a position: the code that a client sees, and where the step stands.
    Named {
        /// The code.
        code: StrId,
        /// The section.
        source: StrId,
        /// The phase.
        phase: Phase,
        /// Position in that section's list.
        index: u16,
        /// As in [`Code::Step`].
        reactions: Vec<(bool, u16)>,
    },
    /// `<source>.pre_invocation[<index>]`, where source is `routes.tool:pay`, `global`, `groups.hr`, ...
    Step {
        /// The section.
        source: StrId,
        /// The phase.
        phase: Phase,
        /// Position in that section's list.
        index: u16,
        /// Reactions on the way down: `(true, 0)` is `.on_allow[0]`, `(false, 2)` is `.on_deny[2]`.
        reactions: Vec<(bool, u16)>,
    },
    /// `<source>.args.<field>` or `<source>.result.<field>`.
    Field {
        /// The section.
        source: StrId,
        /// `true`: result.
        result: bool,
        /// The field as written.
        field: StrId,
    },
}
