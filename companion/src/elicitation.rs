//! Asking humans, and letting through what they approved: once, and nothing else.
//!
//! A case ([`Case`]) is one document in the [`CaseStore`], so any companion over the same store can go on with it, and a
//! killed one loses none. Its key is a digest of who is asked, what for and by whom ([`case::key_of`]): the same question
//! asked again finds it. Every change is a compare-and-swap, so of two answers, or two redeems, one counts.
//!
//! Times are the companion's wall clock. A step ahead ends requests early, a step back lets them live longer by as much.

mod answer;
mod case;
mod ciba;
mod webhook;

use std::sync::Arc;

use companion_protocol::{ElicitAsk, ElicitBegin, ElicitState, Elicitation};

use crate::audit::AuditLog;
use crate::clock::{now_ms, now_s};
use crate::config::{Elicitor, Policy};
use crate::outbound::Outbound;
use crate::store::{CaseStore, Change, Changed, StoreError, hex, random_id};

pub(crate) use answer::ANSWER_STEP;
pub use answer::{AnswerError, Approver, MAX_NOTE_BYTES};
pub use case::{Case, State};
pub use ciba::{NOTIFY_PATH, PingError};
pub(crate) use webhook::Webhooks;

/// Requests of one requester that may wait at a time.
pub const MAX_PENDING: usize = 16;

/// The longest time a request may wait, in seconds: a week.
pub const MAX_TIMEOUT_S: u64 = 7 * 24 * 60 * 60;

/// The most lines that an approver is shown.
pub const MAX_SHOWN: usize = 64;

/// Tries of a change that others change too.
const TRIES: usize = 8;

/// Why an elicitation was not performed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ElicitError {
    /// No such elicitor.
    #[error("no elicitor `{0}` is configured for this policy")]
    UnknownPlugin(String),
    /// What is asked contradicts itself or is too much.
    #[error("the approval cannot be asked for: {0}")]
    BadRequest(&'static str),
    /// Too many wait already.
    #[error("{MAX_PENDING} approvals of this requester are waiting already")]
    TooManyPending,
    /// The provider refused.
    #[error("the identity provider refused to ask the approver (HTTP {0})")]
    OpRejected(u16),
    /// The provider cannot be reached.
    #[error("the identity provider cannot be reached")]
    OpUnreachable,
    /// Its address is private and not allowed.
    #[error("the OpenID provider's address may not be connected to")]
    EgressDenied,
    /// The provider is slow.
    #[error("the identity provider did not answer within {0} ms")]
    OpTimedOut(u64),
    /// The provider answered with something else.
    #[error("the identity provider's answer cannot be used: {0}")]
    BadResponse(&'static str),
    /// The store failed.
    #[error("the store of approvals failed")]
    Store,
    /// No record, no approval.
    #[error("the audit log cannot be written")]
    Audit,
}

impl ElicitError {
    /// The stable code.
    pub fn code(&self) -> &'static str {
        match self {
            Self::UnknownPlugin(_) | Self::BadRequest(_) => "elicitation.bad_request",
            Self::TooManyPending => "elicitation.too_many_pending",
            Self::OpRejected(_) => "elicitation.op_rejected",
            Self::OpUnreachable => "elicitation.op_unreachable",
            Self::EgressDenied => "elicitation.egress_denied",
            Self::OpTimedOut(_) => "elicitation.op_timeout",
            Self::BadResponse(_) => "elicitation.bad_response",
            Self::Store => "elicitation.store_failed",
            Self::Audit => "audit.unavailable",
        }
    }

    /// Whether it could not be performed at all, as opposed to being refused.
    pub fn is_failure(&self) -> bool {
        match self {
            Self::OpUnreachable | Self::OpTimedOut(_) | Self::BadResponse(_) | Self::Store | Self::Audit => {
                true
            }
            Self::OpRejected(status) => *status >= 500,
            Self::UnknownPlugin(_) | Self::BadRequest(_) | Self::TooManyPending | Self::EgressDenied => false,
        }
    }
}

impl From<StoreError> for ElicitError {
    fn from(_: StoreError) -> Self {
        Self::Store
    }
}

/// Asks, and keeps what was answered.
pub struct Desk {
    pub(crate) cases: Arc<dyn CaseStore>,
    pub(crate) outbound: Arc<Outbound>,
    pub(crate) audit: Arc<AuditLog>,
    /// Where approvers' browsers find the pages.
    pub(crate) pages: Option<String>,
    /// One-time links are printed.
    pub(crate) demo_links: bool,
    pub(crate) webhooks: Webhooks,
}

