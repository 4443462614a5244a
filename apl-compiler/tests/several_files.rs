//! Policies of several files: static attributes and teams.

use std::collections::BTreeMap;

use apl_bytecode::{Instr, Matcher};
use apl_compiler::diagnostics::{to_json, to_report};
use apl_compiler::{Compilation, File, Files, NoFiles, Policy, compile_policy};

struct Memory(BTreeMap<&'static str, &'static str>);

impl Files for Memory {
    fn read(&self, path: &str) -> Result<(String, String), String> {
        let text = self.0.get(path).ok_or("there is no such file")?;
        Ok((path.to_owned(), (*text).to_owned()))
    }
}

fn file(name: &str, text: &str) -> File {
    File {
        name: name.to_owned(),
        text: text.to_owned(),
    }
}

fn with_files(policy: &str, files: &[(&'static str, &'static str)]) -> Compilation {
    compile_policy(&Policy {
        main: file("policy.yaml", policy),
        teams: Vec::new(),
        files: &Memory(files.iter().copied().collect()),
    })
}

fn with_teams(platform: &str, teams: &[(&str, &str)]) -> Compilation {
    compile_policy(&Policy {
        main: file("platform.yaml", platform),
        teams: teams
            .iter()
            .map(|(name, text)| file(&format!("teams/{name}.yaml"), text))
            .collect(),
        files: &NoFiles,
    })
}

/// What was said, with the names of the files.
fn said(compilation: &Compilation) -> Vec<String> {
    let list = compilation.diagnostics.iter();
    list.map(|diagnostic| {
        let name = |file: u16| compilation.sources[usize::from(file)].name.as_str();
        let other = diagnostic
            .related
            .as_ref()
            .map_or(String::new(), |(span, _)| format!(" <- {}", name(span.file)));
        format!("{}: {}{other}", name(diagnostic.span.file), diagnostic.message)
    })
    .collect()
}

const READS: &str = "global:\n  attribute_files: [a.yaml, b.yaml]\nroutes:\n  - tool: x\n    pre_invocation: [\"data.bans[subject.id] == 'yes': deny\", \"data.limit > 3: deny\"]\n";

#[test]
fn files_are_merged_into_one_sorted_tree_whatever_their_order() {
    let files = [
        ("a.yaml", "data:\n  limit: 3\n  bans: {zoe: 'yes', bob: 'yes'}\n"),
        (
            "b.yaml",
            "data: {bans: {'eve.x': 'no', bob: 'yes'}, list: [1, a]}\n",
        ),
    ];
    let one = with_files(READS, &files);
    let other = with_files(&READS.replace("a.yaml, b.yaml", "b.yaml, a.yaml"), &files);
    let program = |compilation: &Compilation| {
        let output = compilation.output.as_ref();
        output
            .unwrap_or_else(|| panic!("{:?}", said(compilation)))
            .program
            .clone()
    };
    assert_eq!(
        program(&one).program().data,
        r#"{"bans":{"bob":"yes","eve.x":"no","zoe":"yes"},"limit":3,"list":[1,"a"]}"#
    );
    assert_eq!(program(&one).digest(), program(&other).digest());
}

#[test]
fn a_leaf_has_one_value_and_data_stands_alone() {
    let faults = |a, b| said(&with_files(READS, &[("a.yaml", a), ("b.yaml", b)]));
    assert_eq!(
        faults("data: {limit: 3, bans: {}}", "data: {limit: 4}"),
        ["b.yaml: `limit` has another value here <- a.yaml"]
    );
    assert_eq!(
        faults("data: {limit: 3, bans: {a: 1}}", "data: {bans: all}"),
        ["b.yaml: `bans` has another value here <- a.yaml"]
    );
    assert_eq!(
        faults("data: {limit: 3, bans: {}}\nother: 1", "data:"),
        ["a.yaml: `other` stands beside `data` in an attribute file"]
    );
    assert_eq!(
        faults("data: {limit: 3}", "data: {x: 1}"),
        ["policy.yaml: nothing provides `data.bans`"]
    );
    let missing = said(&with_files(READS, &[("a.yaml", "data: {limit: 1, bans: {}}")]));
    assert_eq!(
        missing,
        ["policy.yaml: the attribute file `b.yaml` cannot be read: there is no such file"]
    );
}

