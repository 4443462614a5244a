//! What a policy needs beside its program: keys, delegators, a store. Secrets only as they were given.

mod asks;

use std::collections::BTreeMap;

pub use crate::document::{ClientProof, RootKey};
pub use asks::{ApprovalsUse, CibaUse, ElicitorUse, PointUse, SignInUse, WebhookUse};

use crate::bindings::Bound;
use crate::document::{
    CredentialDecl, DirectoryDecl, Document, IdentityDecl, JwtIssuer, Keys, Oauth, PluginKind, Secret, Store,
};

/// What the companion is to be told.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Deployment {
    /// Issuers whose keys must be fetched, in written order, each once.
    pub issuers: Vec<IssuerKeys>,
    /// Delegators by name.
    pub delegators: BTreeMap<String, Delegator>,
    /// Directories of API keys by the names of their plugins.
    pub directories: BTreeMap<String, KeyDirectory>,
    /// Ways to ask humans by name.
    pub elicitors: BTreeMap<String, ElicitorUse>,
    /// Decision points by name.
    pub points: BTreeMap<String, PointUse>,
    /// Where labels live, when the policy says so.
    pub store: Option<Store>,
    /// Records carry what the program read, encrypted to the operator's key.
    pub captures: bool,
    /// The companion's pages, when the policy or its deployment says where they are.
    pub approvals: Option<ApprovalsUse>,
    /// Identities whose issuers are not in the program.
    pub identities: Vec<BoundIdentity>,
    /// What a deployment's file bound, or has to.
    pub bound: Bound,
}

/// Where an issuer's keys are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IssuerKeys {
    /// The exact `iss`.
    pub issuer: String,
    /// Its JWKS.
    pub jwks_url: String,
    /// Plain HTTP is allowed.
    pub allow_http: bool,
    /// Seconds between refreshes.
    pub refresh_s: u64,
}

/// A delegator as the policy declares it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Delegator {
    /// An identity provider.
    Oauth(Box<OauthUse>),
    /// A secret of the backend's own.
    Secret {
        /// The secret.
        secret: SecretSource,
        /// The header that carries it, lower-case.
        outbound_header: String,
        /// What stands before it; `None`: `Bearer `.
        outbound_prefix: Option<String>,
        /// How long the proxy may use it; `None`: the companion's default.
        ttl_s: Option<u64>,
    },
    /// The Biscuit that the caller brings, narrowed.
    Biscuit(BiscuitUse),
}

/// A delegator that narrows Biscuits, as the policy declares it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BiscuitUse {
    /// Who issues them.
    pub root: RootKey,
    /// The header that carries the narrowed one, lower-case.
    pub outbound_header: String,
    /// What stands before it; `None`: `Bearer `.
    pub outbound_prefix: Option<String>,
    /// How long it is good; `None`: the companion's default.
    pub ttl_s: Option<u64>,
    /// The fact that names whose token it is; `None`: by the step's subject.
    pub subject_fact: Option<String>,
    /// That fact must name the caller.
    pub bind_subject: bool,
    /// Proxies may use a narrowed token again.
    pub cache: bool,
}

impl Delegator {
    /// The header that carries the credential.
    pub fn outbound_header(&self) -> &str {
        match self {
            Self::Oauth(oauth) => &oauth.outbound_header,
            Self::Secret { outbound_header, .. } => outbound_header,
            Self::Biscuit(biscuit) => &biscuit.outbound_header,
        }
    }
}

/// An OAuth delegator as the policy declares it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OauthUse {
    /// The token endpoint.
    pub token_endpoint: String,
    /// Plain HTTP is allowed.
    pub allow_http: bool,
    /// The proxy's client.
    pub client_id: String,
    /// How it proves itself.
    pub proof: ClientProof<SecretSource>,
    /// Time for one exchange, in milliseconds.
    pub timeout_ms: u64,
    /// The header that carries the minted token, lower-case.
    pub outbound_header: String,
    /// What stands before the token; `None`: `Bearer `.
    pub outbound_prefix: Option<String>,
    /// RFC 8693 `subject_token_type`; `None`: access token.
    pub subject_token_type: Option<String>,
    /// RFC 8693 `actor_token_type`; `None`: JWT.
    pub actor_token_type: Option<String>,
    /// `client_assertion_type` of an SVID; `None`: SPIFFE's.
    pub workload_assertion_type: Option<String>,
    /// Scopes that may come back beyond those asked for.
    pub allowed_extra_scopes: Vec<String>,
    /// Whether what comes back is checked.
    pub strict: bool,
    /// A minted token need not name the actor.
    pub accept_missing_actor: bool,
    /// The most actors behind one another.
    pub max_depth: Option<u32>,
    /// Where opaque tokens are looked into.
    pub introspection_endpoint: Option<String>,
    /// How long tokens are given out again, in seconds; `None`: the companion's default.
    pub cache_ttl_s: Option<u64>,
}

