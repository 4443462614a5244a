//! Compiled CEL against the interpreter of the crate whose parser we use.
//!
//! Each expression is asked twice, as it is and negated, so that true, false and error can be told apart: an error denies
//! both times.

use std::collections::HashMap;

use apl_bytecode::EntityKind;
use apl_compiler::compile;
use apl_vm::{Document, Env, Fact, Facts, Limits, Machine, Mode, Outcome, Prepared, Verdict, View};
use cel::{Context, Program, Value};
use serde_json::json;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Truth {
    True,
    False,
    Error,
}

/// What an expression may read. Roles are facts; everything else is arguments.
fn arguments() -> Vec<serde_json::Value> {
    vec![
        json!({}),
        json!({ "n": 5, "s": "internal", "l": [1, 2, 3], "t": ["a", "b"], "o": { "k": "v", "n": null }, "f": 2.5, "b": true, "neg": -7 }),
        json!({ "n": "5", "s": "", "l": [], "t": "a", "o": [], "f": 0, "b": false, "neg": 0 }),
        json!({ "n": 9_007_199_254_740_993_i64, "s": "größe", "l": [[1], [2, 3]], "t": ["x", 1, null], "o": { "k": { "k": 1 } }, "f": 1e300, "b": null, "neg": i64::MIN }),
    ]
}

