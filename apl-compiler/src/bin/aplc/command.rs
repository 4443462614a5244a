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
    /// Write a first policy: from a list of tools, or from an audit log.
    Init(Init),
    /// Print the JSON Schema of a policy, for editors.
    Schema,
    /// Check a policy and say everything there is to say about it.
    Check(Check),
    /// Compile a policy and write the program, the filter's and the companion's configuration.
    Build(Build),
    /// Write complete configuration for Envoy, Istio or Envoy Gateway from what `build` wrote.
    Emit(super::emit::Emit),
    /// Lay policies out: order of keys, indentation, quotes, blank lines. Comments stay.
    Fmt(super::fmt::Fmt),
    /// Rewrite old spellings of a policy; shows the change.
    Migrate(super::fmt::Migrate),
    /// Say what changed in meaning between two policies, the dangerous first.
    Diff(super::diff::Diff),
    /// Show what is in a program, a filter configuration or an Envoy config_dump.
    Inspect(super::inspect::Inspect),
    /// Draw the pipeline of each operation.
    Graph(super::graph::Graph),
    /// Print a digest of each tool's definition, to pin it in a policy.
    Pin(super::pin::Pin),
    /// Sign a program.
    Sign(super::sign::Sign),
    /// Check the signature of a program.
    Verify(super::sign::Verify),
    /// Show a program as readable code.
    Listing(Listing),
    /// Explain a diagnostic code, such as APL0105, or how a policy decides on one request.
    Explain(Explain),
    /// Run the tests beside a policy on the filter's own code.
    Test(Test),
    /// Send a running gateway what its policy must deny, and fail if any of it gets through.
    Probe(super::probe::Probe),
    /// Say why a decision fell as it did, from the companion's audit log.
    Why(super::why::Why),
    /// Run captured decisions (`capture: facts`) through another policy and say what would differ.
    Replay(super::replay::Replay),
}

/// How diagnostics are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// Reports with source lines, to standard error.
    #[value(alias = "human")]
    Text,
    /// A JSON object, to standard output.
    Json,
}

/// `aplc init`.
#[derive(Debug, Args)]
#[command(group(clap::ArgGroup::new("source").required(true)))]
pub(crate) struct Init {
    /// A route for each tool of an answer to MCP's `tools/list`, with what its schema says.
    #[arg(long, value_name = "FILE", group = "source")]
    pub tools: Option<PathBuf>,
    /// A route for each operation in an audit log of the companion.
    #[arg(long, value_name = "FILE", group = "source")]
    pub from_audit: Option<PathBuf>,
    /// The policy to write.
    #[arg(short, long, value_name = "FILE", default_value = "policy.yaml")]
    pub output: PathBuf,
    /// Replace the file if it is there.
    #[arg(long)]
    pub force: bool,
}

/// How `aplc check` writes diagnostics.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum CheckFormat {
    /// Reports with source lines, to standard error.
    #[value(alias = "text")]
    Human,
    /// A JSON object, to standard output.
    Json,
    /// SARIF 2.1.0, to standard output.
    Sarif,
}

/// Where a policy comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum From {
    /// CPEX 0.2.
    #[value(name = "cpex-0.2")]
    Cpex02,
    /// Praxis Policy Engine 0.5.
    #[value(name = "praxis-0.5")]
    Praxis05,
}

/// `aplc check`.
#[derive(Debug, Args)]
pub(crate) struct Check {
    /// The policy.
    pub policy: PathBuf,
    /// How diagnostics are written.
    #[arg(long, value_enum, default_value = "human")]
    pub format: CheckFormat,
    /// Refuse old spellings, and deny rules that an absent attribute switches off.
    #[arg(long)]
    pub strict: bool,
    /// Check routes, arguments and results against these tools: an answer to MCP's `tools/list`.
    #[arg(long, value_name = "FILE")]
    pub tools: Option<PathBuf>,
    /// Say what will differ from where the policy comes from.
    #[arg(long, value_enum, value_name = "WHERE")]
    pub from: Option<From>,
    /// Check what this deployment binds, too.
    #[arg(long, value_name = "FILE")]
    pub deploy: Option<PathBuf>,
    /// What stands in front of `docs/diagnostics.md` in the help URIs of SARIF.
    #[arg(long, value_name = "URI")]
    pub help_base: Option<String>,
    /// Leave out notes.
    #[arg(long)]
    pub no_notes: bool,
}

