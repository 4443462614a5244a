//! Routes without a scope behind several servers: one name, perhaps two meanings.

use apl_bytecode::{Matcher, VerifiedProgram};
use serde_json::Value;

/// A warning for every route without a scope that two of the configuration's `protocols` entries reach by one name or
/// pattern. A route for `*` says itself that it is for all.
pub(crate) fn warnings(program: &VerifiedProgram, filter: &Value) -> Vec<String> {
    let mut scopes: Vec<Option<&str>> = Vec::new();
    for entry in filter["protocols"].as_array().into_iter().flatten() {
        let scope = entry["scope"].as_str();
        if !scopes.contains(&scope) {
            scopes.push(scope);
        }
    }
    let model = program.program();
    let mut found = Vec::new();
    for (at, route) in model.routes.iter().enumerate() {
        let (Matcher::Exact(name) | Matcher::Glob(name)) = route.matcher else {
            continue;
        };
        let Some(name) = model.strings.get(name.at()) else {
            continue;
        };
        let governs = |scope: &&Option<&str>| match route.matcher {
            Matcher::Exact(_) => program.routes().find(route.entity, name, **scope) == Some(at),
            // Some of its names may have routes of their own in a scope; the others are shared.
            Matcher::Glob(_) | Matcher::Any | Matcher::Http { .. } => true,
        };
        let sharing: Vec<&str> = scopes
            .iter()
            .filter(governs)
            .map(|scope| scope.unwrap_or("(no scope)"))
            .collect();
        if route.scope.is_none() && sharing.len() > 1 {
            found.push(format!(
                "route {}:{name} has no scope and governs {}: two servers may mean different things by one name. Give it \
                 `meta: {{scope: ...}}`, or write a route for each server",
                route.entity.name(),
                sharing.join(" and ")
            ));
        }
    }
    found
}
