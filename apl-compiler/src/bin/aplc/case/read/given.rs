//! Reading what the proxy is given.

mod others;

use apl_compiler::Span;
use apl_compiler::yaml::{Entry, Node, Value as Yaml};
use serde_json::{Value, json};

use super::Reader;
use crate::case::{
    Answer, Counters, Delegation, Given, Identity, Minted, NOW_MS, Operation, Request, Session, identity,
    layers,
};

/// Keys of a test that give something.
pub(super) const KEYS: &[&str] = &[
    "identity",
    "session",
    "request",
    "result",
    "response",
    "delegations",
    "counters",
    "audit",
    "now",
    "decisions",
    "elicitations",
];

/// Reads what a step gives.
pub(super) fn given(entries: &[Entry], place: Span, named: &[(String, Node)], reader: &mut Reader) -> Given {
    let get = |key: &str| {
        entries
            .iter()
            .find(|entry| entry.key == key)
            .map(|entry| &entry.node)
    };
    let request = match get("request") {
        Some(node) => request(node, reader),
        None => {
            reader.error(
                place,
                "there is no `request`".to_owned(),
                "add `request: {tool: name, args: {}}`",
            );
            None
        }
    };
    let result = match (get("result"), get("response")) {
        (Some(node), None) => Some(Answer::Result(node.to_json())),
        (None, Some(node)) => Some(response(node, reader)),
        (None, None) => None,
        (Some(_), Some(node)) => {
            reader.error(
                node.span,
                "both `result` and `response`".to_owned(),
                "keep one of them",
            );
            None
        }
    };
    Given {
        identity: get("identity")
            .map_or_else(Identity::default, |node| identity::identity(node, named, reader)),
        session: get("session").map(|node| session(node, reader)),
        request: request.unwrap_or_else(|| Request {
            operation: Operation::Raw(Value::Null),
            headers: Vec::new(),
            scope: None,
            path: String::new(),
        }),
        result,
        delegations: get("delegations").map_or_else(Vec::new, |node| delegations(node, reader)),
        decisions: get("decisions").map_or_else(Vec::new, |node| others::decisions(node, reader)),
        elicitations: get("elicitations").map_or_else(Vec::new, |node| others::elicitations(node, reader)),
        counters: get("counters").and_then(|node| {
            let words = [
                ("count", None),
                ("exceeded", Some(Counters::Exceeded)),
                ("fails", Some(Counters::Fail)),
            ];
            reader.word(node, "counters", &words).flatten()
        }),
        audit_fails: get("audit").is_some_and(|node| {
            reader
                .word(node, "audit", &[("ok", false), ("fails", true)])
                .unwrap_or(false)
        }),
        now_ms: get("now").map_or(NOW_MS, |node| now(node, reader)),
    }
}

fn request(node: &Node, reader: &mut Reader) -> Option<Request> {
    let known = [layers::OPERATIONS, &["args", "headers", "scope", "path"]].concat();
    if !reader.keys(node, "a request", &known) {
        return None;
    }
    let named: Vec<&Entry> = layers::OPERATIONS
        .iter()
        .filter_map(|key| node.get(key))
        .collect();
    let [operation] = named.as_slice() else {
        reader.error(
            node.span,
            "a request needs exactly one of `tool`, `prompt`, `resource`, `a2a`, `llm`, `http` and `body`"
                .to_owned(),
            "write `request: {tool: name, args: {}}`",
        );
        return None;
    };
    let given = node.get("args").map(|entry| entry.node.to_json());
    let args = given.clone().unwrap_or_else(|| json!({}));
    if matches!(operation.key.as_str(), "resource" | "body")
        && let Some(entry) = node.get("args")
    {
        reader.error(
            entry.key_span,
            format!("a `{}` has no `args`", operation.key),
            "remove them",
        );
    }
    let name = |reader: &mut Reader| reader.text(&operation.node, &operation.key);
    let operation = match operation.key.as_str() {
        "tool" => Operation::Tool(name(reader), args),
        "prompt" => Operation::Prompt(name(reader), args),
        "resource" => Operation::Resource(name(reader)),
        "a2a" => Operation::Agent(name(reader), args),
        "llm" => Operation::Model(name(reader), args),
        "http" => {
            let text = name(reader);
            let (method, target) = text.split_once(' ').unwrap_or(("", ""));
            if method.is_empty() || !target.starts_with('/') {
                reader.error(
                    operation.node.span,
                    "an HTTP request is a method and a path".to_owned(),
                    "write `http: \"GET /employees/7?x=1\"`; `args` is its JSON body",
                );
                return None;
            }
            Operation::Http(method.to_owned(), target.to_owned(), given.unwrap_or(Value::Null))
        }
        _ => Operation::Raw(operation.node.to_json()),
    };
    let mut headers = Vec::new();
    if let Some(entry) = node.get("headers") {
        for (name, value) in reader.object(&entry.node, "headers") {
            let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            headers.push((name.to_ascii_lowercase(), text));
        }
    }
    let path = node.get("path").map(|entry| reader.text(&entry.node, "path"));
    Some(Request {
        path: path.unwrap_or_else(|| operation.path().to_owned()),
        operation,
        headers,
        scope: node.get("scope").map(|entry| reader.text(&entry.node, "scope")),
    })
}

