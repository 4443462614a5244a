//! The OpenAPI document (3.1), made from the types that are served.

use companion_protocol::{EFFECTS_PATH, EffectsRequest, EffectsResponse, JWKS_PATH};
use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, SchemaGenerator};
use serde_json::{Value, json};

use crate::admin::{CLEAR_PATH, ClearRequest, IMPORT_PATH, ImportRequest, Imported, SHOW_PATH};
use crate::store::{Bucket, Cleared, Selection};

/// Where it is.
pub(super) const PATH: &str = "/openapi.json";

/// An answer that is not what was asked for.
#[derive(JsonSchema)]
#[expect(dead_code, reason = "only its schema is used; `error.rs` writes it")]
struct Refusal {
    error: RefusalError,
}

#[derive(JsonSchema)]
#[expect(dead_code, reason = "see `Refusal`")]
struct RefusalError {
    /// Stable, as `companion.too_large`.
    code: String,
    /// For people.
    message: String,
}

/// What of store and log works.
#[derive(JsonSchema)]
#[expect(dead_code, reason = "only its schema is used; `service.rs` writes it")]
struct Readiness {
    store: bool,
    audit: bool,
    /// It is about to end, see `--drain`.
    leaving: bool,
}

/// The document.
pub(super) fn document() -> Value {
    let settings = SchemaSettings::draft2020_12().with(|settings| {
        settings.definitions_path = "/components/schemas".into();
        settings.meta_schema = None;
    });
    let mut schemas = settings.into_generator();
    let effects = operation(
        &mut schemas,
        "Performs an ordered list of effects of one exchange; one result each",
        Some::<Asks<EffectsRequest>>(Asks::new()),
        |schemas| schemas.subschema_for::<EffectsResponse>().to_value(),
        &[400, 401, 408, 413, 415, 429, 503],
    );
    let show = operation(
        &mut schemas,
        "Shows labels, for the operator's token",
        Some::<Asks<Selection>>(Asks::new()),
        |schemas| schemas.subschema_for::<Vec<Bucket>>().to_value(),
        &[400, 401, 408, 413, 415, 503],
    );
    let clear = operation(
        &mut schemas,
        "Removes labels, for the operator's token; recorded first",
        Some::<Asks<ClearRequest>>(Asks::new()),
        |schemas| schemas.subschema_for::<Cleared>().to_value(),
        &[400, 401, 408, 413, 415, 503],
    );
    let import = operation(
        &mut schemas,
        "Adds labels from elsewhere, for the operator's token; recorded first",
        Some::<Asks<ImportRequest>>(Asks::new()),
        |schemas| schemas.subschema_for::<Vec<Imported>>().to_value(),
        &[400, 401, 408, 413, 415, 503],
    );
    let mut jwks = operation(
        &mut schemas,
        "The public keys of a configured issuer (RFC 7517)",
        None::<Asks<()>>,
        |_| json!({"type": "object", "properties": {"keys": {"type": "array", "items": {"type": "object"}}}, "required": ["keys"]}),
        &[400, 401, 404, 429, 503],
    );
    jwks["parameters"] = json!([
        {"name": "issuer", "in": "query", "required": true, "schema": {"type": "string"}},
        {"name": "refresh", "in": "query", "required": false, "schema": {"type": "boolean"},
            "description": "the keys held do not do: fetch them again first, at most once in 30 s"},
    ]);
    jwks["responses"]["200"]["content"] =
        renamed(&jwks["responses"]["200"]["content"], "application/jwk-set+json");
    let mut metrics = operation(
        &mut schemas,
        "OpenMetrics text",
        None::<Asks<()>>,
        |_| json!({"type": "string"}),
        &[401, 429],
    );
    metrics["responses"]["200"]["content"] = renamed(
        &metrics["responses"]["200"]["content"],
        "application/openmetrics-text",
    );
    let mut ready = operation(
        &mut schemas,
        "Whether store and audit log work",
        None::<Asks<()>>,
        |schemas| schemas.subschema_for::<Readiness>().to_value(),
        &[],
    );
    ready["responses"]["503"] = ready["responses"]["200"].clone();
    let mut alive = operation(
        &mut schemas,
        "Whether the process answers",
        None::<Asks<()>>,
        |_| json!({"type": "object", "properties": {"status": {"const": "ok"}}, "required": ["status"]}),
        &[],
    );
    for open in [&mut ready, &mut alive] {
        open["security"] = json!([{}]);
    }
    let own = operation(
        &mut schemas,
        "This document",
        None::<Asks<()>>,
        |_| json!({"type": "object"}),
        &[401, 429],
    );
    json!({
        "openapi": "3.1.0",
        "info": {"title": "Aplomb companion", "version": env!("CARGO_PKG_VERSION"),
            "description": "Effects for the filter. A body is at most 1 MiB, and holds at most 64 effects."},
        "security": [{}, {"bearer": []}],
        "paths": {
            EFFECTS_PATH: {"post": effects},
            JWKS_PATH: {"get": jwks},
            SHOW_PATH: {"post": show},
            CLEAR_PATH: {"post": clear},
            IMPORT_PATH: {"post": import},
            "/metrics": {"get": metrics},
            "/healthz": {"get": alive},
            "/readyz": {"get": ready},
            PATH: {"get": own},
        },
        "components": {
            "schemas": schemas.take_definitions(true),
            "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer"}},
        },
    })
}

/// The type of a request's body.
struct Asks<T>(std::marker::PhantomData<T>);

impl<T> Asks<T> {
    const fn new() -> Self {
        Self(std::marker::PhantomData)
    }
}

fn operation<T: JsonSchema>(
    schemas: &mut SchemaGenerator,
    summary: &str,
    asks: Option<Asks<T>>,
    answers: impl FnOnce(&mut SchemaGenerator) -> Value,
    refusals: &[u16],
) -> Value {
    let body = |schema: Value| json!({"application/json": {"schema": schema}});
    let answered = answers(schemas);
    let mut responses = json!({"200": {"description": "done", "content": body(answered)}});
    let refusal = schemas.subschema_for::<Refusal>().to_value();
    for status in refusals {
        responses[status.to_string()] =
            json!({"description": "refused: see the code", "content": body(refusal.clone())});
    }
    let mut operation = json!({"summary": summary, "responses": responses});
    if asks.is_some() {
        let asked = schemas.subschema_for::<T>().to_value();
        operation["requestBody"] = json!({"required": true, "content": body(asked)});
    }
    operation
}

/// The same content under another media type.
fn renamed(content: &Value, media_type: &str) -> Value {
    json!({media_type: content["application/json"]})
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every `$ref` leads somewhere.
    fn check_refs(value: &Value, document: &Value) {
        match value {
            Value::Object(members) => {
                if let Some(Value::String(to)) = members.get("$ref") {
                    let pointer = to.strip_prefix('#').expect("a local reference");
                    assert!(document.pointer(pointer).is_some(), "{to} leads nowhere");
                }
                members.values().for_each(|member| check_refs(member, document));
            }
            Value::Array(items) => items.iter().for_each(|item| check_refs(item, document)),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }

    #[test]
    fn the_document_is_whole_and_names_every_effect() {
        let document = document();
        check_refs(&document, &document);
        let text = document["components"]["schemas"].to_string();
        for kind in [
            "session.load",
            "session.append",
            "token.exchange",
            "elicit.begin",
            "elicit.check",
            "elicit.redeem",
            "pdp.decide",
            "identity.api_key",
            "limit.count",
            "audit.append",
        ] {
            assert!(
                text.contains(&format!("\"const\":\"{kind}\"")),
                "{kind} is missing: {text}"
            );
        }
    }
}
