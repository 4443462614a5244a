//! `aplomb-companion`: the command line.

#[path = "main/audit.rs"]
mod audit;
#[path = "main/pins.rs"]
mod pins;
#[path = "main/sessions.rs"]
mod sessions;

use std::io::Write;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use aplomb_companion::config::Secret;
use aplomb_companion::listen::TlsFiles;
use aplomb_companion::otlp::OtlpOptions;
use aplomb_companion::outbound::{Egress, EgressRule};
use aplomb_companion::serve::{Companion, LifetimeOverrides, Options, Reload, ServeError, StoreChoice};
use aplomb_companion::store::Address;
use clap::{Parser, Subcommand};
use companion_protocol::config::ValkeyConfig;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Mutex;
use tracing_subscriber::EnvFilter;

/// Token and state service beside the Aplomb filter.
#[derive(Parser)]
#[command(name = "aplomb-companion", version, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Answers the filter until SIGTERM or SIGINT.
    Serve(Box<Serve>),
    /// Shows, removes or imports the labels of sessions, in a running companion or in its data directory.
    #[command(subcommand)]
    Sessions(sessions::Sessions),
    /// Shows or removes marks of pinned tools whose definition changed.
    #[command(subcommand)]
    Pins(pins::Pins),
    /// Checks or counts the records of an audit log.
    #[command(subcommand)]
    Audit(audit::Audit),
}

