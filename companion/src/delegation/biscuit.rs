//! Narrows the Biscuit that a caller brings: a block more, which only takes away.
//!
//! Nobody is asked. The block holds checks, each of which the backend's own facts have to satisfy: [`AUDIENCE`], [`TIME`], and, as
//! far as the step asks for them, [`OPERATION`] (one of the permissions), [`ACTION`], [`CAPABILITY`] and [`RESOURCE`]. A backend
//! that says nothing of one of them refuses.
//!
//! A block sees its own facts and those of the first block. So nothing that is checked is said in the block, and a token whose
//! first block says it is refused: it would satisfy the check everywhere.

mod presented;

use std::time::{Duration, SystemTime};

use biscuit_auth::builder::{BlockBuilder, Check, CheckKind, fact, pred, rule, string};
use biscuit_auth::builder_ext::BuilderExt;
use companion_protocol::{Attenuation, Grant, SubjectKind, TokenExchange};

use super::DelegationError;
use crate::config::BiscuitRoot;
use presented::Presented;

/// For whom the token is.
const AUDIENCE: &str = "audience";
/// When it is presented.
const TIME: &str = "time";
/// What is done, as `permissions` name it.
const OPERATION: &str = "operation";
/// What is done, as `actions` name it.
const ACTION: &str = "action";
/// What is called on.
const CAPABILITY: &str = "capability";
/// On what it is done.
const RESOURCE: &str = "resource";

/// The longest token that is given out: it is a header.
const MAX_TOKEN_BYTES: usize = 12 * 1024;

/// What is wrong with the question itself.
pub(super) fn check(asked: &TokenExchange) -> Result<(), DelegationError> {
    use DelegationError::BadRequest;
    if asked.actor_token.is_some() {
        return Err(BadRequest("a Biscuit names no actor"));
    }
    if asked.subject == SubjectKind::ThisWorkload {
        return Err(BadRequest(
            "a Biscuit is the caller's, so `this_workload` has none",
        ));
    }
    let checks = asked
        .attenuation
        .iter()
        .flat_map(|attenuation| &attenuation.checks);
    for (kind, value) in checks {
        if ![ACTION, CAPABILITY, RESOURCE].contains(&kind.as_str()) {
            return Err(BadRequest(
                "the token is to be narrowed in a way that is not known here",
            ));
        }
        if value.is_empty() {
            return Err(BadRequest("what the token is narrowed to is empty"));
        }
    }
    if asked.permissions.iter().any(String::is_empty) {
        return Err(BadRequest("a permission is empty"));
    }
    Ok(())
}

/// The caller's token with one block more.
pub(super) fn narrowed(
    root: &BiscuitRoot,
    asked: &TokenExchange,
    now_s: u64,
) -> Result<Grant, DelegationError> {
    let nothing = Attenuation::default();
    let attenuation = asked.attenuation.as_ref().unwrap_or(&nothing);
    let token = asked.subject_token.as_deref().unwrap_or_default();
    let presented = Presented::verified(&root.keys, token)?;
    if root.config.bind_subject {
        let sub = asked.expected_sub.as_deref();
        let sub = sub.ok_or(DelegationError::SubjectUnverifiable)?;
        presented.is_of(subject_fact(root, asked.subject), sub)?;
    }
    let asks = asks(asked, attenuation);
    let mut names = asks.iter().map(|(name, _)| *name).chain([TIME]);
    if names.any(|name| presented.says(name)) {
        return Err(DelegationError::AttenuationFailed(
            "its first block states what the backend has to state",
        ));
    }
    let ttl_s = attenuation.ttl_s.unwrap_or(root.config.ttl_s);
    let ends_s = presented.ends(now_s, now_s.saturating_add(ttl_s))?;
    let token = presented.with(block(asked, &asks, ends_s))?;
    if token.len() > MAX_TOKEN_BYTES {
        return Err(DelegationError::AttenuationFailed("it is too large for a header"));
    }
    Ok(Grant {
        token,
        outbound_header: root.config.outbound_header.clone(),
        outbound_prefix: root.config.outbound_prefix.clone(),
        audience: asked.audience.clone(),
        permissions: asked.permissions.clone(),
        expires_at: ends_s,
        no_store: !root.config.cache,
    })
}

fn subject_fact(root: &BiscuitRoot, subject: SubjectKind) -> &str {
    let by_kind = match subject {
        SubjectKind::User => "user",
        SubjectKind::Client => "client",
        SubjectKind::CallerWorkload | SubjectKind::ThisWorkload => "workload",
    };
    root.config.subject_fact.as_deref().unwrap_or(by_kind)
}

/// What is asked of the backend's facts: one of these values under each name.
fn asks<'a>(asked: &'a TokenExchange, attenuation: &'a Attenuation) -> Vec<(&'static str, Vec<&'a str>)> {
    let of = |kind: &str| {
        let checks = attenuation.checks.iter().filter(|(own, _)| own == kind);
        checks.map(|(_, value)| value.as_str()).collect::<Vec<_>>()
    };
    let mut asks = vec![
        (AUDIENCE, vec![asked.audience.as_str()]),
        (OPERATION, asked.permissions.iter().map(String::as_str).collect()),
        (ACTION, of(ACTION)),
        (CAPABILITY, of(CAPABILITY)),
        (RESOURCE, of(RESOURCE)),
    ];
    asks.retain(|(_, values)| !values.is_empty());
    asks
}

fn block(asked: &TokenExchange, asks: &[(&'static str, Vec<&str>)], ends_s: u64) -> BlockBuilder {
    let mut block = BlockBuilder::new();
    // For whoever reads the token; nothing is decided by it.
    let target = [string(&asked.target), string(&asked.audience)];
    block.facts.push(fact("delegated_to", &target));
    for (name, values) in asks {
        // One query a value: one of them is enough.
        let queries = values
            .iter()
            .map(|value| {
                rule(
                    "query",
                    &[] as &[biscuit_auth::builder::Term],
                    &[pred(name, &[string(value)])],
                )
            })
            .collect();
        let kind = CheckKind::One;
        block.checks.push(Check { queries, kind });
    }
    block.check_expiration_date(SystemTime::UNIX_EPOCH + Duration::from_secs(ends_s))
}
