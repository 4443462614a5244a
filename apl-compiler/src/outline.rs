//! A compiled program as people think of it: operations, phases, gates with their conditions, effects, fields.
//!
//! Everything is spelled out; no index into a table is left. Two programs that do the same in the same way have equal
//! outlines but for [`Step::at`], however their tables are ordered, and whatever layer a rule came from but for its code.
//! `aplc diff`, `aplc graph` and the proof of `aplc migrate` stand on it.

mod expression;
mod identities;
mod lines;
mod phase;
mod spell;

use apl_bytecode::{Delivery, Enforcement, EntityKind, Matcher, Position, Program, Unmatched};

use spell::text;

pub use lines::lines;

/// A program.
#[derive(Debug, Clone, PartialEq)]
pub struct Outline {
    /// Operations that no route matches are allowed.
    pub unmatched_allowed: bool,
    /// The caller's credentials never go on to a backend.
    pub never_forward_credentials: bool,
    /// Nothing is released before its record is on disk.
    pub waits_for_records: bool,
    /// Records carry what the program read.
    pub captures: bool,
    /// The static attributes, as the text of one JSON object; empty: there are none.
    pub data: String,
    /// Credentials by plugin name.
    pub identities: Vec<IdentityView>,
    /// Routes in the order of the program, then what governs everything else.
    pub operations: Vec<Operation>,
    /// Pinned tools, by server.
    pub pins: Vec<PinsView>,
    /// `engine_settings.public_paths`; `None`: the defaults.
    pub public_paths: Option<Vec<String>>,
}

/// The pinned tools of one server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PinsView {
    /// The server's scope.
    pub scope: Option<String>,
    /// Tools without a pin are hidden and denied.
    pub hides_unpinned: bool,
    /// Name and digest, in the order of the names.
    pub tools: Vec<(String, String)>,
}

/// What a caller is told to acquire.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChallengeView {
    /// OAuth scopes.
    pub scopes: Vec<String>,
    /// Lists show the entry with what is missing.
    pub annotates: bool,
}

/// A credential.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdentityView {
    /// The plugin's name.
    pub name: String,
    /// Everything about it, spelled out: role, header, claim map.
    pub what: String,
    /// Each issuer.
    pub issuers: Vec<IssuerView>,
}

/// An issuer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IssuerView {
    /// `iss`.
    pub issuer: String,
    /// Empty: any.
    pub audiences: Vec<String>,
    /// Names.
    pub algorithms: Vec<String>,
    /// Seconds.
    pub leeway_s: u32,
    /// The keys in the policy, if there.
    pub jwks: Option<String>,
}

/// A route, or what governs operations without one.
#[derive(Debug, Clone, PartialEq)]
pub struct Operation {
    /// `tool:pay`, `tool:hr-*`, `tool:pay@scope`, `any other tool`, `housekeeping`.
    pub name: String,
    /// It is a route.
    pub route: bool,
    /// The kind; `None`: housekeeping.
    pub entity: Option<EntityKind>,
    /// Names of the credentials that it needs.
    pub identities: Vec<String>,
    /// Before the call.
    pub pre: Vec<Step>,
    /// After it.
    pub post: Vec<Step>,
    /// The custom denial, spelled out.
    pub response: Option<String>,
    /// Headers that it asserts, spelled out.
    pub assertions: Option<String>,
    /// What a caller lacks who is denied here.
    pub challenge: Option<ChallengeView>,
    /// Results that cannot be parsed pass.
    pub pass_unparseable: bool,
    /// Recorded only, until this second (0: for ever); `None`: enforced.
    pub shadow: Option<u64>,
    /// `owner`.
    pub owner: Option<String>,
    /// `file:line`.
    pub at: Option<String>,
}

/// A step.
#[derive(Debug, Clone)]
pub struct Step {
    /// What it does.
    pub kind: StepKind,
    /// `file:line` of what was written.
    pub at: Option<String>,
}

// Where something was written is not what it does.
impl PartialEq for Step {
    fn eq(&self, other: &Self) -> bool {
        self.kind == other.kind
    }
}