/// A case as the store has it.
pub(crate) struct HeldCase {
    pub(crate) case: Case,
    pub(crate) version: u64,
}

impl Desk {
    /// Asks, unless this was asked already.
    pub async fn begin(&self, policy: &Policy, asked: &ElicitBegin) -> Result<Elicitation, ElicitError> {
        check(asked)?;
        let elicitor = elicitor(policy, &asked.plugin)?;
        let key = case::key_of(&asked.plugin, &asked.from, &asked.binding);
        for _ in 0..TRIES {
            let now_s = now_s();
            let held = self.held(&key).await?;
            let expected = held.as_ref().map_or(0, |held| held.version);
            if let Some(held) = held.filter(|held| held.case.is_current(now_s)) {
                return Ok(self.refreshed(policy, held).await?.case.view(now_s));
            }
            let (case, link) = self.new_case(elicitor, asked, now_s).await?;
            let room = (group_of_requester(&case), MAX_PENDING);
            match self.put(&case, expected, Some(room)).await? {
                Changed::Done => {
                    self.announce(elicitor, &case, link.as_deref());
                    return Ok(case.view(now_s));
                }
                Changed::Full => return Err(ElicitError::TooManyPending),
                Changed::Conflict => {}
            }
        }
        Err(ElicitError::Store)
    }

    /// Looks what became of it; spends nothing.
    pub async fn check(&self, policy: &Policy, asked: &ElicitAsk) -> Result<Elicitation, ElicitError> {
        match self.find(policy, asked).await? {
            Ok(held) => Ok(held.case.view(now_s())),
            Err(state) => Ok(case::nothing(state)),
        }
    }

    /// Spends an approval. `with`: a repeat under the same key is answered as the first time.
    pub async fn redeem(
        &self,
        policy: &Policy,
        asked: &ElicitAsk,
        with: &str,
    ) -> Result<Elicitation, ElicitError> {
        for _ in 0..TRIES {
            let held = match self.find(policy, asked).await? {
                Ok(held) => held,
                Err(state) => return Ok(case::nothing(state)),
            };
            let mut spent = held.case;
            let mut view = spent.view(now_s());
            match &spent.state {
                State::Spent { by, at, with: first } if first == with => {
                    view.state = ElicitState::Approved;
                    view.id = spent.id();
                    (view.approver, view.at) = (Some(by.clone()), Some(*at));
                    return Ok(view);
                }
                State::Answered { by, at, .. } if view.state == ElicitState::Approved => {
                    let (by, at, with) = (by.clone(), *at, with.to_owned());
                    spent.state = State::Spent { by, at, with };
                }
                State::Open | State::Answered { .. } | State::Spent { .. } => return Ok(view),
            }
            match self.put(&spent, held.version, None).await? {
                Changed::Done => return Ok(view),
                Changed::Conflict | Changed::Full => {}
            }
        }
        Err(ElicitError::Store)
    }

    /// The case of a client's id, asked about at its provider; or why there is none for this operation.
    async fn find(
        &self,
        policy: &Policy,
        asked: &ElicitAsk,
    ) -> Result<Result<HeldCase, ElicitState>, ElicitError> {
        elicitor(policy, &asked.plugin)?;
        let Some((key, nonce)) = case::parts(&asked.id) else {
            return Ok(Err(ElicitState::UnknownId));
        };
        let held = self.held(key).await?.filter(|held| held.case.nonce == nonce);
        match held {
            None => Ok(Err(ElicitState::UnknownId)),
            Some(held) if !held.case.is_for(asked) => Ok(Err(ElicitState::BindingMismatch)),
            Some(held) => Ok(Ok(self.refreshed(policy, held).await?)),
        }
    }

    /// The case under this key.
    pub(crate) async fn held(&self, key: &str) -> Result<Option<HeldCase>, ElicitError> {
        let Some(stored) = self.cases.get(key, now_ms()).await? else {
            return Ok(None);
        };
        match serde_json::from_str(&stored.text) {
            Ok(case) => Ok(Some(HeldCase {
                case,
                version: stored.version,
            })),
            Err(error) => {
                tracing::error!(%error, key, "a case in the store has another form");
                Err(ElicitError::Store)
            }
        }
    }

