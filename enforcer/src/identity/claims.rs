//! How claims become attributes: the rules of the program's claim map, and then every other claim that policy reads.

use std::collections::BTreeSet;

use apl_bytecode::{
    ClaimField, ClaimPath, ClaimRule, ClaimShape, Identity, Program, TokenRole, push_key_segment,
};
use apl_vm::{Fact, FactMap};
use serde_json::{Map, Value};

use super::{
    flatten::flatten,
    spiffe,
    token::{TokenError, text_of},
};

/// Who a credential speaks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Speaker {
    /// The subject, client id or workload id.
    pub(crate) id: String,
    /// The client that the token names (`client_id` or `azp`), when it does.
    pub(crate) client: Option<String>,
    /// The claim `session_id`, when it is a text.
    pub(crate) session_id: Option<String>,
}

/// What mapping needs to know.
#[derive(Clone, Copy)]
pub(crate) struct Mapping<'a> {
    pub(crate) program: &'a Program,
    pub(crate) identity: &'a Identity,
    /// Whether policy can read an attribute; what it cannot is not kept.
    pub(crate) keeps: &'a dyn Fn(&str) -> bool,
}

impl Mapping<'_> {
    /// Writes the attributes of a credential's claims into `facts`.
    ///
    /// # Errors
    ///
    /// [`TokenError::Mapping`]: the claim that names the speaker, or one that the map requires, is missing;
    /// [`TokenError::Workload`]: a workload of a domain that is not trusted.
    pub(crate) fn map(
        &self,
        claims: &Map<String, Value>,
        facts: &mut FactMap,
    ) -> Result<Speaker, TokenError> {
        let id = self.id(claims)?;
        let (space, claim_space) = match self.identity.role {
            TokenRole::User => {
                facts.insert("authenticated".to_owned(), Fact::Bool(true));
                facts.insert("subject.id".to_owned(), Fact::Str(id.clone()));
                ("subject", "claim")
            }
            TokenRole::Client => {
                facts.insert("client.client_id".to_owned(), Fact::Str(id.clone()));
                ("client", "client.claim")
            }
            TokenRole::CallerWorkload => {
                let domain = spiffe::trusted(self.program, self.identity, &id)?;
                spiffe::put(facts, &id, &domain, "jwt");
                ("caller_workload", "")
            }
        };
        for rule in &self.identity.claim_map.rules {
            self.apply(rule, claims, space, facts)?;
        }
        if !claim_space.is_empty() {
            self.claims(claims, claim_space, facts);
        }
        if self.identity.role == TokenRole::User {
            actors(claims, &id, facts);
        }
        Ok(Speaker {
            id,
            client: text(claims, "client_id").or_else(|| text(claims, "azp")),
            session_id: text(claims, "session_id"),
        })
    }

    fn id(&self, claims: &Map<String, Value>) -> Result<String, TokenError> {
        let is_workload = self.identity.role == TokenRole::CallerWorkload;
        let mut rules = self.identity.claim_map.rules.iter();
        let rule = rules
            .find(|rule| rule.field == ClaimField::Id)
            .ok_or(TokenError::Mapping)?;
        self.single(rule, claims, |id| !is_workload || spiffe::domain(id).is_some())
            .ok_or(TokenError::Mapping)
    }

    fn apply(
        &self,
        rule: &ClaimRule,
        claims: &Map<String, Value>,
        space: &str,
        facts: &mut FactMap,
    ) -> Result<(), TokenError> {
        let (key, members_of) = match rule.field {
            ClaimField::Id => return Ok(()),
            ClaimField::Name => ("client_name", None),
            ClaimField::ClientId => ("client_id", None),
            ClaimField::Roles => ("roles", Some("role")),
            ClaimField::Permissions => ("permissions", Some("perm")),
            ClaimField::Teams => ("teams", Some("team")),
            ClaimField::Scopes => ("authorized_scopes", None),
            ClaimField::Audiences => ("authorized_audiences", None),
            ClaimField::Selectors => ("selectors", None),
        };
        let fact = if rule.field.is_single() {
            self.single(rule, claims, |_| true).map(Fact::Str)
        } else {
            self.set(rule, claims).map(Fact::Set)
        };
        let Some(fact) = fact else {
            return if rule.required {
                Err(TokenError::Mapping)
            } else {
                Ok(())
            };
        };
        if let (Fact::Set(names), Some(members_of)) = (&fact, members_of) {
            let space = if space == "subject" {
                members_of.to_owned()
            } else {
                format!("{space}.{members_of}")
            };
            members(facts, &space, names);
        }
        facts.insert(format!("{space}.{key}"), fact);
        Ok(())
    }

    /// The first place that holds a text which `accept` takes.
    fn single(
        &self,
        rule: &ClaimRule,
        claims: &Map<String, Value>,
        accept: impl Fn(&str) -> bool,
    ) -> Option<String> {
        for path in &rule.paths {
            let Some(value) = self.find(path, claims) else {
                continue;
            };
            match value.as_str() {
                Some(text) if !text.is_empty() && accept(text) => return Some(text.to_owned()),
                Some(_) | None if path.stop => return None,
                Some(_) | None => {}
            }
        }
        None
    }

    /// The texts of the first place that holds some, or of every place. `None`: no place can be used.
    fn set(&self, rule: &ClaimRule, claims: &Map<String, Value>) -> Option<BTreeSet<String>> {
        let mut found: Option<BTreeSet<String>> = None;
        for path in &rule.paths {
            let texts: Option<Vec<&str>> = match (self.find(path, claims), path.shape) {
                (Some(Value::Array(all)), ClaimShape::Any | ClaimShape::List) => {
                    Some(all.iter().filter_map(Value::as_str).collect())
                }
                (Some(Value::String(text)), ClaimShape::Any | ClaimShape::Text) => Some(if rule.split {
                    text.split_ascii_whitespace().collect()
                } else {
                    vec![text.as_str()]
                }),
                (Some(_) | None, _) => None,
            };
            let Some(texts) = texts else { continue };
            found
                .get_or_insert_default()
                .extend(texts.into_iter().map(str::to_owned));
            if !rule.union {
                break;
            }
        }
        found
    }

    fn find<'c>(&self, path: &ClaimPath, claims: &'c Map<String, Value>) -> Option<&'c Value> {
        let (first, rest) = path.segs.split_first()?;
        let first = claims.get(text_of(self.program, *first))?;
        rest.iter().try_fold(first, |value, seg| {
            value.as_object()?.get(text_of(self.program, *seg))
        })
    }

    /// Every other claim, under its own name.
    fn claims(&self, claims: &Map<String, Value>, space: &str, facts: &mut FactMap) {
        let hidden = &self.identity.claim_map.hidden;
        for (name, value) in claims {
            if hidden.iter().any(|hidden| text_of(self.program, *hidden) == name) {
                continue;
            }
            let mut key = space.to_owned();
            push_key_segment(&mut key, name);
            flatten(facts, key, value, self.keeps);
        }
    }
}