const EXPRESSIONS: &[&str] = &[
    "(role.engineer && args.s == 'internal') || role.security",
    "role.engineer || args.s == 'internal'",
    "role.nobody && args.s == 'internal'",
    "args.s == 'internal' || args.missing == 1",
    "args.missing == 1 || args.s == 'internal'",
    "args.n > 3 && args.n < 10",
    "args.n == 5.0",
    "args.n != 5",
    "args.n >= args.f",
    "args.n + 1 == 6",
    "args.n - 1 > 0",
    "args.n * 2 == 10",
    "args.n / 2 == 2",
    "args.n % 2 == 1",
    "-args.n == -5",
    "-args.neg == 7",
    "args.neg / -1 == 7",
    "args.neg % 2 == -1",
    "args.n / 0 == 1",
    "args.f + 0.5 == 3.0",
    "args.s + 'x' == 'internalx'",
    "args.l + [4] == [1, 2, 3, 4]",
    "args.s.startsWith('int')",
    "args.s.endsWith('nal')",
    "args.s.contains('tern')",
    "size(args.s) == 8",
    "args.s.size() == 5",
    "size(args.l) == 3",
    "size(args.o) > 0",
    "2 in args.l",
    "'a' in args.t",
    "'k' in args.o",
    "args.s in ['internal', 'public']",
    "args.l[0] == 1",
    "args.l[7] == 1",
    "args.l[0][0] == 1",
    "args.o.k == 'v'",
    "args.o['k'] == 'v'",
    "args.o.k.k == 1",
    "has(args.o.k)",
    "has(args.o.missing)",
    "has(args.missing)",
    "has(args.n) && args.n == 5",
    "args.o.n == null",
    "args.b",
    "!args.b",
    "args.b ? args.n == 5 : args.s == ''",
    "args.l.all(x, x > 0)",
    "args.l.all(x, x > 1)",
    "args.l.exists(x, x == 2)",
    "args.l.exists(x, x == 'a')",
    "args.l.exists_one(x, x > 2)",
    "args.l.exists_one(x, x > 0)",
    "args.t.exists(x, x == 'b')",
    "args.l.filter(x, x > 1) == [2, 3]",
    "args.l.map(x, x * 2) == [2, 4, 6]",
    "args.l.map(x, x > 1, x * 2) == [4, 6]",
    "args.l.all(x, args.l.exists(y, y >= x))",
    "args.l.all(x, args.t.exists(y, y == 'a' && x > 0))",
    "args.o.all(k, k != 'z')",
    "[1, 2, 3].exists(x, x == args.n)",
    "args.n in [1, 5]",
    "int(args.f) == 2",
    "double(args.n) == 5.0",
    "string(args.n) == '5'",
    "int('12') == 12",
    "int('x') == 12",
    "args.s == 'internal' && args.n == 5 || args.b == false",
    "args.s < 'j'",
    "args.s < 5",
    "args.l == [1, 2, 3]",
    "args.l != []",
    "1 == 1.0",
    "dyn(args.n) == 5",
    "true || args.missing",
    "args.missing || true",
    // Texts; the functions that the interpreter has only as an extension are in `cel_spec.rs`.
    "args.s.substring(9) == ''",
    "args.s.matches('^int.*l$')",
    // Conversions.
    "uint(5) == 5u",
    "uint(args.neg) == 0u",
    "double('2.5') == args.f",
    "bool('true') == args.b",
    "string(args.b) == 'true'",
    "string(args.f) == '2.5'",
    "type(args.n) == int",
    "type(args.s) == string",
    "type(args.l) == list",
    // Times.
    "timestamp('2026-11-22T12:30:45Z').getFullYear() == 2026",
    "timestamp('2026-11-22T12:30:45Z').getMonth() == 10",
    "timestamp('2026-11-22T12:30:45Z').getDate() == 22",
    "timestamp('2026-11-22T12:30:45Z').getDayOfMonth() == 21",
    "timestamp('2026-11-22T12:30:45Z').getDayOfWeek() == 0",
    "timestamp('2026-11-22T12:30:45Z').getDayOfYear() == 325",
    "timestamp('2026-11-22T12:30:45Z').getHours() == 12",
    "timestamp('2026-11-22T12:30:45Z').getMinutes() == 30",
    "timestamp('2026-11-22T12:30:45Z').getSeconds() == 45",
    "timestamp('2026-11-22T12:30:45.123Z').getMilliseconds() == 123",
    "timestamp('2026-11-22T12:00:00Z') < timestamp('2026-11-22T13:00:00Z')",
    "timestamp('2026-11-22T12:00:00Z') + duration('1h') == timestamp('2026-11-22T13:00:00Z')",
    "timestamp('2026-11-22T13:00:00Z') - timestamp('2026-11-22T12:00:00Z') == duration('60m')",
    "timestamp('not a time') == timestamp('2026-11-22T12:00:00Z')",
    "duration('1h30m') > duration('89m')",
    // Maps.
    "{'a': 1, 'b': 2}['b'] == 2",
    "{'a': 1}.all(k, k == 'a')",
    "{'a': 1} == {'a': 1.0}",
    "size({'a': 1, 'b': 2}) == 2",
    "has({'a': 1}.a)",
    "has({'a': 1}.b)",
    "false && args.missing",
    "args.missing && false",
    "args.missing || false",
];

fn compiled(expression: &str, arguments: &serde_json::Value) -> bool {
    let policy =
        json!({ "routes": [{ "tool": "t", "pre_invocation": [{ "cel": { "expr": expression } }] }] })
            .to_string();
    let compilation = compile("policy.yaml", &policy);
    let output = compilation
        .output
        .unwrap_or_else(|| panic!("`{expression}`: {:?}", compilation.diagnostics));
    let program = Prepared::new(output.program).expect("it is sound");
    let route = apl_vm::find_route(&program, EntityKind::Tool, "t", None).expect("the route");
    let block = program.program().routes[route].pre.expect("its steps");
    let mut document = Document::parse(arguments.to_string().into_bytes(), &Limits::default()).expect("JSON");
    let root = document.root();
    let mut facts = Facts::default();
    facts.own.insert("role.engineer".to_owned(), Fact::Bool(true));
    let mut edits = Vec::new();
    let mut env = Env {
        facts: &mut facts,
        args: Some(View::of(&mut document, root)),
        result: None,
        hash_key: None,
        mode: Mode::Enforce,
        edits: &mut edits,
    };
    match Machine::new(block, 1_000_000).run(&program, &mut env) {
        Outcome::Done(Verdict::Allow) => true,
        Outcome::Done(Verdict::Deny(denial)) => {
            assert_eq!(denial.code, "cel", "`{expression}` ends in the step's own denial");
            false
        }
        other => panic!("`{expression}`: {other:?}"),
    }
}

