//! `make figures-companion`: what the companion must manage on two cores, beside what it does. Run it on a quiet machine; a
//! release build of the service and a Redis or Valkey server are needed. `cargo bench -p aplomb-companion --bench figures -- server`
//! measures one part: `embedded`, `server`, `token` or `memory`.

mod crowd;
mod server;
mod service;
mod stores;

use std::error::Error;

/// One line of the table.
pub(crate) struct Figure {
    what: String,
    bound: String,
    measured: String,
    met: Option<bool>,
}

impl Figure {
    /// With a bound that it keeps or not.
    pub(crate) fn new(what: &str, bound: &str, measured: String, met: bool) -> Self {
        Self {
            what: what.to_owned(),
            bound: bound.to_owned(),
            measured,
            met: Some(met),
        }
    }

    /// For comparison, or not measured.
    pub(crate) fn plain(what: &str, measured: String) -> Self {
        Self {
            what: what.to_owned(),
            bound: String::new(),
            measured,
            met: None,
        }
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    // `cargo test --benches` runs this too; only `cargo bench` measures.
    if !std::env::args().any(|argument| argument == "--bench") {
        return Ok(());
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    let wanted: Vec<String> = std::env::args()
        .skip(1)
        .filter(|word| !word.starts_with("--"))
        .collect();
    let wants = |part: &str| wanted.is_empty() || wanted.iter().any(|word| word == part);
    let mut figures = Vec::new();
    if wants("embedded") {
        figures.extend(runtime.block_on(stores::embedded())?);
    }
    if wants("server") {
        figures.extend(runtime.block_on(stores::server())?);
    }
    if wants("token") {
        figures.extend(runtime.block_on(service::cached_token())?);
    }
    if wants("memory") {
        figures.extend(runtime.block_on(service::memory())?);
    }
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    println!("load of the machine at the end: {}", load.trim());
    println!("| what | bound | measured | |");
    println!("|---|---|---|---|");
    for Figure {
        what,
        bound,
        measured,
        met,
    } in &figures
    {
        let verdict = match met {
            Some(true) => "met",
            Some(false) => "MISSED",
            None => "",
        };
        println!("| {what} | {bound} | {measured} | {verdict} |");
    }
    Ok(())
}
