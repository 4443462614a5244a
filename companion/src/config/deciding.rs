//! Decision points, ready to use.

use std::collections::BTreeMap;

use companion_protocol::config::{DecisionPointConfig, RemotePoint};

use super::ConfigError;
use super::asking::{secret, url};
use super::secrets::SecretSource;
use crate::decision::{AuthzenPoint, CedarEngine, DecisionPoint, NemoPoint, RegoEngine, Remote};

/// Builds every decision point; a policy that does not compile is found here and not at the first request.
pub(super) fn points(
    configs: &BTreeMap<String, DecisionPointConfig>,
    secrets: &SecretSource,
) -> Result<BTreeMap<String, DecisionPoint>, ConfigError> {
    configs
        .iter()
        .map(|(name, config)| Ok((name.clone(), point(name, config, secrets)?)))
        .collect()
}

fn point(
    name: &str,
    config: &DecisionPointConfig,
    secrets: &SecretSource,
) -> Result<DecisionPoint, ConfigError> {
    let wrong = |reason: String| ConfigError::DecisionPoint {
        name: name.to_owned(),
        reason,
    };
    Ok(match config {
        DecisionPointConfig::Cedar(cedar) => {
            DecisionPoint::Cedar(Box::new(CedarEngine::new(cedar).map_err(wrong)?))
        }
        DecisionPointConfig::Opa(opa) => DecisionPoint::Opa(Box::new(RegoEngine::new(opa).map_err(wrong)?)),
        DecisionPointConfig::Authzen(remote_point) => {
            let mut remote_point = remote_point.clone();
            let base = remote_point.url.trim_end_matches('/').to_owned();
            remote_point.url = format!("{base}/access/v1/evaluation");
            let remote = remote(name, &remote_point, secrets)?;
            let dialect = remote_point.dialect.unwrap_or_else(|| "authzen".to_owned());
            DecisionPoint::Authzen(Box::new(AuthzenPoint { dialect, remote }))
        }
        DecisionPointConfig::Nemo(remote_point) => DecisionPoint::Nemo(Box::new(NemoPoint {
            remote: remote(name, remote_point, secrets)?,
            config_id: remote_point.config_id.clone(),
            dialect: remote_point.dialect.clone().unwrap_or_else(|| "nemo".to_owned()),
        })),
    })
}

fn remote(name: &str, point: &RemotePoint, secrets: &SecretSource) -> Result<Remote, ConfigError> {
    let who = |field: &str| format!("decision point `{name}`: `{field}`");
    let token = point
        .token
        .as_ref()
        .map(|reference| secret(reference, secrets, &who("token")))
        .transpose()?;
    Ok(Remote {
        url: url(&point.url, point.allow_http, &who("url"))?,
        token,
        timeout_ms: point.timeout_ms,
    })
}
