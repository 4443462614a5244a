//! What a route needs is computed from its code.

use apl_bytecode::*;

use crate::corpus;

#[test]
fn the_seed_policy_needs_what_it_says() {
    let program = verify(corpus::hr()).unwrap();
    let compensation = program.needs(0);
    assert!(compensation.pre.delegates && compensation.pre.taints && compensation.pre.audits);
    assert!(
        compensation.pre.companion() && !compensation.pre.loads_labels && !compensation.pre.durable_audit
    );
    assert!(compensation.post.edits_result && compensation.post.response_body());
    assert!(!compensation.post.companion() && !compensation.pre.edits_args && !compensation.pre.reads_args);

    let repos = program.needs(1);
    assert!(repos.pre.reads_args && repos.pre.delegates && !repos.pre.taints);
    assert_eq!(repos.post, PhaseNeeds::default());

    let mail = program.needs(2);
    assert!(mail.pre.scans && mail.pre.loads_labels && mail.pre.reads_labels && mail.pre.companion());
    assert_eq!(program.needs(3), Needs::default());
}

#[test]
fn what_a_redaction_or_a_comprehension_reads_counts() {
    let program = verify(corpus::every_variant()).unwrap();
    let route = program.program().routes.len() - 1;
    let needs = program.needs(route);
    assert!(needs.pre.edits_args && needs.pre.pipelines && needs.pre.durable_audit);
    // `result[args.a].b`, in a condition.
    assert!(needs.post.reads_args && needs.post.reads_result && needs.post.taints);
    assert_eq!(
        needs,
        program.needs_of(
            program.program().routes[route].pre,
            program.program().routes[route].post
        )
    );
}

#[test]
fn a_key_spells_a_path_without_letting_a_segment_span_two() {
    let mut program = corpus::hr();
    let name = corpus::text(&mut program, "https://x.y/z");
    program.attrs.push(Attr {
        segs: vec![Seg::Name(StrId(0)), Seg::Name(name)],
    });
    let last = AttrId(program.attrs.len() as u32 - 1);
    let program = verify(program).unwrap();
    assert_eq!(program.key(AttrId(0)), Some("role.hr"));
    assert_eq!(program.key(last), Some("authorization.https://x\\.y/z"));
    assert_eq!(program.key(AttrId(99)), None);
}
