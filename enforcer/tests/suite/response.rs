//! `response:`: how a route is denied.

use serde_json::json;

use crate::{
    host::{Backend, Seen},
    protocols::{ask, worker},
};

const HTTP: &str = r#"
  response: { status: 451, headers: { X-Team: platform } }
routes:
  - http: "/own"
    response: { status: 404, body: "<p>nothing</p>", headers: { Content-Type: text/html, Cache-Control: no-store } }
    pre_invocation: ["require(role.nobody)"]
  - http: "/plain"
    response: { body: "no" }
    pre_invocation: ["require(role.nobody)"]
  - http: "/after"
    response: { status: 410, body: "gone" }
    post_invocation: ["http.status == 200: deny('no', 'after.no')"]
  - http: "/other"
    pre_invocation: ["require(role.nobody)"]
"#;

fn answer(seen: &Seen) -> (u16, Option<String>, String) {
    let (status, headers, body) = match (&seen.reply, &seen.client) {
        (Some(reply), _) => (reply.status, &reply.headers, &reply.body),
        (None, Some((status, headers, body))) => (*status, headers, body),
        (None, None) => panic!("no answer: {seen:?}"),
    };
    for name in ["x-policy-violation", "x-policy-decision-id"] {
        assert_eq!(
            headers.iter().filter(|(known, _)| known == name).count(),
            1,
            "{headers:?}"
        );
    }
    let of = |name: &str| {
        headers
            .iter()
            .filter(|(known, _)| known == name)
            .collect::<Vec<_>>()
    };
    assert_eq!(of("content-type").len(), 1, "{headers:?}");
    let media = of("content-type").first().map(|(_, value)| value.clone());
    (status, media, String::from_utf8(body.clone()).unwrap())
}

#[test]
fn an_http_route_is_denied_as_it_says() {
    let mut worker = worker("http", HTTP);
    let seen = ask(&mut worker, "eve", "GET /own", "", None);
    assert_eq!(
        answer(&seen),
        (404, Some("text/html".to_owned()), "<p>nothing</p>".to_owned())
    );
    let headers = &seen.reply.as_ref().unwrap().headers;
    assert!(headers.contains(&("cache-control".to_owned(), "no-store".to_owned())));
    let seen = ask(&mut worker, "eve", "GET /plain", "", None);
    assert_eq!(
        answer(&seen),
        (403, Some("text/plain; charset=utf-8".to_owned()), "no".to_owned())
    );
}

#[test]
fn what_has_none_of_its_own_is_denied_as_global_says() {
    let mut worker = worker("http", HTTP);
    for path in ["/other", "/without/a/route"] {
        let seen = ask(&mut worker, "eve", &format!("GET {path}"), "", None);
        let (status, media, body) = answer(&seen);
        assert_eq!(
            (status, media.as_deref()),
            (451, Some("application/problem+json")),
            "{path}"
        );
        assert!(
            body.contains("\"violation\""),
            "without a body of its own it is ours: {body}"
        );
        let headers = &seen.reply.as_ref().unwrap().headers;
        assert!(headers.contains(&("x-team".to_owned(), "platform".to_owned())));
    }
}

#[test]
fn also_after_the_call() {
    let mut worker = worker("http", HTTP);
    let seen = ask(&mut worker, "eve", "GET /after", "", Some(&Backend::json("{}")));
    assert_eq!(
        answer(&seen),
        (
            410,
            Some("text/plain; charset=utf-8".to_owned()),
            "gone".to_owned()
        )
    );
}

#[test]
fn who_is_not_identified_is_challenged_all_the_same() {
    let mut worker = worker("http", HTTP);
    let headers = [
        (":method", "GET"),
        (":path", "/own"),
        ("authorization", ""),
        ("content-type", ""),
    ];
    let seen = worker.post(&headers, "", None);
    let reply = seen.reply.as_ref().unwrap();
    assert_eq!(reply.status, 401);
    assert!(reply.headers.iter().any(|(name, _)| name == "www-authenticate"));
}

#[test]
fn a_models_route_has_its_own_status() {
    let routes = "routes:\n  - llm: gpt-5\n    response: { status: 429, headers: { retry-after: \"60\" } }\n    pre_invocation: [\"require(role.nobody)\"]\n";
    let mut worker = worker("llm", routes);
    let body = json!({"model": "gpt-5", "messages": []}).to_string();
    let seen = ask(&mut worker, "eve", "POST /v1/chat/completions", &body, None);
    let (status, _, body) = answer(&seen);
    assert_eq!(status, 429);
    assert!(
        body.contains("\"permission_error\""),
        "the provider's own error stays: {body}"
    );
}

#[test]
fn json_rpc_tells_it_in_the_errors_data() {
    let routes = "  response: { status: 500 }\nroutes:\n  - tool: pay\n    response: { status: 403, body: \"say \\\"no\\\"\", headers: { x-a: b, x-c: d } }\n    pre_invocation: [\"require(role.nobody)\"]\n  - tool: other\n    pre_invocation: [\"require(role.nobody)\"]\n";
    let mut worker = worker("mcp", routes);
    let seen = ask(
        &mut worker,
        "eve",
        "POST /",
        &crate::host::call("pay", "{}"),
        None,
    );
    assert_eq!(seen.reply.as_ref().unwrap().status, 200);
    let data = &seen.reply_json()["error"]["data"];
    assert_eq!(data["http.status"], 403);
    assert_eq!(data["http.body"], "say \"no\"");
    assert_eq!(data["http.headers"], json!({"x-a": "b", "x-c": "d"}));
    assert_eq!(data["violation"], "routes.tool:pay.pre_invocation[0]");
    let seen = ask(
        &mut worker,
        "eve",
        "POST /",
        &crate::host::call("other", "{}"),
        None,
    );
    assert_eq!(
        seen.reply_json()["error"]["data"]["http.status"],
        serde_json::Value::Null
    );
}