#[derive(clap::Args)]
struct Serve {
    /// A companion.json that `aplc build` wrote; repeat it to hold several policies at once.
    #[arg(long, value_name = "FILE", required = true)]
    config: Vec<PathBuf>,
    /// Address and port; port 0 picks a free one. Anything but loopback needs --token-env.
    #[arg(long, value_name = "IP:PORT", default_value = "127.0.0.1:9470")]
    listen: SocketAddr,
    /// Where session labels are kept.
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// The audit log, one JSON record a line [default: audit.jsonl in the data directory].
    #[arg(long, value_name = "FILE")]
    audit: Option<PathBuf>,
    /// An Ed25519 private key (PKCS#8 PEM) that signs checkpoints of the audit log.
    #[arg(long, value_name = "FILE")]
    audit_key: Option<PathBuf>,
    /// Seal a file of the audit log when it has this many bytes [default: 256 MiB].
    #[arg(long, value_name = "BYTES")]
    audit_segment_bytes: Option<u64>,
    /// Delete sealed files of the audit log that are older than this many days [default: none].
    #[arg(long, value_name = "DAYS", value_parser = clap::value_parser!(u32).range(1..))]
    audit_keep: Option<u32>,
    /// The environment variable with a key of at least 16 bytes: people stand in the audit log under pseudonyms.
    #[arg(long, value_name = "NAME")]
    audit_pseudonyms_env: Option<String>,
    /// PEM of the X25519 public key that what policies captured (`capture: facts`) is encrypted to.
    #[arg(long, value_name = "FILE")]
    capture_key: Option<PathBuf>,
    /// The environment variable that holds the bearer token which callers must send.
    #[arg(long, value_name = "NAME")]
    token_env: Option<String>,
    /// A file of bearer tokens that callers may send, one a line: while a token is replaced, the old one and the new one.
    /// SIGHUP reads it again.
    #[arg(long, value_name = "FILE", conflicts_with = "token_env")]
    token_file: Option<PathBuf>,
    /// Where labels live: `embedded`, or a Valkey or Redis server as HOST:PORT or rediss://HOST:PORT [default: as the policies say].
    #[arg(long, value_name = "STORE")]
    store: Option<String>,
    /// The ACL user at the store.
    #[arg(long, value_name = "NAME", requires = "store")]
    store_user: Option<String>,
    /// The environment variable that holds the store's password.
    #[arg(long, value_name = "NAME", requires = "store")]
    store_password_env: Option<String>,
    /// PEM file of the authority that signed the store's certificate [default: the system's roots].
    #[arg(long, value_name = "FILE", requires = "store")]
    store_ca: Option<PathBuf>,
    /// Replicas that must have an append on disk before it is acknowledged.
    #[arg(long, value_name = "N", requires = "store", default_value_t = 1)]
    store_replicas: u32,
    /// Seconds without use after which a session's labels end, 0: never [default: as each policy says, or 24 hours].
    #[arg(long, value_name = "SECONDS")]
    session_idle: Option<u64>,
    /// Seconds after which a session's label ends, used or not, 0: never [default: as each policy says, or 7 days].
    #[arg(long, value_name = "SECONDS")]
    session_max: Option<u64>,
    /// Seconds after which a subject's label ends whose rule gives no ttl, 0: never [default: as each policy says, or never].
    #[arg(long, value_name = "SECONDS")]
    subject_ttl: Option<u64>,
    /// The approval pages: a JSON file with what `approvals` is in companion.json [default: as the policies say].
    #[arg(long, value_name = "FILE")]
    approvals: Option<PathBuf>,
    /// Address and port of the approval pages, so that browsers need not reach the rest [default: where --listen says].
    #[arg(long, value_name = "IP:PORT")]
    approvals_listen: Option<SocketAddr>,
    /// Print a one-time link for every approval that is asked for. For demonstrations: whoever reads it can answer.
    #[arg(long)]
    demo_links: bool,
    /// What may be called beside public addresses: `loopback`, `private`, or a network as 10.1.0.0/16; repeat it for more.
    #[arg(long, value_name = "RANGE")]
    egress_allow: Vec<EgressRule>,
    /// PEM of the certificate that callers see; they then come by TLS only.
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    tls_cert: Option<PathBuf>,
    /// PEM of its private key.
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    tls_key: Option<PathBuf>,
    /// PEM of the authorities of callers' certificates; callers without one are not let in.
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    client_ca: Option<PathBuf>,
    /// Requests a second that one caller may send [default: any number].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    rate_limit: Option<u32>,
    /// After SIGTERM, seconds in which it still answers while `/readyz` says 503 and every answer closes its connection, so that
    /// callers go over to other companions.
    #[arg(long, value_name = "SECONDS", default_value_t = 0)]
    drain: u16,
    /// URL of an OpenTelemetry collector (OTLP over HTTP), as https://collector.example:4318: it gets copies of audit records and
    /// spans of calls.
    #[arg(long, value_name = "URL")]
    otlp: Option<String>,
    /// What the collector gets: logs, traces or both.
    #[arg(
        long,
        value_name = "SIGNALS",
        value_delimiter = ',',
        default_value = "logs,traces",
        requires = "otlp"
    )]
    otlp_send: Vec<Signal>,
    /// Environment variable with the collector's bearer token.
    #[arg(long, value_name = "NAME", requires = "otlp")]
    otlp_token_env: Option<String>,
    /// Plain HTTP to a collector on another host.
    #[arg(long, requires = "otlp")]
    otlp_allow_plain: bool,
}

/// What a collector takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Signal {
    /// Audit records.
    Logs,
    /// Spans.
    Traces,
}

impl Serve {
    fn options(self) -> Result<Options, Box<dyn std::error::Error>> {
        let store = self.store_choice()?;
        Ok(Options {
            store,
            configs: self.config,
            listen: self.listen,
            data: self.data,
            audit: self.audit,
            audit_key: self.audit_key,
            audit_segment_bytes: self.audit_segment_bytes,
            audit_keep: self
                .audit_keep
                .map(|days| Duration::from_secs(u64::from(days) * 86_400)),
            audit_pseudonyms_env: self.audit_pseudonyms_env,
            capture_key: self.capture_key,
            token_env: self.token_env,
            token_file: self.token_file,
            lifetimes: LifetimeOverrides {
                session_idle_s: self.session_idle,
                session_max_s: self.session_max,
                subject_s: self.subject_ttl,
            },
            approvals: self.approvals,
            approvals_listen: self.approvals_listen,
            demo_links: self.demo_links,
            egress: Egress::new(self.egress_allow),
            tls: self
                .tls_cert
                .zip(self.tls_key)
                .map(|(certificate, key)| TlsFiles {
                    certificate,
                    key,
                    client_authority: self.client_ca,
                }),
            rate_limit: self.rate_limit,
            drain: Duration::from_secs(self.drain.into()),
            otlp: self.otlp.map(|endpoint| OtlpOptions {
                endpoint,
                token_env: self.otlp_token_env,
                logs: self.otlp_send.contains(&Signal::Logs),
                traces: self.otlp_send.contains(&Signal::Traces),
                allow_plain: self.otlp_allow_plain,
            }),
        })
    }