const PLATFORM: &str = r#"
engine_settings: { unmatched: deny }
plugins:
  - { name: log, kind: audit/logger }
teams:
  payments: { tool: ["pay", "pay-*"], owner: "payments@example" }
  search: { tool: ["search-*"], scope: web }
groups:
  careful: { pre_invocation: ["run(log)"] }
routes:
  - tool: "pay-*"
    unparseable_result: pass
    pre_invocation: ["args.amount > 1000: deny('too much', 'platform.limit')"]
    result: { ssn: "redact" }
"#;

#[test]
fn a_teams_route_adds_its_rules_behind_those_of_the_platform() {
    let team = "routes:\n  - tool: pay-out\n    groups: [careful, ours]\n    pre_invocation: [\"args.amount > 10: deny('no', 'team.limit')\"]\n    result: { iban: \"mask(4)\" }\ngroups:\n  ours: { pre_invocation: [\"args.to == 'x': deny\"] }\n";
    let compilation = with_teams(PLATFORM, &[("payments", team)]);
    let output = compilation
        .output
        .as_ref()
        .unwrap_or_else(|| panic!("{:?}", said(&compilation)));
    let program = output.program.program();
    let at = output
        .program
        .routes()
        .find(apl_bytecode::EntityKind::Tool, "pay-out", None)
        .expect("it is routed");
    let route = &program.routes[at];
    assert!(route.pass_unparseable, "the platform's word counts");
    let text = |id: apl_bytecode::StrId| program.strings[id.0 as usize].as_str();
    assert_eq!(route.owner.map(text), Some("payments@example"));
    assert!(matches!(route.matcher, Matcher::Exact(_)));
    let listing = apl_bytecode::listing(program);
    let block = |needle: &str| {
        listing
            .find(needle)
            .unwrap_or_else(|| panic!("{needle} in\n{listing}"))
    };
    assert!(block("platform.limit") < block("team.limit"));
    let post = &program.blocks[route.post.expect("pipelines").0 as usize];
    let pipelines = post
        .code
        .iter()
        .filter(|instr| matches!(instr, Instr::Pipeline(_)));
    assert_eq!(
        pipelines.count(),
        2,
        "the platform's redaction and the team's mask"
    );
    assert_eq!(
        program.debug.as_ref().expect("debug").files,
        ["platform.yaml", "teams/payments.yaml"]
    );
}

#[test]
fn a_team_on_the_platforms_own_pattern_adds_to_it() {
    let team = "routes:\n  - tool: \"pay-*\"\n    pre_invocation: [\"args.amount > 10: deny('no', 'team.limit')\"]\n";
    let compilation = with_teams(PLATFORM, &[("payments", team)]);
    let output = compilation
        .output
        .as_ref()
        .unwrap_or_else(|| panic!("{:?}", said(&compilation)));
    assert_eq!(output.program.program().routes.len(), 1);
    let listing = apl_bytecode::listing(output.program.program());
    assert!(
        listing.contains("platform.limit") && listing.contains("team.limit"),
        "{listing}"
    );
}

