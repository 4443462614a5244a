//! `make scale`: how compiler, loader and routing grow with the policy, beside the bounds that they keep.
//!
//! The numbers are of the native build; a machine that does something else at the same time gives others.

use std::hint::black_box;
use std::time::{Duration, Instant};

use apl_bytecode::{EntityKind, Program, encode};
use apl_compiler::{Output, compile};
use apl_vm::{Document, Env, Fact, Facts, Limits, Machine, Mode, Outcome, Prepared, Verdict, View};

/// Routes of the large policies.
const MANY: usize = 10_000;

fn main() {
    println!("{:<62} {:>10} {:>12}", "figure (native)", "bound", "measured");
    // `cargo bench --bench scale -- load` measures that part alone.
    let parts: Vec<String> = std::env::args()
        .skip(1)
        .filter(|arg| !arg.starts_with('-'))
        .collect();
    let wanted = |part: &str| parts.is_empty() || parts.iter().any(|wanted| wanted == part);
    if wanted("compile") {
        compiling();
    }
    if wanted("load") {
        loading();
    }
    if wanted("request") {
        for (what, globs) in [("exact names", false), ("globs", true)] {
            requests(what, globs);
        }
        paths();
    }
    if wanted("document") {
        documents();
    }
}

fn line(what: &str, bound: &str, measured: String) {
    println!("{what:<62} {bound:>10} {measured:>12}");
}

/// A figure that has a bound: at most so much.
fn held(what: &str, most: f64, unit: &str, measured: f64) {
    let verdict = if measured <= most { "met" } else { "MISSED" };
    let (bound, measured) = (format!("{most} {unit}"), format!("{measured:.1} {unit}"));
    println!("{what:<62} {bound:>10} {measured:>12}  {verdict}");
}

fn in_ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

fn ms(time: Duration) -> String {
    format!("{:.1} ms", in_ms(time))
}

/// Processor time of this process so far, where the system tells: what a busy machine does beside it is not in it.
fn processor() -> Option<Duration> {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    stat.split(' ').next()?.parse().ok().map(Duration::from_nanos)
}

/// The shortest of several runs: what the code needs, not what the machine does beside it.
fn shortest<T>(runs: usize, mut run: impl FnMut() -> T) -> Duration {
    let timed = (0..runs).map(|_| {
        let (start, before) = (Instant::now(), processor());
        black_box(run());
        match (before, processor()) {
            // The system's account moves in steps of milliseconds.
            (Some(before), Some(after)) if after.saturating_sub(before) > Duration::from_millis(20) => {
                after.saturating_sub(before)
            }
            _ => start.elapsed(),
        }
    });
    timed.min().unwrap_or_default()
}

/// A policy of this many routes, each with its own steps. Every other pattern ends in a wildcard, the others begin with one,
/// and are longer, so that none ties with one of the first kind.
fn policy(routes: usize, steps: usize, globs: bool) -> String {
    let mut text = String::from("routes:\n");
    for route in 0..routes {
        let name = match (globs, route % 2) {
            (false, _) => format!("tool_{route}"),
            (true, 0) => format!("team_{route}_*"),
            (true, _) => format!("*_administrative_action_{route}"),
        };
        text.push_str(&format!("  - tool: \"{name}\"\n    pre_invocation:\n"));
        for step in 0..steps {
            text.push_str(&match step % 4 {
                0 => "      - \"require(authenticated)\"\n".to_owned(),
                1 => format!(
                    "      - \"args.amount > {}: deny('too much')\"\n",
                    1000 + step * 37 + route
                ),
                2 => format!("      - \"require(role.r{} | perm.p{step})\"\n", route % 500),
                _ => format!("      - \"args.region == 'x{}': deny\"\n", route % 50),
            });
        }
    }
    text
}

fn compiled(text: &str) -> Output {
    let compilation = compile("policy.yaml", text);
    for said in compilation
        .diagnostics
        .iter()
        .filter(|said| said.severity == apl_compiler::Severity::Error)
        .take(3)
    {
        eprintln!("{}", said.message);
    }
    compilation.output.expect("the policy compiles")
}

