//! Each fragment of `docs/language.md` compiles, or is refused with the code that it is marked with; and the page names every stage
//! and every step.

use std::process::Command;

use apl_compiler::vocabulary::json_schema;
use serde_json::Value;

const PAGE: &str = include_str!("../../docs/language.md");

/// Mark and text of each YAML block.
fn blocks() -> Vec<(String, String)> {
    let mut blocks = Vec::new();
    let mut rest = PAGE;
    while let Some((_, after)) = rest.split_once("\n```yaml") {
        let (mark, body) = after.split_once('\n').expect("a line");
        let (text, behind) = body.split_once("```").expect("an end");
        blocks.push((mark.trim().to_owned(), text.to_owned()));
        rest = behind;
    }
    blocks
}

#[test]
fn every_fragment_compiles_or_is_refused_as_marked() {
    let blocks = blocks();
    assert!(blocks.len() > 8, "the page has lost its fragments");
    let folder = tempfile::tempdir().expect("a folder");
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).expect("written");
    write(
        "attributes.yaml",
        "data: { admins: [root], bans: [x], limits: { alice: 10 } }\n",
    );
    let (_, declarations) = &blocks[0];
    for (at, (mark, text)) in blocks.iter().enumerate() {
        let document = if at == 0 {
            text.clone()
        } else {
            format!("{declarations}{text}")
        };
        write("policy.yaml", &document);
        let run = Command::new(env!("CARGO_BIN_EXE_aplc"))
            .args(["check", "--format", "json", "policy.yaml"])
            .current_dir(folder.path())
            .output()
            .expect("aplc");
        let answer: Value = serde_json::from_slice(&run.stdout).expect("JSON");
        let errors: Vec<&str> = answer["diagnostics"]
            .as_array()
            .expect("a list")
            .iter()
            .filter(|one| one["severity"] == "error")
            .filter_map(|one| one["code"].as_str())
            .collect();
        match mark.strip_prefix("refused ") {
            Some(code) => assert!(errors.contains(&code), "{text}\n{errors:?}"),
            None => assert!(errors.is_empty() && mark.is_empty(), "{mark} {text}\n{answer:#}"),
        }
    }
}

/// The stages that the compiler knows, from the description that editors show.
#[test]
fn every_stage_and_step_is_on_the_page() {
    let schema = json_schema().to_string();
    for stage in [
        "required",
        "str",
        "int",
        "bool",
        "float",
        "email",
        "url",
        "uuid",
        "len",
        "enum",
        "regex",
        "mask",
        "redact",
        "omit",
        "hash",
        "taint",
        "run",
        "pii.detect",
        "pii.redact",
        "injection.scan",
    ] {
        assert!(schema.contains(stage), "`{stage}` is no stage any more");
        assert!(
            PAGE.contains(&format!("`{stage}")),
            "`{stage}` is not on the page"
        );
    }
    for kind in apl_bytecode::ElicitKind::ALL {
        assert!(PAGE.contains(&format!("`{}`", kind.verb())), "{}", kind.verb());
    }
    for list in apl_bytecode::ListKind::ALL {
        assert!(PAGE.contains(&format!("`{}`", list.name())), "{}", list.name());
    }
}