#[test]
fn a_team_cannot_leave_its_scope_or_loosen_anything() {
    for (team, text, expected) in [
        (
            "payments",
            "routes: [{tool: delete-all}]",
            "teams/payments.yaml: tool `delete-all` is outside of what the team `payments` may govern <- platform.yaml",
        ),
        (
            "payments",
            "routes: [{tool: \"*\"}]",
            "teams/payments.yaml: tool `*` is outside of what the team `payments` may govern <- platform.yaml",
        ),
        (
            "payments",
            "routes: [{tool: pay-out, meta: {scope: web}}]",
            "teams/payments.yaml: the team `payments` has no say in this scope <- platform.yaml",
        ),
        (
            "payments",
            "routes: [{tool: pay-out, unparseable_result: pass}]",
            "teams/payments.yaml: `unparseable_result` belongs to the platform <- platform.yaml",
        ),
        (
            "payments",
            "engine_settings: {unmatched: allow}",
            "teams/payments.yaml: `engine_settings` belongs to the platform <- platform.yaml",
        ),
        (
            "payments",
            "routes: [{tool: pay-out, authentication: {replace_inherited: true, steps: []}}]",
            "teams/payments.yaml: `authentication` belongs to the platform <- platform.yaml",
        ),
        (
            "payments",
            "routes: [{tool: pay-out, apl: {result: {ssn: str}}}]",
            "teams/payments.yaml: `apl` belongs to the platform <- platform.yaml",
        ),
        (
            "payments",
            "routes: [{tool: pay-out, result: {ssn: str}}]",
            "teams/payments.yaml: the pipeline of `ssn` would replace the platform's <- platform.yaml",
        ),
        (
            "payments",
            "routes: [{tool: pay-out, pre_invocation: [\"delegate(log, on_error: continue)\"]}]",
            "teams/payments.yaml: `on_error: continue` belongs to the platform",
        ),
        (
            "payments",
            "groups: {careful: {pre_invocation: [deny]}}",
            "teams/payments.yaml: the group `careful` is defined twice <- platform.yaml",
        ),
        (
            "nobody",
            "routes: []",
            "teams/nobody.yaml: the platform declares no team `nobody`",
        ),
    ] {
        let compilation = with_teams(PLATFORM, &[(team, text)]);
        let said = said(&compilation);
        assert!(said.iter().any(|line| line == expected), "{text}: {said:#?}");
        assert!(compilation.output.is_none(), "{text}");
    }
}

#[test]
fn a_teams_longer_pattern_does_not_take_operations_from_the_platform() {
    let platform = "teams: {a: {tool: [\"*\"]}}\nroutes: [{tool: \"*-admin\", pre_invocation: [deny]}]\n";
    let compilation = with_teams(platform, &[("a", "routes: [{tool: \"payments-*\"}]")]);
    assert!(
        said(&compilation).contains(
            &"teams/a.yaml: `payments-*` would take operations from the platform's `*-admin` <- platform.yaml"
                .to_owned()
        ),
        "{:#?}",
        said(&compilation)
    );
    let inside = with_teams(platform, &[("a", "routes: [{tool: \"x-*-admin\"}]")]);
    assert!(inside.output.is_some(), "{:#?}", said(&inside));
}

#[test]
fn a_report_shows_both_files() {
    let compilation = with_teams(
        PLATFORM,
        &[("payments", "routes: [{tool: pay-out, result: {ssn: str}}]")],
    );
    let diagnostic = compilation
        .diagnostics
        .iter()
        .find(|diagnostic| diagnostic.message.contains("replace"))
        .expect("it is reported");
    let json = to_json(diagnostic, &compilation.sources);
    assert_eq!(json["file"], "teams/payments.yaml");
    assert_eq!(json["related"]["file"], "platform.yaml");
    assert_eq!(json["related"]["line"], 14);
    let report = format!("{:?}", to_report(diagnostic, &compilation.sources));
    assert!(report.contains("teams/payments.yaml:1"), "{report}");
    assert!(report.contains("platform.yaml:14"), "{report}");
}

mod runs {
    use apl_bytecode::EntityKind;
    use apl_vm::{
        Document, Env, Fact, Facts, Limits, Machine, Mode, Outcome, Prepared, Verdict, View, find_route,
    };

    use super::{Compilation, said, with_files};

    /// The verdict of the phase before the call, and the arguments after it.
    fn run(compilation: &Compilation, subject: &str, args: &str) -> (bool, String) {
        let output = compilation
            .output
            .as_ref()
            .unwrap_or_else(|| panic!("{:?}", said(compilation)));
        let prepared = Prepared::new(output.program.clone()).expect("it can be prepared");
        let at = find_route(&prepared, EntityKind::Tool, "x", None).expect("routed");
        let block = prepared.program().routes[at].pre.expect("rules");
        let mut document = Document::parse(args.as_bytes().to_vec(), &Limits::default()).expect("JSON");
        let root = document.root();
        let mut facts = Facts::default();
        facts.own.insert("subject.id".into(), Fact::Str(subject.into()));
        facts
            .own
            .insert("claim.https://x/y".into(), Fact::Str("gold".into()));
        facts.own.insert("perm.repo:read".into(), Fact::Bool(true));
        facts.own.insert("role.a\\.b".into(), Fact::Bool(true));
        let mut env = Env {
            facts: &mut facts,
            args: Some(View::of(&mut document, root)),
            result: None,
            hash_key: None,
            mode: Mode::Enforce,
            edits: &mut Vec::new(),
        };
        let outcome = Machine::new(block, 100_000).run(&prepared, &mut env);
        let allowed = matches!(outcome, Outcome::Done(Verdict::Allow));
        (
            allowed,
            String::from_utf8(document.render()).expect("JSON is text"),
        )
    }

