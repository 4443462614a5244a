//! Bodies that two JSON parsers read differently.

use serde_json::{Value, json};

use crate::{
    gate::{Ask, Back, send},
    policy::{ARGUMENT, call},
    proof::{Proof, governed, refuses},
};

const INVALID: &str = "protocol.invalid_json";

fn body(text: &str) -> Ask {
    Ask::post(text)
}

/// A call with this text in place of the tool's name, quotes included.
fn named(name: &str) -> Ask {
    Ask::post(format!(
        r#"{{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{{"name":{name},"arguments":{{"secret":"{ARGUMENT}"}}}}}}"#
    ))
}

pub(crate) fn duplicate_keys() -> Proof {
    let harmless = r#"{"jsonrpc":"2.0","id":7,"method":"ping","#;
    refuses([
        (
            "method twice",
            body(&format!(
                r#"{harmless}"method":"tools/call","params":{{"name":"denied"}}}}"#
            )),
            400,
            INVALID,
        ),
        (
            "method twice, once escaped",
            body(&format!(
                r#"{harmless}"m\u0065thod":"tools/call","params":{{"name":"denied"}}}}"#
            )),
            400,
            INVALID,
        ),
        (
            "params.name twice",
            body(
                r#"{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"echo","name":"denied"}}"#,
            ),
            400,
            INVALID,
        ),
        (
            "a key of an argument's inside twice",
            body(
                r#"{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"echo","arguments":{"x":{"y":1,"y":2}}}}"#,
            ),
            400,
            INVALID,
        ),
    ])
}

pub(crate) fn case_variants() -> Proof {
    let code = "protocol.case_variant";
    let twin = |key: &str| {
        body(&format!(
            r#"{{"jsonrpc":"2.0","id":7,"method":"ping","{key}":"tools/call","params":{{"name":"denied"}}}}"#
        ))
    };
    refuses([
        ("Method beside method", twin("Method"), 400, code),
        ("METHOD beside method", twin("METHOD"), 400, code),
        (
            "Name beside params.name",
            body(
                r#"{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"echo","Name":"denied"}}"#,
            ),
            400,
            code,
        ),
        (
            "Secret for the governed argument",
            body(&call("edited").replace("\"secret\"", "\"Secret\"")),
            400,
            code,
        ),
    ])
}

pub(crate) fn trailing_bytes() -> Proof {
    let echo = call("echo");
    refuses([
        (
            "a second document",
            body(&format!("{echo}{}", call("denied"))),
            400,
            INVALID,
        ),
        (
            "one a line",
            body(&format!("{echo}\n{}", call("denied"))),
            400,
            INVALID,
        ),
        ("bytes behind the end", body(&format!("{echo}]")), 400, INVALID),
        ("a NUL behind the end", body(&format!("{echo}\0")), 400, INVALID),
    ])
}

pub(crate) fn other_encodings() -> Proof {
    let text = call("denied");
    let utf16: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let utf32: Vec<u8> = text.chars().flat_map(|c| u32::from(c).to_be_bytes()).collect();
    refuses([
        (
            "a byte-order mark",
            body(&format!("\u{feff}{text}")),
            400,
            INVALID,
        ),
        ("UTF-16", Ask::post(utf16), 400, INVALID),
        ("UTF-32", Ask::post(utf32), 400, INVALID),
        (
            "charset=utf-16",
            body(&text).with("content-type", "application/json; charset=utf-16"),
            415,
            "protocol.media_type",
        ),
    ])
}

pub(crate) fn invalid_utf8() -> Proof {
    let with = |bytes: &[u8]| {
        let (head, tail) = (
            br#"{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":""#,
            br#""}}"#,
        );
        Ask::post([head.as_slice(), bytes, tail.as_slice()].concat())
    };
    refuses([
        ("a byte that is no UTF-8", with(b"\xff"), 400, INVALID),
        ("an overlong form", with(b"\xc1\xa4enied"), 400, INVALID),
        ("an encoded surrogate", with(b"\xed\xa0\x80"), 400, INVALID),
        ("a lone surrogate as an escape", with(br"\ud800"), 400, INVALID),
        ("half of a character", with(b"\xe2\x82"), 400, INVALID),
    ])
}

