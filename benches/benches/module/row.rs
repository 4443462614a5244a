//! The lines of the table: what was measured, its bound, and whether it is kept.

use std::fmt::Display;
use std::time::Duration;

/// The head of the table, and what else the machine does.
pub(crate) fn head() {
    if let Ok(load) = std::fs::read_to_string("/proc/loadavg") {
        let load: Vec<&str> = load.split(' ').take(3).collect();
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        println!(
            "load average {} on {processors} processors: times of a busy machine are too long",
            load.join(" ")
        );
    }
    row("in the module (wasmtime)", "bound", "measured", "");
}

fn row(what: &str, bound: impl Display, measured: impl Display, verdict: &str) {
    println!(
        "{}",
        format!("{what:<72} {bound:>10} {measured:>12}  {verdict}").trim_end()
    );
}

const fn verdict(met: bool) -> &'static str {
    if met { "met" } else { "MISSED" }
}

/// A time, at most so many milliseconds if there is a bound.
pub(crate) fn ms(what: &str, most: Option<f64>, time: Duration) {
    let measured = time.as_secs_f64() * 1e3;
    let shown = format!("{measured:.2} ms");
    match most {
        Some(most) => row(what, format!("{most} ms"), shown, verdict(measured <= most)),
        None => row(what, "", shown, ""),
    }
}

/// A short time, without a bound.
pub(crate) fn us(what: &str, time: Duration) {
    row(what, "", format!("{:.1} us", time.as_secs_f64() * 1e6), "");
}

/// How many times as much.
pub(crate) fn ratio(what: &str, most: f64, measured: f64) {
    row(
        what,
        format!("{most:.2}"),
        format!("{measured:.2}"),
        verdict(measured <= most),
    );
}

/// A count, at most so many.
pub(crate) fn count(what: &str, most: usize, measured: usize) {
    row(what, most, measured, verdict(measured <= most));
}

/// Bytes in a time, at least so many megabytes a second.
pub(crate) fn rate(what: &str, least: f64, bytes: usize, time: Duration) {
    #[expect(clippy::cast_precision_loss, reason = "a few megabytes")]
    let measured = bytes as f64 / 1e6 / time.as_secs_f64().max(f64::MIN_POSITIVE);
    row(
        what,
        format!("{least} MB/s"),
        format!("{measured:.0} MB/s"),
        verdict(measured >= least),
    );
}

/// What belongs to the line above.
pub(crate) fn fact(what: &str, shown: impl Display) {
    row(&format!("  {what}"), "", shown, "");
}
