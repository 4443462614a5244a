//! `plugins:` inside a section: whose settings a step goes by.

use apl_bytecode::{BlockId, Effect, Instr, Program, ScannerId, Stage};
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

/// What each step of a block does.
fn steps(program: &Program, block: Option<BlockId>) -> Vec<String> {
    let code = block
        .and_then(|id| program.blocks.get(id.0 as usize))
        .map_or(&[][..], |block| &block.code);
    let scanner = |at: u32| program.strings[program.scanners[at as usize].code.0 as usize].clone();
    let mut found = Vec::new();
    for instr in code {
        match instr {
            Instr::Scan(ScannerId(at), _) => found.push(format!("deny {}", scanner(*at))),
            Instr::Pipeline(id) => {
                let pipeline = &program.pipelines[id.0 as usize];
                let [
                    Stage::Scan {
                        scanner: at, mode, ..
                    },
                ] = pipeline.stages[..]
                else {
                    panic!("{pipeline:?}");
                };
                assert!(pipeline.path.is_empty(), "everything is looked into");
                found.push(format!("{mode:?} {:?} {}", pipeline.side, scanner(at.0)));
            }
            Instr::Effect(id) => match &program.effects[id.0 as usize] {
                Effect::Audit { .. } => found.push("record".to_owned()),
                other => panic!("{other:?}"),
            },
            other => panic!("{other:?}"),
        }
    }
    found
}

#[test]
fn a_list_runs_its_plugins_before_the_steps_where_their_hooks_say() {
    let compilation = compile(
        "policy.yaml",
        "plugins:\n  - {name: pii, kind: validator/pii-scan, config: {mode: redact, code: pii.all}}\n  \
         - {name: before, kind: validator/pii-scan, hooks: [cmf.tool_pre_invoke], config: {code: pii.before}}\n  \
         - {name: log, kind: audit/logger, hooks: [cmf.tool_post_invoke, cmf.prompt_post_invoke]}\n\
         routes:\n  - tool: a\n    plugins: [pii, before, log]\n    pre_invocation: [\"run(before)\"]\n  \
         - tool: b\n    plugins: [pii: {config: {mode: deny}}]\n",
    );
    let program = compilation.output.expect("it compiles").program.program().clone();
    let of = |at: usize| {
        let route = &program.routes[at];
        (steps(&program, route.pre), steps(&program, route.post))
    };
    let texts = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
    assert_eq!(
        of(0),
        (
            texts(&["Redact Args pii.all", "deny pii.before", "deny pii.before"]),
            texts(&["Redact Result pii.all", "record"]),
        )
    );
    // In a list the settings are laid over the declared ones: the code stays.
    assert_eq!(of(1), (texts(&["deny pii.all"]), texts(&["deny pii.all"])));
    assert!(
        compilation.diagnostics.is_empty(),
        "{:?}",
        compilation.diagnostics
    );
}

#[test]
fn what_a_list_cannot_run_is_told() {
    let told = |listed: &str| {
        let compilation = compile(
            "policy.yaml",
            &format!(
                "plugins:\n  - {{name: pii, kind: validator/pii-scan, hooks: [cmf.tool_pre_invoke]}}\n  \
                 - {{name: tokens, kind: delegator/oauth, config: {{token_endpoint: \"https://idp.example/token\", client_id: g, client_secret_source: {{kind: env_var, name: S}}}}}}\n\
                 routes:\n  - tool: a\n    plugins: {listed}\n    pre_invocation: [\"delegate(tokens, target: x)\"]\n"
            ),
        );
        let mut told: Vec<String> = compilation
            .diagnostics
            .iter()
            .map(|told| format!("{:?}: {}", told.severity, told.message))
            .collect();
        told.retain(|told| !told.contains("a token is minted") && !told.contains("nothing uses"));
        told
    };
    assert_eq!(told("[pii]"), [""; 0]);
    assert_eq!(
        told("[pii, tokens]"),
        ["Note: `tokens` is a delegator, which a list of plugins does not run"]
    );
    assert!(
        told("[pi]")
            .iter()
            .any(|told| told == "Error: no plugin is called `pi`")
    );
    assert!(told("[1]").iter().any(|told| told.starts_with("Error")));
    assert!(
        told("[{pii: {config: {}}, tokens: {}}]")
            .iter()
            .any(|told| told.starts_with("Error"))
    );
    // Declared hooks of what no section lists change nothing.
    assert_eq!(told("{}"), ["Note: `hooks` has no meaning here"]);
}
