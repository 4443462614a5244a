//! `assertions:`: headers that the proxy vouches for, and `secrets:`, which they may draw from.

use apl_bytecode::Encoding;

use super::keys::{Reader, check};
use crate::diagnostics::{Code, error};
use crate::glob;
use crate::source::Span;
use crate::syntax::field_segments;
use crate::vocabulary::Section;
use crate::yaml::Node;

/// `assertions` of one section.
#[derive(Debug, Default)]
pub(crate) struct AssertionsDecl {
    /// To the backend.
    pub request: ContractDecl,
    /// To the client.
    pub response: ContractDecl,
}

/// One direction.
#[derive(Debug, Default)]
pub(crate) struct ContractDecl {
    /// In written order.
    pub headers: Vec<HeaderDecl>,
    /// Names or patterns of what is removed.
    pub strip: Vec<String>,
    /// What outer sections say is dropped.
    pub replace_inherited: Option<Span>,
}

/// One header.
#[derive(Debug, Clone)]
pub(crate) struct HeaderDecl {
    /// Lower-case.
    pub name: String,
    /// Where the entry is.
    pub span: Span,
    /// Where the value comes from.
    pub source: SourceDecl,
    /// How it is written.
    pub encoding: Encoding,
    /// `on_missing: deny`.
    pub required: bool,
}

/// Where a value comes from.
#[derive(Debug, Clone)]
pub(crate) enum SourceDecl {
    /// Names of an attribute.
    Attr(Vec<String>),
    /// Attributes by key.
    Members(Vec<(String, Vec<String>)>),
    /// `secret.<name>`.
    Secret(String, Span),
}

/// Where a secret is.
#[derive(Debug, Clone)]
pub(crate) struct SecretDecl {
    /// The name under `secrets.values`.
    pub name: String,
    /// The variable of the VM's environment; `None`: a provider that the proxy cannot ask.
    pub variable: Option<String>,
    /// The provider's kind.
    pub kind: String,
}

/// Headers of the request that frame or route it, or that the proxy writes itself.
const REQUEST_FLOOR: &[&str] = &[
    "host",
    "content-type",
    "content-length",
    "content-encoding",
    "transfer-encoding",
    "connection",
    "keep-alive",
    "te",
    "trailer",
    "upgrade",
    "expect",
    "x-policy-decision-id",
    "x-policy-violation",
    "x-policy-elicitation-id",
    "x-policy-elicitation-peek",
];

/// Headers of the response that frame it or that caches and browsers act on.
const RESPONSE_FLOOR: &[&str] = &[
    "content-type",
    "content-length",
    "content-encoding",
    "transfer-encoding",
    "connection",
    "keep-alive",
    "te",
    "trailer",
    "upgrade",
    "cache-control",
    "etag",
    "last-modified",
    "vary",
    "retry-after",
    "access-control-allow-origin",
    "access-control-allow-credentials",
    "access-control-allow-headers",
    "access-control-allow-methods",
    "access-control-expose-headers",
    "access-control-max-age",
    "x-policy-decision-id",
    "x-policy-violation",
];

/// Sets, which need an encoding.
const SETS: &[&str] = &[
    "subject.roles",
    "subject.permissions",
    "subject.teams",
    "client.roles",
    "client.permissions",
    "client.teams",
    "client.authorized_scopes",
    "client.authorized_audiences",
];

/// Reads `assertions` of a section.
pub(super) fn read(node: &Node, reader: &mut Reader<'_>) -> AssertionsDecl {
    let Some(entry) = node.get("assertions") else {
        return AssertionsDecl::default();
    };
    check(&entry.node, Section::Assertions, reader);
    AssertionsDecl {
        request: contract(&entry.node, "request", REQUEST_FLOOR, reader),
        response: contract(&entry.node, "response", RESPONSE_FLOOR, reader),
    }
}

