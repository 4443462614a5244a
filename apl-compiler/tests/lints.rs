//! The static checks: what each finds, and what it must leave alone.

use apl_compiler::diagnostics::{Code, HELP_BASE, to_sarif};
use apl_compiler::{Compilation, Dialect, Options, Severity, Tools, compile, compile_with};

const USER: &str = r#"
plugins:
  - name: user
    kind: identity/jwt
    config:
      trusted_issuers:
        - issuer: "https://idp.example"
          audiences: [gateway]
          algorithms: [RS256]
          decoding_key: {kind: jwks_url, url: "https://idp.example/keys"}
global: {authentication: [user]}
"#;

/// How often a code is reported for these steps of one route.
fn count(code: Code, steps: &[&str]) -> usize {
    of(code, &compile("policy.yaml", &policy(steps, "")))
}

fn of(code: Code, compilation: &Compilation) -> usize {
    compilation
        .diagnostics
        .iter()
        .filter(|diagnostic| diagnostic.code == code)
        .count()
}

fn policy(steps: &[&str], rest: &str) -> String {
    let steps: Vec<String> = steps
        .iter()
        .map(|step| format!("      - {}\n", serde_json::json!(step)))
        .collect();
    format!(
        "{USER}routes:\n  - tool: t\n{rest}    pre_invocation:\n{}",
        steps.concat()
    )
}

#[test]
fn warns_of_each_read_whose_absence_lets_a_call_through() {
    for rule in [
        "args.a > 5: deny",
        "args.a == 'x': deny",
        "args.a: deny",
        "args.a contains 'x': deny",
        "subject.id in args.a: deny",
        "!(args.a != 'x'): deny",
        "claim.level == 'low': deny",
        "client.trust_level == 'low': deny",
        "http.request_headers.x == 'y': deny",
        "role.hr & args.a == 'x': deny",
    ] {
        assert_eq!(count(Code::MayBeAbsent, &[rule]), 1, "{rule}");
    }
}

#[test]
fn says_nothing_where_absence_denies_or_is_spoken_of_or_is_an_answer() {
    for rule in [
        "args.a != 'x': deny",
        "require(args.a <= 5)",
        "require(args.a == 'x' | role.hr)",
        "exists(args.a) & args.a > 5: deny",
        "!exists(args.a) | args.a > 5: deny",
        "role.guest: deny",
        "subject.roles contains 'guest': deny",
        "delegated: deny",
        "!args.confirmed: deny",
        "args.a > 5: allow",
    ] {
        assert_eq!(count(Code::MayBeAbsent, &[rule]), 0, "{rule}");
    }
    let gates: &[&[&str]] = &[
        &["require(exists(args.a))", "args.a > 5: deny"],
        &["require(args.a <= 100)", "args.a > 5: deny"],
        &["require(exists(args.a.b))", "args.a == 'x': deny"],
    ];
    for steps in gates {
        assert_eq!(count(Code::MayBeAbsent, steps), 0, "{steps:?}");
    }
    // A gate that comes too late, or that another part can satisfy, does not help.
    assert_eq!(
        count(
            Code::MayBeAbsent,
            &["args.a > 5: deny", "require(exists(args.a))"]
        ),
        1
    );
    assert_eq!(
        count(
            Code::MayBeAbsent,
            &["require(exists(args.a) | role.hr)", "args.a > 5: deny"]
        ),
        1
    );
    let required = policy(&["args.a > 5: deny"], "    args: {a: \"required | int\"}\n");
    assert_eq!(of(Code::MayBeAbsent, &compile("p", &required)), 0);
    let typed = policy(&["args.a > 5: deny"], "    args: {a: \"int\"}\n");
    assert_eq!(of(Code::MayBeAbsent, &compile("p", &typed)), 1);
}

