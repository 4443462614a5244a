//! What `aplc build` writes beside the program: `companion.json`, `filter-config.json`, `lines.json`, `secrets.env`.

mod asks;
mod delegators;
pub(crate) mod filter;
mod store;

use std::collections::BTreeMap;
use std::path::Path;

use apl_compiler::{Deployment, KeyDirectory};
use companion_protocol::config::{
    CONFIG_VERSION, CompanionConfig, IssuerConfig, KeyDirectoryConfig, KeyFile, MAX_RULE_LINES, RuleLines,
};

use super::Fault;

/// The slowest effect that is no exchange, in milliseconds.
const STORE_MS: u64 = 2000;
/// What the callout may take beyond its slowest effect, in milliseconds.
const MARGIN_MS: u64 = 200;

/// The companion's configuration, and the literal secrets that it refers to by environment variable.
pub(crate) fn companion(
    deployment: &Deployment,
    directory: &Path,
    digest: &str,
) -> Result<(CompanionConfig, BTreeMap<String, String>), Fault> {
    let mut secrets = BTreeMap::new();
    let mut delegators = BTreeMap::new();
    for (name, delegator) in &deployment.delegators {
        delegators.insert(name.clone(), delegators::config(name, delegator, &mut secrets));
    }
    let issuers = deployment
        .issuers
        .iter()
        .map(|keys| IssuerConfig {
            issuer: keys.issuer.clone(),
            jwks_url: keys.jwks_url.clone(),
            allow_http: keys.allow_http,
            refresh_s: keys.refresh_s,
        })
        .collect();
    let session_store = store::config(deployment.store.as_ref(), &mut secrets);
    let config = CompanionConfig {
        version: CONFIG_VERSION,
        policy_digest: digest.to_owned(),
        issuers,
        delegators,
        session_store,
        approvals: deployment
            .approvals
            .as_ref()
            .map(|approvals| asks::approvals(approvals, &mut secrets)),
        elicitors: asks::elicitors(deployment, &mut secrets),
        decision_points: asks::points(deployment, directory, &mut secrets)?,
        key_directories: deployment
            .directories
            .iter()
            .map(|(name, directory)| (name.clone(), key_directory(directory)))
            .collect(),
        captures: deployment.captures,
    };
    Ok((config, secrets))
}

/// Where rules stand. `None`: the program does not say it, or they are more than the companion takes; `aplc why --policy`
/// finds a line all the same.
pub(crate) fn lines(program: &apl_bytecode::Program, digest: &str) -> Option<RuleLines> {
    let lines = apl_compiler::outline::lines(program);
    (1..=MAX_RULE_LINES).contains(&lines.len()).then(|| RuleLines {
        policy_digest: digest.to_owned(),
        lines,
    })
}

fn key_directory(directory: &KeyDirectory) -> KeyDirectoryConfig {
    let KeyDirectory::File { path } = directory;
    KeyDirectoryConfig::File(KeyFile { path: path.clone() })
}

/// A variable for a delegator's secret: `APLOMB_SECRET_WORKDAY_OAUTH`, numbered if two names fold to one.
pub(super) fn variable(delegator: &str, taken: &BTreeMap<String, String>) -> String {
    let word: String = delegator
        .chars()
        .map(|ch| {
            if ch.is_ascii_alphanumeric() {
                ch.to_ascii_uppercase()
            } else {
                '_'
            }
        })
        .collect();
    let base = format!("APLOMB_SECRET_{word}");
    let numbered = (2_u32..).map(|number| format!("{base}_{number}"));
    std::iter::once(base.clone())
        .chain(numbered)
        .find(|name| !taken.contains_key(name))
        .unwrap_or(base)
}

/// `secrets.env`: one assignment a line, in single quotes, of which the companion removes the outer pair and nothing else.
pub(crate) fn secrets_env(secrets: &BTreeMap<String, String>) -> Result<String, Fault> {
    let mut text = String::new();
    for (name, secret) in secrets {
        if secret.contains(['\n', '\r']) {
            let message = format!(
                "the secret that would become `{name}` spans several lines; name a file in the policy instead"
            );
            return Err(Fault::Argument(message));
        }
        text.push_str(&format!("{name}='{secret}'\n"));
    }
    Ok(text)
}

/// The time for one call to the companion, in milliseconds.
pub(crate) fn timeout_ms(deployment: &Deployment) -> u64 {
    deployment
        .delegators
        .values()
        .filter_map(delegators::timeout_ms)
        .chain(asks::timeouts(deployment))
        .chain([store::timeout_ms(deployment.store.as_ref())])
        .max()
        .unwrap_or(STORE_MS)
        + MARGIN_MS
}
