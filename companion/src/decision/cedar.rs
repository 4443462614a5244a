//! Cedar policies.
//!
//! Values go to Cedar as values and never as its JSON form, so no argument can pass itself off as an entity
//! (`__entity`) or an extension value (`__extn`); one that tries is denied `cedar.input_withheld`. Cedar has neither null
//! nor fractions: an attribute that holds one, at any depth of a list, is absent, and a policy that reads it denies.

use std::collections::{HashMap, HashSet};
use std::str::FromStr;

use cedar_policy::{
    Authorizer, Context, Decision as Verdict, Entities, Entity, EntityId, EntityTypeName, EntityUid,
    PolicySet, Request, RestrictedExpression, Schema, ValidationMode, Validator,
};
use companion_protocol::config::CedarPoint;
use companion_protocol::{Decision, Json, PdpDecide};

use super::{ALLOW, DecisionError, at, deny, value};

/// Compiled policies and their entities.
#[derive(Debug)]
pub struct CedarEngine {
    dialect: String,
    policies: PolicySet,
    entities: Entities,
    namespace: Option<String>,
    authorizer: Authorizer,
}

/// Attributes of `subject` that the principal has.
const PRINCIPAL: [&str; 6] = ["id", "type", "roles", "permissions", "teams", "claims"];

/// Of those, what is a list even when there is none.
const LISTS: [&str; 3] = ["roles", "permissions", "teams"];

/// Namespaces that stand in the context.
const CONTEXT: [&str; 3] = ["delegation", "meta", "security"];

const RESERVED: [&str; 3] = ["__entity", "__extn", "__expr"];

type Attributes = HashMap<String, RestrictedExpression>;

impl CedarEngine {
    /// Compiles and, with a schema, validates. The error is for the operator.
    pub fn new(config: &CedarPoint) -> Result<Self, String> {
        let policies = PolicySet::from_str(&config.policies).map_err(|error| format!("policies: {error}"))?;
        let schema = match &config.schema {
            None => None,
            Some(text) => {
                let (schema, warnings) =
                    Schema::from_cedarschema_str(text).map_err(|error| format!("schema: {error}"))?;
                for warning in warnings {
                    tracing::warn!(%warning, "a Cedar schema");
                }
                Some(schema)
            }
        };
        if let Some(schema) = &schema {
            let result = Validator::new(schema.clone()).validate(&policies, ValidationMode::Strict);
            if let Some(error) = result.validation_errors().next() {
                return Err(format!("policies do not fit the schema: {error}"));
            }
        }
        let entities = match &config.entities {
            None => Ok(Entities::empty()),
            Some(json) => Entities::from_json_value(value(json), schema.as_ref()),
        };
        Ok(Self {
            dialect: config.dialect.clone(),
            policies,
            entities: entities.map_err(|error| format!("entities: {error}"))?,
            namespace: config.entity_namespace.clone(),
            authorizer: Authorizer::new(),
        })
    }

    pub(super) fn dialect(&self) -> &str {
        &self.dialect
    }

    pub(super) fn decide(&self, asked: &PdpDecide) -> Result<Decision, DecisionError> {
        if is_reserved(&asked.call) || is_reserved(&asked.input) {
            return Err(DecisionError::Withheld);
        }
        let principal = self.principal(&asked.input)?;
        let action = text(&asked.call, "action")?;
        let action = EntityUid::from_str(action)
            .map_err(|_| DecisionError::BadRequest("`action` is no Cedar entity, as `Action::\"read\"`"))?;
        let resource = asked
            .call
            .get("resource")
            .ok_or(DecisionError::BadRequest("`resource` is missing"))?;
        let type_name = text(resource, "type")?;
        let resource_uid = uid(type_name, text(resource, "id")?)?;
        let attributes = resource.get("attributes").or_else(|| resource.get("properties"));
        let resource = self.known(resource_uid, attributes.map(attributes_of).unwrap_or_default());
        let context = Context::from_pairs(context(asked))
            .map_err(|_| DecisionError::BadRequest("`context` holds a value that Cedar cannot read"))?;
        let (principal_uid, resource_uid) = (principal.uid(), resource.uid());
        // A request may well be about its principal; two entities of one name would be an error.
        let mut entities = vec![principal];
        if principal_uid != resource_uid {
            entities.push(resource);
        }
        let entities = self
            .entities
            .clone()
            .upsert_entities(entities, None)
            .map_err(|_| {
                DecisionError::BadRequest("principal or resource hold a value that Cedar cannot read")
            })?;
        let request = Request::new(principal_uid, action, resource_uid, context, None)
            .map_err(|_| DecisionError::BadRequest("Cedar refuses the request"))?;
        Ok(self.evaluate(&request, &entities))
    }

    /// Any error of any policy denies: a `forbid` that could not be evaluated must not count as one that did not hold.
    fn evaluate(&self, request: &Request, entities: &Entities) -> Decision {
        let response = self.authorizer.is_authorized(request, &self.policies, entities);
        let mut errors = response.diagnostics().errors().peekable();
        let fired = response.diagnostics().reason().min();
        let code = fired.map(|id| {
            let annotated = self.policies.annotation(id, "id").filter(|id| !id.is_empty());
            annotated.map_or_else(|| id.to_string(), str::to_owned)
        });
        let reason = fired.and_then(|id| self.policies.annotation(id, "reason"));
        if let Some(error) = errors.peek() {
            tracing::warn!(%error, "a Cedar policy cannot be evaluated");
            // A permit that fired is no reason for a denial.
            return match (response.decision(), code) {
                (Verdict::Deny, Some(code)) => deny(&code, reason),
                (Verdict::Deny, None) | (Verdict::Allow, _) => deny("cedar.evaluation_error", None),
            };
        }
        match (response.decision(), code) {
            (Verdict::Allow, _) => ALLOW,
            (Verdict::Deny, Some(code)) => deny(&code, reason),
            (Verdict::Deny, None) => {
                let reason = "no Cedar permit policy matched the request";
                deny("cedar.default_deny", Some(reason))
            }
        }
    }