#[test]
fn strict_refuses_absence_and_old_spellings() {
    let strict = Options {
        strict: true,
        ..Options::default()
    };
    for text in [
        policy(&["args.a > 5: deny"], ""),
        format!("{USER}routes:\n  - tool: t\n    policy: [\"require(role.hr)\"]\n"),
    ] {
        assert!(compile("p", &text).output.is_some());
        assert!(compile_with("p", &text, &strict).output.is_none(), "{text}");
    }
    let fine = policy(&["require(role.hr)"], "");
    assert!(compile_with("p", &fine, &strict).output.is_some());
}

#[test]
fn finds_comparisons_that_never_hold_and_that_always_do() {
    for rule in [
        "role.hr == 'yes': deny",
        "subject.roles == 'hr': deny",
        "subject.id contains 'x': deny",
        "subject.id: deny",
        "subject.id == 5: deny",
        "args.a == 'x' & args.a == 'y': deny",
        "exists(args.a) & args.a > 10 & args.a < 5: deny",
        "exists(args.a) & args.a > 5 & args.a <= 5: deny",
        "args.a == 'x' & args.a != 'x': deny",
        "role.hr & !role.hr: deny",
        "subject.id in subject.type: deny",
    ] {
        assert!(count(Code::NeverMatches, &[rule]) >= 1, "{rule}");
    }
    for rule in [
        "subject.roles contains 'hr': deny",
        "exists(args.a) & args.a > 5 & args.a < 10: deny",
        "exists(args.a) & args.a >= 5 & args.a <= 5: deny",
        "args.a != 'x' & args.a != 'y': deny",
        "subject.id in data.banned: deny",
        "role.hr | !role.it: deny",
    ] {
        assert_eq!(
            count(Code::NeverMatches, &[rule]) + count(Code::NeverFalse, &[rule]),
            0,
            "{rule}"
        );
    }
    for rule in [
        "args.a != 'x' | args.a != 'y': deny",
        "role.hr | !role.hr: deny",
        "subject.roles != 'hr': deny",
    ] {
        assert_eq!(count(Code::NeverFalse, &[rule]), 1, "{rule}");
    }
}

#[test]
fn finds_steps_that_are_never_reached() {
    assert_eq!(
        count(Code::Unreachable, &["deny", "require(role.hr)", "taint(x)"]),
        1,
        "once a list"
    );
    assert_eq!(
        count(Code::Unreachable, &["role.a: deny", "role.a: deny('again')"]),
        1
    );
    assert_eq!(count(Code::Unreachable, &["role.a: deny", "role.b: deny"]), 0);
}

#[test]
fn all_faults_are_told_at_once() {
    let text = r#"
plugins:
  - name: a
    kind: no/such
  - kind: audit/logger
routes:
  - tool: one
    pre_invocation:
      - "args.a = 1: deny"
      - "args.b..c: deny"
      - "nonsense(x)"
      - {when: "args.c &", do: ["frob"]}
    args: {x: "strr | maskk", y: "regex(\"(\")"}
  - tool: two
    prompt: two
    groups: [missing]
    bogus: 1
    post_invocation: ["run(ghost)"]
  - tool: three
    engine: 1
    result: {z: "enum()"}
unknown: 1
"#;
    let compilation = compile("policy.yaml", text);
    let found: Vec<Code> = compilation
        .diagnostics
        .iter()
        .map(|diagnostic| diagnostic.code)
        .collect();
    let of = |code| found.iter().filter(|known| **known == code).count();
    for (code, at_least) in [
        (Code::UnknownKind, 1),
        (Code::MissingKey, 1),
        (Code::BadToken, 1),
        (Code::BadPath, 1),
        (Code::PredicateSyntax, 2),
        (Code::NotAnEffect, 1),
        (Code::UnknownStage, 2),
        (Code::BadRegex, 1),
        (Code::Selector, 1),
        (Code::UnknownKey, 3),
        (Code::StageArgument, 1),
    ] {
        assert!(of(code) >= at_least, "{code:?}: {found:?}");
    }
}

