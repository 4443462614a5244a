//! Where the server is and who we are there.

use std::time::Duration;

use companion_protocol::config::ValkeyConfig;
use redis::{ConnectionAddr, ConnectionInfo, IntoConnectionInfo, ProtocolVersion, RedisConnectionInfo};

use super::cluster::Seeds;
use super::servers::{Sentinels, Servers, Ways};
use super::settings::Settings;
use crate::config::Secret;

/// A server, ready to be connected to.
#[derive(Debug, Clone)]
pub struct Address {
    pub(super) endpoint: String,
    pub(super) place: Where,
    pub(super) settings: Settings,
}

/// One server or many.
#[derive(Debug, Clone)]
pub(super) enum Where {
    Servers(Servers),
    Cluster(Seeds),
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
    /// Sentinels without the name of what they watch.
    #[error("`{0}` names no primary: write `redis+sentinel://host:port,host:port/name`")]
    NoName(String),
    /// A cluster's servers.
    #[error("`{0}` is not `redis+cluster://host:port,host:port`")]
    Places(String),
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
        let given = Given { config, password, ca };
        if let Some((scheme, rest)) = config.endpoint.split_once("+sentinel://") {
            return given.sentinels(scheme, rest);
        }
        if let Some((scheme, rest)) = config.endpoint.split_once("+cluster://") {
            return given.cluster(scheme, rest);
        }
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
        let tls = match info.addr() {
            ConnectionAddr::Tcp(host, _) if config.allow_plain || is_loopback(host) => false,
            ConnectionAddr::Tcp(..) => return Err(AddressError::Plain(config.endpoint.clone())),
            // `rediss://…/#insecure` would turn the check of names off.
            ConnectionAddr::TcpTls { insecure: false, .. } => true,
            _ => return Err(AddressError::Unsupported(config.endpoint.clone())),
        };
        let mut ways = given.ways(tls)?;
        ways.user = ways.user.set_db(info.redis_settings().db());
        let place = match info.addr() {
            ConnectionAddr::Tcp(host, port) | ConnectionAddr::TcpTls { host, port, .. }
                if host.contains(':') =>
            {
                format!("[{host}]:{port}")
            }
            ConnectionAddr::Tcp(host, port) | ConnectionAddr::TcpTls { host, port, .. } => {
                format!("{host}:{port}")
            }
            _ => return Err(AddressError::Unsupported(config.endpoint.clone())),
        };
        let client = ways.client(&place).map_err(AddressError::Tls)?;
        Self::with(config, &ways, Where::Servers(Servers::One(client)))
    }

    fn with(config: &ValkeyConfig, ways: &Ways, place: Where) -> Result<Self, AddressError> {
        Ok(Self {
            endpoint: config.endpoint.clone(),
            place,
            settings: Settings {
                prefix: config.key_prefix.clone(),
                replicas: config.replicas,
                tls: ways.tls_config().map_err(|why| AddressError::Tls(why.into()))?,
                connect_timeout: Duration::from_millis(config.connect_timeout_ms.max(1)),
                command_timeout: Duration::from_millis(config.command_timeout_ms.max(4)),
            },
        })
    }
}

/// What is written about servers.
struct Given<'a> {
    config: &'a ValkeyConfig,
    password: Option<&'a Secret>,
    ca: Option<Vec<u8>>,
}

