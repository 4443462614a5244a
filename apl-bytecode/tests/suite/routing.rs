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

/// Routes of every form, and for each request the one that trying them all in order of rank finds.
#[test]
fn the_index_finds_what_trying_each_route_finds() {
    let mut seed = 3_usize;
    let mut next = |below: usize| {
        seed = seed
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) % below
    };
    const PATTERNS: [&str; 14] = [
        "a", "b", "A", "{x}", "{y}", "a*", "*a", "*", "a*b", "*ab*", "*b*", "ä", "*ä*", "a*ab*",
    ];
    const NAMES: [&str; 10] = ["a", "b", "A", "ab", "Ab", "xabx", "", "ä", "aäb", "aba"];
    const METHODS: [&str; 4] = ["", "GET ", "GET,PUT ", "PUT "];
    let mut found = [0_usize; 2];
    for round in 0..400 {
        let routes: Vec<(String, Option<&str>)> = (0..round % 50)
            .map(|_| {
                let path: String = (0..next(4)).map(|_| format!("/{}", PATTERNS[next(14)])).collect();
                let end = if next(3) == 0 { "/**" } else { "" };
                let path = if path.is_empty() && end.is_empty() {
                    "/"
                } else {
                    &path
                };
                let scope = (next(4) == 0).then_some("s");
                (format!("{}{path}{end}", METHODS[next(4)]), scope)
            })
            .collect();
        let as_text: Vec<(&str, Option<&str>)> = routes
            .iter()
            .map(|(route, scope)| (route.as_str(), *scope))
            .collect();
        let program = resources(&as_text);
        for _ in 0..40 {
            let path: String = (0..next(4)).map(|_| format!("/{}", NAMES[next(10)])).collect();
            let method = ["GET", "PUT", "POST"][next(3)];
            let scope = [None, Some("s"), Some("t")][next(3)];
            for fold in [false, true] {
                let wanted = one_by_one(&program, &path, method, scope, fold);
                let got = program.http_route(&path, method, scope);
                if fold {
                    let variant = wanted != got;
                    assert_eq!(
                        program.is_case_variant(&path, method, scope),
                        variant,
                        "{method} {path} in {routes:?}"
                    );
                    found[1] += usize::from(variant);
                } else {
                    assert_eq!(got, wanted, "{method} {path} in {scope:?} of {routes:?}");
                    found[0] += usize::from(got.is_some());
                }
            }
        }
    }
    assert!(
        found[0] > 2_000 && found[1] > 500,
        "the requests miss too much: {found:?}"
    );
}

/// The rules of the language, without an index.
fn one_by_one(
    program: &VerifiedProgram,
    path: &str,
    method: &str,
    scope: Option<&str>,
    fold: bool,
) -> Option<usize> {
    let program = program.program();
    let text = |id: &StrId| program.strings[id.0 as usize].as_str();
    let lower = |text: &str| {
        if fold {
            text.to_ascii_lowercase()
        } else {
            text.to_owned()
        }
    };
    let mut best = None;
    for (index, route) in program.routes.iter().enumerate() {
        let Matcher::Http {
            path: pattern,
            prefix,
            methods,
        } = &route.matcher
        else {
            continue;
        };
        let pattern = text(pattern);
        let of_scope = route.scope.as_ref().map(text);
        let here = of_scope.is_none() || of_scope == scope;
        let known = methods.is_empty() || methods.iter().any(|known| text(known) == method);
        let wanted: Vec<&str> = pattern.trim_end_matches('/').split('/').collect();
        let found: Vec<&str> = path.trim_end_matches('/').split('/').collect();
        let long = found.len() == wanted.len() || (*prefix && found.len() > wanted.len());
        let same = wanted.iter().zip(&found).all(|(wanted, found)| {
            if captured(wanted).is_some() || wanted.contains('*') {
                let any = captured(wanted).is_some();
                !found.is_empty() && (any || glob_matches(&lower(wanted), &lower(found)))
            } else {
                lower(wanted) == lower(found)
            }
        });
        if here && known && long && same {
            let rank = (
                of_scope.is_none(),
                http_rank(pattern, *prefix, methods.len()),
                index,
            );
            best = best.into_iter().chain([rank]).min();
        }
    }
    best.map(|(_, _, index)| index)
}