    fn store_choice(&self) -> Result<Option<StoreChoice>, Box<dyn std::error::Error>> {
        let endpoint = match self.store.as_deref() {
            None => return Ok(None),
            Some("embedded") => return Ok(Some(StoreChoice::Embedded)),
            Some(endpoint) => endpoint,
        };
        let mut config = ValkeyConfig::at(endpoint);
        config.username = self.store_user.clone();
        config.replicas = self.store_replicas;
        let password = match &self.store_password_env {
            None => None,
            Some(name) => match std::env::var(name) {
                Ok(text) if !text.is_empty() => Some(Secret::new(text)),
                Ok(_) | Err(_) => {
                    return Err(
                        format!("`--store-password-env` names `{name}`, which is not set or empty").into(),
                    );
                }
            },
        };
        let ca = self.store_ca.as_ref().map(std::fs::read).transpose()?;
        let address = Address::new(&config, password.as_ref(), ca)?;
        Ok(Some(StoreChoice::Valkey(Box::new(address))))
    }
}

fn main() -> ExitCode {
    tracing_subscriber::fmt()
        .json()
        .with_writer(std::io::stderr)
        .with_env_filter(EnvFilter::try_from_env("APLOMB_LOG").unwrap_or_else(|_| EnvFilter::new("info")))
        .init();
    match run(Cli::parse().command) {
        Ok(code) => code,
        Err(error) => {
            let mut text = format!("error: {error}");
            let mut source = std::error::Error::source(&*error);
            while let Some(cause) = source {
                text.push_str(&format!("\n  because {cause}"));
                source = cause.source();
            }
            let _ = writeln!(std::io::stderr(), "{text}");
            // The invocation is at fault, not a policy.
            ExitCode::from(2)
        }
    }
}

fn run(command: Command) -> Result<ExitCode, Box<dyn std::error::Error>> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        match command {
            Command::Serve(asked) => serve(&asked.options()?).await?,
            Command::Sessions(asked) => return sessions::run(asked).await,
            Command::Pins(asked) => pins::run(asked).await?,
            Command::Audit(asked) => return audit::run(asked),
        }
        Ok(ExitCode::SUCCESS)
    })
}

async fn serve(options: &Options) -> Result<(), Box<dyn std::error::Error>> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let companion = Companion::start(options).await?;
    // Whoever starts it with port 0 reads the address here.
    writeln!(
        std::io::stdout(),
        "aplomb-companion listens on {}://{}",
        if options.tls.is_some() { "https" } else { "http" },
        companion.address()
    )?;
    if let Some(address) = companion.pages_address() {
        // Whoever reads the first line only may be gone by now.
        let _ = writeln!(std::io::stdout(), "approval pages listen on http://{address}");
    }
    let stop = async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    };
    let hang_up = Arc::new(Mutex::new(signal(SignalKind::hangup())?));
    let reload = move || -> Reload {
        let hang_up = Arc::clone(&hang_up);
        Box::pin(async move {
            if hang_up.lock().await.recv().await.is_none() {
                std::future::pending::<()>().await;
            }
        })
    };
    companion
        .run(stop, reload)
        .await
        .map_err(|error: ServeError| error.into())
}
