//! Plugin declarations, decision points and the session store.

use apl_bytecode::{Algorithm, Detector, ScanMode, TokenRole};

use super::Store;
use super::keys::{Reader, check};
use super::plugin::{DetectorDecl, Jwt, JwtIssuer, Keys, Oauth, Pii, Plugin, PluginKind, Secret};
use crate::diagnostics::{Code, error, note, warning};
use crate::source::Span;
use crate::vocabulary::{Section, nearest};
use crate::yaml::Node;

const KINDS: &[&str] = &[
    "identity/jwt",
    "delegator/oauth",
    "validator/pii-scan",
    "audit/logger",
    "elicitation/ciba",
];

/// Kinds that upstream has and this build has not.
const LATER: &[&str] = &[
    "identity/api-key",
    "identity/spiffe",
    "delegator/vault",
    "delegator/biscuit",
    "quota/limitador",
];

/// Reads the list of plugins.
pub(crate) fn read(node: &Node, reader: &mut Reader<'_>) -> Vec<Plugin> {
    if node.is_null() {
        return Vec::new();
    }
    let mut plugins: Vec<Plugin> = Vec::new();
    for item in reader.list(node, "plugins") {
        if item.as_map().is_none() {
            reader.wrong(item, "a plugin", "a map");
            continue;
        }
        check(item, Section::Plugin, reader);
        let Some(name) = reader.required(item, "name", "a plugin", item.span) else {
            continue;
        };
        let span = item.get("name").map_or(item.span, |entry| entry.node.span);
        if let Some(first) = plugins.iter().find(|plugin| plugin.name == name) {
            let message = format!("two plugins are called `{name}`");
            reader
                .reports
                .push(error(Code::Duplicate, span, message).related(first.span, "the first one"));
            continue;
        }
        let kind = kind(item, reader);
        behaviour(item, &kind, reader);
        plugins.push(Plugin {
            name: name.to_owned(),
            span,
            kind,
        });
    }
    plugins
}

fn kind(item: &Node, reader: &mut Reader<'_>) -> PluginKind {
    let Some(word) = reader.required(item, "kind", "a plugin", item.span) else {
        return PluginKind::Broken;
    };
    let span = item.get("kind").map_or(item.span, |entry| entry.node.span);
    let config = item.get("config").map(|entry| &entry.node);
    let empty = Node {
        span,
        value: crate::yaml::Value::Map(Vec::new()),
    };
    let config = config.filter(|config| !config.is_null()).unwrap_or(&empty);
    match word {
        "identity/jwt" => jwt(config, span, reader).map_or(PluginKind::Broken, PluginKind::Jwt),
        "delegator/oauth" => oauth(config, span, reader).map_or(PluginKind::Broken, PluginKind::Oauth),
        "validator/pii-scan" => PluginKind::Pii(pii(config, reader)),
        "audit/logger" => {
            check(config, Section::AuditConfig, reader);
            PluginKind::Audit {
                durable: reader.boolean(config, "durable").unwrap_or(false),
            }
        }
        "elicitation/ciba" => PluginKind::Ciba,
        _ if LATER.contains(&word) => {
            reader.reports.push(
                error(
                    Code::NotInBuild,
                    span,
                    format!("the plugin kind `{word}` is not in this build"),
                )
                .help(format!("kinds in this build: {}", KINDS.join(", "))),
            );
            PluginKind::Broken
        }
        _ => {
            let help = match nearest(word, KINDS.iter().copied()) {
                Some(guess) => format!("did you mean `{guess}`?"),
                None => format!(
                    "a plugin with code of its own cannot run in the proxy; use {}, or ask a decision point",
                    KINDS.join(", ")
                ),
            };
            reader.reports.push(
                error(
                    Code::UnknownKind,
                    span,
                    format!("there is no plugin kind `{word}`"),
                )
                .help(help),
            );
            PluginKind::Broken
        }
    }
}