fn session(node: &Node, reader: &mut Reader) -> Session {
    if let Some(id) = node.as_str() {
        return Session {
            id: Some(id.to_owned()),
            ..Session::default()
        };
    }
    if !reader.keys(node, "a session", &["id", "labels", "subject_labels", "store"]) {
        return Session::default();
    }
    let mut labels = |key: &str| {
        node.get(key)
            .map_or_else(Vec::new, |entry| reader.texts(&entry.node, key))
    };
    let (own, subject) = (labels("labels"), labels("subject_labels"));
    Session {
        id: node.get("id").map(|entry| reader.text(&entry.node, "id")),
        labels: own,
        subject_labels: subject,
        fails: node.get("store").is_some_and(|entry| {
            reader
                .word(&entry.node, "store", &[("ok", false), ("fails", true)])
                .unwrap_or(false)
        }),
    }
}

fn response(node: &Node, reader: &mut Reader) -> Answer {
    reader.keys(node, "a response", &["status", "content_type", "body"]);
    let status = match node
        .get("status")
        .map(|entry| (&entry.node.value, entry.node.span))
    {
        None => 200,
        Some((Yaml::Int(status), _)) if (100..=599).contains(status) => u16::try_from(*status).unwrap_or(200),
        Some((_, span)) => {
            reader.error(
                span,
                "this is no HTTP status".to_owned(),
                "a number from 100 to 599",
            );
            200
        }
    };
    let body = node
        .get("body")
        .map_or_else(String::new, |entry| match entry.node.as_str() {
            Some(text) => text.to_owned(),
            None => entry.node.to_json().to_string(),
        });
    let media = node
        .get("content_type")
        .map(|entry| reader.text(&entry.node, "content_type"));
    Answer::Response {
        status,
        media: media.unwrap_or_else(|| "application/json".to_owned()),
        body,
    }
}

fn delegations(node: &Node, reader: &mut Reader) -> Vec<Delegation> {
    let Some(items) = node.as_list() else {
        reader.error(
            node.span,
            "`delegations` takes a list".to_owned(),
            "write `- delegator: name` below it",
        );
        return Vec::new();
    };
    items.iter().filter_map(|item| delegation(item, reader)).collect()
}

fn delegation(node: &Node, reader: &mut Reader) -> Option<Delegation> {
    let known = ["delegator", "audience", "permissions", "token", "fails", "reason"];
    if !reader.keys(node, "a delegation", &known) {
        return None;
    }
    let Some(delegator) = node.get("delegator") else {
        reader.error(
            node.span,
            "a delegation without a `delegator`".to_owned(),
            "name the plugin: `delegator: ...`",
        );
        return None;
    };
    let mut text = |key: &str| node.get(key).map(|entry| reader.text(&entry.node, key));
    let (audience, token, code, reason) = (text("audience"), text("token"), text("fails"), text("reason"));
    let answer = match code {
        Some(code) => Minted::Failed {
            code,
            reason: reason.unwrap_or_else(|| "the token could not be minted".to_owned()),
        },
        None => Minted::Granted {
            permissions: node
                .get("permissions")
                .map(|entry| reader.texts(&entry.node, "permissions")),
            token,
        },
    };
    Some(Delegation {
        delegator: reader.text(&delegator.node, "delegator"),
        audience,
        answer,
    })
}

/// Seconds of the Unix epoch, or `2026-01-31T12:00:00Z`.
fn now(node: &Node, reader: &mut Reader) -> u64 {
    let seconds = match &node.value {
        Yaml::Int(seconds) => u64::try_from(*seconds).ok(),
        Yaml::Str(text, _) => utc(text),
        Yaml::Null | Yaml::Bool(_) | Yaml::Float(_) | Yaml::List(_) | Yaml::Map(_) => None,
    };
    // Beyond the year 9999 no token's times make sense.
    match seconds.filter(|seconds| *seconds < 253_402_300_800) {
        Some(seconds) => seconds * 1000,
        None => {
            reader.error(
                node.span,
                "this is no time".to_owned(),
                "write `2026-01-31T12:00:00Z`, or seconds of the Unix epoch",
            );
            NOW_MS
        }
    }
}

/// RFC 3339 in UTC to seconds of the Unix epoch.
fn utc(text: &str) -> Option<u64> {
    let (date, time) = text.strip_suffix('Z')?.split_once('T')?;
    let numbers =
        |text: &str, by: char| -> Option<Vec<i64>> { text.split(by).map(|part| part.parse().ok()).collect() };
    let (date, time) = (numbers(date, '-')?, numbers(time, ':')?);
    let ([year, month, day], [hour, minute, second]) = (date.as_slice(), time.as_slice()) else {
        return None;
    };
    let fine = (1970..=9999).contains(year)
        && (1..=12).contains(month)
        && (1..=31).contains(day)
        && (0..24).contains(hour)
        && (0..60).contains(minute)
        && (0..60).contains(second);
    if !fine {
        return None;
    }
    // Days from civil, with the year beginning in March.
    let shifted = if *month <= 2 { year - 1 } else { *year };
    let era = shifted / 400;
    let of_era = shifted - era * 400;
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let days = era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468;
    u64::try_from(days * 86_400 + hour * 3600 + minute * 60 + second).ok()
}
