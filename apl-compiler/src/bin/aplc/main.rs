//! `aplc`: the policy compiler's command line.
//!
//! Exit codes: 0 fine, 1 the policy is at fault, 2 the invocation is.

mod artefacts;
mod build;
mod command;
mod emit;
mod explain;
mod input;
mod summary;

use std::process::ExitCode;

use clap::Parser as _;

use command::{Cli, Command};

/// How a command ended.
enum End {
    /// Fine.
    Fine,
    /// The policy has errors.
    PolicyAtFault,
}

fn main() -> ExitCode {
    // clap itself exits with 2 when the invocation does not parse.
    let cli = Cli::parse();
    let done = match &cli.command {
        Command::Check(check) => input::check(check),
        Command::Build(build) => build::run(build),
        Command::Emit(emit) => emit::run(emit),
        Command::Listing(listing) => input::listing(listing),
        Command::Explain(explain) => explain::run(explain),
    };
    match done {
        Ok(End::Fine) => ExitCode::SUCCESS,
        Ok(End::PolicyAtFault) => ExitCode::from(1),
        Err(fault) => {
            eprintln!("aplc: {fault}");
            ExitCode::from(2)
        }
    }
}

/// Why a command could not be carried out.
#[derive(Debug, thiserror::Error)]
enum Fault {
    /// A file.
    #[error("cannot {doing} `{}`: {cause}", path.display())]
    File {
        /// `read`, `write`, `create`.
        doing: &'static str,
        /// Which.
        path: std::path::PathBuf,
        /// Why.
        cause: std::io::Error,
    },
    /// Not UTF-8.
    #[error("`{}` is not UTF-8 text: the first bad byte is at offset {at}", path.display())]
    NotText {
        /// Which.
        path: std::path::PathBuf,
        /// Where.
        at: usize,
    },
    /// An argument that parses, but means nothing.
    #[error("{0}")]
    Argument(String),
    /// A document that cannot be written as JSON.
    #[error("cannot write JSON: {0}")]
    Json(#[from] serde_json::Error),
}
