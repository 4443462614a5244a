//! Ways to ask humans, and decision points.

use apl_vm::Tree;

use super::{SecretSource, secret};
use crate::document::{Approvals, Elicitor, PointKind, TextSource, Webhook};

/// A way to ask humans.
#[derive(Debug, Clone, PartialEq)]
pub enum ElicitorUse {
    /// The companion's own pages.
    Page {
        /// Seconds that a request has; 0: the companion's default.
        timeout_s: u64,
        /// The requester may approve.
        allow_self: bool,
        /// Is told of every new request.
        webhook: Option<Box<WebhookUse>>,
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

/// Where the companion's pages are, and who may sign in.
#[derive(Debug, Clone, PartialEq)]
pub struct ApprovalsUse {
    /// For browsers.
    pub public_url: String,
    /// Plain HTTP is allowed.
    pub allow_http: bool,
    /// OpenID Connect; `None`: one-time links only.
    pub sign_in: Option<SignInUse>,
}

/// OpenID Connect for approvers.
#[derive(Debug, Clone, PartialEq)]
pub struct SignInUse {
    /// The exact `iss`.
    pub issuer: String,
    /// Where the browser is sent.
    pub authorization_endpoint: String,
    /// Where the code is redeemed.
    pub token_endpoint: String,
    /// The companion's client.
    pub client_id: String,
    /// Its secret; `None`: a public client.
    pub secret: Option<SecretSource>,
    /// `None`: the companion's default.
    pub scope: Option<String>,
    /// `None`: the companion's default.
    pub approver_claim: Option<String>,
    /// Time for redeeming the code, in milliseconds.
    pub timeout_ms: u64,
}

/// Who is told of a new request.
#[derive(Debug, Clone, PartialEq)]
pub struct WebhookUse {
    /// The receiver.
    pub url: String,
    /// Plain HTTP is allowed.
    pub allow_http: bool,
    /// The key of its signature.
    pub secret: SecretSource,
    /// Time for one attempt, in milliseconds.
    pub timeout_ms: u64,
}

pub(super) fn approvals(approvals: &Approvals) -> ApprovalsUse {
    ApprovalsUse {
        public_url: approvals.public_url.clone(),
        allow_http: approvals.allow_http,
        sign_in: approvals.sign_in.as_ref().map(|sign_in| SignInUse {
            issuer: sign_in.issuer.clone(),
            authorization_endpoint: sign_in.authorization_endpoint.clone(),
            token_endpoint: sign_in.token_endpoint.clone(),
            client_id: sign_in.client_id.clone(),
            secret: sign_in.secret.as_ref().map(secret),
            scope: sign_in.scope.clone(),
            approver_claim: sign_in.approver_claim.clone(),
            timeout_ms: sign_in.timeout_ms,
        }),
    }
}

fn webhook(webhook: &Webhook) -> WebhookUse {
    WebhookUse {
        url: webhook.url.clone(),
        allow_http: webhook.allow_http,
        secret: secret(&webhook.secret),
        timeout_ms: webhook.timeout_ms,
    }
}

pub(super) fn elicitor(elicitor: &Elicitor) -> ElicitorUse {
    match elicitor {
        Elicitor::Page {
            timeout_s,
            allow_self,
            webhook,
        } => ElicitorUse::Page {
            timeout_s: *timeout_s,
            allow_self: *allow_self,
            webhook: webhook.as_ref().map(|webhook| Box::new(self::webhook(webhook))),
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