impl Given<'_> {
    /// `host:port,host:port/name`: the sentinels, and the primary's name among them.
    fn sentinels(self, scheme: &str, rest: &str) -> Result<Address, AddressError> {
        let config = self.config;
        let (hosts, name) = rest.split_once('/').unwrap_or((rest, ""));
        if name.is_empty() || name.contains('/') || hosts.is_empty() {
            return Err(AddressError::NoName(config.endpoint.clone()));
        }
        let hosts: Vec<&str> = hosts.split(',').collect();
        let ways = self.many(scheme, rest, &hosts)?;
        let sentinels =
            Sentinels::new(&hosts, name, ways.clone()).map_err(|source| AddressError::Endpoint {
                endpoint: config.endpoint.clone(),
                source,
            })?;
        Address::with(config, &ways, Where::Servers(Servers::Named(sentinels)))
    }

    /// `host:port,host:port`: some servers of a cluster, which name the others.
    fn cluster(self, scheme: &str, rest: &str) -> Result<Address, AddressError> {
        let config = self.config;
        let rest = rest.trim_end_matches('/');
        let hosts: Vec<&str> = rest.split(',').collect();
        let ways = self.many(scheme, rest, &hosts)?;
        let places = hosts.iter().map(|place| {
            let (host, port) = place.rsplit_once(':')?;
            let host = host.trim_matches(['[', ']']);
            Some((host.to_owned(), port.parse().ok()?)).filter(|_| !host.is_empty())
        });
        let places: Option<Vec<_>> = places.collect();
        let places = places.ok_or_else(|| AddressError::Places(config.endpoint.clone()))?;
        let seeds = Seeds {
            places,
            ways: ways.clone(),
        };
        Address::with(config, &ways, Where::Cluster(seeds))
    }

    /// How several servers are connected to.
    fn many(self, scheme: &str, rest: &str, hosts: &[&str]) -> Result<Ways, AddressError> {
        let config = self.config;
        if rest.contains('@') {
            return Err(AddressError::Credentials);
        }
        let tls = match scheme {
            "redis" => false,
            "rediss" => true,
            _ => return Err(AddressError::Unsupported(config.endpoint.clone())),
        };
        let host_of = |place: &&str| place.rsplit_once(':').map_or(*place, |(host, _)| host).to_owned();
        let here = |place: &&str| is_loopback(host_of(place).trim_matches(['[', ']']));
        if !tls && !config.allow_plain && !hosts.iter().all(here) {
            return Err(AddressError::Plain(config.endpoint.clone()));
        }
        self.ways(tls)
    }

    fn ways(self, tls: bool) -> Result<Ways, AddressError> {
        Ok(Ways {
            tls,
            user: user(self.config, self.password)?,
            ca: self.ca,
            allow_plain: self.config.allow_plain,
        })
    }
}

fn is_loopback(host: &str) -> bool {
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

/// Who we are there.
fn user(config: &ValkeyConfig, password: Option<&Secret>) -> Result<RedisConnectionInfo, AddressError> {
    if config.username.is_some() && password.is_none() {
        return Err(AddressError::NoPassword);
    }
    let plain = |b: u8| b.is_ascii_alphanumeric() || b":._-".contains(&b);
    if config.key_prefix.is_empty() || !config.key_prefix.bytes().all(plain) {
        return Err(AddressError::Prefix);
    }
    let mut user = RedisConnectionInfo::default()
        .set_protocol(ProtocolVersion::RESP2)
        .set_skip_set_lib_name();
    if let Some(name) = &config.username {
        user = user.set_username(name);
    }
    if let Some(password) = password {
        user = user.set_password(password.expose());
    }
    Ok(user)
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
    fn sentinels_are_named_with_what_they_watch_and_held_to_the_same_rules() {
        let at = |endpoint: &str| refusal(|config| config.endpoint = endpoint.to_owned());
        assert!(at("redis+sentinel://127.0.0.1:1,[::1]:2/main").is_none());
        assert!(at("rediss+sentinel://a.example:26379,b.example:26379/main").is_none());
        for nameless in [
            "redis+sentinel://127.0.0.1:1",
            "redis+sentinel://127.0.0.1:1/",
            "redis+sentinel:///main",
        ] {
            assert!(
                matches!(at(nameless), Some(AddressError::NoName(_))),
                "{nameless}"
            );
        }
        let far = "redis+sentinel://127.0.0.1:1,far.example:2/main";
        assert!(matches!(at(far), Some(AddressError::Plain(_))));
        let known = "redis+sentinel://user:hunter2@127.0.0.1:1/main";
        assert!(matches!(at(known), Some(AddressError::Credentials)));
    }

    #[test]
    fn a_cluster_is_named_by_some_of_its_servers() {
        let at = |endpoint: &str| refusal(|config| config.endpoint = endpoint.to_owned());
        assert!(at("redis+cluster://127.0.0.1:1,[::1]:2").is_none());
        assert!(at("rediss+cluster://a.example:6379,b.example:6379/").is_none());
        for nowhere in [
            "redis+cluster://127.0.0.1",
            "rediss+cluster://:1",
            "rediss+cluster://a.example:1,",
            "rediss+cluster://a.example:1/2",
        ] {
            let refused = at(nowhere);
            assert!(
                matches!(refused, Some(AddressError::Places(_))),
                "{nowhere}: {refused:?}"
            );
        }
        let far = "redis+cluster://127.0.0.1:1,far.example:2";
        assert!(matches!(at(far), Some(AddressError::Plain(_))));
        let known = "rediss+cluster://user:hunter2@far.example:1";
        assert!(matches!(at(known), Some(AddressError::Credentials)));
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
