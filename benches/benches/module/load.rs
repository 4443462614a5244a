//! Loading a large policy.

use std::time::Duration;

use aplomb_test_harness::abi::{Configured, Host};

use crate::{
    exchange::configuration,
    moment::Moment,
    row::{fact, ms},
};

/// Routes of the large policy.
pub(crate) const MANY: usize = 10_000;

/// Small routes: two steps each.
pub(crate) fn routes(count: usize, globs: bool) -> String {
    let mut text = String::from("routes:\n");
    for route in 0..count {
        let name = match (globs, route % 2) {
            (false, _) => format!("tool_{route}"),
            (true, 0) => format!("team_{route}_*"),
            (true, _) => format!("*_administrative_action_{route}"),
        };
        text.push_str(&format!(
            "  - tool: \"{name}\"\n    pre_invocation:\n      - \"args.region == 'x{}': deny\"\n      - \"args.amount > {}: deny('too much')\"\n",
            route % 50,
            1000 + route
        ));
    }
    text
}

pub(crate) fn loading() -> anyhow::Result<()> {
    for (what, globs, stripped, bound) in [
        ("load 10,000 small routes", false, false, Some(50.0)),
        ("load them without the debug section", false, true, None),
        ("load 10,000 with globs", true, false, Some(50.0)),
        ("load 10 small routes", false, false, None),
    ] {
        let count = if what.contains("10 small") { 10 } else { MANY };
        let json = configuration(&routes(count, globs), stripped)?;
        let mut best = Duration::MAX;
        for _ in 0..5 {
            let mut host = Host::start(&[])?;
            let start = Moment::now();
            let configured = host.configure(&json)?;
            best = best.min(start.elapsed());
            anyhow::ensure!(matches!(configured, Configured::Accepted(_)), "{configured:?}");
        }
        ms(what, bound, best);
        fact("configuration", format!("{} KB", json.len() / 1024));
    }
    Ok(())
}
