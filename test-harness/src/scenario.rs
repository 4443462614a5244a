//! Scenarios as data: who calls what, what happens before it, and what must come of it.
//!
//! [`run`] plays one on a [`Scene`]: a running [`Stack`](crate::stack::Stack) or [`Fleet`](crate::stack::Fleet). Beside what a step states, it checks what holds of every
//! step: the reply carries the request's id; an allowed reply is the backend's own, byte for byte, but for the stated edit; a
//! denied call never reached the backend; a delegated one carried none of the caller's tokens; and each verdict, denials
//! too, is exactly one audit record.

mod click;
pub mod cpex_demo;
mod expectations;
mod run;
pub mod seed;

use std::path::PathBuf;

use serde_json::Value;

use crate::backend::Role;
use crate::envoy::Envoy;
use crate::stack::{Backends, Companion, Idp};
pub use run::{Report, StepReport, run};

/// What a scenario is played on.
#[derive(Debug)]
pub struct Scene<'a> {
    /// Where tokens come from.
    pub idp: &'a Idp,
    /// The servers behind every gateway.
    pub backends: &'a Backends,
    /// What stands beside the gateways; several share one store.
    pub companions: &'a mut [Companion],
    /// What governs.
    pub gateways: &'a [Envoy],
}

/// One scenario.
#[derive(Debug, Clone)]
pub struct Scenario {
    /// What it is called.
    pub name: &'static str,
    /// Its policy.
    pub policy: PathBuf,
    /// The steps, in order.
    pub steps: Vec<Step>,
}

/// One tool call.
#[derive(Debug, Clone)]
pub struct Step {
    /// What it shows, for the reader.
    pub title: &'static str,
    /// What happens first.
    pub before: Vec<Event>,
    /// The user for whom the agent works.
    pub user: &'static str,
    /// The `X-Session-Id`.
    pub session: &'static str,
    /// The backend.
    pub backend: Role,
    /// The tool.
    pub tool: &'static str,
    /// Its arguments.
    pub arguments: Value,
    /// The approval that the client comes back with.
    pub carry: Carry,
    /// What must come of it.
    pub expect: Expect,
}

/// What a client sends of an approval that it was told of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Carry {
    /// Nothing.
    Nothing,
    /// The id of the last pending one.
    Id,
    /// The id, only to look what became of it.
    Peek,
}

/// Where a manager answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Desk {
    /// The companion's own pages, by a one-time link.
    Page,
    /// The identity provider's.
    Provider,
}

/// Something that happens between two calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// Whoever is asked for an approval answers, by a click in a browser where there is one.
    ManagerAnswers(&'static str, Desk, bool),
    /// Each companion is killed with SIGKILL and started again over its data.
    KillAndRestartCompanion,
    /// From now on the identity provider grants less than it is asked for (true) or what it is asked for (false).
    IdpGrantsLess(bool),
    /// The users log in again, so that no token minted for the old ones serves.
    LogInAgain,
}

/// What must come of a call.
#[derive(Debug, Clone)]
pub enum Expect {
    /// Forwarded and answered.
    Allowed(Allowed),
    /// Refused before the call.
    Denied(Denied),
    /// Waits for this approver on this channel.
    Pending(&'static str, &'static str),
    /// A peek finds that this approver has approved.
    Approved(&'static str),
}

/// A call that goes through.
#[derive(Debug, Clone, Default)]
pub struct Allowed {
    /// Text of the backend's answer and what the client gets in its place, wherever it stands.
    pub edited: Option<(&'static str, &'static str)>,
    /// Members of the tool's answer, as JSON pointer and value.
    pub fields: Vec<(&'static str, Value)>,
    /// The token that the backend gets: its audience and its whole scope.
    pub token: Option<(&'static str, &'static str)>,
    /// The arguments that the backend gets, if not those that were sent.
    pub arguments: Option<Value>,
    /// The call changes something at the backend: it is made once, so there is no second reply to compare with.
    pub acts: bool,
}

/// A call that does not.
#[derive(Debug, Clone)]
pub struct Denied {
    /// The violation code.
    pub code: &'static str,
    /// The message, where policy wrote one.
    pub message: Option<&'static str>,
}

impl Expect {
    /// A denial with this code.
    #[must_use]
    pub const fn denied(code: &'static str) -> Self {
        Expect::Denied(Denied { code, message: None })
    }

    /// A denial with this code and message.
    #[must_use]
    pub const fn denied_saying(code: &'static str, message: &'static str) -> Self {
        Expect::Denied(Denied {
            code,
            message: Some(message),
        })
    }
}
