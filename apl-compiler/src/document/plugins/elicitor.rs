//! `elicitation/ciba` and `elicitation/page`.

use super::approvals;
use super::oauth::secret;
use super::url::url;
use crate::diagnostics::Code;
use crate::document::keys::{Reader, check};
use crate::document::point::{Ciba, Elicitor};
use crate::source::Span;
use crate::vocabulary::Section;
use crate::yaml::Node;

/// The companion's own pages: nothing needs to be given.
pub(super) fn page(config: &Node, reader: &mut Reader<'_>) -> Elicitor {
    check(config, Section::PageConfig, reader);
    let timeout = reader
        .number(config, "timeout_seconds", 1, 2_592_000)
        .unwrap_or(0);
    Elicitor::Page {
        timeout_s: u64::try_from(timeout).unwrap_or(0),
        allow_self: reader.boolean(config, "allow_self").unwrap_or(false),
        webhook: config
            .get("webhook")
            .and_then(|entry| approvals::webhook(&entry.node, reader)),
    }
}

/// Reads the configuration of one.
pub(super) fn ciba(config: &Node, at: Span, reader: &mut Reader<'_>) -> Option<Elicitor> {
    check(config, Section::CibaConfig, reader);
    let allow_http = reader.boolean(config, "insecure_http").unwrap_or(false);
    let what = "`elicitation/ciba`";
    let anchor = if config.as_map().is_some_and(<[_]>::is_empty) {
        at
    } else {
        config.span
    };
    let endpoint = |key: &str, reader: &mut Reader<'_>| match config.get(key) {
        Some(_) => url(config, key, what, allow_http, reader),
        None => {
            reader
                .reports
                .error(Code::MissingKey, anchor, format!("{what} needs `{key}`"));
            None
        }
    };
    let backchannel_endpoint = endpoint("backchannel_endpoint", reader);
    let token_endpoint = endpoint("token_endpoint", reader);
    let client_id = reader
        .required(config, "client_id", what, anchor)
        .map(str::to_owned);
    let secret = match config.get("client_secret_source") {
        Some(entry) => secret(&entry.node, reader),
        None => {
            let message = format!("{what} needs `client_secret_source`");
            reader.reports.error(Code::MissingKey, anchor, message);
            None
        }
    };
    let text = |key: &str, reader: &mut Reader<'_>| reader.text(config, key).map(str::to_owned);
    let expiry = reader.number(config, "default_requested_expiry_seconds", 1, 86_400);
    let timeout = reader.number(config, "timeout_seconds", 1, 300).unwrap_or(5);
    let ping = reader.word(config, "delivery", &["poll", "ping"]) == Some("ping");
    Some(Elicitor::Ciba(Box::new(Ciba {
        issuer: text("issuer", reader),
        scope: text("scope", reader),
        approver_claim: text("approver_claim", reader),
        default_expiry_s: expiry.and_then(|seconds| u64::try_from(seconds).ok()),
        timeout_ms: u64::try_from(timeout).unwrap_or(5) * 1000,
        ping,
        allow_self: reader.boolean(config, "allow_self").unwrap_or(false),
        allow_http,
        backchannel_endpoint: backchannel_endpoint?,
        token_endpoint: token_endpoint?,
        client_id: client_id?,
        secret: secret?,
    })))
}
