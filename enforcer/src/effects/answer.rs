//! The machine's answers, from a plan and the companion's response.

use apl_vm::Answer;
use companion_protocol::{AuditRecord, CallRecord, CapturedDecision, EffectResult, EffectsResponse, Labels};

use super::{
    elicit::{self, Approved},
    local::{Caches, Minted},
    plan::{Asked, Plan, Planned, Way, failed},
    question,
};
use crate::audit::AuditQueue;

/// What a suspension came to.
#[derive(Debug, Default)]
pub(crate) struct Answered {
    /// One answer an effect, in order.
    pub(crate) answers: Vec<Answer>,
    /// Effects that were performed, for the audit record.
    pub(crate) performed: Vec<String>,
    /// Credentials that were minted, in order.
    pub(crate) minted: Vec<Minted>,
    /// Approvals that steps have found.
    pub(crate) approvals: Vec<Approved>,
    /// What the companion was asked, with what came of it.
    pub(crate) calls: Vec<CallRecord>,
    /// What decision points said, where it is captured.
    pub(crate) decisions: Vec<CapturedDecision>,
    /// Labels that were added to the session or the subject.
    pub(crate) labels: Vec<String>,
    /// Tokens that the cache answered.
    pub(crate) token_hits: u64,
    /// Appends that the cache saved.
    pub(crate) label_hits: u64,
    /// Audit records that did not fit.
    pub(crate) audit_lost: u64,
}

/// Makes the answers. `response`: what the companion said; `None` when it was not asked or could not be reached. In
/// written order: behind an effect that stops and failed, nothing is performed, not even here.
pub(crate) fn answers(
    plan: Plan,
    response: Option<&EffectsResponse>,
    caches: &mut Caches,
    audit: &mut AuditQueue,
    now_ms: u64,
) -> Answered {
    let mut out = Answered::default();
    if let Some(response) = response {
        caches.see_epoch(&response.epoch);
    }
    let mut results = response.map(|response| response.results.as_slice());
    let mut notes = response.map_or(&[][..], |response| response.notes.as_slice());
    let mut stopped = false;
    for Planned { stops, label, way } in plan.effects {
        // The companion's list holds only what was asked; it advances even when the answer counts no more.
        let (mut own, mut note) = (None, None);
        let was_asked = matches!(way, Way::Ask(_));
        if let Way::Ask(asked) = &way {
            let count = asked.results();
            if let Some((first, behind)) = results.and_then(|rest| rest.split_at_checked(count)) {
                (own, results) = (Some(first), Some(behind));
            }
            (note, notes) = (notes.first(), notes.get(count..).unwrap_or_default());
        }
        if stopped {
            out.answers.push(Answer::Skipped);
            continue;
        }
        let answer = match way {
            Way::Here(answer) => answer,
            Way::Known => {
                out.label_hits = out.label_hits.saturating_add(1);
                Answer::Done
            }
            Way::Minted(minted) => {
                out.token_hits = out.token_hits.saturating_add(1);
                let answer = minted.answer();
                out.minted.push(minted);
                answer
            }
            Way::Queue(record) => {
                if audit.push(*record) {
                    Answer::Done
                } else {
                    out.audit_lost = out.audit_lost.saturating_add(1);
                    failed("audit.unavailable", "the audit queue is full")
                }
            }
            Way::Ask(asked) => asked_answer(asked, own, caches, &mut out, now_ms),
        };
        let failed = matches!(
            answer,
            Answer::Failed { .. } | Answer::Refused { .. } | Answer::Pending(_) | Answer::Skipped
        );
        stopped = failed && stops;
        if was_asked && !label.is_empty() {
            out.calls.push(CallRecord {
                effect: label.clone(),
                code: code_of(&answer),
                ms: note.map(|note| note.ms),
                provider: note.and_then(|note| note.provider.clone()),
            });
        }
        if !failed && !label.is_empty() {
            out.performed.push(label);
        }
        out.answers.push(answer);
    }
    out
}

/// The code of a denial or a failure.
fn code_of(answer: &Answer) -> Option<String> {
    match answer {
        Answer::Failed { code, .. } | Answer::Refused { code, .. } => Some(code.clone()),
        Answer::Decided {
            allow: false, code, ..
        } => Some(code.clone()),
        Answer::Skipped => Some("skipped".to_owned()),
        Answer::Pending(_) => Some("elicitation.pending".to_owned()),
        Answer::Done
        | Answer::Labels(_)
        | Answer::Granted { .. }
        | Answer::Approved(_)
        | Answer::Decided { allow: true, .. } => None,
    }
}

