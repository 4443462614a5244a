//! The blocks of `docs/testing-policies.md` do what the page says.

use std::fs;
use std::path::Path;
use std::process::Command;

/// Fenced blocks: what stands behind the fence, and the text.
fn blocks() -> Vec<(String, String)> {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/testing-policies.md");
    let page = fs::read_to_string(page).expect("the page");
    let mut blocks: Vec<(String, String)> = Vec::new();
    let mut inside = false;
    for line in page.lines() {
        match (line.strip_prefix("```"), inside) {
            (Some(_), true) => inside = false,
            (Some(mark), false) => {
                blocks.push((mark.to_owned(), String::new()));
                inside = true;
            }
            (None, true) => {
                let text = &mut blocks.last_mut().expect("begun").1;
                text.push_str(line);
                text.push('\n');
            }
            (None, false) => {}
        }
    }
    assert!(!inside, "a block does not end");
    blocks
}

#[test]
fn every_block_does_what_the_page_says() {
    let folder = tempfile::tempdir().expect("a folder");
    let aplc = |arguments: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_aplc"))
            .args(arguments)
            .current_dir(folder.path())
            .output()
            .expect("runs");
        let out = String::from_utf8(output.stdout).expect("text")
            + &String::from_utf8(output.stderr).expect("text");
        (output.status.code(), out)
    };
    let mut said = String::new();
    let mut ran = 0;
    for (mark, text) in blocks() {
        match mark.as_str() {
            "" => {}
            "yaml policy" => fs::write(folder.path().join("policy.yaml"), text).expect("written"),
            "yaml test" | "yaml test fails" => {
                // Without `policy:` the file's name says which; every block of the page means the page's.
                let text = if text.starts_with("policy:") {
                    text
                } else {
                    format!("{text}policy: policy.yaml\n")
                };
                fs::write(folder.path().join("page.test.yaml"), &text).expect("written");
                let (code, out) = aplc(&["test", "page.test.yaml"]);
                let wanted = if mark == "yaml test" { 0 } else { 1 };
                assert_eq!(code, Some(wanted), "{text}\n{out}");
                said = out;
                ran += 1;
            }
            "yaml request" => {
                fs::write(folder.path().join("request.yaml"), &text).expect("written");
                let (code, out) = aplc(&["explain", "policy.yaml", "--request", "request.yaml"]);
                assert_eq!(code, Some(0), "{out}");
                said = out;
                ran += 1;
            }
            "text" => {
                for line in text.lines() {
                    assert!(said.contains(line.trim()), "the page says {line:?}\n{said}");
                }
            }
            other => panic!("a block is marked `{other}`, which means nothing"),
        }
    }
    assert_eq!(ran, 5, "the page has lost blocks");
}
