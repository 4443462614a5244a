//! Decision points over HTTP.

use std::time::Duration;

use axum::body::Bytes;
use axum::http::header::{AUTHORIZATION, CONTENT_TYPE};
use axum::http::{HeaderValue, Request, Uri};
use companion_protocol::{Decision, Json, PdpDecide};
use http_body_util::Full;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{ALLOW, DecisionError, at, deny, value};
use crate::config::Secret;
use crate::json_object;
use crate::outbound::{Outbound, OutboundError};

/// A server.
#[derive(Debug)]
pub struct Remote {
    /// The endpoint.
    pub url: Uri,
    /// A bearer token.
    pub token: Option<Secret>,
    /// Time for one decision in milliseconds.
    pub timeout_ms: u64,
}

/// OpenID AuthZEN Authorization API 1.0, `POST /access/v1/evaluation`.
///
/// One question a request: a server that mixes up two of a batch was seen.
#[derive(Debug)]
pub struct AuthzenPoint {
    /// The name that a step asks for.
    pub dialect: String,
    /// Where.
    pub remote: Remote,
}

/// The checks endpoint of NeMo Guardrails: `{messages, guardrails: {config_id}}`, answered `{"status": "success"}`.
#[derive(Debug)]
pub struct NemoPoint {
    /// The name that a step asks for.
    pub dialect: String,
    /// Where.
    pub remote: Remote,
    /// The guardrails configuration.
    pub config_id: Option<String>,
}

impl Remote {
    async fn ask(&self, outbound: &Outbound, body: &Value) -> Result<Bytes, DecisionError> {
        let mut request = Request::post(self.url.clone())
            .header(CONTENT_TYPE, "application/json")
            .body(Full::new(Bytes::from(body.to_string())))
            .map_err(|_| DecisionError::BadRequest("the request cannot be built"))?;
        if let Some(token) = &self.token {
            let mut value = HeaderValue::from_str(&format!("Bearer {}", token.expose()))
                .map_err(|_| DecisionError::BadRequest("the token cannot be sent"))?;
            value.set_sensitive(true);
            request.headers_mut().insert(AUTHORIZATION, value);
        }
        let timeout = Duration::from_millis(self.timeout_ms);
        outbound
            .json(request, timeout)
            .await
            .map_err(|error| match error {
                OutboundError::Unreachable | OutboundError::Forbidden => DecisionError::Unreachable,
                OutboundError::TimedOut => DecisionError::TimedOut(self.timeout_ms),
                OutboundError::Status { status, .. } => DecisionError::Rejected(status.as_u16()),
                OutboundError::Redirected => DecisionError::BadResponse("a redirect"),
                OutboundError::TooLarge => DecisionError::BadResponse("it is too large"),
                OutboundError::NotJson => DecisionError::BadResponse("it is not plain JSON"),
                OutboundError::Broken => DecisionError::BadResponse("it broke off"),
            })
    }
}

#[derive(Deserialize)]
struct AuthzenAnswer {
    decision: bool,
    #[serde(default)]
    context: Option<Value>,
}

impl AuthzenPoint {
    pub(super) async fn decide(
        &self,
        outbound: &Outbound,
        asked: &PdpDecide,
    ) -> Result<Decision, DecisionError> {
        let body = self.remote.ask(outbound, &evaluation(asked)?).await?;
        let answer: AuthzenAnswer =
            json_object::parse(&body).map_err(|_| DecisionError::BadResponse("it has no `decision`"))?;
        if answer.decision {
            return Ok(ALLOW);
        }
        let context = answer.context.unwrap_or_default();
        let reason = &context["reason_user"];
        let said = reason.as_str().or_else(|| reason["en"].as_str());
        Ok(deny("authzen", said))
    }
}

