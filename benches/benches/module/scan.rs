//! Scanners over results: megabytes a second, and whether time grows with the length alone.

use std::time::{Duration, Instant};

use aplomb_test_harness::abi::Host;
use serde_json::{Value, json};

use crate::{
    exchange::{HEAD, call, configuration, configured, median},
    row::{rate, ratio},
};

/// Every built-in detector; `mode: deny` finds nothing in the texts below and so reads all of them.
const POLICY: &str = "plugins:
  - name: pii
    kind: validator/pii-scan
    config:
      mode: deny
      detect: [{kind: ssn}, {kind: email}, {kind: credit_card}, {kind: iban}, {kind: phone}, {kind: ip_address}, {kind: api_key}, {kind: jwt}]
routes:
  - tool: pii
    post_invocation: [\"run(pii)\"]
  - tool: injection
    result: {text: \"injection.scan\"}
";

/// The least, in megabytes a second: a text of 1 MB is read in 50 ms.
const LEAST: f64 = 20.0;

pub(crate) fn scans() -> anyhow::Result<()> {
    let mut config: Value = serde_json::from_str(&configuration(POLICY, false)?)?;
    // `injection.scan` would store a label, if it found something.
    config["companion"] = json!({"cluster": "companion"});
    let (mut host, root) = configured(&config.to_string())?;
    for (what, tool, piece) in [
        (
            "PII in prose",
            "pii",
            "The order was taken on Monday, and was sent on the next day. ",
        ),
        (
            "PII in what looks like it",
            "pii",
            "4111-1111-1111-111 078-05 a@b 10.0.0 +1 ",
        ),
        (
            "injection in prose",
            "injection",
            "The order was taken on Monday, and was sent on the next day. ",
        ),
        (
            "injection in what looks like it",
            "injection",
            "ignore all previous ignore the above, disregard your ",
        ),
    ] {
        let mut times = Vec::new();
        for bytes in [700_000, 1_400_000] {
            let text = piece.repeat(bytes / piece.len());
            let each = (0..7)
                .map(|_| scanned(&mut host, root, tool, &text))
                .collect::<anyhow::Result<_>>()?;
            times.push((text.len(), median(each)));
        }
        if let [(short, once), (_, twice)] = times.as_slice() {
            rate(&format!("scan: {what}"), LEAST, *short, *once);
            // Time that grew with the square would be four times as much.
            ratio(
                &format!("scan: {what}, time for twice the text"),
                2.5,
                twice.as_secs_f64() / once.as_secs_f64().max(f64::MIN_POSITIVE),
            );
        }
    }
    Ok(())
}

/// A result with this text: from its arrival until it has gone on.
fn scanned(host: &mut Host, root: u32, tool: &str, text: &str) -> anyhow::Result<Duration> {
    let x = host.exchange(&[root], true);
    host.request_head(x, &HEAD, false)?;
    host.request_body(x, call(tool, &json!({})).as_bytes(), true)?;
    host.response_head(
        x,
        &[(":status", "200"), ("content-type", "application/json")],
        false,
    )?;
    let reply =
        json!({"jsonrpc": "2.0", "id": 7, "result": {"content": [], "structuredContent": {"text": text}}})
            .to_string();
    let start = Instant::now();
    host.response_body(x, reply.as_bytes(), true)?;
    let time = start.elapsed();
    anyhow::ensure!(
        host.client(x).body == reply.as_bytes(),
        "{tool} found something: {}",
        String::from_utf8_lossy(host.client(x).body.get(..400).unwrap_or_default())
    );
    host.end(x)?;
    Ok(time)
}
