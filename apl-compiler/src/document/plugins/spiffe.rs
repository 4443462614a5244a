//! `identity/spiffe`: the workload at the other end of the connection.

use apl_bytecode::TokenRole;

use super::jwt::trust_domains;
use crate::diagnostics::{Code, error};
use crate::document::identity::{ClaimMapDecl, CredentialDecl, IdentityDecl};
use crate::document::keys::{Reader, check};
use crate::source::Span;
use crate::vocabulary::Section;
use crate::yaml::Node;

/// Reads the configuration of one.
pub(super) fn spiffe(config: &Node, at: Span, reader: &mut Reader<'_>) -> Option<IdentityDecl> {
    check(config, Section::SpiffeConfig, reader);
    let waypoint = match reader.text(config, "source") {
        None | Some("mtls") => false,
        Some("waypoint") => true,
        Some(word) => {
            let span = config.get("source").map_or(at, |entry| entry.node.span);
            let diagnostic = error(Code::BadValue, span, format!("`source` cannot be `{word}`"));
            reader.reports.push(if word == "xfcc" || word.contains("client-cert") {
                diagnostic.help("a header is whatever its sender wrote; use `mtls`, or `waypoint` behind Istio's tunnel")
            } else {
                diagnostic.help("it is `mtls` or `waypoint`")
            });
            return None;
        }
    };
    let trust_domains = trust_domains(config, reader);
    if trust_domains.is_empty() {
        reader.reports.push(
            error(Code::MissingKey, at, "`identity/spiffe` needs `trust_domain`")
                .help("without it every certificate would do that the proxy accepts, as `trust_domain: cluster.local`"),
        );
        return None;
    }
    Some(IdentityDecl {
        role: TokenRole::CallerWorkload,
        source: CredentialDecl::Peer { waypoint },
        trust_domains,
        claims: ClaimMapDecl::default(),
        bound: false,
    })
}
