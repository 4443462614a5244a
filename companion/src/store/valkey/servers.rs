//! Which server is asked: the one that is named, or the primary that sentinels name.
//!
//! Sentinels are asked anew for every connection, one after the other, and whom they name is checked like any other server
//! ([`link`](super::link)): one that has not noticed a failover yet names a replica or nobody, and the next one is asked.

use std::io;
use std::sync::Arc;

use hyper_rustls::ConfigBuilderExt;
use redis::{Client, ConnectionInfo, IntoConnectionInfo, RedisConnectionInfo, RedisError, TlsCertificates};

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};

use super::link::{Link, LinkError};
use super::settings::Settings;

/// Who is asked.
#[derive(Debug, Clone)]
pub(super) enum Servers {
    /// This one.
    One(Client),
    /// This one, of a cluster.
    Member(Client),
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
}

/// How a server is connected to.
#[derive(Debug, Clone)]
pub(super) struct Ways {
    pub(super) tls: bool,
    pub(super) ca: Option<Vec<u8>>,
    pub(super) user: RedisConnectionInfo,
    /// Plain TCP to other hosts is allowed.
    pub(super) allow_plain: bool,
}

impl Ways {
    /// For connections of our own beside the client's; `None`: they are plain.
    pub(super) fn tls_config(&self) -> io::Result<Option<Arc<ClientConfig>>> {
        if !self.tls {
            return Ok(None);
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(io::Error::other)?;
        let Some(ca) = &self.ca else {
            return Ok(Some(Arc::new(builder.with_native_roots()?.with_no_client_auth())));
        };
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(ca) {
            let certificate = certificate.map_err(io::Error::other)?;
            roots.add(certificate).map_err(io::Error::other)?;
        }
        Ok(Some(Arc::new(
            builder.with_root_certificates(roots).with_no_client_auth(),
        )))
    }

    /// A client of a server that others name, unless it would be spoken to in the clear.
    pub(super) fn named(&self, host: &str, port: u16) -> Result<Client, LinkError> {
        let ip = host.parse::<std::net::IpAddr>();
        if !self.tls && !self.allow_plain && !ip.is_ok_and(|ip| ip.is_loopback()) {
            return Err(LinkError::Plain(host.to_owned()));
        }
        let (open, close) = if host.contains(':') { ("[", "]") } else { ("", "") };
        Ok(self.client(&format!("{open}{host}{close}:{port}"))?)
    }

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
    pub(super) fn new(hosts: &[&str], name: &str, ways: Ways) -> Result<Self, RedisError> {
        let nobody = RedisConnectionInfo::default().set_skip_set_lib_name();
        let asked = hosts.iter().map(|host| ways.to(host, nobody.clone()));
        Ok(Self {
            asked: asked.collect::<Result<_, _>>()?,
            name: name.to_owned(),
            ways,
        })
    }

    async fn open(&self, settings: &Settings) -> Result<Link, LinkError> {
        let mut why = LinkError::NoPrimary(self.name.clone());
        for sentinel in &self.asked {
            let outcome = match self.primary(sentinel, settings).await {
                Ok(primary) => Link::open(&primary, settings, false).await,
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

    /// The first primary that one of them names, looked at or not.
    pub(super) async fn find(&self, settings: &Settings) -> Result<Client, LinkError> {
        let mut why = LinkError::NoPrimary(self.name.clone());
        for sentinel in &self.asked {
            match self.primary(sentinel, settings).await {
                Ok(primary) => return Ok(primary),
                Err(error) => why = error,
            }
        }
        Err(why)
    }

    async fn primary(&self, sentinel: &Client, settings: &Settings) -> Result<Client, LinkError> {
        let mut connection = settings.connect(sentinel).await?;
        let named: Option<(String, u16)> = redis::cmd("SENTINEL")
            .arg("GET-MASTER-ADDR-BY-NAME")
            .arg(&self.name)
            .query_async(&mut connection)
            .await?;
        let (host, port) = named.ok_or_else(|| LinkError::NoPrimary(self.name.clone()))?;
        self.ways.named(&host, port)
    }
}

impl Servers {
    /// A checked connection to the primary.
    pub(super) async fn open(&self, settings: &Settings) -> Result<Link, LinkError> {
        match self {
            Self::One(client) => Link::open(client, settings, false).await,
            Self::Member(client) => Link::open(client, settings, true).await,
            Self::Named(sentinels) => sentinels.open(settings).await,
        }
    }
}