    const DATA: &[(&str, &str)] = &[(
        "a.yaml",
        "data:\n  bans: {alice: true, 'b.o.b': true}\n  admins: [zoe, root]\n  limits: {alice: 10, zoe: 1000}\n",
    )];

    fn with(rules: &str) -> Compilation {
        let policy = format!("global: {{attribute_files: [a.yaml]}}\nroutes:\n  - tool: x\n{rules}");
        with_files(&policy, DATA)
    }

    #[test]
    fn a_subscript_takes_the_key_from_another_attribute_whole() {
        let policy = with("    pre_invocation: [\"data.bans[subject.id]: deny\"]\n");
        assert!(!run(&policy, "alice", "{}").0);
        assert!(
            !run(&policy, "b.o.b", "{}").0,
            "a dot in the value splits nothing"
        );
        assert!(run(&policy, "zoe", "{}").0);
        assert!(run(&policy, "b", "{}").0);
    }

    #[test]
    fn a_list_of_attributes_is_a_set_and_a_map_is_a_map_in_cel() {
        let policy = with("    pre_invocation: [\"require(subject.id in data.admins)\"]\n");
        assert!(run(&policy, "zoe", "{}").0);
        assert!(!run(&policy, "alice", "{}").0);
        let policy = with(
            "    pre_invocation:\n      - cel: { expr: \"subject.id in data.limits && args.amount <= data.limits[subject.id]\" }\n",
        );
        assert!(run(&policy, "zoe", "{\"amount\": 900}").0);
        assert!(!run(&policy, "alice", "{\"amount\": 900}").0);
        assert!(!run(&policy, "nobody", "{\"amount\": 1}").0);
        let policy = with(
            "    pre_invocation:\n      - cel: { expr: \"size(data.admins) == 2 && data.limits.exists(name, name == 'zoe')\" }\n",
        );
        assert!(run(&policy, "zoe", "{}").0);
    }

    #[test]
    fn names_that_no_path_spells_are_quoted_wherever_a_path_may_stand() {
        let policy = with(concat!(
            "    pre_invocation:\n",
            "      - \"require(perm[\\\"repo:read\\\"], role['a.b'])\"\n",
            "      - \"claim['https://x/y'] != 'gold': deny\"\n",
            "      - \"exists(args['weird-name']['k.v']): deny('there', 'there')\"\n",
            "      - \"args['weird-name'].user in data.bans['b.o.b']: deny\"\n",
        ));
        assert!(run(&policy, "x", "{}").0);
        assert!(run(&policy, "x", "{\"weird-name\": {\"k\": {\"v\": 1}}}").0);
        assert!(!run(&policy, "x", "{\"weird-name\": {\"k.v\": 1}}").0);
    }

    #[test]
    fn a_pipeline_reaches_a_key_with_a_dot_in_a_subscript() {
        let policy = with(concat!(
            "    args:\n",
            "      '[\"card.number\"]': \"mask(2)\"\n",
            "      'user[\"home.address\"].street': \"redact(exists(args['card.number']))\"\n",
            "    pre_invocation:\n",
            "      - when: \"exists(args['p.i.n'])\"\n",
            "        do: [\"args['p.i.n'] | omit\"]\n",
        ));
        let args = r#"{"card.number":"12345678","card":{"number":"12345678"},"user":{"home.address":{"street":"x"}},"p.i.n":1}"#;
        assert_eq!(
            run(&policy, "x", args),
            (
                true,
                r#"{"card.number":"******78","card":{"number":"12345678"},"user":{"home.address":{"street":"[REDACTED]"}}}"#
                    .to_owned()
            )
        );
    }
}
