//! What a phase asks for, and what the vector's `mocks` answer.

use apl_bytecode::Scopes;
use apl_vm::{Answer as Given, Approval, Batch, Bound};
use serde_json::Value;

/// What was asked for so far, in order.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Asked {
    /// Labels and their scopes.
    pub taints: Vec<(String, Vec<String>)>,
    /// Calls as vectors spell them.
    pub calls: Vec<String>,
    /// Arguments of calls to decision points.
    pub told: Vec<apl_vm::Tree>,
}

impl Asked {
    /// Answers a batch: behind a failure that stops, nothing is performed.
    pub(crate) fn batch(&mut self, batch: &Batch, vector: &Value) -> Vec<Given> {
        let mut stopped = false;
        let mut answers = Vec::new();
        for (_, bound) in &batch.effects {
            answers.push(if stopped {
                Given::Skipped
            } else {
                self.one(bound, vector, &mut stopped)
            });
        }
        answers
    }

    fn one(&mut self, bound: &Bound, vector: &Value, stopped: &mut bool) -> Given {
        let mocks = &vector["mocks"];
        match bound {
            Bound::LoadLabels { .. } => Given::Labels(Vec::new()),
            Bound::Count(_) => Given::Done,
            Bound::Audit { plugin, .. } => {
                self.calls.push(format!("plugin:{plugin}"));
                Given::Done
            }
            Bound::Taint { label, scopes, .. } => {
                self.taints.push((label.clone(), words(*scopes)));
                Given::Done
            }
            Bound::Decide(call) => {
                self.calls.push(format!("pdp:{}", call.dialect.name()));
                self.told.push(call.call.clone());
                let mock = &mocks["pdp"][&call.point];
                let text = |key: &str| mock[key].as_str().unwrap_or("").to_owned();
                if mock.is_null() {
                    *stopped = true;
                    return Given::Failed {
                        code: String::new(),
                        reason: "no such decision point".to_owned(),
                    };
                }
                Given::Decided {
                    allow: mock == "allow",
                    code: text("code"),
                    reason: text("reason"),
                }
            }
            Bound::Elicit(call) => {
                let mock = &mocks["elicit"][&call.handler];
                let id = mock["id"].as_str().unwrap_or("e1");
                self.calls
                    .push(format!("dispatch:{}:{}", call.handler, call.from));
                self.calls.push(format!("check:{}:{id}", call.handler));
                let approval = Approval {
                    id: id.to_owned(),
                    approver: Some(call.from.clone()),
                    ..Approval::default()
                };
                match mock["status"].as_str() {
                    Some("pending") => Given::Pending(approval),
                    Some("approved") if mock["valid"] != false => Given::Approved(approval),
                    Some(_) => Given::Refused {
                        code: String::new(),
                        reason: "refused".to_owned(),
                    },
                    None => Given::Failed {
                        code: String::new(),
                        reason: "unreachable".to_owned(),
                    },
                }
            }
            Bound::Delegate(call) => {
                self.calls.push(format!("delegate:{}", call.delegator));
                let mock = &mocks["delegations"][&call.delegator];
                let texts = |mock: &Value, key: &str| mock[key].as_str().unwrap_or("").to_owned();
                if mock["deny"].is_object() {
                    *stopped = call.stops;
                    return Given::Failed {
                        code: texts(&mock["deny"], "code"),
                        reason: texts(&mock["deny"], "reason"),
                    };
                }
                let permissions = mock["permissions"].as_array().into_iter().flatten();
                Given::Granted {
                    permissions: permissions.filter_map(Value::as_str).map(str::to_owned).collect(),
                    audience: texts(mock, "audience"),
                    expires_at: texts(mock, "expires_at"),
                }
            }
        }
    }
}

/// Scopes in the order in which vectors name them.
pub(crate) fn words(scopes: Scopes) -> Vec<String> {
    let known = [
        (Scopes::SESSION, "session"),
        (Scopes::MESSAGE, "message"),
        (Scopes::SUBJECT, "subject"),
    ];
    known
        .into_iter()
        .filter(|(scope, _)| scopes.has(*scope))
        .map(|(_, word)| word.to_owned())
        .collect()
}
