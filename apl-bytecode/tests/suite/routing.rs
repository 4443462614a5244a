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

/// Routes as `[METHOD,... ]/path`, `/**` at the end for a prefix.
fn resources(routes: &[(&str, Option<&str>)]) -> VerifiedProgram {
    let names: Vec<_> = routes.iter().map(|(_, scope)| ("x", *scope)).collect();
    let mut program = table(&names).program().clone();
    for (at, (route, _)) in routes.iter().enumerate() {
        let (methods, path) = route.split_once(' ').unwrap_or(("", route));
        let methods = methods.split(',').filter(|method| !method.is_empty());
        let methods = methods.map(|method| text(&mut program, method)).collect();
        let below = path.strip_suffix("/**");
        let path = text(&mut program, below.unwrap_or(path));
        program.routes[at].entity = EntityKind::Http;
        program.routes[at].matcher = Matcher::Http {
            path,
            prefix: below.is_some(),
            methods,
        };
    }
    verify(program).unwrap()
}

#[test]
fn paths_are_compared_by_segments() {
    let program = resources(&[
        ("/a/{x}", None),
        ("/a/b", None),
        ("/a/**", None),
        ("/a/b/**", None),
        ("/a/b-*/c", None),
        ("/", None),
        ("/a/{x}/c", None),
    ]);
    let find = |path| program.http_route(path, "GET", None);
    assert_eq!(find("/a/b"), Some(1), "a literal path wins");
    assert_eq!(find("/a/x"), Some(0));
    assert_eq!(find("/a"), Some(2));
    assert_eq!(find("/a/x/y"), Some(2));
    assert_eq!(find("/a/b/y"), Some(3), "the longer prefix wins");
    assert_eq!(find("/a/b-1/c"), Some(4), "the longer literal front wins");
    assert_eq!(find("/a/x/c"), Some(6), "a whole path wins over a prefix");
    assert_eq!(find("/a/b-1/c/d"), Some(2));
    assert_eq!(find(""), Some(5));
    assert_eq!(find("/ab"), None);
    assert_eq!(find("/b"), None);
}

#[test]
fn the_narrower_method_and_the_scope_win() {
    let program = resources(&[
        ("/a", None),
        ("GET /a", None),
        ("GET,PUT /a", None),
        ("/**", Some("s")),
    ]);
    let find = |method, scope| program.http_route("/a", method, scope);
    assert_eq!(find("GET", None), Some(1));
    assert_eq!(find("put", None), Some(2));
    assert_eq!(find("DELETE", None), Some(0));
    assert_eq!(find("GET", Some("s")), Some(3));
}

#[test]
fn a_path_in_another_case_that_another_route_governs_is_told() {
    let program = resources(&[("/Admin", None), ("/**", None), ("/x/*.JSON", None)]);
    let variant = |path| program.is_case_variant(path, "GET", None);
    assert!(variant("/admin") && variant("/ADMIN") && variant("/x/a.json"));
    assert!(!variant("/Admin") && !variant("/other") && !variant("/x/a.JSON"));
}
