//! `identity/jwt`: issuers and their keys.

use apl_bytecode::{Algorithm, TokenRole};

use super::url::url;
use crate::diagnostics::{Code, error};
use crate::document::keys::{Reader, check};
use crate::document::plugin::{Jwt, JwtIssuer, Keys};
use crate::source::Span;
use crate::vocabulary::Section;
use crate::yaml::Node;

/// Reads the configuration of one.
pub(super) fn jwt(config: &Node, at: Span, reader: &mut Reader<'_>) -> Option<Jwt> {
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