pub(crate) fn control_characters() -> Proof {
    let code = "protocol.invalid_request";
    refuses([
        ("a raw NUL in the name", named("\"echo\0\""), 400, INVALID),
        ("a raw line feed in the name", named("\"echo\n\""), 400, INVALID),
        ("\\u0000 in the name", named(r#""echo\u0000""#), 400, code),
        ("\\u001b in the name", named(r#""echo\u001b""#), 400, code),
        (
            "\\u0000 in the method",
            body(r#"{"jsonrpc":"2.0","id":7,"method":"ping\u0000"}"#),
            400,
            "protocol.invalid_request",
        ),
    ])
}

pub(crate) fn escaped_names() -> Proof {
    let spelt =
        r#"{"jsonrpc":"2.0","id":7,"method":"t\u006fols\/call","params":{"n\u0061me":"\u0064enied"}}"#;
    refuses([
        ("an escaped name", named(r#""d\u0065nied""#), 200, "test.denied"),
        ("everything escaped", body(spelt), 200, "test.denied"),
    ])
}

pub(crate) fn lookalikes() -> Proof {
    let code = "route.unmatched";
    refuses([
        ("a Cyrillic letter", named("\"ech\u{43e}\""), 200, code),
        ("a combining mark", named("\"echo\u{301}\""), 200, code),
        ("a space behind", named("\"echo \""), 200, code),
        ("a zero-width space", named("\"ec\u{200b}ho\""), 200, code),
        ("a full-width letter", named("\"\u{ff45}cho\""), 200, code),
        ("another case", named("\"ECHO\""), 200, code),
    ])
}

pub(crate) fn deep_nesting() -> Proof {
    let nested = |open: &str, close: &str, depth: usize| {
        body(&call("echo").replace(
            "\"a\":1",
            &format!("\"a\":{}1{}", open.repeat(depth), close.repeat(depth)),
        ))
    };
    refuses([
        ("70 arrays", nested("[", "]", 70), 400, "protocol.too_complex"),
        (
            "300 objects",
            nested("{\"k\":", "}", 300),
            400,
            "protocol.too_complex",
        ),
        (
            "2000 arrays that never close",
            body(&"[".repeat(2000)),
            400,
            "protocol.too_complex",
        ),
    ])
}

pub(crate) fn many_keys() -> Proof {
    let keys: Vec<String> = (0..230).map(|n| format!("\"k{n}\":{n}")).collect();
    let many = call("edited").replace("\"a\":1", &keys.join(","));
    let seen = send(&body(&many).back(Back::answer()));
    let came = seen.governed();
    let long = send(&body(&call("echo").replace("echo", &"x".repeat(4090))));
    let longer = long.refused(413, "protocol.too_large");
    governed(
        "an object of 230 keys; a name as long as the limit",
        format!("{came}; {longer}"),
    )
}

pub(crate) fn odd_numbers() -> Proof {
    for good in ["-0", "1e999", "18446744073709551616", "0.1e-7"] {
        let seen = send(&body(&call("echo").replace("\"a\":1", &format!("\"a\":{good}"))));
        let text = String::from_utf8_lossy(&seen.upstream.body).into_owned();
        assert!(
            text.contains(&format!("\"a\":{good},")) || !seen.upstream.started,
            "{good} became {text}"
        );
    }
    let with = |number: &str| body(&call("denied").replace("\"a\":1", &format!("\"a\":{number}")));
    refuses([
        ("leading zeros", with("01"), 400, INVALID),
        ("NaN", with("NaN"), 400, INVALID),
        ("Infinity", with("-Infinity"), 400, INVALID),
        ("hexadecimal", with("0x1"), 400, INVALID),
        ("no digit before the point", with(".5"), 400, INVALID),
        ("1e999 for a denied tool", with("1e999"), 200, "test.denied"),
        (
            "2^64 for a denied tool",
            with("18446744073709551616"),
            200,
            "test.denied",
        ),
    ])
}

pub(crate) fn relaxed_json() -> Proof {
    let text = call("denied");
    refuses([
        ("a comment", body(&text.replacen('{', "{/* */", 1)), 400, INVALID),
        ("a line comment", body(&format!("//\n{text}")), 400, INVALID),
        ("single quotes", body(&text.replace('"', "'")), 400, INVALID),
        ("a trailing comma", body(&text.replace("}}", ",}}")), 400, INVALID),
        (
            "a bare key",
            body(&text.replacen("\"id\"", "id", 1)),
            400,
            INVALID,
        ),
    ])
}

pub(crate) fn extra_members() -> Proof {
    let mut message: Value = serde_json::from_str(&call("edited")).unwrap();
    message["params"]["_meta"] = json!({"name": "echo", "secret": "of no rule"});
    message["note"] = json!({"method": "ping"});
    let seen = send(&body(&message.to_string()).back(Back::answer()));
    let came = seen.governed();
    let mut denied: Value = serde_json::from_str(&call("denied")).unwrap();
    denied["params"]["_meta"] = json!({"name": "echo"});
    let refusal = send(&body(&denied.to_string())).refused(200, "test.denied");
    governed(
        "`_meta` and members of no specification that name another tool",
        format!("{came}; {refusal}"),
    )
}

pub(crate) fn other_parsers() -> Proof {
    let spaced = r#"{ "jsonrpc" : "2.0" , "id":7, "method":"tools\/call","params":{"arguments":{"s\u0065cret":"s3-hidden","a":1.0},"name":"edited"} }"#;
    let seen = send(&body(spaced).back(Back::answer()));
    let sent: Value = serde_json::from_slice(&seen.upstream.body).unwrap();
    assert_eq!(sent["params"]["arguments"], json!({"a": 1.0}));
    governed(
        "a call that other parsers read otherwise: escapes, spaces, another order",
        format!(
            "{}; what two parsers can read differently is refused (3 to 8, 13, 14)",
            seen.governed()
        ),
    )
}
