//! Credentials.

use std::fmt::Write as _;

use apl_bytecode::{Algorithm, CredentialSource, Identity, IdentityId, Program};

use super::spell::{text, texts};
use super::{IdentityView, IssuerView};

pub(super) fn names(program: &Program, ids: &[IdentityId]) -> Vec<String> {
    ids.iter()
        .map(|id| {
            program
                .identities
                .get(id.at())
                .map_or_else(|| "?".to_owned(), |identity| text(program, identity.name))
        })
        .collect()
}

/// By name, so that the order of declarations does not matter.
pub(super) fn views(program: &Program) -> Vec<IdentityView> {
    let mut views: Vec<IdentityView> = program
        .identities
        .iter()
        .map(|identity| IdentityView {
            name: text(program, identity.name),
            what: what(program, identity),
            issuers: identity
                .issuers()
                .iter()
                .map(|issuer| IssuerView {
                    issuer: text(program, issuer.issuer),
                    audiences: texts(program, &issuer.audiences),
                    algorithms: issuer
                        .algorithms
                        .iter()
                        .copied()
                        .map(Algorithm::name)
                        .map(str::to_owned)
                        .collect(),
                    leeway_s: issuer.leeway_s,
                    jwks: issuer.jwks.map(|jwks| text(program, jwks)),
                })
                .collect(),
        })
        .collect();
    views.sort_by(|a, b| a.name.cmp(&b.name));
    views
}

/// Everything of it but its issuers' keys, spelled out: two that differ read differently.
fn what(program: &Program, identity: &Identity) -> String {
    let prefix = |prefix: &Option<apl_bytecode::StrId>| {
        prefix.map_or_else(String::new, |prefix| {
            format!(" behind `{}`", text(program, prefix))
        })
    };
    let mut out = match &identity.source {
        CredentialSource::Token {
            header, prefix: own, ..
        } => format!(
            "{:?} token in {}{}",
            identity.role,
            text(program, *header),
            prefix(own)
        ),
        CredentialSource::Metadata {
            namespace,
            key,
            issuers,
        } => {
            let mut out = format!(
                "{:?} token verified by the proxy, in {}/{}",
                identity.role,
                text(program, *namespace),
                text(program, *key)
            );
            for issuer in issuers {
                let audiences = texts(program, &issuer.audiences).join(", ");
                let name = text(program, issuer.issuer);
                let _ = write!(out, ", of {name} for [{audiences}] with {} s", issuer.leeway_s);
            }
            out
        }
        CredentialSource::Peer { waypoint: true } => "workload at the other end of the tunnel".to_owned(),
        CredentialSource::Peer { waypoint: false } => {
            "workload at the other end of the connection".to_owned()
        }
        CredentialSource::ApiKey {
            header,
            prefix: own,
            directory,
            ttl_s,
            unknown_ttl_s,
            enforce_expiry,
        } => format!(
            "{:?} API key in {}{}, looked up in {}, kept {ttl_s} s and {unknown_ttl_s} s, own end {enforce_expiry}",
            identity.role,
            text(program, *header),
            prefix(own),
            text(program, *directory)
        ),
    };
    if !identity.trust_domains.is_empty() {
        let _ = write!(
            out,
            ", of [{}]",
            texts(program, &identity.trust_domains).join(", ")
        );
    }
    for rule in &identity.claim_map.rules {
        let paths: Vec<String> = rule
            .paths
            .iter()
            .map(|path| {
                let names = texts(program, &path.segs).join(" > ");
                format!(
                    "{names} {:?}{}",
                    path.shape,
                    if path.stop { " or none" } else { "" }
                )
            })
            .collect();
        let _ = write!(
            out,
            "; {:?} from {}{}{}",
            rule.field,
            paths.join(if rule.union { " and " } else { ", else " }),
            if rule.split { " by words" } else { "" },
            if rule.required { " which must be there" } else { "" },
        );
    }
    let _ = write!(
        out,
        "; hidden: {}",
        texts(program, &identity.claim_map.hidden).join(", ")
    );
    out
}
