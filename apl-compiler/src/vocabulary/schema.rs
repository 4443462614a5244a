//! JSON Schema (draft-07, what YAML language servers know best) of the policy document, from the compiler's own key tables:
//! a key that the compiler reads, and no other, is in it.

use serde_json::{Map, Value, json};

use super::keys::{Section, Treatment};
use super::stages::STAGES;

/// What stands below a key.
enum Below {
    One(Section),
    List(Section),
    /// A map from names to these.
    Named(Section),
    /// The same, or a list of names, each of which may have one of these behind it.
    NamedOrListed(Section),
    Steps,
    Fields,
    Names,
    /// A text, several, or a map of this.
    NamesOr(Section),
    Text,
    Boolean,
    Words(&'static [&'static str]),
    Any,
}

/// The schema of a policy.
#[must_use]
pub fn json_schema() -> Value {
    let mut definitions = Map::new();
    let mut todo = vec![Section::Top];
    todo.extend(CONFIGS.iter().map(|(_, section)| *section));
    while let Some(section) = todo.pop() {
        let name = format!("{section:?}");
        if !definitions.contains_key(&name) {
            let (schema, below) = self::section(section);
            definitions.insert(name, schema);
            todo.extend(below);
        }
    }
    json!({
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "APL policy",
        "description": "A policy that aplc compiles",
        "$ref": "#/definitions/Top",
        "definitions": definitions,
    })
}

/// What the `config` of a kind of plugin is.
const CONFIGS: &[(&str, Section)] = &[
    ("identity/jwt", Section::JwtConfig),
    ("identity/mesh-jwt", Section::MeshConfig),
    ("identity/spiffe", Section::SpiffeConfig),
    ("identity/api-key", Section::ApiKeyConfig),
    ("delegator/oauth", Section::OauthConfig),
    ("delegator/secret", Section::SecretDelegator),
    ("delegator/biscuit", Section::BiscuitDelegator),
    ("validator/pii-scan", Section::PiiConfig),
    ("audit/logger", Section::AuditConfig),
    ("elicitation/ciba", Section::CibaConfig),
    ("elicitation/page", Section::PageConfig),
];

fn section(section: Section) -> (Value, Vec<Section>) {
    let mut properties = Map::new();
    let mut found = Vec::new();
    for (key, treatment) in section.keys() {
        let (note, old) = match treatment {
            Treatment::Read => (describe(section, key), false),
            Treatment::Old(new) => (format!("Old spelling: write {new}."), true),
            Treatment::Inert(why) => (format!("Accepted, without meaning here: {why}."), false),
            // The compiler refuses them here, so an editor does not offer them.
            Treatment::NotYet(_) | Treatment::Elsewhere(_) => continue,
        };
        let mut schema = match below(section, key) {
            Below::One(inner) => {
                found.push(inner);
                json!({ "allOf": [reference(inner)] })
            }
            Below::List(inner) => {
                found.push(inner);
                json!({ "type": ["array", "null"], "items": reference(inner) })
            }
            Below::Named(inner) => {
                found.push(inner);
                json!({ "type": ["object", "null"], "additionalProperties": reference(inner) })
            }
            Below::NamedOrListed(inner) => {
                found.push(inner);
                let named =
                    json!({ "type": "object", "maxProperties": 1, "additionalProperties": reference(inner) });
                json!({ "anyOf": [
                    { "type": ["object", "null"], "additionalProperties": reference(inner) },
                    { "type": "array", "items": { "anyOf": [{ "type": "string" }, named] } },
                ] })
            }
            Below::Steps => json!({ "type": ["array", "null"], "items": { "type": ["string", "object"] } }),
            Below::Fields => {
                json!({ "type": ["object", "null"], "additionalProperties": { "type": "string", "description": stages() } })
            }
            Below::Names => {
                json!({ "anyOf": [{ "type": "string" }, { "type": "array", "items": { "type": "string" } }] })
            }
            Below::NamesOr(inner) => {
                found.push(inner);
                json!({ "anyOf": [
                    { "type": "string" },
                    { "type": "array", "items": { "type": "string" } },
                    reference(inner),
                ] })
            }
            Below::Text => json!({ "type": "string" }),
            Below::Boolean => json!({ "type": "boolean" }),
            Below::Words(words) => json!({ "enum": words }),
            Below::Any => json!({}),
        };
        if let Some(map) = schema.as_object_mut() {
            map.insert("description".to_owned(), note.into());
            if old {
                map.insert("deprecationMessage".to_owned(), "an old spelling".into());
            }
        }
        properties.insert(key.to_owned(), schema);
    }
    let mut schema = json!({
        "type": ["object", "null"],
        "description": section.name(),
        "properties": properties,
        "additionalProperties": false,
    });
    if section == Section::Plugin
        && let Some(map) = schema.as_object_mut()
    {
        let rules: Vec<Value> = CONFIGS
            .iter()
            .map(|(kind, config)| {
                json!({
                    "if": { "properties": { "kind": { "const": kind } }, "required": ["kind"] },
                    "then": { "properties": { "config": reference(*config) } },
                })
            })
            .collect();
        map.insert("allOf".to_owned(), rules.into());
        map.insert("required".to_owned(), json!(["name", "kind"]));
    }
    (schema, found)
}

