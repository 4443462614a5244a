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
    let (owner, kind) = owner(principal)?;
    let named = |source: &SessionSource| -> Option<(&[u8], &str)> {
        Some(match source {
            SessionSource::XSessionId => (b"x-session-id", head.session_id.as_deref()?),
            SessionSource::McpSessionId => (b"mcp-session-id", head.mcp_session_id.as_deref()?),
            SessionSource::Claim => (b"claim", owner.speaker.session_id.as_deref()?),
        })
    };
    let (source, id) = sources.iter().find_map(named).unwrap_or((b"none", ""));
    Some(SessionKey {
        subject: subject_of(principal)?,
        session: hex(&digest(&[
            b"session",
            kind,
            owner.issuer.as_bytes(),
            owner.speaker.id.as_bytes(),
            source,
            id.as_bytes(),
        ])),
    })
}

/// The name under which the principal's labels are kept, and to which ids are sealed.
pub(crate) fn subject_of(principal: &Principal) -> Option<String> {
    let (owner, kind) = owner(principal)?;
    Some(hex(&digest(&[
        b"subject",
        kind,
        owner.issuer.as_bytes(),
        owner.speaker.id.as_bytes(),
    ])))
}

fn owner(principal: &Principal) -> Option<(&Credential, &'static [u8])> {
    let owner = principal
        .of(TokenRole::User)
        .or_else(|| principal.of(TokenRole::Client))
        .or_else(|| principal.of(TokenRole::CallerWorkload))?;
    Some((
        owner,
        match owner.role {
            TokenRole::User => b"user",
            TokenRole::Client => b"client",
            TokenRole::CallerWorkload => b"workload",
        },
    ))
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
