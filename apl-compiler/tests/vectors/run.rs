//! One vector through compiler and machine.

use std::fmt;

use apl_bytecode::{EntityKind, Scopes};
use apl_compiler::compile;
use apl_vm::{
    Answer as Given, Bound, Document, Env, Fact, Facts, Limits, Machine, Mode, Outcome, Prepared, Verdict,
    View,
};
use serde_json::{Map, Value, json};

use super::{areas, host};

/// What we make of a vector.
#[derive(Debug, PartialEq)]
pub(crate) enum Answer {
    /// It does not compile.
    Refused,
    /// It ran.
    Verdict {
        /// Code and reason.
        denied: Option<(String, String)>,
        /// Labels and scopes, in order.
        taints: Vec<(String, Vec<String>)>,
        /// Arguments afterwards.
        args: Value,
        /// Result afterwards.
        result: Value,
    },
    /// An answer of another form than a verdict.
    Other(Value),
    /// The build has no such construct.
    NotInBuild,
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused => f.write_str("refused"),
            Self::Other(value) => write!(f, "{value}"),
            Self::NotInBuild => f.write_str("none"),
            Self::Verdict {
                denied,
                taints,
                args,
                result,
            } => {
                match denied {
                    None => f.write_str("allow")?,
                    Some((code, reason)) => write!(f, "deny {code} ({reason})")?,
                }
                for (label, scopes) in taints {
                    write!(f, " taint {label} {}", scopes.join("+"))?;
                }
                if denied.is_none() && args.as_object().is_some_and(|args| !args.is_empty()) {
                    write!(f, " args={args}")?;
                }
                if denied.is_none() && !result.is_null() {
                    write!(f, " result={result}")?;
                }
                Ok(())
            }
        }
    }
}

/// Runs a vector.
pub(crate) fn answer(area: &str, vector: &Value) -> Answer {
    match area {
        "glob" => return areas::glob(vector),
        "flatten" => return areas::flatten(vector),
        "host" => return host::answer(vector),
        "template" | "restrict_fold" | "accepts" => return Answer::NotInBuild,
        _ => {}
    }
    let policy = vector["policy"].as_str().unwrap_or("");
    let bag = vector["bag"].as_object().cloned().unwrap_or_default();
    let mut args = vector["args"].clone();
    let mut result = vector["result"].clone();
    let section = match area {
        "predicate" => {
            json!({ "pre_invocation": [{ "when": policy, "do": ["deny('HIT', 'T')"] }] }).to_string()
        }
        "rule" => json!({ "pre_invocation": [policy] }).to_string(),
        "pipeline" | "pipeline_parse" => {
            args = json!({ "f": vector["value"] });
            json!({ "args": { "f": policy } }).to_string()
        }
        "pdp" => {
            return run(
                &indented(&step(vector, policy)),
                vector,
                bag.clone(),
                from_bag(&bag, "args"),
                result,
            );
        }
        "step_parse" if vector["yaml"] == true => return compiled(&indented(&step(vector, policy)), vector),
        "step_parse" => json!({ "pre_invocation": [policy] }).to_string(),
        _ => return run(&indented(policy), vector, bag, args, result),
    };
    // JSON is YAML.
    let text = section
        .strip_prefix('{')
        .and_then(|text| text.strip_suffix('}'))
        .unwrap_or("")
        .to_owned();
    let text = format!("{{tool: t, {text}}}");
    if area.ends_with("_parse") {
        return compiled(&text, vector);
    }
    if args.is_null() {
        args = from_bag(&bag, "args");
        result = from_bag(&bag, "result");
    }
    run(&text, vector, bag, args, result)
}

/// Whether a rule over a document denies.
pub(crate) fn denies(root: &str, rule: &Value, document: &Value) -> bool {
    let post = root == "result";
    let section = if post { "post_invocation" } else { "pre_invocation" };
    let vector = json!({ "phase": if post { "post" } else { "pre" } });
    let (args, result) = if post {
        (Value::Null, document.clone())
    } else {
        (document.clone(), Value::Null)
    };
    let text = format!("{{tool: t, \"{section}\": [{rule}]}}");
    let answer = run(&text, &vector, Map::new(), args, result);
    matches!(answer, Answer::Verdict { denied: Some(_), .. })
}

