//! What a program reads of its host, found out once.

use apl_bytecode::sort_by;
use std::collections::BTreeMap;

use apl_bytecode::{
    Attr, ClaimField, CredentialSource, Effect, HeaderSource, Identity, Program, Seg, StrId, TokenRole,
    Unmatched,
};
use apl_vm::Prepared;

use crate::{
    ConfigError, Secrets,
    assertions::HeaderEdits,
    http::head::Wanted,
    identity::{
        keys::KeySet,
        metadata::{self, FIRST, Path},
        token::text_of,
    },
    json_text::hex,
};

/// One key set for every issuer, and one more for an issuer whose keys the policy brings.
pub(super) fn key_sets(program: &Program) -> Result<Vec<KeySet>, ConfigError> {
    let mut sets: Vec<KeySet> = Vec::new();
    for issuer in program.identities.iter().flat_map(Identity::issuers) {
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

/// The header of a token that a step narrows.
fn brought(effect: &Effect) -> Option<StrId> {
    match effect {
        Effect::Attenuate(attenuate) => Some(attenuate.header),
        Effect::Taint { .. }
        | Effect::LoadLabels { .. }
        | Effect::Delegate(_)
        | Effect::Audit { .. }
        | Effect::Elicit(_)
        | Effect::Decide(_)
        | Effect::Count(_)
        | Effect::Restrict(_) => None,
    }
}

pub(super) fn wanted(program: &Prepared) -> Wanted {
    let model = program.program();
    let mut credentials: Vec<String> = model
        .identities
        .iter()
        .filter_map(Identity::header)
        .chain(model.effects.iter().filter_map(brought))
        .map(|header| text_of(model, header).to_ascii_lowercase())
        .collect();
    credentials.push("authorization".to_owned());
    sort_by(&mut credentials, Ord::cmp);
    credentials.dedup();
    let named = |prefix: &str| {
        let mut names: Vec<String> = spelled(program)
            .filter_map(|key| key.strip_prefix(prefix))
            .map(str::to_owned)
            .collect();
        sort_by(&mut names, Ord::cmp);
        names.dedup();
        names
    };
    let mut readable = named("http.request_headers.");
    readable.retain(|name| !credentials.contains(name) && !CREDENTIALS.contains(&name.as_str()));
    let mut response = named("http.response_headers.");
    response.retain(|name| name != "set-cookie");
    Wanted {
        credentials,
        readable,
        response,
        asserted: HeaderEdits::removals(program),
    }
}

/// The attributes that the program spells out.
pub(crate) fn spelled(program: &Prepared) -> impl Iterator<Item = &str> {
    let count = u32::try_from(program.program().attrs.len()).unwrap_or(u32::MAX);
    (0..count).filter_map(|at| program.key(apl_bytecode::AttrId(at)))
}

/// Whether the program may read attributes that it does not spell out.
pub(crate) fn reads_all(program: &Prepared) -> bool {
    let model = program.program();
    // A decision point is told everything that is known.
    let asks = model
        .effects
        .iter()
        .any(|effect| matches!(effect, Effect::Decide(_)));
    asks || spelled(program).count() < model.attrs.len()
}

/// Whether it spells out what a delegation came to.
pub(super) fn reads_delegations(program: &Prepared) -> bool {
    spelled(program).any(|key| key == "delegation" || key.starts_with("delegation."))
}

/// Whether a program that reads only what it spells out reads `key`: it spells it, or a part of it that holds it.
pub(crate) fn mentions(program: &Prepared, key: &str) -> bool {
    let mut part = key;
    loop {
        if program.spells(part) {
            return true;
        }
        match part.rsplit_once('.') {
            Some((parent, _)) => part = parent,
            None => return false,
        }
    }
}

/// Claims of the token itself, which every identity reads, and whom a token's subject lets act for it.
const TOKEN_CLAIMS: &[&[&str]] = &[
    &["iss"],
    &["aud"],
    &["aud", FIRST],
    &["exp"],
    &["nbf"],
    &["sub"],
    &["client_id"],
    &["azp"],
    &["session_id"],
    &["act", "sub"],
    &["act", "act", "sub"],
    &["act", "act", "act", "sub"],
    &["act", "act", "act", "act", "sub"],
];

/// The host's properties that the program's credentials are read from. Of a token that the proxy has verified only the
/// claims that are needed are asked for, one by one: the host gives no claim at all of a token with a null in it.
pub(super) fn properties(program: &Program) -> Vec<Path> {
    let mut paths: Vec<Path> = Vec::new();
    let mut add = |path: Path| {
        if !paths.contains(&path) {
            paths.push(path);
        }
    };
    for identity in &program.identities {
        match &identity.source {
            CredentialSource::Token { .. } | CredentialSource::ApiKey { .. } => {}
            CredentialSource::Peer { waypoint: true } => add(metadata::waypoint_peer()),
            CredentialSource::Peer { waypoint: false } => add(metadata::connection_peer()),
            CredentialSource::Metadata { namespace, key, .. } => {
                let root = metadata::claims_of(text_of(program, *namespace), text_of(program, *key));
                let below = |names: Vec<&str>| {
                    let names = names.into_iter().map(str::to_owned);
                    root.iter().cloned().chain(names).collect::<Path>()
                };
                TOKEN_CLAIMS.iter().for_each(|names| add(below(names.to_vec())));
                for rule in &identity.claim_map.rules {
                    for path in &rule.paths {
                        let mut names: Vec<&str> =
                            path.segs.iter().map(|seg| text_of(program, *seg)).collect();
                        add(below(names.clone()));
                        if rule.field != ClaimField::Id {
                            names.push(FIRST);
                            add(below(names));
                        }
                    }
                }
                for mut names in claims_read(program, identity.role) {
                    add(below(names.clone()));
                    names.push(FIRST);
                    add(below(names));
                }
            }
        }
    }
    paths
}

/// Claims that policy reads by their names.
fn claims_read(program: &Program, role: TokenRole) -> Vec<Vec<&str>> {
    let space: &[&str] = match role {
        TokenRole::User => &["claim"],
        TokenRole::Client => &["client", "claim"],
        TokenRole::CallerWorkload => return Vec::new(),
    };
    let names = |attr: &Attr| {
        let mut names = Vec::new();
        for seg in &attr.segs {
            match seg {
                Seg::Name(name) => names.push(text_of(program, *name)),
                Seg::Value(_) => break,
            }
        }
        names
            .as_slice()
            .strip_prefix(space)
            .map(<[&str]>::to_vec)
            .filter(|rest| !rest.is_empty())
    };
    program.attrs.iter().filter_map(names).collect()
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
