//! A case through our compiler and machine.

use std::collections::BTreeSet;

use apl_bytecode::{EntityKind, Scopes};
use apl_compiler::{Severity, compile};
use apl_vm::{
    Answer as Given, Bound, Document, Env, Fact, Facts, Limits, Machine, Mode, Outcome, Prepared, Verdict,
    View,
};
use serde_json::{Value, json};

use super::Answer;
use super::generate::Case;

pub(crate) fn answer(case: &Case) -> Answer {
    let mut route = case.section();
    route["tool"] = json!("t");
    // JSON is YAML.
    let compilation = compile("policy.yaml", &json!({ "routes": [route] }).to_string());
    let Some(output) = compilation.output else {
        let errors = compilation
            .diagnostics
            .iter()
            .filter(|said| said.severity == Severity::Error);
        return Answer::Refused(
            errors
                .map(|said| said.message.clone())
                .collect::<Vec<_>>()
                .join("; "),
        );
    };
    let program = Prepared::new(output.program).expect("a compiled program is sound");
    let route = apl_vm::find_route(&program, EntityKind::Tool, "t", None).expect("the route is there");
    let route = &program.program().routes[route];
    let mut document =
        Document::parse(case.document.to_string().into_bytes(), &Limits::default()).expect("JSON");
    let (denied, taints, labels) = match if case.pre { route.pre } else { route.post } {
        Some(block) => run(&program, block, case, &mut document),
        None => Ran::default(),
    };
    Answer::Ran {
        denied,
        taints: super::once(taints.into_iter()),
        labels,
        document: serde_json::from_slice(&document.render()).expect("JSON"),
    }
}

type Ran = (Option<(String, String)>, Vec<String>, BTreeSet<String>);

fn run(program: &Prepared, block: apl_bytecode::BlockId, case: &Case, document: &mut Document) -> Ran {
    let mut facts = Facts::default();
    for (key, value) in &case.facts {
        facts.own.insert(key.clone(), fact(value));
    }
    let root = document.root();
    let (mut edits, mut taints) = (Vec::new(), Vec::new());
    let view = View::of(document, root);
    let (args, result) = if case.pre {
        (Some(view), None)
    } else {
        (None, Some(view))
    };
    let mut env = Env {
        facts: &mut facts,
        args,
        result,
        hash_key: Some(b"key"),
        mode: Mode::Enforce,
        edits: &mut edits,
    };
    let mut machine = Machine::new(block, 1_000_000);
    let mut outcome = machine.run(program, &mut env);
    let denied = loop {
        match outcome {
            Outcome::Done(Verdict::Deny(denial)) => break Some((denial.code, denial.reason)),
            Outcome::Done(Verdict::Allow | Verdict::Pending(_) | Verdict::Unknown) => break None,
            Outcome::Await(batch) => {
                let answers: Vec<Given> = batch
                    .effects
                    .iter()
                    .map(|(_, bound)| give(bound, &mut taints))
                    .collect();
                outcome = machine.resume(program, &mut env, &answers);
            }
        }
    };
    // A label of the message alone never leaves the machine.
    (denied, taints, facts.labels.known)
}

fn fact(value: &Value) -> Fact {
    match value {
        Value::Bool(value) => Fact::Bool(*value),
        Value::Number(number) => match number.as_i64() {
            Some(value) => Fact::Int(value),
            None => Fact::Float(number.as_f64().expect("a number")),
        },
        Value::String(text) => Fact::Str(text.clone()),
        Value::Array(items) => Fact::Set(
            items
                .iter()
                .filter_map(Value::as_str)
                .map(str::to_owned)
                .collect(),
        ),
        Value::Null | Value::Object(_) => Fact::Opaque,
    }
}

/// The generated policies only set labels.
fn give(bound: &Bound, taints: &mut Vec<String>) -> Given {
    if let Bound::Taint { label, scopes, .. } = bound
        && scopes.has(Scopes::SESSION)
    {
        taints.push(label.clone());
    }
    Given::Done
}
