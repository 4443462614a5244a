//! What must not be run is not verified.

use apl_bytecode::*;

use crate::corpus;

/// A program of one block of steps with these instructions.
fn steps(code: Vec<Instr>) -> Program {
    let mut program = corpus::jumps();
    program.blocks[0].code = code;
    program
}

fn refused(program: Program) -> VerifyError {
    match verify(program) {
        Ok(_) => panic!("verified"),
        Err(error) => error,
    }
}

const X: Instr = Instr::Truth(AttrId(0));
const D: DenialId = DenialId(0);

#[test]
fn refuses_indices_beyond_their_tables() {
    for instr in [
        Instr::Truth(AttrId(1)),
        Instr::Exists(AttrId(u32::MAX)),
        Instr::Const(ConstId(0)),
        Instr::Compare(CmpOp::Eq, AttrId(0), ConstId(0)),
        Instr::In(AttrId(0), AttrId(1)),
    ] {
        let error = refused(steps(vec![instr, Instr::DenyIf(D)]));
        assert!(
            matches!(
                error,
                VerifyError::Index {
                    place: Place::Instr(0, 0),
                    ..
                }
            ),
            "{error}"
        );
    }
    for instr in [
        Instr::Deny(DenialId(1)),
        Instr::Pipeline(PipelineId(0)),
        Instr::Scan(ScannerId(0), D),
        Instr::Effect(EffectId(0)),
    ] {
        assert!(matches!(refused(steps(vec![instr])), VerifyError::Index { .. }));
    }
}

#[test]
fn refuses_a_stack_that_underflows_or_is_left_behind() {
    assert!(matches!(
        refused(steps(vec![Instr::And])),
        VerifyError::Underflow {
            takes: 2,
            depth: 0,
            ..
        }
    ));
    assert!(matches!(
        refused(steps(vec![X, Instr::List(2)])),
        VerifyError::Underflow { .. }
    ));
    assert!(matches!(
        refused(steps(vec![Instr::DenyIf(D)])),
        VerifyError::Unbalanced { expected: 1, .. }
    ));
    assert!(matches!(
        refused(steps(vec![X, X, Instr::DenyIf(D)])),
        VerifyError::Unbalanced { depth: 2, .. }
    ));
    assert!(matches!(
        refused(steps(vec![X, Instr::Await])),
        VerifyError::Unbalanced { expected: 0, .. }
    ));
    assert!(matches!(
        refused(steps(vec![X])),
        VerifyError::Unbalanced {
            depth: 1,
            expected: 0,
            ..
        }
    ));
}

#[test]
fn refuses_a_stack_that_grows_too_high() {
    let mut code = vec![X; limits::MAX_STACK];
    code.extend([Instr::List(limits::MAX_STACK as u16), Instr::DenyIf(D)]);
    assert!(verify(steps(code)).is_ok());
    let mut code = vec![X; limits::MAX_STACK + 1];
    code.extend([Instr::List(limits::MAX_STACK as u16 + 1), Instr::DenyIf(D)]);
    assert!(matches!(
        refused(steps(code)),
        VerifyError::TooMany {
            limit: limits::MAX_STACK,
            ..
        }
    ));
}

#[test]
fn refuses_jumps_that_are_not_forward_to_a_step_boundary() {
    for target in [0, 1, 3, 5, u32::MAX] {
        let code = vec![Instr::Await, Instr::Jump(target), X, Instr::DenyIf(D)];
        let error = refused(steps(code));
        assert_eq!(
            error,
            VerifyError::Jump {
                place: Place::Instr(0, 1),
                target
            },
            "{target}"
        );
    }
    for target in [2, 4] {
        let code = vec![Instr::Await, Instr::Jump(target), X, Instr::DenyIf(D)];
        assert!(verify(steps(code)).is_ok(), "{target}");
    }
}

#[test]
fn refuses_steps_in_expressions_and_expressions_as_phases() {
    let mut program = steps(vec![Instr::Await]);
    program.blocks[0].kind = BlockKind::Expr;
    assert!(matches!(
        refused(program.clone()),
        VerifyError::BlockKind {
            place: Place::Route(0),
            ..
        }
    ));
    program.routes.clear();
    assert!(matches!(refused(program), VerifyError::StepInExpression { .. }));
}

#[test]
fn refuses_comprehensions_without_end() {
    let fold = |body| Instr::Fold(Fold::Map, BlockId(body));
    let expr = |code| Block {
        kind: BlockKind::Expr,
        code,
    };
    let mut program = steps(vec![Instr::Await]);
    // Itself, a later one, one that is not there, a block of steps.
    for body in [1, 2, 99] {
        program.blocks.truncate(1);
        program.blocks.push(expr(vec![X, fold(body)]));
        program.blocks.push(expr(vec![X]));
        assert!(
            matches!(refused(program.clone()), VerifyError::BlockOrder { .. }),
            "{body}"
        );
    }
    program.blocks[1].code[1] = fold(0);
    assert!(matches!(
        refused(program.clone()),
        VerifyError::BlockKind { block: 0, .. }
    ));

    program.blocks[1].code.truncate(1);
    for body in 1..=u32::from(limits::MAX_NESTING) {
        program.blocks.truncate(body as usize + 1);
        program.blocks.push(expr(vec![X, fold(body)]));
    }
    assert!(verify(program.clone()).is_ok());
    program
        .blocks
        .push(expr(vec![X, fold(u32::from(limits::MAX_NESTING) + 1)]));
    assert!(matches!(refused(program), VerifyError::Nesting { .. }));
}

