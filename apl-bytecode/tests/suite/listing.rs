//! A listing says what a program does.

use apl_bytecode::listing;

use crate::corpus;

#[test]
fn the_seed_policy_can_be_read() {
    let text = listing(&corpus::hr());
    for line in [
        "route 0 tool:get_compensation pre=block 0 post=block 2 identity=0",
        "     0  truth      role.hr",
        "     2  deny-if    routes.tool:get_compensation.pre_invocation[0]",
        "pipeline   result.ssn: str | redact(block 1)",
        "effect     taint secret (session)",
        "deny-if    session_tainted \"write-down blocked\"",
        "contains   security.labels contains \"secret\"",
    ] {
        assert!(text.contains(line), "{line}\nis not in\n{text}");
    }
}

#[test]
fn the_debug_section_gives_source_lines() {
    let text = listing(&corpus::every_variant());
    assert!(text.contains("not  ; policy.yaml:4:3"), "{text}");
    assert!(text.contains("result[args.a].b"), "{text}");
}
