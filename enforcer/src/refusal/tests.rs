use super::*;

#[test]
fn answers_as_the_wire_contract_says() {
    let denial = Refusal::operation("session_tainted", "write-down \"blocked\"");
    let reply = denial.reply(Shape::Rpc(b"\"7\""), "d1", false, Challenge::default());
    assert_eq!(reply.status, 200);
    assert!(
        reply
            .headers
            .contains(&("x-policy-violation".into(), "session_tainted".into()))
    );
    assert!(
        reply
            .headers
            .contains(&("x-policy-decision-id".into(), "d1".into()))
    );
    let body: serde_json::Value = serde_json::from_slice(&reply.body).expect("json");
    assert_eq!(
        body,
        serde_json::json!({"jsonrpc":"2.0","id":"7","error":{"code":-32001,"message":"write-down \"blocked\"",
            "data":{"violation":"session_tainted","decision_id":"d1"}}})
    );
}

#[test]
fn answers_as_an_event_when_nothing_else_is_accepted() {
    let reply = Refusal::operation("x", "y").reply(Shape::Rpc(b"7"), "d1", true, Challenge::default());
    assert!(
        reply
            .headers
            .contains(&("content-type".into(), "text/event-stream".into()))
    );
    assert!(reply.body.starts_with(b"event: message\ndata: {\"jsonrpc\"") && reply.body.ends_with(b"}\n\n"));
}

#[test]
fn a_denied_notification_is_a_bare_403() {
    let reply = Refusal::operation("x", "y").reply(Shape::Notification, "d1", false, Challenge::default());
    assert_eq!((reply.status, reply.body.as_slice()), (403, b"".as_slice()));
}

#[test]
fn an_identity_failure_is_a_401_with_a_challenge() {
    let reply = Refusal::identity("auth.token_expired", "the token has expired").reply(
        Shape::Rpc(b"1"),
        "d1",
        false,
        Challenge {
            resource_metadata: Some("https://x/.well-known/oauth-protected-resource"),
            scopes: None,
        },
    );
    assert_eq!(reply.status, 401);
    assert!(reply.headers.contains(&(
        "www-authenticate".into(),
        "Bearer resource_metadata=\"https://x/.well-known/oauth-protected-resource\"".into()
    )));
}

#[test]
fn a_code_cannot_break_a_header() {
    let reply = Refusal::operation("a\r\nb: c\u{e9}", "y").reply(
        Shape::RpcUnknown,
        "d1",
        false,
        Challenge::default(),
    );
    assert!(
        reply
            .headers
            .iter()
            .all(|(_, value)| value.bytes().all(|b| (b' '..0x7f).contains(&b)))
    );
}
