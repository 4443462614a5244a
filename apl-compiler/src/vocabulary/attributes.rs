//! Attributes that policy can read.

/// What kind of value an attribute has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Shape {
    Bool,
    Number,
    Text,
    Set,
    /// Any JSON value.
    Json,
}

/// An attribute below its namespace.
pub type Attribute = (&'static str, Shape);

/// A namespace: its name; the attributes in it (`""`: the namespace itself, `"*"`: any name); what it is.
pub const NAMESPACES: &[(&str, &[Attribute], &str)] = &[
    (
        "args",
        &[("*", Shape::Json), ("", Shape::Json)],
        "the operation's arguments",
    ),
    (
        "result",
        &[("*", Shape::Json), ("", Shape::Json)],
        "the operation's result, after the call",
    ),
    (
        "authenticated",
        &[("", Shape::Bool)],
        "true when a verified subject exists",
    ),
    (
        "subject",
        &[
            ("id", Shape::Text),
            ("type", Shape::Text),
            ("roles", Shape::Set),
            ("permissions", Shape::Set),
            ("teams", Shape::Set),
        ],
        "the verified user",
    ),
    ("role", &[("*", Shape::Bool)], "true for each role of the subject"),
    (
        "perm",
        &[("*", Shape::Bool)],
        "true for each permission of the subject",
    ),
    ("team", &[("*", Shape::Bool)], "true for each team of the subject"),
    ("claim", &[("*", Shape::Json)], "claims of the subject's token"),
    (
        "client",
        &[
            ("client_id", Shape::Text),
            ("client_name", Shape::Text),
            ("trust_level", Shape::Text),
            ("authorized_scopes", Shape::Set),
            ("authorized_audiences", Shape::Set),
            ("roles", Shape::Set),
            ("permissions", Shape::Set),
            ("teams", Shape::Set),
            ("role.*", Shape::Bool),
            ("perm.*", Shape::Bool),
            ("claim.*", Shape::Json),
        ],
        "the verified client (the agent)",
    ),
    ("caller_workload", WORKLOAD, "the workload that called the proxy"),
    ("this_workload", WORKLOAD, "the proxy's own workload"),
    (
        "auth_method",
        &[("", Shape::Text)],
        "how the subject authenticated",
    ),
    (
        "security",
        &[("labels", Shape::Set), ("classification", Shape::Text)],
        "labels of the session, the subject and this exchange",
    ),
    (
        "delegated",
        &[("", Shape::Bool)],
        "whether the subject's token was delegated",
    ),
    (
        "delegation",
        &[
            ("depth", Shape::Number),
            ("chain", Shape::Set),
            ("delegated", Shape::Bool),
            ("origin_subject_id", Shape::Text),
            ("actor_subject_id", Shape::Text),
            ("age_seconds", Shape::Number),
            ("granted", Shape::Bool),
            ("granted.permissions", Shape::Set),
            ("granted.audience", Shape::Text),
            ("granted.expires_at", Shape::Text),
        ],
        "the delegation chain, and what the last `delegate` step was granted",
    ),
    (
        "elicitation",
        &[
            ("id", Shape::Text),
            ("status", Shape::Text),
            ("outcome", Shape::Text),
            ("approver", Shape::Text),
            ("intent_id", Shape::Text),
            ("channel", Shape::Text),
            ("expires_at", Shape::Text),
        ],
        "the approval of this phase",
    ),
    (
        "agent",
        &[("*", Shape::Json)],
        "what the host says about the agent",
    ),
    (
        "meta",
        &[
            ("entity_type", Shape::Text),
            ("entity_name", Shape::Text),
            ("scope", Shape::Text),
            ("tags", Shape::Set),
            ("properties.*", Shape::Text),
        ],
        "the operation's route",
    ),
    (
        "request",
        &[
            ("environment", Shape::Text),
            ("request_id", Shape::Text),
            ("timestamp", Shape::Text),
            ("trace_id", Shape::Text),
            ("span_id", Shape::Text),
        ],
        "the request",
    ),
    ("llm", &[("*", Shape::Json)], "the model request"),
    ("mcp", &[("*", Shape::Json)], "the MCP request"),
    ("completion", &[("*", Shape::Json)], "the model's answer"),
    (
        "provenance",
        &[
            ("source", Shape::Text),
            ("message_id", Shape::Text),
            ("parent_id", Shape::Text),
        ],
        "where the message came from",
    ),
    ("framework", &[("*", Shape::Json)], "the agent's framework"),
    ("custom", &[("*", Shape::Json)], "what the host adds"),
    (
        "http",
        &[
            ("method", Shape::Text),
            ("path", Shape::Text),
            ("host", Shape::Text),
            ("scheme", Shape::Text),
            ("status", Shape::Number),
            ("request_headers.*", Shape::Text),
            ("response_headers.*", Shape::Text),
        ],
        "the HTTP exchange; headers in lower case, credentials never",
    ),
    ("route", &[("key", Shape::Text)], "the route, as `tool:name`"),
    (
        "data",
        &[("*", Shape::Json), ("", Shape::Json)],
        "static attributes, from `attribute_files`",
    ),
];

const WORKLOAD: &[Attribute] = &[
    ("spiffe_id", Shape::Text),
    ("trust_domain", Shape::Text),
    ("attestor", Shape::Text),
    ("client_id", Shape::Text),
    ("selectors", Shape::Set),
    ("attested_at", Shape::Text),
    ("attested_at_epoch", Shape::Number),
];
