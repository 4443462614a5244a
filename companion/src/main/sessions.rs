//! `aplomb-companion sessions show|clear|import`.

mod import;

use std::error::Error;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use aplomb_companion::admin::{
    Admin, CLEAR_PATH, ClearRequest, Door, IMPORT_PATH, ImportRequest, Imported, SHOW_PATH,
};
use aplomb_companion::audit::{AuditLog, AuditOptions};
use aplomb_companion::metrics::Metrics;
use aplomb_companion::store::{Bucket, Cleared, EmbeddedStore, OpenError, Selection};
use clap::{Args, Subcommand, ValueEnum};

#[derive(Subcommand)]
pub(crate) enum Sessions {
    /// Prints the labels of a subject and its sessions.
    Show {
        #[command(flatten)]
        which: Which,
    },
    /// Removes labels. The reason goes to the audit log before they go.
    Clear {
        #[command(flatten)]
        which: Which,
        #[command(flatten)]
        why: Why,
    },
    /// Takes over the labels that CPEX or praxis 0.5 wrote to a Valkey server. The source is only read.
    Import(Box<import::Import>),
}

/// Where labels and evidence are.
#[derive(Args)]
pub(crate) struct Place {
    /// The companion's data directory, whether it runs or not.
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// The audit log, if the companion was started with another one than audit.jsonl in the data directory.
    #[arg(long, value_name = "FILE")]
    audit: Option<PathBuf>,
}

/// What is recorded of a change.
#[derive(Args)]
pub(crate) struct Why {
    /// Why; stands in the audit log.
    #[arg(long, value_name = "TEXT")]
    pub(crate) reason: String,
    /// Who asks; stands in the audit log.
    #[arg(long, value_name = "NAME", env = "USER", default_value = "unknown")]
    pub(crate) operator: String,
}

#[derive(Args)]
pub(crate) struct Which {
    #[command(flatten)]
    place: Place,
    /// The subject's SHA-256 digest, 64 lower-case hex digits.
    #[arg(long, value_name = "HEX")]
    subject: String,
    /// One session's digest, as it stands in the audit log [default: all sessions and the subject's own labels].
    #[arg(long, value_name = "HEX")]
    session: Option<String>,
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

#[derive(Clone, Copy, ValueEnum)]
enum Format {
    Text,
    Json,
}

/// Who performs it.
enum Performer {
    Running(Door),
    // Boxed: an open store is large beside a door.
    Here(Box<Admin>),
}

pub(crate) type Outcome<T> = Result<T, Box<dyn Error>>;

pub(crate) async fn run(command: Sessions) -> Outcome<ExitCode> {
    match command {
        Sessions::Show { which } => show(&which).await?,
        Sessions::Clear { which, why } => clear(&which, why).await?,
        Sessions::Import(asked) => return import::run(*asked).await,
    }
    Ok(ExitCode::SUCCESS)
}

impl Which {
    fn selection(&self) -> Selection {
        Selection {
            subject: self.subject.clone(),
            session: self.session.clone(),
        }
    }
}

impl Place {
    pub(crate) async fn show(&self, selection: &Selection) -> Outcome<Vec<Bucket>> {
        Ok(match performer(&self.data, self.audit.as_deref())? {
            Performer::Running(door) => door.ask(SHOW_PATH, selection).await?,
            Performer::Here(admin) => admin.show(selection).await?,
        })
    }

    pub(crate) async fn clear(&self, asked: &ClearRequest) -> Outcome<Cleared> {
        Ok(match performer(&self.data, self.audit.as_deref())? {
            Performer::Running(door) => door.ask(CLEAR_PATH, asked).await?,
            Performer::Here(admin) => admin.clear(asked).await?,
        })
    }

    pub(crate) async fn import(&self, asked: &ImportRequest) -> Outcome<Vec<Imported>> {
        Ok(match performer(&self.data, self.audit.as_deref())? {
            Performer::Running(door) => door.ask(IMPORT_PATH, asked).await?,
            Performer::Here(admin) => admin.import(asked).await?,
        })
    }
}

/// The store's lock says whether a companion runs; a door alone may be a dead one's.
fn performer(data: &Path, audit: Option<&Path>) -> Outcome<Performer> {
    if !data.is_dir() {
        return Err(format!("`{}` is not a data directory", data.display()).into());
    }
    if let Ok(door) = Door::read(data)
        && door.is_elsewhere()
    {
        return Ok(Performer::Running(door));
    }
    let store = match EmbeddedStore::open(data) {
        Ok(store) => store,
        Err(OpenError::InUse(_)) => return Ok(Performer::Running(Door::read(data)?)),
        Err(error) => return Err(error.into()),
    };
    let path = audit.map_or_else(|| data.join("audit.jsonl"), Path::to_owned);
    let audit = AuditLog::open(&path, AuditOptions::default(), Arc::new(Metrics::new()))?;
    Ok(Performer::Here(Box::new(Admin::new(
        Arc::new(store),
        Arc::new(audit),
    ))))
}

async fn show(which: &Which) -> Outcome<()> {
    let buckets = which.place.show(&which.selection()).await?;
    let mut out = std::io::stdout();
    match which.format {
        Format::Json => writeln!(out, "{}", serde_json::to_string_pretty(&buckets)?)?,
        Format::Text if buckets.is_empty() => writeln!(out, "no labels")?,
        Format::Text => {
            for bucket in &buckets {
                match &bucket.session {
                    Some(session) => writeln!(out, "session {session}")?,
                    None => writeln!(out, "subject {}", bucket.subject)?,
                }
                for held in &bucket.labels {
                    match held.ends_at_ms {
                        Some(at) => writeln!(out, "  {} (ends at {at} ms since 1970)", held.label)?,
                        None => writeln!(out, "  {} (does not end)", held.label)?,
                    }
                }
            }
        }
    }
    Ok(())
}

async fn clear(which: &Which, why: Why) -> Outcome<()> {
    let asked = ClearRequest {
        selection: which.selection(),
        reason: why.reason,
        operator: why.operator,
    };
    let cleared = which.place.clear(&asked).await?;
    let mut out = std::io::stdout();
    match which.format {
        Format::Json => writeln!(out, "{}", serde_json::to_string_pretty(&cleared)?)?,
        Format::Text => writeln!(
            out,
            "{} labels removed; the store's epoch is {} from now on",
            cleared.labels, cleared.epoch
        )?,
    }
    Ok(())
}
