//! Stages of field pipelines, and words of steps.

/// A stage: its name, how it is written, what it does.
pub type StageWord = (&'static str, &'static str, &'static str);

/// Every stage but ranges.
pub const STAGES: &[StageWord] = &[
    ("required", "required", "an absent field denies"),
    ("str", "str", "must be text"),
    ("int", "int", "must be a whole number"),
    ("bool", "bool", "must be a boolean"),
    ("float", "float", "must be a number"),
    ("email", "email", "must be an e-mail address (WHATWG HTML)"),
    ("url", "url", "must be an absolute http or https URL"),
    ("uuid", "uuid", "must be a UUID (RFC 9562)"),
    ("len", "len(N..M)", "length in Unicode scalar values"),
    ("enum", "enum(a, b, ...)", "one of these texts"),
    ("regex", "regex(\"pattern\")", "a match anywhere in the text"),
    (
        "mask",
        "mask(N)",
        "all but the last N become `*`; at least half is hidden",
    ),
    (
        "redact",
        "redact or redact(predicate)",
        "becomes [REDACTED], always or when the predicate holds",
    ),
    ("omit", "omit", "the field is removed"),
    ("hash", "hash", "HMAC-SHA-256 under the deployment's key"),
    ("taint", "taint(label, scope)", "records a label"),
    ("run", "run(name)", "a scanner"),
    ("plugin", "plugin(name)", "old spelling of run"),
    ("pii.detect", "pii.detect", "records the label PII on a find"),
    (
        "pii.redact",
        "pii.redact",
        "replaces every find, and records the label PII",
    ),
    (
        "injection.scan",
        "injection.scan",
        "records the label injection on a find",
    ),
];

/// Steps that are written as calls.
pub const STEP_CALLS: &[&str] = &[
    "run", "plugin", "taint", "delegate", "deny", "require", "limit", "budget",
];

/// The elicitation verbs.
pub const ELICITATIONS: &[&str] = &[
    "require_approval",
    "confirm",
    "require_step_up",
    "require_attestation",
    "request_info",
    "require_review",
];

/// Decision points.
pub const DIALECTS: &[&str] = &["cel", "cedar", "opa", "authzen", "nemo"];