#[test]
fn refuses_variables_outside_their_comprehension() {
    let expr = |code| Block {
        kind: BlockKind::Expr,
        code,
    };
    let mut program = steps(vec![X, Instr::Fold(Fold::All, BlockId(0)), Instr::DenyIf(D)]);
    let block = program.blocks.remove(0);
    program.routes[0].pre = Some(BlockId(1));
    program.blocks = vec![expr(vec![Instr::Local(0)]), block];
    assert!(verify(program.clone()).is_ok());
    program.blocks[0].code[0] = Instr::Local(1);
    assert!(matches!(
        refused(program.clone()),
        VerifyError::Local {
            place: Place::Block(1)
        }
    ));
    program.blocks[1].code = vec![Instr::Local(0), Instr::DenyIf(D)];
    assert!(matches!(refused(program), VerifyError::Local { .. }));

    // A redaction's condition stands in no comprehension.
    let mut program = corpus::every_variant();
    program.blocks.push(expr(vec![Instr::Local(0)]));
    let condition = BlockId(program.blocks.len() as u32 - 1);
    program.pipelines[0].stages.push(Stage::Redact(Some(condition)));
    assert!(matches!(
        refused(program),
        VerifyError::Local {
            place: Place::Pipeline(0)
        }
    ));
}

#[test]
fn refuses_paths_that_refer_forward_or_cost_too_much() {
    let mut program = Program {
        strings: vec!["a".into()],
        ..Program::default()
    };
    program.attrs = vec![Attr {
        segs: vec![Seg::Value(AttrId(0))],
    }];
    assert!(matches!(
        refused(program.clone()),
        VerifyError::NoNamespace { .. }
    ));
    program.attrs = vec![Attr {
        segs: vec![Seg::Name(StrId(0)), Seg::Value(AttrId(0))],
    }];
    assert!(matches!(
        refused(program.clone()),
        VerifyError::AttrOrder { index: 0, .. }
    ));
    program.attrs = vec![Attr { segs: vec![] }];
    assert!(matches!(
        refused(program.clone()),
        VerifyError::NoNamespace { .. }
    ));

    // Each refers twice to the one before: 30 of them would take a thousand million look-ups.
    program.attrs = vec![Attr {
        segs: vec![Seg::Name(StrId(0))],
    }];
    for at in 0..30 {
        let value = Seg::Value(AttrId(at));
        program.attrs.push(Attr {
            segs: vec![Seg::Name(StrId(0)), value, value],
        });
    }
    assert!(matches!(refused(program), VerifyError::Resolution { .. }));
}

#[test]
fn refuses_pipelines_on_the_wrong_side_of_the_call() {
    let mut program = corpus::hr();
    program.pipelines[0].side = Side::Args;
    assert!(matches!(refused(program), VerifyError::WrongSide { .. }));

    let mut program = corpus::hr();
    program.routes[1].pre = program.routes[0].post;
    assert!(matches!(refused(program), VerifyError::BothPhases { .. }));
}

#[test]
fn refuses_entries_without_a_meaning() {
    let mut program = corpus::every_variant();
    program.pipelines[0].stages = vec![Stage::Taint(StrId(0), Scopes(8))];
    program.pipelines[0].path = vec![PathSeg::Key(StrId(0))];
    assert!(matches!(
        refused(program.clone()),
        VerifyError::Meaningless { what: "a scope", .. }
    ));
    program.pipelines[0].stages = vec![Stage::Hash];
    program.pipelines[0].path = vec![PathSeg::AnyDepth];
    assert!(matches!(
        refused(program.clone()),
        VerifyError::Meaningless { .. }
    ));
    program.pipelines[0].stages = vec![];
    assert!(matches!(
        refused(program),
        VerifyError::Empty { what: "stage", .. }
    ));

    let mut program = corpus::every_variant();
    program.fallbacks[1].entity = program.fallbacks[0].entity;
    assert!(matches!(refused(program), VerifyError::DuplicateFallback { .. }));

    let mut program = corpus::every_variant();
    program.debug.as_mut().unwrap().spans.reverse();
    assert!(matches!(
        refused(program),
        VerifyError::Meaningless {
            place: Place::Debug,
            ..
        }
    ));
}

#[test]
fn static_attributes_have_a_limit() {
    let program = |bytes| Program {
        data: "x".repeat(bytes),
        ..Program::default()
    };
    assert!(verify(program(limits::MAX_DATA_BYTES)).is_ok());
    assert!(matches!(
        verify(program(limits::MAX_DATA_BYTES + 1)),
        Err(VerifyError::TooMany { .. })
    ));
}

#[test]
fn refuses_pins_that_cannot_be_looked_up_and_challenges_of_no_route() {
    let meaningless = |change: &dyn Fn(&mut Program)| {
        let mut program = corpus::every_variant();
        change(&mut program);
        refused(program)
    };
    for change in [
        (|program: &mut Program| program.pins[1].tools.reverse()) as fn(&mut Program),
        |program| {
            let first = program.pins[1].tools[0];
            program.pins[1].tools[1] = first;
        },
        |program| program.pins[1].scope = None,
        |program| {
            let again = program.challenges[0].clone();
            program.challenges.push(again);
        },
    ] {
        let error = meaningless(&change);
        assert!(matches!(error, VerifyError::Meaningless { .. }), "{error}");
    }
    for change in [
        (|program: &mut Program| program.pins[1].tools[1].name = StrId(9999)) as fn(&mut Program),
        |program| program.public_paths = Some(vec![StrId(9999)]),
        |program| program.challenges[0].route = 9999,
    ] {
        let error = meaningless(&change);
        assert!(matches!(error, VerifyError::Index { .. }), "{error}");
    }
    let error = meaningless(&|program| program.challenges[0].scopes.clear());
    assert!(matches!(error, VerifyError::Empty { .. }), "{error}");
}
