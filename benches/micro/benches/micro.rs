//! `make bench-micro`: the parts that a request is made of, natively, with Criterion's statistics.

use std::hint::black_box;

use apl_bytecode::{EntityKind, encode};
use apl_compiler::compile;
use apl_vm::{
    Document, Env, Fact, Facts, Limits, Machine, Mode, Outcome, Prepared, Verdict, View, find_route,
};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};

fn prepared(policy: &str) -> Prepared {
    let output = compile("policy.yaml", policy)
        .output
        .expect("the policy compiles");
    Prepared::new(output.program).expect("sound")
}

/// Some 2,500 records of 400 bytes: about a megabyte.
fn megabyte() -> Vec<u8> {
    let note = "x".repeat(320);
    let records: Vec<String> = (0..2_500)
        .map(|at| {
            format!(
                r#"{{"id":{at},"name":"person {at}","ssn":"078-05-1120","tags":["a","b"],"note":"{note}"}}"#
            )
        })
        .collect();
    format!(r#"{{"rows":[{}]}}"#, records.join(",")).into_bytes()
}

/// Runs the phase after the call on a result, and gives what it becomes.
fn run_result(program: &Prepared, bytes: Vec<u8>) -> Vec<u8> {
    let block = program
        .program()
        .routes
        .first()
        .and_then(|route| route.post)
        .expect("a block");
    let mut result = Document::parse(bytes, &Limits::default()).expect("JSON");
    let root = result.root();
    let (mut facts, mut edits) = (Facts::default(), Vec::new());
    let mut env = Env {
        facts: &mut facts,
        args: None,
        result: Some(View::of(&mut result, root)),
        hash_key: None,
        mode: Mode::Enforce,
        edits: &mut edits,
    };
    let outcome = Machine::new(block, 100_000_000).run(program, &mut env);
    assert!(matches!(outcome, Outcome::Done(Verdict::Allow)), "{outcome:?}");
    result.render()
}

fn documents(criterion: &mut Criterion) {
    let bytes = megabyte();
    let mut group = criterion.benchmark_group("1 MB of JSON");
    group.throughput(Throughput::Bytes(bytes.len() as u64));
    group.bench_function("index", |bench| {
        bench.iter(|| Document::parse(black_box(bytes.clone()), &Limits::default()).expect("JSON"));
    });
    let redact = prepared("routes:\n  - tool: t\n    result:\n      \"rows.ssn\": \"redact\"\n");
    group.bench_function("index, redact 2,500 fields, splice", |bench| {
        bench.iter(|| run_result(&redact, black_box(bytes.clone())));
    });
    group.finish();
}

fn detectors(criterion: &mut Criterion) {
    let text = String::from_utf8(megabyte())
        .expect("text")
        .replace("078-05-1120", "078-05");
    let mut group = criterion.benchmark_group("detectors over 1 MB");
    group.throughput(Throughput::Bytes(text.len() as u64));
    for kinds in [
        "ssn",
        "credit_card",
        "email",
        "phone",
        "ssn}, {kind: email}, {kind: credit_card}, {kind: iban}, {kind: phone",
    ] {
        let policy = format!(
            "plugins:\n  - {{name: pii, kind: validator/pii-scan, config: {{detect: [{{kind: {kinds}}}], mode: deny}}}}\nroutes:\n  - tool: t\n    post_invocation: [\"run(pii)\"]\n"
        );
        let program = prepared(&policy);
        let name = kinds.replace("}, {kind: ", "+");
        group.bench_function(name, |bench| {
            bench.iter(|| run_result(&program, black_box(text.clone().into_bytes())));
        });
    }
    group.finish();
}

fn predicates(criterion: &mut Criterion) {
    let program = prepared(
        "routes:\n  - tool: t\n    pre_invocation:\n      - \"require(authenticated)\"\n      - \"args.amount > 1000: deny\"\n      - \"require(role.hr | perm.read)\"\n      - \"args.region == 'x': deny\"\n",
    );
    let route = find_route(&program, EntityKind::Tool, "t", None).expect("a route");
    let block = program
        .program()
        .routes
        .get(route)
        .and_then(|route| route.pre)
        .expect("a block");
    let text = br#"{"amount":12,"region":"eu","note":"as agreed last week, with regards"}"#;
    let mut args = Document::parse(text.to_vec(), &Limits::default()).expect("JSON");
    let root = args.root();
    let mut facts = Facts::default();
    facts.own.insert("authenticated".into(), Fact::Bool(true));
    facts.own.insert("perm.read".into(), Fact::Bool(true));
    criterion.bench_function("four predicates", |bench| {
        bench.iter(|| {
            let mut edits = Vec::new();
            let mut env = Env {
                facts: &mut facts,
                args: Some(View::of(&mut args, root)),
                result: None,
                hash_key: None,
                mode: Mode::Enforce,
                edits: &mut edits,
            };
            let outcome = Machine::new(block, 100_000).run(&program, &mut env);
            assert!(matches!(outcome, Outcome::Done(Verdict::Allow)), "{outcome:?}");
        });
    });
}

fn loading(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("decode and verify");
    for count in [10, 1_000] {
        let mut policy = String::from("routes:\n");
        for at in 0..count {
            policy.push_str(&format!(
                "  - tool: tool_{at}\n    pre_invocation: [\"require(authenticated)\", \"args.amount > {at}: deny\"]\n"
            ));
        }
        let bytes = encode(prepared(&policy).program());
        group.throughput(Throughput::Bytes(bytes.len() as u64));
        group.bench_function(format!("{count} routes"), |bench| {
            bench.iter(|| Prepared::load(black_box(&bytes)).expect("loads"));
        });
    }
    group.finish();
}

criterion_group!(benches, documents, detectors, predicates, loading);
criterion_main!(benches);
