//! The session of an exchange: a bucket of the verified subject, never another's.

use apl_bytecode::TokenRole;
use companion_protocol::SessionKey;
use sha2::{Digest as _, Sha256};

use crate::{
    config::SessionSource,
    http::head::Head,
    identity::principal::{Credential, Principal},
    json_text::hex,
};

/// Whose labels an operation reads and writes. `None`: nobody is identified, so there is no session.
///
/// The session id is that of the first of `sources` that is there; without any of them there is one bucket for the
/// subject.
pub(crate) fn key_of(principal: &Principal, head: &Head, sources: &[SessionSource]) -> Option<SessionKey> {
    let (credential, owner) = owner(principal)?;
    let named = |source: &SessionSource| -> Option<(SessionSource, &str)> {
        let id = match source {
            SessionSource::XSessionId => head.session_id.as_deref()?,
            SessionSource::McpSessionId => head.mcp_session_id.as_deref()?,
            SessionSource::Claim => credential.speaker.session_id.as_deref()?,
        };
        Some((*source, id))
    };
    Some(owner.session(sources.iter().find_map(named)))
}

/// The name under which the principal's labels are kept, and to which ids are sealed.
pub(crate) fn subject_of(principal: &Principal) -> Option<String> {
    let (_, owner) = owner(principal)?;
    Some(owner.subject())
}

fn owner(principal: &Principal) -> Option<(&Credential, Owner<'_>)> {
    let credential = principal
        .of(TokenRole::User)
        .or_else(|| principal.of(TokenRole::Client))
        .or_else(|| principal.of(TokenRole::CallerWorkload))?;
    let owner = Owner {
        role: credential.role,
        issuer: &credential.issuer,
        id: &credential.speaker.id,
    };
    Some((credential, owner))
}

/// A verified subject: of all that labels belong to, and of all that its buckets' names are made from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Owner<'a> {
    /// As what it was verified.
    pub role: TokenRole,
    /// By whom.
    pub issuer: &'a str,
    /// Its id there.
    pub id: &'a str,
}

impl Owner<'_> {
    /// Names the bucket of labels that hold for all its sessions.
    pub fn subject(&self) -> String {
        let (issuer, id) = (self.issuer.as_bytes(), self.id.as_bytes());
        hex(&digest(&[b"subject", self.role(), issuer, id]))
    }

    /// Names a session by its id and where that comes from; `None`: the one that it has without an id.
    pub fn session(&self, named: Option<(SessionSource, &str)>) -> SessionKey {
        let (source, name): (&[u8], _) = match named {
            Some((SessionSource::XSessionId, name)) => (b"x-session-id", name),
            Some((SessionSource::McpSessionId, name)) => (b"mcp-session-id", name),
            Some((SessionSource::Claim, name)) => (b"claim", name),
            None => (b"none", ""),
        };
        let (issuer, id) = (self.issuer.as_bytes(), self.id.as_bytes());
        SessionKey {
            subject: self.subject(),
            session: hex(&digest(&[
                b"session",
                self.role(),
                issuer,
                id,
                source,
                name.as_bytes(),
            ])),
        }
    }

    fn role(&self) -> &'static [u8] {
        match self.role {
            TokenRole::User => b"user",
            TokenRole::Client => b"client",
            TokenRole::CallerWorkload => b"workload",
        }
    }
}

/// SHA-256 over parts, each with its length, so that no choice of parts can look like another.
pub(crate) fn digest(parts: &[&[u8]]) -> [u8; 32] {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
        hash.update(part);
    }
    hash.finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Labels lie under these names: another one would forget them all.
    #[test]
    fn the_names_of_buckets_are_those_that_labels_were_written_under() {
        let owner = Owner {
            role: TokenRole::User,
            issuer: "https://idp.example",
            id: "bob",
        };
        let key = owner.session(Some((SessionSource::XSessionId, "chat-7")));
        assert_eq!(
            key.subject,
            "ad499b92b15aac25f128a32c2bafb6ed0133cb4470703e456f2070213c4730e4"
        );
        assert_eq!(
            key.session,
            "b13d4e5043b5924efa9ffa06134b1152ff43e74c88af7733c2b523b2e8c5f91d"
        );
        assert_eq!(
            owner.session(None).session,
            "0f71ab5104ff16d9110f6ba5981b0aa0f1871dac786f99058675684abd9da065"
        );
    }
}
