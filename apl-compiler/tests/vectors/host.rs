//! Whole configurations: a request through route look-up, machine, and the little of a host that the vectors speak of.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use apl_bytecode::{BlockId, EntityKind, Scopes};
use apl_compiler::compile;
use apl_vm::{
    Answer as Given, Bound, Document, Env, Fact, Facts, Limits, Machine, Mode, Outcome, Prepared, Verdict,
    View,
};
use serde_json::{Map, Value, json};

use super::run::Answer;

/// Labels by subject and session.
type Store = BTreeMap<String, BTreeSet<String>>;

pub(crate) fn answer(vector: &Value) -> Answer {
    let request = &vector["request"];
    if !request["elicitation"].is_null() {
        return elicited(vector);
    }
    let mut text = vector["policy"].as_str().unwrap_or("").to_owned();
    if let Some(plugins) = request["plugins"].as_object() {
        // What the vector's own plugins do is code that a proxy cannot run.
        let list: Vec<Value> = plugins
            .keys()
            .map(|name| json!({ "name": name, "kind": "custom/code" }))
            .collect();
        text = format!("{text}\nplugins: {}\n", Value::from(list));
    }
    let Some(output) = compile("policy.yaml", &text).output else {
        return Answer::Refused;
    };
    let program = Prepared::new(output.program).expect("a compiled program is sound");
    let mut store = Store::new();
    match request["sequence"].as_array() {
        None => Answer::Other(one(&program, request, &mut store)),
        Some(list) => {
            let verdicts = list.iter().map(|request| {
                let verdict = one(&program, request, &mut store);
                match verdict["reason"].as_str() {
                    Some(_) => json!({ "deny": verdict["code"] }),
                    None => verdict["decision"].clone(),
                }
            });
            Answer::Other(json!({ "sequence": verdicts.collect::<Vec<_>>() }))
        }
    }
}

/// What asks a human is the enforcer's business: `aplc explain` runs it, with the answer that the vector gives.
fn elicited(vector: &Value) -> Answer {
    let request = &vector["request"];
    let policy = vector["policy"].as_str().unwrap_or("");
    let handlers: BTreeSet<&str> = policy
        .split(['"', '\''])
        .filter_map(|text| text.split_once("(")?.1.split_once(", from:"))
        .map(|(handler, _)| handler.trim())
        .collect();
    let mut plugins = vec![json!({
        "name": "user",
        "kind": "identity/jwt",
        "config": { "trusted_issuers": [{
            "issuer": "https://idp.example", "audiences": ["gateway"], "algorithms": ["RS256"],
            "decoding_key": { "kind": "jwks_url", "url": "https://idp.example/keys" },
        }] },
    })];
    plugins.extend(
        handlers
            .iter()
            .map(|name| json!({ "name": name, "kind": "elicitation/page" })),
    );
    let policy = format!(
        "plugins: {}\nglobal: {{authentication: [user]}}\n{policy}\n",
        Value::from(plugins)
    );
    let answers: Map<String, Value> = handlers
        .iter()
        .map(|name| ((*name).to_owned(), request["elicitation"].clone()))
        .collect();
    let asked = json!({
        "identity": { "subject": "carol", "claims": { "mgr": "boss", "manager": "boss" } },
        "request": { "tool": request["tool"], "headers": request["headers"].as_object().cloned().unwrap_or_default() },
        "elicitations": answers,
    });
    let folder = tempfile::tempdir().expect("a folder");
    let file = |name: &str, text: String| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).expect("a file");
        path
    };
    let run = Command::new(env!("CARGO_BIN_EXE_aplc"))
        .arg("explain")
        .arg(file("policy.yaml", policy))
        .arg("--request")
        .arg(file("request.yaml", asked.to_string()))
        .output()
        .expect("aplc");
    let text = String::from_utf8_lossy(&run.stdout).into_owned();
    let line = |key: &str| {
        text.lines()
            .find_map(|line| Some(line.trim().strip_prefix(key)?.trim().to_owned()))
    };
    let Some(verdict) = line("verdict:") else {
        eprintln!("{text}{}", String::from_utf8_lossy(&run.stderr));
        return Answer::Refused;
    };
    let decision = match verdict.as_str() {
        "allow" => "allow",
        "pending" => "suspend",
        _ => "deny",
    };
    Answer::Other(json!({ "decision": decision, "code": line("code:"), "reason": line("reason:") }))
}

