//! `aplc graph` against the parser that draws it: the `mermaid` package of npm, when it is there.
//!
//! With the DOM that it wants it is 180 MB, too much for `make setup`. `npm install --prefix .tools mermaid@11 jsdom` brings it;
//! `APLOMB_NODE_DIR` names another folder whose `node_modules` has both.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::cli::{POLICY, folder, run};
use crate::tools;

const SCRIPT: &str = r"
import fs from 'node:fs';
import { JSDOM } from 'jsdom';
const dom = new JSDOM('<!doctype html><body></body>');
globalThis.window = dom.window;
globalThis.document = dom.window.document;
const mermaid = (await import('mermaid')).default;
const answer = await mermaid.parse(fs.readFileSync(process.argv[1], 'utf8'));
console.log(answer.diagramType);
";

/// The folder with both packages.
fn packages() -> Option<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let folder = std::env::var_os("APLOMB_NODE_DIR").map_or_else(|| root.join(".tools"), PathBuf::from);
    let there = ["mermaid", "jsdom"]
        .iter()
        .all(|name| folder.join("node_modules").join(name).is_dir());
    there.then_some(folder)
}

fn parsed(packages: &Path, graph: &Path) -> Result<String, String> {
    let node = tools::program("node").expect("mermaid came with one");
    let output = Command::new(node)
        .args(["--input-type=module", "-e", SCRIPT])
        .arg(graph)
        .current_dir(packages)
        .output()
        .expect("node runs");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    if output.status.success() {
        Ok(text(&output.stdout))
    } else {
        Err(text(&output.stderr))
    }
}

#[test]
fn mermaid_itself_parses_every_graph_and_refuses_a_broken_one() {
    let Some(packages) = packages() else {
        eprintln!("skipped: no `mermaid` and `jsdom` (npm install --prefix .tools mermaid@11 jsdom)");
        return;
    };
    let nasty = POLICY.replace(
        "too much",
        r#"\\\"]; click x %%{init: {}}%% <b>`#quot; & end | {{"#,
    );
    assert_ne!(nasty, POLICY);
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/hr/policy.yaml");
    let example = fs::read_to_string(example).expect("there");
    for policy in [POLICY, &nasty, &example] {
        let folder = folder(policy);
        let (graph, _) = run(folder.path(), &["graph", "policy.yaml"], 0);
        let path = folder.path().join("graph.mmd");
        fs::write(&path, &graph).expect("written");
        assert_eq!(parsed(&packages, &path).as_deref(), Ok("flowchart-v2"), "{graph}");
        // The parser would notice.
        fs::write(&path, graph.replacen("\"]", "\"", 1)).expect("written");
        assert!(parsed(&packages, &path).is_err());
    }
}
