//! The companion over real HTTP on loopback, against identity providers that are told to misbehave.
//!
//! One binary, so that it links once.

#[path = "service/client.rs"]
mod client;
#[path = "service/fault_idp.rs"]
mod fault_idp;
#[expect(unreachable_pub, reason = "the harness's, where all of it is public and used")]
#[path = "../../test-harness/src/patience.rs"]
mod patience;
#[expect(
    dead_code,
    unreachable_pub,
    reason = "the harness's, where all of it is public and used"
)]
#[path = "../../test-harness/src/ports.rs"]
mod ports;
#[expect(unreachable_pub, reason = "the harness's, where all of it is public and used")]
#[path = "../../test-harness/src/tools.rs"]
mod tools;

#[path = "service/approval_stage.rs"]
mod approval_stage;
#[path = "service/approvals.rs"]
mod approvals;
#[path = "service/callers.rs"]
mod callers;
#[path = "service/ciba.rs"]
mod ciba;
#[path = "service/counting.rs"]
mod counting;
#[path = "service/decisions.rs"]
mod decisions;
#[path = "service/delegation.rs"]
mod delegation;
#[path = "service/egress.rs"]
mod egress;
#[path = "service/vault.rs"]
mod vault;

#[path = "service/durability.rs"]
mod durability;
#[path = "service/effects.rs"]
mod effects;
#[path = "service/faults.rs"]
mod faults;
#[path = "service/figures.rs"]
mod figures;
#[path = "service/import.rs"]
mod import;
#[path = "service/jwks.rs"]
mod jwks;
#[path = "service/limits.rs"]
mod limits;
#[path = "service/openapi.rs"]
mod openapi;
#[path = "service/otlp.rs"]
mod otlp;
#[path = "service/pins.rs"]
mod pins;
#[path = "service/real.rs"]
mod real;
#[path = "service/rolling.rs"]
mod rolling;
#[path = "service/sessions.rs"]
mod sessions;
#[path = "service/start.rs"]
mod start;
#[path = "service/tls.rs"]
mod tls;
#[path = "service/webhook.rs"]
mod webhook;
