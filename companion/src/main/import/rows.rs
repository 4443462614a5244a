//! Who may have labels at upstream: its keys are hashes, so somebody has to name subjects and sessions.

use std::error::Error;
use std::path::{Path, PathBuf};

use apl_bytecode::TokenRole;
use aplomb_enforcer::Owner;
use aplomb_enforcer::config::SessionSource;
use serde::Deserialize;

use super::upstream;

/// One line of a file: a subject, and one of its sessions if the line has one.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Row {
    /// `iss` of its tokens, or the name of whoever else vouches for it.
    issuer: String,
    /// Its id, as the policy's identity reads it.
    subject: String,
    /// Its id at upstream, if that read it from another claim.
    #[serde(default)]
    upstream_subject: Option<String>,
    /// As what it is verified.
    #[serde(default)]
    role: Role,
    /// A session's id: `X-Session-Id`, or the claim `session_id`.
    #[serde(default)]
    session: Option<String>,
    /// The client id of the calling workload.
    #[serde(default)]
    caller_workload: Option<String>,
    /// The client id of the gateway.
    #[serde(default)]
    this_workload: Option<String>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Role {
    #[default]
    User,
    Client,
    Workload,
}

/// A set of upstream's that may be there, and the buckets that its labels belong to here.
pub(super) struct Candidate {
    /// Behind the prefix.
    pub(super) name: String,
    /// For people.
    pub(super) whose: String,
    /// Subject and, unless the labels hold for all its sessions, session.
    pub(super) buckets: Vec<(String, Option<String>)>,
    /// A row names it; one that was only guessed is not missed.
    pub(super) is_named: bool,
}

impl Row {
    /// What stands in a file, a JSON object a line.
    pub(super) fn read(path: &Path) -> Result<Vec<Self>, RowError> {
        let text = std::fs::read_to_string(path).map_err(|source| RowError::Read {
            path: path.to_owned(),
            source,
        })?;
        let lines = text
            .lines()
            .enumerate()
            .filter(|(_, line)| !line.trim().is_empty());
        lines
            .map(|(at, line)| {
                let bad = |what: String| RowError::Line {
                    path: path.to_owned(),
                    line: at + 1,
                    what,
                };
                let row: Self = serde_json::from_str(line).map_err(|error| bad(error.to_string()))?;
                match row.subject.is_empty() || row.session.as_deref() == Some("") {
                    true => Err(bad(
                        "`subject` or `session` is empty; leave `session` out".to_owned()
                    )),
                    false => Ok(row),
                }
            })
            .collect()
    }

    /// Where its labels may lie. The gateway itself cannot be asked whether a session's id came by header or by claim, so both
    /// buckets get them; and upstream's one set of whoever had no id becomes labels of the subject, because here the same
    /// client may have sessions of MCP.
    pub(super) fn candidates(&self) -> Vec<Candidate> {
        let owner = Owner {
            role: match self.role {
                Role::User => TokenRole::User,
                Role::Client => TokenRole::Client,
                Role::Workload => TokenRole::CallerWorkload,
            },
            issuer: &self.issuer,
            id: &self.subject,
        };
        let there = self.upstream_subject.as_deref().unwrap_or(&self.subject);
        let mut candidates = Vec::new();
        if let Some(id) = &self.session {
            let bucket = |source| {
                let key = owner.session(Some((source, id)));
                (key.subject, Some(key.session))
            };
            candidates.push(Candidate {
                name: upstream::of_session(there, id),
                whose: format!("{}, session {id}", self.subject),
                buckets: vec![bucket(SessionSource::XSessionId), bucket(SessionSource::Claim)],
                is_named: true,
            });
        }
        let mut identity = |caller: Option<&str>, gateway: Option<&str>, is_named| {
            candidates.push(Candidate {
                name: upstream::of_identity(there, caller, gateway),
                whose: match is_named {
                    false => format!("{}, no session", self.subject),
                    true => format!(
                        "{}, no session, {} at {}",
                        self.subject,
                        caller.unwrap_or("-"),
                        gateway.unwrap_or("-")
                    ),
                },
                buckets: vec![(owner.subject(), None)],
                is_named,
            });
        };
        identity(None, None, false);
        let (caller, gateway) = (self.caller_workload.as_deref(), self.this_workload.as_deref());
        if caller.is_some() || gateway.is_some() {
            identity(caller, gateway, true);
        }
        candidates
    }
}

/// Why a file of subjects is refused.
#[derive(Debug, thiserror::Error)]
pub(super) enum RowError {
    #[error("cannot read `{path}`, a file of subjects")]
    Read { path: PathBuf, source: std::io::Error },
    #[error(
        "`{path}` line {line}: {what}. A line is one JSON object as {{\"issuer\": \"https://idp.example\", \"subject\": \"alice\", \"session\": \"chat-7\"}}"
    )]
    Line {
        path: PathBuf,
        line: usize,
        what: String,
    },
}

/// All files' rows.
pub(super) fn read(paths: &[PathBuf]) -> Result<Vec<Row>, Box<dyn Error>> {
    let mut rows = Vec::new();
    for path in paths {
        rows.extend(Row::read(path)?);
    }
    Ok(rows)
}
