//! `filter-config.json`.

use apl_bytecode::VerifiedProgram;
use apl_compiler::{BoundIdentity, Deployment};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

use super::super::Fault;
use super::super::command::{Build, DenialShape, Enforcement, Mode, Role};

/// The filter's configuration. `public_key`: of the key that signed the program.
pub(crate) fn config(
    program: &VerifiedProgram,
    bytes: &[u8],
    deployment: &Deployment,
    build: &Build,
    public_key: Option<String>,
) -> Result<Value, Fault> {
    let protocols = if build.protocols.is_empty() {
        vec![json!({ "path_prefix": "/", "speaks": "mcp" })]
    } else {
        let entries = build.protocols.iter().map(|entry| protocol(entry));
        entries.collect::<Result<_, _>>()?
    };
    let mut companion = Map::new();
    companion.insert("cluster".to_owned(), build.cluster().into());
    let authority = build.companion_authority.as_deref().unwrap_or(build.cluster());
    companion.insert("authority".to_owned(), authority.into());
    if let Some(path) = &build.companion_path {
        if !path.starts_with('/') || path.contains(['?', '#', ' ']) || path.ends_with('/') {
            return Err(Fault::Argument(format!(
                "`--companion-path {path}`: write an absolute path without query and without `/` at its end, such as `/aplomb`"
            )));
        }
        companion.insert("path".to_owned(), path.clone().into());
    }
    companion.insert(
        "timeout_ms".to_owned(),
        super::timeout_ms(deployment).min(60_000).into(),
    );
    let mut config = Map::new();
    config.insert("policy".to_owned(), STANDARD.encode(bytes).into());
    config.insert("policy_digest".to_owned(), program.digest_hex().into());
    config.insert("protocols".to_owned(), protocols.into());
    config.insert("install".to_owned(), install(build)?);
    for (key, flag, name) in variables(build) {
        let Some(name) = name else { continue };
        if name.is_empty() || name.contains(|ch: char| !ch.is_ascii_alphanumeric() && ch != '_') {
            return Err(Fault::Argument(format!(
                "`{flag} {name}`: name an environment variable of the proxy's VM, not the key itself; letters, digits and `_`"
            )));
        }
        let name = Value::from(name.to_owned());
        match key {
            "token_env" => companion.insert(key.to_owned(), name),
            _ => config.insert(key.to_owned(), name),
        };
    }
    config.insert("companion".to_owned(), companion.into());
    if !deployment.identities.is_empty() {
        let identities = deployment.identities.iter().map(identity).collect();
        config.insert("identities".to_owned(), identities);
    }
    if let Some(key) = public_key {
        config.insert("policy_public_key".to_owned(), key.into());
    }
    match build.enforcement {
        Enforcement::Enforce => None,
        Enforcement::Shadow => config.insert("enforcement".to_owned(), "shadow".into()),
    };
    match build.denial_shape {
        // The default is left out, so that older filters take the file.
        DenialShape::Error => None,
        DenialShape::ToolResult => config.insert("denial_shape".to_owned(), "tool_result".into()),
    };
    Ok(config.into())
}

/// Who vouches for an identity that the program leaves open.
pub(crate) fn identity(bound: &BoundIdentity) -> Value {
    let issuers = bound.issuers.iter().map(|issuer| {
        let mut object = json!({
            "issuer": issuer.issuer,
            "audiences": issuer.audiences,
            "algorithms": issuer.algorithms.iter().map(|one| one.name()).collect::<Vec<_>>(),
            "leeway_s": issuer.leeway_s,
        });
        if let (Some(jwks), Some(map)) = (&issuer.jwks, object.as_object_mut()) {
            map.insert("jwks".to_owned(), jwks.clone().into());
        }
        object
    });
    json!({ "name": bound.name, "issuers": issuers.collect::<Vec<_>>() })
}

/// The variables of the proxy's VM that a build names: key in the configuration, flag, name.
pub(crate) fn variables(build: &Build) -> [(&'static str, &'static str, Option<&str>); 3] {
    [
        ("hash_key_env", "--hash-key-env", build.hash_key_env.as_deref()),
        ("seal_key_env", "--seal-key-env", build.seal_key_env.as_deref()),
        (
            "token_env",
            "--companion-token-env",
            build.companion_token_env.as_deref(),
        ),
    ]
}

fn install(build: &Build) -> Result<Value, Fault> {
    Ok(match (build.mode, build.role) {
        (Mode::Full, None) => json!({ "mode": "full" }),
        (Mode::Single, None) => json!({ "mode": "single" }),
        (Mode::Paired, None | Some(Role::Decider)) => json!({ "mode": "paired", "role": "decider" }),
        (Mode::Paired, Some(Role::Holder)) => json!({ "mode": "paired", "role": "holder" }),
        (Mode::Full | Mode::Single, Some(_)) => {
            return Err(Fault::Argument(
                "`--role` is for `--mode paired`: leave it out, or say `--mode paired`".to_owned(),
            ));
        }
    })
}

/// `[AUTHORITY]/PATH_PREFIX=PROTOCOL[@SCOPE]`.
fn protocol(entry: &str) -> Result<Value, Fault> {
    let bad = |what: &str| {
        Fault::Argument(format!(
            "`--protocol {entry}`: {what}; write `/mcp=mcp`, `/mcp=mcp@scope` or `mcp.example.com/mcp=mcp@scope`"
        ))
    };
    let (place, speaks) = entry.split_once('=').ok_or_else(|| bad("there is no `=`"))?;
    let Some(slash) = place.find('/') else {
        return Err(bad("the path prefix must begin with `/`"));
    };
    let (authority, prefix) = place.split_at(slash);
    if authority.contains(|ch: char| ch.is_whitespace() || ch.is_control() || "@?#\\".contains(ch)) {
        return Err(bad("the authority is a host, with its port if it has one"));
    }
    let (speaks, scope) = match speaks.split_once('@') {
        Some((_, "")) => return Err(bad("the scope behind `@` is empty")),
        Some((speaks, scope)) => (speaks, Some(scope)),
        None => (speaks, None),
    };
    if !["mcp", "a2a", "llm", "http"].contains(&speaks) {
        return Err(bad("the protocol is one of mcp, a2a, llm, http"));
    }
    let mut object = json!({ "path_prefix": prefix, "speaks": speaks });
    if let Some(map) = object.as_object_mut() {
        if !authority.is_empty() {
            map.insert("authority".to_owned(), authority.into());
        }
        if let Some(scope) = scope {
            map.insert("scope".to_owned(), scope.into());
        }
    }
    Ok(object)
}
