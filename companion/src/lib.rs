//! Token and state service beside the filter.
//!
//! The filter runs in the proxy and keeps nothing that matters. What needs a network, a secret or a memory that outlives
//! a request is asked of this service in one round trip: `POST /v1/effects` with an ordered list of effects
//! (`companion_protocol` is the contract).
//!
//! | module | what it does |
//! |---|---|
//! | [`admin`] | what an operator may see and remove, and how the command line reaches it |
//! | [`config`] | reads `companion.json` files and the secrets that they name |
//! | [`effects`] | performs a list of effects in order |
//! | [`delegation`] | RFC 8693 token exchange, with strict checks of what comes back |
//! | [`elicitation`] | asks humans, and lets through what they approved |
//! | [`approvals`] | the pages on which they answer |
//! | [`decision`] | Cedar, Rego, AuthZEN, NeMo Guardrails |
//! | [`store`] | labels of sessions and subjects, durable when acknowledged |
//! | [`audit`] | append-only record log, durable when acknowledged |
//! | [`jwks`] | fetches, cleans, keeps and serves issuers' keys |
//! | [`key_directory`] | whose an API key is |
//! | [`listen`] | TCP and TLS, and who is connected |
//! | [`service`] | HTTP: routes, limits, authentication |
//! | [`serve`] | puts the parts together and runs them until a signal comes |

#![forbid(unsafe_code)]

pub mod admin;
pub mod approvals;
pub mod audit;
mod client_auth;
pub mod clock;
pub mod config;
mod counting;
pub mod decision;
pub mod delegation;
pub mod effects;
pub mod elicitation;
mod group_commit;
mod id_token;
mod json_object;
pub mod jwks;
pub mod key_directory;
pub mod listen;
mod live;
pub mod metrics;
pub mod otlp;
pub mod outbound;
pub mod serve;
pub mod service;
pub mod store;
