//! APL text to verified bytecode.
//!
//! ```text
//! text ── yaml ──▶ tree with spans ── document ──▶ sections, plugins, routes ── lower ──▶ Program ── verify ──▶ bytes
//!                                        └─ syntax: rules, predicates, pipelines, effects
//! ```
//!
//! Every stage reports through the one table of diagnostics in [`diagnostics`], goes on as far as it can, and draws its
//! words from the one [`vocabulary`]. A policy compiles if nothing of severity error was reported; then its program is
//! verified here too, so that what `aplc` writes always loads.

#![forbid(unsafe_code)]

mod deployment;
mod document;
mod glob;
mod lints;
mod lower;
mod source;
mod syntax;

pub mod diagnostics;
pub mod layout;
pub mod outline;
pub mod vocabulary;
pub mod yaml;

pub use deployment::{Delegator, Deployment, IssuerKeys, SecretSource};
pub use diagnostics::{Diagnostic, Severity};
pub use document::Store;
pub use source::{LineColumn, Source, Span};

use apl_bytecode::VerifiedProgram;

/// What came of compiling a policy.
#[derive(Debug)]
pub struct Compilation {
    /// The sources, for rendering diagnostics. Secrets in them are masked, because reports end up in CI logs.
    pub sources: Vec<Source>,
    /// Everything there is to say, by place.
    pub diagnostics: Vec<Diagnostic>,
    /// The program and what it needs; absent if something of severity error was reported.
    pub output: Option<Output>,
}

/// A compiled policy.
#[derive(Debug)]
pub struct Output {
    /// The program, verified.
    pub program: VerifiedProgram,
    /// What the companion is to be told.
    pub deployment: Deployment,
}

/// Compiles one policy file.
///
/// `name` is what diagnostics and the debug section call it.
#[must_use]
pub fn compile(name: &str, text: &str) -> Compilation {
    let mut source = Source::new(name, text);
    let mut reports = diagnostics::Reports::default();
    let mut secrets = Vec::new();
    let output = run(&source, &mut reports, &mut secrets);
    for span in secrets {
        source.mask(span);
    }
    Compilation {
        sources: vec![source],
        diagnostics: reports.finish(),
        output,
    }
}

fn run(source: &Source, reports: &mut diagnostics::Reports, secrets: &mut Vec<Span>) -> Option<Output> {
    let root = yaml::load(source, 0, reports)?;
    root.secrets(secrets);
    let document = document::read(&root, source, reports);
    let (program, deployment) = lower::lower(&document, source, reports);
    if reports.failed() {
        return None;
    }
    match apl_bytecode::verify(program) {
        Ok(program) => Some(Output { program, deployment }),
        Err(fault) => {
            // The verifier's limits are the only ones a valid policy can meet.
            let diagnostic = diagnostics::error(
                diagnostics::Code::Limit,
                root.span,
                format!("the program is refused: {fault}"),
            );
            reports.push(diagnostic.help("split the policy, or shorten the part that the message names"));
            None
        }
    }
}
