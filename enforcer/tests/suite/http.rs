//! HTTP resources.

use serde_json::{Value, json};

use crate::{
    host::{Backend, Seen, Worker},
    protocols::{ask, send, worker},
};

const ROUTES: &str = r#"
routes:
  - http: "/public/**"
  - http: { path: "/employees/{id}", method: [GET, HEAD] }
    unparseable_result: deny
    pre_invocation: ["require(role.hr)"]
    result: { ssn: "redact(!perm.view_ssn)" }
  - http: { path: "/employees/{id}", method: PUT }
    args:
      path.id: "regex(\"^[0-9]+$\")"
      body.salary: "required | int"
      body.ssn: "mask(4)"
    pre_invocation:
      - "args.body.salary > 1000 & args.query.force != 'yes': deny('too much', 'pay.limit')"
  - http: { path: "/upload/*", method: POST }
    pre_invocation: ["require(role.hr)"]
  - http: "/admin"
    pre_invocation: ["deny('closed', 'admin.closed')"]
  - http: "/marks/{id}"
    post_invocation: ["http.status >= 400: deny('it failed', 'marks.failed')", "taint(seen, session)"]
"#;

const SSN: &str = "123-45-6789";

fn code(seen: &Seen) -> (u16, String) {
    let reply = seen
        .reply
        .as_ref()
        .unwrap_or_else(|| panic!("no reply: {seen:?}"));
    (reply.status, seen.code())
}

fn get(worker: &mut Worker, path: &str) -> Seen {
    ask(
        worker,
        "eve",
        &format!("GET {path}"),
        "",
        Some(&Backend::json("{}")),
    )
}

#[test]
fn the_path_and_the_method_choose_the_route() {
    let mut worker = worker("http", ROUTES);
    assert!(
        get(&mut worker, "/public/a/b?x=%zz;").forwarded(),
        "its query is not read"
    );
    assert!(get(&mut worker, "/employees/7").forwarded());
    assert!(get(&mut worker, "/employees/7/").forwarded());
    for (request, expected) in [
        ("GET /employees/7/8", "route.unmatched"),
        ("DELETE /employees/7", "route.unmatched"),
        ("GET /employees", "route.unmatched"),
        ("GET /", "route.unmatched"),
        ("GET /admin", "admin.closed"),
        ("GET /admin/", "admin.closed"),
        ("POST /admin?x", "admin.closed"),
    ] {
        assert_eq!(
            code(&ask(&mut worker, "eve", request, "", None)),
            (403, expected.to_owned()),
            "{request}"
        );
    }
}

#[test]
fn a_denial_is_a_problem_document() {
    let mut worker = worker("http", ROUTES);
    let seen = ask(&mut worker, "eve", "GET /admin", "", None);
    let reply = seen.reply.as_ref().expect("a reply");
    assert!(
        reply
            .headers
            .contains(&("content-type".into(), "application/problem+json".into()))
    );
    let body = seen.reply_json();
    assert_eq!(body["title"], "denied by policy");
    assert_eq!(body["detail"], "closed");
    assert_eq!(body["violation"], "admin.closed");
    assert!(body["decision_id"].is_string());
    let seen = ask(&mut worker, "", "GET /admin", "", None);
    let reply = seen.reply.as_ref().expect("a reply");
    assert_eq!(reply.status, 401);
    assert!(
        reply
            .headers
            .contains(&("www-authenticate".into(), "Bearer".into()))
    );
    assert_eq!(seen.reply_json()["violation"], seen.code());
}

