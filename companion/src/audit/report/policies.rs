//! Which programs decided.

use companion_protocol::{AuditRecord, VerdictKind};
use serde::Serialize;

use super::Signer;

/// One program's part in a log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PolicyUse {
    /// SHA-256 of the program, hex.
    pub digest: String,
    /// Its earliest verdict, on the proxies' clocks, milliseconds since the Unix epoch.
    pub first_ms: u64,
    /// Its latest.
    pub last_ms: u64,
    /// Verdicts that were its own.
    pub verdicts: u64,
    /// Those of them that refused.
    pub denied: u64,
    /// Verdicts that it gave in shadow: of routes of its own, or beside another program.
    pub in_shadow: u64,
    /// Who signed it.
    pub signer: Signer,
}

/// Counts a verdict for all programs that had a part in it.
pub(super) fn count(policies: &mut Vec<PolicyUse>, record: &AuditRecord) {
    let at = record.at_ms;
    let own = entry(policies, &record.policy_digest, at);
    own.verdicts += 1;
    match record.verdict {
        Some(VerdictKind::Deny | VerdictKind::DenyAfter) => own.denied += 1,
        Some(VerdictKind::Allow | VerdictKind::Pending) | None => {}
    }
    for shadow in &record.shadow {
        entry(policies, &shadow.policy_digest, at).in_shadow += 1;
    }
}

fn entry<'a>(policies: &'a mut Vec<PolicyUse>, digest: &str, at_ms: u64) -> &'a mut PolicyUse {
    let found = policies.iter().position(|policy| policy.digest == digest);
    let at = found.unwrap_or_else(|| {
        policies.push(PolicyUse {
            digest: digest.to_owned(),
            first_ms: at_ms,
            last_ms: at_ms,
            verdicts: 0,
            denied: 0,
            in_shadow: 0,
            signer: Signer::Unknown,
        });
        policies.len() - 1
    });
    let policy = &mut policies[at];
    policy.first_ms = policy.first_ms.min(at_ms);
    policy.last_ms = policy.last_ms.max(at_ms);
    policy
}
