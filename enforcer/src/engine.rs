//! What lives as long as one worker and one configuration.

use crate::{CallToken, Command, Config, ConfigError, Secrets};

/// Program, keys, caches and audit queue of one worker.
#[derive(Debug)]
pub struct Engine {
    config: Config,
}

impl Engine {
    /// Loads the program and checks that this configuration can enforce it.
    ///
    /// `seed` must differ between workers and between lives of a worker: audit stream names derive from it.
    ///
    /// # Errors
    ///
    /// [`ConfigError`]: the program does not verify, or needs something that is not configured.
    pub fn new(config: Config, secrets: Secrets, seed: [u8; 32]) -> Result<Self, ConfigError> {
        let _ = (secrets, seed);
        Ok(Self { config })
    }

    /// The configuration.
    #[must_use]
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Does what is due: key sets, queued audit records, exchanges that have waited long enough. To be called about
    /// every [`TICK_MS`](crate::TICK_MS).
    pub fn on_tick(&mut self, now_ms: u64) -> Vec<Command> {
        let _ = now_ms;
        Vec::new()
    }

    /// The answer to a callout of [`Engine::on_tick`]; `None`: it failed.
    pub fn on_root_answer(
        &mut self,
        token: CallToken,
        answer: Option<(u16, &[u8])>,
        now_ms: u64,
    ) -> Vec<Command> {
        let _ = (token, answer, now_ms);
        Vec::new()
    }
}
