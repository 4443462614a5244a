//! `docs/codes.md` lists every code that the source can emit, and no other.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use aplomb_test_harness::programs;

/// What can emit a code of its own.
const EMITTERS: &[&str] = &["enforcer/src", "filter/src", "apl-vm/src", "companion/src"];
/// What puts codes into programs; most dotted words there are the language's.
const COMPILER: &str = "apl-compiler/src";

/// Names that look like codes and are none: attributes, metrics and filter state, by what they begin with.
const OTHER_NAMESPACES: &[&str] = &[
    "agent.",
    "aplomb.",
    "caller_workload.",
    "client.",
    "delegation.granted",
    "http.request_headers",
    "http.response_headers",
    "limits.",
    "llm.",
    "mcp.",
    "meta.",
    "request.",
    "route.key",
    "security.labels",
    "subject.",
];
/// Effects, attributes of families that have codes too, keys of the configuration, files.
const OTHER_WORDS: &[&str] = &[
    "admin.json",
    "append.lua",
    "approval.requested",
    "audit.append",
    "audit.jsonl",
    "case.lua",
    "clear.lua",
    "cases.redb",
    "checkpoints.jsonl",
    "claim.scope",
    "companion.cluster",
    "companion.path",
    "companion.timeout_ms",
    "companion.token_env",
    "delegation.actor_subject_id",
    "delegation.chain",
    "delegation.delegated",
    "delegation.depth",
    "delegation.origin_subject_id",
    "elicit.begin",
    "elicit.check",
    "elicit.redeem",
    "elicitation.approver",
    "elicitation.channel",
    "elicitation.expires_at",
    "elicitation.id",
    "elicitation.intent_id",
    "elicitation.outcome",
    "elicitation.status",
    "global.authentication",
    "http.host",
    "http.method",
    "http.path",
    "http.scheme",
    "http.status",
    "identity.api_key",
    "io.istio.peer_principal",
    "limit.count",
    "output_text.annotation",
    "pdp.decide",
    "protected_resource.resource",
    "secrets.env",
    "service.name",
    "service.version",
    "session.append",
    "session.load",
    "sessions.redb",
    "token.exchange",
    "touch.lua",
    "webhook.secret",
    "webhook.url",
];

/// Where a word stands: `file:line`.
type Places = BTreeMap<String, String>;

#[test]
fn every_code_of_the_source_is_in_the_table() {
    let table = table();
    let missing: Vec<String> = EMITTERS
        .iter()
        .flat_map(|folder| words(folder))
        .filter(|(word, _)| !table.contains(word) && !is_other(word))
        .map(|(word, place)| format!("`{word}` ({place})"))
        .collect();
    assert!(
        missing.is_empty(),
        "not in docs/codes.md (what is no code belongs into the lists of this test):\n  {}",
        missing.join("\n  ")
    );
}

#[test]
fn every_code_of_the_table_is_in_the_source() {
    let mut known = words(COMPILER);
    known.extend(EMITTERS.iter().flat_map(|folder| words(folder)));
    let stale: Vec<String> = table()
        .into_iter()
        .filter(|code| !known.contains_key(code))
        .collect();
    assert!(
        stale.is_empty(),
        "docs/codes.md lists codes that no source file of {EMITTERS:?} or {COMPILER} has: {stale:?}"
    );
}

#[test]
fn the_lists_of_other_words_hold_no_code_and_nothing_stale() {
    let table = table();
    let known: Places = EMITTERS.iter().flat_map(|folder| words(folder)).collect();
    for word in OTHER_WORDS {
        assert!(!table.contains(*word), "`{word}` is in docs/codes.md too");
        assert!(
            known.contains_key(*word),
            "`{word}` is nowhere in the source any more"
        );
    }
    for code in &table {
        assert!(
            !is_other(code),
            "`{code}` of docs/codes.md is excluded by a list of this test"
        );
    }
}

fn is_other(word: &str) -> bool {
    OTHER_WORDS.contains(&word) || OTHER_NAMESPACES.iter().any(|space| word.starts_with(space))
}

/// The first column of every table row of the page that holds a dotted word.
fn table() -> BTreeSet<String> {
    let mut codes = BTreeSet::new();
    for line in super::text("docs/codes.md").lines() {
        let Some(code) = line
            .strip_prefix("| `")
            .and_then(|rest| rest.split_once("` |"))
            .map(|(code, _)| code)
        else {
            continue;
        };
        assert!(
            is_dotted(code),
            "docs/codes.md: `{code}` is not of the form family.name"
        );
        assert_eq!(
            line.matches(" |").count(),
            4,
            "docs/codes.md: `{code}` has not four columns"
        );
        assert!(
            codes.insert(code.to_owned()),
            "docs/codes.md: `{code}` stands twice"
        );
    }
    assert!(codes.len() > 40, "docs/codes.md has lost its tables");
    codes
}

/// Every string literal of the form `family.name` outside tests and comments.
fn words(folder: &str) -> Places {
    let mut places = Places::new();
    collect(&programs::root().join(folder), &mut places);
    assert!(!places.is_empty(), "{folder} has no source");
    places
}

fn collect(folder: &Path, places: &mut Places) {
    let mut entries: Vec<_> = std::fs::read_dir(folder)
        .unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
        .map(|entry| entry.expect("readable").path())
        .collect();
    entries.sort();
    for path in entries {
        let name = path
            .file_stem()
            .and_then(|name| name.to_str())
            .unwrap_or_default();
        if name == "tests" || name == "suite" {
            continue;
        }
        if path.is_dir() {
            collect(&path, places);
        } else if path.extension().is_some_and(|kind| kind == "rs") {
            let source = std::fs::read_to_string(&path).expect("text");
            let shown = path.strip_prefix(programs::root()).unwrap_or(&path).display();
            for (at, line) in before_tests(&source).lines().enumerate() {
                for word in dotted_literals(line) {
                    places
                        .entry(word.to_owned())
                        .or_insert_with(|| format!("{shown}:{}", at + 1));
                }
            }
        }
    }
}

/// A file's tests stand at its end, in a module of their own.
fn before_tests(source: &str) -> &str {
    source
        .find("#[cfg(test)]\nmod tests {")
        .map_or(source, |at| &source[..at])
}

fn dotted_literals(line: &str) -> impl Iterator<Item = &str> {
    let code = if line.trim_start().starts_with("//") {
        ""
    } else {
        line
    };
    // A piece between two quotes that is itself code never has this form.
    let mut pieces = code.split('"').skip(1).peekable();
    std::iter::from_fn(move || {
        let piece = pieces.next()?;
        // What follows the last quote is not quoted.
        pieces.peek().map(|_| piece)
    })
    .filter(|piece| is_dotted(piece))
}

fn is_dotted(word: &str) -> bool {
    word.contains('.')
        && word.split('.').all(|part| {
            part.starts_with(|c: char| c.is_ascii_lowercase())
                && part.chars().all(|c| c.is_ascii_lowercase() || c == '_')
        })
}

#[test]
fn the_scan_sees_literals_and_nothing_else() {
    let found = |line| dotted_literals(line).collect::<Vec<_>>();
    assert_eq!(
        found(r#"x("protocol.body", "the body is a.b")"#),
        ["protocol.body"]
    );
    assert_eq!(found(r#"Self::Gone => "a.b_c","#), ["a.b_c"]);
    assert!(found(r#"/// says "a.b""#).is_empty());
    assert!(found(r#""a" + x.y + "b""#).is_empty());
    assert_eq!(before_tests("a\n#[cfg(test)]\nmod tests {\n \"x.y\""), "a\n");
}
