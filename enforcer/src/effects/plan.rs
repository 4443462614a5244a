//! Which effects of a suspension are answered here and which are asked.

use apl_bytecode::{Scopes, Subject};
use apl_vm::{Answer, Batch, Bound, DelegateCall};
use companion_protocol::{
    Attenuation, AuditRecord, Binding, Effect, EffectCall, Json, OnFail, SessionKey, StepRecord, SubjectKind,
    TokenExchange,
};

use super::local::{Caches, Minted, actor_credential, subject_credential, token_key};
use super::{
    elicit::{self, Approved, ElicitAsked},
    question,
};
use crate::{
    cache::Key,
    identity::{
        principal::{Credential, Principal},
        token::token_in,
    },
    pins::MARK_TTL_S,
};

/// Who asks, and everything that effects take from the exchange.
pub(crate) struct Asker<'a> {
    pub(crate) principal: &'a Principal,
    /// Header values with the tokens themselves.
    pub(crate) credentials: &'a [(String, String)],
    pub(crate) session: Option<&'a SessionKey>,
    pub(crate) decision_id: &'a str,
    /// Fills everything of a record but number, stream and step.
    pub(crate) record: &'a dyn Fn() -> AuditRecord,
    /// Approvals that the client came back with, and those of them that steps of this phase have taken.
    pub(crate) elicitations: &'a [String],
    pub(crate) approvals: &'a [Approved],
    /// What an approval is bound to, but for the step; `None`: nobody is identified.
    pub(crate) binding: Option<&'a Binding>,
    /// The session's labels, when they were loaded just now.
    pub(crate) labels: Option<&'a [String]>,
    /// What decision points are asked and say is kept for the record.
    pub(crate) captures: bool,
    pub(crate) now_ms: u64,
}

/// One effect on its way to an answer.
#[derive(Debug)]
pub(crate) struct Planned {
    /// A failure stops those behind it.
    pub(crate) stops: bool,
    /// For the audit record, as `token.exchange:workday-oauth`.
    pub(crate) label: String,
    pub(crate) way: Way,
}

/// Where the answer comes from.
#[derive(Debug)]
pub(crate) enum Way {
    /// Known already.
    Here(Answer),
    /// A label that is known to be set.
    Known,
    /// A minted token from the cache.
    Minted(Minted),
    /// A step record, queued when its turn comes.
    Queue(Box<AuditRecord>),
    /// The companion, with the result at this place in its list.
    Ask(Asked),
}

/// What the companion is asked, so far as its answer needs it.
#[derive(Debug)]
pub(crate) enum Asked {
    Labels,
    Label {
        session: SessionKey,
        label: String,
        scopes: Scopes,
    },
    Token {
        key: Option<Key>,
        ttl_s: u32,
    },
    Audit,
    /// As many results as there are ids; without ids, one.
    Elicit(Box<ElicitAsked>),
    Redeem,
    /// With the point and the question, where it is captured.
    Decision(Option<Box<(String, Json)>>),
    Count,
}

impl Asked {
    /// How many results in the companion's list are its own.
    pub(super) fn results(&self) -> usize {
        match self {
            Self::Elicit(asked) => asked.ids.len().max(1),
            Self::Labels
            | Self::Label { .. }
            | Self::Token { .. }
            | Self::Audit
            | Self::Redeem
            | Self::Decision(_)
            | Self::Count => 1,
        }
    }
}

/// All effects of one suspension.
#[derive(Debug, Default)]
pub(crate) struct Plan {
    pub(crate) effects: Vec<Planned>,
    /// What goes to the companion, in order; empty: nothing has to.
    pub(crate) calls: Vec<EffectCall>,
}

/// Plans a batch. `position` numbers the effects of the exchange for their idempotency keys.
pub(crate) fn plan(batch: Batch, asker: &Asker<'_>, caches: &Caches, position: &mut u32) -> Plan {
    let mut plan = Plan {
        effects: Vec::with_capacity(batch.effects.len()),
        calls: Vec::new(),
    };
    for (_, bound) in batch.effects {
        let (planned, call) = one(bound, asker, caches);
        for (effect, source) in call {
            // Of several ids for one step each is looked at; nothing stands behind them that could go wrong.
            let looks = matches!(effect, Effect::ElicitCheck(_));
            let on_fail = if planned.stops && !looks {
                OnFail::Stop
            } else {
                OnFail::Continue
            };
            let idempotency_key = idempotency_key(asker.decision_id, *position);
            plan.calls.push(EffectCall {
                idempotency_key,
                on_fail,
                source,
                effect,
            });
            *position = position.saturating_add(1);
        }
        plan.effects.push(planned);
    }
    plan
}

