//! What the operator gives: `companion.json` files (one a policy) and the secrets that they name.
//!
//! Everything that can be wrong with them is found out here, at start: a service that starts has an endpoint that
//! parses, a header that can be sent and a secret for every delegator.

mod asking;
mod deciding;
mod delegators;
mod endpoint;
mod error;
mod lines;
mod secrets;
mod vault;

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use axum::http::Uri;
use companion_protocol::config::{
    ApprovalsConfig, CONFIG_VERSION, CompanionConfig, IssuerConfig, KeyDirectoryConfig, SecretRef,
    StoreConfig, ValkeyConfig,
};

pub use asking::{Ciba, Elicitor, Page, Pages, SignIn, Webhook};
pub use delegators::{BackendSecret, BiscuitRoot, Delegator, OauthClient};
pub use endpoint::EndpointError;
pub use error::ConfigError;
pub use secrets::{Secret, SecretError};
pub use vault::{VaultError, Vaulted};

use crate::decision::DecisionPoint;
use crate::key_directory::KeyDirectory;
use crate::store::{Address, Lifetimes};
use secrets::SecretSource;

/// Every policy that this process answers for.
#[derive(Debug, Default)]
pub struct Policies {
    by_digest: HashMap<String, Policy>,
    issuers: BTreeMap<String, IssuerConfig>,
    pages: Option<(ApprovalsConfig, Pages)>,
    pages_are_the_operators: bool,
}

/// What one policy may ask for.
#[derive(Debug)]
pub struct Policy {
    config: CompanionConfig,
    lifetimes: Lifetimes,
    store: Option<Address>,
    delegators: BTreeMap<String, Arc<Delegator>>,
    elicitors: BTreeMap<String, Elicitor>,
    points: BTreeMap<String, DecisionPoint>,
    key_directories: BTreeMap<String, KeyDirectory>,
    /// Where rules were written.
    lines: BTreeMap<String, String>,
}

impl Policies {
    /// Reads every file, and from Vault what they name there; the first fault ends it.
    /// `approvals`: a file with the approval pages, which then are not as the policies say.
    pub async fn read(paths: &[PathBuf], approvals: Option<&Path>) -> Result<Self, ConfigError> {
        let mut configs = Vec::new();
        for path in paths {
            let (config, raw) = parsed::<CompanionConfig>(path)?;
            configs.push((path, config, raw));
        }
        let pages = match approvals {
            None => None,
            Some(path) => Some((path, parsed::<ApprovalsConfig>(path)?)),
        };
        let raw = configs.iter().map(|(_, _, raw)| raw);
        let raw = raw.chain(pages.iter().map(|(_, (_, raw))| raw));
        let vaulted = Arc::new(Vaulted::fetch(raw).await?);
        let mut policies = Self::default();
        if let Some((path, (config, _))) = pages {
            let secrets = source(path, &vaulted)?;
            let ready = asking::pages(&config, &secrets)?;
            (policies.pages, policies.pages_are_the_operators) = (Some((config, ready)), true);
        }
        for (path, config, _) in configs {
            policies.add(path, config, &vaulted)?;
        }
        Ok(policies)
    }

    fn add(
        &mut self,
        path: &Path,
        config: CompanionConfig,
        vaulted: &Arc<Vaulted>,
    ) -> Result<(), ConfigError> {
        if config.version != CONFIG_VERSION {
            return Err(ConfigError::Version {
                path: path.to_owned(),
                found: config.version,
            });
        }
        if !is_sha256_hex(&config.policy_digest) {
            return Err(ConfigError::Digest {
                path: path.to_owned(),
            });
        }
        if let Some(known) = self.by_digest.get(&config.policy_digest) {
            if known.config == config {
                return Ok(());
            }
            return Err(ConfigError::Conflict {
                digest: config.policy_digest,
                path: path.to_owned(),
            });
        }
        for issuer in &config.issuers {
            self.add_issuer(path, issuer)?;
        }
        let secrets = source(path, vaulted)?;
        let mut delegators = BTreeMap::new();
        for (name, delegator) in &config.delegators {
            delegators.insert(
                name.clone(),
                Arc::new(delegators::ready(name, delegator, &secrets)?),
            );
        }
        let mut elicitors = BTreeMap::new();
        for (name, elicitor) in &config.elicitors {
            elicitors.insert(name.clone(), asking::elicitor(name, elicitor, &secrets)?);
        }
        let points = deciding::points(&config.decision_points, &secrets)?;
        let mut key_directories = BTreeMap::new();
        for (name, directory) in &config.key_directories {
            let KeyDirectoryConfig::File(file) = directory;
            let file = path.parent().unwrap_or(Path::new("")).join(&file.path);
            let opened = KeyDirectory::open(file).map_err(|_| ConfigError::KeyDirectory(name.clone()))?;
            key_directories.insert(name.clone(), opened);
        }
        self.add_pages(path, &config, &secrets)?;
        let store = match &config.session_store {
            StoreConfig::Embedded(_) => None,
            StoreConfig::Valkey(valkey) => Some(address(path, valkey, &secrets)?),
        };
        let policy = Policy {
            store,
            lifetimes: Lifetimes::from(config.session_store.lifetimes()),
            delegators,
            elicitors,
            points,
            key_directories,
            lines: lines::beside(path, &config.policy_digest)?,
            config,
        };
        self.by_digest.insert(policy.config.policy_digest.clone(), policy);
        Ok(())
    }

