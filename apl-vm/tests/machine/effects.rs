//! Effects are asked for in written order, and nothing goes on without a fitting answer.

use apl_bytecode::BlockKind;
use apl_vm::{Answer, Bound, DenialInfo, Env, Fact, Facts, Machine, Mode, Outcome, Prepared, Verdict};

use crate::assembler::Assembler;

struct Run {
    program: Prepared,
    machine: Machine,
    facts: Facts,
}

impl Run {
    fn new(code: &[&str]) -> Self {
        let mut assembler = Assembler::default();
        let block = assembler.block(BlockKind::Steps, code);
        Self {
            program: assembler.finish(),
            machine: Machine::new(block, 1_000),
            facts: Facts::default(),
        }
    }

    fn with(code: &[&str], facts: &[(&str, Fact)]) -> Self {
        let mut run = Self::new(code);
        run.facts.own = facts
            .iter()
            .map(|(key, fact)| ((*key).to_owned(), fact.clone()))
            .collect();
        run
    }

    fn start(&mut self) -> Outcome {
        self.go(None)
    }

    fn answer(&mut self, answers: &[Answer]) -> Outcome {
        self.go(Some(answers))
    }

    fn go(&mut self, answers: Option<&[Answer]>) -> Outcome {
        let mut edits = vec![];
        let facts = &mut self.facts;
        let mut env = Env {
            facts,
            args: None,
            result: None,
            hash_key: None,
            mode: Mode::Enforce,
            edits: &mut edits,
        };
        match answers {
            None => self.machine.run(&self.program, &mut env),
            Some(answers) => self.machine.resume(&self.program, &mut env, answers),
        }
    }
}

/// What a batch asks for, in one word each.
fn asked(outcome: &Outcome) -> Vec<String> {
    let Outcome::Await(batch) = outcome else {
        panic!("{outcome:?}")
    };
    let name = |bound: &Bound| match bound {
        Bound::LoadLabels { .. } => "load".to_owned(),
        Bound::Taint { label, .. } => format!("taint {label}"),
        Bound::Delegate(call) => format!("delegate {}", call.target),
        Bound::Audit { rule, .. } => format!("audit {rule}"),
        Bound::Elicit(call) => format!("elicit {} {}", call.handler, call.from),
        Bound::Decide(call) => format!("decide {}", call.point),
        Bound::Count(call) => format!("count {} of {}", call.cost, call.limit),
    };
    batch.effects.iter().map(|(_, bound)| name(bound)).collect()
}

fn denied(outcome: Outcome) -> DenialInfo {
    match outcome {
        Outcome::Done(Verdict::Deny(denied)) => denied,
        other => panic!("{other:?}"),
    }
}

const ALLOW: Outcome = Outcome::Done(Verdict::Allow);

fn granted(permission: &str) -> Answer {
    Answer::Granted {
        permissions: vec![permission.into()],
        audience: "api".into(),
        expires_at: "2026-11-22T21:00:00Z".into(),
    }
}

fn failed(code: &str) -> Answer {
    Answer::Failed {
        code: code.into(),
        reason: "because".into(),
    }
}

#[test]
fn a_batch_is_asked_for_at_the_end_in_written_order() {
    let mut run = Run::new(&["delegate deny", "taint secret session", "audit here"]);
    assert_eq!(
        asked(&run.start()),
        ["delegate idp", "taint secret", "audit here"]
    );
    assert_eq!(run.answer(&[granted("a"), Answer::Done, Answer::Done]), ALLOW);
}

#[test]
fn await_with_nothing_pending_goes_on() {
    assert_eq!(Run::new(&["await", "await"]).start(), ALLOW);
    assert_eq!(Run::new(&[]).start(), ALLOW);
}

#[test]
fn effects_before_a_denial_are_performed_and_those_behind_it_are_not() {
    let mut run = Run::new(&["audit one", "deny no", "audit two"]);
    assert_eq!(asked(&run.start()), ["audit one"]);
    let verdict = denied(run.answer(&[Answer::Done]));
    assert_eq!(
        (verdict.code.as_str(), verdict.reason.as_str()),
        ("no", "access denied")
    );
    assert_eq!(verdict.rule, "test.pre_invocation[0]");
}

#[test]
fn a_failure_before_a_denial_is_the_verdict() {
    let mut run = Run::new(&["taint secret session", "deny no"]);
    run.start();
    let verdict = denied(run.answer(&[failed("session.store_full")]));
    assert_eq!(
        (verdict.code.as_str(), verdict.reason.as_str()),
        ("session.store_full", "because")
    );
    assert_eq!(verdict.rule, "test.pre_invocation[0]");
}

#[test]
fn a_failure_without_a_code_has_the_programs() {
    let mut run = Run::new(&["load-labels"]);
    run.start();
    let answer = Answer::Failed {
        code: String::new(),
        reason: String::new(),
    };
    let verdict = denied(run.answer(&[answer]));
    assert_eq!(
        (verdict.code.as_str(), verdict.reason.as_str()),
        ("session.load_failed", "access denied")
    );
}

#[test]
fn a_failed_record_denies() {
    let mut run = Run::new(&["audit here"]);
    run.start();
    let verdict = denied(run.answer(&[failed("")]));
    assert_eq!(
        (verdict.code.as_str(), verdict.rule.as_str()),
        ("audit.unavailable", "here")
    );
}

#[test]
fn skipped_answers_stand_behind_a_failure_only() {
    let code = ["delegate deny", "audit one", "audit two"];
    let mut run = Run::new(&code);
    run.start();
    let verdict = denied(run.answer(&[failed("idp.down"), Answer::Skipped, Answer::Skipped]));
    assert_eq!(verdict.code, "idp.down");
    let mut run = Run::new(&code);
    run.start();
    assert_eq!(
        denied(run.answer(&[granted("a"), Answer::Skipped, Answer::Done])).code,
        "engine.bad_answer"
    );
}