fn reference(section: Section) -> Value {
    json!({ "$ref": format!("#/definitions/{section:?}") })
}

fn stages() -> String {
    let lines: Vec<String> = STAGES
        .iter()
        .map(|(_, form, what)| format!("{form}: {what}"))
        .collect();
    format!("stages joined by |\n{}", lines.join("\n"))
}

fn below(section: Section, key: &str) -> Below {
    match (section, key) {
        (_, "pre_invocation" | "post_invocation" | "policy" | "post_policy") => Below::Steps,
        (_, "args" | "result") => Below::Fields,
        (_, "authorization") => Below::One(Section::Authorization),
        (_, "apl") => Below::One(Section::Apl),
        (_, "meta") => Below::One(Section::Meta),
        (_, "response") => Below::One(Section::Response),
        (_, "session_store") => Below::One(Section::SessionStore),
        (Section::Global, "approvals") => Below::One(Section::Approvals),
        (Section::Approvals, "sign_in") => Below::One(Section::SignIn),
        (Section::SignIn, "client_secret_source") | (Section::Webhook, "secret_source") => {
            Below::One(Section::SecretSource)
        }
        (Section::PageConfig, "webhook") => Below::One(Section::Webhook),
        (Section::Plugin | Section::Pdp, "bind") => Below::Text,
        (Section::SessionStore, "password_source") => Below::One(Section::SecretSource),
        (Section::Global | Section::Apl, "pdp") => Below::List(Section::Pdp),
        (Section::Top, "global") => Below::One(Section::Global),
        (Section::Top, "plugins") => Below::List(Section::Plugin),
        (Section::Plugin, "hooks") => Below::Names,
        (_, "plugins") => Below::NamedOrListed(Section::Override),
        (Section::Top, "groups") | (Section::Global, "policies") => Below::Named(Section::Bundle),
        (Section::Top, "routes") => Below::List(Section::Route),
        (Section::Top, "engine_settings") => Below::One(Section::EngineSettings),
        (Section::Top, "plugin_settings") => Below::One(Section::PluginSettings),
        (Section::Top, "pins") => Below::List(Section::Pins),
        (Section::Pins, "scope") => Below::Text,
        (Section::Pins, "unpinned") => Below::Words(&["allow", "hide"]),
        (Section::EngineSettings, "public_paths") | (Section::Challenge, "scopes") => Below::Names,
        (Section::Route, "challenge") => Below::One(Section::Challenge),
        (Section::Challenge, "lists") => Below::Words(&["hide", "annotate"]),
        (Section::Top, "teams") => Below::Named(Section::Team),
        (Section::Global, "defaults") => Below::Named(Section::Defaults),
        (Section::Route, "tool" | "prompt" | "resource" | "llm" | "a2a" | "groups")
        | (Section::Meta, "tags")
        | (Section::HttpSelector, "method") => Below::Names,
        (Section::Route, "http") => Below::NamesOr(Section::HttpSelector),
        (Section::Route | Section::Global, "enforcement") => Below::Words(&["enforce", "shadow"]),
        (Section::Route, "unparseable_result") => Below::Words(&["deny", "pass"]),
        (Section::Route, "owner" | "until")
        | (Section::Global, "until")
        | (Section::Meta, "scope")
        | (Section::Plugin, "name" | "kind") => Below::Text,
        (Section::EngineSettings, "unmatched") => Below::Words(&["deny", "allow"]),
        (Section::EngineSettings, "forward_inbound_credentials") => {
            Below::Words(&["never", "unless_delegated"])
        }
        (Section::EngineSettings, "audit") => Below::Words(&["batched", "durable"]),
        (Section::EngineSettings, "capture") => Below::Words(&["none", "facts"]),
        (Section::JwtConfig, "trusted_issuers") => Below::List(Section::TrustedIssuer),
        (Section::TrustedIssuer, "decoding_key") => Below::One(Section::DecodingKey),
        (Section::MeshConfig, "trusted_issuers") => Below::List(Section::MeshIssuer),
        (Section::MeshConfig, "metadata") => Below::One(Section::MeshMetadata),
        (_, "claim_map" | "record_map") => Below::One(Section::ClaimMap),
        (_, "claims") => Below::One(Section::Claims),
        (Section::Claims, _) => Below::Names,
        (Section::ClaimMap, "subject") => Below::One(Section::SubjectMap),
        (Section::ClaimMap, "client") => Below::One(Section::ClientMap),
        (Section::ClaimMap, "workload") => Below::One(Section::WorkloadMap),
        (Section::ApiKeyConfig, "credential") => Below::One(Section::Credential),
        (Section::ApiKeyConfig, "provider" | "directory") => Below::One(Section::KeyProvider),
        (Section::ApiKeyConfig, "cache") => Below::One(Section::KeyCache),
        (Section::KeyProvider, "token") => Below::One(Section::SecretSource),
        (_, "claim_mapper") => Below::Words(&["standard", "keycloak", "auth0", "cognito", "ibmverify"]),
        (Section::TrustedIssuer | Section::MeshIssuer, "issuer") => Below::Text,
        (Section::TrustedIssuer | Section::MeshIssuer, "skip_audience_validation") | (_, "insecure_http") => {
            Below::Boolean
        }
        (Section::OauthConfig, "client_secret_source" | "client_key_source")
        | (Section::SecretDelegator, "secret_source") => Below::One(Section::SecretSource),
        (Section::BiscuitDelegator, "root_public_key") => Below::One(Section::RootKey),
        (Section::BiscuitDelegator, "bind_subject" | "cache") => Below::Boolean,
        (Section::RootKey, _) => Below::Text,
        (Section::OauthConfig, "client_auth_method") => {
            Below::Words(&["client_secret_basic", "client_secret_post", "private_key_jwt"])
        }
        (Section::PiiConfig, "detect") => Below::List(Section::Detector),
        _ => Below::Any,
    }
}

