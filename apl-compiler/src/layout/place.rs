//! What part of a policy a place in the tree is: it decides the order of keys, the blank lines and the quotes.

/// A part of a policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    Top,
    /// `plugins` and `routes`: lists of maps.
    Plugins,
    Routes,
    /// `groups`, `policies` and `defaults`: maps of sections.
    Sections,
    Plugin,
    Section,
    Route,
    /// `authorization`.
    Phases,
    /// A list of steps or effects.
    Steps,
    /// A step that is a map.
    Step,
    /// The body of a decision point.
    Decision,
    /// `args` and `result`.
    Fields,
    /// Anything else.
    Other,
}

use Place::{
    Decision, Fields, Other, Phases, Plugin, Plugins, Route, Routes, Section, Sections, Step, Steps, Top,
};

impl Place {
    /// The place under a key, of a map; under any item, of a list.
    pub(super) fn child(self, key: &str) -> Self {
        match self {
            Top => match key {
                "plugins" => Plugins,
                "routes" => Routes,
                "groups" => Sections,
                "global" => Section,
                _ => Other,
            },
            Section | Route | Phases => match key {
                "policy" | "post_policy" | "pre_invocation" | "post_invocation" => Steps,
                "authorization" => Phases,
                // The wrapper carries the same keys.
                "apl" => self,
                "args" | "result" => Fields,
                "policies" | "defaults" => Sections,
                _ => Other,
            },
            Step => match key {
                "do" | "sequential" | "parallel" | "on_allow" | "on_deny" => Steps,
                "cel" | "cedar" | "opa" | "authzen" | "nemo" => Decision,
                _ if key.starts_with("pdp(") => Decision,
                "when" | "delegate" | "restrict" | "id" => Other,
                // A predicate with a list of effects.
                _ => Steps,
            },
            Decision => match key {
                "on_allow" | "on_deny" => Steps,
                _ => Other,
            },
            Plugins => Plugin,
            Routes => Route,
            Sections => Section,
            Steps => Step,
            Plugin | Fields | Other => Other,
        }
    }

    /// The canonical order of its keys; what is not named comes behind, as written. Empty: nothing is moved.
    pub(super) const fn order(self) -> &'static [&'static str] {
        match self {
            Top => &[
                "plugin_dirs",
                "plugin_settings",
                "engine_settings",
                "secrets",
                "plugins",
                "global",
                "groups",
                "routes",
            ],
            Route | Section => &[
                "tool",
                "prompt",
                "resource",
                "llm",
                "a2a",
                "http",
                "description",
                "metadata",
                "owner",
                "meta",
                "groups",
                "enforcement",
                "until",
                "when",
                "authentication",
                "identity",
                "session_store",
                "pdp",
                "attribute_files",
                "defaults",
                "policies",
                "plugins",
                "apl",
                // In the order in which they run.
                "args",
                "authorization",
                "policy",
                "pre_invocation",
                "unparseable_result",
                "result",
                "post_policy",
                "post_invocation",
                "assertions",
                "response",
            ],
            Plugin => &[
                "name",
                "kind",
                "description",
                "version",
                "author",
                "tags",
                "hooks",
                "mode",
                "priority",
                "on_error",
                "capabilities",
                "conditions",
                "config",
            ],
            Phases => &["pre_invocation", "post_invocation"],
            Plugins | Routes | Sections | Steps | Step | Decision | Fields | Other => &[],
        }
    }

    /// Whether a blank line stands between its parts.
    pub(super) const fn spaced(self) -> bool {
        match self {
            Top | Plugins | Routes | Sections => true,
            Plugin | Section | Route | Phases | Steps | Step | Decision | Fields | Other => false,
        }
    }

    /// Whether scalars in it are rules or pipelines, which are written in quotes.
    pub(super) const fn quoted(self) -> bool {
        match self {
            Steps | Fields => true,
            Top | Plugins | Routes | Sections | Plugin | Section | Route | Phases | Step | Decision
            | Other => false,
        }
    }
}
