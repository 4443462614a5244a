//! The development identity provider: the paths and tokens of the Keycloak realm `cpex-demo`, without Keycloak.
//!
//! It knows the demo's users and clients ([`realm`]) and four grants ([`grants`]): password and client_credentials for
//! the agent's client, token exchange (RFC 8693) and CIBA ([`ciba`]) for the gateway's. Keys are made at start and live in memory. With
//! the control endpoint ([`control`]) it can be told to grant less than asked, to be down, slow, or to lie, so that a
//! demonstration can show what happens then.
//!
//! It is for development: everybody's password is their name.

mod ciba;
pub mod control;
mod grants;
mod keys;
pub mod realm;
mod server;

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use tokio::net::TcpListener;

use control::Control;
use keys::SigningKey;

/// The issuer when none is given: what the foreign demo policy trusts.
pub const DEFAULT_ISSUER: &str = "http://localhost:8081/realms/cpex-demo";

/// The realm's base path; every endpoint is below it.
pub const REALM_PATH: &str = "/realms/cpex-demo";

/// How long tokens live, in seconds.
pub const TOKEN_LIFETIME_S: u64 = 600;

/// How the provider is set up.
#[derive(Debug, Clone)]
pub struct Options {
    /// The `iss` of its tokens.
    pub issuer: String,
    /// Whether `/control` is there.
    pub control: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            issuer: DEFAULT_ISSUER.to_owned(),
            control: false,
        }
    }
}

/// A provider that is bound and not yet running.
pub struct DevIdp {
    listener: TcpListener,
    address: SocketAddr,
    state: Arc<State>,
    with_control: bool,
}

/// What the handlers share.
struct State {
    issuer: String,
    key: SigningKey,
    control: Control,
    backchannel: ciba::Backchannel,
}

impl DevIdp {
    /// Makes a key and binds. Port 0 picks a free port.
    pub async fn bind(listen: SocketAddr, options: Options) -> io::Result<Self> {
        let listener = TcpListener::bind(listen).await?;
        let address = listener.local_addr()?;
        let key = tokio::task::spawn_blocking(SigningKey::generate)
            .await
            .map_err(io::Error::other)?
            .map_err(io::Error::other)?;
        Ok(Self {
            listener,
            address,
            state: Arc::new(State {
                issuer: options.issuer,
                key,
                control: Control::default(),
                backchannel: ciba::Backchannel::default(),
            }),
            with_control: options.control,
        })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The token endpoint's URL on the bound address.
    pub fn token_endpoint(&self) -> String {
        format!("http://{}{REALM_PATH}{}", self.address, server::TOKEN)
    }

    /// The key set's URL on the bound address.
    pub fn jwks_url(&self) -> String {
        format!("http://{}{REALM_PATH}{}", self.address, server::CERTS)
    }

    /// Serves until `stop` completes.
    pub async fn run(self, stop: impl Future<Output = ()> + Send + 'static) -> io::Result<()> {
        axum::serve(self.listener, server::router(self.state, self.with_control))
            .with_graceful_shutdown(stop)
            .await
    }
}
