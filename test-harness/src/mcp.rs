//! An MCP client that speaks Streamable HTTP by hand: every header and byte of a reply can be looked at.

use anyhow::Context as _;
use reqwest::StatusCode;
use reqwest::header::{ACCEPT, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use serde_json::{Value, json};

/// The protocol revision that the client asks for.
pub const PROTOCOL_VERSION: &str = "2025-06-18";

const SESSION: HeaderName = HeaderName::from_static("mcp-session-id");
const VERSION: HeaderName = HeaderName::from_static("mcp-protocol-version");

/// One client of one MCP endpoint.
#[derive(Debug, Clone)]
pub struct McpClient {
    http: reqwest::Client,
    url: String,
    headers: HeaderMap,
}

/// What came back for one message.
#[derive(Debug, Clone)]
pub struct Reply {
    /// The HTTP status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The body as it came.
    pub body: String,
    /// The JSON-RPC message in it, as text: the body, or the data of the event that holds a message with an `id`.
    pub payload: Option<String>,
    /// The same, parsed.
    pub message: Option<Value>,
}

impl Reply {
    /// A header's text.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// The JSON document in the first text block of a tool's result.
    #[must_use]
    pub fn tool_json(&self) -> Option<Value> {
        let text = self
            .message
            .as_ref()?
            .pointer("/result/content/0/text")?
            .as_str()?;
        serde_json::from_str(text).ok()
    }

    /// The HTTP status and the JSON-RPC error or the kind of success, in one line.
    #[must_use]
    pub fn summary(&self) -> String {
        let status = self.status.as_u16();
        let Some(message) = &self.message else {
            let start: String = self.body.chars().take(120).collect();
            return format!("HTTP {status} `{start}`");
        };
        if let Some(error) = message.get("error") {
            let code = error.get("code").and_then(Value::as_i64).unwrap_or_default();
            let text = error.get("message").and_then(Value::as_str).unwrap_or_default();
            let violation = self.header("x-policy-violation").unwrap_or("no violation header");
            return format!("HTTP {status} error {code} {violation}: {text}");
        }
        match message.pointer("/result/content/0/text").and_then(Value::as_str) {
            Some(text) => format!(
                "HTTP {status} {}",
                text.split_whitespace().collect::<Vec<_>>().join(" ")
            ),
            None => format!("HTTP {status} {message}"),
        }
    }
}

impl McpClient {
    /// A client that sends these headers with every message. Nothing is sent yet.
    ///
    /// # Errors
    /// When a header is not one.
    pub fn new(url: String, headers: &[(&str, String)]) -> anyhow::Result<Self> {
        let http = reqwest::Client::builder()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .build()?;
        let mut map = HeaderMap::new();
        map.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        map.insert(
            ACCEPT,
            HeaderValue::from_static("application/json, text/event-stream"),
        );
        for (name, value) in headers {
            map.insert(name.parse::<HeaderName>()?, value.parse()?);
        }
        Ok(McpClient {
            http,
            url,
            headers: map,
        })
    }

    /// The same client, session included, at another URL and with more headers.
    ///
    /// # Errors
    /// When a header is not one.
    pub fn moved_to(mut self, url: String, headers: &[(&str, String)]) -> anyhow::Result<Self> {
        self.url = url;
        for (name, value) in headers {
            self.headers.insert(name.parse::<HeaderName>()?, value.parse()?);
        }
        Ok(self)
    }

    /// The same client with more headers.
    ///
    /// # Errors
    /// When a header is not one.
    pub fn with_headers(self, headers: &[(&str, String)]) -> anyhow::Result<Self> {
        let url = self.url.clone();
        self.moved_to(url, headers)
    }

    /// Performs the handshake; the session it gives is sent from then on.
    ///
    /// # Errors
    /// When the server does not answer `initialize` with a result.
    pub async fn connect(&mut self) -> anyhow::Result<()> {
        let params = json!({
            "protocolVersion": PROTOCOL_VERSION,
            "capabilities": {},
            "clientInfo": { "name": "aplomb-test-harness", "version": env!("CARGO_PKG_VERSION") },
        });
        let reply = self.send(&request(json!("init"), "initialize", params)).await?;
        let answered = reply
            .message
            .as_ref()
            .is_some_and(|message| message.get("result").is_some());
        anyhow::ensure!(
            answered,
            "{} did not answer initialize: {}",
            self.url,
            reply.summary()
        );
        if let Some(session) = reply.headers.get(SESSION) {
            self.headers.insert(SESSION, session.clone());
        }
        self.headers
            .insert(VERSION, HeaderValue::from_static(PROTOCOL_VERSION));
        let ready = json!({ "jsonrpc": "2.0", "method": "notifications/initialized" });
        let reply = self.send(&ready).await?;
        anyhow::ensure!(
            reply.status.is_success(),
            "notifications/initialized: {}",
            reply.summary()
        );
        Ok(())
    }

    /// Calls a tool.
    ///
    /// # Errors
    /// When no HTTP reply comes; a denial is a reply.
    pub async fn call(&self, id: &Value, tool: &str, arguments: &Value) -> anyhow::Result<Reply> {
        let params = json!({ "name": tool, "arguments": arguments });
        self.send(&request(id.clone(), "tools/call", params)).await
    }

    /// Sends one message.
    ///
    /// # Errors
    /// When no HTTP reply comes.
    pub async fn send(&self, message: &Value) -> anyhow::Result<Reply> {
        self.send_bytes(message.to_string().into_bytes()).await
    }

    /// Sends these bytes as a message.
    ///
    /// # Errors
    /// When no HTTP reply comes.
    pub async fn send_bytes(&self, body: Vec<u8>) -> anyhow::Result<Reply> {
        let sent = self
            .http
            .post(&self.url)
            .headers(self.headers.clone())
            .body(body)
            .send()
            .await;
        let answer = sent.with_context(|| format!("POST {}", self.url))?;
        let (status, headers) = (answer.status(), answer.headers().clone());
        let body = answer
            .text()
            .await
            .with_context(|| format!("the reply of {} broke off", self.url))?;
        let payload = payload(&headers, &body);
        let message = payload
            .as_deref()
            .and_then(|text| serde_json::from_str(text).ok());
        Ok(Reply {
            status,
            headers,
            body,
            payload,
            message,
        })
    }
}

fn request(id: Value, method: &str, params: Value) -> Value {
    json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params })
}

