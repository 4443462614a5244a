//! A request among few and among many routes.

use anyhow::Context as _;
use serde_json::json;

use crate::{
    exchange::{call, configuration, configured, exchange, median},
    load::{MANY, Routes, routes},
    row::{ratio, us},
};

pub(crate) fn among_many(what: &str, found: Routes) -> anyhow::Result<()> {
    let arguments = json!({"amount": 12, "region": "eu", "note": "as agreed last week, with regards",
        "lines": [{"id": 1, "q": 2}, {"id": 2, "q": 9}]});
    let mut plugins = Vec::new();
    for count in [10, MANY] {
        let (host, root) = configured(&configuration(&routes(count, found), false)?)?;
        let bodies: Vec<(String, String)> = (0..10)
            .map(|at| at * count / 10)
            .map(|route| {
                let tool = |name: String| ("/mcp".to_owned(), call(&name, &arguments));
                match (found, route % 2) {
                    (Routes::Names, _) => tool(format!("tool_{route}")),
                    (Routes::Globs, 0) => tool(format!("team_{route}_read")),
                    (Routes::Globs, _) => tool(format!("any_administrative_action_{route}")),
                    (Routes::Paths, 0) => (
                        format!("/api/tenants/t1/service_{route}/7"),
                        arguments.to_string(),
                    ),
                    (Routes::Paths, _) => (format!("/api/reports-{route}-eu/all/7"), arguments.to_string()),
                }
            })
            .collect();
        plugins.push((host, root, bodies, Vec::new()));
    }
    // In turn, so that what the machine does beside it falls on both alike.
    for round in 0..4_000 {
        for (host, root, bodies, times) in &mut plugins {
            let (path, body) = bodies.get(round % 10).context("a body")?;
            times.push(exchange(host, *root, (path, body))?);
            if round % 500 == 0 {
                // Ships the records of the verdicts, which wait in a queue.
                host.tick(1_000)?;
            }
        }
    }
    let mut measured = plugins.into_iter().map(|(.., times)| median(times));
    let (few, many) = (
        measured.next().unwrap_or_default(),
        measured.next().unwrap_or_default(),
    );
    us(&format!("{what}: a request among 10 routes"), few);
    us(&format!("{what}: among 10,000"), many);
    ratio(
        &format!("{what}: ratio"),
        1.2,
        many.as_secs_f64() / few.as_secs_f64().max(f64::MIN_POSITIVE),
    );
    Ok(())
}