/// `mode` and `on_error`, which upstream lets weaken a guard.
fn behaviour(item: &Node, kind: &PluginKind, reader: &mut Reader<'_>) {
    let modes = [
        "sequential",
        "transform",
        "audit",
        "concurrent",
        "fire_and_forget",
        "disabled",
    ];
    let mode = reader.word(item, "mode", &modes);
    let guard = !matches!(kind, PluginKind::Audit { .. });
    if let (Some(mode @ ("transform" | "audit" | "fire_and_forget" | "disabled")), true, Some(entry)) =
        (mode, guard, item.get("mode"))
    {
        reader.reports.push(
            warning(
                Code::NoMeaning,
                entry.node.span,
                format!("`mode: {mode}` would drop this plugin's denials; here they count"),
            )
            .help("remove the steps that name the plugin to switch it off"),
        );
    }
    let on_error = reader.word(item, "on_error", &["fail", "ignore", "disable"]);
    if let (Some(word @ ("ignore" | "disable")), true, Some(entry)) = (on_error, guard, item.get("on_error"))
    {
        reader.reports.push(
            warning(
                Code::NoMeaning,
                entry.node.span,
                format!("`on_error: {word}` would let a failing guard pass; here it denies"),
            )
            .help("a single `delegate` step can say `on_error: continue`"),
        );
    }
}

fn jwt(config: &Node, at: Span, reader: &mut Reader<'_>) -> Option<Jwt> {
    check(config, Section::JwtConfig, reader);
    let role = match reader.word(config, "role", &["user", "client", "caller_workload", "workload"]) {
        Some("client") => TokenRole::Client,
        Some("caller_workload" | "workload") => TokenRole::CallerWorkload,
        _ => TokenRole::User,
    };
    let header = reader
        .text(config, "header")
        .unwrap_or("authorization")
        .to_ascii_lowercase();
    if let Some(mapper) = reader
        .word(
            config,
            "claim_mapper",
            &["standard", "keycloak", "auth0", "cognito", "ibmverify"],
        )
        .filter(|mapper| *mapper != "standard")
    {
        let span = config.get("claim_mapper").map_or(at, |entry| entry.node.span);
        reader.reports.push(
            error(
                Code::NotInBuild,
                span,
                format!("the claim mapper `{mapper}` is not in this build"),
            )
            .help("use `standard`: flat `roles`, `permissions` (or `scope`), `teams` (or `groups`)"),
        );
    }
    let Some(entry) = config.get("trusted_issuers") else {
        reader
            .reports
            .error(Code::MissingKey, at, "`identity/jwt` needs `trusted_issuers`");
        return None;
    };
    let items = reader.list(&entry.node, "trusted_issuers");
    if items.is_empty() {
        reader.reports.error(
            Code::BadValue,
            entry.node.span,
            "`trusted_issuers` needs at least one issuer",
        );
    }
    // Each is read, so that one bad issuer does not hide what is wrong with the next.
    let read: Vec<Option<JwtIssuer>> = items.iter().map(|item| issuer(item, reader)).collect();
    let issuers: Option<Vec<JwtIssuer>> = read.into_iter().collect();
    issuers.map(|issuers| Jwt {
        role,
        header,
        issuers,
    })
}

fn issuer(item: &Node, reader: &mut Reader<'_>) -> Option<JwtIssuer> {
    check(item, Section::TrustedIssuer, reader);
    let name = reader
        .required(item, "issuer", "a trusted issuer", item.span)
        .map(str::to_owned);
    let audiences: Vec<String> = match item.get("audiences") {
        Some(entry) => reader
            .texts(&entry.node, "audiences")
            .into_iter()
            .map(|(text, _)| text)
            .collect(),
        None => Vec::new(),
    };
    let skip = reader.boolean(item, "skip_audience_validation").unwrap_or(false);
    if audiences.is_empty() && !skip {
        reader.reports.push(error(Code::MissingKey, item.span, "a trusted issuer needs `audiences`").help("without it every token of that issuer would do; say `skip_audience_validation: true` if that is meant"));
    }
    let algorithms = match item.get("algorithms") {
        Some(entry) => reader
            .texts(&entry.node, "algorithms")
            .into_iter()
            .filter_map(|(word, span)| algorithm(&word, span, reader))
            .collect(),
        None => {
            reader.reports.push(
                error(Code::MissingKey, item.span, "a trusted issuer needs `algorithms`")
                    .help("algorithms: [\"RS256\"]"),
            );
            Vec::new()
        }
    };
    let leeway = reader.number(item, "leeway_seconds", 0, 3600).unwrap_or(0);
    let leeway_s = if leeway == 0 {
        60
    } else {
        u32::try_from(leeway).unwrap_or(60)
    };
    let Some(key) = item.get("decoding_key") else {
        reader.reports.push(
            error(
                Code::MissingKey,
                item.span,
                "a trusted issuer needs `decoding_key`",
            )
            .help("decoding_key: {kind: jwks_url, url: \"https://...\"}"),
        );
        return None;
    };
    let keys = decoding_key(&key.node, reader);
    if algorithms.is_empty() {
        return None;
    }
    Some(JwtIssuer {
        issuer: name?,
        audiences: if skip { Vec::new() } else { audiences },
        algorithms,
        leeway_s,
        keys: keys?,
    })
}

