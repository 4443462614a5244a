//! One plugin: what a root context was configured to be.

use aplomb_enforcer::{Config, ConfigError, Engine, Install, PluginConfig, Secrets, config::HolderConfig};

/// A configured plugin.
#[derive(Debug)]
pub(crate) enum Plugin {
    /// It decides, alone or with a holder behind it.
    Decider(Box<Engine>),
    /// It holds for a decider before it.
    Holder(HolderConfig),
}

impl Plugin {
    /// Reads the configuration. What it names in the environment is read from there.
    pub(crate) fn configure(json: &[u8], seed: [u8; 32]) -> Result<Self, ConfigError> {
        match PluginConfig::parse(json)? {
            PluginConfig::Hold(config) => Ok(Self::Holder(config)),
            PluginConfig::Decide(config) => {
                let secrets = secrets(&config);
                Engine::new(*config, secrets, seed).map(|engine| Self::Decider(Box::new(engine)))
            }
        }
    }

    /// How headers are held; `None` for a holder.
    pub(crate) fn install(&self) -> Option<Install> {
        match self {
            Self::Decider(engine) => Some(engine.config().install),
            Self::Holder(_) => None,
        }
    }

    /// Is this one half of a pair?
    pub(crate) fn is_paired(&self) -> bool {
        match self.install() {
            None | Some(Install::PairedDecider) => true,
            Some(Install::Full | Install::Single) => false,
        }
    }

    /// The policy that this half was told to expect.
    fn policy_digest(&self) -> Option<&str> {
        match self {
            Self::Decider(engine) => engine.config().policy_digest.as_deref(),
            Self::Holder(config) => config.policy_digest.as_deref(),
        }
    }

    /// Were both halves told to expect different policies?
    pub(crate) fn contradicts(&self, other: &Self) -> bool {
        match (self.policy_digest(), other.policy_digest()) {
            (Some(mine), Some(theirs)) => mine != theirs,
            (None, _) | (_, None) => false,
        }
    }
}

/// Reads what the configuration names. A variable that is not set stays out: the engine knows whether it needs it.
fn secrets(config: &Config) -> Secrets {
    let read: fn(&str) -> Option<String> = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
    let variable = |name: &Option<String>| name.as_deref().and_then(read);
    Secrets {
        variable: read,
        hash_key: variable(&config.hash_key_env).map(String::into_bytes),
        seal_key: variable(&config.seal_key_env).map(String::into_bytes),
        seal_previous_key: variable(&config.seal_previous_key_env).map(String::into_bytes),
        companion_token: config
            .companion
            .as_ref()
            .and_then(|companion| variable(&companion.token_env)),
    }
}