#[test]
fn answers_that_do_not_fit_deny() {
    let labels = || Answer::Labels(vec![]);
    for (code, answers) in [
        ("load-labels", vec![]),
        ("load-labels", vec![labels(), labels()]),
        ("load-labels", vec![Answer::Done]),
        ("load-labels", vec![granted("a")]),
        ("load-labels", vec![Answer::Skipped]),
        ("taint secret session", vec![labels()]),
        ("taint secret session", vec![granted("a")]),
        ("audit here", vec![labels()]),
        ("delegate deny", vec![Answer::Done]),
        ("delegate continue", vec![Answer::Skipped]),
    ] {
        let mut run = Run::new(&[code]);
        run.start();
        assert_eq!(
            denied(run.answer(&answers)).code,
            "engine.bad_answer",
            "{code} {answers:?}"
        );
        // And it stays over.
        assert_eq!(denied(run.answer(&answers)).code, "engine.misuse");
    }
}

#[test]
fn a_machine_runs_once_and_is_resumed_only_when_it_waits() {
    let mut run = Run::new(&["audit here"]);
    assert_eq!(denied(run.answer(&[])).code, "engine.misuse");
    let mut run = Run::new(&["audit here"]);
    run.start();
    assert_eq!(denied(run.start()).code, "engine.misuse");
    let mut run = Run::new(&[]);
    run.start();
    assert_eq!(denied(run.start()).code, "engine.misuse");
}

#[test]
fn loaded_labels_are_seen_and_added_to_those_set_before() {
    let code = [
        "taint early session",
        "load-labels",
        "await",
        "contains security.labels \"stored\"",
        "contains security.labels \"early\"",
        "and",
        "deny-if both",
    ];
    let mut run = Run::new(&code);
    assert_eq!(asked(&run.start()), ["taint early", "load"]);
    assert_eq!(
        denied(run.answer(&[Answer::Done, Answer::Labels(vec!["stored".into()])])).code,
        "both"
    );
}

#[test]
fn a_label_is_seen_by_the_next_rule_before_it_is_stored() {
    let mut run = Run::new(&[
        "taint secret session",
        "contains security.labels \"secret\"",
        "deny-if tainted",
    ]);
    run.facts.labels.loaded = true;
    assert_eq!(asked(&run.start()), ["taint secret"]);
    assert_eq!(denied(run.answer(&[Answer::Done])).code, "tainted");
}

#[test]
fn a_label_of_message_scope_leaves_the_machine_nowhere_but_in_the_facts() {
    let mut run = Run::new(&["taint secret message"]);
    assert_eq!(run.start(), ALLOW);
    assert!(run.facts.labels.known.contains("secret"));
}

#[test]
fn a_grant_is_written_and_cleared_by_the_next_delegation() {
    let code = [
        "delegate deny",
        "await",
        "contains delegation.granted.permissions \"a\"",
        "not",
        "deny-if less",
        "delegate continue",
        "exists delegation.granted",
        "deny-if stale",
        "await",
        "truth delegation.granted",
        "not",
        "deny-if none",
    ];
    let mut run = Run::with(
        &code,
        &[
            ("delegation.granted_by", Fact::Bool(true)),
            ("delegation.depth", Fact::Int(1)),
        ],
    );
    run.start();
    assert_eq!(asked(&run.answer(&[granted("a")])), ["delegate idp"]);
    assert_eq!(denied(run.answer(&[failed("idp.down")])).code, "none");
    assert_eq!(run.facts.own.get("delegation.granted"), Some(&Fact::Bool(false)));
    assert_eq!(run.facts.own.len(), 3, "what is not a grant stays");

    let mut run = Run::new(&code);
    run.start();
    assert_eq!(denied(run.answer(&[granted("b")])).code, "less");
}

#[test]
fn a_decision_that_is_false_or_an_error_goes_to_the_denial() {
    let code = ["load role.a", "decide ok", "deny cel", "ok:", "audit here"];
    assert_eq!(denied(Run::new(&code).start()).code, "cel");
    assert_eq!(
        denied(Run::with(&code, &[("role.a", Fact::Bool(false))]).start()).code,
        "cel"
    );
    assert_eq!(
        denied(Run::with(&code, &[("role.a", Fact::Str("true".into()))]).start()).code,
        "cel"
    );
    assert_eq!(
        asked(&Run::with(&code, &[("role.a", Fact::Bool(true))]).start()),
        ["audit here"]
    );
}

#[test]
fn a_condition_that_cannot_be_evaluated_denies_with_the_position() {
    for code in [
        ["compare x > 1", "deny-if own"].as_slice(),
        &["compare x > 1", "skip-unless end", "end:"],
    ] {
        let verdict = denied(Run::with(code, &[("x", Fact::Str("lots".into()))]).start());
        assert_eq!(verdict.code, "test.pre_invocation[0]");
        assert_eq!(verdict.reason, "condition cannot be evaluated");
        // Outside a probe, unknown is no better.
        let verdict = denied(Run::with(code, &[("x", Fact::Unknown)]).start());
        assert_eq!(verdict.code, "test.pre_invocation[0]");
    }
}

#[test]
fn a_skipped_body_does_nothing() {
    let code = [
        "truth x",
        "skip-unless end",
        "audit here",
        "deny no",
        "end:",
        "audit end",
    ];
    assert_eq!(asked(&Run::new(&code).start()), ["audit end"]);
    assert_eq!(
        asked(&Run::with(&code, &[("x", Fact::Bool(true))]).start()),
        ["audit here"]
    );
}