    /// Writes a case.
    pub(crate) async fn put(
        &self,
        case: &Case,
        expected: u64,
        room: Option<(String, usize)>,
    ) -> Result<Changed, ElicitError> {
        let is_open = case.state == State::Open;
        let groups = match is_open {
            true => vec![group_of_requester(case), group_of_approver(&case.from)],
            false => Vec::new(),
        };
        let end_s = case.expires_at.saturating_add(case::REMEMBER_S);
        let change = Change {
            key: case.key(),
            expected,
            text: serde_json::to_string(case).map_err(|_| ElicitError::Store)?,
            groups,
            ends_ms: end_s.saturating_mul(1000),
            room,
        };
        self.cases
            .change(change, now_ms())
            .await
            .map_err(|error| match error {
                StoreError::InvalidKey => ElicitError::BadRequest("it is too long"),
                StoreError::InvalidLabel | StoreError::BucketFull | StoreError::Unavailable => {
                    ElicitError::Store
                }
            })
    }

    /// A case that nobody knows of yet, and its one-time link.
    async fn new_case(
        &self,
        elicitor: &Elicitor,
        asked: &ElicitBegin,
        now_s: u64,
    ) -> Result<(Case, Option<String>), ElicitError> {
        let random = || random_id().map_err(|_| ElicitError::Store);
        let timeout = |default: u64| asked.timeout_s.unwrap_or(default).clamp(1, MAX_TIMEOUT_S);
        match elicitor {
            Elicitor::Page(page) => {
                if self.pages.is_none() {
                    return Err(ElicitError::BadRequest("the companion serves no approval pages"));
                }
                let mut case = Case::open(asked, random()?, "page", now_s, timeout(page.timeout_s));
                case.allow_self = page.allow_self;
                let link = self.demo_links.then(random).transpose()?;
                case.link = link.as_deref().map(digest);
                Ok((case, link))
            }
            Elicitor::Ciba(ciba) => {
                let timeout_s = timeout(ciba.config.default_expiry_s);
                let mut case = Case::open(asked, random()?, "ciba", now_s, timeout_s);
                case.allow_self = ciba.config.allow_self;
                if !case.allow_self && answer::is_requester(&case.requester, [case.from.as_str()]) {
                    return Err(ElicitError::BadRequest("the approver is the requester"));
                }
                ciba::start(&self.outbound, ciba, &mut case, timeout_s).await?;
                Ok((case, None))
            }
        }
    }

    fn announce(&self, elicitor: &Elicitor, case: &Case, link: Option<&str>) {
        tracing::info!(
            plugin = case.plugin,
            intent = case.intent_id(),
            operation = case.binding.operation,
            "an approval is asked for"
        );
        let Elicitor::Page(page) = elicitor else {
            return;
        };
        let Some(pages) = &self.pages else {
            return;
        };
        if let Some(link) = link {
            use std::io::Write;
            let line = format!(
                "approval link for {}: {pages}/approvals/link/{}/{link}",
                case.from,
                case.key()
            );
            // Whoever runs the demo reads it here. A closed output is no reason to refuse the request.
            let _ = writeln!(std::io::stdout(), "{line}");
        }
        if let Some(webhook) = &page.webhook {
            self.webhooks.send(webhook, case, pages);
        }
    }
}

/// SHA-256 in hex.
pub(crate) fn digest(text: &str) -> String {
    use sha2::{Digest, Sha256};
    hex(&Sha256::digest(text))
}

fn elicitor<'p>(policy: &'p Policy, plugin: &str) -> Result<&'p Elicitor, ElicitError> {
    policy
        .elicitor(plugin)
        .ok_or_else(|| ElicitError::UnknownPlugin(plugin.to_owned()))
}

fn group_of_requester(case: &Case) -> String {
    format!("r:{}", digest(&case.binding.requester))
}

/// The group of the open cases that somebody is asked in.
pub(crate) fn group_of_approver(name: &str) -> String {
    format!("a:{}", digest(name))
}

/// An empty part is an error and never a wildcard.
fn check(asked: &ElicitBegin) -> Result<(), ElicitError> {
    let binding = &asked.binding;
    let parts = [
        &asked.from,
        &asked.requester.subject,
        &binding.requester,
        &binding.route,
        &binding.operation,
        &binding.args_digest,
        &binding.policy_digest,
        &binding.step,
    ];
    if parts.into_iter().any(String::is_empty) {
        return Err(ElicitError::BadRequest(
            "approver, requester or binding has an empty part",
        ));
    }
    if asked.shown.len() > MAX_SHOWN {
        return Err(ElicitError::BadRequest(
            "more lines are to be shown than a person reads",
        ));
    }
    Ok(())
}
