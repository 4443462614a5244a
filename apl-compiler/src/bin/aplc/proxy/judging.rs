//! The enforcer on a given configuration, asked about single requests as they are: for `aplc probe`.

use aplomb_enforcer::Engine;
use companion_protocol::KeyRecord;
use serde_json::Value;

use super::ProxyError;
use super::companion::Companion;
use super::exchange::{self, Stream};
use super::properties;
use crate::case::Given;

/// A filter whose companion knows nothing.
pub(crate) struct Judging {
    engine: Engine,
    companion: Companion,
    exchanges: u32,
}

/// What came of a request.
pub(crate) enum Judged {
    /// It went on, was answered without being denied, or waits.
    Allowed,
    /// It was denied.
    Denied {
        /// The status.
        status: u16,
        /// The violation.
        code: String,
        /// Somebody was asked who could have said otherwise.
        asked: bool,
    },
}

impl Judging {
    /// Of this filter.
    pub(crate) fn new(engine: Engine) -> Self {
        Self {
            engine,
            companion: Companion::default(),
            exchanges: 0,
        }
    }

    /// Keys that the directories know.
    pub(crate) fn know(&mut self, keys: &[(String, KeyRecord)]) {
        self.companion.know(keys);
    }

    /// Judges a request. `peer`: who connects, if that is known.
    ///
    /// # Errors
    ///
    /// The filter waits for what nobody here gives.
    pub(crate) fn judge(
        &mut self,
        given: &Given,
        headers: Vec<(String, String)>,
        peer: Option<&str>,
        body: &[u8],
        now_ms: u64,
    ) -> Result<Judged, ProxyError> {
        let (engine, companion) = (&mut self.engine, &mut self.companion);
        companion.begin(given);
        exchange::tick(engine, companion, now_ms)?;
        self.exchanges += 1;
        let peer = peer.map(Value::from);
        let value = |path: &Vec<String>| {
            let is_peer = *path == properties::peer(true) || *path == properties::peer(false);
            properties::bytes(peer.as_ref().filter(|_| is_peer)?, &[])
        };
        let values = engine.properties().iter().map(value).collect();
        let mut stream = Stream::new(self.exchanges, headers);
        let ran = stream.request(engine, companion, values, body, now_ms);
        let gone = stream.gone(engine, companion, now_ms);
        ran.and(gone)?;
        let denied = stream.reply().and_then(|reply| {
            let (_, code) = reply
                .headers
                .iter()
                .find(|(name, _)| name == "x-policy-violation")?;
            Some((reply.status, code.clone()))
        });
        Ok(match denied {
            Some((status, code)) if !stream.forwarded() => Judged::Denied {
                status,
                code,
                asked: companion.was_asked(),
            },
            Some(_) | None => Judged::Allowed,
        })
    }
}
