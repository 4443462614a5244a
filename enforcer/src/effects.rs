//! Effects of one suspension: what caches answer, what the companion is asked, what is made of its answer.

mod answer;
mod elicit;
mod local;
mod plan;
mod question;

pub(crate) use answer::{acknowledged, answers, read_response, unacknowledged};
pub(crate) use elicit::{Approved, redeem};
pub(crate) use local::{Caches, Minted};
pub(crate) use plan::{Asker, Plan, idempotency_key, load_labels, mark, plan, record_of};
pub(crate) use question::json as json_of;
