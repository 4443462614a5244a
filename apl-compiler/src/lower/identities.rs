//! Credentials as the program holds them.

use apl_bytecode::{
    ClaimMap, ClaimPath, ClaimRule, CredentialSource, Identity, IdentityId, Issuer, MeshIssuer,
};

use super::tables::Tables;
use crate::document::{ClaimMapDecl, CredentialDecl, IdentityDecl, Keys};
use crate::source::to_u32;

/// The credential's place in the program's table; the same one is there once.
pub(super) fn identity(name: &str, decl: &IdentityDecl, tables: &mut Tables) -> IdentityId {
    let identity = Identity {
        name: tables.str(name),
        role: decl.role,
        source: source(name, &decl.source, decl.bound, tables),
        trust_domains: match decl.source {
            CredentialDecl::Peer { .. } if decl.bound => Vec::new(),
            _ => tables.strs(&decl.trust_domains),
        },
        claim_map: claim_map(&decl.claims, tables),
    };
    let list = &mut tables.program.identities;
    let at = list
        .iter()
        .position(|known| *known == identity)
        .unwrap_or_else(|| {
            list.push(identity);
            list.len() - 1
        });
    IdentityId(to_u32(at))
}

fn source(name: &str, decl: &CredentialDecl, bound: bool, tables: &mut Tables) -> CredentialSource {
    // Whoever vouches for a bound identity is not in the program.
    let kept = if bound { 0 } else { usize::MAX };
    match decl {
        CredentialDecl::Token {
            header,
            prefix,
            issuers,
        } => CredentialSource::Token {
            header: tables.str(header),
            prefix: prefix.as_ref().map(|prefix| tables.str(prefix)),
            issuers: issuers
                .iter()
                .take(kept)
                .map(|issuer| Issuer {
                    issuer: tables.str(&issuer.issuer),
                    audiences: tables.strs(&issuer.audiences),
                    algorithms: issuer.algorithms.clone(),
                    leeway_s: issuer.leeway_s,
                    jwks: match &issuer.keys {
                        Keys::Inline(jwks) => Some(tables.str(jwks)),
                        Keys::Url { .. } => None,
                    },
                })
                .collect(),
        },
        CredentialDecl::Metadata {
            namespace,
            key,
            issuers,
        } => CredentialSource::Metadata {
            namespace: tables.str(namespace),
            key: tables.str(key),
            issuers: issuers
                .iter()
                .take(kept)
                .map(|issuer| MeshIssuer {
                    issuer: tables.str(&issuer.issuer),
                    audiences: tables.strs(&issuer.audiences),
                    leeway_s: issuer.leeway_s,
                })
                .collect(),
        },
        CredentialDecl::Peer { waypoint } => CredentialSource::Peer { waypoint: *waypoint },
        CredentialDecl::ApiKey {
            header,
            prefix,
            ttl_s,
            unknown_ttl_s,
            enforce_expiry,
            directory: _,
        } => CredentialSource::ApiKey {
            header: tables.str(header),
            prefix: prefix.as_ref().map(|prefix| tables.str(prefix)),
            directory: tables.str(name),
            ttl_s: *ttl_s,
            unknown_ttl_s: *unknown_ttl_s,
            enforce_expiry: *enforce_expiry,
        },
    }
}

fn claim_map(decl: &ClaimMapDecl, tables: &mut Tables) -> ClaimMap {
    ClaimMap {
        rules: decl
            .rules
            .iter()
            .map(|rule| ClaimRule {
                field: rule.field,
                paths: rule
                    .paths
                    .iter()
                    .map(|path| ClaimPath {
                        segs: tables.strs(&path.names),
                        shape: path.shape,
                        stop: path.stop,
                    })
                    .collect(),
                union: rule.union,
                split: rule.split,
                required: rule.required,
            })
            .collect(),
        hidden: tables.strs(&decl.hidden),
    }
}
