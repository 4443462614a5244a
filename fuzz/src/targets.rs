//! One function a target. It panics if what it must hold of every input does not hold.
//!
//! This file is compiled twice: into the targets, and into `apl-compiler/tests/corpora.rs`, which replays the corpora.

#[path = "targets/effects.rs"]
mod decoded;
#[path = "targets/generate.rs"]
mod generate;
#[path = "targets/run.rs"]
mod run;

use apl_bytecode::{decode, encode, verify};
use apl_compiler::{Diagnostic, compile, parts};
use apl_vm::Prepared;
use sha2::{Digest as _, Sha256};

/// YAML: a tree or a reason, and every reason points into the text.
pub fn yaml(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let (tree, said) = parts::yaml(text);
    let errors = said
        .iter()
        .any(|said| said.severity == apl_compiler::Severity::Error);
    assert!(tree || errors, "no tree and no reason");
    points_into(text, &said);
    let compilation = compile("policy.yaml", text);
    points_into(text, &compilation.diagnostics);
    for said in &compilation.diagnostics {
        let report = apl_compiler::diagnostics::to_report(said, &compilation.sources);
        assert!(!format!("{report:?}").is_empty());
    }
}

/// A predicate: it parses or there is a reason; what parses compiles or is refused with a reason.
pub fn predicate(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    match parts::predicate(text) {
        Ok(()) => in_policy(&format!(
            "pre_invocation:\n      - {}",
            quoted(&format!("{text}: deny"))
        )),
        Err(faults) => refused(text, &faults),
    }
}

/// A field pipeline, likewise.
pub fn pipeline(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    match parts::pipeline(text) {
        Ok(()) => in_policy(&format!("args:\n      field: {}", quoted(text))),
        Err(faults) => refused(text, &faults),
    }
}

/// The loader: a program, or refused; a program is written as it was read, and what verifies can be prepared or not, but
/// never does it panic.
pub fn loader(data: &[u8]) {
    assert!(Prepared::load(data).is_err() || data.starts_with(b"APLB"));
    let bytes = sealed(data);
    let Ok(program) = decode(&bytes) else { return };
    let again = encode(&program);
    // Ancillary sections that this reader does not know are skipped.
    let semantic = |bytes: &[u8]| bytes.get(5..37).map(<[u8]>::to_vec);
    assert_eq!(
        semantic(&again),
        semantic(&bytes),
        "a program is written as it was read"
    );
    // Compared as bytes: a program may hold a NaN.
    let twice = decode(&again).map(|program| encode(&program));
    assert_eq!(twice.as_ref(), Ok(&again));
    if let Ok(verified) = verify(program) {
        assert!(!apl_bytecode::listing(verified.program()).is_empty());
        let _ = Prepared::new(verified);
    }
}

/// The machine: every program that is prepared runs to an end within its fuel, on any facts and documents.
pub fn vm(data: &[u8]) {
    let Some((mode, rest)) = data.split_first() else {
        return;
    };
    if *mode == 0 {
        if let Ok(program) = Prepared::load(&sealed(rest)) {
            run::everything(&program, &mut generate::Bytes::new(&[]));
        }
    } else {
        let mut bytes = generate::Bytes::new(rest);
        if let Some(program) = generate::program(&mut bytes) {
            run::everything(&program, &mut bytes);
        }
    }
}

/// The companion's protocol, both ways: what is read is written back as it was understood.
pub fn effects(data: &[u8]) {
    decoded::request(data);
    decoded::response(data);
}

/// Sections behind the header that belongs to them, so that an input need not find a hash.
fn sealed(sections: &[u8]) -> Vec<u8> {
    let mut bytes = [&apl_bytecode::MAGIC[..], &[apl_bytecode::FORMAT]].concat();
    let mut hash = Sha256::new();
    hash.update(&bytes);
    // The digest covers what stands before the first ancillary section; inputs with one are for `decode` to judge.
    hash.update(sections);
    bytes.extend_from_slice(&hash.finalize());
    bytes.extend_from_slice(sections);
    bytes
}

fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

fn in_policy(section: &str) {
    let text = format!("routes:\n  - tool: t\n    {section}\n");
    let compilation = compile("policy.yaml", &text);
    let errors = compilation
        .diagnostics
        .iter()
        .any(|said| said.severity == apl_compiler::Severity::Error);
    assert_eq!(compilation.output.is_none(), errors, "a program or a reason");
    points_into(&text, &compilation.diagnostics);
}

fn refused(text: &str, faults: &[Diagnostic]) {
    assert!(!faults.is_empty(), "refused without a reason");
    points_into(text, faults);
}

fn points_into(text: &str, said: &[Diagnostic]) {
    for said in said {
        let (start, end) = (said.span.start as usize, said.span.end as usize);
        assert!(
            text.get(start..end).is_some(),
            "`{}` points to {start}..{end}, which is no piece of the text",
            said.message
        );
    }
}
