//! A connection to a server that is fit to hold labels.
//!
//! Every connection is checked, because behind one name another server may answer after a failover:
//!
//! | check | why |
//! |---|---|
//! | it is a primary | a replica shows labels late and loses what is written to it |
//! | it evicts nothing (`maxmemory-policy noeviction`, or no `maxmemory`) | an evicted bucket is a lost taint |
//! | it has an append-only file, and `WAITAOF` (Redis 7.2, Valkey) or `appendfsync always` | an append is durable when acknowledged |

use std::sync::Arc;

use redis::aio::MultiplexedConnection;
use redis::{Client, RedisError};
use tokio::sync::OnceCell;

use super::layout::SCRIPTS;
use super::settings::Settings;
use super::wire::Wire;

/// A checked connection.
#[derive(Clone)]
pub(in crate::store) struct Link {
    connection: MultiplexedConnection,
    /// Whom it leads to.
    client: Client,
    /// A second connection there, for loads, when there are any.
    wire: Arc<OnceCell<Wire>>,
    /// Names the server's life: another one may have lost what the last did not have on disk.
    pub(super) run_id: Arc<str>,
    pub(super) has_waitaof: bool,
    /// The scripts' digests, in the order of [`SCRIPTS`].
    pub(super) scripts: [Arc<str>; 4],
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// The server does not answer, or refuses.
    #[error("no session with the server")]
    Server(#[from] RedisError),
    /// It answered in a way that this build does not know.
    #[error("the server's `INFO` has no `{0}`")]
    Unknown(&'static str),
    /// No sentinel knows a primary of this name.
    #[error("no sentinel names a primary `{0}`")]
    NoPrimary(String),
    /// A sentinel or a cluster names a host that would be spoken to in the clear.
    #[error(
        "a server at `{0}` is named, and it would be plain TCP; use `rediss+…://`, or `allow_plain` in development"
    )]
    Plain(String),
    /// Keys lie on other servers too.
    #[error(
        "the server is part of a cluster; write `redis+cluster://` (or `rediss+cluster://`) and some of its servers"
    )]
    Cluster,
    /// Asked for as a cluster.
    #[error("the server is no part of a cluster; write `redis://` or `rediss://`")]
    NoCluster,
    /// No server knows a whole cluster.
    #[error("no server of the cluster answers that it is in order")]
    NoMap,
    /// Not the primary.
    #[error("the server is a replica; name the primary")]
    Replica,
    /// What it says.
    #[error("the server refuses: {0}")]
    Refused(String),
    /// Between two connections.
    #[error("another server answers at the same address")]
    Another,
    /// Labels could vanish.
    #[error("the server evicts keys under `{0}`; set `maxmemory-policy noeviction`")]
    Evicts(String),
    /// Nothing is written down.
    #[error("the server has no append-only file; set `appendonly yes`")]
    NoAppendOnlyFile,
    /// Written down too late, and nobody can ask when.
    #[error(
        "the server is older than Redis 7.2 and has no `WAITAOF`; set `appendfsync always`, which is `{0}` (and let this user read it with `CONFIG GET`)"
    )]
    SyncsLate(String),
}

impl LinkError {
    /// Whether it is the configuration that is wrong, which time does not mend.
    pub(super) fn is_misfit(&self) -> bool {
        match self {
            Self::Server(_)
            | Self::Refused(_)
            | Self::Another
            | Self::Replica
            | Self::NoPrimary(_)
            | Self::NoMap => false,
            Self::Plain(_)
            | Self::Cluster
            | Self::NoCluster
            | Self::Unknown(_)
            | Self::Evicts(_)
            | Self::NoAppendOnlyFile
            | Self::SyncsLate(_) => true,
        }
    }
}

impl Link {
    /// One more handle of the connection.
    pub(in crate::store) fn connection(&self) -> MultiplexedConnection {
        self.connection.clone()
    }

    pub(super) const fn client(&self) -> &Client {
        &self.client
    }

    /// The connection for loads, to the very same server.
    pub(super) async fn wire(&self, settings: &Settings) -> Result<&Wire, LinkError> {
        self.wire.get_or_try_init(|| Wire::open(self, settings)).await
    }

    /// Whether it is the very same connection.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.run_id, &other.run_id)
    }

    /// The digest of the script that changes a document.
    pub(in crate::store) fn case_script(&self) -> &str {
        let [_, _, script, _] = &self.scripts;
        script
    }

    /// `in_cluster`: whether it has to be a part of a cluster, or must not be.
    pub(super) async fn open(
        client: &Client,
        settings: &Settings,
        in_cluster: bool,
    ) -> Result<Self, LinkError> {
        let mut connection = settings.connect(client).await?;
        let info: String = redis::cmd("INFO")
            .arg("everything")
            .query_async(&mut connection)
            .await?;
        let field = |name: &'static str| field(&info, name).ok_or(LinkError::Unknown(name));
        if field("role")? != "master" {
            return Err(LinkError::Replica);
        }
        match (in_cluster, field("cluster_enabled").unwrap_or("0") == "1") {
            (true, false) => return Err(LinkError::NoCluster),
            (false, true) => return Err(LinkError::Cluster),
            (true, true) | (false, false) => {}
        }
        let policy = field("maxmemory_policy")?;
        if policy != "noeviction" && field("maxmemory")? != "0" {
            return Err(LinkError::Evicts(policy.to_owned()));
        }
        if field("aof_enabled")? != "1" {
            return Err(LinkError::NoAppendOnlyFile);
        }
        let has_waitaof = at_least(field("redis_version")?, (7, 2));
        if !has_waitaof {
            let asked: Result<Vec<String>, _> = redis::cmd("CONFIG")
                .arg("GET")
                .arg("appendfsync")
                .query_async(&mut connection)
                .await;
            match asked.ok().and_then(|pair| pair.into_iter().nth(1)) {
                Some(when) if when == "always" => {}
                when => return Err(LinkError::SyncsLate(when.unwrap_or_else(|| "unknown".to_owned()))),
            }
        }
        let mut digests = Vec::new();
        for script in SCRIPTS {
            let mut load = redis::cmd("SCRIPT");
            let digest: String = load.arg("LOAD").arg(script).query_async(&mut connection).await?;
            digests.push(Arc::from(digest));
        }
        let scripts = digests
            .try_into()
            .map_err(|_| LinkError::Unknown("script digest"))?;
        let run_id = field("run_id")?.into();
        Ok(Self {
            connection,
            client: client.clone(),
            wire: Arc::default(),
            run_id,
            has_waitaof,
            scripts,
        })
    }
}

fn field<'a>(info: &'a str, name: &str) -> Option<&'a str> {
    info.lines()
        .filter_map(|line| line.trim_end().split_once(':'))
        .find(|(known, _)| *known == name)
        .map(|(_, value)| value)
}

fn at_least(version: &str, (major, minor): (u32, u32)) -> bool {
    let mut parts = version.split('.').map(|part| part.parse::<u32>().unwrap_or(0));
    (parts.next().unwrap_or(0), parts.next().unwrap_or(0)) >= (major, minor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_versions_and_fields_of_info() {
        assert!(at_least("7.2.4", (7, 2)) && at_least("8.0", (7, 2)) && !at_least("7.0.15", (7, 2)));
        let info = "# Server\r\nrun_id:ab\r\nrole:master\r\n";
        assert_eq!((field(info, "run_id"), field(info, "ru")), (Some("ab"), None));
    }
}