fn contract(node: &Node, key: &str, floor: &[&str], reader: &mut Reader<'_>) -> ContractDecl {
    let Some(entry) = node.get(key) else {
        return ContractDecl::default();
    };
    let node = &entry.node;
    check(node, Section::Contract, reader);
    let mut headers: Vec<HeaderDecl> = Vec::new();
    if let Some(list) = node.get("headers") {
        for item in reader.list(&list.node, "headers") {
            let Some(header) = header(item, floor, key == "request", reader) else {
                continue;
            };
            match headers.iter().find(|known| known.name == header.name) {
                Some(first) => reader.reports.push(
                    error(
                        Code::Duplicate,
                        header.span,
                        format!("the header `{}` is asserted twice", header.name),
                    )
                    .related(first.span, "the first assertion"),
                ),
                None => headers.push(header),
            }
        }
    }
    let mut strip = Vec::new();
    if let Some(list) = node.get("strip") {
        for (pattern, span) in reader.texts(&list.node, "strip") {
            let pattern = pattern.to_ascii_lowercase();
            if let Some(kept) = floor.iter().find(|name| glob::overlap(&pattern, name)) {
                reader.reports.push(
                    error(Code::Assertion, span, format!("`{pattern}` would remove `{kept}`"))
                        .help("headers that frame a message, or that caches and browsers act on, stay; name the others"),
                );
            } else if is_name(&pattern, true) {
                strip.push(pattern);
            } else {
                reader.reports.error(
                    Code::Assertion,
                    span,
                    format!("`{pattern}` is no name of a header"),
                );
            }
        }
    }
    let replaces = reader.boolean(node, "replace_inherited").unwrap_or(false);
    ContractDecl {
        headers,
        strip,
        replace_inherited: node
            .get("replace_inherited")
            .filter(|_| replaces)
            .map(|entry| entry.key_span),
    }
}

fn header(item: &Node, floor: &[&str], request: bool, reader: &mut Reader<'_>) -> Option<HeaderDecl> {
    if item.as_map().is_none() {
        reader.wrong(item, "a header", "a map");
        return None;
    }
    check(item, Section::AssertedHeader, reader);
    let name = reader
        .required(item, "name", "an asserted header", item.span)?
        .to_ascii_lowercase();
    let span = item.get("name").map_or(item.span, |entry| entry.node.span);
    if floor.contains(&name.as_str()) {
        reader.reports.push(
            error(Code::Assertion, span, format!("`{name}` cannot be asserted")).help(
                "headers that frame a message, or that caches and browsers act on, are not for policy to set",
            ),
        );
        return None;
    }
    if !is_name(&name, false) {
        reader
            .reports
            .error(Code::Assertion, span, format!("`{name}` is no name of a header"));
        return None;
    }
    let required = reader.word(item, "on_missing", &["omit", "deny"]) == Some("deny");
    let encode = reader.word(item, "encode", &["json", "csv"]);
    let (from, members) = (item.get("from"), item.get("members"));
    let source = match (from, members) {
        (Some(from), None) => {
            let text = reader.text(item, "from")?;
            source(text, from.node.span, request, reader)?
        }
        (None, Some(members)) => {
            let mut list = Vec::new();
            for member in reader.map(&members.node, "members") {
                let Some(text) = member.node.as_str() else {
                    reader.wrong(&member.node, "a member", "an attribute");
                    continue;
                };
                match source(text, member.node.span, request, reader) {
                    Some(SourceDecl::Attr(names)) => list.push((member.key.clone(), names)),
                    Some(SourceDecl::Secret(..) | SourceDecl::Members(_)) => reader.reports.error(
                        Code::Assertion,
                        member.node.span,
                        "a secret is a header of its own".to_owned(),
                    ),
                    None => {}
                }
            }
            SourceDecl::Members(list)
        }
        (Some(_), Some(second)) => {
            reader.reports.error(
                Code::Assertion,
                second.key_span,
                "an asserted header has `from` or `members`, not both".to_owned(),
            );
            return None;
        }
        (None, None) => {
            reader.reports.push(
                error(Code::MissingKey, item.span, "an asserted header needs `from`")
                    .help("from: subject.id"),
            );
            return None;
        }
    };
    let collection = match &source {
        SourceDecl::Members(_) => true,
        SourceDecl::Attr(names) => SETS.contains(&names.join(".").as_str()),
        SourceDecl::Secret(..) => false,
    };
    let encoding = match (encode, &source) {
        (Some("csv"), SourceDecl::Members(_)) => {
            reader.reports.error(
                Code::Assertion,
                span,
                "`members` are written as JSON: `encode: json`".to_owned(),
            );
            return None;
        }
        (Some("csv"), _) => Encoding::Csv,
        (Some(_), _) => Encoding::Json,
        (None, _) if collection => {
            reader.reports.push(
                error(
                    Code::Assertion,
                    span,
                    "a header with several values needs `encode`",
                )
                .help("`encode: json` or `encode: csv`"),
            );
            return None;
        }
        (None, _) => Encoding::Plain,
    };
    Some(HeaderDecl {
        name,
        span,
        source,
        encoding,
        required,
    })
}