/// Names an effect of an exchange.
pub(crate) fn idempotency_key(decision_id: &str, position: u32) -> String {
    format!("{decision_id}.{position}")
}

/// The effects that the companion is asked for, each with its position.
pub(super) type Call = Vec<(Effect, String)>;

pub(super) fn one(bound: Bound, asker: &Asker<'_>, caches: &Caches) -> (Planned, Call) {
    match bound {
        Bound::LoadLabels { rule } => {
            let label = "session.load".to_owned();
            match asker.session {
                Some(_) if let Some(labels) = asker.labels => {
                    (here(true, label, Answer::Labels(labels.to_vec())), Vec::new())
                }
                None => (
                    here(true, label, failed("session.load_failed", "nobody is identified")),
                    Vec::new(),
                ),
                Some(session) => {
                    let effect = Effect::SessionLoad {
                        session: session.clone(),
                    };
                    (load_labels(label), vec![(effect, rule)])
                }
            }
        }
        Bound::Taint {
            label,
            scopes,
            ttl_s,
            rule,
        } => taint(label, scopes, ttl_s, rule, asker, caches),
        Bound::Delegate(call) => delegate(call, asker, caches),
        Bound::Elicit(call) => elicit::plan(*call, asker),
        Bound::Decide(call) => question::decide(*call, asker.captures),
        Bound::Count(call) => question::count(call, asker),
        Bound::Audit {
            plugin,
            durable,
            rule,
        } => {
            let label = format!("audit.append:{plugin}");
            let mut record = (asker.record)();
            record.step = Some(StepRecord {
                plugin,
                source: rule.clone(),
            });
            if durable {
                let effect = Effect::AuditAppend {
                    record: Box::new(record),
                };
                (
                    Planned {
                        stops: true,
                        label,
                        way: Way::Ask(Asked::Audit),
                    },
                    vec![(effect, rule)],
                )
            } else {
                (
                    Planned {
                        stops: true,
                        label,
                        way: Way::Queue(Box::new(record)),
                    },
                    Vec::new(),
                )
            }
        }
    }
}

fn taint(
    label: String,
    scopes: Scopes,
    ttl_s: u32,
    rule: String,
    asker: &Asker<'_>,
    caches: &Caches,
) -> (Planned, Call) {
    let name = format!("session.append:{label}");
    if !scopes.has(Scopes::SESSION) && !scopes.has(Scopes::SUBJECT) {
        return (here(true, name, Answer::Done), Vec::new());
    }
    let Some(session) = asker.session else {
        return (
            here(
                true,
                name,
                failed("session.persist_failed", "nobody is identified"),
            ),
            Vec::new(),
        );
    };
    if caches.has_label(session, &label, scopes, asker.now_ms) {
        return (
            Planned {
                stops: true,
                label: name,
                way: Way::Known,
            },
            Vec::new(),
        );
    }
    let only = |scope: Scopes| {
        if scopes.has(scope) {
            vec![label.clone()]
        } else {
            Vec::new()
        }
    };
    let effect = Effect::SessionAppend {
        session: session.clone(),
        labels: only(Scopes::SESSION),
        subject_labels: only(Scopes::SUBJECT),
        ttl_s: (ttl_s > 0).then_some(u64::from(ttl_s)),
    };
    (
        Planned {
            stops: true,
            label: name,
            way: Way::Ask(Asked::Label {
                session: session.clone(),
                label,
                scopes,
            }),
        },
        vec![(effect, rule)],
    )
}

/// Labels of some bucket; without a name it stands in no record.
pub(crate) const fn load_labels(label: String) -> Planned {
    Planned {
        stops: true,
        label,
        way: Way::Ask(Asked::Labels),
    }
}

