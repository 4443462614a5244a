//! Closed key tables.

mod deploy;
mod identity;

/// A section of the document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are those of the sections")]
pub enum Section {
    Top,
    Global,
    Defaults,
    Bundle,
    Route,
    HttpSelector,
    Meta,
    Plugin,
    Override,
    EngineSettings,
    PluginSettings,
    Response,
    JwtConfig,
    TrustedIssuer,
    DecodingKey,
    MeshConfig,
    MeshMetadata,
    MeshIssuer,
    SpiffeConfig,
    ApiKeyConfig,
    Credential,
    KeyProvider,
    KeyCache,
    ClaimMap,
    SubjectMap,
    ClientMap,
    WorkloadMap,
    ClaimRule,
    ClaimPath,
    Claims,
    OauthConfig,
    TokenCache,
    SecretDelegator,
    BiscuitDelegator,
    RootKey,
    SecretSource,
    PiiConfig,
    Detector,
    AuditConfig,
    CibaConfig,
    PageConfig,
    SessionStore,
    Pdp,
    Apl,
    Authorization,
    Assertions,
    Contract,
    AssertedHeader,
    Secrets,
    SecretProvider,
    SecretValue,
    Pins,
    Challenge,
    Team,
    TeamFile,
    TeamSection,
    Approvals,
    SignIn,
    Webhook,
    Deploy,
    DeployCompanion,
    DeployFilter,
}