/// `role.hr: true` for each name without a dot: `role.admin.readonly` must not look like something below `role.admin`.
fn members(facts: &mut FactMap, namespace: &str, names: &BTreeSet<String>) {
    for name in names
        .iter()
        .filter(|name| !name.is_empty() && !name.contains('.'))
    {
        let mut key = namespace.to_owned();
        push_key_segment(&mut key, name);
        facts.insert(key, Fact::Bool(true));
    }
}

/// Who acts for the subject (RFC 8693 section 4.1): the outermost `act` is who acts now, those within it are the earlier
/// ones.
fn actors(claims: &Map<String, Value>, subject: &str, facts: &mut FactMap) {
    let Some(now) = claims.get("act").and_then(Value::as_object) else {
        return;
    };
    let mut depth = 1_i64;
    let mut actor = now;
    let mut chain = apl_vm::set_of(text(now, "sub"));
    while let Some(earlier) = actor.get("act").and_then(Value::as_object) {
        depth = depth.saturating_add(1);
        actor = earlier;
        chain.extend(text(actor, "sub"));
    }
    let mut put = |key: &str, fact: Fact| facts.insert(key.to_owned(), fact);
    put("delegated", Fact::Bool(true));
    put("delegation.delegated", Fact::Bool(true));
    put("delegation.depth", Fact::Int(depth));
    put("delegation.chain", Fact::Set(chain));
    put("delegation.origin_subject_id", Fact::Str(subject.to_owned()));
    if let Some(id) = text(now, "sub") {
        put("delegation.actor_subject_id", Fact::Str(id));
    }
}

fn text(claims: &Map<String, Value>, name: &str) -> Option<String> {
    claims
        .get(name)
        .and_then(Value::as_str)
        .filter(|text| !text.is_empty())
        .map(str::to_owned)
}
