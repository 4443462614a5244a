//! Real credentials, from the environment, and what stands for them where a request is judged.

use apl_bytecode::{Algorithm, CredentialSource};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use companion_protocol::KeyRecord;
use serde_json::{Map, Value};

use super::attempts::{self, Credential};
use super::judge::{Expected, Judge};
use super::target::Target;
use crate::Fault;
use crate::proxy::credentials;

/// Credentials that are presented together.
#[derive(Default)]
pub(super) struct Callers {
    /// Each in its header.
    pub(super) all: Vec<Credential>,
    /// Keys of directories: whose they are only the companion knows.
    pub(super) unsure: bool,
    keys: Vec<String>,
}

impl Callers {
    /// Reads `PLUGIN=VARIABLE`.
    ///
    /// # Errors
    ///
    /// No such plugin or variable, or no such credential.
    pub(super) fn read(given: &[String], target: &Target) -> Result<Self, Fault> {
        let mut callers = Self::default();
        for one in given {
            let bad = |what: &str| Fault::Argument(format!("`--credential {one}`: {what}"));
            let (plugin, variable) = one
                .split_once('=')
                .ok_or_else(|| bad("write `PLUGIN=VARIABLE`, as `user=USER_TOKEN`"))?;
            let secret = std::env::var(variable)
                .ok()
                .filter(|secret| !secret.trim().is_empty())
                .ok_or_else(|| bad("there is no such variable, or it is empty"))?;
            let secret = secret.trim();
            let program = target.program.program();
            let text = |id| credentials::text(program, id);
            let identity = program
                .identities
                .iter()
                .find(|identity| text(identity.name) == plugin)
                .ok_or_else(|| bad("the policy has no identity plugin of that name"))?;
            match &identity.source {
                CredentialSource::Token { header, prefix, .. } => {
                    let stand_in = signed_again(secret)
                        .ok_or_else(|| bad("the variable holds no signed token that could be judged"))?;
                    let prefix = prefix.map_or("Bearer ", text);
                    let space = if prefix.ends_with(' ') { "" } else { " " };
                    callers.all.push(Credential {
                        header: text(*header).to_owned(),
                        sent: format!("{prefix}{space}{secret}"),
                        judged: format!("{prefix}{space}{stand_in}"),
                    });
                }
                CredentialSource::ApiKey { header, prefix, .. } => {
                    let scheme = prefix
                        .and_then(|prefix| text(prefix).rsplit_once(' '))
                        .map_or(String::new(), |(scheme, _)| format!("{scheme} "));
                    callers.keys.push(secret.to_owned());
                    callers.unsure = true;
                    callers
                        .all
                        .push(Credential::plain(text(*header), format!("{scheme}{secret}")));
                }
                CredentialSource::Metadata { .. } | CredentialSource::Peer { .. } => {
                    return Err(bad("the proxy vouches for it, so that no header can hold it"));
                }
            }
        }
        Ok(callers)
    }

    /// Makes sure that the policy takes them: otherwise what they are sent with would be denied for another reason than it
    /// seems.
    ///
    /// # Errors
    ///
    /// It does not.
    pub(super) fn check(&self, target: &Target, judge: &mut Judge) -> Result<(), Fault> {
        if self.all.is_empty() {
            return Ok(());
        }
        judge.know(self.keys.iter().map(|key| {
            let record = KeyRecord {
                subject: "aplomb-probe".to_owned(),
                ..KeyRecord::default()
            };
            (key.as_str(), record)
        }));
        for entry in &target.entries {
            let attempt = attempts::unlisted(target, entry, self);
            if let Expected::Denied { code, .. } = judge.judge(&attempt)
                && code.starts_with("auth.")
            {
                return Err(Fault::Argument(format!(
                    "the policy does not take these credentials at {}: `{code}`; give one for each plugin that it demands, \
                     and none that has ended",
                    entry.path
                )));
            }
        }
        Ok(())
    }
}

/// A token with the same claims under a key that the judge believes.
fn signed_again(token: &str) -> Option<String> {
    let mut parts = token.split('.');
    let mut part = || -> Option<Map<String, Value>> {
        let bytes = URL_SAFE_NO_PAD.decode(parts.next()?.trim_end_matches('=')).ok()?;
        serde_json::from_slice(&bytes).ok()
    };
    let (header, claims) = (part()?, part()?);
    let name = header.get("alg").and_then(Value::as_str)?;
    let algorithm = Algorithm::ALL.into_iter().find(|known| known.name() == name)?;
    credentials::signed(claims, algorithm, false).ok()
}
