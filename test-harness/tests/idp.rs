//! The development identity provider: each grant, each refusal, and the companion's exchange at it.

#[path = "idp/provider.rs"]
mod provider;

#[path = "idp/companion.rs"]
mod companion;
#[path = "idp/grants.rs"]
mod grants;
