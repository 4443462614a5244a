//! Documents on the server that holds the labels, with the same promise: acknowledged when the disks have it.
//!
//! | key | type | holds |
//! |---|---|---|
//! | `<prefix>:{cases}:c:<key>` | hash | `v` version, `e` end in ms, `t` document, `g` groups |
//! | `<prefix>:{cases}:g:<group>` | sorted set | keys of its members by their end in ms |
//!
//! All in one slot of a cluster: they change at a human's pace.

use redis::Value;

use super::super::valkey::{Link, LinkFuture, SendError, ValkeyStore};
use super::{CaseStore, Change, Changed, MAX_MEMBERS, Stored};
use crate::store::StoreFuture;

/// `v`, `e`, `t`.
type Row = (Option<u64>, Option<u64>, Option<String>);

impl ValkeyStore {
    fn case_key(&self, key: &str) -> String {
        format!("{}:{{cases}}:c:{key}", self.prefix())
    }

    fn group_start(&self) -> String {
        format!("{}:{{cases}}:g:", self.prefix())
    }

    async fn write_case(&self, link: &Link, change: &Change, now_ms: u64) -> Result<Changed, SendError> {
        let (room, most) = match &change.room {
            Some((group, most)) => (group.as_str(), *most),
            None => ("", 0),
        };
        let mut pipe = redis::pipe();
        pipe.cmd("EVALSHA")
            .arg(link.case_script())
            .arg(1)
            .arg(self.case_key(&change.key))
            .arg(self.group_start())
            .arg(&change.key)
            .arg(change.expected)
            .arg(&change.text)
            .arg(change.ends_ms)
            .arg(now_ms)
            .arg(room)
            .arg(most)
            .arg(&change.groups);
        let (outcome, is_durable): (i64, bool) = self.send_durably(link, pipe).await?;
        match outcome {
            0 => Ok(Changed::Conflict),
            -1 => Ok(Changed::Full),
            _ if is_durable => Ok(Changed::Done),
            _ => Err(SendError::NotDurable),
        }
    }

    async fn read_case(&self, link: &Link, key: &str) -> Result<Row, SendError> {
        let mut connection = link.connection();
        let mut read = redis::cmd("HMGET");
        read.arg(self.case_key(key)).arg("v").arg("e").arg("t");
        Ok(read.query_async(&mut connection).await?)
    }

    async fn read_group(&self, link: &Link, group: &str, now_ms: u64) -> Result<Vec<String>, SendError> {
        let mut connection = link.connection();
        let mut read = redis::cmd("ZRANGEBYSCORE");
        read.arg(format!("{}{group}", self.group_start()))
            .arg(format!("({now_ms}"))
            .arg("+inf")
            .arg("LIMIT")
            .arg(0)
            .arg(MAX_MEMBERS);
        Ok(read.query_async(&mut connection).await?)
    }

    /// Sends one command and waits for the disks.
    async fn send_durably(&self, link: &Link, mut pipe: redis::Pipeline) -> Result<(i64, bool), SendError> {
        self.wait_command(link, &mut pipe);
        let mut connection = link.connection();
        let (outcome, waited): (i64, Value) = pipe.query_async(&mut connection).await?;
        Ok((outcome, self.is_durable(link, &waited)))
    }
}

impl CaseStore for ValkeyStore {
    fn get<'a>(&'a self, key: &'a str, now_ms: u64) -> StoreFuture<'a, Option<Stored>> {
        Box::pin(async move {
            let read =
                |link| -> LinkFuture<'_, Row> { Box::pin(async move { self.read_case(&link, key).await }) };
            let (Some(version), Some(ends_ms), Some(text)) =
                self.on_case_link(&self.group_start(), read).await?
            else {
                return Ok(None);
            };
            Ok((ends_ms > now_ms).then_some(Stored { version, text }))
        })
    }

    fn change(&self, change: Change, now_ms: u64) -> StoreFuture<'_, Changed> {
        Box::pin(async move {
            change.check()?;
            let change = &change;
            let write = |link| -> LinkFuture<'_, Changed> {
                Box::pin(async move { self.write_case(&link, change, now_ms).await })
            };
            self.on_case_link(&self.group_start(), write).await
        })
    }

    fn members<'a>(&'a self, group: &'a str, now_ms: u64) -> StoreFuture<'a, Vec<String>> {
        Box::pin(async move {
            let read = |link| -> LinkFuture<'_, Vec<String>> {
                Box::pin(async move { self.read_group(&link, group, now_ms).await })
            };
            self.on_case_link(&self.group_start(), read).await
        })
    }
}
