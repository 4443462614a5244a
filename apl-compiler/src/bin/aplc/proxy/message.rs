//! Messages: the request that a test makes, the backend's answer, and what is to be read from bytes.

use apl_bytecode::EntityKind;
use serde_json::{Value, json};

use super::exchange::Stream;
use crate::case::{Answer, Operation, Request};

/// A response of the backend.
pub(super) struct Response {
    pub(super) status: u16,
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: Vec<u8>,
}

/// Kind and name of the operation, and the body that asks for it.
pub(super) fn request(operation: &Operation) -> (Option<EntityKind>, String, Vec<u8>) {
    let call = |method: &str, params: Value| json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params });
    let (kind, name, message) = match operation {
        Operation::Tool(name, args) => (
            Some(EntityKind::Tool),
            name.clone(),
            call("tools/call", json!({ "name": name, "arguments": args })),
        ),
        Operation::Prompt(name, args) => (
            Some(EntityKind::Prompt),
            name.clone(),
            call("prompts/get", json!({ "name": name, "arguments": args })),
        ),
        Operation::Resource(uri) => (
            Some(EntityKind::Resource),
            uri.clone(),
            call("resources/read", json!({ "uri": uri })),
        ),
        Operation::Agent(method, params) => {
            let name = apl_bytecode::a2a_operation(method).unwrap_or(method);
            (
                Some(EntityKind::A2a),
                name.to_owned(),
                call(method, params.clone()),
            )
        }
        Operation::Model(model, args) => {
            let mut request = args.clone();
            if let Value::Object(members) = &mut request {
                members.entry("model").or_insert_with(|| model.as_str().into());
            }
            (Some(EntityKind::Llm), model.clone(), request)
        }
        Operation::Http(method, target, body) => {
            let path = target.split('?').next().unwrap_or_default();
            (Some(EntityKind::Http), format!("{method} {path}"), body.clone())
        }
        Operation::Raw(body) => raw(body),
    };
    let body = if message.is_null() {
        String::new()
    } else {
        message.to_string()
    };
    (kind, name, body.into_bytes())
}

fn raw(body: &Value) -> (Option<EntityKind>, String, Value) {
    let params = body.get("params");
    let text = |key: &str| {
        params
            .and_then(|params| params.get(key))
            .and_then(Value::as_str)
            .unwrap_or_default()
    };
    let (kind, name) = match body.get("method").and_then(Value::as_str) {
        Some("tools/call") => (Some(EntityKind::Tool), text("name")),
        Some("prompts/get") => (Some(EntityKind::Prompt), text("name")),
        Some("resources/read") => (Some(EntityKind::Resource), text("uri")),
        Some(_) | None => (None, ""),
    };
    (kind, name.to_owned(), body.clone())
}

