//! Whole policies: the seed's, and one that somebody else wrote.

use std::path::Path;

use apl_bytecode::{Effect, EntityKind, Instr, Program, encode, load};
use apl_compiler::diagnostics::Code;
use apl_compiler::{ClientProof, Compilation, Delegator, Output, SecretSource, Severity, compile};

const HR: &str = include_str!("fixtures/hr.yaml");

fn output(compilation: &Compilation) -> &Output {
    assert!(compilation.output.is_some(), "{:#?}", compilation.diagnostics);
    compilation.output.as_ref().expect("just asserted")
}

/// The code of the phase before the call of a tool.
fn pre<'p>(program: &'p Program, output: &Output, tool: &str) -> &'p [Instr] {
    let route = output
        .program
        .routes()
        .find(EntityKind::Tool, tool, None)
        .expect("the route is there");
    let block = program.routes[route].pre.expect("it has steps");
    &program.blocks[block.at()].code
}

#[test]
fn the_seed_policy_is_small() {
    let compilation = compile("policy.yaml", HR);
    let program = output(&compilation).program.program();
    let without_debug = encode(&Program {
        debug: None,
        ..program.clone()
    })
    .len();
    let patterns: usize = program.regexes.iter().map(|regex| regex.dfa.len()).sum();
    let size = without_debug - patterns;
    println!("seed policy without debug section and patterns: {size} bytes");
    assert!(size <= 1536, "{size} bytes");
}

#[test]
fn the_same_policy_gives_the_same_bytes_and_they_load() {
    let first = encode(output(&compile("policy.yaml", HR)).program.program());
    let second = encode(output(&compile("policy.yaml", HR)).program.program());
    assert_eq!(first, second);
    assert!(load(&first).is_ok());
    // Where the file lay is debug information, and not part of the digest.
    let elsewhere = compile("other/name.yaml", HR);
    assert_eq!(
        output(&elsewhere).program.digest(),
        output(&compile("policy.yaml", HR)).program.digest()
    );
}

#[test]
fn labels_are_loaded_before_the_rule_that_reads_them_and_only_there() {
    let compilation = compile("policy.yaml", HR);
    let output = output(&compilation);
    let program = output.program.program();
    let loads = |tool: &str| {
        let code = pre(program, output, tool);
        let at = |wanted: fn(&Instr, &Program) -> bool| code.iter().position(|instr| wanted(instr, program));
        let load = at(
            |instr, program| matches!(instr, Instr::Effect(id) if matches!(program.effects[id.at()], Effect::LoadLabels { .. })),
        );
        (
            load,
            at(|instr, _| matches!(instr, Instr::Await)),
            at(|instr, _| matches!(instr, Instr::Contains(..))),
        )
    };
    let (load, wait, read) = loads("send_email");
    assert!(
        load < wait && wait < read && load.is_some(),
        "{load:?} {wait:?} {read:?}"
    );
    assert_eq!(loads("get_compensation").0, None);
}

#[test]
fn a_delegation_without_audience_is_for_its_target() {
    let compilation = compile("policy.yaml", HR);
    let program = output(&compilation).program.program();
    let mut delegates = program.effects.iter().filter_map(|effect| match effect {
        Effect::Delegate(delegate) => Some(delegate),
        _ => None,
    });
    assert!(delegates.clone().count() == 2 && delegates.all(|delegate| delegate.audience == delegate.target));
}

#[test]
fn a_read_of_what_was_granted_waits_for_the_grant_on_every_way() {
    let text = r#"
plugins:
  - name: idp
    kind: delegator/oauth
    config: {token_endpoint: "https://idp.test/token", client_id: c, client_secret_source: {kind: env_var, name: S}}
routes:
  - tool: t
    pre_invocation:
      - "delegate(idp, target: a)"
      - when: "args.x"
        do: ["args.y | redact(delegation.granted)"]
      - "!delegation.granted: deny"
"#;
    let compilation = compile("policy.yaml", text);
    let output = output(&compilation);
    let waits = pre(output.program.program(), output, "t")
        .iter()
        .filter(|instr| matches!(instr, Instr::Await))
        .count();
    assert_eq!(waits, 2, "the way around the condition has not waited yet");
}

#[test]
fn a_foreign_policy_compiles_unchanged() {
    // Beside the checkout, or further up when the checkout is a worktree.
    let above = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors();
    let mut paths = above.map(|folder| folder.join("shared/external/cpex-demo/policy.yaml"));
    let Some(text) = paths.find_map(|path| std::fs::read_to_string(path).ok()) else {
        assert!(
            std::env::var("CI").as_deref() != Ok("true"),
            "the foreign policy is missing"
        );
        println!("skipped: the foreign policy is not beside this checkout");
        return;
    };
    let compilation = compile("policy.yaml", &text);
    let output = output(&compilation);
    let notes = compilation
        .diagnostics
        .iter()
        .filter(|d| d.code == Code::NotInBuild && d.severity == Severity::Note)
        .count();
    assert_eq!(notes, 0, "every step of it runs");
    assert!(output.deployment.delegators.values().all(|delegator| matches!(
        delegator,
        Delegator::Oauth(oauth) if matches!(oauth.proof, ClientProof::Basic(SecretSource::Literal(_)))
    )));
    let bytes = encode(output.program.program());
    assert!(
        !bytes.windows(21).any(|part| part == b"praxis-gateway-secret"),
        "no secret stands in the program"
    );
}
