//! `plugins:` inside a section: whose settings a step goes by.

use apl_bytecode::{BlockId, Instr, Program, ScannerId};
use apl_compiler::{Severity, compile};

const DECLARED: &str = "plugins:\n  - {name: pii, kind: validator/pii-scan, config: {detect: [{kind: ssn}, {kind: credit_card}], code: pii.all}}\n  \
                        - {name: log, kind: audit/logger}\n";

fn program(rest: &str) -> Program {
    let compilation = compile("policy.yaml", &format!("{DECLARED}{rest}"));
    let output = compilation
        .output
        .unwrap_or_else(|| panic!("{:?}", compilation.diagnostics));
    output.program.program().clone()
}

/// The codes of the scanners that a block runs, in order, and of how many detectors.
fn scans(program: &Program, block: Option<BlockId>) -> Vec<(String, usize)> {
    let code = block
        .and_then(|id| program.blocks.get(id.0 as usize))
        .map_or(&[][..], |block| &block.code);
    code.iter()
        .filter_map(|instr| match instr {
            Instr::Scan(ScannerId(at), _) => program.scanners.get(*at as usize),
            _ => None,
        })
        .map(|scanner| {
            (
                program.strings[scanner.code.0 as usize].clone(),
                scanner.detectors.len(),
            )
        })
        .collect()
}

fn one(code: &str, detectors: usize) -> (String, usize) {
    (code.to_owned(), detectors)
}

#[test]
fn the_narrowest_section_has_the_say_and_its_config_is_the_whole() {
    let program = program(
        "global:\n  plugins: {pii: {config: {detect: [{kind: ssn}], code: pii.global}}}\n  pre_invocation: [\"run(pii)\"]\n\
         groups:\n  g: {plugins: {pii: {config: {detect: [{kind: credit_card}]}}}}\n\
         routes:\n  - tool: a\n  - {tool: b, groups: [g]}\n  - tool: c\n    plugins: {pii: {config: {detect: [{kind: ssn}], code: pii.c}}}\n    \
         pre_invocation: [\"run(pii)\"]\n",
    );
    let of = |at: usize| scans(&program, program.routes[at].pre);
    assert_eq!(of(0), [one("pii.global", 1)]);
    // Without `code` in the override it is the default, not the declared one's.
    assert_eq!(of(1), [one("pii.detected", 1)]);
    // Also for the step that an outer section wrote.
    assert_eq!(of(2), [one("pii.c", 1), one("pii.c", 1)]);
}

#[test]
fn an_override_without_config_leaves_the_declared_one() {
    let program = program(
        "routes:\n  - tool: a\n    plugins: {pii: {on_error: fail}}\n    pre_invocation: [\"run(pii)\"]\n  - tool: b\n    pre_invocation: [\"run(pii)\", \"run(log)\"]\n",
    );
    assert_eq!(scans(&program, program.routes[0].pre), [one("pii.all", 2)]);
    assert_eq!(scans(&program, program.routes[1].pre), [one("pii.all", 2)]);
}

#[test]
fn reaches_pipelines_and_audit_steps_too() {
    let program = program(
        "routes:\n  - tool: a\n    plugins: {pii: {config: {detect: [{kind: ssn}], mode: redact}}, log: {config: {durable: true}}}\n    \
         args: {note: \"run(pii)\"}\n    pre_invocation: [\"run(log)\"]\n  - tool: b\n    pre_invocation: [\"run(log)\"]\n    result: {note: \"run(pii)\"}\n",
    );
    let durable: Vec<bool> = program
        .effects
        .iter()
        .filter_map(|effect| match effect {
            apl_bytecode::Effect::Audit { durable, .. } => Some(*durable),
            _ => None,
        })
        .collect();
    assert_eq!(durable, [true, false]);
    assert_eq!(program.scanners.len(), 2);
}

fn found(rest: &str) -> Vec<(Severity, &'static str)> {
    let compilation = compile("policy.yaml", &format!("{DECLARED}{rest}"));
    compilation
        .diagnostics
        .iter()
        .map(|found| (found.severity, found.code.id()))
        .collect()
}

#[test]
fn says_what_it_cannot_do() {
    let route = |plugins: &str| {
        found(&format!(
            "routes:\n  - tool: a\n    plugins: {plugins}\n    pre_invocation: [\"run(pii)\", \"run(log)\"]\n"
        ))
    };
    assert_eq!(route("{pi: {config: {}}}"), [(Severity::Error, "APL0114")]);
    assert_eq!(route("[pii]"), [(Severity::Error, "APL0110")]);
    assert_eq!(route("pii"), [(Severity::Error, "APL0102")]);
    assert_eq!(
        route("{pii: {kind: audit/logger}}"),
        [(Severity::Error, "APL0101")]
    );
    assert!(route("{pii: {config: {detect: [{kind: sn}]}}}").contains(&(Severity::Error, "APL0104")));
    assert_eq!(
        route("{pii: {on_error: ignore}}"),
        [(Severity::Warning, "APL0108")]
    );
    assert_eq!(route("{}"), []);
    let unused = found(
        "routes:\n  - tool: a\n    plugins: {log: {}}\n    pre_invocation: [\"run(pii)\"]\n  - {tool: b, pre_invocation: [\"run(log)\"]}\n",
    );
    assert_eq!(unused, [(Severity::Warning, "APL0306")]);
    let oauth = "  - {name: t, kind: delegator/oauth, config: {token_endpoint: \"https://i.example/t\", client_id: g, client_secret_source: {kind: env_var, name: S}}}\n";
    let passed = found(&format!(
        "{oauth}routes:\n  - tool: a\n    plugins: {{t: {{config: {{}}}}}}\n    pre_invocation: [\"require(exists(args.a))\", \"delegate(t, target: x)\", \"run(pii)\", \"run(log)\"]\n"
    ));
    assert!(passed.contains(&(Severity::Note, "APL0108")), "{passed:?}");
    assert!(
        passed.iter().all(|(severity, _)| *severity != Severity::Error),
        "{passed:?}"
    );
}
