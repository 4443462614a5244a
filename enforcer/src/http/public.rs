//! What needs no identity (`execution.md` rule 22).

use apl_bytecode::Program;

use super::path::is_plain;
use crate::identity::token::text_of;

/// Unless the policy has `public_paths` of its own: metadata of a protected resource (RFC 9728 section 3), and an agent's
/// card (A2A).
const DEFAULTS: [&str; 3] = [
    "/.well-known/agent-card.json",
    "/.well-known/oauth-protected-resource",
    "/.well-known/oauth-protected-resource/*",
];

/// Whether the request is to pass as it is. Only reading is ever public.
pub(crate) fn is_public(program: &Program, method: &str, target: &str) -> bool {
    let path = target.split(['?', '#']).next().unwrap_or_default();
    matches!(method, "GET" | "HEAD")
        && is_plain(path)
        && patterns(program).any(|pattern| covers(pattern, path))
}

/// What is public; exact, or with a last segment `*` everything below.
pub(crate) fn patterns(program: &Program) -> impl Iterator<Item = &str> {
    let own = program.public_paths.as_ref();
    let defaults = if own.is_none() { DEFAULTS.as_slice() } else { &[] };
    own.into_iter()
        .flatten()
        .map(|id| text_of(program, *id))
        .chain(defaults.iter().copied())
}

/// Whether a pattern means this path.
pub(crate) fn covers(pattern: &str, path: &str) -> bool {
    match pattern.strip_suffix("/*") {
        Some(head) => path.strip_prefix(head).is_some_and(|rest| rest.starts_with('/')),
        None => path == pattern,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_reading_of_whole_segments_is_public() {
        let program = Program::default();
        for path in [
            "/.well-known/agent-card.json?x=1",
            "/.well-known/oauth-protected-resource/mcp",
        ] {
            assert!(is_public(&program, "GET", path) && is_public(&program, "HEAD", path));
            assert!(!is_public(&program, "POST", path));
        }
        for path in [
            "/.well-known/agent-card.json/x",
            "/.well-known/oauth-protected-resource-2",
            "/.well-known/oauth-protected-resource/../mcp",
            "/.well-known/oauth-protected-resource/%2e%2e/mcp",
            "/.well-known/oauth-protected-resource/a;b",
            "/mcp",
        ] {
            assert!(!is_public(&program, "GET", path), "{path}");
        }
        let none = Program {
            public_paths: Some(Vec::new()),
            ..Program::default()
        };
        assert!(!is_public(&none, "GET", "/.well-known/agent-card.json"));
        assert!(covers("/docs/*", "/docs/a/b") && !covers("/docs/*", "/docs") && covers("/*", "/x"));
    }
}
