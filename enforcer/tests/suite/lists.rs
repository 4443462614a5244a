//! Lists filtered for their caller.

use apl_bytecode::{Algorithm, EntityKind, Fallback, Instr, Matcher, TokenRole, Unmatched};
use serde_json::{Value, json};

use crate::{
    host::{Backend, Seen, Worker, call},
    jwt::token,
    program::{Builder, seed},
    streams::{ask, sealed},
};

fn list(method: &str) -> String {
    json!({"jsonrpc": "2.0", "id": 1, "method": method}).to_string()
}

fn bearer(user: &str) -> String {
    format!("Bearer {}", token(user))
}

fn listed(worker: &mut Worker, user: &str, method: &str, backend: &Backend) -> Seen {
    worker.post(&[("authorization", &bearer(user))], &list(method), Some(backend))
}

/// `role.hr` for `get_compensation`, a permission and a label for `send_email`, `open` for everybody, no route for `ghost`.
const TOOLS: &str = "{ \"jsonrpc\":\"2.0\",\"id\":1 , \"result\":{\"tools\":[ {\"name\":\"get_compensation\",\"x\":1.50},\n {\"name\":\"send_email\"} , {\"name\":\"open\",\"d\":\"\\u0041\"},{\"name\":\"ghost\"}],\"nextCursor\":\"p\\/2\"}}\n";

#[test]
fn hides_what_no_call_of_the_caller_could_do_and_leaves_every_other_byte() {
    let mut worker = Worker::new();
    let body = listed(&mut worker, "bob", "tools/list", &Backend::json(TOOLS)).client_body();
    assert_eq!(
        body,
        TOOLS.replace(",{\"name\":\"ghost\"}", ""),
        "labels may deny, but are not known"
    );
    let body = listed(&mut worker, "alice", "tools/list", &Backend::json(TOOLS)).client_body();
    assert_eq!(
        body,
        TOOLS
            .replace(
                "{\"name\":\"get_compensation\",\"x\":1.50},\n {\"name\":\"send_email\"} , ",
                ""
            )
            .replace(",{\"name\":\"ghost\"}", "")
    );
}

#[test]
fn events_and_batches_are_filtered_alike() {
    let mut worker = Worker::new();
    let one = TOOLS.replace('\n', "");
    let progress = "data: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/progress\",\"params\":{}}\n\n";
    for chunk in [0, 1, 7] {
        worker.chunk = chunk;
        let events = Backend::events(&format!("{progress}data: {one}\n\n"));
        let body = listed(&mut worker, "alice", "tools/list", &events).client_body();
        assert!(
            body.starts_with(progress) && body.contains("\"open\"") && !body.contains("send_email"),
            "{body}"
        );
    }
    worker.chunk = 0;
    let batch = format!(
        "[{},{}]",
        list("tools/list"),
        call("open", "{}").replace("\"id\":1", "\"id\":2")
    );
    let answer = format!("[{{\"jsonrpc\":\"2.0\",\"id\":2,\"result\":{{\"content\":[]}}}}, {one}]");
    let seen = worker.post(
        &[("authorization", &bearer("alice"))],
        &batch,
        Some(&Backend::json(&answer)),
    );
    let body: Value = serde_json::from_str(&seen.client_body()).expect("JSON");
    assert_eq!(body[1]["result"]["tools"], json!([{"name": "open", "d": "A"}]));
    assert_eq!(body[0]["id"], json!(2));
}

#[test]
fn a_list_on_a_resumed_stream_is_filtered_too() {
    let mut worker = sealed();
    let one = TOOLS.replace('\n', "");
    let first = Backend::events("id: 7\ndata: \n\n");
    let body = listed(&mut worker, "alice", "tools/list", &first).client_body();
    let id = body
        .lines()
        .find_map(|line| line.strip_prefix("id: "))
        .expect("an id")
        .to_owned();
    let rest = Backend::events(&format!("data: {one}\n\n"));
    let seen = ask(
        &mut worker,
        "GET",
        "alice",
        &[("last-event-id", &id)],
        Some(&rest),
    );
    let body = seen.client_body();
    assert!(
        body.contains("\"open\"") && !body.contains("send_email"),
        "{body}"
    );
}

