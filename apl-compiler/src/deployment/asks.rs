//! Ways to ask humans, and decision points.

use apl_vm::Tree;

use super::{SecretSource, secret};
use crate::document::{Elicitor, PointKind, TextSource};

/// A way to ask humans.
#[derive(Debug, Clone, PartialEq)]
pub enum ElicitorUse {
    /// The companion's own pages.
    Page {
        /// Seconds that a request has; 0: the companion's default.
        timeout_s: u64,
        /// The requester may approve.
        allow_self: bool,
    },
    /// OpenID Connect CIBA.
    Ciba(Box<CibaUse>),
}

/// OpenID Connect CIBA.
#[derive(Debug, Clone, PartialEq)]
pub struct CibaUse {
    /// Where a request begins.
    pub backchannel_endpoint: String,
    /// Where its answer is fetched.
    pub token_endpoint: String,
    /// Plain HTTP is allowed.
    pub allow_http: bool,
    /// The exact `iss`; `None`: not checked.
    pub issuer: Option<String>,
    /// The companion's client.
    pub client_id: String,
    /// Its secret.
    pub secret: SecretSource,
    /// `None`: `openid`.
    pub scope: Option<String>,
    /// `None`: `preferred_username`.
    pub approver_claim: Option<String>,
    /// Seconds that a request has; `None`: the companion's default.
    pub default_expiry_s: Option<u64>,
    /// Time for one call, in milliseconds.
    pub timeout_ms: u64,
    /// The provider tells when there is an answer.
    pub ping: bool,
    /// The requester may approve.
    pub allow_self: bool,
}

/// A decision point.
#[derive(Debug, Clone, PartialEq)]
pub enum PointUse {
    /// Cedar policies.
    Cedar {
        /// The policies.
        policies: TextSource,
        /// Their schema.
        schema: Option<TextSource>,
        /// What stands before the principal's type.
        namespace: Option<String>,
    },
    /// Rego modules.
    Opa {
        /// The modules.
        modules: Vec<TextSource>,
        /// `data`.
        data: Option<Tree>,
        /// JSON files that are merged into it.
        data_files: Vec<String>,
        /// The member of an object that decides.
        decision_field: Option<String>,
    },
    /// A server.
    Remote {
        /// NeMo Guardrails; otherwise AuthZEN.
        nemo: bool,
        /// Where.
        url: String,
        /// Plain HTTP is allowed.
        allow_http: bool,
        /// A bearer token.
        token: Option<SecretSource>,
        /// NeMo's configuration.
        config_id: Option<String>,
        /// Time for one decision, in milliseconds.
        timeout_ms: u64,
    },
}

pub(super) fn elicitor(elicitor: &Elicitor) -> ElicitorUse {
    match elicitor {
        Elicitor::Page {
            timeout_s,
            allow_self,
        } => ElicitorUse::Page {
            timeout_s: *timeout_s,
            allow_self: *allow_self,
        },
        Elicitor::Ciba(ciba) => ElicitorUse::Ciba(Box::new(CibaUse {
            backchannel_endpoint: ciba.backchannel_endpoint.clone(),
            token_endpoint: ciba.token_endpoint.clone(),
            allow_http: ciba.allow_http,
            issuer: ciba.issuer.clone(),
            client_id: ciba.client_id.clone(),
            secret: secret(&ciba.secret),
            scope: ciba.scope.clone(),
            approver_claim: ciba.approver_claim.clone(),
            default_expiry_s: ciba.default_expiry_s,
            timeout_ms: ciba.timeout_ms,
            ping: ciba.ping,
            allow_self: ciba.allow_self,
        })),
    }
}

pub(super) fn point(kind: &PointKind) -> PointUse {
    match kind.clone() {
        PointKind::Cedar {
            policies,
            schema,
            namespace,
        } => PointUse::Cedar {
            policies,
            schema,
            namespace,
        },
        PointKind::Opa {
            modules,
            data,
            data_files,
            decision_field,
        } => PointUse::Opa {
            modules,
            data,
            data_files,
            decision_field,
        },
        PointKind::Remote {
            nemo,
            url,
            allow_http,
            token,
            config_id,
            timeout_ms,
        } => PointUse::Remote {
            nemo,
            url,
            allow_http,
            token: token.as_ref().map(secret),
            config_id,
            timeout_ms,
        },
    }
}