/// A directory of API keys as the policy declares it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeyDirectory {
    /// A file of digests and records.
    File {
        /// As the policy writes it.
        path: String,
    },
}

/// Where a secret is.
#[derive(Clone, PartialEq, Eq)]
pub enum SecretSource {
    /// In the policy's text.
    Literal(String),
    /// In an environment variable.
    Env(String),
    /// In a file.
    File(String),
    /// In a field of a secret in Vault.
    Vault {
        /// Where the KV store is mounted.
        mount: String,
        /// The secret's path.
        path: String,
        /// Its field.
        field: String,
    },
}

// A literal secret must not reach a log through `{:?}`.
impl std::fmt::Debug for SecretSource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Literal(_) => f.write_str("Literal(..)"),
            Self::Env(name) => f.debug_tuple("Env").field(name).finish(),
            Self::File(path) => f.debug_tuple("File").field(path).finish(),
            Self::Vault { mount, path, field } => f
                .debug_tuple("Vault")
                .field(mount)
                .field(path)
                .field(field)
                .finish(),
        }
    }
}

/// An identity that the program leaves open, with who vouches for it here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BoundIdentity {
    /// The plugin's name.
    pub name: String,
    /// At least one.
    pub issuers: Vec<apl_bytecode::BoundIssuer>,
}

/// Collects what a document needs.
pub(crate) fn deployment(document: &Document) -> Deployment {
    let mut deployment = Deployment {
        store: document.store.clone(),
        captures: document.settings.capture,
        approvals: document.approvals.as_ref().map(asks::approvals),
        ..Deployment::default()
    };
    for plugin in &document.plugins {
        match &plugin.kind {
            PluginKind::Identity(decl) => {
                deployment.identities.extend(bound(&plugin.name, decl));
                match &decl.source {
                    CredentialDecl::Token { issuers, .. } => {
                        for keys in issuers.iter().filter_map(issuer_keys) {
                            if !deployment.issuers.contains(&keys) {
                                deployment.issuers.push(keys);
                            }
                        }
                    }
                    CredentialDecl::ApiKey { directory, .. } => {
                        deployment
                            .directories
                            .insert(plugin.name.clone(), key_directory(directory));
                    }
                    CredentialDecl::Metadata { .. } | CredentialDecl::Peer { .. } => {}
                }
            }
            PluginKind::Oauth(oauth) => {
                deployment
                    .delegators
                    .insert(plugin.name.clone(), Delegator::Oauth(Box::new(delegator(oauth))));
            }
            PluginKind::BackendSecret(backend) => {
                let delegator = Delegator::Secret {
                    secret: secret(&backend.secret),
                    outbound_header: backend.outbound_header.clone(),
                    outbound_prefix: backend.outbound_prefix.clone(),
                    ttl_s: backend.ttl_s,
                };
                deployment.delegators.insert(plugin.name.clone(), delegator);
            }
            PluginKind::Biscuit(biscuit) => {
                let delegator = Delegator::Biscuit(BiscuitUse {
                    root: biscuit.root.clone(),
                    outbound_header: biscuit.outbound_header.clone(),
                    outbound_prefix: biscuit.outbound_prefix.clone(),
                    ttl_s: biscuit.ttl_s,
                    subject_fact: biscuit.subject_fact.clone(),
                    bind_subject: biscuit.bind_subject,
                    cache: biscuit.cache,
                });
                deployment.delegators.insert(plugin.name.clone(), delegator);
            }
            PluginKind::Elicitor(elicitor) => {
                deployment
                    .elicitors
                    .insert(plugin.name.clone(), asks::elicitor(elicitor));
            }
            PluginKind::Pii(_) | PluginKind::Audit { .. } | PluginKind::Broken => {}
        }
    }
    for point in &document.points {
        deployment
            .points
            .insert(point.name.clone(), asks::point(&point.kind));
    }
    deployment
}