#[test]
fn a_path_that_can_be_read_in_two_ways_is_refused() {
    let mut worker = worker("http", ROUTES);
    for path in [
        "//admin",
        "/public/../admin",
        "/public/./x",
        "/public/%2e%2e/admin",
        "/public%2f..%2fadmin",
        "/public/..;/admin",
        "/public;x/a",
        "/public\\..\\admin",
        "/%61dmin",
        "/%2561dmin",
        "/public/%00",
        "/public/%zz",
        "/public/%",
        "/public/%c0%ae",
        "/public/%ff",
        "/public/a%0d%0a",
        "/public#x",
        // A backend without case takes it for another route's.
        "/ADMIN",
        "/Public/a",
        "public",
        "*",
    ] {
        let seen = get(&mut worker, path);
        if path == "public" || path == "*" {
            assert!(!seen.forwarded() || worker.engine.inflight_bytes() == 0);
            continue;
        }
        assert_eq!(code(&seen), (400, "protocol.ambiguous_path".to_owned()), "{path}");
        assert_eq!(
            seen.reply_json()["title"],
            "the request cannot be judged",
            "{path}"
        );
    }
    assert!(get(&mut worker, "/public/a%20b/%C3%A4/x:y@z").forwarded());
}

#[test]
fn arguments_are_the_path_the_query_and_the_body() {
    let mut worker = worker("http", ROUTES);
    let mut put = |path: &str, body: &str| ask(&mut worker, "eve", &format!("PUT {path}"), body, None);
    assert!(put("/employees/7", r#"{"salary": 10}"#).forwarded());
    assert_eq!(code(&put("/employees/x", r#"{"salary": 10}"#)).0, 403);
    assert_eq!(code(&put("/employees/7", "{}")).0, 403);
    assert_eq!(
        code(&put("/employees/7", "")).0,
        403,
        "what is required is not there"
    );
    assert_eq!(code(&put("/employees/7", r#"{"salary": 2000}"#)).1, "pay.limit");
    assert!(put("/employees/7?force=yes&%66oo=a+b%3B", r#"{"salary": 2000}"#).forwarded());
    for query in [
        "force=yes&force=no",
        "force=yes;x",
        "force=%zz",
        "force=%00",
        "force=%ff",
    ] {
        let seen = put(&format!("/employees/7?{query}"), r#"{"salary": 2000}"#);
        assert_eq!(
            code(&seen),
            (400, "protocol.ambiguous_query".to_owned()),
            "{query}"
        );
    }
    for body in [
        r#"{"salary": 1, "salary": 2000}"#,
        r#"{"salary": 1}, "x": {}"#,
        r#"{"salary": 1}, "body": {"salary": 2}"#,
        r#"{"salary": 1}}"#,
        "\u{feff}{\"salary\": 1}",
        "nonsense",
    ] {
        assert_eq!(
            code(&put("/employees/7", body)),
            (400, "protocol.invalid_json".to_owned()),
            "{body}"
        );
    }
    let seen = put("/employees/7", r#"{"salary": 1, "Salary": 2000}"#);
    assert_eq!(code(&seen).1, "protocol.case_variant");
}

#[test]
fn edits_touch_nothing_but_their_value() {
    let mut worker = worker("http", ROUTES);
    let body = format!(" {{ \"salary\" : 10,\n \"ssn\":\"{SSN}\", \"n\": 1.50e1 }} ");
    let seen = ask(&mut worker, "eve", "PUT /employees/7", &body, None);
    let (_, sent) = seen.upstream.as_ref().expect("forwarded");
    let sent = String::from_utf8(sent.clone()).unwrap();
    assert_eq!(sent, body.trim().replace(SSN, "*******6789"));
    assert_eq!(
        seen.upstream_header("content-length"),
        Some(sent.len().to_string())
    );
}

#[test]
fn a_query_can_be_checked_and_not_edited() {
    let mut worker = worker("http", "routes: [{http: /x, args: {'**.ssn': redact}}]");
    assert!(get(&mut worker, "/x?a=1").forwarded());
    assert_eq!(
        code(&get(&mut worker, "/x?ssn=1")),
        (403, "http.not_editable".to_owned())
    );
}

#[test]
fn a_body_without_a_say_passes_as_it_comes() {
    let mut worker = worker("http", ROUTES);
    let bearer = format!("Bearer {}", crate::jwt::token("eve"));
    let mut stream = worker.open(&[
        (":method", "POST"),
        (":path", "/upload/a"),
        (":authority", "x"),
        (":scheme", "http"),
        ("authorization", &bearer),
        ("content-type", "application/octet-stream"),
    ]);
    stream.head(&mut worker, false);
    assert!(stream.seen.forwarded(), "the head is all that is judged");
    let seen = send(
        &mut worker,
        "sam",
        "POST /upload/a",
        &[("content-type", "image/png")],
        "x",
        None,
    );
    assert!(!seen.forwarded());
}

#[test]
fn a_body_that_has_a_say_must_be_readable() {
    let mut worker = worker("http", ROUTES);
    for (name, value, status, expected) in [
        ("content-type", "text/plain", 415, "protocol.media_type"),
        (
            "content-type",
            "application/x-www-form-urlencoded",
            415,
            "protocol.media_type",
        ),
        ("content-encoding", "gzip", 415, "protocol.content_encoding"),
        ("content-range", "bytes 0-1/2", 400, "protocol.range"),
        ("x-http-method-override", "GET", 400, "protocol.method_override"),
        ("upgrade", "websocket", 403, "protocol.upgrade"),
    ] {
        let seen = send(
            &mut worker,
            "eve",
            "PUT /employees/7",
            &[(name, value)],
            r#"{"salary": 1}"#,
            None,
        );
        assert_eq!(code(&seen), (status, expected.to_owned()), "{name}");
    }
}

#[test]
fn any_cutting_of_bodies_gives_the_same_bytes() {
    let body = json!({"salary": 10, "ssn": SSN, "text": "é".repeat(40)}).to_string();
    let answer = Backend::json(&json!({"a": [1, 2, {"ssn": SSN}], "ssn": SSN, "ä": "ö"}).to_string());
    let mut whole = worker("http", ROUTES);
    let put = ask(&mut whole, "eve", "PUT /employees/7", &body, None);
    let got = ask(&mut whole, "eve", "GET /employees/7", "", Some(&answer));
    let mut cut = worker("http", ROUTES);
    for chunk in 1..body.len() {
        cut.chunk = chunk;
        assert_eq!(
            ask(&mut cut, "eve", "PUT /employees/7", &body, None).upstream,
            put.upstream
        );
        let seen = ask(&mut cut, "eve", "GET /employees/7", "", Some(&answer));
        assert_eq!(seen.client, got.client);
    }
    assert!(
        got.client_body().contains(r#"[1,2,{"ssn":"123"#),
        "`ssn` at the root is what the route names"
    );
}

#[test]
fn what_was_redacted_is_nowhere() {
    let record = json!({"ssn": SSN, "salary": 1}).to_string();
    for body in [
        record.clone(),
        json!({"SSN": SSN}).to_string(),
        json!([{"ssn": SSN}]).to_string(),
        // A text that holds the same as JSON.
        json!({"text": record}).to_string(),
        json!({"ssn": {"parts": [123, 45, 6789]}, "log": [record]}).to_string(),
    ] {
        for media in ["application/json", "application/vnd.hr+json; charset=utf-8"] {
            for status in [200, 404, 500] {
                let mut worker = worker("http", ROUTES);
                let backend = Backend::of(status, media, &body);
                let seen = ask(&mut worker, "eve", "GET /employees/7", "", Some(&backend));
                let (found, headers, bytes) = seen.client.clone().expect("a response");
                let text = String::from_utf8(bytes).unwrap();
                assert!(!text.contains(SSN) && !text.contains("6789"), "{body} -> {text}");
                assert_eq!(found, status);
                assert!(!headers.iter().any(|(name, _)| name == "etag"));
                assert!(serde_json::from_str::<Value>(&text).is_ok());
            }
        }
    }
}

#[test]
fn a_text_that_was_edited_as_a_whole_is_not_put_back() {
    let record = json!({"ssn": SSN, "salary": 1}).to_string();
    let answer = Backend::json(&json!({"a": {"text": record}, "ssn": SSN, "b": record}).to_string());
    for (stage, expected) in [("omit", Some("{}")), ("redact", None), ("mask(2)", None)] {
        let routes = format!("routes: [{{http: /x, result: {{a.text: {stage}, '**.ssn': redact}}}}]");
        let mut worker = worker("http", &routes);
        let seen = ask(&mut worker, "eve", "GET /x", "", Some(&answer));
        let found: Value = serde_json::from_str(&seen.client_body()).expect("JSON");
        assert!(!seen.client_body().contains(SSN));
        match expected {
            Some(a) => assert_eq!(found["a"].to_string(), a),
            // Which of the two edits should count cannot be told.
            None => assert_eq!(seen.code(), "result.unparseable"),
        }
    }
}

#[test]
fn a_result_that_cannot_be_read_is_denied() {
    let body = json!({"ssn": SSN}).to_string();
    let encoded = |name: &str, value: &str| {
        let mut backend = Backend::json(&body);
        backend.headers.push((name.into(), value.into()));
        backend
    };
    for backend in [
        Backend::json("nonsense"),
        Backend::json(&format!("{body}{body}")),
        Backend::of(200, "text/html", &body),
        Backend::of(206, "application/json", "789"),
        Backend::events(&format!("data: {body}\n\n")),
        encoded("content-encoding", "gzip"),
        encoded("content-type", "application/json"),
    ] {
        let mut worker = worker("http", ROUTES);
        let seen = ask(&mut worker, "eve", "GET /employees/7", "", Some(&backend));
        assert_eq!(seen.code(), "result.unparseable", "{:?}", backend.headers);
        let (status, bytes) = match (&seen.reply, &seen.client) {
            (Some(reply), _) => (reply.status, reply.body.clone()),
            (None, Some((status, headers, body))) => {
                assert!(headers.contains(&("content-type".into(), "application/problem+json".into())));
                (*status, body.clone())
            }
            (None, None) => panic!("no answer"),
        };
        let text = String::from_utf8(bytes).unwrap();
        assert_eq!(status, 403);
        assert!(
            !text.contains(SSN) && text.contains("\"executed\":true"),
            "{text}"
        );
    }
}

#[test]
fn what_is_not_governed_streams_through() {
    let mut worker = worker("http", ROUTES);
    let backend = Backend::events("data: 1\n\n");
    let seen = ask(&mut worker, "eve", "GET /public/x", "", Some(&backend));
    assert_eq!(seen.client_body(), "data: 1\n\n");
    let empty = Backend::of(204, "application/json", "");
    let seen = ask(&mut worker, "eve", "HEAD /employees/7", "", Some(&empty));
    assert_eq!(seen.client.expect("a response").0, 204);
}

#[test]
fn a_phase_that_reads_no_body_needs_none() {
    let mut worker = worker("http", ROUTES);
    let image = Backend::of(200, "image/png", "\u{1}\u{2}");
    let seen = ask(&mut worker, "eve", "GET /marks/7", "", Some(&image));
    assert_eq!(seen.client_body(), "\u{1}\u{2}");
    assert_eq!(
        seen.companion_calls, 1,
        "the label is stored before the response is released"
    );
    let failed = Backend::of(500, "text/html", "oops");
    let seen = ask(&mut worker, "eve", "GET /marks/7", "", Some(&failed));
    assert_eq!(seen.code(), "marks.failed");
    let seen = ask(
        &mut worker,
        "eve",
        "GET /marks/7",
        "",
        Some(&Backend::of(204, "text/html", "")),
    );
    assert_eq!(seen.client.as_ref().expect("a response").0, 204);
}