    /// The pages are one for all policies.
    fn add_pages(
        &mut self,
        path: &Path,
        config: &CompanionConfig,
        secrets: &SecretSource,
    ) -> Result<(), ConfigError> {
        let Some(asked) = config
            .approvals
            .as_ref()
            .filter(|_| !self.pages_are_the_operators)
        else {
            return Ok(());
        };
        match &self.pages {
            Some((known, _)) if known == asked => {}
            Some(_) => return Err(ConfigError::PagesConflict(path.to_owned())),
            None => self.pages = Some((asked.clone(), asking::pages(asked, secrets)?)),
        }
        Ok(())
    }

    /// The approval pages, if a policy has them.
    pub fn pages(&self) -> Option<&Pages> {
        self.pages.as_ref().map(|(_, pages)| pages)
    }

    fn add_issuer(&mut self, path: &Path, issuer: &IssuerConfig) -> Result<(), ConfigError> {
        endpoint::parse(&issuer.jwks_url, issuer.allow_http).map_err(|source| ConfigError::Endpoint {
            what: format!("issuer `{}`: `jwks_url` cannot be used", issuer.issuer),
            source,
        })?;
        match self.issuers.get_mut(&issuer.issuer) {
            None => {
                self.issuers.insert(issuer.issuer.clone(), issuer.clone());
            }
            // Serving one policy with the other's keys would let either file widen what both trust.
            Some(known) if known.jwks_url != issuer.jwks_url => {
                return Err(ConfigError::IssuerConflict {
                    issuer: issuer.issuer.clone(),
                    path: path.to_owned(),
                });
            }
            Some(known) => known.refresh_s = known.refresh_s.min(issuer.refresh_s),
        }
        Ok(())
    }

    /// Gives the labels of every policy the lifetimes that the operator names.
    pub fn override_lifetimes(&mut self, change: impl Fn(&mut Lifetimes)) {
        for policy in self.by_digest.values_mut() {
            change(&mut policy.lifetimes);
        }
    }

    /// The policy with this digest.
    pub fn get(&self, digest: &str) -> Option<&Policy> {
        self.by_digest.get(digest)
    }

    /// The digests, sorted.
    pub fn digests(&self) -> Vec<&str> {
        let mut digests: Vec<&str> = self.by_digest.keys().map(String::as_str).collect();
        digests.sort_unstable();
        digests
    }

    /// Issuers of all policies, each once.
    pub fn issuers(&self) -> impl Iterator<Item = &IssuerConfig> {
        self.issuers.values()
    }

    /// Policies that ask for Valkey: digest and endpoint.
    pub fn wanting_valkey(&self) -> impl Iterator<Item = (&str, &str)> {
        self.by_digest
            .values()
            .filter_map(|policy| match &policy.config.session_store {
                StoreConfig::Embedded(_) => None,
                StoreConfig::Valkey(valkey) => {
                    Some((policy.config.policy_digest.as_str(), valkey.endpoint.as_str()))
                }
            })
    }

    /// The one store that all policies ask for; `None`: the embedded one. One subject's labels in two stores would be
    /// half its labels in each.
    pub fn store(&self) -> Result<Option<Address>, ConfigError> {
        let mut policies = self.by_digest.values();
        let Some(first) = policies.next() else {
            return Ok(None);
        };
        match policies.all(|policy| {
            policy
                .config
                .session_store
                .is_same_place(&first.config.session_store)
        }) {
            true => Ok(first.store.clone()),
            false => Err(ConfigError::StoreConflict),
        }
    }

    /// The digest of a policy whose records carry what it read.
    pub fn capturing(&self) -> Option<&str> {
        let mut policies = self.by_digest.values();
        let captures = policies.find(|policy| policy.config.captures)?;
        Some(&captures.config.policy_digest)
    }