fn algorithm(word: &str, span: Span, reader: &mut Reader<'_>) -> Option<Algorithm> {
    let known = Algorithm::ALL
        .into_iter()
        .find(|algorithm| algorithm.name() == word);
    if known.is_none() {
        let names = || Algorithm::ALL.map(Algorithm::name).join(", ");
        reader.reports.push(match word {
            "HS256" | "HS384" | "HS512" => error(Code::BadValue, span, format!("`{word}` is symmetric"))
                .help("its key would stand in the proxy's configuration; use an asymmetric algorithm such as RS256, ES256 or EdDSA"),
            "ES384" | "ES512" | "ES256K" => error(Code::BadValue, span, format!("the proxy does not verify `{word}`"))
                .help(format!("of the ECDSA algorithms only ES256 is built in; one of {}", names())),
            _ => error(Code::BadValue, span, format!("`{word}` is no signature algorithm")).help(format!("one of {}", names())),
        });
    }
    known
}

fn decoding_key(node: &Node, reader: &mut Reader<'_>) -> Option<Keys> {
    check(node, Section::DecodingKey, reader);
    let span = node.get("kind").map_or(node.span, |entry| entry.node.span);
    match reader.required(node, "kind", "`decoding_key`", node.span)? {
        "jwks_url" => {
            let allow_http = reader.boolean(node, "insecure_http").unwrap_or(false);
            let url = url(node, "url", "`decoding_key`", allow_http, reader)?;
            let refresh = reader.number(node, "refresh_secs", 1, 86_400).unwrap_or(600);
            Some(Keys::Url {
                url,
                allow_http,
                refresh_s: u64::try_from(refresh).unwrap_or(600),
            })
        }
        "jwk" => {
            let Some(jwk) = node.get("jwk").filter(|entry| entry.node.as_map().is_some()) else {
                reader
                    .reports
                    .error(Code::MissingKey, node.span, "`kind: jwk` needs `jwk`, a map");
                return None;
            };
            if jwk.node.get("kty").and_then(|kty| kty.node.as_str()) == Some("oct")
                || jwk.node.get("d").is_some()
            {
                reader.reports.push(
                    error(Code::BadValue, jwk.key_span, "this is a secret key")
                        .help("give the public key; a policy is no place for the other"),
                );
                return None;
            }
            Some(Keys::Inline(
                serde_json::json!({ "keys": [jwk.node.to_json()] }).to_string(),
            ))
        }
        "secret" => {
            reader.reports.push(
                error(
                    Code::BadValue,
                    span,
                    "a symmetric key would stand in the proxy's configuration",
                )
                .help("use `jwks_url` or `jwk` with an asymmetric key"),
            );
            None
        }
        word @ ("pem" | "pem_file") => {
            reader.reports.push(
                error(
                    Code::NotInBuild,
                    span,
                    format!("`kind: {word}` is not in this build"),
                )
                .help("use `jwks_url`, or give the key as `jwk`"),
            );
            None
        }
        word => {
            reader.reports.push(
                error(Code::BadValue, span, format!("`kind` cannot be `{word}`"))
                    .help("it is `jwks_url` or `jwk`"),
            );
            None
        }
    }
}

/// An absolute URL; plain HTTP only where the policy says so.
fn url(node: &Node, key: &str, what: &str, allow_http: bool, reader: &mut Reader<'_>) -> Option<String> {
    let text = reader.required(node, key, what, node.span)?;
    let span = node.get(key)?.node.span;
    let bad = text.contains(|ch: char| ch.is_whitespace() || ch.is_control());
    if bad || !(text.starts_with("https://") || text.starts_with("http://")) {
        reader.reports.error(
            Code::BadValue,
            span,
            format!("`{key}` is an absolute URL, `{text}` is none"),
        );
        return None;
    }
    if text.starts_with("http://") && !allow_http {
        reader.reports.push(
            error(Code::BadValue, span, format!("`{key}` is not encrypted"))
                .help("use https, or say `insecure_http: true` on a development machine"),
        );
        return None;
    }
    Some(text.to_owned())
}