    fn principal(&self, input: &Json) -> Result<Entity, DecisionError> {
        let id = at(input, &["subject", "id"])
            .and_then(Json::as_str)
            .filter(|id| !id.is_empty())
            .ok_or(DecisionError::BadRequest("nobody is identified"))?;
        let kind = at(input, &["subject", "type"])
            .and_then(Json::as_str)
            .unwrap_or("user");
        let mut name = capitalised(kind);
        if let Some(namespace) = &self.namespace {
            name = format!("{namespace}::{name}");
        }
        let mut attributes = Attributes::new();
        for attribute in PRINCIPAL {
            let found = at(input, &["subject", attribute]).and_then(expression);
            let empty = || {
                LISTS
                    .contains(&attribute)
                    .then(|| RestrictedExpression::new_set(std::iter::empty()))
            };
            if let Some(value) = found.or_else(empty) {
                attributes.insert(attribute.to_owned(), value);
            }
        }
        attributes
            .entry("type".to_owned())
            .or_insert_with(|| RestrictedExpression::new_string(kind.to_owned()));
        if let std::collections::hash_map::Entry::Vacant(claims) = attributes.entry("claims".to_owned())
            && let Ok(none) = RestrictedExpression::new_record(std::iter::empty())
        {
            claims.insert(none);
        }
        Ok(self.known(uid(&name, id)?, attributes))
    }

    /// The entity with what the configuration says of it: its parents, and attributes that the request does not give.
    fn known(&self, uid: EntityUid, attributes: Attributes) -> Entity {
        let (mut all, parents) = match self.entities.get(&uid) {
            None => (HashMap::new(), HashSet::new()),
            Some(entity) => {
                let (_, attributes, parents) = entity.clone().into_inner();
                (attributes, parents)
            }
        };
        all.extend(attributes);
        // Restricted expressions evaluate always; should one not, the entity has no attributes and policies deny.
        Entity::new(uid.clone(), all, parents).unwrap_or_else(|_| Entity::new_no_attrs(uid, HashSet::new()))
    }
}

fn text<'j>(json: &'j Json, name: &'static str) -> Result<&'j str, DecisionError> {
    json.get(name).and_then(Json::as_str).ok_or(match name {
        "action" => DecisionError::BadRequest("`action` is missing or no text"),
        "type" => DecisionError::BadRequest("`resource.type` is missing or no text"),
        _ => DecisionError::BadRequest("`resource.id` is missing or no text"),
    })
}

fn uid(type_name: &str, id: &str) -> Result<EntityUid, DecisionError> {
    let name = EntityTypeName::from_str(type_name)
        .map_err(|_| DecisionError::BadRequest("a type is no Cedar entity type"))?;
    Ok(EntityUid::from_type_name_and_id(name, EntityId::new(id)))
}

/// `user` is `User`, as Cedar policies write it.
fn capitalised(kind: &str) -> String {
    let mut letters = kind.chars();
    letters
        .next()
        .map(|first| first.to_ascii_uppercase().to_string() + letters.as_str())
        .unwrap_or_default()
}

fn context(asked: &PdpDecide) -> Attributes {
    let mut pairs = Attributes::new();
    for namespace in CONTEXT {
        if let Some(value) = asked.input.get(namespace).and_then(expression) {
            pairs.insert(namespace.to_owned(), value);
        }
    }
    let authenticated = matches!(asked.input.get("authenticated"), Some(Json::Bool(true)));
    pairs.insert(
        "authenticated".to_owned(),
        RestrictedExpression::new_bool(authenticated),
    );
    if let Some(own) = asked.call.get("context") {
        pairs.extend(attributes_of(own));
    }
    pairs
}

fn attributes_of(json: &Json) -> Attributes {
    let Json::Map(members) = json else {
        return Attributes::new();
    };
    members
        .iter()
        .filter_map(|(name, value)| Some((name.clone(), expression(value)?)))
        .collect()
}

/// `None`: Cedar has no such value.
fn expression(json: &Json) -> Option<RestrictedExpression> {
    match json {
        Json::Null | Json::UInt(_) => None,
        Json::Bool(value) => Some(RestrictedExpression::new_bool(*value)),
        Json::Int(value) => Some(RestrictedExpression::new_long(*value)),
        Json::Float(value) => whole(*value).map(RestrictedExpression::new_long),
        Json::Text(value) => Some(RestrictedExpression::new_string(value.clone())),
        // A list that lacks one of its items would be another list.
        Json::List(items) => items
            .iter()
            .map(expression)
            .collect::<Option<Vec<_>>>()
            .map(RestrictedExpression::new_set),
        Json::Map(_) => RestrictedExpression::new_record(attributes_of(json)).ok(),
    }
}

/// 2.0 is 2; beyond 2^53 a float is not exact.
fn whole(value: f64) -> Option<i64> {
    (value.fract() == 0.0 && value.abs() <= 9_007_199_254_740_992.0).then_some(value as i64)
}

fn is_reserved(json: &Json) -> bool {
    match json {
        Json::List(items) => items.iter().any(is_reserved),
        Json::Map(members) => members
            .iter()
            .any(|(name, value)| RESERVED.contains(&name.as_str()) || is_reserved(value)),
        Json::Null | Json::Bool(_) | Json::Int(_) | Json::UInt(_) | Json::Float(_) | Json::Text(_) => false,
    }
}