/// What the compiler does with a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Treatment {
    /// Reads it.
    Read,
    /// Reads it as an old spelling of this.
    Old(&'static str),
    /// Accepts it with a note: this is what happens instead.
    Inert(&'static str),
    /// Refuses it: part of the language, not in this build.
    NotYet(&'static str),
    /// Refuses it: belongs to this other section.
    Elsewhere(&'static str),
}

/// A key and what is done with it.
pub type Key = (&'static str, Treatment);

use Treatment::{Elsewhere, Inert, NotYet, Old, Read};

const GROUPS_ALIAS: Treatment = Old("top-level `groups`");
const GLOBAL_ONLY: Treatment = Elsewhere("`global`");

/// Policy keys of any section, without `args` and `result`.
const PHASES: &[Key] = &[
    ("authorization", Read),
    ("pre_invocation", Read),
    ("post_invocation", Read),
    ("policy", Read),
    ("post_policy", Read),
    ("args", Read),
    ("result", Read),
];

const TOP: &[Key] = &[
    ("global", Read),
    ("plugins", Read),
    ("groups", Read),
    ("routes", Read),
    ("teams", Read),
    ("plugin_settings", Read),
    ("engine_settings", Read),
    ("pins", Read),
    ("plugin_dirs", Inert("plugins are the built-in kinds")),
    ("secrets", Read),
];

const GLOBAL: &[Key] = &[
    ("authentication", Read),
    ("identity", Old("authentication")),
    ("defaults", Read),
    ("policies", GROUPS_ALIAS),
    ("plugins", Read),
    ("pdp", Read),
    ("session_store", Read),
    ("approvals", Read),
    ("response", Read),
    ("assertions", Read),
    ("attribute_files", Read),
    ("enforcement", Read),
    ("until", Read),
    ("apl", Read),
];

const BUNDLE: &[Key] = &[
    ("description", Inert("it is for readers")),
    ("metadata", Inert("it is for readers")),
    ("plugins", Read),
    ("authentication", Read),
    ("identity", Old("authentication")),
    (
        "response",
        Inert("`response` is not inherited; put it on the route"),
    ),
    ("assertions", Read),
    ("pdp", GLOBAL_ONLY),
    ("session_store", GLOBAL_ONLY),
    ("attribute_files", GLOBAL_ONLY),
    ("apl", Read),
];

const ROUTE: &[Key] = &[
    ("tool", Read),
    ("prompt", Read),
    ("resource", Read),
    ("llm", Read),
    ("http", Read),
    ("a2a", Read),
    ("meta", Read),
    ("groups", Read),
    ("plugins", Read),
    ("authentication", Read),
    ("identity", Old("authentication")),
    ("response", Read),
    ("unparseable_result", Read),
    ("owner", Read),
    ("challenge", Read),
    ("enforcement", Read),
    ("until", Read),
    (
        "when",
        NotYet("put the condition into the steps: upstream stores it and never evaluates it"),
    ),
    ("assertions", Read),
    ("pdp", GLOBAL_ONLY),
    ("session_store", GLOBAL_ONLY),
    ("attribute_files", GLOBAL_ONLY),
    ("apl", Read),
];

/// `http` as a map.
const HTTP_SELECTOR: &[Key] = &[("path", Read), ("path_prefix", Read), ("method", Read)];

const META: &[Key] = &[("tags", Read), ("scope", Read), ("properties", Read)];

const PLUGIN: &[Key] = &[
    ("name", Read),
    ("kind", Read),
    ("bind", Read),
    ("config", Read),
    ("hooks", Read),
    ("mode", Read),
    ("priority", Inert("the order of the steps is the order")),
    ("on_error", Read),
    (
        "capabilities",
        Inert("built-in kinds see what they need and no more"),
    ),
    ("tags", Inert("it is for readers")),
    ("description", Inert("it is for readers")),
    ("author", Inert("it is for readers")),
    ("version", Inert("it is for readers")),
    (
        "conditions",
        NotYet("put the condition into a `when:` around the step"),
    ),
];

const OVERRIDE: &[Key] = &[
    ("config", Read),
    ("on_error", Read),
    (
        "capabilities",
        Inert("built-in kinds see what they need and no more"),
    ),
];

const ENGINE_SETTINGS: &[Key] = &[
    ("unmatched", Read),
    ("forward_inbound_credentials", Read),
    ("public_paths", Read),
    ("audit", Read),
    ("capture", Read),
    ("dispatch", Inert("policy decides what runs")),
    (
        "plugin_timeout",
        Inert("timeouts belong to the filter configuration and the delegators"),
    ),
    (
        "audit_timeout_milliseconds",
        Inert("audit is queued and never delays an answer"),
    ),
    ("short_circuit_on_deny", Inert("the first denial ends a phase")),
    (
        "route_cache_max_entries",
        Inert("routes are compiled into one table"),
    ),
    ("effect_log_path", Inert("the companion's store is durable")),
    (
        "effect_log_compaction_threshold",
        Inert("the companion's store is durable"),
    ),
    (
        "capture_content_provenance",
        Inert("audit records hold keyed digests of the bodies that were read"),
    ),
    (
        "content_provenance_key",
        Inert("audit records hold keyed digests of the bodies that were read"),
    ),
    (
        "audit_stream_namespace",
        Inert("audit records are numbered by the companion"),
    ),
];

const PLUGIN_SETTINGS: &[Key] = &[
    ("routing_enabled", Inert("routing is always on")),
    (
        "plugin_timeout",
        Inert("timeouts belong to the filter configuration and the delegators"),
    ),
    ("short_circuit_on_deny", Inert("the first denial ends a phase")),
    (
        "parallel_execution_within_band",
        Inert("steps run in written order"),
    ),
    ("fail_on_plugin_error", Inert("a failing step denies")),
    (
        "route_cache_max_entries",
        Inert("routes are compiled into one table"),
    ),
];

const RESPONSE: &[Key] = &[("status", Read), ("body", Read), ("headers", Read)];

const OAUTH: &[Key] = &[
    ("token_endpoint", Read),
    ("insecure_http", Read),
    ("client_id", Read),
    ("client_auth_method", Read),
    ("client_secret_source", Read),
    ("client_key_source", Read),
    ("client_key_id", Read),
    ("assertion_audience", Read),
    ("timeout_seconds", Read),
    ("default_outbound_header", Read),
    ("outbound_prefix", Read),
    ("subject_token_type", Read),
    ("actor_token_type", Read),
    ("workload_assertion_type", Read),
    ("strict_response_validation", Read),
    ("allowed_extra_scopes", Read),
    ("accept_missing_actor", Read),
    ("max_depth", Read),
    ("introspection_endpoint", Read),
    ("cache", Read),
    (
        "idempotency_header",
        NotYet("remove it; exchanges are not retried"),
    ),
];

const TOKEN_CACHE: &[Key] = &[
    ("ttl_ceiling_seconds", Read),
    ("enabled", Read),
    (
        "subjects",
        Inert("every subject's tokens are cached, each for its own credential"),
    ),
    (
        "max_entries",
        Inert("10,000 tokens are held, and at most 16 MiB of them"),
    ),
    (
        "staleness",
        Inert("the last 30 seconds of a token, or the last quarter of a short-lived one, are not used"),
    ),
];

const SECRET_DELEGATOR: &[Key] = &[
    ("secret_source", Read),
    ("default_outbound_header", Read),
    ("outbound_prefix", Read),
    ("ttl_seconds", Read),
];

const BISCUIT: &[Key] = &[
    ("root_public_key", Read),
    ("header", Read),
    ("default_outbound_header", Read),
    ("outbound_prefix", Read),
    ("default_ttl_seconds", Read),
    ("subject_fact", Read),
    ("bind_subject", Read),
    ("cache", Read),
];

const ROOT_KEY: &[Key] = &[("hex", Read), ("file", Read)];

const SECRET_SOURCE: &[Key] = &[
    ("kind", Read),
    ("name", Read),
    ("path", Read),
    ("secret", Read),
    ("mount", Read),
    ("field", Read),
];

const PII: &[Key] = &[("detect", Read), ("mode", Read), ("code", Read)];

const DETECTOR: &[Key] = &[("kind", Read), ("name", Read), ("regex", Read)];

const AUDIT: &[Key] = &[
    ("durable", Read),
    ("destination", Inert("records go to the companion's audit log")),
    ("source", Inert("records name the policy by its digest")),
];

const CIBA: &[Key] = &[
    ("backchannel_endpoint", Read),
    ("token_endpoint", Read),
    ("insecure_http", Read),
    ("issuer", Read),
    ("client_id", Read),
    ("client_secret_source", Read),
    ("scope", Read),
    ("approver_claim", Read),
    ("default_requested_expiry_seconds", Read),
    ("timeout_seconds", Read),
    ("delivery", Read),
    ("allow_self", Read),
    (
        "poll_interval_seconds",
        Inert("the provider says how often it may be asked"),
    ),
    (
        "binding_message",
        Inert("the companion writes it: what is asked, by whom, and the request's number"),
    ),
];

const PAGE: &[Key] = &[("timeout_seconds", Read), ("allow_self", Read), ("webhook", Read)];

const SESSION_STORE: &[Key] = &[
    ("kind", Read),
    ("endpoint", Read),
    ("tls", Read),
    ("allow_plain", Read),
    ("username", Read),
    ("password_source", Read),
    ("password", Read),
    ("ca_file", Read),
    ("key_prefix", Read),
    ("replicas", Read),
    ("ttl_seconds", Read),
    ("max_session_lifetime_seconds", Read),
    ("subject_ttl_seconds", Read),
    ("connect_timeout_ms", Read),
    ("command_timeout_ms", Read),
];

const PDP: &[Key] = &[
    ("kind", Read),
    ("bind", Read),
    ("dialect", Read),
    ("policy_text", Read),
    ("policy_file", Read),
    ("schema_text", Read),
    ("schema_file", Read),
    ("entity_namespace", Read),
    ("structured_context", Read),
    ("on_error", Read),
    (
        "cache",
        Inert("decisions are made in the program and need no cache"),
    ),
    ("modules", Read),
    ("module_files", Read),
    ("data", Read),
    ("data_files", Read),
    ("decision_field", Read),
    ("url", Read),
    ("insecure_http", Read),
    ("token_source", Read),
    ("config_id", Read),
    ("timeout_seconds", Read),
    (
        "max_cache_entries",
        Inert("decisions are made in the program and need no cache"),
    ),
];

const APL: &[Key] = &[
    ("pdp", Read),
    ("session_store", Read),
    ("attribute_files", Read),
    ("plugins", Read),
    ("response", Read),
];

const ASSERTIONS: &[Key] = &[("request", Read), ("response", Read)];

const CONTRACT: &[Key] = &[("headers", Read), ("strip", Read), ("replace_inherited", Read)];

const ASSERTED_HEADER: &[Key] = &[
    ("name", Read),
    ("from", Read),
    ("members", Read),
    ("on_missing", Read),
    ("encode", Read),
];

const SECRETS: &[Key] = &[("providers", Read), ("values", Read)];

const ELSEWHERE_READ: Treatment =
    Inert("secrets of this provider are not for the proxy; the companion has its own settings");

const SECRET_PROVIDER: &[Key] = &[
    ("kind", Read),
    ("base_dir", ELSEWHERE_READ),
    ("address", ELSEWHERE_READ),
    ("namespace", ELSEWHERE_READ),
    ("mount", ELSEWHERE_READ),
    ("auth", ELSEWHERE_READ),
    ("path", ELSEWHERE_READ),
];

const SECRET_VALUE: &[Key] = &[("provider", Read), ("ref", Read)];

const PINS: &[Key] = &[("scope", Read), ("unpinned", Read), ("tools", Read)];

const CHALLENGE: &[Key] = &[("scopes", Read), ("lists", Read)];

/// What a platform says of a team.
const TEAM: &[Key] = &[
    ("tool", Read),
    ("prompt", Read),
    ("resource", Read),
    ("llm", Read),
    ("a2a", Read),
    ("scope", Read),
    ("owner", Read),
    ("description", Inert("it is for readers")),
];

/// What a team's file may hold.
const TEAM_FILE: &[Key] = &[("routes", Read), ("groups", Read)];

/// What a team's routes and groups may say besides rules.
const TEAM_SECTION: &[Key] = &[
    ("tool", Read),
    ("prompt", Read),
    ("resource", Read),
    ("llm", Read),
    ("a2a", Read),
    ("meta", Read),
    ("groups", Read),
    ("owner", Read),
    ("challenge", Read),
    ("response", Read),
    ("description", Read),
    ("metadata", Read),
];

const AUTHORIZATION: &[Key] = &[("pre_invocation", Read), ("post_invocation", Read)];

impl Section {
    /// Its own keys, and whether policy keys may stand in it too.
    const fn tables(self) -> (&'static [Key], bool) {
        match self {
            Self::Top => (TOP, false),
            Self::Global => (GLOBAL, true),
            Self::Defaults | Self::Bundle => (BUNDLE, true),
            Self::Route => (ROUTE, true),
            Self::HttpSelector => (HTTP_SELECTOR, false),
            Self::Meta => (META, false),
            Self::Plugin => (PLUGIN, false),
            Self::Override => (OVERRIDE, false),
            Self::EngineSettings => (ENGINE_SETTINGS, false),
            Self::PluginSettings => (PLUGIN_SETTINGS, false),
            Self::Response => (RESPONSE, false),
            Self::JwtConfig => (identity::JWT, false),
            Self::TrustedIssuer => (identity::TRUSTED_ISSUER, false),
            Self::DecodingKey => (identity::DECODING_KEY, false),
            Self::MeshConfig => (identity::MESH, false),
            Self::MeshMetadata => (identity::MESH_METADATA, false),
            Self::MeshIssuer => (identity::MESH_ISSUER, false),
            Self::SpiffeConfig => (identity::SPIFFE, false),
            Self::ApiKeyConfig => (identity::API_KEY, false),
            Self::Credential => (identity::CREDENTIAL, false),
            Self::KeyProvider => (identity::KEY_PROVIDER, false),
            Self::KeyCache => (identity::KEY_CACHE, false),
            Self::ClaimMap => (identity::CLAIM_MAP, false),
            Self::SubjectMap => (identity::SUBJECT_MAP, false),
            Self::ClientMap => (identity::CLIENT_MAP, false),
            Self::WorkloadMap => (identity::WORKLOAD_MAP, false),
            Self::ClaimRule => (identity::CLAIM_RULE, false),
            Self::ClaimPath => (identity::CLAIM_PATH, false),
            Self::Claims => (identity::CLAIMS, false),
            Self::OauthConfig => (OAUTH, false),
            Self::TokenCache => (TOKEN_CACHE, false),
            Self::SecretDelegator => (SECRET_DELEGATOR, false),
            Self::BiscuitDelegator => (BISCUIT, false),
            Self::RootKey => (ROOT_KEY, false),
            Self::SecretSource => (SECRET_SOURCE, false),
            Self::PiiConfig => (PII, false),
            Self::Detector => (DETECTOR, false),
            Self::AuditConfig => (AUDIT, false),
            Self::CibaConfig => (CIBA, false),
            Self::PageConfig => (PAGE, false),
            Self::SessionStore => (SESSION_STORE, false),
            Self::Pdp => (PDP, false),
            Self::Apl => (APL, true),
            Self::Authorization => (AUTHORIZATION, false),
            Self::Assertions => (ASSERTIONS, false),
            Self::Contract => (CONTRACT, false),
            Self::AssertedHeader => (ASSERTED_HEADER, false),
            Self::Secrets => (SECRETS, false),
            Self::SecretProvider => (SECRET_PROVIDER, false),
            Self::SecretValue => (SECRET_VALUE, false),
            Self::Pins => (PINS, false),
            Self::Challenge => (CHALLENGE, false),
            Self::Team => (TEAM, false),
            Self::TeamFile => (TEAM_FILE, false),
            Self::TeamSection => (TEAM_SECTION, true),
            Self::Approvals => (deploy::APPROVALS, false),
            Self::SignIn => (deploy::SIGN_IN, false),
            Self::Webhook => (deploy::WEBHOOK, false),
            Self::Deploy => (deploy::DEPLOY, false),
            Self::DeployCompanion => (deploy::COMPANION, false),
            Self::DeployFilter => (deploy::FILTER, false),
        }
    }

    /// Every key that may stand in the section.
    pub fn keys(self) -> impl Iterator<Item = Key> {
        let (own, policy) = self.tables();
        let policy = if policy { PHASES } else { &[] };
        own.iter().chain(policy).copied()
    }

    /// What readers call it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Top => "a policy",
            Self::Global => "`global`",
            Self::Defaults => "a `defaults` entry",
            Self::Bundle => "a group",
            Self::Route => "a route",
            Self::HttpSelector => "`http`",
            Self::Meta => "`meta`",
            Self::Plugin => "a plugin",
            Self::Override => "an override of a plugin",
            Self::EngineSettings => "`engine_settings`",
            Self::PluginSettings => "`plugin_settings`",
            Self::Response => "`response`",
            Self::JwtConfig => "the `config` of `identity/jwt`",
            Self::TrustedIssuer => "a trusted issuer",
            Self::DecodingKey => "`decoding_key`",
            Self::MeshConfig => "the `config` of `identity/mesh-jwt`",
            Self::MeshMetadata => "`metadata`",
            Self::MeshIssuer => "a trusted issuer",
            Self::SpiffeConfig => "the `config` of `identity/spiffe`",
            Self::ApiKeyConfig => "the `config` of `identity/api-key`",
            Self::Credential => "`credential`",
            Self::KeyProvider => "`provider`",
            Self::KeyCache => "`cache`",
            Self::ClaimMap => "a claim map",
            Self::SubjectMap => "`subject`",
            Self::ClientMap => "`client`",
            Self::WorkloadMap => "`workload`",
            Self::ClaimRule => "a claim rule",
            Self::ClaimPath => "a candidate",
            Self::Claims => "`claims`",
            Self::OauthConfig => "the `config` of `delegator/oauth`",
            Self::TokenCache => "the `cache` of `delegator/oauth`",
            Self::SecretDelegator => "the `config` of `delegator/secret`",
            Self::BiscuitDelegator => "the `config` of `delegator/biscuit`",
            Self::RootKey => "`root_public_key`",
            Self::SecretSource => "a secret source",
            Self::PiiConfig => "the `config` of `validator/pii-scan`",
            Self::Detector => "a detector",
            Self::AuditConfig => "the `config` of `audit/logger`",
            Self::CibaConfig => "the `config` of `elicitation/ciba`",
            Self::PageConfig => "the `config` of `elicitation/page`",
            Self::SessionStore => "`session_store`",
            Self::Pdp => "a decision point",
            Self::Apl => "`apl`",
            Self::Authorization => "`authorization`",
            Self::Assertions => "`assertions`",
            Self::Contract => "the assertions of one direction",
            Self::AssertedHeader => "an asserted header",
            Self::Secrets => "`secrets`",
            Self::SecretProvider => "a provider of secrets",
            Self::SecretValue => "a secret",
            Self::Pins => "a list of pins",
            Self::Challenge => "`challenge`",
            Self::Team => "a team",
            Self::TeamFile => "a team's file",
            Self::TeamSection => "a team's route or group",
            Self::Approvals => "`approvals`",
            Self::SignIn => "`sign_in`",
            Self::Webhook => "`webhook`",
            Self::Deploy => "a deployment",
            Self::DeployCompanion => "`companion` of a deployment",
            Self::DeployFilter => "`filter` of a deployment",
        }
    }
}
