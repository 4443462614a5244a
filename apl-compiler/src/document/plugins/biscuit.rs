//! `delegator/biscuit`: whose Biscuits the companion narrows.

use crate::diagnostics::{Code, error};
use crate::document::keys::{Reader, check};
use crate::document::plugin::{Biscuit, RootKey};
use crate::source::Span;
use crate::vocabulary::Section;
use crate::yaml::Node;

const WHAT: &str = "`delegator/biscuit`";

const EXAMPLE: &str = "root_public_key: {file: biscuit-root.pub}";

/// Reads the configuration of one.
pub(super) fn biscuit(config: &Node, at: Span, reader: &mut Reader<'_>) -> Option<Biscuit> {
    check(config, Section::BiscuitDelegator, reader);
    let root = match config.get("root_public_key") {
        Some(entry) => root(&entry.node, reader),
        None => {
            let message = format!("{WHAT} needs `root_public_key`");
            reader
                .reports
                .push(error(Code::MissingKey, at, message).help(EXAMPLE));
            None
        }
    };
    let header = |key: &str, otherwise: &str, reader: &mut Reader<'_>| {
        reader.text(config, key).unwrap_or(otherwise).to_ascii_lowercase()
    };
    // Beside the credential that says who calls, which mostly is in `Authorization`.
    let inbound = header("header", "x-biscuit", reader);
    let outbound_header = header("default_outbound_header", "authorization", reader);
    let prefix = config
        .get("outbound_prefix")
        .and_then(|entry| entry.node.as_str());
    let outbound_prefix = prefix.map(str::to_owned);
    let ttl = reader.number(config, "default_ttl_seconds", 1, 86_400);
    let subject_fact = reader.text(config, "subject_fact").map(str::to_owned);
    let mut on = |key: &str| reader.boolean(config, key).unwrap_or(true);
    let (bind_subject, cache) = (on("bind_subject"), on("cache"));
    Some(Biscuit {
        root: root?,
        header: inbound,
        outbound_header,
        outbound_prefix,
        ttl_s: ttl.and_then(|seconds| u64::try_from(seconds).ok()),
        subject_fact,
        bind_subject,
        cache,
    })
}

fn root(node: &Node, reader: &mut Reader<'_>) -> Option<RootKey> {
    check(node, Section::RootKey, reader);
    let text = |key: &str, reader: &mut Reader<'_>| reader.text(node, key).map(str::to_owned);
    let span = node.get("hex").map_or(node.span, |entry| entry.node.span);
    match (text("hex", reader), text("file", reader)) {
        (Some(hex), None) if hex.split_whitespace().all(is_key) => Some(RootKey::Hex(hex)),
        (Some(_), None) => {
            let message = "`hex` is no public key of Ed25519";
            let report = error(Code::BadValue, span, message);
            reader
                .reports
                .push(report.help("64 hex digits, with or without `ed25519/` before them"));
            None
        }
        (None, Some(file)) => Some(RootKey::File(file)),
        (Some(_), Some(_)) | (None, None) => {
            let message = "`root_public_key` has either `hex` or `file`";
            reader
                .reports
                .push(error(Code::BadValue, node.span, message).help(EXAMPLE));
            None
        }
    }
}

fn is_key(word: &str) -> bool {
    let hex = word.strip_prefix("ed25519/").unwrap_or(word);
    hex.len() == 64 && hex.bytes().all(|byte| byte.is_ascii_hexdigit())
}
