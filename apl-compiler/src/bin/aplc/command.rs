//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

/// Compiles APL policies for Envoy and Istio.
#[derive(Debug, Parser)]
#[command(name = "aplc", version, about, arg_required_else_help = true)]
pub(crate) struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Check a policy and say everything there is to say about it.
    Check(Check),
    /// Compile a policy and write the program, the filter's and the companion's configuration.
    Build(Build),
    /// Write complete configuration for Envoy, Istio or Envoy Gateway from what `build` wrote.
    Emit(super::emit::Emit),
    /// Show a program as readable code.
    Listing(Listing),
    /// Explain a diagnostic code, such as APL0105.
    Explain(Explain),
}

/// How diagnostics are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// Reports with source lines, to standard error.
    Text,
    /// A JSON object, to standard output.
    Json,
}

/// `aplc check`.
#[derive(Debug, Args)]
pub(crate) struct Check {
    /// The policy.
    pub policy: PathBuf,
    /// How diagnostics are written.
    #[arg(long, value_enum, default_value = "text")]
    pub format: Format,
    /// Leave out notes.
    #[arg(long)]
    pub no_notes: bool,
}

/// `aplc build`.
#[derive(Debug, Args)]
pub(crate) struct Build {
    /// The policy.
    pub policy: PathBuf,
    /// The folder for what is written; made if it is not there.
    #[arg(short, long, value_name = "DIR")]
    pub output: PathBuf,
    /// How diagnostics and the summary are written.
    #[arg(long, value_enum, default_value = "text")]
    pub format: Format,
    /// Leave the debug section out of the program. The digest stays the same.
    #[arg(long)]
    pub strip: bool,
    /// Which traffic speaks what: `/mcp=mcp`, `/mcp=mcp@scope`; may be given more than once. Default: everything is MCP.
    #[arg(long = "protocol", value_name = "PATH_PREFIX=PROTOCOL[@SCOPE]")]
    pub protocols: Vec<String>,
    /// How the filter holds request headers until the verdict.
    #[arg(long, value_enum, default_value = "full")]
    pub mode: Mode,
    /// The Envoy cluster of the companion.
    #[arg(long, value_name = "NAME", default_value = "aplomb-companion")]
    pub companion_cluster: String,
    /// Leave out notes.
    #[arg(long)]
    pub no_notes: bool,
}

/// How the filter holds request headers until the verdict.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Mode {
    /// One plugin, with Envoy's `allow_on_headers_stop_iteration`.
    Full,
    /// Two plugins of the one module, for Istio's WasmPlugin.
    Paired,
    /// Headers are not held; policies that need it are refused by the filter.
    Single,
}

/// `aplc listing`.
#[derive(Debug, Args)]
pub(crate) struct Listing {
    /// A program (`.aplb`) or a policy.
    pub file: PathBuf,
}

/// `aplc explain`.
#[derive(Debug, Args)]
pub(crate) struct Explain {
    /// The code; without one, all are listed.
    pub code: Option<String>,
}