/// `aplc build`.
#[derive(Debug, Clone, Args)]
pub(crate) struct Build {
    /// The policy.
    pub policy: PathBuf,
    /// The folder for what is written; made if it is not there.
    #[arg(short, long, value_name = "DIR")]
    pub output: PathBuf,
    /// The deployment: what differs between staging and production, bound outside the program.
    #[arg(long, value_name = "FILE")]
    pub deploy: Option<PathBuf>,
    /// How diagnostics and the summary are written.
    #[arg(long, value_enum, default_value = "text")]
    pub format: Format,
    /// Leave the debug section out of the program. The digest stays the same.
    #[arg(long)]
    pub strip: bool,
    /// Another policy that judges the same traffic in shadow: its verdicts are recorded beside those that are enforced.
    /// Give the companion `shadow-companion.json` too.
    #[arg(long, value_name = "POLICY")]
    pub shadow: Option<PathBuf>,
    /// `shadow`: nothing is enforced, whatever the policy says (the break-glass).
    #[arg(long, value_enum, default_value = "enforce")]
    pub enforcement: Enforcement,
    /// Sign the program with this Ed25519 key (PKCS#8 PEM), and have the filter demand its signature.
    #[arg(long, value_name = "PEM")]
    pub sign_key: Option<PathBuf>,
    /// Which traffic speaks what: `/mcp=mcp`, `/mcp=mcp@scope`, `mcp.example.com/mcp=mcp@scope`; may be given more than
    /// once. Default: everything is MCP.
    #[arg(long = "protocol", value_name = "[AUTHORITY]/PATH_PREFIX=PROTOCOL[@SCOPE]")]
    pub protocols: Vec<String>,
    /// How the filter holds request headers until the verdict.
    #[arg(long, value_enum, default_value = "full")]
    pub mode: Mode,
    /// Which plugin of a pair the filter's configuration is for. Default: the decider.
    #[arg(long, value_enum)]
    pub role: Option<Role>,
    /// The Envoy cluster of the companion. Default: the deployment's, or `aplomb-companion`.
    #[arg(long, value_name = "NAME")]
    pub companion_cluster: Option<String>,
    /// `:authority` of calls to the companion. Default: the cluster's name.
    #[arg(long, value_name = "HOST")]
    pub companion_authority: Option<String>,
    /// What stands before `/v1/` in paths of the companion.
    #[arg(long, value_name = "PATH")]
    pub companion_path: Option<String>,
    /// The variable of the proxy's VM that holds the bearer token for the companion.
    #[arg(long, value_name = "NAME")]
    pub companion_token_env: Option<String>,
    /// The variable of the proxy's VM that holds the key of `hash`.
    #[arg(long, value_name = "NAME")]
    pub hash_key_env: Option<String>,
    /// The variable of the proxy's VM that holds the key for session and event ids.
    #[arg(long, value_name = "NAME")]
    pub seal_key_env: Option<String>,
    /// How a denied tool call is answered.
    #[arg(long, value_enum, default_value = "error")]
    pub denial_shape: DenialShape,
    /// Leave out notes.
    #[arg(long)]
    pub no_notes: bool,
}

impl Build {
    /// The companion's cluster.
    pub(crate) fn cluster(&self) -> &str {
        self.companion_cluster.as_deref().unwrap_or("aplomb-companion")
    }

    /// The same with what the deployment says where no flag does.
    pub(crate) fn with(&self, target: &apl_compiler::Target) -> Self {
        let or = |flag: &Option<String>, said: &Option<String>| flag.clone().or_else(|| said.clone());
        Self {
            companion_cluster: or(&self.companion_cluster, &target.companion_cluster),
            companion_authority: or(&self.companion_authority, &target.companion_authority),
            companion_path: or(&self.companion_path, &target.companion_path),
            companion_token_env: or(&self.companion_token_env, &target.companion_token_env),
            hash_key_env: or(&self.hash_key_env, &target.hash_key_env),
            seal_key_env: or(&self.seal_key_env, &target.seal_key_env),
            ..self.clone()
        }
    }
}

/// Whether verdicts count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Enforcement {
    /// They do, but where the policy itself says `shadow`.
    Enforce,
    /// They are recorded only.
    Shadow,
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

/// One of two plugins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Role {
    /// Decides.
    Decider,
    /// Holds headers until the other has decided.
    Holder,
}

/// How a denied tool call is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum DenialShape {
    /// As a JSON-RPC error.
    Error,
    /// As a tool result with `isError`, which the model reads.
    #[value(name = "tool_result", alias = "tool-result")]
    ToolResult,
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
    /// A code (without one, all are listed); with `--request`, the policy.
    pub subject: Option<String>,
    /// List all codes.
    #[arg(long)]
    pub list: bool,
    /// A request in the form of one test, or a JSON-RPC message: how the policy decides on it, step by step.
    #[arg(long, value_name = "FILE")]
    pub request: Option<PathBuf>,
    /// Who calls, where the request does not say: YAML in the form of a test's `identity`.
    #[arg(long, value_name = "FILE", requires = "request")]
    pub identity: Option<PathBuf>,
    /// Show claims, arguments and results, not only their types and lengths.
    #[arg(long, requires = "request")]
    pub show_values: bool,
    /// How the explanation is written.
    #[arg(long, value_enum, default_value = "text")]
    pub format: Format,
}

/// `aplc test`.
#[derive(Debug, Args)]
pub(crate) struct Test {
    /// Test files, policies with a test file beside them, or folders. Default: this folder.
    #[arg(value_name = "FILES or DIR")]
    pub paths: Vec<PathBuf>,
    /// Only tests whose name holds this.
    #[arg(long, value_name = "TEXT")]
    pub filter: Option<String>,
    /// Which rules, conditions and stages the tests reach.
    #[arg(long, value_enum, num_args = 0..=1, require_equals = true, default_missing_value = "table", value_name = "KIND")]
    pub coverage: Option<CoverageKind>,
    /// Where `--coverage=lcov` is written.
    #[arg(long, value_name = "FILE", default_value = "lcov.info")]
    pub coverage_output: PathBuf,
    /// Fail below this percentage of coverage.
    #[arg(long, value_name = "PERCENT", requires = "coverage", value_parser = clap::value_parser!(u8).range(0..=100))]
    pub min_coverage: Option<u8>,
    /// Run again whenever a test file or policy changes.
    #[arg(long)]
    pub watch: bool,
    /// How results are written, to standard output.
    #[arg(long, value_enum, default_value = "human")]
    pub format: TestFormat,
}

/// How coverage is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum CoverageKind {
    /// A table, to standard output (to standard error when results are not for people).
    Table,
    /// An lcov tracefile.
    Lcov,
}

/// How test results are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum TestFormat {
    /// For people.
    Human,
    /// A JSON object.
    Json,
    /// JUnit XML.
    Junit,
}
