//! How approvals reach people: the companion's pages, who may sign in to them, and who is told of a new request.

use super::oauth::secret;
use super::url::url;
use crate::diagnostics::Code;
use crate::document::keys::{Reader, check};
use crate::document::point::{Approvals, SignIn, Webhook};
use crate::vocabulary::Section;
use crate::yaml::Node;

/// `global.approvals`.
pub(crate) fn approvals(node: &Node, reader: &mut Reader<'_>) -> Option<Approvals> {
    check(node, Section::Approvals, reader);
    let allow_http = reader.boolean(node, "insecure_http").unwrap_or(false);
    reader.required(node, "public_url", "`approvals`", node.span)?;
    let public_url = url(node, "public_url", "`approvals`", allow_http, reader)?;
    let sign_in = match node.get("sign_in") {
        Some(entry) => Some(sign_in(&entry.node, allow_http, reader)?),
        None => None,
    };
    Some(Approvals {
        public_url,
        allow_http,
        sign_in,
    })
}

fn sign_in(node: &Node, allow_http: bool, reader: &mut Reader<'_>) -> Option<SignIn> {
    check(node, Section::SignIn, reader);
    let what = "`sign_in`";
    let issuer = reader
        .required(node, "issuer", what, node.span)
        .map(str::to_owned);
    let mut endpoint = |key: &str| {
        reader.required(node, key, what, node.span)?;
        url(node, key, what, allow_http, reader)
    };
    let authorization_endpoint = endpoint("authorization_endpoint");
    let token_endpoint = endpoint("token_endpoint");
    let client_id = reader
        .required(node, "client_id", what, node.span)
        .map(str::to_owned);
    let secret = node
        .get("client_secret_source")
        .and_then(|entry| secret(&entry.node, reader));
    Some(SignIn {
        secret,
        scope: reader.text(node, "scope").map(str::to_owned),
        approver_claim: reader.text(node, "approver_claim").map(str::to_owned),
        timeout_ms: milliseconds(node, reader),
        issuer: issuer?,
        authorization_endpoint: authorization_endpoint?,
        token_endpoint: token_endpoint?,
        client_id: client_id?,
    })
}

/// `webhook` of `elicitation/page`.
pub(super) fn webhook(node: &Node, reader: &mut Reader<'_>) -> Option<Webhook> {
    check(node, Section::Webhook, reader);
    let allow_http = reader.boolean(node, "insecure_http").unwrap_or(false);
    reader.required(node, "url", "`webhook`", node.span)?;
    let secret = match node.get("secret_source") {
        Some(entry) => secret(&entry.node, reader),
        None => {
            let message = "`webhook` needs `secret_source`, the key of its signature";
            reader.reports.error(Code::MissingKey, node.span, message);
            None
        }
    };
    Some(Webhook {
        url: url(node, "url", "`webhook`", allow_http, reader)?,
        allow_http,
        secret: secret?,
        timeout_ms: milliseconds(node, reader),
    })
}

fn milliseconds(node: &Node, reader: &mut Reader<'_>) -> u64 {
    let seconds = reader.number(node, "timeout_seconds", 1, 300).unwrap_or(5);
    u64::try_from(seconds).unwrap_or(5) * 1000
}