/// The most memory that this process has had, in megabytes, where the system tells.
fn peak() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim()
        .strip_suffix(" kB")?
        .trim()
        .parse::<u64>()
        .ok()
        .map(|kb| kb / 1024)
}

fn compiling() {
    let text = policy(MANY, 20, false);
    let output = compiled(&text);
    // Before the runs that follow, which only measure time.
    let memory = peak();
    let start = Instant::now();
    let time = shortest(3, || compiled(&text));
    let wall = start.elapsed() / 3;
    held(
        "compile 10,000 routes with 20 steps each (processor)",
        2000.0,
        "ms",
        in_ms(time),
    );
    line("  by the clock on the wall", "", ms(wall));
    if let Some(memory) = memory {
        held("memory for that", 500.0, "MB", memory as f64);
    }
    let program = output.program.program();
    line("  text", "", format!("{} KB", text.len() / 1024));
    held(
        "  program",
        apl_bytecode::limits::MAX_FILE_BYTES as f64 / 1024.0,
        "KB",
        encode(program).len() as f64 / 1024.0,
    );
    line(
        "  program without debug",
        "",
        format!("{} KB", encode(&stripped(program)).len() / 1024),
    );
}

fn stripped(program: &Program) -> Program {
    Program {
        debug: None,
        ..program.clone()
    }
}

fn loading() {
    let output = compiled(&policy(MANY, 2, false));
    let bytes = encode(output.program.program());
    let time = shortest(5, || Prepared::load(&bytes).expect("the program loads"));
    held(
        "load 10,000 small routes: decode, verify, prepare",
        50.0,
        "ms",
        in_ms(time),
    );
    line("  program", "", format!("{} KB", bytes.len() / 1024));
    let bytes = encode(&stripped(output.program.program()));
    let time = shortest(5, || Prepared::load(&bytes).expect("the program loads"));
    line("  without debug", "", ms(time));
    let globs = encode(&stripped(compiled(&policy(MANY, 2, true)).program.program()));
    let time = shortest(5, || Prepared::load(&globs).expect("the program loads"));
    line("  globs, without debug", "", ms(time));
}

/// The policy's part of a request: look-up, arguments, machine.
fn requests(what: &str, globs: bool) {
    let time = |routes: usize| {
        let program = Prepared::new(compiled(&policy(routes, 4, globs)).program).expect("sound");
        let names: Vec<String> = (0..10)
            .map(|at| at * routes / 10)
            .map(|route| match (globs, route % 2) {
                (false, _) => format!("tool_{route}"),
                (true, 0) => format!("team_{route}_read"),
                (true, _) => format!("any_administrative_action_{route}"),
            })
            .collect();
        let look_up = shortest(50, || {
            for name in &names {
                assert!(apl_vm::find_route(&program, EntityKind::Tool, name, None).is_some());
            }
        });
        let whole = shortest(50, || names.iter().for_each(|name| request(&program, name)));
        (look_up / 10, whole / 10)
    };
    let ((few, few_whole), (many, many_whole)) = (time(10), time(MANY));
    line(
        &format!("{what}: look-up among 10"),
        "",
        format!("{} ns", few.as_nanos()),
    );
    line(
        &format!("{what}: look-up among 10,000"),
        "",
        format!("{} ns", many.as_nanos()),
    );
    line(
        &format!("{what}: look-up, arguments and machine among 10"),
        "",
        format!("{} ns", few_whole.as_nanos()),
    );
    let ratio = many_whole.as_secs_f64() / few_whole.as_secs_f64().max(f64::MIN_POSITIVE);
    line(
        &format!("{what}: the same among 10,000"),
        "",
        format!("{} ns", many_whole.as_nanos()),
    );
    held(
        &format!("{what}: ratio, without the host's part of a request"),
        1.2,
        "",
        ratio,
    );
}