/// An attribute of a verified credential, or a secret.
fn source(text: &str, span: Span, request: bool, reader: &mut Reader<'_>) -> Option<SourceDecl> {
    let mut refuse = |what: String| {
        reader.reports.push(error(Code::Assertion, span, what).help(
            "sources are `subject.*`, `claim.*`, `client.*`, and for requests `secret.*`: what a verified credential says",
        ));
        None
    };
    let names = field_segments(text).unwrap_or_default();
    match names.split_first() {
        Some((root, rest)) if root == "secret" && !rest.is_empty() => {
            if request {
                Some(SourceDecl::Secret(rest.join("."), span))
            } else {
                refuse("a secret cannot go to the client".to_owned())
            }
        }
        Some((root, rest)) if matches!(root.as_str(), "subject" | "client" | "claim") && !rest.is_empty() => {
            Some(SourceDecl::Attr(names))
        }
        Some(_) | None => refuse(format!("`{text}` cannot be asserted")),
    }
}

/// A token of RFC 9110 in lower case; a pattern may hold `*` and `?`.
/// Whether a response's header says where it ends or how it travels, or is ours.
pub(super) fn frames(name: &str) -> bool {
    name.starts_with("x-policy-")
        || matches!(
            name,
            "content-length"
                | "content-encoding"
                | "transfer-encoding"
                | "connection"
                | "keep-alive"
                | "te"
                | "trailer"
                | "upgrade"
        )
}

/// Whether it can be the name of a header, or a pattern of one.
pub(super) fn is_name(name: &str, pattern: bool) -> bool {
    !name.is_empty()
        && name.bytes().all(|byte| {
            byte.is_ascii_lowercase()
                || byte.is_ascii_digit()
                || b"!#$%&'+-.^_`|~".contains(&byte)
                || (pattern && matches!(byte, b'*' | b'?'))
        })
}

/// Reads the top-level `secrets`.
pub(super) fn secrets(node: &Node, reader: &mut Reader<'_>) -> Vec<SecretDecl> {
    check(node, Section::Secrets, reader);
    let mut providers: Vec<(String, String)> = vec![("env".to_owned(), "env".to_owned())];
    if let Some(entry) = node.get("providers") {
        for provider in reader.map(&entry.node, "providers") {
            check(&provider.node, Section::SecretProvider, reader);
            let kind = match provider.node.get("kind") {
                Some(_) => reader.word(&provider.node, "kind", &["env", "file", "vault"]),
                // A provider may be named by its kind.
                None => ["env", "file", "vault"]
                    .into_iter()
                    .find(|kind| *kind == provider.key),
            };
            match kind {
                Some(kind) => {
                    providers.retain(|(name, _)| *name != provider.key);
                    providers.push((provider.key.clone(), kind.to_owned()));
                }
                None if provider.node.get("kind").is_none() => reader.reports.push(
                    error(
                        Code::MissingKey,
                        provider.key_span,
                        format!("the provider `{}` needs `kind`", provider.key),
                    )
                    .help("`env`, `file` or `vault`"),
                ),
                None => {}
            }
        }
    }
    let mut secrets = Vec::new();
    if let Some(entry) = node.get("values") {
        for value in reader.map(&entry.node, "values") {
            check(&value.node, Section::SecretValue, reader);
            let provider = reader.required(&value.node, "provider", "a secret", value.key_span);
            let reference = reader.required(&value.node, "ref", "a secret", value.key_span);
            let (Some(provider), Some(reference)) = (provider, reference) else {
                continue;
            };
            let Some((_, kind)) = providers.iter().find(|(name, _)| name == provider) else {
                reader.reports.push(
                    error(
                        Code::BadValue,
                        value.key_span,
                        format!("no provider is called `{provider}`"),
                    )
                    .help("declare it under `secrets: {providers: ...}`; `env` is always there"),
                );
                continue;
            };
            secrets.push(SecretDecl {
                name: value.key.clone(),
                variable: (kind == "env").then(|| reference.to_owned()),
                kind: kind.clone(),
            });
        }
    }
    secrets
}
