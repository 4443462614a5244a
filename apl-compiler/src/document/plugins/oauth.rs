//! `delegator/oauth`: the token endpoint and how the client proves itself; `delegator/secret`: a secret that goes to the backend as it is.

use super::url::url;
use crate::diagnostics::{Code, error, warning};
use crate::document::keys::{Reader, check};
use crate::document::plugin::{BackendSecret, ClientProof, Oauth, Secret};
use crate::source::Span;
use crate::vocabulary::Section;
use crate::yaml::Node;

/// Reads the configuration of one.
pub(super) fn oauth(config: &Node, at: Span, reader: &mut Reader<'_>) -> Option<Oauth> {
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
    let proof = proof(config, anchor, reader);
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
    let actor_token_type = text("actor_token_type", reader);
    let workload_assertion_type = text("workload_assertion_type", reader);
    let mut on = |key: &str, default: bool| reader.boolean(config, key).unwrap_or(default);
    let strict = on("strict_response_validation", true);
    let accept_missing_actor = on("accept_missing_actor", false);
    let max_depth = reader
        .number(config, "max_depth", 0, 64)
        .and_then(|depth| u32::try_from(depth).ok());
    let introspection_endpoint = match config.get("introspection_endpoint") {
        None => None,
        Some(_) => Some(url(config, "introspection_endpoint", what, allow_http, reader)?),
    };
    let cache_ttl_s = config.get("cache").and_then(|entry| cache(&entry.node, reader));
    Some(Oauth {
        token_endpoint: token_endpoint?,
        allow_http,
        client_id: client_id?,
        proof: proof?,
        timeout_ms: u64::try_from(timeout).unwrap_or(5) * 1000,
        outbound_header,
        outbound_prefix,
        subject_token_type,
        actor_token_type,
        workload_assertion_type,
        allowed_extra_scopes: scopes
            .unwrap_or_default()
            .into_iter()
            .map(|(text, _)| text)
            .collect(),
        strict,
        accept_missing_actor,
        max_depth,
        introspection_endpoint,
        cache_ttl_s,
    })
}

/// Reads how the client proves itself.
fn proof(config: &Node, anchor: Span, reader: &mut Reader<'_>) -> Option<ClientProof> {
    let methods = ["client_secret_basic", "client_secret_post", "private_key_jwt"];
    let method = match config.get("client_auth_method") {
        None => "client_secret_basic",
        Some(_) => reader.word(config, "client_auth_method", &methods)?,
    };
    if method == "private_key_jwt" {
        let example = "client_key_source: {kind: file, path: client-key.pem}";
        let key = needed_secret(
            config,
            "client_key_source",
            "`private_key_jwt`",
            example,
            anchor,
            reader,
        )?;
        let mut text = |key: &str| reader.text(config, key).map(str::to_owned);
        return Some(ClientProof::Key {
            key,
            id: text("client_key_id"),
            audience: text("assertion_audience"),
        });
    }
    let example = "client_secret_source: {kind: env_var, name: MY_SECRET}";
    let secret = needed_secret(
        config,
        "client_secret_source",
        "`delegator/oauth`",
        example,
        anchor,
        reader,
    )?;
    Some(match method {
        "client_secret_post" => ClientProof::Post(secret),
        _ => ClientProof::Basic(secret),
    })
}

fn needed_secret(
    config: &Node,
    key: &str,
    what: &str,
    example: &str,
    anchor: Span,
    reader: &mut Reader<'_>,
) -> Option<Secret> {
    match config.get(key) {
        Some(entry) => secret(&entry.node, reader),
        None => {
            reader.reports.push(
                error(Code::MissingKey, anchor, format!("{what} needs `{key}`")).help(example.to_owned()),
            );
            None
        }
    }
}

/// `cache: none`, or a map with its ceiling. Seconds; 0: no cache.
fn cache(node: &Node, reader: &mut Reader<'_>) -> Option<u64> {
    if let Some(word) = node.as_str() {
        if word != "none" {
            reader.wrong(node, "`cache`", "`none` or a map");
        }
        return Some(0);
    }
    check(node, Section::TokenCache, reader);
    if reader.boolean(node, "enabled") == Some(false) {
        return Some(0);
    }
    reader
        .number(node, "ttl_ceiling_seconds", 1, 86_400)
        .and_then(|seconds| u64::try_from(seconds).ok())
}

/// Reads a backend's own secret.
pub(super) fn backend_secret(config: &Node, at: Span, reader: &mut Reader<'_>) -> Option<BackendSecret> {
    check(config, Section::SecretDelegator, reader);
    let example = "secret_source: {kind: env_var, name: BACKEND_KEY}";
    let secret = needed_secret(config, "secret_source", "`delegator/secret`", example, at, reader);
    let header = reader
        .text(config, "default_outbound_header")
        .unwrap_or("authorization");
    let outbound_header = header.to_ascii_lowercase();
    let prefix = config
        .get("outbound_prefix")
        .and_then(|entry| entry.node.as_str());
    let outbound_prefix = prefix.map(str::to_owned);
    let ttl = reader.number(config, "ttl_seconds", 0, 3600);
    Some(BackendSecret {
        secret: secret?,
        outbound_header,
        outbound_prefix,
        ttl_s: ttl.and_then(|seconds| u64::try_from(seconds).ok()),
    })
}

/// Reads where a secret is.
pub(super) fn secret(node: &Node, reader: &mut Reader<'_>) -> Option<Secret> {
    check(node, Section::SecretSource, reader);
    match reader.word(node, "kind", &["env_var", "file", "vault", "literal"])? {
        "env_var" => {
            let name = reader.required(node, "name", "`kind: env_var`", node.span)?;
            Some(Secret::Env(name.to_owned()))
        }
        "file" => reader
            .required(node, "path", "`kind: file`", node.span)
            .map(|path| Secret::File(path.to_owned())),
        "vault" => {
            let what = "`kind: vault`";
            let path = reader.required(node, "path", what, node.span).map(str::to_owned);
            let field = reader.required(node, "field", what, node.span).map(str::to_owned);
            let mount = reader.text(node, "mount").unwrap_or("secret").to_owned();
            Some(Secret::Vault {
                mount,
                path: path?,
                field: field?,
            })
        }
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
