//! `aplc explain`.

use apl_compiler::diagnostics::PAGES;

use super::command::Explain;
use super::{End, Fault};

/// Prints the page of a code, or the list of all.
pub(crate) fn run(explain: &Explain) -> Result<End, Fault> {
    if let Some(request) = &explain.request {
        return super::request::run(explain, request);
    }
    let Some(code) = explain.subject.as_ref().filter(|_| !explain.list) else {
        for page in PAGES {
            println!("{}  {}", page.id, page.title);
        }
        return Ok(End::Fine);
    };
    let wanted = code.to_ascii_uppercase();
    let Some(page) = PAGES.iter().find(|page| page.id == wanted) else {
        return Err(Fault::Argument(format!(
            "there is no code `{code}`; `aplc explain` lists them all"
        )));
    };
    println!("{}: {}\n\n{}", page.id, page.title, wrapped(page.text));
    if let Some(example) = page.example() {
        println!("\nWhy: {}", wrapped(example.why));
        println!("\nWrong:\n\n{}", indented(example.wrong));
        println!("\nRight:\n\n{}", indented(example.right));
    }
    Ok(End::Fine)
}

/// Four spaces before each line that is not empty; characters that a terminal would act on are shown as escapes.
fn indented(text: &str) -> String {
    let shown = |ch: char| {
        if ch.is_control() && ch != '\n' {
            ch.escape_default().to_string()
        } else {
            ch.to_string()
        }
    };
    text.trim_end()
        .split('\n')
        .map(|line| {
            let line: String = line.chars().map(shown).collect();
            if line.is_empty() {
                line
            } else {
                format!("    {line}")
            }
        })
        .collect::<Vec<_>>()
        .join("\n")
}

/// Lines of at most 100 characters.
fn wrapped(text: &str) -> String {
    let mut out = String::new();
    let mut width = 0;
    for word in text.split_whitespace() {
        let length = word.chars().count();
        if width > 0 && width + 1 + length > 100 {
            out.push('\n');
            width = 0;
        } else if width > 0 {
            out.push(' ');
            width += 1;
        }
        out.push_str(word);
        width += length;
    }
    out
}
