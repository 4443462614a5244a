//! MCP: messages that no reading of the protocol may let through. All of them call a tool that is nowhere.

use serde_json::{Value, json};

use super::{Attempt, made_up, post};
use crate::probe::caller::Callers;
use crate::probe::target::{Entry, Target};

/// A tool call.
pub(super) fn call(tool: &str) -> Value {
    json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": { "name": tool, "arguments": {} } })
}

/// All that is particular to MCP.
pub(super) fn all(target: &Target, entry: &Entry, callers: &Callers) -> Vec<Attempt> {
    let tool = made_up(target);
    let message = |method: &str, params: Value| json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params });
    let mut all = vec![
        post(target, entry, &message("tools/list", json!({}))).named("nobody lists the tools"),
        post(
            target,
            entry,
            &json!({ "jsonrpc": "2.0", "method": "tools/call", "params": { "name": tool } }),
        )
        .named("nobody calls as a notification"),
    ];
    let by = |body: &Value| post(target, entry, body).by(callers);
    let plain = || by(&call(&tool));
    let raw = |name: &str, body: Vec<u8>| plain().body(body).named(name);
    let text = call(&tool).to_string();

    all.push(by(&message("tools/execute", json!({ "name": tool }))).named("a method that does not exist"));
    all.push(raw(
        "a key that stands twice",
        text.replacen("{", "{\"method\":\"ping\",", 1).into_bytes(),
    ));
    all.push(raw(
        "a key that stands twice, once escaped",
        text.replacen("{", "{\"m\\u0065thod\":\"ping\",", 1).into_bytes(),
    ));
    all.push(raw(
        "a key in another case beside it",
        text.replacen("{", "{\"Method\":\"ping\",", 1).into_bytes(),
    ));
    all.push(raw(
        "a second document behind the first",
        format!("{text}\n{text}").into_bytes(),
    ));
    all.push(raw(
        "a byte order mark",
        [b"\xef\xbb\xbf", text.as_bytes()].concat(),
    ));
    all.push(raw(
        "bytes that are no UTF-8",
        text.replacen("\"arguments\"", "\"\u{1}\"", 1)
            .into_bytes()
            .into_iter()
            .map(|byte| if byte == 1 { 0xff } else { byte })
            .collect(),
    ));
    all.push(raw(
        "a body that ends too early",
        text.as_bytes()[..text.len() - 2].to_vec(),
    ));
    let depth = target.limit("max_depth", 64) + 8;
    let deep = format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    all.push(raw(
        "nesting over the limit",
        text.replacen("{}", &format!("{{\"a\":{deep}}}"), 1).into_bytes(),
    ));
    let limit = target.limit("max_body_bytes", 983_040);
    // More would only be waiting: what is above a gigabyte no gateway takes.
    if limit < 32 << 20 {
        let padding = format!("{{\"a\":\"{}\"}}", "a".repeat(limit));
        all.push(raw(
            "a body over the limit",
            text.replacen("{}", &padding, 1).into_bytes(),
        ));
    }
    all.push(by(&json!([call(&tool), call(&tool)])).named("a batch with one id twice"));
    all.push(
        plain()
            .instead("content-type", "text/plain")
            .named("JSON as text/plain"),
    );
    all.push(
        plain()
            .header("content-encoding", "gzip")
            .named("a body that says it is compressed"),
    );
    all.push(
        plain()
            .header("x-http-method-override", "DELETE")
            .named("a header that overrides the method"),
    );
    all.push(
        plain()
            .header("mcp-name", "ping")
            .header("mcp-method", "ping")
            .named("headers that contradict the body"),
    );
    all.push(
        plain()
            .header("mcp-protocol-version", "2999-01-01")
            .named("a revision of the protocol that does not exist"),
    );
    all.push(
        plain()
            .header("mcp-session-id", "aplomb-probe")
            .named("a session id that was never given out"),
    );
    all.push(
        plain()
            .header("mcp-session-id", "a")
            .header("mcp-session-id", "b")
            .named("two session ids"),
    );
    let mut stream = plain()
        .body("")
        .header("last-event-id", "aplomb-probe")
        .named("resuming somebody's stream");
    stream.method = "GET";
    stream.headers.retain(|(name, _)| name != "content-type");
    all.push(stream);
    let mut put = plain().named("PUT instead of POST");
    put.method = "PUT";
    all.push(put);
    for (what, path) in crooked(&entry.path) {
        all.push(plain().crooked(path).named(what));
    }
    let mut elsewhere = plain()
        .header("mcp-method", "tools/call")
        .header("mcp-name", tool.clone())
        .header("mcp-protocol-version", "2026-07-28")
        .named("an MCP header on a path that is not listed");
    elsewhere.path = format!("/{tool}");
    all.push(elsewhere);
    all
}

/// The path as a careless parser would read it, too.
fn crooked(path: &str) -> Vec<(&'static str, String)> {
    let rest = path.trim_start_matches('/');
    vec![
        ("a doubled slash in the path", format!("//{rest}")),
        ("a dot segment in the path", format!("/aplomb-probe/../{rest}")),
        (
            "an encoded slash in the path",
            format!("/aplomb-probe%2f..%2f{rest}"),
        ),
    ]
}