const TOOLS: &str = r#"{"jsonrpc": "2.0", "id": 1, "result": {"tools": [
  {"name": "get_user", "inputSchema": {"type": "object", "required": ["id", "where"], "properties": {
      "id": {"type": "string"}, "limit": {"type": "integer"}, "tags": {"type": "array", "items": {"type": "string"}},
      "where": {"type": "object", "required": ["city"], "properties": {"city": {"type": "string"}, "zip": {"type": "string"}}},
      "rows": {"type": "array", "items": {"type": "object", "properties": {"n": {"type": "number"}}}},
      "free": {"type": "object", "properties": {}, "additionalProperties": true}, "either": {"anyOf": [{"type": "string"}]}}},
   "outputSchema": {"type": "object", "properties": {"ssn": {"type": "string"}}}},
  {"name": "get_order", "inputSchema": {"type": "object", "properties": {"id": {"type": "integer"}}}}
]}}"#;

fn with_tools(route: &str) -> Vec<(Code, String)> {
    let options = Options {
        tools: Some(Tools::parse(TOOLS).expect("a list")),
        ..Options::default()
    };
    let text = format!("{USER}routes:\n{route}");
    compile_with("p", &text, &options)
        .diagnostics
        .into_iter()
        .filter(|diagnostic| !matches!(diagnostic.code, Code::ToolWithoutRoute | Code::UnusedPlugin))
        .map(|diagnostic| (diagnostic.code, diagnostic.help.unwrap_or_default()))
        .collect()
}

#[test]
fn checks_policies_against_the_schemas_of_tools() {
    let rule = |rule: &str| {
        with_tools(&format!(
            "  - tool: get_user\n    pre_invocation: [{}]\n",
            serde_json::json!(rule)
        ))
    };
    let field = |side: &str, field: &str, stages: &str| {
        with_tools(&format!(
            "  - tool: get_user\n    {side}: {{\"{field}\": \"{stages}\"}}\n"
        ))
    };
    let codes = |found: Vec<(Code, String)>| found.into_iter().map(|(code, _)| code).collect::<Vec<_>>();
    assert_eq!(
        with_tools("  - tool: get_usr\n"),
        [(Code::UnknownTool, "did you mean `get_user`?".to_owned())]
    );
    assert_eq!(codes(with_tools("  - tool: \"del_*\"\n")), [Code::UnknownTool]);
    assert_eq!(codes(with_tools("  - tool: \"get_*\"\n")), []);
    assert_eq!(
        rule("exists(args.limt): deny"),
        [(Code::UnknownArgument, "did you mean `limit`?".to_owned())]
    );
    assert_eq!(
        codes(rule("exists(args.where.town): deny")),
        [Code::UnknownArgument]
    );
    assert_eq!(codes(rule("exists(args.free.anything): deny")), []);
    assert_eq!(codes(rule("exists(args.either.x): deny")), []);
    assert_eq!(codes(rule("require(args.id <= 5)")), [Code::SchemaType]);
    assert_eq!(codes(rule("require(args.limit == 'x')")), [Code::SchemaType]);
    assert_eq!(codes(rule("require(args.tags contains 'x')")), []);
    // Required arguments are there, so the rule cannot be avoided by leaving them out.
    assert_eq!(codes(rule("args.id == 'x': deny")), []);
    assert_eq!(codes(rule("args.where.city == 'x': deny")), []);
    assert_eq!(codes(rule("args.where.zip == 'x': deny")), [Code::MayBeAbsent]);
    assert_eq!(codes(field("args", "id", "int")), [Code::SchemaType]);
    assert_eq!(codes(field("args", "rows.n", "int")), []);
    assert_eq!(codes(field("args", "rows.m", "int")), [Code::UnknownArgument]);
    assert_eq!(
        codes(field("result", "snn", "redact")),
        [Code::UnknownResultField]
    );
    assert_eq!(codes(field("result", "**.snn", "redact")), []);
    // Two tools under one pattern: an argument that one of them has is fine.
    assert_eq!(
        codes(with_tools(
            "  - tool: \"get_*\"\n    pre_invocation: [\"exists(args.limit): deny\"]\n"
        )),
        []
    );
}

