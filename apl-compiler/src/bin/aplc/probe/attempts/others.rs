//! Models, agents, HTTP.

use serde_json::json;

use super::{Attempt, made_up, post};
use crate::probe::caller::Callers;
use crate::probe::target::{Entry, Target};

/// A call of an operation, by nobody.
pub(super) fn call(target: &Target, entry: &Entry, speaks: &str, name: &str) -> Attempt {
    match speaks {
        "llm" => {
            // One token at the most, should it ever reach a model.
            let body = json!({
                "model": name,
                "max_tokens": 1,
                "messages": [{ "role": "user", "content": "aplomb probe" }],
            });
            let mut attempt = post(target, entry, &body);
            attempt.path = below(&entry.path, "v1/chat/completions");
            attempt
        }
        "a2a" => post(
            target,
            entry,
            &json!({ "jsonrpc": "2.0", "id": 1, "method": name, "params": {} }),
        ),
        _ => {
            let mut attempt = post(target, entry, &json!({})).body("");
            attempt.method = "GET";
            attempt.headers.retain(|(name, _)| name != "content-type");
            attempt.path = below(&entry.path, name);
            attempt
        }
    }
}

/// A look at a task that nobody has.
pub(super) fn task(target: &Target, entry: &Entry) -> Attempt {
    let body =
        json!({ "jsonrpc": "2.0", "id": 1, "method": "tasks/get", "params": { "id": made_up(target) } });
    post(target, entry, &body)
}

/// What is particular to them.
pub(super) fn all(target: &Target, entry: &Entry, speaks: &str, callers: &Callers) -> Vec<Attempt> {
    let name = made_up(target);
    let plain = || call(target, entry, speaks, &name).by(callers);
    let mut all = Vec::new();
    if speaks == "a2a" {
        all.push(plain().named("a method that does not exist"));
    }
    if speaks != "http" {
        let text = String::from_utf8_lossy(&plain().body).into_owned();
        let key = if speaks == "llm" { "model" } else { "method" };
        let twice = |key: &str| text.replacen('{', &format!("{{\"{key}\":\"ping\","), 1);
        all.push(plain().body(twice(key)).named("a key that stands twice"));
        let mut upper = key.to_owned();
        upper.replace_range(..1, &key[..1].to_uppercase());
        all.push(
            plain()
                .body(twice(&upper))
                .named("a key in another case beside it"),
        );
        all.push(
            plain()
                .body(format!("{text}{text}"))
                .named("a second document behind the first"),
        );
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
    }
    all.push(
        plain()
            .header("x-http-method-override", "DELETE")
            .named("a header that overrides the method"),
    );
    for (what, before) in [
        ("a dot segment in the path", "/aplomb-probe/.."),
        ("an encoded slash in the path", "/aplomb-probe%2f.."),
    ] {
        let path = format!("{before}{}", plain().path);
        all.push(plain().crooked(path).named(what));
    }
    all
}

/// A path below the prefix; paths of models may hold their version already.
fn below(prefix: &str, rest: &str) -> String {
    let prefix = prefix.trim_end_matches('/');
    if rest.starts_with("v1/") && (prefix.ends_with("/v1") || prefix.contains("/v1/")) {
        return match rest.strip_prefix("v1/") {
            Some(rest) if prefix.ends_with("/v1") => format!("{prefix}/{rest}"),
            _ => prefix.to_owned(),
        };
    }
    format!("{prefix}/{rest}")
}