/// What a reader hovers over.
fn describe(section: Section, key: &str) -> String {
    let text = match key {
        "pre_invocation" => "Steps before the call, in order; the first denial ends them.",
        "post_invocation" => "Steps after the call, in order.",
        "authorization" => "The steps of both phases.",
        "args" => "Pipelines over the arguments: a field, then stages joined by `|`.",
        "result" => "Pipelines over the result: a field, then stages joined by `|`.",
        "routes" => "What governs which operation.",
        "groups" => "Sections that routes join by name.",
        "plugins" => "What verifies callers, mints tokens, scans and records.",
        "global" => "What holds for every operation.",
        "authentication" => "The identity plugins whose credentials must be there.",
        "tool" | "prompt" | "resource" | "llm" => "The name, a pattern with `*` and `?`, or a list of names.",
        "a2a" => "The method of A2A, as `message/send`, a pattern, or a list of methods.",
        "http" => "The path, as `/orders/{id}` or `/orders/**`; a list of paths; or path and method.",
        "path" if section == Section::HttpSelector => {
            "`{name}` is one segment, `*` any run within one, `/**` at the end everything below."
        }
        "unmatched" => "What happens to an operation that no route matches: `deny` (default) or `allow`.",
        "unparseable_result" => "What happens to a result that cannot be parsed: `deny` (default) or `pass`.",
        "kind" => "What it is, as `identity/jwt`.",
        "name" => "What steps call it.",
        "enforcement" => {
            "`shadow`: the verdict is recorded and not enforced, and nothing of the call is touched."
        }
        "until" => "When a shadow ends and the policy is enforced: `2027-01-31T12:00:00Z`.",
        "owner" => "Who answers for the route; it reaches audit and explanations.",
        "pins" => {
            "Digests of tools' definitions, as `aplc pin` prints them: a changed one is hidden and denied."
        }
        "unpinned" => "What happens to tools of the server without a pin: `allow` (default) or `hide`.",
        "audit" if section == Section::EngineSettings => {
            "`durable`: nothing is released before its record is on disk. Default: `batched`."
        }
        "capture" => {
            "`facts`: records carry, encrypted to the operator's key, what the program read. Default: `none`."
        }
        "public_paths" => {
            "Paths that GET needs no identity for; default: RFC 9728 metadata and the agent card."
        }
        "challenge" => "What a caller whom the rules deny may acquire (RFC 6750).",
        "meta" => "Tags, which join groups of that name, and the scope.",
        _ => return format!("`{key}` of {}.", section.name().trim_matches('`')),
    };
    text.to_owned()
}