    /// Every endpoint that is called, with whose it is.
    pub fn endpoints(&self) -> Vec<(String, Uri)> {
        let mut found: Vec<(String, Uri)> = Vec::new();
        for issuer in self.issuers.values() {
            if let Ok(uri) = issuer.jwks_url.parse() {
                found.push((format!("issuer `{}`: `jwks_url`", issuer.issuer), uri));
            }
        }
        if let Some(sign_in) = self.pages().and_then(|pages| pages.sign_in.as_ref()) {
            found.push((
                "approvals: `sign_in.token_endpoint`".to_owned(),
                sign_in.token.clone(),
            ));
        }
        for policy in self.by_digest.values() {
            for (name, delegator) in &policy.delegators {
                if let Delegator::Oauth(client) = &**delegator {
                    found.push((
                        format!("delegator `{name}`: `token_endpoint`"),
                        client.endpoint.clone(),
                    ));
                    let asked = client.introspection.iter().cloned();
                    found.extend(
                        asked.map(|uri| (format!("delegator `{name}`: `introspection_endpoint`"), uri)),
                    );
                }
            }
            for (name, point) in &policy.points {
                found.extend(
                    point
                        .url()
                        .map(|uri| (format!("decision point `{name}`: `url`"), uri.clone())),
                );
            }
            for (name, elicitor) in &policy.elicitors {
                match elicitor {
                    Elicitor::Page(page) => {
                        let hooks = page.webhook.iter();
                        found.extend(
                            hooks.map(|hook| (format!("elicitor `{name}`: `webhook.url`"), hook.url.clone())),
                        );
                    }
                    Elicitor::Ciba(ciba) => {
                        found.push((format!("elicitor `{name}`: `token_endpoint`"), ciba.token.clone()));
                        found.push((
                            format!("elicitor `{name}`: `backchannel_endpoint`"),
                            ciba.backchannel.clone(),
                        ));
                    }
                }
            }
        }
        found
    }

    /// Whether anything is to be reached over TLS.
    pub fn need_tls(&self) -> bool {
        self.endpoints()
            .iter()
            .any(|(_, uri)| uri.scheme_str() == Some("https"))
    }
}

impl Policy {
    /// How long its labels live.
    pub fn lifetimes(&self) -> Lifetimes {
        self.lifetimes
    }

    /// The elicitor of this name.
    pub fn elicitor(&self, name: &str) -> Option<&Elicitor> {
        self.elicitors.get(name)
    }

    /// The decision point of this name.
    pub fn point(&self, name: &str) -> Option<&DecisionPoint> {
        self.points.get(name)
    }

    /// The key directory of this name.
    pub fn key_directory(&self, name: &str) -> Option<&KeyDirectory> {
        self.key_directories.get(name)
    }

    /// The delegator of this name.
    pub fn delegator(&self, name: &str) -> Option<&Arc<Delegator>> {
        self.delegators.get(name)
    }
}

fn address(path: &Path, valkey: &ValkeyConfig, secrets: &SecretSource) -> Result<Address, ConfigError> {
    let read = |field, reference: Option<&SecretRef>| {
        let read = reference.map(|reference| secrets.read(reference)).transpose();
        read.map_err(|source| ConfigError::StoreSecret {
            path: path.to_owned(),
            field,
            source,
        })
    };
    let password = read("password", valkey.password.as_ref())?;
    let ca = read("ca_file", valkey.ca_file.clone().map(SecretRef::File).as_ref())?;
    let ca = ca.map(|pem| pem.expose().as_bytes().to_vec());
    Address::new(valkey, password.as_ref(), ca).map_err(|source| ConfigError::Store {
        path: path.to_owned(),
        source,
    })
}

/// A file, and the same as plain JSON.
fn parsed<T: serde::de::DeserializeOwned>(path: &Path) -> Result<(T, serde_json::Value), ConfigError> {
    let text = std::fs::read_to_string(path).map_err(|source| ConfigError::Read {
        path: path.to_owned(),
        source,
    })?;
    let wrong = |source| ConfigError::Parse {
        path: path.to_owned(),
        source,
    };
    Ok((
        serde_json::from_str(&text).map_err(wrong)?,
        serde_json::from_str(&text).map_err(wrong)?,
    ))
}

fn source(path: &Path, vaulted: &Arc<Vaulted>) -> Result<SecretSource, ConfigError> {
    SecretSource::beside(path, Arc::clone(vaulted)).map_err(|source| ConfigError::Read {
        path: path.with_file_name(secrets::SECRETS_FILE),
        source,
    })
}

fn is_sha256_hex(text: &str) -> bool {
    text.len() == 64
        && text
            .bytes()
            .all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}
