//! Whether a configuration can enforce its program. Asked once, when the proxy takes the configuration.

use apl_bytecode::{
    Algorithm, AssertionsId, CredentialSource, Identity, Matcher, PhaseNeeds, Program, Stage,
};
use apl_vm::Prepared;

use crate::{
    Config, ConfigError, Install, Secrets,
    config::Speaks,
    http::public::{covers, patterns},
    identity::{signature::VerifyingKey, token::text_of},
};

/// Refuses what could not be enforced.
///
/// # Errors
///
/// The first thing that is missing.
pub(crate) fn check(
    program: &Prepared,
    digest: &str,
    config: &Config,
    secrets: &Secrets,
) -> Result<(), ConfigError> {
    if let Some(expected) = &config.policy_digest
        && expected != digest
    {
        return Err(ConfigError::Digest {
            expected: expected.clone(),
            found: digest.to_owned(),
        });
    }
    check_signature(digest, config)?;
    check_companion(program, config, secrets)?;
    check_hash_key(program.program(), config, secrets)?;
    check_seal_keys(config, secrets)?;
    check_public_paths(program.program(), config)?;
    if config.install == Install::Single {
        phases(program).try_for_each(|phases| check_single(program.program(), &phases))?;
    }
    Ok(())
}

/// With a key configured, only what its owner signed is run.
fn check_signature(digest: &str, config: &Config) -> Result<(), ConfigError> {
    let Some(key) = &config.policy_public_key else {
        return Ok(());
    };
    let key = VerifyingKey::ed25519(key).ok_or(ConfigError::PublicKey)?;
    let signature = apl_bytecode::signature(&config.policy)
        .map_err(|error| ConfigError::Program(error.to_string()))?
        .ok_or(ConfigError::Unsigned)?;
    if key.verify(Algorithm::EdDsa, &apl_bytecode::signed_text(digest), &signature) {
        Ok(())
    } else {
        Err(ConfigError::Signature(digest.to_owned()))
    }
}

/// The needs of one route or fallback.
struct Phases {
    /// `None`: a fallback.
    route: Option<usize>,
    pre: PhaseNeeds,
    post: PhaseNeeds,
    /// Request headers are asserted.
    asserts: bool,
}

fn phases(program: &Prepared) -> impl Iterator<Item = Phases> {
    let model = program.program();
    let asserts = |id: Option<AssertionsId>| {
        id.and_then(|id| model.assertions.get(id.at()))
            .is_some_and(|all| !all.request.headers.is_empty() || !all.request.strip.is_empty())
    };
    let routes = (model.routes.iter().enumerate())
        .map(|(at, route)| (Some(at), route.pre, route.post, route.assertions));
    let fallbacks =
        (model.fallbacks.iter()).map(|fallback| (None, fallback.pre, fallback.post, fallback.assertions));
    routes
        .chain(fallbacks)
        .map(move |(route, pre, post, assertions)| {
            let needs = program.needs_of(pre, post);
            Phases {
                route,
                pre: needs.pre,
                post: needs.post,
                asserts: asserts(assertions),
            }
        })
}

/// What a message calls a route.
fn name(program: &Program, route: Option<usize>) -> String {
    let Some(route) = route.and_then(|at| program.routes.get(at)) else {
        return "the global rules".to_owned();
    };
    let name = match &route.matcher {
        Matcher::Exact(name) | Matcher::Glob(name) | Matcher::Http { path: name, .. } => {
            text_of(program, *name)
        }
        Matcher::Any => "*",
    };
    format!("route {}:{name}", route.entity.name())
}

fn check_companion(program: &Prepared, config: &Config, secrets: &Secrets) -> Result<(), ConfigError> {
    match &config.companion {
        Some(companion) => match &companion.token_env {
            Some(name) if secrets.companion_token.as_ref().is_none_or(String::is_empty) => {
                Err(ConfigError::MissingVariable(name.clone(), "companion.token_env"))
            }
            Some(_) | None => Ok(()),
        },
        None => match wants_companion(program) {
            Some(need) => Err(ConfigError::NeedsCompanion(need)),
            None => Ok(()),
        },
    }
}

fn wants_companion(program: &Prepared) -> Option<&'static str> {
    if !program.program().pins.is_empty() {
        return Some("pinned tools");
    }
    let settings = &program.program().settings;
    if settings.delivery == apl_bytecode::Delivery::Durable {
        return Some("`audit: durable`");
    }
    if settings.capture {
        return Some("`capture: facts`");
    }
    wants(&program.all_needs()).or_else(|| wants_of_identities(program.program()))
}