fn ours(expression: &str, arguments: &serde_json::Value) -> Truth {
    match (
        compiled(expression, arguments),
        compiled(&format!("!({expression})"), arguments),
    ) {
        (true, false) => Truth::True,
        (false, true) => Truth::False,
        (false, false) => Truth::Error,
        (true, true) => panic!("`{expression}` holds and does not"),
    }
}

/// JSON as the interpreter's values; whole numbers are `int`, as in the machine.
fn value(json: &serde_json::Value) -> Value {
    match json {
        serde_json::Value::Null => Value::Null,
        serde_json::Value::Bool(value) => Value::Bool(*value),
        serde_json::Value::Number(number) => match number.as_i64() {
            Some(value) => Value::Int(value),
            None => Value::Float(number.as_f64().unwrap_or(f64::NAN)),
        },
        serde_json::Value::String(text) => Value::from(text.clone()),
        serde_json::Value::Array(items) => Value::from(items.iter().map(value).collect::<Vec<_>>()),
        serde_json::Value::Object(map) => Value::from(
            map.iter()
                .map(|(key, json)| (key.clone(), value(json)))
                .collect::<HashMap<String, Value>>(),
        ),
    }
}

fn interpreted(expression: &str, arguments: &serde_json::Value) -> Truth {
    let program = Program::compile(expression).expect("it compiles there too");
    let mut context = Context::default();
    context.add_variable_from_value("args", value(arguments));
    context.add_variable_from_value("role", value(&json!({ "engineer": true })));
    match program.execute(&context) {
        Ok(Value::Bool(true)) => Truth::True,
        Ok(Value::Bool(false)) => Truth::False,
        Ok(_) | Err(_) => Truth::Error,
    }
}

#[test]
fn compiled_expressions_agree_with_the_interpreter() {
    let mut wrong = Vec::new();
    let mut asked = 0;
    for expression in EXPRESSIONS {
        for (index, arguments) in arguments().iter().enumerate() {
            asked += 1;
            let (ours, theirs) = (ours(expression, arguments), interpreted(expression, arguments));
            if ours != theirs {
                wrong.push(format!(
                    "`{expression}` over arguments {index}: {ours:?}, the interpreter says {theirs:?}"
                ));
            }
        }
    }
    println!("{asked} evaluations compared");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn an_expression_that_is_nested_too_deep_is_refused_and_not_fatal() {
    let refused = |expression: String| {
        let policy =
            json!({ "routes": [{ "tool": "t", "pre_invocation": [{ "cel": { "expr": expression } }] }] });
        let compilation = compile("policy.yaml", &policy.to_string());
        assert!(compilation.output.is_none(), "it compiled");
        let codes: Vec<&str> = compilation.diagnostics.iter().map(|one| one.code.id()).collect();
        assert!(codes.contains(&"APL0401"), "{codes:?}");
    };
    refused(format!("{}true{}", "(".repeat(20_000), ")".repeat(20_000)));
    refused(format!("{}1{} == 1", "[".repeat(65), "]".repeat(65)));
    refused(format!("{}true", "true ? true : ".repeat(3_000)));
    refused(format!("{}1 == 1", "1 + ".repeat(5_000)));
    refused(format!("args.x == '{}'", "y".repeat(70_000)));
    // Brackets in a text are none.
    assert!(compiled(
        &format!("'{}'.startsWith('(')", "(".repeat(100)),
        &json!({})
    ));
    assert!(compiled(
        &format!("{}true{}", "(".repeat(60), ")".repeat(60)),
        &json!({})
    ));
}
