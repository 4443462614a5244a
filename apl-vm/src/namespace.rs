//! Everything that is known below a name: `claim` as a whole, `claim.realm_access`.

use std::collections::BTreeMap;

use apl_bytecode::AttrId;

use crate::{
    attribute::{Found, Rest, Scope},
    expr::{of_fact, texts},
    facts::Fact,
    fuel::{Exhausted, Fuel},
    value::{Map, Value},
};

/// Names that stand for a map of facts. Any other is one value, whose absence is no empty map.
const NAMESPACES: &[&str] = &[
    "agent",
    "caller_workload",
    "claim",
    "client",
    "completion",
    "custom",
    "data",
    "delegation",
    "elicitation",
    "framework",
    "http",
    "llm",
    "mcp",
    "meta",
    "perm",
    "provenance",
    "request",
    "role",
    "route",
    "security",
    "subject",
    "team",
    "this_workload",
];

/// What the caller's credentials say. Nobody knows in a probe what will be in any other namespace.
const OF_CALLERS: &[&str] = &[
    "caller_workload",
    "claim",
    "client",
    "data",
    "perm",
    "role",
    "subject",
    "team",
    "this_workload",
];

/// The facts below an attribute that is none itself, as a map. A whole namespace is always there, though it may be empty;
/// anything deeper is only there with something in it.
pub(crate) fn below<'a>(
    scope: &Scope<'a>,
    attr: AttrId,
    fuel: &mut Fuel,
) -> Result<Option<Value<'a>>, Exhausted> {
    let Some(key) = scope.program.key(attr) else {
        return Ok(None);
    };
    let root = key.split('.').next().unwrap_or_default();
    if !NAMESPACES.contains(&root) {
        return Ok(None);
    }
    if scope.assumed.is_some_and(|assumed| assumed.hides(root)) && !OF_CALLERS.contains(&root) {
        return Ok(Some(Value::Unknown));
    }
    let facts = scope.facts;
    fuel.elements(facts.base.len().saturating_add(facts.own.len()))?;
    let mut tree = Branch::default();
    // The exchange's own come last, so that they win.
    for (known, fact) in facts.base.iter().chain(&facts.own) {
        if let Some(rest) = known.strip_prefix(key).and_then(|rest| rest.strip_prefix('.')) {
            tree.put(&segments(rest), fact);
        }
    }
    let labels = match key {
        "security" => match scope.labels() {
            Found::Labels(labels) if labels.rest == Rest::None => Some(texts(labels.all().into_iter())),
            Found::Labels(labels) if labels.rest == Rest::Unknown => return Ok(Some(Value::Unknown)),
            _ => return Ok(Some(Value::Error)),
        },
        _ => None,
    };
    if tree.inside.is_empty() && key != root {
        return Ok(None);
    }
    tree.map(labels, fuel).map(Some)
}

/// A dotted key's segments, unescaped.
fn segments(key: &str) -> Vec<String> {
    let mut all = vec![String::new()];
    let mut characters = key.chars();
    while let Some(character) = characters.next() {
        match character {
            '.' => all.push(String::new()),
            other => {
                let literal = if other == '\\' {
                    characters.next()
                } else {
                    Some(other)
                };
                if let (Some(last), Some(literal)) = (all.last_mut(), literal) {
                    last.push(literal);
                }
            }
        }
    }
    all
}

#[derive(Default)]
struct Branch<'a> {
    fact: Option<&'a Fact>,
    inside: BTreeMap<String, Branch<'a>>,
}

impl<'a> Branch<'a> {
    fn put(&mut self, segments: &[String], fact: &'a Fact) {
        match segments.split_first() {
            None => self.fact = Some(fact),
            Some((first, rest)) => self.inside.entry(first.clone()).or_default().put(rest, fact),
        }
    }

    /// What is below a name wins over a value of the name itself: `delegation.granted` beside
    /// `delegation.granted.permissions`.
    fn map(self, extra: Option<Value<'a>>, fuel: &mut Fuel) -> Result<Value<'a>, Exhausted> {
        let mut entries = Vec::new();
        for (name, branch) in self.inside {
            let value = match (branch.inside.is_empty(), branch.fact) {
                (true, Some(fact)) => of_fact(fact, fuel)?,
                (true, None) => continue,
                (false, _) => branch.map(None, fuel)?,
            };
            // What cannot be looked into is left out; naming it is an error then.
            if !matches!(value, Value::Error | Value::Fault) {
                entries.push((Value::Str(name.into()), value));
            }
        }
        entries.extend(extra.map(|labels| (Value::Str("labels".into()), labels)));
        Ok(Map::made(entries))
    }
}