/// What a phase asks the companion for.
const fn wants(needs: &PhaseNeeds) -> Option<&'static str> {
    if needs.delegates {
        Some("`delegate`")
    } else if needs.elicits {
        Some("an approval")
    } else if needs.decides {
        Some("a decision point")
    } else if needs.counts {
        Some("`limit` or `budget`")
    } else if needs.taints {
        Some("`taint`")
    } else if needs.loads_labels {
        Some("`security.labels`")
    } else if needs.companion() {
        Some("an audit step that waits")
    } else {
        None
    }
}

fn wants_of_identities(program: &Program) -> Option<&'static str> {
    let mut identities = program.identities.iter();
    if identities
        .clone()
        .flat_map(Identity::issuers)
        .any(|issuer| issuer.jwks.is_none())
    {
        Some("the keys of an issuer")
    } else if identities.any(|identity| matches!(identity.source, CredentialSource::ApiKey { .. })) {
        Some("the directory of API keys")
    } else {
        None
    }
}

fn check_hash_key(program: &Program, config: &Config, secrets: &Secrets) -> Result<(), ConfigError> {
    let hashes = program
        .pipelines
        .iter()
        .flat_map(|pipeline| &pipeline.stages)
        .any(|stage| matches!(stage, Stage::Hash));
    let there = secrets.hash_key.as_ref().is_some_and(|key| !key.is_empty());
    match &config.hash_key_env {
        Some(name) if !there => Err(ConfigError::MissingVariable(name.clone(), "hash_key_env")),
        None if hashes && !there => Err(ConfigError::NeedsHashKey("`hash_key_env` names no variable")),
        Some(_) | None => Ok(()),
    }
}

/// A GET of an MCP endpoint is a stream of what policy governs, so it is never public.
fn check_public_paths(program: &Program, config: &Config) -> Result<(), ConfigError> {
    let mcp = |entry: &&crate::config::Protocol| entry.speaks == Speaks::Mcp;
    for entry in config.protocols.iter().filter(mcp) {
        let path = entry.path_prefix.as_str();
        if patterns(program).any(|pattern| covers(pattern, path)) {
            return Err(ConfigError::PublicPath(path.to_owned()));
        }
    }
    Ok(())
}

/// Bytes that a seal key has at least.
const MIN_SEAL_KEY: usize = 16;

fn check_seal_keys(config: &Config, secrets: &Secrets) -> Result<(), ConfigError> {
    let keys = [
        ("seal_key_env", &config.seal_key_env, &secrets.seal_key),
        (
            "seal_previous_key_env",
            &config.seal_previous_key_env,
            &secrets.seal_previous_key,
        ),
    ];
    for (name, variable, key) in keys {
        let Some(variable) = variable else { continue };
        match key.as_ref().map_or(0, Vec::len) {
            0 => return Err(ConfigError::MissingVariable(variable.clone(), name)),
            1..MIN_SEAL_KEY => return Err(ConfigError::SealKey(name, "the key has fewer than 16 bytes")),
            _ => {}
        }
    }
    if config.seal_previous_key_env.is_some() && config.seal_key_env.is_none() {
        return Err(ConfigError::SealKey(
            "seal_previous_key_env",
            "there is no `seal_key_env` that came after it",
        ));
    }
    if config.seal_key_env.is_some() && config.install == Install::Single {
        return Err(ConfigError::SealKey(
            "seal_key_env",
            "`install.mode: single` sends headers on before it knows the caller, so it cannot open sealed ids: use `full` or `paired`",
        ));
    }
    Ok(())
}

/// `execution.md` rule 5.
fn check_single(program: &Program, phases: &Phases) -> Result<(), ConfigError> {
    let need = if phases.pre.delegates || phases.post.delegates {
        "the policy delegates, which sets a request header after the body was read"
    } else if phases.pre.restricts {
        "the policy restricts where requests go, which sets a request header after the body was read"
    } else if phases.pre.edits_args {
        "the policy edits arguments, which changes the request's content-length"
    } else if phases.asserts {
        "the policy asserts request headers, which are set after the body was read"
    } else {
        return Ok(());
    };
    Err(ConfigError::NeedsHeldHeaders {
        need,
        route: name(program, phases.route),
    })
}
