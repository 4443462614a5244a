//! `global.session_store`: where labels live.

use super::oauth::secret;
use crate::deployment::SecretSource;
use crate::diagnostics::{Code, error, warning};
use crate::document::keys::{Reader, check};
use crate::document::{Secret, Store, Valkey};
use crate::vocabulary::Section;
use crate::yaml::Node;

/// A year, in seconds: longer lifetimes are mistakes.
const YEAR_S: i64 = 366 * 24 * 60 * 60;
/// Longest time for the store, in milliseconds: the filter waits at most a minute for the companion.
const MAX_MS: i64 = 59_000;

/// `global.session_store`.
pub(crate) fn session_store(node: &Node, reader: &mut Reader<'_>) -> Option<Store> {
    check(node, Section::SessionStore, reader);
    match reader.required(node, "kind", "`session_store`", node.span)? {
        "valkey" | "redis" => valkey(node, reader).map(|store| Store::Valkey(Box::new(store))),
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

fn valkey(node: &Node, reader: &mut Reader<'_>) -> Option<Valkey> {
    let allow_plain = reader.boolean(node, "allow_plain").unwrap_or(false);
    let endpoint = endpoint(node, allow_plain, reader);
    let username = reader.text(node, "username").map(str::to_owned);
    let password = password(node, reader);
    if username.is_some() && password.is_none() {
        let span = node.get("username").map_or(node.span, |entry| entry.node.span);
        reader.reports.push(
            error(Code::MissingKey, span, "a store's `username` needs a password")
                .help("password_source: {kind: env_var, name: VALKEY_PASSWORD}"),
        );
    }
    let prefix = key_prefix(node, reader);
    let mut whole = |key: &str, low: i64, high: i64| {
        reader
            .number(node, key, low, high)
            .and_then(|value| u64::try_from(value).ok())
    };
    Some(Valkey {
        replicas: whole("replicas", 0, 100).and_then(|count| u32::try_from(count).ok()),
        connect_timeout_ms: whole("connect_timeout_ms", 1, MAX_MS),
        command_timeout_ms: whole("command_timeout_ms", 4, MAX_MS),
        session_idle_s: whole("ttl_seconds", 0, YEAR_S),
        session_max_s: whole("max_session_lifetime_seconds", 0, YEAR_S),
        subject_s: whole("subject_ttl_seconds", 0, YEAR_S),
        endpoint: endpoint?,
        allow_plain,
        username,
        password,
        ca_file: reader.text(node, "ca_file").map(str::to_owned),
        key_prefix: prefix,
    })
}

/// Several, of sentinels or of a cluster, or one.
fn hosts(text: &str) -> impl Iterator<Item = &str> {
    let places = text.split('/').next().unwrap_or_default();
    places.split(',')
}

/// The address, as the companion takes it: without credentials, and encrypted unless it is this machine.
fn endpoint(node: &Node, allow_plain: bool, reader: &mut Reader<'_>) -> Option<String> {
    let text = reader.required(node, "endpoint", "a Valkey store", node.span)?;
    let span = node.get("endpoint")?.key_span;
    let tls = reader.boolean(node, "tls").unwrap_or(false);
    let (scheme, host) = match text.split_once("://") {
        Some((scheme, host)) => (Some(scheme), host),
        None => (None, text),
    };
    let encrypted = match scheme {
        Some("rediss" | "rediss+sentinel" | "rediss+cluster") => Some(true),
        Some("redis" | "redis+sentinel" | "redis+cluster") => Some(false),
        Some(_) => None,
        None => Some(tls),
    };
    // The key is shown and not the value, which may hold a password.
    let fault = if text.contains('@') {
        Some((
            "carries credentials",
            "give `username` and `password_source` beside it",
        ))
    } else if text.contains(|ch: char| ch.is_whitespace() || ch.is_control() || ch == '#') {
        Some(("has white space or `#`", "`host:port` or a `rediss://` URL"))
    } else if encrypted.is_none() {
        Some((
            "has another scheme than `redis`, `rediss` and those with `+sentinel` or `+cluster`",
            "`host:port`, a `rediss://` URL, `rediss+sentinel://host:port,host:port/name` or `rediss+cluster://host:port,host:port`",
        ))
    } else if tls && encrypted == Some(false) {
        Some((
            "is `redis://`, and `tls: true` contradicts it",
            "write `rediss://`",
        ))
    } else if encrypted == Some(false) && !allow_plain && !hosts(host).all(is_loopback) {
        Some((
            "is not encrypted",
            "write `rediss://`, or `allow_plain: true` on a development machine",
        ))
    } else {
        None
    };
    if let Some((what, help)) = fault {
        let message = format!("the store's `endpoint` {what}");
        reader
            .reports
            .push(error(Code::BadValue, span, message).help(help));
        return None;
    }
    Some(if scheme.is_none() && tls {
        format!("rediss://{text}")
    } else {
        text.to_owned()
    })
}

fn is_loopback(host: &str) -> bool {
    let host = host.split('/').next().unwrap_or(host);
    let host = match host.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, _)) => address,
        None => host.split(':').next().unwrap_or(host),
    };
    host == "localhost"
        || host
            .parse::<std::net::IpAddr>()
            .is_ok_and(|address| address.is_loopback())
}

/// `password_source`, or upstream's literal `password`.
fn password(node: &Node, reader: &mut Reader<'_>) -> Option<SecretSource> {
    if let Some(entry) = node.get("password_source") {
        if let Some(twin) = node.get("password") {
            reader.reports.push(
                error(
                    Code::BadValue,
                    twin.key_span,
                    "`password` and `password_source` are one thing twice",
                )
                .help("keep `password_source`"),
            );
        }
        return secret(&entry.node, reader).map(|secret| match secret {
            Secret::Literal(text) => SecretSource::Literal(text),
            Secret::Env(name) => SecretSource::Env(name),
            Secret::File(path) => SecretSource::File(path),
            Secret::Vault { mount, path, field } => SecretSource::Vault { mount, path, field },
        });
    }
    let text = reader.text(node, "password")?;
    reader.reports.push(
        warning(Code::LiteralSecret, node.get("password")?.key_span, "a secret stands in the policy").help(
            "`aplc build` moves it to secrets.env; use `password_source: {kind: env_var, name: VALKEY_PASSWORD}` instead",
        ),
    );
    Some(SecretSource::Literal(text.to_owned()))
}

/// What stands before keys, of characters that no pattern or command gives a meaning.
fn key_prefix(node: &Node, reader: &mut Reader<'_>) -> Option<String> {
    let text = reader.text(node, "key_prefix")?;
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b":._-".contains(&byte);
    if !text.bytes().all(plain) {
        let span = node.get("key_prefix")?.node.span;
        reader.reports.push(
            error(
                Code::BadValue,
                span,
                "a store's `key_prefix` has letters, digits and `:._-` only",
            )
            .help("leave it out: it is `aplomb:v1`"),
        );
        return None;
    }
    Some(text.to_owned())
}