/// The JSON-RPC message of a reply, from a JSON body or from the events of a stream.
fn payload(headers: &HeaderMap, body: &str) -> Option<String> {
    let kind = headers.get(CONTENT_TYPE)?.to_str().ok()?;
    if kind.starts_with("application/json") {
        return Some(body.to_owned());
    }
    if !kind.starts_with("text/event-stream") {
        return None;
    }
    let is_reply = |data: &String| {
        serde_json::from_str::<Value>(data).is_ok_and(|message| {
            message.get("id").is_some() && (message.get("result").is_some() || message.get("error").is_some())
        })
    };
    body.replace("\r\n", "\n")
        .split("\n\n")
        .map(event_data)
        .find(is_reply)
}

fn event_data(event: &str) -> String {
    let lines = event.lines().filter_map(|line| line.strip_prefix("data:"));
    lines
        .map(|data| data.strip_prefix(' ').unwrap_or(data))
        .collect::<Vec<_>>()
        .join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_reply_behind_the_priming_event() {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
        let body =
            "data: \nid: 0/0\nretry: 3000\n\ndata: {\"jsonrpc\":\"2.0\",\"id\":7,\"result\":{}}\nid: 1/0\n\n";
        assert_eq!(
            payload(&headers, body).as_deref(),
            Some("{\"jsonrpc\":\"2.0\",\"id\":7,\"result\":{}}")
        );
    }
}