fn step(vector: &Value, policy: &str) -> String {
    let body = match vector["raw_key"].as_str() {
        Some(key) => format!(
            "{}:\n{}",
            json!(key),
            policy
                .lines()
                .map(|line| format!("  {line}\n"))
                .collect::<String>()
        ),
        None => policy.to_owned(),
    };
    let mut lines = body.lines();
    let first = lines.next().unwrap_or("");
    let rest: String = lines.map(|line| format!("    {line}\n")).collect();
    format!("pre_invocation:\n  - {first}\n{rest}")
}

fn indented(section: &str) -> String {
    let lines: String = section.lines().map(|line| format!("    {line}\n")).collect();
    format!("\n    tool: t\n{lines}")
}

fn document(route: &str, vector: &Value) -> String {
    let oauth = json!({ "token_endpoint": "https://idp.test", "client_id": "c", "client_secret_source": { "kind": "env_var", "name": "S" } });
    let mut plugins = Vec::new();
    let mocks = &vector["mocks"];
    let names = |key: &str| mocks[key].as_object().cloned().unwrap_or_default();
    for (name, mock) in names("plugins") {
        // One that does nothing is an audit logger; others have code that a proxy cannot run.
        if mock.as_object().is_some_and(Map::is_empty) {
            plugins.push(json!({ "name": name, "kind": "audit/logger" }));
        }
    }
    for (name, _) in names("delegations") {
        plugins.push(json!({ "name": name, "kind": "delegator/oauth", "config": oauth }));
    }
    for (name, _) in names("elicit") {
        plugins.push(json!({ "name": name, "kind": "elicitation/page" }));
    }
    if vector["area"]
        .as_str()
        .is_some_and(|area| area.ends_with("_parse"))
    {
        for name in ["idp", "d", "workday-oauth"] {
            plugins.push(json!({ "name": name, "kind": "delegator/oauth", "config": oauth }));
        }
        for name in ["audit-log", "audit", "p", "x", "a", "b"] {
            plugins.push(json!({ "name": name, "kind": "audit/logger" }));
        }
        for name in ["mgr", "asker", "h", "manager"] {
            plugins.push(json!({ "name": name, "kind": "elicitation/page" }));
        }
    }
    format!(
        "plugins: {}\nglobal: {}\nroutes:\n  - {}\n",
        Value::Array(plugins),
        json!({ "pdp": [{ "kind": "cedar-direct", "policy_text": "permit(principal, action, resource);" }] }),
        route.trim_start()
    )
}

fn compiled(route: &str, vector: &Value) -> Answer {
    let compilation = compile("policy.yaml", &document(route, vector));
    match compilation.output {
        Some(_) => Answer::Verdict {
            denied: None,
            taints: Vec::new(),
            args: Value::Null,
            result: Value::Null,
        },
        None => Answer::Refused,
    }
}

/// The part of the bag that is a document, as JSON.
fn from_bag(bag: &Map<String, Value>, root: &str) -> Value {
    let mut document = json!({});
    for (key, value) in bag {
        let Some(rest) = key.strip_prefix(root).and_then(|rest| rest.strip_prefix('.')) else {
            continue;
        };
        let mut at = &mut document;
        for part in rest.split('.') {
            if !at.is_object() {
                *at = json!({});
            }
            at = &mut at[part];
        }
        *at = value.clone();
    }
    if document.as_object().is_some_and(Map::is_empty) {
        Value::Null
    } else {
        document
    }
}

fn facts(bag: &Map<String, Value>) -> Facts {
    let mut facts = Facts::default();
    let texts = |value: &Value| {
        value
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .map(str::to_owned)
            .collect()
    };
    for (key, value) in bag {
        if key == "security.labels" {
            facts.labels.known = texts(value);
            continue;
        }
        let fact = match value {
            Value::Bool(value) => Fact::Bool(*value),
            Value::Number(number) => match number.as_i64() {
                Some(value) => Fact::Int(value),
                None => Fact::Float(number.as_f64().unwrap_or(f64::NAN)),
            },
            Value::String(text) => Fact::Str(text.clone()),
            Value::Array(_) => Fact::Set(texts(value)),
            Value::Null | Value::Object(_) => Fact::Opaque,
        };
        facts.own.insert(key.clone(), fact);
    }
    facts
}