/// The question. What the step does not say is the caller's identity and the operation.
fn evaluation(asked: &PdpDecide) -> Result<Value, DecisionError> {
    let (call, input) = (&asked.call, &asked.input);
    let subject = match call.get("subject") {
        Some(subject) => entity(subject)?,
        None => {
            let id = at(input, &["subject", "id"])
                .and_then(Json::as_str)
                .filter(|id| !id.is_empty())
                .ok_or(DecisionError::BadRequest("nobody is identified"))?;
            let kind = at(input, &["subject", "type"])
                .and_then(Json::as_str)
                .unwrap_or("user");
            let mut properties = value(input.get("subject").unwrap_or(&Json::Null));
            if let Some(members) = properties.as_object_mut() {
                members.retain(|name, _| name != "id" && name != "type");
            }
            json!({"type": kind, "id": id, "properties": properties})
        }
    };
    let action = match call.get("action") {
        Some(Json::Text(name)) if !name.is_empty() => json!({ "name": name }),
        Some(action @ Json::Map(_)) if action.get("name").and_then(Json::as_str).is_some() => value(action),
        Some(_) | None => return Err(DecisionError::BadRequest("`action` is missing or has no name")),
    };
    let resource = call
        .get("resource")
        .ok_or(DecisionError::BadRequest("`resource` is missing"))?;
    let mut question = json!({"subject": subject, "action": action, "resource": entity(resource)?});
    if let Some(context) = call.get("context") {
        question["context"] = value(context);
    }
    Ok(question)
}

/// `{type, id, properties}`; `attributes` is accepted for the last, as Cedar steps write it.
fn entity(json: &Json) -> Result<Value, DecisionError> {
    let text = |name| {
        json.get(name)
            .and_then(Json::as_str)
            .filter(|text| !text.is_empty())
    };
    let (Some(kind), Some(id)) = (text("type"), text("id")) else {
        return Err(DecisionError::BadRequest(
            "a subject or resource needs `type` and `id`, both text",
        ));
    };
    let mut entity = json!({"type": kind, "id": id});
    if let Some(properties) = json.get("properties").or_else(|| json.get("attributes")) {
        entity["properties"] = value(properties);
    }
    Ok(entity)
}

#[derive(Deserialize)]
struct NemoAnswer {
    status: String,
}

impl NemoPoint {
    pub(super) async fn decide(
        &self,
        outbound: &Outbound,
        asked: &PdpDecide,
    ) -> Result<Decision, DecisionError> {
        let body = self.remote.ask(outbound, &self.check(asked)?).await?;
        let answer: NemoAnswer =
            json_object::parse(&body).map_err(|_| DecisionError::BadResponse("it has no `status`"))?;
        match answer.status.as_str() {
            "success" => Ok(ALLOW),
            "blocked" => Ok(deny("nemo", None)),
            _ => Err(DecisionError::BadResponse(
                "its `status` is neither success nor blocked",
            )),
        }
    }

    /// The messages of the step, or one that holds its `text`.
    fn check(&self, asked: &PdpDecide) -> Result<Value, DecisionError> {
        let messages = match (asked.call.get("messages"), asked.call.get("text")) {
            (Some(Json::List(messages)), _) if !messages.is_empty() => {
                messages.iter().map(value).collect::<Vec<_>>()
            }
            (None, Some(Json::Text(text))) => {
                let role = asked.call.get("role").and_then(Json::as_str).unwrap_or("user");
                vec![json!({"role": role, "content": text})]
            }
            (Some(_) | None, _) => return Err(DecisionError::BadRequest("`messages` or `text` is missing")),
        };
        let named = asked.call.get("config_id").and_then(Json::as_str);
        let mut check = json!({ "messages": messages });
        if let Some(model) = asked.call.get("model").and_then(Json::as_str) {
            check["model"] = json!(model);
        }
        if let Some(config_id) = named.or(self.config_id.as_deref()) {
            check["guardrails"] = json!({ "config_id": config_id });
        }
        Ok(check)
    }
}