/// The request's headers, without credentials.
pub(super) fn headers(request: &Request, length: usize) -> Vec<(String, String)> {
    let method = match &request.operation {
        Operation::Http(method, ..) => method.as_str(),
        _ => "POST",
    };
    let mut headers: Vec<(String, String)> = [
        (":method", method),
        (":path", request.path.as_str()),
        (":authority", "proxy.test"),
        (":scheme", "https"),
        ("content-type", "application/json"),
        ("accept", "application/json, text/event-stream"),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .into();
    headers.push(("content-length".to_owned(), length.to_string()));
    if length == 0 {
        headers.retain(|(name, _)| !name.starts_with("content-"));
    }
    // What the test says of a header counts instead.
    headers.retain(|(name, _)| !request.headers.iter().any(|(own, _)| own == name));
    headers
}

/// The backend's answer.
pub(super) fn response(answer: &Answer, operation: &Operation) -> Response {
    let (status, media, body) = match answer {
        Answer::Response { status, media, body } => (*status, media.clone(), body.clone()),
        Answer::Result(value) => (
            200,
            "application/json".to_owned(),
            result(value, operation).to_string(),
        ),
    };
    let headers = vec![
        ("content-type".to_owned(), media),
        ("content-length".to_owned(), body.len().to_string()),
    ];
    Response {
        status,
        headers,
        body: body.into_bytes(),
    }
}

fn result(value: &Value, operation: &Operation) -> Value {
    let text = match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let result = match operation {
        Operation::Prompt(..) => {
            json!({ "messages": [{ "role": "user", "content": { "type": "text", "text": text } }] })
        }
        Operation::Resource(uri) => {
            json!({ "contents": [{ "uri": uri, "mimeType": "text/plain", "text": text }] })
        }
        Operation::Model(..) | Operation::Http(..) => return value.clone(),
        Operation::Agent(..) => value.clone(),
        // Structured content stands beside its own text, as the protocol asks for; policy edits both.
        Operation::Tool(..) | Operation::Raw(_) if value.is_object() => {
            json!({ "content": [{ "type": "text", "text": text }], "structuredContent": value })
        }
        Operation::Tool(..) | Operation::Raw(_) => json!({ "content": [{ "type": "text", "text": text }] }),
    };
    json!({ "jsonrpc": "2.0", "id": 1, "result": result })
}

/// The arguments in a request's bytes: the whole body where it is no JSON-RPC message, and of A2A all parameters.
pub(crate) fn args_of(body: &[u8]) -> Option<Value> {
    let message: Value = serde_json::from_slice(body).ok()?;
    if message.get("jsonrpc").is_none() {
        return Some(message);
    }
    let method = message.get("method").and_then(Value::as_str).unwrap_or_default();
    if apl_bytecode::a2a_operation(method).is_some() {
        return message.get("params").cloned();
    }
    message.pointer("/params/arguments").cloned()
}

/// The result in a response's bytes: structured content, else the first text, as JSON if it is some. With what is wrong
/// when structured content and its text are not the same any more.
pub(crate) fn result_of(body: &[u8]) -> Option<(Value, Option<Value>)> {
    let message: Value = serde_json::from_slice(body).ok()?;
    if message.get("jsonrpc").is_none() {
        return Some((message, None));
    }
    let result = message.get("result")?;
    let of_mcp = ["content", "messages", "contents", "structuredContent"];
    if of_mcp.iter().all(|key| result.get(key).is_none()) {
        return Some((result.clone(), None));
    }
    let text = ["/content/0/text", "/messages/0/content/text", "/contents/0/text"]
        .iter()
        .find_map(|pointer| result.pointer(pointer))
        .and_then(Value::as_str);
    let parsed =
        text.map(|text| serde_json::from_str(text).unwrap_or_else(|_| Value::String(text.to_owned())));
    match result.get("structuredContent") {
        Some(structured) => Some((structured.clone(), parsed.filter(|twin| twin != structured))),
        None => Some((parsed?, None)),
    }
}

/// Code and reason of a denial, as the client is told.
pub(super) fn denial(stream: &Stream) -> Option<(String, Option<String>)> {
    let (headers, body) = match (stream.reply(), stream.client()) {
        (Some(reply), _) => (&reply.headers, reply.body.as_slice()),
        (None, Some((headers, body))) => (headers, body),
        (None, None) => return None,
    };
    let header = headers.iter().find(|(name, _)| name == "x-policy-violation");
    let envelope: Option<Value> = serde_json::from_slice(body).ok();
    let at = |pointer: &str| envelope.as_ref()?.pointer(pointer)?.as_str().map(str::to_owned);
    let code = header
        .map(|(_, code)| code.clone())
        .or_else(|| at("/error/data/violation"))?;
    // A refusal of the caller is plain text: `code: reason`.
    let plain = || {
        let text = std::str::from_utf8(body).ok()?;
        Some(text.strip_prefix(&format!("{code}: "))?.to_owned())
    };
    let reason = at("/error/message").or_else(|| at("/detail")).or_else(plain);
    Some((code, reason))
}
