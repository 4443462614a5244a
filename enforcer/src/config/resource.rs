//! What OAuth clients are told about the protected resource (RFC 9728).

use serde::Deserialize;

use super::ConfigError;

/// The protected resource.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProtectedResource {
    /// Its identifier: the URL that clients connect to.
    pub resource: String,
    /// Scopes that a client may ask its authorization server for.
    #[serde(default)]
    pub scopes: Vec<String>,
}

/// Where a session's id is taken from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SessionSource {
    /// The header of that name.
    XSessionId,
    /// The header of that name.
    McpSessionId,
    /// The claim `session_id` of the subject's token.
    Claim,
}

/// Whether a backend may ask the client for something on the way of a governed result.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ServerRequests {
    /// Not where policy has rules on results: what it asks would pass them by.
    #[default]
    Governed,
    /// Everywhere; rules on results do not see what it asks.
    Allow,
}

impl ProtectedResource {
    /// Scheme and authority, the authority alone, and the path, `/` for none.
    pub(crate) fn parts(&self) -> Option<(&str, &str, &str)> {
        let scheme = ["https://", "http://"]
            .into_iter()
            .find(|scheme| self.resource.starts_with(scheme))?;
        let rest = self.resource.get(scheme.len()..)?;
        let length = rest.find('/').unwrap_or(rest.len());
        let (authority, path) = rest.split_at_checked(length)?;
        let (origin, _) = self
            .resource
            .split_at_checked(scheme.len().saturating_add(length))?;
        let plain = self.resource.bytes().all(|byte| byte.is_ascii_graphic())
            && !self.resource.contains(['?', '#', '"', '\\', '@']);
        (plain && !authority.is_empty()).then_some((origin, authority, path.trim_end_matches('/')))
    }

    pub(super) fn check(&self) -> Result<(), ConfigError> {
        match self.parts() {
            Some(_) => Ok(()),
            None => Err(ConfigError::Limit(
                "protected_resource.resource",
                "an absolute http or https URL without query and fragment",
            )),
        }
    }
}
