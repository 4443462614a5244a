//! `aplc`: the policy compiler's command line.
//!
//! Exit codes: 0 fine, 1 the policy is at fault, 2 the invocation is.

mod artefacts;
mod build;
mod case;
mod check;
mod command;
mod coverage;
mod diff;
mod emit;
mod explain;
mod fmt;
mod graph;
mod init;
mod input;
mod inspect;
mod outline_json;
mod output;
mod pin;
mod place;
mod probe;
mod proxy;
mod replay;
mod request;
mod schema;
mod shared;
mod sign;
mod summary;
mod test;
mod why;

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
    std::panic::set_hook(output::hook(std::panic::take_hook()));
    // clap itself exits with 2 when the invocation does not parse.
    let cli = Cli::parse();
    let done = match &cli.command {
        Command::Init(init) => init::run(init),
        Command::Schema => schema::run(),
        Command::Check(check) => check::run(check),
        Command::Build(build) => build::run(build),
        Command::Emit(emit) => emit::run(emit),
        Command::Listing(listing) => input::listing(listing),
        Command::Diff(diff) => diff::run(diff),
        Command::Inspect(inspect) => inspect::run(inspect),
        Command::Fmt(fmt) => fmt::fmt(fmt),
        Command::Migrate(migrate) => fmt::migrate(migrate),
        Command::Graph(graph) => graph::run(graph),
        Command::Pin(pin) => pin::run(pin),
        Command::Sign(sign) => sign::sign(sign),
        Command::Verify(verify) => sign::verify(verify),
        Command::Explain(explain) => explain::run(explain),
        Command::Test(test) => test::run(test),
        Command::Probe(probe) => probe::run(probe),
        Command::Why(why) => why::run(why),
        Command::Replay(asked) => replay::run(asked),
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
    #[error("`{}` is not UTF-8 text: the first bad byte is at line {line}, column {column} (offset {at})", path.display())]
    NotText {
        /// Which.
        path: std::path::PathBuf,
        /// Where, in bytes.
        at: usize,
        /// From 1.
        line: usize,
        /// From 1, in characters.
        column: usize,
    },
    /// An argument that parses, but means nothing.
    #[error("{0}")]
    Argument(String),
    /// A document that cannot be written as JSON.
    #[error("cannot write JSON: {0}")]
    Json(#[from] serde_json::Error),
}
