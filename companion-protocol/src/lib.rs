//! The effects that a proxy asks of the companion, and what it answers.
//!
//! One endpoint does the work: `POST /v1/effects` takes an ordered [`EffectsRequest`] for one exchange and answers with
//! an [`EffectsResponse`] that holds one [`EffectResult`] an effect, in order. The companion stops at the first effect
//! that fails with [`OnFail::Stop`]; every effect behind it is answered [`EffectResult::Skipped`].
//!
//! Both sides refuse unknown fields in what they *send* and ignore unknown fields in what they *receive*, so that
//! neighbouring versions work together. This crate is the only place where the shapes are written down; the OpenAPI
//! document is generated from it.

#![forbid(unsafe_code)]

pub mod config;
mod effect;
mod elicit;
mod json;
mod record;
mod result;
#[cfg(feature = "sealed")]
pub mod sealed;
mod session;

pub use effect::{Attenuation, Effect, EffectCall, OnFail, PdpDecide, SubjectKind, TokenExchange};
pub use elicit::{Binding, ElicitAsk, ElicitBegin, ElicitKind, ElicitState, Elicitation, Requester, Shown};
pub use json::{Json, MAX_INPUT_DEPTH};
pub use record::{
    AuditRecord, CallRecord, Captured, CapturedDecision, ShadowVerdict, StepRecord, VerdictKind, WouldKind,
};
pub use result::{Count, Decision, EffectNote, EffectResult, EffectsResponse, Grant, KeyRecord, Labels};
pub use session::SessionKey;

use serde::{Deserialize, Serialize};

/// The path of the endpoint, below the configured base.
pub const EFFECTS_PATH: &str = "/v1/effects";

/// The path that serves an issuer's keys: `GET /v1/jwks?issuer=<percent-encoded issuer>`. With [`JWKS_REFRESH`], for a
/// key id that the keys held do not have, they are fetched again first, at most once in 30 s.
pub const JWKS_PATH: &str = "/v1/jwks";

/// Behind the issuer in [`JWKS_PATH`]'s query: the keys held do not do.
pub const JWKS_REFRESH: &str = "&refresh=true";

/// The largest number of effects in one request; more is refused with 400.
pub const MAX_EFFECTS: usize = 64;

/// The largest request body in bytes that the companion reads; more is refused with 413.
pub const MAX_REQUEST_BYTES: usize = 1 << 20;

/// The largest answer in bytes that the proxy reads; a larger one is a failure of every effect in it.
pub const MAX_RESPONSE_BYTES: usize = 1 << 20;

/// An ordered list of effects of one exchange.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct EffectsRequest {
    /// SHA-256 of the program that asks, lower-case hex. A companion that does not know it answers every effect with
    /// `companion.unknown_policy`.
    pub policy_digest: String,
    /// The exchange's decision id: the same in the client's answer and in the audit record.
    pub decision_id: String,
    /// The effects, in the order in which policy wrote them.
    pub effects: Vec<EffectCall>,
}
