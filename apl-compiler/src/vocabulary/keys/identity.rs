//! Keys of identity plugins.

use super::{
    Key,
    Treatment::{Inert, Old, Read},
};

pub(super) const JWT: &[Key] = &[
    ("trusted_issuers", Read),
    ("role", Read),
    ("header", Read),
    ("prefix", Read),
    ("trust_domain", Read),
    ("trust_domains", Read),
    ("claim_mapper", Read),
    ("claim_map", Read),
    ("claims", Read),
];

pub(super) const TRUSTED_ISSUER: &[Key] = &[
    ("issuer", Read),
    ("audiences", Read),
    ("skip_audience_validation", Read),
    ("algorithms", Read),
    ("decoding_key", Read),
    ("leeway_seconds", Read),
];

pub(super) const DECODING_KEY: &[Key] = &[
    ("kind", Read),
    ("url", Read),
    ("insecure_http", Read),
    ("refresh_secs", Read),
    (
        "min_refresh_interval_secs",
        Inert("the companion limits how often keys are fetched"),
    ),
    ("jwk", Read),
    ("jwks", Read),
    ("pem", Read),
    ("path", Read),
    ("secret", Read),
];

pub(super) const MESH: &[Key] = &[
    ("metadata", Read),
    ("trusted_issuers", Read),
    ("role", Read),
    ("trust_domain", Read),
    ("trust_domains", Read),
    ("claim_mapper", Read),
    ("claim_map", Read),
    ("claims", Read),
];

pub(super) const MESH_METADATA: &[Key] = &[("namespace", Read), ("key", Read)];

pub(super) const MESH_ISSUER: &[Key] = &[
    ("issuer", Read),
    ("audiences", Read),
    ("skip_audience_validation", Read),
    ("leeway_seconds", Read),
];

pub(super) const SPIFFE: &[Key] = &[("source", Read), ("trust_domain", Read), ("trust_domains", Read)];

pub(super) const API_KEY: &[Key] = &[
    ("credential", Read),
    ("prefix", Read),
    ("provider", Read),
    ("directory", Old("provider")),
    ("record_map", Read),
    ("claims", Read),
    ("role", Read),
    ("trust_domain", Read),
    ("trust_domains", Read),
    ("expiry", Read),
    ("cache", Read),
    (
        "on_directory_error",
        Inert("a directory that cannot be asked denies, `auth.directory_unavailable`"),
    ),
];

pub(super) const CREDENTIAL: &[Key] = &[("kind", Read), ("name", Read)];

pub(super) const KEY_PROVIDER: &[Key] = &[
    ("kind", Read),
    ("path", Read),
    ("index", Read),
    ("refresh_secs", Inert("the file is read anew when it changes")),
    (
        "max_staleness_secs",
        Inert("while the file cannot be read, nobody's key is known"),
    ),
    ("url", Read),
    ("insecure_http", Read),
    ("key_field", Read),
    ("valid_field", Read),
    ("token", Read),
    ("timeout_secs", Read),
];

pub(super) const KEY_CACHE: &[Key] = &[
    ("ttl_secs", Read),
    ("negative_ttl_secs", Read),
    (
        "max_entries",
        Inert("`limits.max_cached` of the filter bounds every cache"),
    ),
    (
        "max_negative_entries",
        Inert("`limits.max_cached` of the filter bounds every cache"),
    ),
];

pub(super) const CLAIM_MAP: &[Key] = &[
    ("subject", Read),
    ("client", Read),
    ("workload", Read),
    ("claims", Read),
];

pub(super) const SUBJECT_MAP: &[Key] = &[
    ("id", Read),
    ("roles", Read),
    ("permissions", Read),
    ("teams", Read),
];

pub(super) const CLIENT_MAP: &[Key] = &[
    ("client_id", Read),
    ("client_name", Read),
    ("roles", Read),
    ("permissions", Read),
    ("teams", Read),
    ("authorized_scopes", Read),
    ("authorized_audiences", Read),
];

pub(super) const WORKLOAD_MAP: &[Key] = &[
    ("spiffe_id", Read),
    ("client_id", Read),
    ("selectors", Read),
    (
        "trust_domain",
        Inert("the trust domain is the one in the SPIFFE id"),
    ),
];

pub(super) const CLAIM_RULE: &[Key] = &[
    ("paths", Read),
    ("merge", Read),
    ("split", Read),
    ("on_missing", Read),
];

pub(super) const CLAIM_PATH: &[Key] = &[
    ("path", Read),
    ("array_only", Read),
    ("string_only", Read),
    ("stop_if_present", Read),
];

pub(super) const CLAIMS: &[Key] = &[("include", Read), ("exclude", Read)];