fn bound(name: &str, decl: &IdentityDecl) -> Option<BoundIdentity> {
    let issuers = match &decl.source {
        CredentialDecl::Token { issuers, .. } => issuers
            .iter()
            .map(|issuer| apl_bytecode::BoundIssuer {
                issuer: issuer.issuer.clone(),
                audiences: issuer.audiences.clone(),
                algorithms: issuer.algorithms.clone(),
                leeway_s: issuer.leeway_s,
                jwks: match &issuer.keys {
                    Keys::Inline(jwks) => Some(jwks.clone()),
                    Keys::Url { .. } => None,
                },
            })
            .collect(),
        CredentialDecl::Metadata { issuers, .. } => issuers
            .iter()
            .map(|issuer| apl_bytecode::BoundIssuer {
                issuer: issuer.issuer.clone(),
                audiences: issuer.audiences.clone(),
                algorithms: Vec::new(),
                leeway_s: issuer.leeway_s,
                jwks: None,
            })
            .collect(),
        CredentialDecl::Peer { .. } => decl
            .trust_domains
            .iter()
            .map(|domain| apl_bytecode::BoundIssuer {
                issuer: format!("spiffe://{domain}"),
                audiences: Vec::new(),
                algorithms: Vec::new(),
                leeway_s: 0,
                jwks: None,
            })
            .collect(),
        CredentialDecl::ApiKey { .. } => return None,
    };
    decl.bound.then(|| BoundIdentity {
        name: name.to_owned(),
        issuers,
    })
}

fn issuer_keys(issuer: &JwtIssuer) -> Option<IssuerKeys> {
    match &issuer.keys {
        Keys::Inline(_) => None,
        Keys::Url {
            url,
            allow_http,
            refresh_s,
        } => Some(IssuerKeys {
            issuer: issuer.issuer.clone(),
            jwks_url: url.clone(),
            allow_http: *allow_http,
            refresh_s: *refresh_s,
        }),
    }
}

fn key_directory(decl: &DirectoryDecl) -> KeyDirectory {
    let DirectoryDecl::File { path } = decl;
    KeyDirectory::File { path: path.clone() }
}

fn secret(secret: &Secret) -> SecretSource {
    match secret {
        Secret::Literal(secret) => SecretSource::Literal(secret.clone()),
        Secret::Env(name) => SecretSource::Env(name.clone()),
        Secret::File(path) => SecretSource::File(path.clone()),
        Secret::Vault { mount, path, field } => SecretSource::Vault {
            mount: mount.clone(),
            path: path.clone(),
            field: field.clone(),
        },
    }
}

fn proof(proof: &ClientProof) -> ClientProof<SecretSource> {
    match proof {
        ClientProof::Basic(basic) => ClientProof::Basic(secret(basic)),
        ClientProof::Post(post) => ClientProof::Post(secret(post)),
        ClientProof::Key { key, id, audience } => ClientProof::Key {
            key: secret(key),
            id: id.clone(),
            audience: audience.clone(),
        },
    }
}

fn delegator(oauth: &Oauth) -> OauthUse {
    OauthUse {
        token_endpoint: oauth.token_endpoint.clone(),
        allow_http: oauth.allow_http,
        client_id: oauth.client_id.clone(),
        proof: proof(&oauth.proof),
        timeout_ms: oauth.timeout_ms,
        outbound_header: oauth.outbound_header.clone(),
        outbound_prefix: oauth.outbound_prefix.clone(),
        subject_token_type: oauth.subject_token_type.clone(),
        actor_token_type: oauth.actor_token_type.clone(),
        workload_assertion_type: oauth.workload_assertion_type.clone(),
        allowed_extra_scopes: oauth.allowed_extra_scopes.clone(),
        strict: oauth.strict,
        accept_missing_actor: oauth.accept_missing_actor,
        max_depth: oauth.max_depth,
        introspection_endpoint: oauth.introspection_endpoint.clone(),
        cache_ttl_s: oauth.cache_ttl_s,
    }
}
