//! The gateway: where it is, and what its filter was configured with.

use std::path::Path;

use apl_bytecode::VerifiedProgram;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::Uri;
use serde_json::{Map, Value};

use crate::{Fault, input};

/// A gateway and the configuration that it should run.
pub(super) struct Target {
    /// `http` or `https`.
    pub(super) scheme: String,
    /// Host, with its port if there is one.
    pub(super) authority: String,
    /// `filter-config.json`.
    pub(super) config: Map<String, Value>,
    /// The program in it.
    pub(super) program: VerifiedProgram,
    /// Its `protocols`.
    pub(super) entries: Vec<Entry>,
    /// In every name that is made up.
    pub(super) nonce: String,
}

/// One of `protocols`.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    /// The Host header.
    pub(super) authority: String,
    /// The prefix.
    pub(super) path: String,
    /// `mcp`, `a2a`, `llm`, `http`.
    pub(super) speaks: String,
    /// The scope.
    pub(super) scope: Option<String>,
}

impl Target {
    /// Reads both.
    ///
    /// # Errors
    ///
    /// The URL is none, or the file is no configuration of a filter that decides.
    pub(super) fn read(config: &Path, url: &str) -> Result<Self, Fault> {
        let bad = |what: &str| Fault::Argument(format!("`{url}`: {what}; write `https://gateway.example`"));
        let uri: Uri = url.parse().map_err(|_| bad("is no URL"))?;
        let scheme = uri.scheme_str().ok_or_else(|| bad("has no scheme"))?.to_owned();
        if !matches!(scheme.as_str(), "http" | "https") {
            return Err(bad("is neither http nor https"));
        }
        if !matches!(uri.path(), "" | "/") || uri.query().is_some() {
            return Err(bad("has a path; paths come from the configuration"));
        }
        let authority = uri.authority().ok_or_else(|| bad("has no host"))?;
        if authority.as_str().contains('@') {
            return Err(bad("holds a user; credentials are given by `--credential`"));
        }
        let authority = authority.as_str().to_owned();

        let no = |what: &str| {
            Fault::Argument(format!(
                "`{}` {what}: give the filter-config.json that `aplc build` wrote for this gateway",
                config.display()
            ))
        };
        let bytes = input::read(config)?;
        let Ok(Value::Object(config)) = serde_json::from_slice(&bytes) else {
            return Err(no("is no JSON object"));
        };
        let program = config
            .get("policy")
            .and_then(Value::as_str)
            .and_then(|policy| STANDARD.decode(policy.trim()).ok())
            .ok_or_else(|| no("holds no policy (a holder's does not: take the decider's)"))?;
        let program = apl_bytecode::load(&program)
            .map_err(|error| no(&format!("holds a policy that does not load ({error})")))?;
        let entries: Vec<Entry> = config
            .get("protocols")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
            .filter_map(|entry| entry_of(entry, &authority))
            .collect();
        if entries.is_empty() {
            return Err(no("has no `protocols`, so no traffic is governed"));
        }
        let mut random = [0; 4];
        getrandom::getrandom(&mut random)
            .map_err(|error| Fault::Argument(format!("the system gives no random bytes: {error}")))?;
        Ok(Self {
            scheme,
            authority,
            config,
            program,
            entries,
            nonce: random.iter().map(|byte| format!("{byte:02x}")).collect(),
        })
    }

    /// A number among the configured limits.
    pub(super) fn limit(&self, name: &str, default: usize) -> usize {
        self.config
            .get("limits")
            .and_then(|limits| limits.get(name))
            .and_then(Value::as_u64)
            .and_then(|limit| usize::try_from(limit).ok())
            .unwrap_or(default)
    }
}

fn entry_of(entry: &Value, authority: &str) -> Option<Entry> {
    let text = |key: &str| entry.get(key).and_then(Value::as_str).map(str::to_owned);
    Some(Entry {
        authority: text("authority").unwrap_or_else(|| authority.to_owned()),
        path: text("path_prefix")?,
        speaks: text("speaks")?,
        scope: text("scope"),
    })
}