fn run(route: &str, vector: &Value, bag: Map<String, Value>, args: Value, result: Value) -> Answer {
    let compilation = compile("policy.yaml", &document(route, vector));
    let Some(output) = compilation.output else {
        return Answer::Refused;
    };
    let program = Prepared::new(output.program).expect("a compiled program is sound");
    let route = apl_vm::find_route(&program, EntityKind::Tool, "t", None).expect("the route is there");
    let route = &program.program().routes[route];
    let post = vector["phase"] == "post";
    let Some(block) = (if post { route.post } else { route.pre }) else {
        return Answer::Verdict {
            denied: None,
            taints: Vec::new(),
            args,
            result,
        };
    };
    let mut facts = facts(&bag);
    let parse = |value: &Value| {
        (!value.is_null())
            .then(|| Document::parse(value.to_string().into_bytes(), &Limits::default()).expect("JSON"))
    };
    let (mut args, mut result) = (parse(&args), parse(&result));
    let mut machine = Machine::new(block, 1_000_000);
    let mut taints = Vec::new();
    let mut edits = Vec::new();
    let mut answers: Option<Vec<Given>> = None;
    let denied = loop {
        let mut env = Env {
            facts: &mut facts,
            args: args.as_mut().map(|document| {
                let root = document.root();
                View::of(document, root)
            }),
            result: result.as_mut().map(|document| {
                let root = document.root();
                View::of(document, root)
            }),
            hash_key: Some(b"key"),
            mode: Mode::Enforce,
            edits: &mut edits,
        };
        let outcome = match answers.take() {
            None => machine.run(&program, &mut env),
            Some(answers) => machine.resume(&program, &mut env, &answers),
        };
        match outcome {
            Outcome::Done(Verdict::Deny(denial)) => {
                break Some((denial.code.replace("routes.tool:t", "T"), denial.reason));
            }
            Outcome::Done(Verdict::Allow | Verdict::Pending(_) | Verdict::Unknown) => break None,
            Outcome::Await(batch) => {
                let mut failed = false;
                answers = Some(
                    batch
                        .effects
                        .iter()
                        .map(|(_, bound)| give(bound, vector, &mut taints, &mut failed))
                        .collect(),
                );
            }
        }
    };
    let render = |document: Option<Document>| {
        document.map_or(Value::Null, |document| {
            serde_json::from_slice(&document.render()).expect("JSON")
        })
    };
    Answer::Verdict {
        denied,
        taints,
        args: render(args),
        result: render(result),
    }
}

fn give(bound: &Bound, vector: &Value, taints: &mut Vec<(String, Vec<String>)>, failed: &mut bool) -> Given {
    if *failed {
        return Given::Skipped;
    }
    match bound {
        Bound::LoadLabels { .. } => Given::Labels(Vec::new()),
        Bound::Audit { .. } | Bound::Count(_) => Given::Done,
        Bound::Decide(call) => {
            let mock = &vector["mocks"]["pdp"][&call.point];
            let text = |key: &str| mock[key].as_str().unwrap_or("").to_owned();
            if mock.is_null() {
                *failed = true;
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
            let mock = &vector["mocks"]["elicit"][&call.handler];
            let approval = apl_vm::Approval {
                id: mock["id"].as_str().unwrap_or("e1").to_owned(),
                approver: Some(call.from.clone()),
                ..apl_vm::Approval::default()
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
        Bound::Taint { label, scopes, .. } => {
            let words = [
                (Scopes::SESSION, "session"),
                (Scopes::MESSAGE, "message"),
                (Scopes::SUBJECT, "subject"),
            ];
            let scopes = words
                .iter()
                .filter(|(scope, _)| scopes.has(*scope))
                .map(|(_, word)| (*word).to_owned())
                .collect();
            taints.push((label.clone(), scopes));
            Given::Done
        }
        Bound::Delegate(call) => {
            let mock = &vector["mocks"]["delegations"][&call.delegator];
            if let Some(denied) = mock["deny"].as_object() {
                *failed = call.stops;
                let text = |key: &str| denied.get(key).and_then(Value::as_str).unwrap_or("").to_owned();
                return Given::Failed {
                    code: text("code"),
                    reason: text("reason"),
                };
            }
            let permissions = mock["permissions"]
                .as_array()
                .into_iter()
                .flatten()
                .filter_map(Value::as_str);
            let text = |key: &str| mock[key].as_str().unwrap_or("").to_owned();
            Given::Granted {
                permissions: permissions.map(str::to_owned).collect(),
                audience: text("audience"),
                expires_at: text("expires_at"),
            }
        }
    }
}