/// What a step does.
#[derive(Debug, Clone, PartialEq)]
pub enum StepKind {
    /// Denies when the condition holds.
    Gate {
        /// The condition.
        when: String,
        /// What a denial says.
        denial: DenialView,
    },
    /// Under a condition.
    When {
        /// The condition.
        condition: String,
        /// The steps under it.
        then: Vec<Step>,
        /// The denial when the condition cannot be evaluated.
        denial: DenialView,
    },
    /// A decision. What stands behind it runs only when it allows.
    Decision {
        /// The expression.
        expression: String,
        /// When it does not hold; the last of them denies.
        on_deny: Vec<Step>,
    },
    /// Always denies.
    Deny(DenialView),
    /// A field's pipeline.
    Field {
        /// `args.a.b`.
        path: String,
        /// Stages in order.
        stages: Vec<String>,
        /// The denial of a validator.
        denial: DenialView,
    },
    /// Looks for something in the whole document.
    Scan {
        /// The scanner with its detectors.
        scanner: String,
        /// The denial of a find.
        denial: DenialView,
    },
    /// Sets a label.
    Taint {
        /// The label.
        label: String,
        /// `session`, `message`, `subject`.
        scopes: Vec<&'static str>,
        /// Seconds; 0: the store's default.
        ttl_s: u32,
    },
    /// Reads the labels that the session carries.
    LoadLabels,
    /// Mints a credential.
    Delegate(DelegateView),
    /// Asks a human, a decision point or a counter, or narrows where the request goes.
    Ask(String),
    /// Writes a record.
    Audit {
        /// The plugin.
        plugin: String,
        /// Waits until it is written.
        durable: bool,
    },
}

/// What a denial says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DenialView {
    /// The code that a client sees.
    pub code: String,
    /// Where the step stands: `routes.tool:pay.pre_invocation[1]`.
    pub position: String,
    /// The reason.
    pub reason: Option<String>,
}

/// A delegation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DelegateView {
    /// The delegator.
    pub delegator: String,
    /// The target.
    pub target: String,
    /// The audience.
    pub audience: String,
    /// Scopes in written order.
    pub permissions: Vec<String>,
    /// Whose authority.
    pub subject: String,
    /// Who acts.
    pub actor: Option<String>,
    /// What else a Biscuit is narrowed to.
    pub narrowed: Vec<String>,
    /// A failure goes on.
    pub goes_on: bool,
}

/// Spells a program out.
#[must_use]
pub fn outline(program: &Program) -> Outline {
    let routes = program.routes.iter().enumerate().map(|(at, route)| Operation {
        name: route_name(program, route),
        route: true,
        entity: Some(route.entity),
        identities: identities::names(program, &route.identities),
        pre: phase::steps(program, route.pre),
        post: phase::steps(program, route.post),
        response: route
            .response
            .as_ref()
            .map(|response| spell::response(program, response)),
        assertions: route.assertions.map(|id| spell::assertions(program, id)),
        challenge: program
            .challenges
            .iter()
            .find(|challenge| usize::try_from(challenge.route) == Ok(at))
            .map(|challenge| ChallengeView {
                scopes: spell::texts(program, &challenge.scopes),
                annotates: challenge.annotates,
            }),
        pass_unparseable: route.pass_unparseable,
        shadow: shadow(route.enforcement),
        owner: route.owner.map(|owner| text(program, owner)),
        at: u32::try_from(at)
            .ok()
            .and_then(|at| spell::place(program, Position::Route(at))),
    });
    let fallbacks = program.fallbacks.iter().map(|fallback| Operation {
        name: match fallback.entity {
            Some(entity) => format!("any other {}", entity.name()),
            None => "housekeeping".to_owned(),
        },
        route: false,
        entity: fallback.entity,
        identities: identities::names(program, &fallback.identities),
        pre: phase::steps(program, fallback.pre),
        post: phase::steps(program, fallback.post),
        response: program
            .settings
            .response
            .as_ref()
            .filter(|_| fallback.entity == Some(EntityKind::Http))
            .map(|response| spell::response(program, response)),
        assertions: fallback.assertions.map(|id| spell::assertions(program, id)),
        challenge: None,
        pass_unparseable: false,
        shadow: shadow(program.settings.enforcement),
        owner: None,
        at: None,
    });
    Outline {
        unmatched_allowed: program.settings.unmatched == Unmatched::Allow,
        never_forward_credentials: program.settings.never_forward_credentials,
        waits_for_records: program.settings.delivery == Delivery::Durable,
        captures: program.settings.capture,
        data: program.data.clone(),
        identities: identities::views(program),
        operations: routes.chain(fallbacks).collect(),
        pins: program
            .pins
            .iter()
            .map(|pins| spell::pins(program, pins))
            .collect(),
        public_paths: program
            .public_paths
            .as_ref()
            .map(|paths| spell::texts(program, paths)),
    }
}

