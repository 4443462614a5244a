//! Credentials: that they can be looked for, and that looking for them ends.

use super::{
    Place,
    entries::{Checked, Entries, at_least_one, at_most},
};
use crate::{
    limits,
    model::{ClaimMap, CredentialSource, Identity, Issuer, MeshIssuer},
};

impl Entries<'_> {
    pub(super) fn identity(&self, identity: &Identity, place: Place) -> Checked {
        let Identity {
            name,
            role: _,
            source,
            trust_domains,
            claim_map,
        } = identity;
        self.text(*name, place)?;
        self.texts(trust_domains, "trust domains", place)?;
        match source {
            // Without issuers: the deployment binds them.
            CredentialSource::Token {
                header,
                prefix,
                issuers,
            } => {
                self.text(*header, place)?;
                self.option(*prefix, place)?;
                at_most(issuers.len(), limits::MAX_LIST, "issuers", place)?;
                issuers.iter().try_for_each(|issuer| self.issuer(issuer, place))?;
            }
            CredentialSource::Metadata {
                namespace,
                key,
                issuers,
            } => {
                self.text(*namespace, place)?;
                self.text(*key, place)?;
                at_most(issuers.len(), limits::MAX_LIST, "issuers", place)?;
                for MeshIssuer {
                    issuer,
                    audiences,
                    leeway_s: _,
                } in issuers
                {
                    self.text(*issuer, place)?;
                    self.texts(audiences, "audiences", place)?;
                }
            }
            // Without trust domains: the deployment binds them. Whoever has a certificate of any authority that the proxy
            // trusts is nobody in particular.
            CredentialSource::Peer { waypoint: _ } => {}
            CredentialSource::ApiKey {
                header,
                prefix,
                directory,
                ttl_s: _,
                unknown_ttl_s: _,
                enforce_expiry: _,
            } => {
                self.text(*header, place)?;
                self.option(*prefix, place)?;
                self.text(*directory, place)?;
            }
        }
        self.claim_map(claim_map, place)
    }

    fn issuer(&self, issuer: &Issuer, place: Place) -> Checked {
        self.text(issuer.issuer, place)?;
        self.texts(&issuer.audiences, "audiences", place)?;
        at_least_one(issuer.algorithms.len(), "algorithm", place)?;
        at_most(issuer.algorithms.len(), limits::MAX_LIST, "algorithms", place)?;
        self.option(issuer.jwks, place)
    }

    fn claim_map(&self, map: &ClaimMap, place: Place) -> Checked {
        at_most(map.rules.len(), limits::MAX_LIST, "claim rules", place)?;
        for rule in &map.rules {
            at_least_one(rule.paths.len(), "claim path", place)?;
            at_most(rule.paths.len(), limits::MAX_LIST, "claim paths", place)?;
            for path in &rule.paths {
                at_least_one(path.segs.len(), "claim name", place)?;
                self.texts(&path.segs, "claim names", place)?;
            }
        }
        self.texts(&map.hidden, "hidden claims", place)
    }
}
