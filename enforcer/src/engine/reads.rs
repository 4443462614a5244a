//! What a program reads of its host, found out once.

use std::collections::{BTreeMap, HashSet};

use apl_bytecode::{HeaderSource, Program, Unmatched};
use apl_vm::Prepared;

use crate::{
    ConfigError, Secrets,
    assertions::HeaderEdits,
    http::head::Wanted,
    identity::{keys::KeySet, token::text_of},
    json_text::hex,
};

/// One key set for every issuer, and one more for an issuer whose keys the policy brings.
pub(super) fn key_sets(program: &Program) -> Result<Vec<KeySet>, ConfigError> {
    let mut sets: Vec<KeySet> = Vec::new();
    for issuer in program.identities.iter().flat_map(|identity| &identity.issuers) {
        let name = text_of(program, issuer.issuer);
        if sets
            .iter()
            .any(|set| set.issuer() == name && set.is_inline() == issuer.jwks.is_some())
        {
            continue;
        }
        sets.push(match issuer.jwks {
            None => KeySet::remote(name),
            Some(jwks) => KeySet::inline(name, text_of(program, jwks))
                .ok_or_else(|| ConfigError::InlineKeys(name.to_owned()))?,
        });
    }
    Ok(sets)
}

/// The variables that asserted headers take their values from; each must be set.
pub(super) fn variables(
    program: &Program,
    secrets: &Secrets,
) -> Result<BTreeMap<String, String>, ConfigError> {
    let mut variables = BTreeMap::new();
    for header in program
        .assertions
        .iter()
        .flat_map(|assertions| &assertions.request.headers)
    {
        if let HeaderSource::Variable(name) = header.source {
            let name = text_of(program, name);
            let value = (secrets.variable)(name)
                .filter(|value| !value.is_empty())
                .ok_or_else(|| ConfigError::MissingVariable(name.to_owned(), "`assertions` of the policy"))?;
            variables.insert(name.to_owned(), value);
        }
    }
    Ok(variables)
}

/// Headers that hold a credential whoever names them; policy cannot read them.
const CREDENTIALS: &[&str] = &[
    "authorization",
    "cookie",
    "proxy-authorization",
    "x-api-key",
    "x-user-token",
];

pub(super) fn wanted(program: &Prepared) -> Wanted {
    let model = program.program();
    let mut credentials: Vec<String> = model
        .identities
        .iter()
        .map(|identity| text_of(model, identity.header).to_ascii_lowercase())
        .collect();
    credentials.push("authorization".to_owned());
    credentials.sort();
    credentials.dedup();
    let mut readable: Vec<String> = (0..model.attrs.len())
        .filter_map(|at| program.key(apl_bytecode::AttrId(u32::try_from(at).ok()?)))
        .filter_map(|key| key.strip_prefix("http.request_headers."))
        .map(str::to_owned)
        .filter(|name| !credentials.contains(name) && !CREDENTIALS.contains(&name.as_str()))
        .collect();
    readable.sort();
    readable.dedup();
    Wanted {
        credentials,
        readable,
        asserted: HeaderEdits::removals(program),
    }
}

pub(super) fn mentioned(program: &Prepared) -> Option<HashSet<String>> {
    let count = u32::try_from(program.program().attrs.len()).ok()?;
    (0..count)
        .map(|at| program.key(apl_bytecode::AttrId(at)).map(str::to_owned))
        .collect()
}

pub(super) fn percent_encoded(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            out.push(char::from(byte));
        } else {
            out.push('%');
            out.push_str(&hex(&[byte]).to_ascii_uppercase());
        }
    }
    out
}

/// Whether some operation has rules for the phase after the call.
pub(super) fn has_rules_after(program: &Program) -> bool {
    program.routes.iter().any(|route| route.post.is_some())
        || program.fallbacks.iter().any(|fallback| fallback.post.is_some())
}

/// Whether there is something in lists that could be denied.
pub(super) fn can_deny(program: &Program) -> bool {
    program.settings.unmatched == Unmatched::Deny
        || program
            .routes
            .iter()
            .any(|route| route.pre.is_some() || !route.identities.is_empty())
        || program
            .fallbacks
            .iter()
            .any(|fallback| fallback.entity.is_some() && fallback.pre.is_some())
}
