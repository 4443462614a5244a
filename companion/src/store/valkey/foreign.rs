//! Label sets that another program keeps on a server: read, never written.
//!
//! The server need not be fit to hold our labels, so nothing about it is checked.

use std::collections::BTreeSet;

use redis::aio::MultiplexedConnection;
use redis::{Pipeline, Value};

use super::Address;
use super::address::Where;
use super::link::LinkError;
use super::servers::Servers;

/// Keys that one step of a scan looks at, and sets that one pipeline reads.
const AT_ONCE: usize = 256;

/// Somebody else's sets, `<prefix>:<rest>`.
pub struct Foreign {
    connection: MultiplexedConnection,
    prefix: String,
}

impl Foreign {
    /// Connects. `key_prefix` of the address is that of the sets.
    pub async fn open(address: &Address) -> Result<Self, LinkError> {
        let settings = &address.settings;
        let connection = match &address.place {
            Where::Servers(Servers::One(client) | Servers::Member(client)) => {
                settings.connect(client).await?
            }
            Where::Servers(Servers::Named(sentinels)) => {
                settings.connect(&sentinels.find(settings).await?).await?
            }
            Where::Cluster(_) => return Err(LinkError::Cluster),
        };
        Ok(Self {
            connection,
            prefix: settings.prefix.clone(),
        })
    }

    /// What stands behind the prefix in every key that has it.
    pub async fn names(&mut self) -> Result<BTreeSet<String>, LinkError> {
        let start = format!("{}:", self.prefix);
        let (mut names, mut cursor) = (BTreeSet::new(), 0_u64);
        loop {
            let mut scan = redis::cmd("SCAN");
            // The prefix holds no character that a pattern gives a meaning to.
            scan.arg(cursor).arg("MATCH").arg(format!("{start}*"));
            scan.arg("COUNT").arg(AT_ONCE);
            let (next, found): (u64, Vec<Vec<u8>>) = scan.query_async(&mut self.connection).await?;
            names.extend(found.iter().filter_map(|key| {
                let key = String::from_utf8_lossy(key);
                key.strip_prefix(&start).map(str::to_owned)
            }));
            cursor = next;
            if cursor == 0 {
                return Ok(names);
            }
        }
    }

    /// The members of the sets of these names, in their order; an error in a set's place if it is none, or holds what is no text.
    pub async fn members(
        &mut self,
        names: &[String],
    ) -> Result<Vec<Result<BTreeSet<String>, String>>, LinkError> {
        let mut sets = Vec::with_capacity(names.len());
        for some in names.chunks(AT_ONCE) {
            let mut pipe = Pipeline::with_capacity(some.len());
            pipe.ignore_errors();
            for name in some {
                pipe.cmd("SMEMBERS").arg(format!("{}:{name}", self.prefix));
            }
            let replies: Vec<Value> = pipe.query_async(&mut self.connection).await?;
            sets.extend(replies.into_iter().map(|reply| {
                let members = reply.extract_error().map_err(|error| error.to_string())?;
                redis::from_redis_value(members).map_err(|error| error.to_string())
            }));
        }
        Ok(sets)
    }
}
