//! What `aplc build` wrote, read again.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use companion_protocol::config::{CompanionConfig, DelegatorConfig, LINES_FILE, StoreConfig};
use serde_json::{Map, Value};

use super::Fault;

/// A ConfigMap holds 1 MiB (`ConfigMap` in the Kubernetes API reference), and `companion.json` comes first.
const MAX_LINES_BYTES: usize = 256 * 1024;

/// A folder that `aplc build` wrote.
pub(super) struct Built {
    /// `filter-config.json`.
    pub filter: Map<String, Value>,
    /// `lines.json`, if it is there and not too large for a ConfigMap beside `companion.json`.
    pub lines_text: Option<String>,
    /// `companion.json`.
    pub companion: CompanionConfig,
    /// Its text, for a ConfigMap.
    pub companion_text: String,
}

/// How the filter is installed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Install {
    Full,
    Paired,
    Single,
}

/// One entry of `protocols`.
pub(super) struct Traffic {
    pub path_prefix: String,
}

impl Built {
    pub(super) fn read(folder: &Path) -> Result<Self, Fault> {
        let filter_path = folder.join("filter-config.json");
        let Value::Object(filter) = json(&filter_path, &text(&filter_path)?)? else {
            return Err(wrong(&filter_path, "it is no JSON object"));
        };
        let companion_path = folder.join("companion.json");
        let companion_text = text(&companion_path)?;
        let companion =
            serde_json::from_str(&companion_text).map_err(|error| wrong(&companion_path, error))?;
        let built = Self {
            filter,
            companion,
            companion_text,
            lines_text: std::fs::read_to_string(folder.join(LINES_FILE))
                .ok()
                .filter(|text| text.len() <= MAX_LINES_BYTES),
        };
        if built.digest() != built.companion.policy_digest {
            return Err(wrong(
                &companion_path,
                "its policy_digest is not that of filter-config.json",
            ));
        }
        Ok(built)
    }

    pub(super) fn digest(&self) -> &str {
        self.filter
            .get("policy_digest")
            .and_then(Value::as_str)
            .unwrap_or("")
    }

    pub(super) fn install(&self) -> Result<Install, Fault> {
        let mode = self.filter.get("install").and_then(|install| install.get("mode"));
        match mode.and_then(Value::as_str) {
            Some("full") => Ok(Install::Full),
            Some("paired") => Ok(Install::Paired),
            Some("single") => Ok(Install::Single),
            other => Err(Fault::Argument(format!(
                "filter-config.json: `install.mode` is {other:?}, not full, paired or single; build it again with `aplc build --mode`"
            ))),
        }
    }

    pub(super) fn traffic(&self) -> Result<Vec<Traffic>, Fault> {
        let entries = self.filter.get("protocols").and_then(Value::as_array);
        let traffic: Vec<Traffic> = entries
            .into_iter()
            .flatten()
            .filter_map(|entry| {
                Some(Traffic {
                    path_prefix: entry.get("path_prefix")?.as_str()?.to_owned(),
                })
            })
            .collect();
        if traffic.is_empty() {
            return Err(Fault::Argument(
                "filter-config.json has no `protocols`; build it again with `aplc build --protocol`"
                    .to_owned(),
            ));
        }
        Ok(traffic)
    }

    /// The largest body that the filter reads; Envoy must be able to hold it.
    pub(super) fn buffer_bytes(&self) -> u64 {
        let ours = self
            .filter
            .get("limits")
            .and_then(|limits| limits.get("max_body_bytes"))
            .and_then(Value::as_u64)
            .unwrap_or(983_040);
        ours.saturating_add(65_536).max(1_048_576)
    }

    /// The companion's cluster, if the policy needs one.
    pub(super) fn companion_cluster(&self) -> Option<&str> {
        self.companion_text_of("cluster")
    }

    /// What stands before the paths of the companion's endpoints; empty unless a gateway is between.
    pub(super) fn companion_path(&self) -> &str {
        self.companion_text_of("path").unwrap_or("")
    }

    /// The `Host` that the companion is called by.
    pub(super) fn companion_authority(&self) -> Option<&str> {
        self.companion_text_of("authority")
    }

    fn companion_text_of(&self, key: &str) -> Option<&str> {
        self.filter.get("companion")?.get(key)?.as_str()
    }

    /// Variables that the filter's configuration names.
    pub(super) fn variables(&self) -> BTreeSet<String> {
        let mut names = BTreeSet::new();
        variables(&Value::Object(self.filter.clone()), &mut names);
        names
    }

    /// The hosts that the companion calls by TLS, with their ports.
    pub(super) fn hosts(&self) -> BTreeSet<(String, u16)> {
        let keys = self
            .companion
            .issuers
            .iter()
            .map(|issuer| issuer.jwks_url.as_str());
        let mut urls: Vec<&str> = keys.collect();
        for delegator in self.companion.delegators.values() {
            match delegator {
                DelegatorConfig::Oauth(oauth) => {
                    urls.push(&oauth.token_endpoint);
                    urls.extend(oauth.introspection_endpoint.as_deref());
                }
                DelegatorConfig::Secret(_) | DelegatorConfig::Biscuit(_) => {}
            }
        }
        urls.into_iter()
            .filter_map(|url| host_port(url.strip_prefix("https://")?, 443))
            .collect()
    }

    /// Whether labels lie on the companion's own disk, so that there can be one replica only.
    pub(super) const fn embedded_store(&self) -> bool {
        matches!(self.companion.session_store, StoreConfig::Embedded(_))
    }
}

/// Host and port of what stands behind a URL's scheme.
pub(super) fn host_port(rest: &str, default: u16) -> Option<(String, u16)> {
    let authority = rest.split(['/', '?', '#']).next()?;
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !host.ends_with(':') || host.starts_with('[') => (host, port.parse().ok()?),
        _ => (authority, default),
    };
    (!host.is_empty() && !host.contains('@')).then(|| (host.to_owned(), port))
}

fn variables(value: &Value, names: &mut BTreeSet<String>) {
    match value {
        Value::Object(map) => {
            for (key, value) in map {
                match value {
                    Value::String(name) if key.ends_with("_env") => {
                        names.insert(name.clone());
                    }
                    _ => variables(value, names),
                }
            }
        }
        Value::Array(list) => list.iter().for_each(|value| variables(value, names)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn text(path: &Path) -> Result<String, Fault> {
    std::fs::read_to_string(path).map_err(|cause| Fault::File {
        doing: "read",
        path: path.to_owned(),
        cause,
    })
}

fn json(path: &Path, text: &str) -> Result<Value, Fault> {
    serde_json::from_str(text).map_err(|error| wrong(path, error))
}

fn wrong(path: &Path, what: impl std::fmt::Display) -> Fault {
    let path: PathBuf = path.to_owned();
    Fault::Argument(format!(
        "`{}`: {what}; `--build` names a folder that `aplc build -o` wrote",
        path.display()
    ))
}
