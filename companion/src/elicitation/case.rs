//! One question to one human, from asked to spent.

use companion_protocol::{
    Binding, ElicitAsk, ElicitBegin, ElicitKind, ElicitState, Elicitation, Requester, Shown,
};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::store::hex;

/// An approval that comes in the last moment can still be redeemed for so long.
pub(super) const REDEEM_S: u64 = 300;

/// An ended case is remembered for so long, so that it is answered as expired and not as unknown.
pub(super) const REMEMBER_S: u64 = 3600;

/// What the store keeps.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Case {
    /// Tells this case from another of the same binding before or after it.
    pub nonce: String,
    /// The elicitor.
    pub plugin: String,
    /// The verb.
    pub verb: ElicitKind,
    /// Who is asked.
    pub from: String,
    /// Who asks.
    pub requester: Requester,
    /// As policy wrote it.
    pub purpose: Option<String>,
    /// As policy wrote it.
    pub scope_text: Option<String>,
    /// `page` or `ciba`.
    pub channel: String,
    /// What an approval is good for.
    pub binding: Binding,
    /// What the approver sees.
    pub shown: Vec<Shown>,
    /// The requester may answer.
    pub allow_self: bool,
    /// Seconds since the Unix epoch.
    pub created_at: u64,
    /// Seconds since the Unix epoch.
    pub expires_at: u64,
    /// Where it stands.
    pub state: State,
    /// What the OpenID provider was told.
    pub ciba: Option<CibaCase>,
    /// SHA-256 of a one-time link that was not used yet.
    pub link: Option<String>,
}

/// Where a case stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Nobody has answered.
    Open,
    /// Somebody has.
    Answered {
        /// Yes or no.
        approved: bool,
        /// Who.
        by: String,
        /// Seconds since the Unix epoch.
        at: u64,
        /// What they wrote.
        note: Option<String>,
    },
    /// The approval let one operation through.
    Spent {
        /// Who had approved.
        by: String,
        /// Seconds since the Unix epoch.
        at: u64,
        /// The idempotency key of the redeem.
        with: String,
    },
}

/// A request at an OpenID provider.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CibaCase {
    /// The provider's name for it.
    pub auth_req_id: String,
    /// Seconds between two questions.
    pub interval_s: u64,
    /// Not before, milliseconds since the Unix epoch.
    pub next_poll_ms: u64,
    /// SHA-256 of what the provider proves itself with when it pings.
    pub notification: Option<String>,
    /// The provider has pinged, or need not.
    pub may_ask: bool,
}

/// A case's key in the store: the same question has the same key.
pub(super) fn key_of(plugin: &str, from: &str, binding: &Binding) -> String {
    let Binding {
        requester,
        route,
        operation,
        args_digest,
        policy_digest,
        step,
    } = binding;
    let mut hash = Sha256::new();
    for part in [
        plugin,
        from,
        requester,
        route,
        operation,
        args_digest,
        policy_digest,
        step,
    ] {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    hex(&hash.finalize()[..16])
}

/// Key and nonce of an id that a client sent.
pub(super) fn parts(id: &str) -> Option<(&str, &str)> {
    let (key, nonce) = id.split_once('.')?;
    let is_hex = |text: &str| text.len() == 32 && text.bytes().all(|b| b.is_ascii_hexdigit());
    (is_hex(key) && is_hex(nonce)).then_some((key, nonce))
}

impl Case {
    /// A question that nobody has answered.
    pub(super) fn open(
        asked: &ElicitBegin,
        nonce: String,
        channel: &str,
        now_s: u64,
        timeout_s: u64,
    ) -> Self {
        Self {
            nonce,
            plugin: asked.plugin.clone(),
            verb: asked.verb,
            from: asked.from.clone(),
            requester: asked.requester.clone(),
            purpose: asked.purpose.clone(),
            scope_text: asked.scope_text.clone(),
            channel: channel.to_owned(),
            binding: asked.binding.clone(),
            shown: asked.shown.clone(),
            allow_self: false,
            created_at: now_s,
            expires_at: now_s.saturating_add(timeout_s),
            state: State::Open,
            ciba: None,
            link: None,
        }
    }

    /// Its key in the store.
    pub fn key(&self) -> String {
        key_of(&self.plugin, &self.from, &self.binding)
    }

    /// What the client carries.
    pub fn id(&self) -> String {
        format!("{}.{}", self.key(), self.nonce)
    }

    /// What both humans can call it.
    pub fn intent_id(&self) -> String {
        self.nonce.get(..8).unwrap_or_default().to_ascii_uppercase()
    }

    /// Whether an answer is still awaited.
    pub fn is_open(&self, now_s: u64) -> bool {
        self.state == State::Open && now_s < self.expires_at
    }

    /// Whether it answers a repeat of the same question.
    pub(super) fn is_current(&self, now_s: u64) -> bool {
        !matches!(self.state, State::Spent { .. }) && now_s < self.expires_at
    }

    /// Whether it is what the client's id and the operation say.
    pub(super) fn is_for(&self, asked: &ElicitAsk) -> bool {
        self.plugin == asked.plugin && self.from == asked.from && self.binding == asked.binding
    }

    /// Takes an answer.
    pub(super) fn answer(&mut self, approved: bool, by: &str, note: Option<String>, now_s: u64) {
        self.state = State::Answered {
            approved,
            by: by.to_owned(),
            at: now_s,
            note,
        };
        self.expires_at = self.expires_at.max(now_s.saturating_add(REDEEM_S));
        self.link = None;
    }

    /// What the proxy is told.
    pub(super) fn view(&self, now_s: u64) -> Elicitation {
        let ended = now_s >= self.expires_at;
        let (state, approver, at) = match &self.state {
            State::Spent { .. } => (ElicitState::UnknownId, None, None),
            State::Answered {
                approved: false,
                by,
                at,
                ..
            } => (ElicitState::Denied, Some(by), Some(*at)),
            State::Open | State::Answered { .. } if ended => (ElicitState::Expired, None, None),
            State::Open => (ElicitState::Pending, Some(&self.from), None),
            State::Answered { by, at, .. } => (ElicitState::Approved, Some(by), Some(*at)),
        };
        if state == ElicitState::UnknownId {
            return nothing(state);
        }
        Elicitation {
            state,
            id: self.id(),
            approver: approver.cloned(),
            channel: Some(self.channel.clone()),
            expires_at: Some(self.expires_at),
            intent_id: Some(self.intent_id()),
            at,
        }
    }
}

/// An answer about no case.
pub(super) fn nothing(state: ElicitState) -> Elicitation {
    Elicitation {
        state,
        id: String::new(),
        approver: None,
        channel: None,
        expires_at: None,
        intent_id: None,
        at: None,
    }
}