#[test]
fn what_is_no_list_is_denied_and_a_failure_passes() {
    let mut worker = Worker::new();
    for broken in [
        r#"{"jsonrpc":"2.0","id":1,"result":{"Tools":[{"name":"ghost"}]}}"#,
        r#"{"jsonrpc":"2.0","id":1,"result":{"tools":{"name":"ghost"}}}"#,
        "not JSON",
        r#"{"jsonrpc":"2.0","id":9,"result":{"tools":[]}}"#,
    ] {
        let seen = listed(&mut worker, "bob", "tools/list", &Backend::json(broken));
        assert_eq!(seen.code(), "result.unparseable", "{broken}");
        assert!(!seen.client_body().contains("ghost"));
    }
    for (status, media, body) in [
        (401, "application/json", r#"{"error":"invalid_token"}"#),
        (502, "text/html", "<p>no</p>"),
        (202, "text/plain", ""),
        (
            200,
            "application/json",
            r#"{"jsonrpc":"2.0","id":1,"error":{"code":-32601,"message":"no"}}"#,
        ),
    ] {
        let seen = listed(
            &mut worker,
            "bob",
            "tools/list",
            &Backend::of(status, media, body),
        );
        let (said, _, bytes) = seen.client.expect("passed");
        assert_eq!((said, bytes.as_slice()), (status, body.as_bytes()));
    }
}

#[test]
fn what_is_filtered_for_one_is_not_kept_for_all() {
    let mut worker = Worker::new();
    let body = r#"{"jsonrpc":"2.0","id":1,"result":{"tools":[],"ttlMs":5,"cacheScope":"public"}}"#;
    let seen = listed(&mut worker, "bob", "tools/list", &Backend::json(body));
    assert_eq!(seen.client_body(), body.replace("public", "private"));
}

#[test]
fn filtering_can_be_switched_off() {
    let policy = seed(&[Algorithm::Es256], None).bytes();
    let mut worker = Worker::with(&policy, |config| config["filter_lists"] = json!(false));
    let body = listed(&mut worker, "alice", "tools/list", &Backend::json(TOOLS)).client_body();
    assert_eq!(body, TOOLS);
}

#[test]
fn templates_are_hidden_only_when_every_resource_of_theirs_is() {
    let mut b = Builder::default();
    let user = b.identity("authorization", TokenRole::User, &[Algorithm::Es256], None);
    for (pattern, rule) in [
        ("db://hr/*", "role.hr"),
        ("db://open/7", ""),
        ("file://*", "role.hr"),
    ] {
        let pre = if rule.is_empty() {
            Vec::new()
        } else {
            b.require(rule, "no")
        };
        let at = b.route(pattern, pre, None, &[user]);
        let text = b.text(pattern);
        b.program.routes[at].entity = EntityKind::Resource;
        if pattern.ends_with('*') {
            b.program.routes[at].matcher = Matcher::Glob(text);
        }
    }
    b.housekeeping(&[user]);
    let templates = [
        "db://hr/{row}",
        "db://{table}/{row}",
        "file://{+path}",
        "web://{x}",
        "{all}",
        "db://open/{n}",
    ];
    let entries: Vec<Value> = templates.iter().map(|uri| json!({"uriTemplate": uri})).collect();
    let body = json!({"jsonrpc": "2.0", "id": 1, "result": {"resourceTemplates": entries}}).to_string();
    let mut worker = Worker::with(&b.bytes(), |_| {});
    let mut left = |user: &str| {
        let seen = listed(
            &mut worker,
            user,
            "resources/templates/list",
            &Backend::json(&body),
        );
        let body: Value = serde_json::from_str(&seen.client_body()).expect("JSON");
        let all = body["result"]["resourceTemplates"]
            .as_array()
            .expect("a list")
            .clone();
        all.iter()
            .map(|entry| entry["uriTemplate"].as_str().expect("a text").to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(
        left("bob"),
        [
            "db://hr/{row}",
            "db://{table}/{row}",
            "file://{+path}",
            "{all}",
            "db://open/{n}"
        ]
    );
    assert_eq!(left("alice"), ["db://{table}/{row}", "{all}", "db://open/{n}"]);
}

/// xorshift: the same policies on every run.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % sides as u64).expect("small")
    }
}

const CONDITIONS: [&str; 10] = [
    "role.hr",
    "role.engineer",
    "perm.email_send",
    "args.x",
    "http.request_headers.x-go",
    "agent.session_id",
    "mcp.tool.name",
    "delegation.granted",
    "meta.scope",
    "args.y.z",
];

/// A handful of rules: conditions, some joined or negated, labels, taints, mints.
fn rules(b: &mut Builder, dice: &mut Dice) -> Vec<Instr> {
    let mut code = Vec::new();
    for _ in 0..dice.roll(4) {
        match dice.roll(8) {
            0 => code.push(b.taint("secret")),
            1 => code.extend(b.deny_if_label("secret", "tainted")),
            2 => {
                let mint = b.delegate("workday-oauth", "workday-api", "read_compensation");
                code.extend([mint, Instr::Await]);
            }
            _ => {
                let (one, two) = (
                    CONDITIONS[dice.roll(CONDITIONS.len())],
                    CONDITIONS[dice.roll(CONDITIONS.len())],
                );
                let (one, two) = (b.attr(one), b.attr(two));
                code.push(Instr::Truth(one));
                if dice.roll(2) == 0 {
                    code.push(Instr::Truth(two));
                    code.push(if dice.roll(2) == 0 { Instr::And } else { Instr::Or });
                }
                if dice.roll(2) == 0 {
                    code.push(Instr::Not);
                }
                let denial = b.denial("rule", "no");
                // Over the next rule, or a denial.
                if dice.roll(3) == 0 {
                    let end = u32::try_from(code.len() + 3).expect("small");
                    let other = b.attr("role.hr");
                    code.extend([
                        Instr::SkipUnless(end, denial),
                        Instr::Truth(other),
                        Instr::DenyIf(denial),
                    ]);
                } else {
                    code.push(Instr::DenyIf(denial));
                }
            }
        }
    }
    code
}

#[test]
fn no_call_that_would_be_allowed_is_hidden_and_what_is_hidden_is_denied() {
    let heads = ["bob", "alice", "zed"].map(bearer);
    let (mut hidden_at_all, mut shown_at_all, mut allowed_at_all) = (0, 0, 0);
    for round in 1..30_u64 {
        let mut dice = Dice(round.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let mut b = Builder::default();
        let user = b.identity("authorization", TokenRole::User, &[Algorithm::Es256], None);
        let names = ["a", "b", "c", "d", "ghost"];
        for name in &names[..4] {
            let pre = rules(&mut b, &mut dice);
            b.route(name, pre, None, &[user]);
        }
        b.housekeeping(&[user]);
        if dice.roll(2) == 0 {
            b.program.settings.unmatched = Unmatched::Allow;
            let rest = rules(&mut b, &mut dice);
            let pre = Some(b.block(apl_bytecode::BlockKind::Steps, rest));
            b.program.fallbacks.push(Fallback {
                entity: Some(EntityKind::Tool),
                pre,
                post: None,
                identities: vec![user],
                assertions: None,
            });
        }
        let policy = b.bytes();
        let entries: Vec<Value> = names.iter().map(|name| json!({"name": name})).collect();
        let page = json!({"jsonrpc": "2.0", "id": 1, "result": {"tools": entries}}).to_string();
        let mut worker = Worker::with(&policy, |_| {});
        for (user, head) in ["bob", "alice", "zed"].iter().zip(&heads) {
            let asked = [("authorization", head.as_str())];
            let seen = worker.post(&asked, &list("tools/list"), Some(&Backend::json(&page)));
            let left = seen.client_body();
            for name in names {
                let shown = left.contains(&format!("\"{name}\""));
                shown_at_all += u32::from(shown);
                hidden_at_all += u32::from(!shown);
                for args in [
                    "{}",
                    r#"{"x":true}"#,
                    r#"{"x":false,"y":{"z":true}}"#,
                    r#"{"y":{"z":1}}"#,
                ] {
                    for extra in [("x-none", "1"), ("x-go", "true"), ("x-session-id", "s1")] {
                        let headers = [("authorization", head.as_str()), extra];
                        let answer = Backend::json(r#"{"jsonrpc":"2.0","id":1,"result":{"content":[]}}"#);
                        let called = worker.post(&headers, &call(name, args), Some(&answer));
                        allowed_at_all += u32::from(called.forwarded());
                        assert!(
                            shown || !called.forwarded(),
                            "round {round}: `{name}` is hidden from {user}, who may call it with {args}"
                        );
                    }
                }
            }
        }
    }
    assert!(
        hidden_at_all > 50 && shown_at_all > 50 && allowed_at_all > 300,
        "the law was not tried: {hidden_at_all} hidden, {shown_at_all} shown, {allowed_at_all} calls allowed"
    );
}

/// The figure: 200 tools in at most 1 ms in the module. This measures the same code on the host:
/// `cargo test --release -p aplomb-enforcer --test suite -- --ignored --nocapture figure`.
#[test]
#[ignore = "a figure, not a law: it needs a quiet machine and a release build"]
fn figure_200_tools() {
    let mut b = Builder::default();
    let user = b.identity("authorization", TokenRole::User, &[Algorithm::Es256], None);
    let mut entries = Vec::new();
    for at in 0..200 {
        let name = format!("tool_{at}");
        let mut rules = b.require(["role.hr", "role.engineer", "args.x"][at % 3], "no");
        rules.extend(b.deny_if_label("secret", "tainted"));
        b.route(&name, rules, None, &[user]);
        entries.push(json!({"name": name, "description": "What it does, in a sentence or two of plain words.",
            "inputSchema": {"type": "object", "properties": {"x": {"type": "string"}, "y": {"type": "integer"}}}}));
    }
    b.housekeeping(&[user]);
    let page = Backend::json(&json!({"jsonrpc": "2.0", "id": 1, "result": {"tools": entries}}).to_string());
    let head = bearer("alice");
    let headers = [("authorization", head.as_str())];
    let time = |filtered: bool| {
        let mut worker = Worker::with(&b.bytes(), |config| config["filter_lists"] = json!(filtered));
        let rounds = 200_u32;
        let begin = std::time::Instant::now();
        for _ in 0..rounds {
            let seen = worker.post(&headers, &list("tools/list"), Some(&page));
            assert_eq!(seen.client_body().contains("\"tool_0\""), !filtered);
        }
        begin.elapsed() / rounds
    };
    let (plain, filtered) = (time(false), time(true));
    println!("200 tools: {filtered:?} an exchange with the list filtered, {plain:?} without");
}
