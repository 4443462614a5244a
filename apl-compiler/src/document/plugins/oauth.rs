//! `delegator/oauth`: the token endpoint and the client's secret.

use super::url::url;
use crate::diagnostics::{Code, error, warning};
use crate::document::keys::{Reader, check};
use crate::document::plugin::{Oauth, Secret};
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

/// Reads where a secret is.
pub(super) fn secret(node: &Node, reader: &mut Reader<'_>) -> Option<Secret> {
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
