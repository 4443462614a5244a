//! `aplomb-companion sessions import`: labels that CPEX or praxis 0.5 wrote to a Valkey server.
//!
//! Their keys are hashes of what the files of subjects name; a key that no line explains is told and left. The source is only
//! read.

#[path = "import/report.rs"]
mod report;
#[path = "import/rows.rs"]
mod rows;
#[path = "import/upstream.rs"]
mod upstream;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::process::ExitCode;

use aplomb_companion::admin::{ImportLifetimes, ImportRequest, Incoming, MAX_IMPORTED};
use aplomb_companion::config::Secret;
use aplomb_companion::store::{Address, Foreign, MAX_LABEL_BYTES};
use clap::Args;
use companion_protocol::config::{LifetimesConfig, ValkeyConfig};

use super::{Format, Outcome, Place};
use report::{Bucket, Left, Report, Set};

/// Seven days, which a session's labels have by default: upstream knows no others.
const SUBJECT_TTL_S: u64 = 604_800;

#[derive(Args)]
pub(crate) struct Import {
    #[command(flatten)]
    place: Place,
    #[command(flatten)]
    from: From,
    /// Who may have labels there: one JSON object a line, with `issuer`, `subject` and, if it had one, `session`; repeat it for more.
    #[arg(long, value_name = "FILE", required = true)]
    subjects: Vec<PathBuf>,
    /// Write it. Without this nothing is written, only told.
    #[arg(long, requires = "reason")]
    apply: bool,
    /// Why; stands in the audit log.
    #[arg(long, value_name = "TEXT", default_value = "")]
    reason: String,
    /// Who asks; stands in the audit log.
    #[arg(long, value_name = "NAME", env = "USER", default_value = "unknown")]
    operator: String,
    /// Seconds without use after which a session's imported labels end, 0: never.
    #[arg(long, value_name = "SECONDS", default_value_t = LifetimesConfig::default().session_idle_s)]
    session_idle: u64,
    /// Seconds after which a session's imported labels end, 0: never.
    #[arg(long, value_name = "SECONDS", default_value_t = LifetimesConfig::default().session_max_s)]
    session_max: u64,
    /// Seconds after which a subject's imported labels end, 0: never.
    #[arg(long, value_name = "SECONDS", default_value_t = SUBJECT_TTL_S)]
    subject_ttl: u64,
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

/// The server with upstream's labels.
#[derive(Args)]
struct From {
    /// The server with upstream's labels: HOST:PORT, redis:// or rediss://.
    #[arg(long = "from", value_name = "URL")]
    from: String,
    /// Upstream's `key_prefix`.
    #[arg(long, value_name = "PREFIX", default_value = "taint:v1")]
    from_prefix: String,
    /// The ACL user there; it needs `+scan +smembers` on the prefix.
    #[arg(long, value_name = "NAME")]
    from_user: Option<String>,
    /// The environment variable that holds the password there.
    #[arg(long, value_name = "NAME")]
    from_password_env: Option<String>,
    /// PEM file of the authority that signed the server's certificate [default: the system's roots].
    #[arg(long, value_name = "FILE")]
    from_ca: Option<PathBuf>,
    /// Plain TCP to a server on another host.
    #[arg(long)]
    from_allow_plain: bool,
}

/// Subject and session's digest, or the subject's own bucket.
type BucketName = (String, Option<String>);

/// What the files say about a set.
#[derive(Default)]
struct Explained {
    whose: BTreeSet<String>,
    buckets: BTreeSet<BucketName>,
    is_named: bool,
}

impl From {
    async fn open(&self) -> Outcome<Foreign> {
        let mut config = ValkeyConfig::at(&self.from);
        config.key_prefix.clone_from(&self.from_prefix);
        config.username.clone_from(&self.from_user);
        config.allow_plain = self.from_allow_plain;
        let password = self.from_password_env.as_ref().map(|name| {
            let text = std::env::var(name).unwrap_or_default();
            match text.is_empty() {
                true => Err(format!(
                    "`--from-password-env` names `{name}`, which is not set or empty"
                )),
                false => Ok(Secret::new(text)),
            }
        });
        let ca = self.from_ca.as_ref().map(std::fs::read).transpose()?;
        let address = Address::new(&config, password.transpose()?.as_ref(), ca)?;
        let failed = |error| format!("cannot read labels from `{}`: {error}", address.endpoint());
        Foreign::open(&address)
            .await
            .map_err(|error| failed(error).into())
    }
}

pub(crate) async fn run(asked: Import) -> Outcome<ExitCode> {
    let explained = explained(&asked.subjects)?;
    let mut source = asked.from.open().await?;
    let (names, others): (Vec<String>, Vec<String>) = source
        .names()
        .await?
        .into_iter()
        .partition(|name| upstream::is_name(name));
    let sets = source.members(&names).await?;
    let mut report = Report::new(asked.apply);
    report.left.extend(others.into_iter().map(Left::foreign));
    let mut incoming: BTreeMap<BucketName, BTreeSet<String>> = BTreeMap::new();
    let found: BTreeSet<&String> = names.iter().collect();
    for (name, explained) in &explained {
        if explained.is_named && !found.contains(name) {
            report.missing.extend(explained.whose.iter().cloned());
        }
    }
    for (name, members) in names.iter().zip(sets) {
        let labels = match (members, explained.get(name)) {
            (Err(why), _) => {
                report.left.push(Left::unreadable(name, why));
                continue;
            }
            (Ok(labels), None) => {
                report.left.push(Left::unexplained(name, labels));
                continue;
            }
            (Ok(labels), Some(_)) => labels,
        };
        let (labels, bad): (BTreeSet<String>, BTreeSet<String>) = labels
            .into_iter()
            .partition(|label| !label.is_empty() && label.len() <= MAX_LABEL_BYTES);
        if !bad.is_empty() {
            let why = format!(
                "{} labels are empty or longer than {MAX_LABEL_BYTES} bytes",
                bad.len()
            );
            report.left.push(Left::unreadable(name, why));
        }
        let explained = &explained[name];
        for bucket in &explained.buckets {
            incoming
                .entry(bucket.clone())
                .or_default()
                .extend(labels.iter().cloned());
        }
        report.sets.push(Set {
            name: name.clone(),
            whose: explained.whose.iter().cloned().collect(),
            labels: labels.into_iter().collect(),
        });
    }
    let incoming: Vec<Incoming> = incoming
        .into_iter()
        .map(|((subject, session), labels)| Incoming {
            subject,
            session,
            labels: labels.into_iter().collect(),
        })
        .collect();
    for some in incoming.chunks(MAX_IMPORTED) {
        let request = asked.request(some);
        let imported = asked.place.import(&request).await?;
        let buckets = some.iter().zip(imported);
        report
            .buckets
            .extend(buckets.map(|(incoming, imported)| Bucket::new(incoming, imported)));
    }
    match asked.format {
        Format::Json => report.print_json()?,
        Format::Text => report.print_text()?,
    }
    Ok(match report.is_whole() {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    })
}

impl Import {
    fn request(&self, buckets: &[Incoming]) -> ImportRequest {
        ImportRequest {
            buckets: buckets.to_vec(),
            lifetimes: ImportLifetimes {
                session_idle_s: self.session_idle,
                session_max_s: self.session_max,
                subject_s: self.subject_ttl,
            },
            apply: self.apply,
            reason: self.reason.clone(),
            operator: self.operator.clone(),
        }
    }
}

/// The sets that the files explain, by name.
fn explained(files: &[PathBuf]) -> Outcome<BTreeMap<String, Explained>> {
    let mut explained: BTreeMap<String, Explained> = BTreeMap::new();
    for candidate in rows::read(files)?.iter().flat_map(rows::Row::candidates) {
        let entry = explained.entry(candidate.name).or_default();
        entry.whose.insert(candidate.whose);
        entry.buckets.extend(candidate.buckets);
        entry.is_named |= candidate.is_named;
    }
    Ok(explained)
}