fn oauth(config: &Node, at: Span, reader: &mut Reader<'_>) -> Option<Oauth> {
    check(config, Section::OauthConfig, reader);
    let allow_http = reader.boolean(config, "insecure_http").unwrap_or(false);
    let what = "`delegator/oauth`";
    let anchor = if config.as_map().is_some_and(<[_]>::is_empty) {
        at
    } else {
        config.span
    };
    let token_endpoint = match config.get("token_endpoint") {
        Some(_) => url(config, "token_endpoint", what, allow_http, reader),
        None => {
            reader
                .reports
                .error(Code::MissingKey, anchor, format!("{what} needs `token_endpoint`"));
            None
        }
    };
    let client_id = reader
        .required(config, "client_id", what, anchor)
        .map(str::to_owned);
    let secret = match config.get("client_secret_source") {
        Some(entry) => secret(&entry.node, reader),
        None => {
            reader.reports.push(
                error(
                    Code::MissingKey,
                    anchor,
                    format!("{what} needs `client_secret_source`"),
                )
                .help("client_secret_source: {kind: env_var, name: MY_SECRET}"),
            );
            None
        }
    };
    let timeout = reader.number(config, "timeout_seconds", 1, 300).unwrap_or(5);
    let scopes = config
        .get("allowed_extra_scopes")
        .map(|entry| reader.texts(&entry.node, "allowed_extra_scopes"));
    let text = |key: &str, reader: &mut Reader<'_>| reader.text(config, key).map(str::to_owned);
    let outbound_header = text("default_outbound_header", reader)
        .unwrap_or_else(|| "authorization".to_owned())
        .to_ascii_lowercase();
    let outbound_prefix = config
        .get("outbound_prefix")
        .and_then(|entry| entry.node.as_str())
        .map(str::to_owned);
    let subject_token_type = text("subject_token_type", reader);
    let strict = reader
        .boolean(config, "strict_response_validation")
        .unwrap_or(true);
    Some(Oauth {
        token_endpoint: token_endpoint?,
        allow_http,
        client_id: client_id?,
        secret: secret?,
        timeout_ms: u64::try_from(timeout).unwrap_or(5) * 1000,
        outbound_header,
        outbound_prefix,
        subject_token_type,
        allowed_extra_scopes: scopes
            .unwrap_or_default()
            .into_iter()
            .map(|(text, _)| text)
            .collect(),
        strict,
    })
}

fn secret(node: &Node, reader: &mut Reader<'_>) -> Option<Secret> {
    check(node, Section::SecretSource, reader);
    match reader.word(node, "kind", &["env_var", "file", "literal"])? {
        "env_var" => {
            let name = reader.required(node, "name", "`kind: env_var`", node.span)?;
            Some(Secret::Env(name.to_owned()))
        }
        "file" => reader
            .required(node, "path", "`kind: file`", node.span)
            .map(|path| Secret::File(path.to_owned())),
        _ => {
            let secret = reader.required(node, "secret", "`kind: literal`", node.span)?;
            let span = node.get("secret").map_or(node.span, |entry| entry.key_span);
            reader.reports.push(
                warning(Code::LiteralSecret, span, "a secret stands in the policy").help(
                    "`aplc build` moves it to secrets.env; use `kind: env_var` or `kind: file` instead",
                ),
            );
            Some(Secret::Literal(secret.to_owned()))
        }
    }
}

fn pii(config: &Node, reader: &mut Reader<'_>) -> Pii {
    check(config, Section::PiiConfig, reader);
    let detectors = match config.get("detect") {
        Some(entry) => reader
            .list(&entry.node, "detect")
            .iter()
            .filter_map(|item| detector(item, reader))
            .collect(),
        None => vec![
            DetectorDecl::BuiltIn(Detector::Ssn),
            DetectorDecl::BuiltIn(Detector::CreditCard),
        ],
    };
    let mode = match reader.word(config, "mode", &["deny", "redact"]) {
        Some("redact") => ScanMode::Redact,
        _ => ScanMode::Deny,
    };
    let code = reader.text(config, "code").unwrap_or("pii.detected").to_owned();
    Pii {
        detectors,
        mode,
        code,
    }
}

