//! Bodies of about a megabyte, of every shape that could be slow.

use serde_json::{Value, json};

use crate::{
    exchange::{call, configuration, configured, exchange, median},
    row::{fact, ms},
};

/// What the issue allows for a megabyte, in milliseconds.
const BOUND: f64 = 4.0;

/// Looked for in each record; `secret` is taken out.
const FIELDS: &str = "\"rows.ssn\": \"redact\"\n      \"secret\": \"omit\"";

/// Arguments of about a megabyte. Parsed, decided and spliced: from the body's arrival until it has gone on.
pub(crate) fn bodies() -> anyhow::Result<()> {
    let record = |at: usize| json!({"id": at, "name": format!("person {at}"), "city": "Springfield", "note": "as agreed"});
    let small: Value = (0..14_500).map(record).collect();
    let edited: Value = (0..2_500)
        .map(|at| json!({"id": at, "ssn": "078-05-1120", "note": "x".repeat(360)}))
        .collect();
    let texts: Value = (0..1_000)
        .map(|at| json!({"id": at, "text": "lorem ipsum ".repeat(85)}))
        .collect();
    let escaped: Value = (0..1_000)
        .map(|at| json!({"id": at, "text": "line \"one\"\n\u{1}tab\t".repeat(40)}))
        .collect();
    let numbers: Value = (0..140_000).map(|at| json!(at % 1_000_000)).collect();
    let wide: serde_json::Map<String, Value> =
        (0..45_000).map(|at| (format!("key_{at}"), json!(at))).collect();
    let deep: Value = (0..3_000).map(|_| nested(60)).collect();
    for (what, fields, rows) in [
        ("1,000 long texts, one field taken out", FIELDS, texts),
        ("2,500 records, each with a field redacted", FIELDS, edited),
        ("14,500 small records, one field taken out", FIELDS, small.clone()),
        (
            "14,500 small records, a field of each checked",
            "\"rows.name\": \"str | len(..40)\"",
            small.clone(),
        ),
        (
            "14,500 small records, a field of each redacted",
            "\"rows.name\": \"redact\"",
            small,
        ),
        ("texts with an escape every few bytes", FIELDS, escaped),
        ("140,000 numbers", FIELDS, numbers),
        ("one object with 45,000 members", FIELDS, Value::Object(wide)),
        ("3,000 values that are nested 60 deep", FIELDS, deep),
    ] {
        let policy = format!(
            "routes:\n  - tool: save\n    args:\n      {fields}\n    pre_invocation:\n      - \"args.amount > 1000: deny\"\n"
        );
        let (mut host, root) = configured(&configuration(&policy, false)?)?;
        let body = call("save", &json!({"amount": 1, "secret": "s", "rows": rows}));
        let times = (0..15)
            .map(|_| exchange(&mut host, root, ("/mcp", &body)))
            .collect::<anyhow::Result<_>>()?;
        ms(&format!("1 MB: {what}"), Some(BOUND), median(times));
        fact("bytes", body.len());
    }
    Ok(())
}

fn nested(depth: usize) -> Value {
    (0..depth).fold(json!(1), |inner, _| Value::Array(vec![inner]))
}
