//! `decoding_key`: where an issuer's public keys are. Keys that the policy brings become a JWK set here, so that the proxy
//! reads one format only.

mod pem;

use crate::diagnostics::{Code, error};
use crate::document::identity::Keys;
use crate::document::keys::{Reader, check};
use crate::document::plugins::url::url;
use crate::source::Span;
use crate::vocabulary::Section;
use crate::yaml::Node;

pub(super) fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Keys> {
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
            let jwk = map(node, "jwk", reader)?;
            is_public(jwk, reader).then(|| inline(vec![jwk.to_json()]))
        }
        "jwks" => {
            let jwks = map(node, "jwks", reader)?;
            let keys = jwks.get("keys").and_then(|entry| entry.node.as_list());
            let Some(keys) = keys.filter(|keys| !keys.is_empty()) else {
                reader
                    .reports
                    .error(Code::MissingKey, jwks.span, "`jwks` needs `keys`, a list of keys");
                return None;
            };
            let public: Vec<bool> = keys.iter().map(|key| is_public(key, reader)).collect();
            public
                .iter()
                .all(|public| *public)
                .then(|| inline(keys.iter().map(Node::to_json).collect()))
        }
        "pem" => {
            let text = reader.required(node, "pem", "`kind: pem`", node.span)?;
            let at = node.get("pem").map_or(span, |entry| entry.node.span);
            match pem::jwk(text) {
                Ok(jwk) => Some(inline(vec![jwk])),
                Err(fault) => {
                    reader.reports.push(
                        error(Code::BadValue, at, format!("`pem` cannot be used: {fault}"))
                            .help("a public key, `-----BEGIN PUBLIC KEY-----`, of RSA, P-256 or Ed25519"),
                    );
                    None
                }
            }
        }
        word => {
            reader.reports.push(refused(word, span));
            None
        }
    }
}

fn refused(word: &str, span: Span) -> crate::diagnostics::Diagnostic {
    match word {
        "secret" => error(
            Code::BadValue,
            span,
            "a symmetric key would stand in the proxy's configuration",
        )
        .help("use `jwks_url`, `jwk` or `pem` with an asymmetric key"),
        "pem_file" => error(
            Code::NotInBuild,
            span,
            "`kind: pem_file` is not in this build: a compiled policy holds its keys",
        )
        .help("put the file's text under `pem: |` with `kind: pem`"),
        word => error(Code::BadValue, span, format!("`kind` cannot be `{word}`"))
            .help("it is `jwks_url`, `jwks`, `jwk` or `pem`"),
    }
}

fn map<'n>(node: &'n Node, key: &str, reader: &mut Reader<'_>) -> Option<&'n Node> {
    let found = node.get(key).filter(|entry| entry.node.as_map().is_some());
    if found.is_none() {
        let message = format!("`kind: {key}` needs `{key}`, a map");
        reader.reports.error(Code::MissingKey, node.span, message);
    }
    found.map(|entry| &entry.node)
}

fn is_public(jwk: &Node, reader: &mut Reader<'_>) -> bool {
    let secret = jwk.get("kty").and_then(|kty| kty.node.as_str()) == Some("oct") || jwk.get("d").is_some();
    if secret {
        reader.reports.push(
            error(Code::BadValue, jwk.span, "this is a secret key")
                .help("give the public key; a policy is no place for the other"),
        );
    }
    !secret
}

fn inline(keys: Vec<serde_json::Value>) -> Keys {
    Keys::Inline(serde_json::json!({ "keys": keys }).to_string())
}
