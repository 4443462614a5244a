//! JSON-RPC and MCP: batches, ids, methods.

use serde_json::{Value, json};

use crate::{
    gate::{Ask, Back, MODES, Proxy, send},
    policy::{self, ARGUMENT, With, call},
    proof::{Proof, governed, refused, refuses},
};

const REQUEST: &str = "protocol.invalid_request";
const PARAMS: &str = "protocol.invalid_params";
const BATCH: &str = "protocol.batch";

fn message(text: &str) -> Ask {
    Ask::post(text)
}

fn changed(change: impl FnOnce(&mut Value)) -> Ask {
    let mut message: Value = serde_json::from_str(&call("denied")).unwrap();
    change(&mut message);
    Ask::post(message.to_string())
}

fn numbered(tool: &str, id: u32) -> String {
    call(tool).replace("\"id\":7", &format!("\"id\":{id}"))
}

pub(crate) fn batches() -> Proof {
    let batch = format!("[{},{}]", numbered("edited", 1), numbered("denied", 2));
    let seen = send(&message(&batch));
    assert!(!seen.upstream.started, "GOT THROUGH: {:?}", seen.upstream);
    let answers = seen.json();
    let codes: Vec<&str> = answers
        .as_array()
        .unwrap()
        .iter()
        .map(|answer| answer["error"]["data"]["violation"].as_str().unwrap())
        .collect();
    assert_eq!(codes, ["batch.denied", "test.denied"]);
    let later = send(&message(&batch).with("mcp-protocol-version", "2025-06-18")).refused(400, BATCH);
    let good = format!("[{},{}]", numbered("edited", 1), numbered("echo", 2));
    let back = Back::json(format!("[{}]", policy::answer(&json!(1))));
    let seen = send(&message(&good).back(back));
    let came = seen.governed();
    governed(
        "a batch with a denied call; a batch under 2025-06-18; a batch of two allowed ones",
        format!("both answered with errors, nothing forwarded; {later}; {came}"),
    )
}

pub(crate) fn odd_batches() -> Proof {
    let many: Vec<String> = (0..33).map(|id| numbered("echo", id)).collect();
    let twice = format!("[{},{}]", numbered("echo", 1), numbered("denied", 1));
    refuses([
        ("an empty batch", message("[]"), 400, BATCH),
        (
            "a batch in a batch",
            message(&format!("[[{}]]", call("denied"))),
            400,
            REQUEST,
        ),
        ("numbers", message("[1,2]"), 400, REQUEST),
        (
            "33 messages",
            message(&format!("[{}]", many.join(","))),
            400,
            BATCH,
        ),
        ("one id twice", message(&twice), 400, BATCH),
    ])
}

pub(crate) fn envelopes() -> Proof {
    refuses([
        (
            "no jsonrpc",
            changed(|m| drop(m.as_object_mut().unwrap().remove("jsonrpc"))),
            400,
            REQUEST,
        ),
        (
            "jsonrpc 1.0",
            changed(|m| m["jsonrpc"] = json!("1.0")),
            400,
            REQUEST,
        ),
        (
            "jsonrpc as a number",
            changed(|m| m["jsonrpc"] = json!(2.0)),
            400,
            REQUEST,
        ),
        (
            "no method",
            changed(|m| drop(m.as_object_mut().unwrap().remove("method"))),
            400,
            REQUEST,
        ),
        (
            "a method that is an array",
            changed(|m| m["method"] = json!(["tools/call"])),
            400,
            REQUEST,
        ),
        (
            "a document that is a string",
            message("\"tools/call\""),
            400,
            REQUEST,
        ),
    ])
}

pub(crate) fn odd_params() -> Proof {
    refuses([
        (
            "positional params",
            changed(|m| m["params"] = json!(["denied", {}])),
            400,
            REQUEST,
        ),
        (
            "params null",
            changed(|m| m["params"] = Value::Null),
            400,
            REQUEST,
        ),
        (
            "params a string",
            changed(|m| m["params"] = json!("denied")),
            400,
            REQUEST,
        ),
        (
            "no params",
            changed(|m| drop(m.as_object_mut().unwrap().remove("params"))),
            400,
            PARAMS,
        ),
        (
            "a name that is an array",
            changed(|m| m["params"]["name"] = json!(["echo"])),
            400,
            REQUEST,
        ),
        (
            "arguments that are an array",
            changed(|m| m["params"]["arguments"] = json!([{"secret": ARGUMENT}])),
            400,
            PARAMS,
        ),
        (
            "arguments that are a text of JSON",
            changed(|m| m["params"]["arguments"] = json!("{}")),
            400,
            PARAMS,
        ),
    ])
}