/// HTTP routes, which are found by path and method.
fn paths() {
    let program = |routes: usize| {
        let text: String = (0..routes)
            .map(|route| match route % 2 {
                0 => format!("  - http: \"/tenants/{{tenant}}/service_{route}/{{id}}\"\n"),
                _ => format!("  - http: {{ path: \"/reports-{route}-*/all/**\", method: GET }}\n"),
            })
            .collect();
        Prepared::new(compiled(&format!("routes:\n{text}")).program).expect("sound")
    };
    let time = |routes: usize| {
        let program = program(routes);
        let names: Vec<String> = (0..10)
            .map(|at| at * routes / 10)
            .map(|route| match route % 2 {
                0 => format!("GET /tenants/t1/service_{route}/7"),
                _ => format!("GET /reports-{route}-eu/all/7"),
            })
            .collect();
        let time = shortest(50, || {
            for name in &names {
                assert!(apl_vm::find_route(&program, EntityKind::Http, name, None).is_some());
            }
        });
        time / 10
    };
    let (few, many) = (time(10), time(MANY));
    line(
        "HTTP paths: look-up among 10",
        "",
        format!("{} ns", few.as_nanos()),
    );
    line(
        "HTTP paths: look-up among 10,000",
        "",
        format!("{} ns", many.as_nanos()),
    );
}

fn request(program: &Prepared, name: &str) {
    let route = apl_vm::find_route(program, EntityKind::Tool, name, None).expect("a route");
    let block = program.program().routes[route].pre.expect("a block");
    let text = br#"{"amount":12,"region":"eu","note":"as agreed last week, with regards","lines":[{"id":1,"q":2},{"id":2,"q":9}]}"#;
    let mut args = Document::parse(text.to_vec(), &Limits::default()).expect("JSON");
    let root = args.root();
    let mut facts = Facts::default();
    facts.own.insert("authenticated".into(), Fact::Bool(true));
    facts.own.insert("perm.p2".into(), Fact::Bool(true));
    let mut edits = Vec::new();
    let mut env = Env {
        facts: &mut facts,
        args: Some(View::of(&mut args, root)),
        result: None,
        hash_key: None,
        mode: Mode::Enforce,
        edits: &mut edits,
    };
    let outcome = Machine::new(block, 100_000).run(program, &mut env);
    assert!(matches!(outcome, Outcome::Done(Verdict::Allow)), "{outcome:?}");
}

fn documents() {
    let rows: Vec<String> = (0..2_000)
        .map(|row| {
            format!(
                "{{\"id\":{row},\"name\":\"person {row}\",\"ssn\":\"078-05-1120\",\"tags\":[\"a\",\"b\"]}}"
            )
        })
        .collect();
    let text = format!("{{\"rows\":[{}]}}", rows.join(","));
    let time = shortest(20, || {
        Document::parse(text.clone().into_bytes(), &Limits::default()).expect("JSON")
    });
    line("parse a document", "", rate(text.len(), time));
    let policy = "routes:\n  - tool: t\n    result:\n      \"rows.ssn\": \"redact\"\n";
    run_result(
        policy,
        &text,
        "redact 2,000 fields of it, parse and splice included",
    );
    let policy = "plugins:\n  - {name: pii, kind: validator/pii-scan, config: {detect: [{kind: ssn}, {kind: email}, {kind: credit_card}], mode: deny}}\nroutes:\n  - tool: t\n    post_invocation: [\"run(pii)\"]\n";
    run_result(
        policy,
        &text.replace("078-05-1120", "078-05"),
        "scan it for SSN, e-mail and card, parse included",
    );
}

fn run_result(policy: &str, text: &str, what: &str) {
    let program = Prepared::new(compiled(policy).program).expect("sound");
    let block = program.program().routes[0].post.expect("a block");
    let time = shortest(10, || {
        let mut result = Document::parse(text.to_owned().into_bytes(), &Limits::default()).expect("JSON");
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
        let outcome = Machine::new(block, 100_000_000).run(&program, &mut env);
        assert!(matches!(outcome, Outcome::Done(Verdict::Allow)), "{outcome:?}");
        result.render()
    });
    line(what, "", rate(text.len(), time));
}

fn rate(bytes: usize, time: Duration) -> String {
    format!(
        "{:.0} MB/s",
        bytes as f64 / 1e6 / time.as_secs_f64().max(f64::MIN_POSITIVE)
    )
}
