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

mod attribute_files;
mod bindings;
mod deployment;
mod document;
mod glob;
mod input;
mod known;
mod lints;
mod lower;
mod options;
mod source;
mod syntax;
mod tools;

pub mod diagnostics;
pub mod layout;
pub mod outline;
#[doc(hidden)]
pub mod parts;
pub mod vocabulary;
pub mod yaml;

pub use bindings::{Bound, BoundUse, Target};
pub use deployment::{
    ApprovalsUse, BiscuitUse, BoundIdentity, CibaUse, ClientProof, Delegator, Deployment, ElicitorUse,
    IssuerKeys, KeyDirectory, OauthUse, PointUse, RootKey, SecretSource, SignInUse, WebhookUse,
};
pub use diagnostics::{Diagnostic, Severity};
pub use document::{Store, TextSource, Valkey};
pub use input::{File, Files, NoFiles, Policy};
pub use options::{Dialect, Options};
pub use source::{LineColumn, Source, Span};
pub use tools::{Lookup, Tool, Tools, ToolsError, lookup, types};

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

/// Compiles one policy file that names no other.
///
/// `name` is what diagnostics and the debug section call it.
#[must_use]
pub fn compile(name: &str, text: &str) -> Compilation {
    compile_with(name, text, &Options::default())
}

/// Compiles one policy file that names no other, and checks it as the options say.
#[must_use]
pub fn compile_with(name: &str, text: &str, options: &Options) -> Compilation {
    let policy = Policy {
        main: File {
            name: name.to_owned(),
            text: text.to_owned(),
        },
        teams: Vec::new(),
        files: &NoFiles,
    };
    compile_policy_with(&policy, options)
}

/// Compiles a policy and the files that it names.
#[must_use]
pub fn compile_policy(policy: &Policy<'_>) -> Compilation {
    compile_policy_with(policy, &Options::default())
}

/// Compiles a policy and the files that it names, and checks it as the options say.
#[must_use]
pub fn compile_policy_with(policy: &Policy<'_>, options: &Options) -> Compilation {
    let mut sources: Vec<Source> = std::iter::once(&policy.main)
        .chain(&policy.teams)
        .map(|file| Source::new(&*file.name, &*file.text))
        .collect();
    let mut reports = diagnostics::Reports::default();
    let mut secrets = Vec::new();
    let mut unread = Vec::new();
    let output = run(
        policy,
        options,
        &mut sources,
        &mut reports,
        &mut secrets,
        &mut unread,
    );
    for span in secrets {
        if let Some(source) = sources.get_mut(usize::from(span.file)) {
            source.mask(span);
        }
    }
    for file in unread {
        // Without a tree there are only the words to go by.
        if let Some(source) = sources.get_mut(file) {
            yaml::secrets::mask(source);
        }
    }
    Compilation {
        sources,
        diagnostics: reports.finish(),
        output,
    }
}

fn run(
    policy: &Policy<'_>,
    options: &Options,
    sources: &mut Vec<Source>,
    reports: &mut diagnostics::Reports,
    secrets: &mut Vec<Span>,
    unread: &mut Vec<usize>,
) -> Option<Output> {
    let files = sources.len();
    let roots: Vec<Option<yaml::Node>> = sources
        .iter()
        .zip(0_u16..)
        .map(|(source, file)| yaml::load(source, file, reports))
        .collect();
    roots.iter().flatten().for_each(|root| root.secrets(secrets));
    unread.extend(
        roots
            .iter()
            .enumerate()
            .filter(|(_, root)| root.is_none())
            .map(|(file, _)| file),
    );
    let roots: Vec<yaml::Node> = roots.into_iter().collect::<Option<_>>()?;
    let mut roots = roots;
    let (root, teams) = roots.split_first_mut()?;
    let attributes = attribute_files::read(root, policy.files, sources, reports);
    // Behind all others: the program does not know it.
    let files_of_policy = sources.len();
    let deploy = match &options.deploy {
        Some(file) => Some(deploy(file, sources, secrets, unread, reports)?),
        None => None,
    };
    let given = deploy
        .as_ref()
        .and_then(|(node, at)| Some((node, sources.get(*at)?)));
    let bound = bindings::bind(root, given, reports);
    let (root, teams) = (&*root, &*teams);
    let mut document = document::read(root, sources.first()?, reports);
    document.attributes = attributes;
    document::teams(&mut document, teams, sources.get(1..files)?, reports);
    lints::document(&document, root, sources, options, reports);
    if let Some(now) = options.now {
        lower::ended(&document, now, reports);
    }
    let (program, mut deployment) = lower::lower(&document, sources.get(..files_of_policy)?, reports);
    deployment.bound = bound;
    if options.strict {
        reports.refuse(&[diagnostics::Code::OldSpelling, diagnostics::Code::MayBeAbsent]);
    }
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

/// Reads the deployment's file; its place among the sources comes with it.
fn deploy(
    file: &File,
    sources: &mut Vec<Source>,
    secrets: &mut Vec<Span>,
    unread: &mut Vec<usize>,
    reports: &mut diagnostics::Reports,
) -> Option<(yaml::Node, usize)> {
    let at = sources.len();
    let source = Source::new(&*file.name, &*file.text);
    let node = yaml::load(&source, u16::try_from(at).ok()?, reports);
    sources.push(source);
    match node {
        Some(node) => {
            node.secrets(secrets);
            Some((node, at))
        }
        None => {
            unread.push(at);
            None
        }
    }
}
