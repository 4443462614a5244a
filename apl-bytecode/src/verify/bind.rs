//! What a deployment binds: the issuers of identities that the program leaves open, and the trust domains of peers.
//!
//! The digest stays that of the program, so that what was tested is what runs, whoever vouches for its users.

use alloc::{string::String, vec::Vec};

use super::{
    Place, VerifiedProgram, VerifyError,
    entries::{self, at_most},
};
use crate::{
    limits,
    model::{Algorithm, CredentialSource, Identity, Issuer, MeshIssuer, StrId},
};

/// An issuer, as a deployment names it. Who vouches for a peer is the authority of a trust domain, `spiffe://<trust domain>`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BoundIssuer {
    /// The exact `iss`.
    pub issuer: String,
    /// One of these must be in `aud`; empty: it is not looked at.
    pub audiences: Vec<String>,
    /// Signature algorithms; at least one where signatures are checked here.
    pub algorithms: Vec<Algorithm>,
    /// Clock leeway, in seconds.
    pub leeway_s: u32,
    /// A JWKS document; `None`: fetched.
    pub jwks: Option<String>,
}

impl VerifiedProgram {
    /// The first identity without issuers or, of a peer, trust domains: the deployment must name some, or nobody is believed.
    #[must_use]
    pub fn unbound(&self) -> Option<&str> {
        let name = self.program.identities.iter().find(|one| is_open(one))?.name;
        self.program.strings.get(name.at()).map(String::as_str)
    }

    /// Gives the open identities of a name their issuers. `false`: there is none of that name.
    ///
    /// # Errors
    ///
    /// A limit of programs is exceeded, or an issuer lacks what its kind of identity needs. The program must not be run then.
    pub fn bind(&mut self, name: &str, issuers: &[BoundIssuer]) -> Result<bool, VerifyError> {
        let strings = &mut self.program.strings;
        let mut found = false;
        for identity in &mut self.program.identities {
            if !is_open(identity) || strings.get(identity.name.at()).is_none_or(|known| known != name) {
                continue;
            }
            found = true;
            for bound in issuers {
                if let CredentialSource::Peer { .. } = identity.source {
                    // What is no trust domain opens nothing: the identity stays unbound.
                    let domain = bound.issuer.strip_prefix("spiffe://");
                    identity.trust_domains.extend(
                        domain
                            .filter(|domain| !domain.is_empty())
                            .map(|domain| put(strings, domain)),
                    );
                    continue;
                }
                let issuer = put(strings, &bound.issuer);
                let audiences = bound.audiences.iter().map(|one| put(strings, one)).collect();
                let leeway_s = bound.leeway_s;
                match &mut identity.source {
                    CredentialSource::Token { issuers, .. } => {
                        let jwks = bound.jwks.as_ref().map(|jwks| put(strings, jwks));
                        issuers.push(Issuer {
                            issuer,
                            audiences,
                            algorithms: bound.algorithms.clone(),
                            leeway_s,
                            jwks,
                        });
                    }
                    CredentialSource::Metadata { issuers, .. } => issuers.push(MeshIssuer {
                        issuer,
                        audiences,
                        leeway_s,
                    }),
                    CredentialSource::Peer { .. } | CredentialSource::ApiKey { .. } => {}
                }
            }
        }
        at_most(
            self.program.strings.len(),
            limits::MAX_TABLE,
            "texts",
            Place::Tables,
        )?;
        entries::identities(&self.program)?;
        Ok(found)
    }
}

/// A token or a peer that nobody vouches for yet.
fn is_open(identity: &Identity) -> bool {
    match &identity.source {
        CredentialSource::Token { issuers, .. } => issuers.is_empty(),
        CredentialSource::Metadata { issuers, .. } => issuers.is_empty(),
        CredentialSource::Peer { .. } => identity.trust_domains.is_empty(),
        CredentialSource::ApiKey { .. } => false,
    }
}

fn put(strings: &mut Vec<String>, text: &str) -> StrId {
    let id = StrId(u32::try_from(strings.len()).unwrap_or(u32::MAX));
    strings.push(text.into());
    id
}
