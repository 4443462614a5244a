//! One round of load on one URL, with `wrk`.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use tokio::process::Command;

/// A POST that is sent again and again.
#[derive(Debug, Clone)]
pub struct Message {
    /// Header names and values.
    pub headers: Vec<(&'static str, String)>,
    /// The body.
    pub body: String,
}

/// What a round measured.
#[derive(Debug, Clone, Copy)]
pub struct Round {
    /// Requests per second.
    pub per_second: f64,
    /// Median latency in microseconds.
    pub p50_us: f64,
    /// 99th percentile of latency in microseconds.
    pub p99_us: f64,
}

/// Sends `message` to `url` over `connections` for that long.
///
/// # Errors
/// When `wrk` is missing or any reply is no 2xx: a round with errors measures something else.
pub async fn round(
    url: &str,
    message: &Message,
    connections: u32,
    time: Duration,
    dir: &Path,
) -> anyhow::Result<Round> {
    let script = dir.join("message.lua");
    std::fs::write(&script, lua(message))?;
    let output = Command::new("wrk")
        .args([
            "-t1",
            &format!("-c{connections}"),
            &format!("-d{}s", time.as_secs().max(1)),
        ])
        .args(["--latency", "-s"])
        .arg(&script)
        .arg(url)
        .kill_on_drop(true)
        .output()
        .await
        .context("cannot run wrk; fix: install it (Debian: `apt-get install wrk`)")?;
    let text = String::from_utf8_lossy(&output.stdout);
    ensure!(
        output.status.success(),
        "wrk {url}: {}{text}",
        String::from_utf8_lossy(&output.stderr)
    );
    if let Some(errors) = text
        .lines()
        .find(|line| line.contains("Non-2xx") || line.contains("Socket errors"))
    {
        bail!("{url}: {}", errors.trim());
    }
    let field = |name: &str| {
        text.lines()
            .find_map(|line| line.trim().strip_prefix(name).map(str::trim))
    };
    let micros = |name: &str| {
        field(name)
            .and_then(microseconds)
            .with_context(|| format!("wrk printed no {name}"))
    };
    let per_second = field("Requests/sec:")
        .and_then(|value| value.parse().ok())
        .context("wrk printed no rate")?;
    Ok(Round {
        per_second,
        p50_us: micros("50%")?,
        p99_us: micros("99%")?,
    })
}

fn lua(message: &Message) -> String {
    let mut script = format!("wrk.method = \"POST\"\nwrk.body = {:?}\n", message.body);
    for (name, value) in &message.headers {
        script.push_str(&format!("wrk.headers[{name:?}] = {value:?}\n"));
    }
    script
}

/// As `512.00us`, `1.25ms`, `2.01s`.
fn microseconds(text: &str) -> Option<f64> {
    let units = [("us", 1.0), ("ms", 1_000.0), ("s", 1_000_000.0)];
    let (number, factor) = units
        .iter()
        .find_map(|(unit, factor)| Some((text.strip_suffix(unit)?, factor)))?;
    Some(number.parse::<f64>().ok()? * factor)
}

#[cfg(test)]
mod tests {
    use super::microseconds;

    #[test]
    fn reads_every_unit_of_wrk() {
        assert_eq!(microseconds("512.00us"), Some(512.0));
        assert_eq!(microseconds("1.25ms"), Some(1_250.0));
        assert_eq!(microseconds("2s"), Some(2_000_000.0));
        assert_eq!(microseconds("2"), None);
    }
}
