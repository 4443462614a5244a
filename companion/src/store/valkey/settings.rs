//! What holds for every connection to every server of the store.

use std::sync::Arc;
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, Pipeline, RedisError, Value};

use super::link::Link;

/// As configured.
#[derive(Debug, Clone)]
pub(super) struct Settings {
    /// What stands before every key.
    pub(super) prefix: String,
    /// Replicas that must have an append on disk.
    pub(super) replicas: u32,
    /// Of connections that are spoken to over TLS.
    pub(super) tls: Option<Arc<rustls::ClientConfig>>,
    pub(super) connect_timeout: Duration,
    pub(super) command_timeout: Duration,
}

impl Settings {
    /// A connection that was not looked at.
    pub(super) async fn connect(&self, client: &Client) -> Result<MultiplexedConnection, RedisError> {
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(self.connect_timeout))
            .set_response_timeout(Some(self.command_timeout));
        client.get_multiplexed_async_connection_with_config(&config).await
    }

    /// Shorter than the client's own timeout, so that the answer is a number and not a broken connection.
    pub(super) fn wait_ms(&self) -> u64 {
        self.command_timeout.as_millis() as u64 * 3 / 4
    }

    /// Adds the command that waits until what went before is where it must be.
    pub(super) fn wait_command(&self, link: &Link, pipe: &mut Pipeline) {
        if link.has_waitaof {
            pipe.cmd("WAITAOF").arg(1).arg(self.replicas).arg(self.wait_ms());
        } else {
            // `appendfsync always`: the local file was synced before any of the replies left. Replicas can only be asked
            // whether they have it in memory.
            pipe.cmd("WAIT").arg(self.replicas).arg(self.wait_ms());
        }
    }

    /// Whether enough disks have it.
    pub(super) fn is_durable(&self, link: &Link, waited: &Value) -> bool {
        let wanted = i64::from(self.replicas);
        match waited {
            Value::Array(counts) if link.has_waitaof => {
                matches!(counts.as_slice(), [Value::Int(local), Value::Int(replicas)]
                    if *local >= 1 && *replicas >= wanted)
            }
            Value::Int(replicas) if !link.has_waitaof => *replicas >= wanted,
            _ => false,
        }
    }
}
