//! Rego modules.
//!
//! | what the query is | decision |
//! |---|---|
//! | `true`, `false` | as it says |
//! | an object | as its `decision_field` says; a denial's reason is `reason` or `message`, its code `rule_source` or `id` |
//! | a set or a list | empty allows: nothing speaks against it |
//! | undefined | denies |
//! | anything else, an error, too slow | denies |

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use companion_protocol::config::OpaPoint;
use companion_protocol::{Decision, Json, PdpDecide};
use regorus::utils::limits::ExecutionTimerConfig;
use regorus::{Engine, Value};
use serde_json::Value as Tree;
use tokio::sync::Semaphore;

use super::{ALLOW, DecisionError, deny, value};

/// The code of a denial that names none.
const CODE: &str = "opa";

/// Work between two looks at the clock.
const CHECK_INTERVAL: NonZeroU32 = NonZeroU32::new(256).expect("is not zero");

/// Evaluations at a time; more wait. It bounds threads and memory.
const AT_A_TIME: usize = 16;

/// The longest module in a step, in bytes.
const MAX_MODULE_BYTES: usize = 64 << 10;

/// Compiled modules and data.
pub struct RegoEngine {
    dialect: String,
    engine: Engine,
    packages: Vec<String>,
    decision_field: String,
    timeout_ms: u64,
    room: Arc<Semaphore>,
}

impl std::fmt::Debug for RegoEngine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RegoEngine")
            .field("packages", &self.packages)
            .finish_non_exhaustive()
    }
}

impl RegoEngine {
    /// Compiles. The error is for the operator.
    pub fn new(config: &OpaPoint) -> Result<Self, String> {
        let mut engine = Engine::new();
        engine.set_strict_builtin_errors(true);
        engine.set_gather_prints(true);
        let mut packages = Vec::new();
        for (at, module) in config.modules.iter().enumerate() {
            let package = engine
                .add_policy(format!("modules[{at}]"), module.clone())
                .map_err(|error| format!("modules[{at}]: {error}"))?;
            packages.push(package);
        }
        if let Some(data) = &config.data {
            let text = value(data).to_string();
            engine
                .add_data_json(&text)
                .map_err(|error| format!("data: {error}"))?;
        }
        Ok(Self {
            dialect: config.dialect.clone(),
            engine,
            packages,
            decision_field: config.decision_field.clone(),
            timeout_ms: config.timeout_ms,
            room: Arc::new(Semaphore::new(AT_A_TIME)),
        })
    }

    pub(super) fn dialect(&self) -> &str {
        &self.dialect
    }

    pub(super) async fn decide(&self, asked: &PdpDecide) -> Result<Decision, DecisionError> {
        let query = asked
            .call
            .get("query")
            .and_then(Json::as_str)
            .ok_or(DecisionError::BadRequest("`query` is missing or no text"))?;
        let query = match query.starts_with("data.") {
            true => query.to_owned(),
            false => format!("data.{query}"),
        };
        let engine = self.prepared(asked)?;
        let timed_out = DecisionError::TimedOut(self.timeout_ms);
        let evaluation = async {
            let seat = Arc::clone(&self.room).acquire_owned().await.ok()?;
            let task = tokio::task::spawn_blocking(move || {
                // Held until the work is over, also when nobody waits for it any more.
                let _seat = seat;
                evaluate(engine, query)
            });
            Some(task.await)
        };
        // The engine looks at the clock itself; this is for the time in the queue.
        let limit = Duration::from_millis(self.timeout_ms.saturating_mul(2));
        let outcome = tokio::time::timeout(limit, evaluation)
            .await
            .map_err(|_| timed_out)?;
        match outcome {
            Some(Ok(Ok(answer))) => Ok(self.decision(answer)),
            Some(Ok(Err(error))) => {
                tracing::warn!(%error, "a Rego query cannot be evaluated");
                Ok(deny(CODE, None))
            }
            // It panicked, or the process is ending.
            Some(Err(_)) | None => Ok(deny(CODE, None)),
        }
    }

    /// The engine with this question's input and, if it brings one, its module.
    fn prepared(&self, asked: &PdpDecide) -> Result<Engine, DecisionError> {
        let mut engine = self.engine.clone();
        if let Some(module) = asked.call.get("module") {
            let module = module.as_str().filter(|module| module.len() <= MAX_MODULE_BYTES);
            let module = module.ok_or(DecisionError::BadRequest("`module` is no text, or too long"))?;
            let package = engine
                .add_policy("module".to_owned(), module.to_owned())
                .map_err(|_| DecisionError::BadRequest("`module` does not compile"))?;
            // It would add rules to a package that the operator wrote.
            if self.packages.contains(&package) {
                return Err(DecisionError::BadRequest(
                    "`module` has the package of a configured one",
                ));
            }
        }
        engine
            .set_input_json(&value(&asked.input).to_string())
            .map_err(|_| DecisionError::BadRequest("the input cannot be read"))?;
        engine.set_execution_timer_config(ExecutionTimerConfig {
            limit: Duration::from_millis(self.timeout_ms),
            check_interval: CHECK_INTERVAL,
        });
        Ok(engine)
    }

    fn decision(&self, answer: Option<Tree>) -> Decision {
        match answer {
            Some(Tree::Bool(true)) => ALLOW,
            Some(Tree::Object(members)) => {
                if members.get(&self.decision_field) == Some(&Tree::Bool(true)) {
                    return ALLOW;
                }
                let text = |names: [&str; 2]| names.into_iter().find_map(|name| members.get(name)?.as_str());
                let code = text(["rule_source", "id"]).filter(|code| !code.is_empty());
                deny(code.unwrap_or(CODE), text(["reason", "message"]))
            }
            Some(Tree::Array(items)) if items.is_empty() => ALLOW,
            Some(Tree::Array(items)) => {
                let reasons: Vec<&str> = items.iter().filter_map(Tree::as_str).collect();
                let reason = (!reasons.is_empty()).then(|| reasons.join("; "));
                deny(CODE, reason.as_deref())
            }
            Some(Tree::Bool(false) | Tree::Null | Tree::Number(_) | Tree::String(_)) | None => {
                deny(CODE, None)
            }
        }
    }
}

/// `None`: undefined.
fn evaluate(mut engine: Engine, query: String) -> Result<Option<Tree>, String> {
    let answer = engine.eval_rule(query).map_err(|error| error.to_string())?;
    if answer == Value::Undefined {
        return Ok(None);
    }
    let text = answer.to_json_str().map_err(|error| error.to_string())?;
    serde_json::from_str(&text)
        .map(Some)
        .map_err(|error| error.to_string())
}