pub(crate) fn odd_ids() -> Proof {
    // One id in two exchanges at a time: each is judged by its own.
    for mode in MODES {
        let mut proxy = Proxy::start(mode, &policy::configuration(With::Nothing));
        let asks = ["edited", "denied", "edited"].map(|tool| Ask::post(call(tool)));
        let open = asks.each_ref().map(|ask| proxy.head(ask));
        for (x, ask) in open.iter().zip(&asks) {
            proxy.body(*x, ask);
        }
        for (x, passes) in open.iter().zip([true, false, true]) {
            if passes {
                proxy.back(*x, &Back::answer(), true);
                proxy.seen(*x).governed();
            } else {
                proxy.seen(*x).refused(200, "test.denied");
            }
        }
    }
    refuses([
        ("id null", changed(|m| m["id"] = Value::Null), 400, REQUEST),
        ("id true", changed(|m| m["id"] = json!(true)), 400, REQUEST),
        ("id an object", changed(|m| m["id"] = json!({})), 400, REQUEST),
        ("id an array", changed(|m| m["id"] = json!([7])), 400, REQUEST),
        ("id a fraction", changed(|m| m["id"] = json!(7.5)), 400, REQUEST),
        (
            "id longer than 4 KiB",
            changed(|m| m["id"] = json!("x".repeat(4096))),
            413,
            "protocol.too_large",
        ),
        (
            "one id in three exchanges at a time",
            changed(|_| ()),
            200,
            "test.denied",
        ),
    ])
}

pub(crate) fn id_types() -> Proof {
    for id in [json!(1), json!("1"), json!("")] {
        let seen = send(&changed(|message| message["id"] = id.clone()));
        assert_eq!(seen.json()["id"], id, "the type of the id is not kept");
    }
    let text = call("edited").replace("\"id\":7", "\"id\":\"7\"");
    // The backend answers under the number: an answer to something else.
    let came = send(&Ask::post(text).back(Back::answer())).withheld("result.unparseable");
    governed(
        "calls under 1 and \"1\"; an answer under 7 to a call under \"7\"",
        format!("errors keep the id's type; {came}"),
    )
}

pub(crate) fn both_at_once() -> Proof {
    refuses([
        (
            "method and result",
            changed(|m| m["result"] = json!({})),
            400,
            REQUEST,
        ),
        (
            "method and error",
            changed(|m| m["error"] = json!({"code": 1, "message": ""})),
            400,
            REQUEST,
        ),
        (
            "result and error",
            message(r#"{"jsonrpc":"2.0","id":7,"result":{},"error":{}}"#),
            400,
            REQUEST,
        ),
    ])
}

pub(crate) fn calls_as_notifications() -> Proof {
    let quiet = |tool: &str| {
        let mut message: Value = serde_json::from_str(&call(tool)).unwrap();
        message.as_object_mut().unwrap().remove("id");
        Ask::post(message.to_string())
    };
    let seen = send(&quiet("denied"));
    assert!(!seen.upstream.started && seen.client.body.is_empty(), "{seen:?}");
    assert_eq!(seen.status, "403");
    let seen = send(&quiet("edited"));
    assert!(seen.upstream.ended || seen.client.ended);
    refused(
        "a denied call without an id; one whose argument is removed",
        "403 test.denied without a body; judged like a call",
    )
}

pub(crate) fn unknown_methods() -> Proof {
    let of = |method: &str| {
        message(&json!({"jsonrpc": "2.0", "id": 7, "method": method, "params": {"name": "echo"}}).to_string())
    };
    let code = "protocol.unknown_method";
    refuses([
        ("tools/execute", of("tools/execute"), 200, code),
        ("tasks/result", of("tasks/result"), 200, code),
        ("Tools/Call", of("Tools/Call"), 200, code),
        ("tools/call with a slash behind", of("tools/call/"), 200, code),
        ("vendor/anything", of("vendor/anything"), 200, code),
        ("a notification with an id", of("notifications/x"), 200, code),
    ])
}
