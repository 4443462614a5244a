//! The server scenarios of the official conformance suite, direct and through Envoy: every check must come out the same.

use std::collections::BTreeMap;
use std::path::Path;

use aplomb_test_harness::envoy::wasm::InstallMode;
use serde_json::Value;
use tokio::process::Command;

use crate::fixture;

/// Scenario and check, and what came of it. A check that runs several times in a scenario is numbered.
type Checks = BTreeMap<(String, String), String>;

/// Checks that come out otherwise by design, with the reason.
const DIFFERENT: &[(&str, &str, &str)] = &[(
    "server-stateless",
    "sep-2575-http-server-error-jsonrpc-id#",
    "a revision that is not known is refused at its header, before there is a body with an id: the error's id is null (JSON-RPC 2.0, section 5)",
)];

/// The suite's revisions with a frozen list of scenarios.
const REVISIONS: [&str; 2] = ["2025-11-25", "2026-07-28"];

async fn run(url: &str, revision: &str) -> Checks {
    let out = tempfile::tempdir().expect("a directory");
    let output = Command::new(fixture::node())
        .arg(fixture::modules().join("node_modules/@modelcontextprotocol/conformance/dist/index.js"))
        .args(["server", "--url", url, "--requirements", revision, "-o"])
        .arg(out.path())
        .kill_on_drop(true)
        .output()
        .await
        .expect("the suite runs");
    let checks = read(out.path());
    assert!(
        checks.len() > 60,
        "the suite ran {} checks:\n{}{}",
        checks.len(),
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    checks
}

fn read(dir: &Path) -> Checks {
    let mut checks = Checks::new();
    for folder in std::fs::read_dir(dir).expect("results") {
        let folder = folder.expect("a folder").path();
        let name = folder.file_name().and_then(|name| name.to_str()).expect("text");
        // `server-SCENARIO-2026-11-23T02-29-53-060Z`
        let scenario = name.strip_prefix("server-").expect("of the server");
        let scenario = &scenario[..scenario.len() - "-2026-11-23T02-29-53-060Z".len()];
        let text = std::fs::read_to_string(folder.join("checks.json")).expect("checks");
        let list: Vec<Value> = serde_json::from_str(&text).expect("JSON");
        let mut seen: BTreeMap<&str, u32> = BTreeMap::new();
        for check in &list {
            let id = check["id"].as_str().expect("an id");
            let count = seen.entry(id).and_modify(|count| *count += 1).or_insert(1);
            let status = check["status"].as_str().expect("a status");
            // The suite keeps a message of a check that passed, too.
            let message = if status == "SUCCESS" {
                None
            } else {
                check["errorMessage"].as_str()
            };
            let outcome = message.map_or_else(|| status.to_owned(), |message| format!("{status}: {message}"));
            checks.insert((scenario.to_owned(), format!("{id}#{count}")), outcome);
        }
    }
    checks
}

fn is_fine(outcome: &str) -> bool {
    ["SUCCESS", "INFO", "SKIPPED"].contains(&outcome)
}

/// The verdict word without its message, which may name ports.
fn word(outcome: &str) -> &str {
    outcome.split(':').next().unwrap_or(outcome)
}

/// Prints scenario by scenario, and gives the lines that differ without a reason.
fn compare(title: &str, direct: &Checks, governed: &Checks) -> Vec<String> {
    let mut rows: BTreeMap<&str, [usize; 3]> = BTreeMap::new();
    let (mut wrong, mut differ) = (Vec::new(), Vec::new());
    for ((scenario, id), outcome) in direct {
        let row = rows.entry(scenario).or_default();
        let through = governed
            .get(&(scenario.clone(), id.clone()))
            .map_or("was not reached", String::as_str);
        row[0] += usize::from(is_fine(outcome));
        row[1] += usize::from(is_fine(through));
        row[2] += 1;
        if word(outcome) == word(through) {
            continue;
        }
        let known = DIFFERENT
            .iter()
            .find(|(of, check, _)| of == scenario && id.starts_with(check));
        if let Some((_, check, why)) = known {
            differ.push(format!("by design: {scenario} {check} {why}"));
        } else {
            wrong.push(format!(
                "{scenario} {id}: direct {outcome}; through Envoy {through}"
            ));
        }
    }
    println!(
        "\n{title}\n{:<46} {:>7} {:>7} {:>7}",
        "scenario", "checks", "direct", "Envoy"
    );
    for (scenario, [direct, governed, all]) in &rows {
        println!("{scenario:<46} {all:>7} {direct:>7} {governed:>7}");
    }
    let sum = |column: usize| rows.values().map(|row| row[column]).sum::<usize>();
    println!("{:<46} {:>7} {:>7} {:>7}", "all", sum(2), sum(0), sum(1));
    differ.iter().for_each(|line| println!("{line}"));
    wrong
}

/// What fails without Envoy, and what differs with it.
async fn both(title: &str, server: &str, gateway: &str, revision: &str) -> Vec<String> {
    let direct = run(server, revision).await;
    let governed = run(gateway, revision).await;
    let fails = |((scenario, id), outcome): (&(String, String), &String)| {
        let fails = !is_fine(outcome) && !scenario.starts_with("tasks-");
        fails.then(|| format!("the fixture fails by itself: {scenario} {id}: {outcome}"))
    };
    let mut wrong: Vec<String> = direct.iter().filter_map(fails).collect();
    wrong.extend(compare(title, &direct, &governed));
    wrong
}

async fn comes_out_the_same(mode: InstallMode) {
    let dir = tempfile::tempdir().expect("a directory");
    let (_server, address) = fixture::start(dir.path()).await;
    let (ground, _logs) = fixture::governed(mode, "error", vec![fixture::signs_in()], address).await;
    let (server, gateway) = (format!("http://{address}/mcp"), ground.envoy.url("/mcp"));
    let mut wrong = Vec::new();
    for revision in REVISIONS {
        let title = format!("conformance {revision}, {} mode", mode.name());
        let mut told = both(&title, &server, &gateway, revision).await;
        // The suite has limits of time of its own, which a busy machine may miss: what is wrong three times is wrong.
        for _ in 0..2 {
            if told.is_empty() {
                break;
            }
            println!("once more, because of\n{}", told.join("\n"));
            told = both(&title, &server, &gateway, revision).await;
        }
        wrong.extend(told);
    }
    assert!(
        wrong.is_empty(),
        "{}\n---- Envoy\n{}",
        wrong.join("\n"),
        ground.envoy.log()
    );
}

#[tokio::test]
async fn the_conformance_suite_comes_out_the_same_in_full_mode() {
    comes_out_the_same(InstallMode::Full).await;
}

#[tokio::test]
async fn the_conformance_suite_comes_out_the_same_in_paired_mode() {
    comes_out_the_same(InstallMode::Paired).await;
}
