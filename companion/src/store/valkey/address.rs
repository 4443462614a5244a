//! Where the server is and who we are there.

use std::time::Duration;

use companion_protocol::config::ValkeyConfig;
use redis::{
    Client, ConnectionAddr, ConnectionInfo, IntoConnectionInfo, ProtocolVersion, RedisConnectionInfo,
    TlsCertificates,
};

use crate::config::Secret;

/// A server, ready to be connected to.
#[derive(Debug, Clone)]
pub struct Address {
    pub(super) endpoint: String,
    pub(super) client: Client,
    pub(super) prefix: String,
    pub(super) replicas: u32,
    pub(super) connect_timeout: Duration,
    pub(super) command_timeout: Duration,
}

/// Why an endpoint is refused.
#[derive(Debug, thiserror::Error)]
pub enum AddressError {
    /// Not an address.
    #[error("`{endpoint}` is neither `host:port` nor a `redis://` or `rediss://` URL")]
    Endpoint {
        /// What was written.
        endpoint: String,
        /// Why.
        source: redis::RedisError,
    },
    /// Credentials in the URL end up in logs.
    #[error("the store's URL carries credentials; give `username` and `password` (by reference) instead")]
    Credentials,
    /// Unix sockets and the like.
    #[error("`{0}` is not a TCP address")]
    Unsupported(String),
    /// Labels and the password would be readable on the way.
    #[error("`{0}` is plain TCP; use `rediss://`, or `allow_plain` in development")]
    Plain(String),
    /// A user and no password.
    #[error("`username` without `password`")]
    NoPassword,
    /// The prefix would be taken for a pattern.
    #[error("`key_prefix` may hold letters, digits, `:`, `.`, `_` and `-`")]
    Prefix,
    /// The certificate cannot be used.
    #[error("TLS towards the store cannot be set up")]
    Tls(#[source] redis::RedisError),
}

impl Address {
    /// As configured, without credentials.
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// Checks the configuration. `password` and `ca` (PEM) are what its references stand for.
    pub fn new(
        config: &ValkeyConfig,
        password: Option<&Secret>,
        ca: Option<Vec<u8>>,
    ) -> Result<Self, AddressError> {
        let url = match config.endpoint.contains("://") {
            true => config.endpoint.clone(),
            false => format!("redis://{}", config.endpoint),
        };
        let info: ConnectionInfo =
            url.as_str()
                .into_connection_info()
                .map_err(|source| AddressError::Endpoint {
                    // What cannot be parsed may hold a password.
                    endpoint: url.rsplit('@').next().unwrap_or_default().to_owned(),
                    source,
                })?;
        if info.redis_settings().username().is_some() || info.redis_settings().password().is_some() {
            return Err(AddressError::Credentials);
        }
        let is_loopback = |host: &str| {
            host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
        };
        let tls = match info.addr() {
            ConnectionAddr::Tcp(host, _) if config.allow_plain || is_loopback(host) => false,
            ConnectionAddr::Tcp(..) => return Err(AddressError::Plain(config.endpoint.clone())),
            // `rediss://…/#insecure` would turn the check of names off.
            ConnectionAddr::TcpTls { insecure: false, .. } => true,
            _ => return Err(AddressError::Unsupported(config.endpoint.clone())),
        };
        if config.username.is_some() && password.is_none() {
            return Err(AddressError::NoPassword);
        }
        let plain = |b: u8| b.is_ascii_alphanumeric() || b":._-".contains(&b);
        if config.key_prefix.is_empty() || !config.key_prefix.bytes().all(plain) {
            return Err(AddressError::Prefix);
        }
        let mut user = RedisConnectionInfo::default()
            .set_db(info.redis_settings().db())
            .set_protocol(ProtocolVersion::RESP2)
            .set_skip_set_lib_name();
        if let Some(name) = &config.username {
            user = user.set_username(name);
        }
        if let Some(password) = password {
            user = user.set_password(password.expose());
        }
        let info = info.set_redis_settings(user);
        let client = match (tls, ca) {
            (true, Some(ca)) => Client::build_with_tls(
                info,
                TlsCertificates {
                    client_tls: None,
                    root_cert: Some(ca),
                },
            ),
            (true, None) | (false, _) => Client::open(info),
        };
        Ok(Self {
            endpoint: config.endpoint.clone(),
            client: client.map_err(AddressError::Tls)?,
            prefix: config.key_prefix.clone(),
            replicas: config.replicas,
            connect_timeout: Duration::from_millis(config.connect_timeout_ms.max(1)),
            command_timeout: Duration::from_millis(config.command_timeout_ms.max(4)),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(change: impl FnOnce(&mut ValkeyConfig)) -> Option<AddressError> {
        let mut config = ValkeyConfig::at("rediss://store.example:6379");
        change(&mut config);
        Address::new(&config, None, None).err()
    }

    #[test]
    fn refuses_what_would_show_a_password_or_labels_on_the_way() {
        assert!(refusal(|_| {}).is_none());
        assert!(refusal(|c| c.endpoint = "127.0.0.1:6379".to_owned()).is_none());
        assert!(matches!(
            refusal(|c| c.endpoint = "store.example:6379".to_owned()),
            Some(AddressError::Plain(_))
        ));
        let plain =
            |c: &mut ValkeyConfig| (c.endpoint, c.allow_plain) = ("store.example:6379".to_owned(), true);
        assert!(refusal(plain).is_none());
        let with_password = "rediss://:hunter2@store.example";
        assert!(matches!(
            refusal(|c| c.endpoint = with_password.to_owned()),
            Some(AddressError::Credentials)
        ));
        assert!(matches!(
            refusal(|c| c.endpoint = "rediss://store.example/#insecure".to_owned()),
            Some(AddressError::Unsupported(_))
        ));
        assert!(matches!(
            refusal(|c| c.username = Some("u".to_owned())),
            Some(AddressError::NoPassword)
        ));
        assert!(matches!(
            refusal(|c| c.key_prefix = "a*".to_owned()),
            Some(AddressError::Prefix)
        ));
    }
}
