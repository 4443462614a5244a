//! `identity/jwt` and `identity/mesh-jwt`: issuers, and who checks their signatures.

use apl_bytecode::{Algorithm, TokenRole};

use super::{claims, decoding_key};
use crate::diagnostics::{Code, error};
use crate::document::identity::{CredentialDecl, IdentityDecl, JwtIssuer, MeshIssuerDecl};
use crate::document::keys::{Reader, check};
use crate::source::Span;
use crate::vocabulary::Section;
use crate::yaml::Node;

/// Reads the configuration of an `identity/jwt`.
pub(super) fn jwt(config: &Node, at: Span, reader: &mut Reader<'_>) -> Option<IdentityDecl> {
    check(config, Section::JwtConfig, reader);
    let role = role(config, reader);
    let header = reader
        .text(config, "header")
        .unwrap_or("authorization")
        .to_ascii_lowercase();
    let prefix = reader.text(config, "prefix").map(str::to_owned);
    let claims = claims::of_token(config, role, reader);
    let trust_domains = trust_domains(config, reader);
    let issuers = issuers(config, "`identity/jwt`", at, reader, issuer)?;
    Some(IdentityDecl {
        role,
        source: CredentialDecl::Token {
            header,
            prefix,
            issuers,
        },
        trust_domains,
        claims,
        bound: false,
    })
}

/// Reads the configuration of an `identity/mesh-jwt`.
pub(super) fn mesh(config: &Node, at: Span, reader: &mut Reader<'_>) -> Option<IdentityDecl> {
    check(config, Section::MeshConfig, reader);
    let role = role(config, reader);
    let mut part = |key: &str, default: &str| {
        let text = config
            .get("metadata")
            .and_then(|entry| reader.text(&entry.node, key));
        text.unwrap_or(default).to_owned()
    };
    // What Istio's RequestAuthentication writes; Envoy's own filter writes where `payload_in_metadata` says.
    let namespace = part("namespace", "envoy.filters.http.jwt_authn");
    let key = part("key", "payload");
    if let Some(entry) = config.get("metadata") {
        check(&entry.node, Section::MeshMetadata, reader);
    }
    let claims = claims::of_token(config, role, reader);
    let trust_domains = trust_domains(config, reader);
    let issuers = issuers(config, "`identity/mesh-jwt`", at, reader, mesh_issuer)?;
    Some(IdentityDecl {
        role,
        source: CredentialDecl::Metadata {
            namespace,
            key,
            issuers,
        },
        trust_domains,
        claims,
        bound: false,
    })
}

/// Whose credential it is.
pub(super) fn role(config: &Node, reader: &mut Reader<'_>) -> TokenRole {
    match reader.word(config, "role", &["user", "client", "caller_workload", "workload"]) {
        Some("client") => TokenRole::Client,
        Some("caller_workload" | "workload") => TokenRole::CallerWorkload,
        _ => TokenRole::User,
    }
}

/// `trust_domain`, or several.
pub(super) fn trust_domains(config: &Node, reader: &mut Reader<'_>) -> Vec<String> {
    let mut domains = Vec::new();
    for key in ["trust_domain", "trust_domains"] {
        let Some(entry) = config.get(key) else { continue };
        for (domain, span) in reader.texts(&entry.node, key) {
            let plain =
                |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b".-_".contains(&byte);
            if domain.bytes().all(plain) && domain.len() <= 255 {
                domains.push(domain);
            } else {
                let message = format!("`{domain}` is no trust domain");
                reader.reports.push(
                    error(Code::BadValue, span, message)
                        .help("the part between `spiffe://` and the next slash: lower-case letters, digits, `.`, `-`, `_`"),
                );
            }
        }
    }
    domains
}

fn issuers<T>(
    config: &Node,
    what: &str,
    at: Span,
    reader: &mut Reader<'_>,
    one: fn(&Node, &mut Reader<'_>) -> Option<T>,
) -> Option<Vec<T>> {
    let Some(entry) = config.get("trusted_issuers") else {
        let message = format!("{what} needs `trusted_issuers`");
        reader.reports.error(Code::MissingKey, at, message);
        return None;
    };
    let items = reader.list(&entry.node, "trusted_issuers");
    if items.is_empty() {
        reader.reports.error(
            Code::BadValue,
            entry.node.span,
            "`trusted_issuers` needs at least one issuer",
        );
        return None;
    }
    // Each is read, so that one bad issuer does not hide what is wrong with the next.
    let read: Vec<Option<T>> = items.iter().map(|item| one(item, reader)).collect();
    read.into_iter().collect()
}

/// What every issuer says: its name, for whom its tokens are, and how far clocks may differ.
fn terms(item: &Node, reader: &mut Reader<'_>) -> (Option<String>, Vec<String>, u32) {
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
    let leeway = reader.number(item, "leeway_seconds", 0, 3600).unwrap_or(0);
    let leeway_s = if leeway == 0 {
        60
    } else {
        u32::try_from(leeway).unwrap_or(60)
    };
    (name, if skip { Vec::new() } else { audiences }, leeway_s)
}

fn mesh_issuer(item: &Node, reader: &mut Reader<'_>) -> Option<MeshIssuerDecl> {
    check(item, Section::MeshIssuer, reader);
    let (issuer, audiences, leeway_s) = terms(item, reader);
    Some(MeshIssuerDecl {
        issuer: issuer?,
        audiences,
        leeway_s,
    })
}

fn issuer(item: &Node, reader: &mut Reader<'_>) -> Option<JwtIssuer> {
    check(item, Section::TrustedIssuer, reader);
    let (name, audiences, leeway_s) = terms(item, reader);
    let algorithms: Vec<Algorithm> = match item.get("algorithms") {
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
    let keys = decoding_key::read(&key.node, reader);
    if algorithms.is_empty() {
        return None;
    }
    Some(JwtIssuer {
        issuer: name?,
        audiences,
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