fn one(program: &Prepared, request: &Value, store: &mut Store) -> Value {
    let kinds = [
        ("tool", EntityKind::Tool),
        ("prompt", EntityKind::Prompt),
        ("resource", EntityKind::Resource),
        ("llm", EntityKind::Llm),
        ("a2a", EntityKind::A2a),
    ];
    let named = kinds
        .into_iter()
        .find_map(|(key, kind)| Some((kind, request[key].as_str()?)));
    let (kind, name) = named.map_or((EntityKind::Http, ""), |(kind, name)| (kind, name));
    let route = apl_vm::find_route(program, kind, name, request["scope"].as_str());
    let model = program.program();
    let route = route.and_then(|at| model.routes.get(at));
    let (pre, post) = match route {
        Some(route) => (route.pre, route.post),
        None => {
            let fallback = model.fallbacks.iter().find(|one| one.entity == Some(kind));
            fallback.map_or((None, None), |one| (one.pre, one.post))
        }
    };
    let mut facts = facts(request);
    let phases = match request["phase"].as_str() {
        Some("post") => vec![post],
        Some("both") => vec![pre, post],
        _ => vec![pre],
    };
    for block in phases.into_iter().flatten() {
        if let Some((code, reason)) = phase(program, block, request, &mut facts, store) {
            let mut answer = json!({ "decision": "deny", "code": code, "reason": reason });
            let response = route.and_then(|route| route.response.as_ref());
            if let Some(response) = response {
                let text = |id: apl_bytecode::StrId| model.strings[id.at()].clone();
                let mut details = json!({ "http.status": response.status });
                if let Some(body) = response.body {
                    details["http.body"] = text(body).into();
                }
                for (name, value) in &response.headers {
                    details["http.headers"][text(*name)] = text(*value).into();
                }
                answer["details"] = details;
            }
            return answer;
        }
    }
    if route.is_none() && model.settings.unmatched == apl_bytecode::Unmatched::Deny {
        return json!({ "decision": "deny", "code": "unmatched", "reason": "no route" });
    }
    json!({ "decision": "allow" })
}

fn facts(request: &Value) -> Facts {
    let mut facts = Facts::default();
    let mut add = |key: &str, value: &Value| {
        if let Some(text) = value.as_str() {
            facts.own.insert(key.to_owned(), Fact::Str(text.to_owned()));
        }
    };
    add("subject.id", &request["subject"]);
    add("http.method", &request["http"]["method"]);
    for (space, values) in request["extensions"].as_object().into_iter().flatten() {
        for (key, value) in values.as_object().into_iter().flatten() {
            add(&format!("{space}.{key}"), value);
        }
    }
    if request["subject"].is_string() {
        facts.own.insert("authenticated".to_owned(), Fact::Bool(true));
    }
    facts
}

fn phase(
    program: &Prepared,
    block: BlockId,
    request: &Value,
    facts: &mut Facts,
    store: &mut Store,
) -> Option<(String, String)> {
    let document =
        |value: &Value| Document::parse(value.to_string().into_bytes(), &Limits::default()).expect("JSON");
    let mut args = document(if request["args"].is_null() {
        &Value::Null
    } else {
        &request["args"]
    });
    let root = args.root();
    let mut edits = Vec::new();
    let mut machine = Machine::new(block, 1_000_000);
    let mut answers: Option<Vec<Given>> = None;
    loop {
        let mut env = Env {
            facts,
            args: Some(View::of(&mut args, root)),
            result: None,
            hash_key: Some(b"key"),
            mode: Mode::Enforce,
            edits: &mut edits,
        };
        let outcome = match answers.take() {
            None => machine.run(program, &mut env),
            Some(answers) => machine.resume(program, &mut env, &answers),
        };
        match outcome {
            Outcome::Done(Verdict::Deny(denial)) => return Some((denial.code, denial.reason)),
            Outcome::Done(Verdict::Allow | Verdict::Pending(_) | Verdict::Unknown) => return None,
            Outcome::Await(batch) => {
                let given = batch.effects.iter().map(|(_, bound)| give(bound, request, store));
                answers = Some(given.collect());
            }
        }
    }
}

fn give(bound: &Bound, request: &Value, store: &mut Store) -> Given {
    let failed = |code: &str| Given::Failed {
        code: code.to_owned(),
        reason: String::new(),
    };
    // Labels belong to a subject's session; without a subject there is none, and that is a failure.
    let session = request["subject"]
        .as_str()
        .map(|subject| format!("{subject} {}", request["session"].as_str().unwrap_or("")));
    match (bound, session) {
        (Bound::LoadLabels { .. }, Some(session)) if request["store"] != "load_error" => {
            Given::Labels(store.get(&session).into_iter().flatten().cloned().collect())
        }
        (Bound::LoadLabels { .. }, _) => failed("session.load_failed"),
        (Bound::Taint { label, scopes, .. }, Some(session)) if request["store"] != "append_error" => {
            if scopes.has(Scopes::SESSION) {
                store.entry(session).or_default().insert(label.clone());
            }
            Given::Done
        }
        (Bound::Taint { .. }, _) => failed("session.persist_failed"),
        (Bound::Audit { .. } | Bound::Count(_), _) => Given::Done,
        (Bound::Elicit(_) | Bound::Decide(_), _) => failed("companion.unreachable"),
        (Bound::Delegate(_), _) => failed("delegation.idp_unreachable"),
    }
}
