//! Credentials.

use apl_bytecode::{Algorithm, IdentityId, Program};

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
            what: format!(
                "{:?} token in {}, claims {:?}",
                identity.role,
                text(program, identity.header),
                identity.claim_map
            ),
            issuers: identity
                .issuers
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
