//! Each example of `docs/language-today.md` compiles, or is refused with the code that it is marked with.

use serde_json::Value;

/// A fenced block: what stands behind `yaml`, its first line in the page, its text.
struct Example {
    mark: String,
    line: usize,
    text: String,
}

fn examples() -> Vec<Example> {
    examples_of("docs/language-today.md", 9)
}

/// A page's examples; it must have so many at least.
fn examples_of(page: &str, least: usize) -> Vec<Example> {
    let mut examples: Vec<Example> = Vec::new();
    let mut inside = false;
    for (at, line) in super::text(page).lines().enumerate() {
        match line.strip_prefix("```") {
            Some(_) if inside => inside = false,
            Some(fence) => {
                let mark = fence.strip_prefix("yaml").expect("only YAML on this page").trim();
                inside = true;
                examples.push(Example {
                    mark: mark.to_owned(),
                    line: at + 1,
                    text: String::new(),
                });
            }
            None if inside => {
                let example = examples.last_mut().expect("begun");
                example.text.push_str(line);
                example.text.push('\n');
            }
            None => {}
        }
    }
    assert!(
        !inside && examples.len() >= least,
        "the page has lost its examples"
    );
    examples
}

/// A folder with the attribute file that the page's declarations name.
fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    let attributes = "data: { bans: { mallory: true }, admins: [root], limits: { alice: 10 } }\n";
    std::fs::write(folder.path().join("attributes.yaml"), attributes).expect("written");
    folder
}

#[test]
fn every_example_compiles_or_is_refused_as_marked() {
    let folder = folder();
    let examples = examples();
    let declarations = &examples[0].text;
    for Example { mark, line, text } in &examples {
        let document = if *line == examples[0].line {
            text.clone()
        } else {
            format!("{declarations}{text}")
        };
        std::fs::write(folder.path().join("example.yaml"), document).expect("written");
        let (fine, printed) = super::aplc(&["check", "--format", "json", "example.yaml"], folder.path());
        let answer: Value = serde_json::from_str(&printed).expect("JSON");
        let has = |code: &str, severities: &[&str]| {
            answer["diagnostics"].as_array().is_some_and(|list| {
                list.iter().any(|diagnostic| {
                    diagnostic["code"] == code
                        && severities
                            .iter()
                            .any(|severity| diagnostic["severity"] == *severity)
                })
            })
        };
        let place = format!("docs/language-today.md:{line} ({mark}):\n{printed}");
        match mark.split_once(' ') {
            None => {
                assert_eq!(mark, "", "{place}");
                assert!(fine, "{place}");
                let quiet = answer["diagnostics"]
                    .as_array()
                    .is_some_and(|list| list.iter().all(|diagnostic| diagnostic["code"] == "APL0306"));
                assert!(quiet, "an example that should be plain says something: {place}");
            }
            Some(("noted", code)) => {
                assert!(fine && has(code, &["note", "warning"]), "{place}");
            }
            Some(("refused", code)) => {
                assert!(!fine && has(code, &["error"]), "{place}");
            }
            Some(_) => panic!("an unknown mark: {place}"),
        }
    }
}

#[test]
fn examples_of_other_protocols_compile() {
    let folder = folder();
    let declarations = &examples()[0].text;
    for Example { line, text, .. } in examples_of("docs/protocols.md", 3) {
        std::fs::write(
            folder.path().join("example.yaml"),
            format!("{declarations}{text}"),
        )
        .expect("written");
        let (fine, printed) = super::aplc(&["check", "--format", "json", "example.yaml"], folder.path());
        let answer: Value = serde_json::from_str(&printed).expect("JSON");
        let quiet = answer["diagnostics"]
            .as_array()
            .is_some_and(|list| list.iter().all(|diagnostic| diagnostic["code"] == "APL0306"));
        assert!(fine && quiet, "docs/protocols.md:{line}:\n{printed}");
    }
}

/// Every step and kind that the page calls missing really is, and what it does not name is there.
#[test]
fn what_the_page_calls_missing_is_missing() {
    let folder = folder();
    let declarations = examples().remove(0).text;
    let check = |text: &str| {
        std::fs::write(folder.path().join("one.yaml"), format!("{declarations}{text}")).expect("written");
        super::aplc(&["check", "--format", "json", "one.yaml"], folder.path())
    };
    for kind in ["delegator/vault", "quota/limitador"] {
        std::fs::write(
            folder.path().join("kind.yaml"),
            format!("plugins:\n  - name: x\n    kind: {kind}\nroutes:\n  - tool: a\n    pre_invocation: [\"run(x)\"]\n"),
        )
        .expect("written");
        let (fine, printed) = super::aplc(&["check", "--format", "json", "kind.yaml"], folder.path());
        assert!(!fine && printed.contains("APL0110"), "{kind}: {printed}");
    }
    let (fine, printed) = check("routes:\n  - tool: a\n    when: \"role.hr\"\n");
    assert!(!fine && printed.contains("APL0110"), "{printed}");
}
