//! Decision points: Cedar and Rego in this process, AuthZEN and NeMo Guardrails over HTTP.
//!
//! Fail closed: whatever is not a clear yes denies. What an engine or a server says about an error goes to the log and not
//! into the reason; a reason is the rule author's own words.

mod cedar;
mod rego;
mod remote;

use axum::http::Uri;
use companion_protocol::{Decision, Json, MAX_INPUT_DEPTH, PdpDecide};

use crate::outbound::Outbound;

pub use cedar::CedarEngine;
pub use rego::RegoEngine;
pub use remote::{AuthzenPoint, NemoPoint, Remote};

/// The longest reason that is passed on, in bytes.
const MAX_REASON_BYTES: usize = 512;

/// The longest code.
const MAX_CODE_BYTES: usize = 128;

/// Who decides.
#[derive(Debug)]
pub enum DecisionPoint {
    /// In this process.
    Cedar(Box<CedarEngine>),
    /// In this process.
    Opa(Box<RegoEngine>),
    /// Over HTTP.
    Authzen(Box<AuthzenPoint>),
    /// Over HTTP.
    Nemo(Box<NemoPoint>),
}

/// Why there is no decision; each denies.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecisionError {
    /// No such decision point.
    #[error("no decision point `{0}` is configured for this policy")]
    Unknown(String),
    /// It speaks another dialect.
    #[error("decision point `{0}` is of another dialect than the policy's step")]
    Dialect(String),
    /// The step lacks something.
    #[error("the decision cannot be asked for: {0}")]
    BadRequest(&'static str),
    /// Nested too deep.
    #[error("the input is nested deeper than {MAX_INPUT_DEPTH} levels")]
    TooDeep,
    /// It holds a name that Cedar's JSON form gives a meaning.
    #[error("the input holds a key that Cedar reserves")]
    Withheld,
    /// The server cannot be reached.
    #[error("the decision point cannot be reached")]
    Unreachable,
    /// The server is slow, or the evaluation is.
    #[error("the decision point did not answer within {0} ms")]
    TimedOut(u64),
    /// The server refused.
    #[error("the decision point refused to decide (HTTP {0})")]
    Rejected(u16),
    /// Not a decision.
    #[error("the decision point's answer is no decision: {0}")]
    BadResponse(&'static str),
}

impl DecisionError {
    /// The stable code.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Unknown(_) | Self::Dialect(_) | Self::BadRequest(_) => "pdp.bad_request",
            Self::TooDeep => "pdp.input_too_deep",
            Self::Withheld => "cedar.input_withheld",
            Self::Unreachable => "pdp.unreachable",
            Self::TimedOut(_) => "pdp.timeout",
            Self::Rejected(_) => "pdp.rejected",
            Self::BadResponse(_) => "pdp.bad_response",
        }
    }

    /// Whether it could not be asked at all.
    pub fn is_failure(&self) -> bool {
        match self {
            Self::Unreachable | Self::TimedOut(_) | Self::Rejected(_) | Self::BadResponse(_) => true,
            Self::Unknown(_) | Self::Dialect(_) | Self::BadRequest(_) | Self::TooDeep | Self::Withheld => {
                false
            }
        }
    }
}

impl DecisionPoint {
    /// The server's address, when it is one.
    pub fn url(&self) -> Option<&Uri> {
        match self {
            Self::Cedar(_) | Self::Opa(_) => None,
            Self::Authzen(point) => Some(&point.remote.url),
            Self::Nemo(point) => Some(&point.remote.url),
        }
    }

    fn dialect(&self) -> &str {
        match self {
            Self::Cedar(engine) => engine.dialect(),
            Self::Opa(engine) => engine.dialect(),
            Self::Authzen(point) => &point.dialect,
            Self::Nemo(point) => &point.dialect,
        }
    }

    /// Decides.
    pub async fn decide(&self, outbound: &Outbound, asked: &PdpDecide) -> Result<Decision, DecisionError> {
        if self.dialect() != asked.dialect {
            return Err(DecisionError::Dialect(asked.plugin.clone()));
        }
        if asked.input.depth() > MAX_INPUT_DEPTH || asked.call.depth() > MAX_INPUT_DEPTH {
            return Err(DecisionError::TooDeep);
        }
        match self {
            Self::Cedar(engine) => engine.decide(asked),
            Self::Opa(engine) => engine.decide(asked).await,
            Self::Authzen(point) => point.decide(outbound, asked).await,
            Self::Nemo(point) => point.decide(outbound, asked).await,
        }
    }
}

/// A denial, cut to what fits in an answer.
pub(crate) fn deny(code: &str, reason: Option<&str>) -> Decision {
    Decision {
        allow: false,
        code: Some(cut(code, MAX_CODE_BYTES)),
        reason: reason.map(|reason| cut(reason, MAX_REASON_BYTES)),
    }
}

pub(crate) const ALLOW: Decision = Decision {
    allow: true,
    code: None,
    reason: None,
};

fn cut(text: &str, most: usize) -> String {
    let mut end = most.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    let kept = text.get(..end).unwrap_or_default();
    kept.chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect()
}

/// The member at a path of names.
pub(crate) fn at<'j>(tree: &'j Json, path: &[&str]) -> Option<&'j Json> {
    path.iter().try_fold(tree, |tree, name| tree.get(name))
}

/// As `serde_json` has it.
pub(crate) fn value(json: &Json) -> serde_json::Value {
    serde_json::to_value(json).unwrap_or_default()
}