const fn shadow(enforcement: Enforcement) -> Option<u64> {
    match enforcement {
        Enforcement::Enforce => None,
        Enforcement::Shadow(until) => Some(until),
    }
}

/// `tool:pay@scope`.
#[must_use]
pub fn route_name(program: &Program, route: &apl_bytecode::Route) -> String {
    let name = match &route.matcher {
        Matcher::Exact(id) | Matcher::Glob(id) => text(program, *id),
        Matcher::Any => "*".to_owned(),
        Matcher::Http {
            path,
            prefix,
            methods,
        } => {
            let methods: Vec<String> = methods.iter().map(|id| text(program, *id)).collect();
            let below = match (text(program, *path).as_str(), prefix) {
                (_, true) => "/**",
                ("", false) => "/",
                (_, false) => "",
            };
            let space = if methods.is_empty() { "" } else { " " };
            format!("{}{space}{}{below}", methods.join(","), text(program, *path))
        }
    };
    let scope = route
        .scope
        .map_or_else(String::new, |scope| format!("@{}", text(program, scope)));
    format!("{}:{name}{scope}", route.entity.name())
}

impl StepKind {
    /// In words, on one line.
    #[must_use]
    pub fn words(&self) -> String {
        match self {
            Self::Gate { when, denial } => format!("deny if {when}{}", denial.words()),
            Self::When { condition, then, .. } => format!("when {condition}: {}", all_words(then)),
            Self::Decision { expression, on_deny } => {
                format!("deny unless {expression} [{}]", all_words(on_deny))
            }
            Self::Deny(denial) => format!("deny{}", denial.words()),
            Self::Field { path, stages, .. } => format!("{path}: {}", stages.join(" | ")),
            Self::Scan { scanner, .. } => format!("scan for {scanner}"),
            Self::Taint { label, scopes, ttl_s } => {
                let ttl = if *ttl_s == 0 {
                    String::new()
                } else {
                    format!(" for {ttl_s} s")
                };
                format!("label {label} on {}{ttl}", scopes.join(", "))
            }
            Self::LoadLabels => "read labels".to_owned(),
            Self::Delegate(delegate) => delegate.words(),
            Self::Ask(words) => words.clone(),
            Self::Audit { plugin, durable } => {
                format!(
                    "record to {plugin}{}",
                    if *durable { ", and wait for it" } else { "" }
                )
            }
        }
    }
}

fn all_words(steps: &[Step]) -> String {
    steps
        .iter()
        .map(|step| step.kind.words())
        .collect::<Vec<_>>()
        .join("; ")
}

impl ChallengeView {
    /// In words, on one line.
    #[must_use]
    pub fn words(&self) -> String {
        let lists = if self.annotates { ", and lists say so" } else { "" };
        format!("needs the scopes {}{lists}", self.scopes.join(" "))
    }
}

impl PinsView {
    /// The server, in words.
    #[must_use]
    pub fn server(&self) -> String {
        match &self.scope {
            Some(scope) => format!("of {scope}"),
            None => "without a scope".to_owned(),
        }
    }
}

impl DenialView {
    fn words(&self) -> String {
        match &self.reason {
            Some(reason) => format!(" ({}: {reason})", self.code),
            None => format!(" ({})", self.code),
        }
    }
}

impl DelegateView {
    fn words(&self) -> String {
        let permissions = if self.permissions.is_empty() {
            "no scopes".to_owned()
        } else {
            self.permissions.join(" ")
        };
        let actor = self
            .actor
            .as_ref()
            .map_or_else(String::new, |actor| format!(", {actor} acting"));
        let narrowed = match self.narrowed.as_slice() {
            [] => String::new(),
            narrowed => format!(", narrowed to {}", narrowed.join(" and ")),
        };
        let goes_on = if self.goes_on {
            ", going on if that fails"
        } else {
            ""
        };
        format!(
            "delegate by {} to {} for audience {} with {permissions}, as {}{actor}{narrowed}{goes_on}",
            self.delegator, self.target, self.audience, self.subject
        )
    }
}