/// A verdict's record that is waited for. Those behind it are stored even if it is not.
pub(crate) const fn record_of() -> Planned {
    Planned {
        stops: false,
        label: String::new(),
        way: Way::Ask(Asked::Audit),
    }
}

/// A pin's mark, unless it is known to be there.
pub(crate) fn mark(
    session: &SessionKey,
    label: &str,
    caches: &Caches,
    now_ms: u64,
) -> (Planned, Option<Effect>) {
    let scopes = Scopes::SUBJECT;
    let known = caches.has_label(session, label, scopes, now_ms);
    let way = if known {
        Way::Known
    } else {
        Way::Ask(Asked::Label {
            session: session.clone(),
            label: label.to_owned(),
            scopes,
        })
    };
    let planned = Planned {
        stops: true,
        label: ["session.append:", label].concat(),
        way,
    };
    let effect = Effect::SessionAppend {
        session: session.clone(),
        labels: Vec::new(),
        subject_labels: vec![label.to_owned()],
        ttl_s: Some(MARK_TTL_S),
    };
    (planned, (!known).then_some(effect))
}

fn delegate(call: DelegateCall, asker: &Asker<'_>, caches: &Caches) -> (Planned, Call) {
    let stops = call.stops;
    let label = format!("token.exchange:{}", call.delegator);
    let missing = |label| {
        (
            here(
                stops,
                label,
                failed(
                    "delegation.bad_request",
                    "the credential to exchange is not there",
                ),
            ),
            Vec::new(),
        )
    };
    let Ok(subject) = subject_credential(asker.principal, call.subject) else {
        return missing(label);
    };
    let Ok(actor) = actor_credential(asker.principal, call.actor) else {
        return missing(label);
    };
    // A token of the caller's own beside the credential that says who they are.
    let mut brought = None;
    if !call.header.is_empty() {
        let header = asker.credentials.iter().find(|(name, _)| *name == call.header);
        brought = header.and_then(|(_, value)| token_in(value, None).ok());
        if brought.is_none() {
            return missing(label);
        }
    }
    let key = token_key(&call, subject, actor, brought);
    if let Some(minted) = key.as_ref().and_then(|key| caches.token(key, asker.now_ms)) {
        return (
            Planned {
                stops,
                label,
                way: Way::Minted(minted.clone()),
            },
            Vec::new(),
        );
    }
    let token_of = |credential: &Credential| {
        let place = credential.token.as_ref()?;
        let (_, value) = asker.credentials.iter().find(|(name, _)| *name == place.header)?;
        token_in(value, place.prefix.as_deref()).ok().map(str::to_owned)
    };
    let subject_token = match brought {
        Some(token) => Some(token.to_owned()),
        None => subject.and_then(token_of),
    };
    let actor_token = actor.and_then(token_of);
    if subject.is_some() != subject_token.is_some() || actor.is_some() != actor_token.is_some() {
        return missing(label);
    }
    let effect = Effect::TokenExchange(TokenExchange {
        delegator: call.delegator,
        subject: match call.subject {
            Subject::User => SubjectKind::User,
            Subject::Client => SubjectKind::Client,
            Subject::CallerWorkload => SubjectKind::CallerWorkload,
            Subject::ThisWorkload => SubjectKind::ThisWorkload,
        },
        subject_token,
        expected_sub: subject
            .map(|credential| credential.sub.clone())
            .filter(|sub| !sub.is_empty()),
        actor_token,
        target: call.target,
        audience: call.audience,
        permissions: call.permissions,
        attenuation: (!call.header.is_empty()).then(|| Attenuation {
            ttl_s: (call.ttl_s > 0).then_some(u64::from(call.ttl_s)),
            checks: call.checks,
        }),
    });
    (
        Planned {
            stops,
            label,
            way: Way::Ask(Asked::Token {
                key,
                ttl_s: call.ttl_s,
            }),
        },
        vec![(effect, call.rule)],
    )
}

pub(super) const fn here(stops: bool, label: String, answer: Answer) -> Planned {
    Planned {
        stops,
        label,
        way: Way::Here(answer),
    }
}

pub(super) fn failed(code: &str, reason: &str) -> Answer {
    Answer::Failed {
        code: code.to_owned(),
        reason: reason.to_owned(),
    }
}
