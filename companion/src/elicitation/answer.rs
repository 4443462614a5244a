//! An approver's answer on the built-in pages.

use companion_protocol::{AuditRecord, Requester, StepRecord};

use super::case::{self, Case, State};
use super::{Desk, ElicitError, HeldCase, TRIES, group_of_approver};
use crate::clock::{now_ms, now_s};
use crate::store::{Changed, random_id};

/// The longest note in bytes.
pub const MAX_NOTE_BYTES: usize = 2000;

/// The plugin name under which an answer stands in the audit log.
pub(crate) const ANSWER_STEP: &str = "aplomb.approvals.answer";

/// Somebody who proved who they are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Approver {
    /// What is compared with the policy's `from`.
    pub name: String,
    /// Everything else they are known as: `sub`, `email`, ...
    pub known_as: Vec<String>,
    /// Only this case, when they came by a one-time link.
    pub only: Option<String>,
}

/// Why an answer does not count.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AnswerError {
    /// No such case, or not this approver's: both look alike from outside.
    #[error("there is no such request for you")]
    NotFound,
    /// Somebody was faster, or it has ended.
    #[error("the request is not open any more")]
    Closed,
    /// One's own request.
    #[error("you asked for this yourself; somebody else must decide")]
    OwnRequest,
    /// A novel.
    #[error("a note has at most {MAX_NOTE_BYTES} bytes")]
    Note,
    /// Store or log failed.
    #[error(transparent)]
    Failed(#[from] ElicitError),
}

/// Whether one of these names is the requester's. In any case of letters: two names that differ in nothing else are rather
/// one person than two.
pub(super) fn is_requester<'a>(requester: &Requester, names: impl IntoIterator<Item = &'a str>) -> bool {
    names.into_iter().any(|name| {
        std::iter::once(&requester.subject)
            .chain(&requester.known_as)
            .any(|known| known.eq_ignore_ascii_case(name))
    })
}

impl Desk {
    /// The open cases in which this approver is asked, oldest first.
    pub async fn waiting_for(&self, approver: &Approver) -> Result<Vec<Case>, ElicitError> {
        let keys = match &approver.only {
            Some(only) => vec![only.clone()],
            None => {
                self.cases
                    .members(&group_of_approver(&approver.name), now_ms())
                    .await?
            }
        };
        let mut cases = Vec::new();
        for key in keys {
            if let Ok(case) = self.case_for(approver, &key).await
                && case.is_open(now_s())
            {
                cases.push(case);
            }
        }
        cases.sort_by_key(|case| case.created_at);
        Ok(cases)
    }

    /// A case that this approver is asked in, whatever became of it.
    pub async fn case_for(&self, approver: &Approver, key: &str) -> Result<Case, AnswerError> {
        Ok(self.held_for(approver, key).await?.case)
    }

    async fn held_for(&self, approver: &Approver, key: &str) -> Result<HeldCase, AnswerError> {
        if case::parts(&format!("{key}.{key}")).is_none() {
            return Err(AnswerError::NotFound);
        }
        let held = self.held(key).await?.ok_or(AnswerError::NotFound)?;
        let is_asked = held.case.channel == "page"
            && held.case.from == approver.name
            && approver.only.as_deref().is_none_or(|only| only == key);
        is_asked.then_some(held).ok_or(AnswerError::NotFound)
    }

    /// Takes an answer. It is recorded before it counts; `nonce` says which question the approver saw.
    pub async fn answer(
        &self,
        approver: &Approver,
        key: &str,
        nonce: &str,
        approved: bool,
        note: Option<String>,
    ) -> Result<Case, AnswerError> {
        if note.as_ref().is_some_and(|note| note.len() > MAX_NOTE_BYTES) {
            return Err(AnswerError::Note);
        }
        let mut recorded = false;
        for _ in 0..TRIES {
            let HeldCase { mut case, version } = self.held_for(approver, key).await?;
            if case.nonce != nonce || !case.is_open(now_s()) {
                return Err(AnswerError::Closed);
            }
            let names = approver
                .known_as
                .iter()
                .chain([&approver.name])
                .map(String::as_str);
            if approved && !case.allow_self && is_requester(&case.requester, names) {
                return Err(AnswerError::OwnRequest);
            }
            case.answer(approved, &approver.name, note.clone(), now_s());
            if !recorded {
                self.record(&case).await?;
                recorded = true;
            }
            match self.put(&case, version, None).await? {
                Changed::Done => return Ok(case),
                Changed::Conflict | Changed::Full => {}
            }
        }
        Err(AnswerError::Failed(ElicitError::Store))
    }

    /// Puts an answer on record.
    pub(super) async fn record(&self, case: &Case) -> Result<(), ElicitError> {
        let id = random_id().map_err(|_| ElicitError::Audit)?;
        let (verdict, by) = match &case.state {
            State::Answered {
                approved: true, by, ..
            } => ("approved", by.as_str()),
            State::Answered { by, .. } => ("denied", by.as_str()),
            State::Open | State::Spent { .. } => ("open", ""),
        };
        let record = AuditRecord {
            // Answers are few and each is a stream of its own: nothing numbers them across companions.
            seq: 0,
            stream: format!("approval-{id}"),
            at_ms: now_ms(),
            decision_id: case.id(),
            policy_digest: case.binding.policy_digest.clone(),
            step: Some(StepRecord {
                plugin: ANSWER_STEP.to_owned(),
                source: case.binding.step.clone(),
            }),
            code: Some(verdict.to_owned()),
            entity_type: "approval".to_owned(),
            entity_name: case.binding.operation.clone(),
            subject: Some(case.requester.subject.clone()),
            client: Some(by.to_owned()),
            effects: vec![format!("elicit:{}", case.plugin)],
            request_digest: Some(case.binding.args_digest.clone()),
            ..AuditRecord::default()
        };
        self.audit.append(&record).await.map_err(|_| ElicitError::Audit)
    }

    /// Uses up a one-time link; who came by it is who is asked.
    pub async fn enter(&self, key: &str, link: &str) -> Result<Approver, AnswerError> {
        for _ in 0..TRIES {
            let mut held = self.by_link(key, link).await?;
            held.case.link = None;
            match self.put(&held.case, held.version, None).await? {
                Changed::Done => {
                    return Ok(Approver {
                        name: held.case.from,
                        known_as: Vec::new(),
                        only: Some(key.to_owned()),
                    });
                }
                Changed::Conflict | Changed::Full => {}
            }
        }
        Err(AnswerError::Failed(ElicitError::Store))
    }

    /// The open case of a link that was not used yet.
    pub(crate) async fn by_link(&self, key: &str, link: &str) -> Result<HeldCase, AnswerError> {
        if !self.demo_links || case::parts(&format!("{key}.{key}")).is_none() {
            return Err(AnswerError::NotFound);
        }
        let held = self.held(key).await?.ok_or(AnswerError::NotFound)?;
        let fits = held.case.link.as_deref() == Some(super::digest(link).as_str());
        (fits && held.case.is_open(now_s()))
            .then_some(held)
            .ok_or(AnswerError::NotFound)
    }
}
