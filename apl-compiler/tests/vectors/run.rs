//! One vector through compiler and machine.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use apl_bytecode::{EntityKind, VerifiedProgram};
use apl_compiler::compile;
use apl_vm::{
    Answer as Given, Constraint, Document, Env, Fact, Facts, Limits, Machine, Mode, Outcome, Prepared,
    Verdict, View,
};
use serde_json::{Map, Value, json};

use super::effects::Asked;
use super::{areas, host, parsed};

/// What we make of a vector.
#[derive(Debug, PartialEq)]
pub(crate) enum Answer {
    /// It does not compile.
    Refused,
    /// It ran.
    Verdict(Box<Ran>),
    /// An answer of another form than a verdict.
    Other(Value),
}

/// What a phase did.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Ran {
    /// Code and reason.
    pub denied: Option<(String, String)>,
    /// The approval that it waits for, and the position of its step.
    pub pending: Option<(String, String)>,
    /// Who was asked for what, in order; where labels went.
    pub asked: Asked,
    /// Labels that later rules see.
    pub labels: BTreeSet<String>,
    /// Arguments afterwards.
    pub args: Value,
    /// Result afterwards.
    pub result: Value,
    /// Where the request may go.
    pub constraint: Constraint,
    /// Attributes that effects wrote.
    pub facts: BTreeMap<String, Fact>,
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ran = match self {
            Self::Refused => return f.write_str("refused"),
            Self::Other(value) => return write!(f, "{value}"),
            Self::Verdict(ran) => ran,
        };
        match (&ran.denied, &ran.pending) {
            (Some((code, reason)), _) => write!(f, "deny {code} ({reason})")?,
            (None, Some((id, step))) => write!(f, "wait {id} {step}")?,
            (None, None) => f.write_str("allow")?,
        }
        for (label, scopes) in &ran.asked.taints {
            write!(f, " taint {label} {}", scopes.join("+"))?;
        }
        if ran.denied.is_none() && ran.args.as_object().is_some_and(|args| !args.is_empty()) {
            write!(f, " args={}", ran.args)?;
        }
        if ran.denied.is_none() && !ran.result.is_null() {
            write!(f, " result={}", ran.result)?;
        }
        Ok(())
    }
}

/// Runs a vector.
pub(crate) fn answer(area: &str, vector: &Value) -> Answer {
    match area {
        "glob" => return areas::glob(vector),
        "flatten" => return areas::flatten(vector),
        "host" => return host::answer(vector),
        "template" => return areas::template(vector),
        "restrict_fold" => return areas::restrict_fold(vector),
        "accepts" => return areas::accepts(vector),
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
        _ => {
            if args.is_null() {
                args = from_bag(&bag, "args");
            }
            if result.is_null() {
                result = from_bag(&bag, "result");
            }
            return run(&indented(policy), vector, bag, args, result);
        }
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
    matches!(answer, Answer::Verdict(ran) if ran.denied.is_some())
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
    match compile("policy.yaml", &document(route, vector)).output {
        Some(output) => match parsed::summary(&output.program, &vector["expect"]) {
            Some(summary) => Answer::Other(summary),
            None => Answer::Verdict(Box::default()),
        },
        None => Answer::Refused,
    }
}

/// The part of the bag that is a document, as JSON.
pub(crate) fn from_bag(bag: &Map<String, Value>, root: &str) -> Value {
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

/// One route of a policy, with the vector's attributes and documents.
pub(crate) fn run(
    route: &str,
    vector: &Value,
    bag: Map<String, Value>,
    args: Value,
    result: Value,
) -> Answer {
    let compilation = compile("policy.yaml", &document(&mocked(route, vector), vector));
    match compilation.output {
        Some(output) => Answer::Verdict(Box::new(phase(output.program, vector, &bag, &args, &result))),
        None => Answer::Refused,
    }
}

/// CEL is evaluated, not asked; a vector that says what its evaluator answers gets an expression that is just that.
fn mocked(route: &str, vector: &Value) -> String {
    let answer = &vector["mocks"]["pdp"]["cel"];
    let Some((before, rest)) = route.split_once("expr:").filter(|_| !answer.is_null()) else {
        return route.to_owned();
    };
    let rest = rest.trim_start();
    let quote = rest.chars().next().unwrap_or('"');
    let behind = rest.get(1..).and_then(|rest| rest.split_once(quote));
    match behind {
        Some((_, behind)) => format!("{before}expr: \"{}\"{behind}", answer == "allow"),
        None => route.to_owned(),
    }
}

/// Runs one phase of tool `t`.
pub(crate) fn phase(
    program: VerifiedProgram,
    vector: &Value,
    bag: &Map<String, Value>,
    args: &Value,
    result: &Value,
) -> Ran {
    let program = Prepared::new(program).expect("a compiled program is sound");
    let route = apl_vm::find_route(&program, EntityKind::Tool, "t", None).expect("the route is there");
    let route = &program.program().routes[route];
    let block = if vector["phase"] == "post" {
        route.post
    } else {
        route.pre
    };
    let Some(block) = block else {
        return Ran {
            args: args.clone(),
            result: result.clone(),
            ..Ran::default()
        };
    };
    let mut facts = facts(bag);
    let parse = |value: &Value| {
        (!value.is_null())
            .then(|| Document::parse(value.to_string().into_bytes(), &Limits::default()).expect("JSON"))
    };
    let (mut args, mut result) = (parse(args), parse(result));
    let mut machine = Machine::new(block, 1_000_000);
    let mut asked = Asked::default();
    let mut edits = Vec::new();
    let mut answers: Option<Vec<Given>> = None;
    let verdict = loop {
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
            Outcome::Done(verdict) => break verdict,
            Outcome::Await(batch) => answers = Some(asked.batch(&batch, vector)),
        }
    };
    let (denied, pending) = match verdict {
        Verdict::Deny(denial) => (Some((position(&denial.code), denial.reason)), None),
        Verdict::Pending(pending) => (None, Some((pending.approval.id, position(&pending.rule)))),
        Verdict::Allow | Verdict::Unknown => (None, None),
    };
    let render = |document: Option<Document>| {
        document.map_or(Value::Null, |document| {
            serde_json::from_slice(&document.render()).expect("JSON")
        })
    };
    Ran {
        denied,
        pending,
        asked,
        labels: facts.labels.known,
        args: render(args),
        result: render(result),
        constraint: facts.constraint,
        facts: facts.own.into_iter().collect(),
    }
}

fn position(code: &str) -> String {
    code.replace("routes.tool:t", "T")
}
