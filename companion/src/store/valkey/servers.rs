//! Which server is asked: the one that is named, or the primary that sentinels name.
//!
//! Sentinels are asked anew for every connection, one after the other, and whom they name is checked like any other server
//! ([`link`](super::link)): one that has not noticed a failover yet names a replica or nobody, and the next one is asked.

use std::time::Duration;

use redis::{
    AsyncConnectionConfig, Client, ConnectionInfo, IntoConnectionInfo, RedisConnectionInfo, RedisError,
    TlsCertificates,
};

use super::link::{Link, LinkError};

/// Who is asked.
#[derive(Debug, Clone)]
pub(super) enum Servers {
    /// This one.
    One(Client),
    /// Whoever these say.
    Named(Sentinels),
}

/// Sentinels and what they watch.
#[derive(Debug, Clone)]
pub(super) struct Sentinels {
    /// At least one.
    asked: Vec<Client>,
    /// The primary's name among them.
    name: String,
    ways: Ways,
    /// Plain TCP to other hosts is allowed.
    allow_plain: bool,
}

/// How a server is connected to.
#[derive(Debug, Clone)]
pub(super) struct Ways {
    pub(super) tls: bool,
    pub(super) ca: Option<Vec<u8>>,
    pub(super) user: RedisConnectionInfo,
}

impl Ways {
    /// A client of the server there.
    pub(super) fn client(&self, host_and_port: &str) -> Result<Client, RedisError> {
        self.to(host_and_port, self.user.clone())
    }

    fn to(&self, host_and_port: &str, user: RedisConnectionInfo) -> Result<Client, RedisError> {
        let scheme = if self.tls { "rediss" } else { "redis" };
        let info: ConnectionInfo = format!("{scheme}://{host_and_port}").into_connection_info()?;
        let info = info.set_redis_settings(user);
        match (self.tls, self.ca.clone()) {
            (true, Some(ca)) => Client::build_with_tls(
                info,
                TlsCertificates {
                    client_tls: None,
                    root_cert: Some(ca),
                },
            ),
            (true, None) | (false, _) => Client::open(info),
        }
    }
}

impl Sentinels {
    /// `hosts`: the sentinels, each `host:port`. They are asked without credentials.
    pub(super) fn new(hosts: &[&str], name: &str, ways: Ways, allow_plain: bool) -> Result<Self, RedisError> {
        let nobody = RedisConnectionInfo::default().set_skip_set_lib_name();
        let asked = hosts.iter().map(|host| ways.to(host, nobody.clone()));
        Ok(Self {
            asked: asked.collect::<Result<_, _>>()?,
            name: name.to_owned(),
            ways,
            allow_plain,
        })
    }

    async fn open(&self, connect: Duration, command: Duration) -> Result<Link, LinkError> {
        let mut why = LinkError::NoPrimary(self.name.clone());
        for sentinel in &self.asked {
            let outcome = match self.primary(sentinel, connect, command).await {
                Ok(primary) => Link::open(&primary, connect, command).await,
                Err(error) => Err(error),
            };
            match outcome {
                Ok(link) => return Ok(link),
                // A server that is not fit is not mended by asking somebody else for it.
                Err(error) if error.is_misfit() => return Err(error),
                Err(error) => why = error,
            }
        }
        Err(why)
    }

    async fn primary(
        &self,
        sentinel: &Client,
        connect: Duration,
        command: Duration,
    ) -> Result<Client, LinkError> {
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(connect))
            .set_response_timeout(Some(command));
        let mut connection = sentinel
            .get_multiplexed_async_connection_with_config(&config)
            .await?;
        let named: Option<(String, u16)> = redis::cmd("SENTINEL")
            .arg("GET-MASTER-ADDR-BY-NAME")
            .arg(&self.name)
            .query_async(&mut connection)
            .await?;
        let (host, port) = named.ok_or_else(|| LinkError::NoPrimary(self.name.clone()))?;
        let ip = host.parse::<std::net::IpAddr>();
        if !self.ways.tls && !self.allow_plain && !ip.is_ok_and(|ip| ip.is_loopback()) {
            return Err(LinkError::Plain(host));
        }
        let bracket = if host.contains(':') { ("[", "]") } else { ("", "") };
        Ok(self
            .ways
            .client(&format!("{}{host}{}:{port}", bracket.0, bracket.1))?)
    }
}

impl Servers {
    /// A checked connection to the primary.
    pub(super) async fn open(&self, connect: Duration, command: Duration) -> Result<Link, LinkError> {
        match self {
            Self::One(client) => Link::open(client, connect, command).await,
            Self::Named(sentinels) => sentinels.open(connect, command).await,
        }
    }
}
