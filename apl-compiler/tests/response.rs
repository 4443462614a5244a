//! `response:`: what may stand in it, and whose it is.

use apl_compiler::{Severity, compile};

fn found(policy: &str) -> Vec<(Severity, &'static str)> {
    let compilation = compile("policy.yaml", policy);
    compilation
        .diagnostics
        .iter()
        .map(|found| (found.severity, found.code.id()))
        .collect()
}

#[test]
fn what_frames_a_message_is_not_the_policys() {
    let route = |response: &str| found(&format!("routes:\n  - http: /a\n    response: {response}\n"));
    for wrong in [
        "{status: 100}",
        "{status: 600}",
        "{headers: {content-length: 3}}",
        "{headers: {Transfer-Encoding: chunked}}",
        "{headers: {x-policy-violation: none}}",
        "{headers: {\"a b\": c}}",
        "{headers: {\":status\": 200}}",
    ] {
        assert_eq!(route(wrong), [(Severity::Error, "APL0104")], "{wrong}");
    }
    assert_eq!(route("{headers: {a: \"b\\nc\"}}"), [(Severity::Error, "APL0102")]);
    assert_eq!(
        route("{status: 404, body: no, headers: {cache-control: no-store, Content-Type: text/html}}"),
        []
    );
}

#[test]
fn a_group_has_none_and_global_has_one() {
    let policy = "global: {response: {status: 451}}\ngroups:\n  g: {response: {status: 404}}\nroutes:\n  - {http: /a, groups: [g]}\n";
    assert_eq!(found(policy), [(Severity::Note, "APL0108")]);
    let output = compile("policy.yaml", policy).output.expect("compiles");
    let program = output.program.program();
    assert_eq!(
        program.settings.response.as_ref().map(|response| response.status),
        Some(451)
    );
    assert_eq!(program.routes[0].response, None);
}