#[test]
fn reads_every_form_of_a_list_of_tools() {
    for text in [
        "[{\"name\": \"a\"}]",
        "{\"tools\": [{\"name\": \"a\"}]}",
        "{\"result\": {\"tools\": [{\"name\": \"a\"}]}}",
    ] {
        assert_eq!(Tools::parse(text).expect("a list").list.len(), 1);
    }
    for text in [
        "",
        "{}",
        "[{}]",
        "[{\"name\": \"\"}]",
        "{\"error\": {\"code\": 1}}",
        "[{\"name\": \"a\"}, {\"name\": \"a\"}]",
    ] {
        assert!(Tools::parse(text).is_err(), "{text}");
    }
}

fn differences(text: &str, from: Dialect) -> Vec<(u32, String)> {
    let options = Options {
        from: Some(from),
        ..Options::default()
    };
    let compilation = compile_with("p", text, &options);
    let place =
        |diagnostic: &apl_compiler::Diagnostic| compilation.sources[0].position(diagnostic.span.start).line;
    compilation
        .diagnostics
        .iter()
        .filter(|diagnostic| diagnostic.code == Code::Differs)
        .map(|diagnostic| (place(diagnostic), diagnostic.message.clone()))
        .collect()
}

#[test]
fn says_what_differs_for_this_very_file() {
    let text = "engine_settings: {unmatched: deny}\nroutes:\n  - tool: \"a*\"\n    pre_invocation:\n      - \"taint('x', message)\"\n      - \"args.kind != 'a': deny('no', 'no')\"\n      - \"security.labels contains 'x': deny('no', 'no')\"\n    args: {pin: \"mask(4)\", mail: \"email\"}\n";
    let cpex = differences(text, Dialect::Cpex02);
    let lines = |found: &[(u32, String)], word: &str| {
        found
            .iter()
            .filter(|(_, message)| message.contains(word))
            .map(|(line, _)| *line)
            .collect::<Vec<_>>()
    };
    for (word, line) in [
        ("governs nothing", 3),
        ("scope `message`", 5),
        ("quotes become part", 5),
        ("`!=` does not hold", 6),
        ("only in the next one", 7),
        ("`mask(N)`", 8),
        ("looks for an `@`", 8),
    ] {
        assert_eq!(lines(&cpex, word), [line], "{word}: {cpex:#?}");
    }
    let praxis = differences(text, Dialect::Praxis05);
    assert!(
        lines(&praxis, "governs nothing").is_empty() && lines(&praxis, "`!=`").is_empty(),
        "{praxis:#?}"
    );
    assert_eq!(lines(&praxis, "`mask(N)`"), [8]);
    assert!(
        differences(
            "engine_settings: {unmatched: deny}\nroutes:\n  - tool: a\n",
            Dialect::Cpex02
        )
        .is_empty()
    );
}

#[test]
fn says_that_paths_are_decoded_and_that_http_routes_have_fields() {
    let text = "engine_settings: {unmatched: deny}\nroutes:\n  - http: \"/a/{id}\"\n    args:\n      body.amount: int\n  - tool: x\n";
    let praxis = differences(text, Dialect::Praxis05);
    let said = |word: &str| {
        praxis
            .iter()
            .filter(|said| format!("{said:?}").contains(word))
            .count()
    };
    assert_eq!(said("as it was sent"), 1, "{praxis:#?}");
    assert_eq!(said("of an `http` route are refused"), 1, "{praxis:#?}");
    let cpex = format!("{:?}", differences(text, Dialect::Cpex02));
    assert!(!cpex.contains("as it was sent"), "it has no HTTP routes: {cpex}");
}

