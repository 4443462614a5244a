//! What the policy makes of a request, by the filter's own code.

use apl_bytecode::Identity;
use aplomb_enforcer::{Engine, PluginConfig, Secrets};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use companion_protocol::KeyRecord;
use serde_json::{Value, json};

use super::attempts::Attempt;
use super::target::Target;
use crate::Fault;
use crate::case::Given;
use crate::proxy::{Judged, Judging};

/// What must come of a request.
pub(super) enum Expected {
    /// It is denied, whatever the gateway's companion says.
    Denied {
        /// The status.
        status: u16,
        /// The violation.
        code: String,
    },
    /// That cannot be said.
    Open {
        /// Why.
        why: String,
    },
}

/// The filter, as the gateway has it, without the gateway.
pub(super) struct Judge {
    judging: Judging,
    now_ms: u64,
}

impl Judge {
    /// # Errors
    ///
    /// The filter would not take the configuration.
    pub(super) fn new(target: &Target) -> Result<Self, Fault> {
        let refused = |error: &dyn std::fmt::Display| {
            Fault::Argument(format!("the filter would refuse this configuration: {error}"))
        };
        let since = std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .map_err(|error| Fault::Argument(format!("the clock stands before 1970: {error}")))?;
        let config = match PluginConfig::parse(configuration(target).to_string().as_bytes())
            .map_err(|error| refused(&error))?
        {
            PluginConfig::Decide(config) => config,
            PluginConfig::Hold(_) => return Err(refused(&"it is a holder's")),
        };
        let key = |name: &str| target.config.contains_key(name).then(|| vec![7; 32]);
        let secrets = Secrets {
            hash_key: key("hash_key_env"),
            seal_key: key("seal_key_env"),
            seal_previous_key: key("seal_previous_key_env"),
            companion_token: None,
            variable: |name| Some(format!("<{name}>")),
        };
        let engine = Engine::new(*config, secrets, [7; 32]).map_err(|error| refused(&error))?;
        Ok(Self {
            judging: Judging::new(engine),
            now_ms: u64::try_from(since.as_millis()).unwrap_or(u64::MAX),
        })
    }

    /// Judges.
    pub(super) fn judge(&mut self, attempt: &Attempt) -> Expected {
        let open = |why: &str| Expected::Open { why: why.to_owned() };
        let given = Given::message(Value::Null);
        let mut denied = None;
        // Whoever connects may be somebody by that alone, so what is denied must be denied to a trusted peer, too.
        let peers = std::iter::once(None).chain(attempt.peer.as_deref().map(Some));
        for peer in peers {
            for path in [Some(&attempt.path), attempt.tidied.as_ref()]
                .into_iter()
                .flatten()
            {
                let headers = attempt.all_headers(path);
                match self
                    .judging
                    .judge(&given, headers, peer, &attempt.body, self.now_ms)
                {
                    Ok(Judged::Denied { asked: true, .. }) => {
                        return open("what comes of it hangs on what the companion says");
                    }
                    Ok(Judged::Denied { code, .. })
                        if attempt.unsure
                            && !(code.starts_with("protocol.") || code == "route.unmatched") =>
                    {
                        return open("what comes of it hangs on whose the key is");
                    }
                    Ok(Judged::Denied { status, code, .. }) => {
                        denied.get_or_insert(Expected::Denied { status, code });
                    }
                    Ok(Judged::Allowed) => return open("the policy may allow it"),
                    Err(_) => return open("the filter waits for something that only a gateway has"),
                }
            }
        }
        denied.unwrap_or_else(|| open("it cannot be judged here"))
    }

    /// Keys that are somebody's, and whose.
    pub(super) fn know<'k>(&mut self, keys: impl Iterator<Item = (&'k str, KeyRecord)>) {
        let keys: Vec<(String, KeyRecord)> = keys
            .map(|(key, record)| (crate::proxy::key_digest(key), record))
            .collect();
        self.judging.know(&keys);
    }
}

/// The gateway's configuration, but for what only a gateway has: another companion, keys that tests sign with.
fn configuration(target: &Target) -> Value {
    let mut model = target.program.program().clone();
    for issuer in model.identities.iter_mut().flat_map(Identity::issuers_mut) {
        issuer.jwks = None;
    }
    let mut config = target.config.clone();
    config.insert(
        "policy".to_owned(),
        STANDARD.encode(apl_bytecode::encode(&model)).into(),
    );
    for key in ["policy_digest", "policy_public_key", "shadow_policy"] {
        config.remove(key);
    }
    config.insert("install".to_owned(), json!({ "mode": "full" }));
    if config.get("companion").is_some_and(Value::is_object) {
        config.insert("companion".to_owned(), json!({ "cluster": "companion" }));
    }
    let identities = config.get_mut("identities").and_then(Value::as_array_mut);
    for issuer in identities
        .into_iter()
        .flatten()
        .filter_map(|identity| identity.get_mut("issuers")?.as_array_mut())
        .flatten()
    {
        if let Some(issuer) = issuer.as_object_mut() {
            issuer.remove("jwks");
        }
    }
    config.into()
}
