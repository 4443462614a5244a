//! Issuers of identities that the program leaves to the deployment.

use apl_bytecode::{Algorithm, BoundIssuer, VerifiedProgram};
use serde::Deserialize;

use super::ConfigError;

/// Who vouches for an identity of the program.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BoundIdentity {
    /// The identity's name in the policy.
    pub name: String,
    /// At least one.
    pub issuers: Vec<RawIssuer>,
}

/// One issuer.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawIssuer {
    /// The exact `iss`.
    pub issuer: String,
    /// One of these must be in `aud`; empty: it is not looked at.
    pub audiences: Vec<String>,
    /// By their names in JOSE; none where the proxy verifies tokens.
    #[serde(default)]
    pub algorithms: Vec<String>,
    /// Clock leeway, in seconds.
    pub leeway_s: u32,
    /// A JWKS document; absent: the companion fetches it.
    #[serde(default)]
    pub jwks: Option<String>,
}

/// Gives the program's open identities their issuers. A second program beside it need not have all of them.
///
/// # Errors
///
/// One is not bound, or a binding fits nothing.
pub(crate) fn bind(
    program: &mut VerifiedProgram,
    bound: &[BoundIdentity],
    second: bool,
) -> Result<(), ConfigError> {
    for identity in bound {
        let issuers: Option<Vec<BoundIssuer>> = identity.issuers.iter().map(issuer).collect();
        let issuers = issuers.ok_or(ConfigError::Limit(
            "identities[].issuers[].algorithms",
            "names of signature algorithms",
        ))?;
        let found = program
            .bind(&identity.name, &issuers)
            .map_err(|error| ConfigError::Program(error.to_string()))?;
        if !found && !second {
            return Err(ConfigError::NothingToBind(identity.name.clone()));
        }
    }
    match program.unbound() {
        Some(name) => Err(ConfigError::Unbound(name.to_owned())),
        None => Ok(()),
    }
}

fn issuer(raw: &RawIssuer) -> Option<BoundIssuer> {
    let algorithm = |name: &String| Algorithm::ALL.into_iter().find(|known| known.name() == name);
    Some(BoundIssuer {
        issuer: raw.issuer.clone(),
        audiences: raw.audiences.clone(),
        algorithms: raw.algorithms.iter().map(algorithm).collect::<Option<_>>()?,
        leeway_s: raw.leeway_s,
        jwks: raw.jwks.clone(),
    })
}