fn asked_answer(
    asked: Asked,
    results: Option<&[EffectResult]>,
    caches: &mut Caches,
    out: &mut Answered,
    now_ms: u64,
) -> Answer {
    let Some([result, others @ ..]) = results else {
        return unreachable_answer(&asked);
    };
    match (result, asked) {
        (_, Asked::Elicit(asked)) => {
            let mut all = vec![result.clone()];
            all.extend_from_slice(others);
            let (answer, approved) = elicit::answer(&asked, &all);
            out.approvals.extend(approved);
            answer
        }
        (result, Asked::Redeem) => elicit::redeemed(result),
        (EffectResult::Denied { code, reason }, Asked::Decision(_) | Asked::Count) => {
            elicit::refused(code, reason)
        }
        (EffectResult::Decision(decision), Asked::Decision(kept)) => {
            out.decisions.extend(kept.map(|kept| {
                let (plugin, call) = *kept;
                CapturedDecision {
                    plugin,
                    call,
                    allow: decision.allow,
                    code: decision.code.clone(),
                }
            }));
            question::decided(decision)
        }
        (EffectResult::Count(count), Asked::Count) => question::counted(count),
        (EffectResult::Denied { code, reason } | EffectResult::Failed { code, reason }, _) => {
            failed(code, reason)
        }
        (EffectResult::Skipped, _) => Answer::Skipped,
        (EffectResult::Labels(labels), Asked::Labels) => Answer::Labels(union(labels)),
        (
            EffectResult::Labels(labels),
            Asked::Label {
                session,
                label,
                scopes,
            },
        ) => {
            caches.keep_label(&session, &label, scopes, labels, now_ms);
            out.labels.push(label);
            Answer::Done
        }
        (EffectResult::Granted(grant), Asked::Token { key, ttl_s }) => match Minted::of(grant) {
            Some(mut minted) if minted.expires_at > now_ms / 1000 => {
                if ttl_s > 0 {
                    let most = (now_ms / 1000).saturating_add(u64::from(ttl_s));
                    minted.expires_at = minted.expires_at.min(most);
                }
                if let Some(key) = key.filter(|_| !grant.no_store) {
                    caches.keep_token(key, minted.clone(), now_ms);
                }
                let answer = minted.answer();
                out.minted.push(minted);
                answer
            }
            Some(_) | None => failed("delegation.bad_response", "the minted token cannot be used"),
        },
        (EffectResult::Done, Asked::Audit) => Answer::Done,
        (
            EffectResult::Done
            | EffectResult::Labels(_)
            | EffectResult::Granted(_)
            | EffectResult::Elicitation(_)
            | EffectResult::Decision(_)
            | EffectResult::Identity { .. }
            | EffectResult::Count(_),
            _,
        ) => failed(
            "companion.bad_response",
            "the companion answered something else than it was asked",
        ),
    }
}

fn union(labels: &Labels) -> Vec<String> {
    labels.session.iter().chain(&labels.subject).cloned().collect()
}

/// The companion did not answer: the failure is the effect's.
fn unreachable_answer(asked: &Asked) -> Answer {
    let reason = "the companion cannot be reached";
    match asked {
        Asked::Labels => failed("session.load_failed", reason),
        Asked::Label { .. } => failed("session.persist_failed", reason),
        Asked::Token { .. } => failed("delegation.idp_unreachable", reason),
        Asked::Audit => failed("audit.unavailable", reason),
        Asked::Elicit(_) | Asked::Redeem => failed("elicitation.op_unreachable", reason),
        Asked::Decision(_) => failed("", reason),
        Asked::Count => failed("limit.unavailable", reason),
    }
}

/// Reads the companion's answer; `None` when it is not one, or not to `asked` effects.
pub(crate) fn read_response(body: Option<&[u8]>, asked: usize) -> Option<EffectsResponse> {
    let response: EffectsResponse = serde_json::from_slice(body?).ok()?;
    (response.results.len() == asked).then_some(response)
}

/// The records, sent as effects of their own, that were not acknowledged.
pub(crate) fn acknowledged(
    records: Vec<AuditRecord>,
    body: Option<&[u8]>,
    asked: usize,
    caches: &mut Caches,
) -> Vec<AuditRecord> {
    let Some(response) = read_response(body, asked) else {
        return records;
    };
    caches.see_epoch(&response.epoch);
    unacknowledged(records, &response.results)
}

/// The records whose results say something else than done. The results are those of the records, in order.
pub(crate) fn unacknowledged(records: Vec<AuditRecord>, results: &[EffectResult]) -> Vec<AuditRecord> {
    let mut results = results.iter();
    records
        .into_iter()
        .filter(|_| !matches!(results.next(), Some(EffectResult::Done)))
        .collect()
}
