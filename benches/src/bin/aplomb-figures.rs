//! Prints the project's figures, their bounds and whether each is met.

use std::process::ExitCode;

use aplomb_benches::figures::measure;
use aplomb_benches::table::lines;
use clap::Parser;

/// The project's figures against their bounds.
#[derive(Parser)]
#[command(name = "aplomb-figures", version)]
struct Cli {
    /// How often each Envoy is started.
    #[arg(long, default_value_t = 7)]
    starts: usize,
    /// End with 1 when a bound is missed.
    #[arg(long)]
    strict: bool,
}

#[tokio::main]
async fn main() -> anyhow::Result<ExitCode> {
    let cli = Cli::parse();
    let figures = measure(cli.starts, |what| println!("==> {what}")).await?;
    let mut table = vec![
        ["figure", "bound", "measured", "unit", ""]
            .map(str::to_owned)
            .to_vec(),
    ];
    for figure in &figures {
        let number = |value: f64| {
            if figure.unit == "s" {
                format!("{value:+.2}")
            } else {
                format!("{value:.0}")
            }
        };
        let verdict = if figure.met() { "met" } else { "MISSED" };
        let bound = format!("≤ {}", number(figure.bound));
        table.push(vec![
            figure.what.clone(),
            bound,
            number(figure.measured),
            figure.unit.to_owned(),
            verdict.to_owned(),
        ]);
    }
    println!("\n{}", lines(&table));
    let missed = figures.iter().any(|figure| !figure.met());
    Ok(if missed && cli.strict {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    })
}