const DETECTORS: &[(&str, Detector)] = &[
    ("ssn", Detector::Ssn),
    ("credit_card", Detector::CreditCard),
    ("iban", Detector::Iban),
    ("email", Detector::Email),
    ("phone", Detector::Phone),
    ("ip_address", Detector::IpAddress),
    ("api_key", Detector::ApiKey),
    ("private_key", Detector::PrivateKey),
    ("jwt", Detector::Jwt),
    ("prompt_injection", Detector::PromptInjection),
];

fn detector(item: &Node, reader: &mut Reader<'_>) -> Option<DetectorDecl> {
    check(item, Section::Detector, reader);
    let word = reader.required(item, "kind", "a detector", item.span)?;
    if let Some((_, detector)) = DETECTORS.iter().find(|(name, _)| *name == word) {
        return Some(DetectorDecl::BuiltIn(*detector));
    }
    let span = item.get("kind").map_or(item.span, |entry| entry.node.span);
    if word == "custom" {
        let name = reader
            .required(item, "name", "a custom detector", item.span)?
            .to_owned();
        let regex = reader
            .required(item, "regex", "a custom detector", item.span)?
            .to_owned();
        let span = item.get("regex").map_or(span, |entry| entry.node.span);
        return Some(DetectorDecl::Custom { name, regex, span });
    }
    let names: Vec<&str> = DETECTORS.iter().map(|(name, _)| *name).collect();
    reader.reports.push(
        error(Code::BadValue, span, format!("there is no detector `{word}`")).help(format!(
            "{}, or `custom` with `name` and `regex`",
            names.join(", ")
        )),
    );
    None
}

/// `global.pdp`.
pub(crate) fn decision_points(node: &Node, reader: &mut Reader<'_>) {
    let items = match node.as_map() {
        // CPEX accepts one map in place of a list of one.
        Some(_) => std::slice::from_ref(node),
        None => reader.list(node, "pdp"),
    };
    for item in items {
        check(item, Section::Pdp, reader);
        let Some(kind) = reader.required(item, "kind", "a decision point", item.span) else {
            continue;
        };
        let span = item.get("kind").map_or(item.span, |entry| entry.node.span);
        match kind {
            "cel" => {}
            "cedar-direct" | "opa" => {
                reader.reports.push(
                    note(
                        Code::NotInBuild,
                        span,
                        format!("the decision point `{kind}` is not in this build"),
                    )
                    .help("it is accepted; steps that ask it deny"),
                );
            }
            _ => {
                let diagnostic = error(
                    Code::UnknownKind,
                    span,
                    format!("there is no decision point `{kind}`"),
                );
                reader
                    .reports
                    .push(diagnostic.help("`cel`, `cedar-direct` or `opa`"));
            }
        }
        if let Some("allow") = reader.word(item, "on_error", &["deny", "allow"]) {
            let span = item.get("on_error").map_or(span, |entry| entry.node.span);
            reader.reports.push(warning(
                Code::NoMeaning,
                span,
                "`on_error: allow` would let an error pass; here it denies",
            ));
        }
    }
}

/// `global.session_store`.
pub(crate) fn session_store(node: &Node, reader: &mut Reader<'_>) -> Option<Store> {
    check(node, Section::SessionStore, reader);
    match reader.required(node, "kind", "`session_store`", node.span)? {
        "valkey" | "redis" => {
            let endpoint = reader.required(node, "endpoint", "a Valkey store", node.span)?;
            let tls = reader.boolean(node, "tls").unwrap_or(false);
            Some(Store::Valkey(if tls && !endpoint.contains("://") {
                format!("rediss://{endpoint}")
            } else {
                endpoint.to_owned()
            }))
        }
        "memory" | "embedded" => Some(Store::Embedded),
        word => {
            let span = node.get("kind").map_or(node.span, |entry| entry.node.span);
            reader.reports.push(
                error(
                    Code::UnknownKind,
                    span,
                    format!("there is no session store `{word}`"),
                )
                .help("`valkey`, `redis`, `memory` or `embedded`"),
            );
            None
        }
    }
}