#[test]
fn says_what_differs_for_the_seed_and_for_the_foreign_demo() {
    let seed = differences(include_str!("fixtures/hr.yaml"), Dialect::Cpex02);
    assert!(
        seed.iter()
            .any(|(_, message)| message.contains("without `audience`")),
        "{seed:#?}"
    );
    assert!(
        seed.iter()
            .any(|(_, message)| message.contains("JSON inside a text block")),
        "{seed:#?}"
    );
    let above = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).ancestors();
    let mut paths = above.map(|folder| folder.join("shared/external/cpex-demo/policy.yaml"));
    let Some(text) = paths.find_map(|path| std::fs::read_to_string(path).ok()) else {
        assert!(
            std::env::var("CI").as_deref() != Ok("true"),
            "the foreign policy is missing"
        );
        println!("skipped: the foreign policy is not beside this checkout");
        return;
    };
    let demo = differences(&text, Dialect::Cpex02);
    for word in [
        "no route matches is allowed",
        "JSON inside a text block",
        "order comparison",
        "approval holds",
        "audit record",
    ] {
        assert!(
            demo.iter().any(|(_, message)| message.contains(word)),
            "{word}: {demo:#?}"
        );
    }
    println!("{} findings in the foreign demo", demo.len());
}

#[test]
fn sarif_has_the_structure_that_its_schema_requires() {
    let text = "routes:\n  - tool: x\n    pre_invocatin: []\n    policy: [\"args.a > 1: deny\"]\n";
    let compilation = compile("some dir/ä.yaml", text);
    let sarif = to_sarif(&compilation.diagnostics, &compilation.sources, HELP_BASE);
    assert_eq!(sarif["version"], "2.1.0");
    let run = &sarif["runs"][0];
    let driver = &run["tool"]["driver"];
    assert!(driver["name"].is_string());
    let rules = driver["rules"].as_array().expect("rules");
    assert_eq!(rules.len(), Code::ALL.len());
    for rule in rules {
        assert!(rule["id"].as_str().is_some_and(|id| id.starts_with("APL")));
        assert!(rule["shortDescription"]["text"].is_string() && rule["fullDescription"]["text"].is_string());
        let uri = rule["helpUri"].as_str().expect("a URI");
        assert!(uri.starts_with("https://") && uri.contains("#apl"), "{uri}");
    }
    let results = run["results"].as_array().expect("results");
    assert_eq!(results.len(), compilation.diagnostics.len());
    for (result, diagnostic) in results.iter().zip(&compilation.diagnostics) {
        let index = usize::try_from(result["ruleIndex"].as_u64().expect("an index")).expect("small");
        assert_eq!(rules[index]["id"], result["ruleId"]);
        assert!(matches!(
            result["level"].as_str(),
            Some("error" | "warning" | "note")
        ));
        assert!(
            result["message"]["text"]
                .as_str()
                .is_some_and(|text| text.contains(&diagnostic.message))
        );
        let place = &result["locations"][0]["physicalLocation"];
        assert_eq!(place["artifactLocation"]["uri"], "some%20dir/%C3%A4.yaml");
        for key in ["startLine", "startColumn", "endLine", "endColumn"] {
            assert!(
                place["region"][key].as_u64().is_some_and(|number| number >= 1),
                "{key}"
            );
        }
    }
    let fix = results
        .iter()
        .find(|result| result["ruleId"] == "APL0101")
        .map(|result| &result["fixes"][0]["artifactChanges"][0]["replacements"][0])
        .expect("the misspelt key has a fix");
    assert_eq!(fix["insertedContent"]["text"], "pre_invocation");
    assert_eq!(fix["deletedRegion"]["startLine"], 3);
    assert_eq!(
        (
            &fix["deletedRegion"]["startColumn"],
            &fix["deletedRegion"]["endColumn"]
        ),
        (&5.into(), &18.into())
    );
    let errors = compilation
        .diagnostics
        .iter()
        .any(|diagnostic| diagnostic.severity == Severity::Error);
    assert!(errors && compilation.output.is_none());
}
