//! Which route governs.

use apl_bytecode::*;

use crate::corpus::text;

fn table(routes: &[(&str, Option<&str>)]) -> VerifiedProgram {
    let mut program = Program::default();
    for (name, scope) in routes {
        let matcher = match *name {
            "*" => Matcher::Any,
            glob if glob.contains(['*', '?']) => Matcher::Glob(text(&mut program, glob)),
            exact => Matcher::Exact(text(&mut program, exact)),
        };
        let scope = scope.map(|scope| text(&mut program, scope));
        program.routes.push(Route {
            entity: EntityKind::Tool,
            matcher,
            scope,
            pre: None,
            post: None,
            identities: vec![],
            response: None,
            pass_unparseable: false,
            enforcement: Enforcement::Enforce,
            owner: None,
            assertions: None,
            tags: Vec::new(),
            properties: Vec::new(),
        });
    }
    verify(program).unwrap()
}

#[test]
fn the_more_specific_route_wins() {
    let routes = [
        ("*", None),
        ("hr-*", None),
        ("hr-pay-*", None),
        ("hr-pay-all", None),
        ("p?y", None),
    ];
    let program = table(&routes);
    let find = |name| program.routes().find(EntityKind::Tool, name, None);
    assert_eq!(find("hr-pay-all"), Some(3));
    assert_eq!(find("hr-pay-one"), Some(2));
    assert_eq!(find("hr-x"), Some(1));
    assert_eq!(find("pay"), Some(4));
    assert_eq!(find("PAY"), Some(0));
    assert_eq!(program.routes().find(EntityKind::Prompt, "pay", None), None);
}

#[test]
fn a_scoped_route_wins_over_an_unscoped_one() {
    let program = table(&[("pay", None), ("*", Some("hr")), ("pay", Some("hr"))]);
    let find = |name, scope| program.routes().find(EntityKind::Tool, name, scope);
    assert_eq!(find("pay", Some("hr")), Some(2));
    assert_eq!(find("other", Some("hr")), Some(1));
    assert_eq!(find("pay", Some("it")), Some(0));
    assert_eq!(find("pay", None), Some(0));
    assert_eq!(find("other", Some("it")), None);
}

#[test]
fn of_two_equal_routes_the_first_wins() {
    let program = table(&[("pay", None), ("pay", None), ("a*", None), ("*a", None)]);
    assert_eq!(program.routes().find(EntityKind::Tool, "pay", None), Some(0));
    assert_eq!(program.routes().find(EntityKind::Tool, "aa", None), Some(2));
}
