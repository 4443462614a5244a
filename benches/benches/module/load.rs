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

/// What routes are found by.
#[derive(Clone, Copy)]
pub(crate) enum Routes {
    Names,
    Globs,
    Paths,
}

/// Small routes: two steps each.
pub(crate) fn routes(count: usize, found: Routes) -> String {
    let mut text = String::from("routes:\n");
    for route in 0..count {
        let selector = match (found, route % 2) {
            (Routes::Names, _) => format!("tool: \"tool_{route}\""),
            (Routes::Globs, 0) => format!("tool: \"team_{route}_*\""),
            (Routes::Globs, _) => format!("tool: \"*_administrative_action_{route}\""),
            (Routes::Paths, 0) => format!("http: \"/api/tenants/{{tenant}}/service_{route}/{{id}}\""),
            (Routes::Paths, _) => format!("http: \"/api/reports-{route}-*/all/{{id}}\""),
        };
        let args = match found {
            Routes::Paths => "args.body",
            Routes::Names | Routes::Globs => "args",
        };
        text.push_str(&format!(
            "  - {selector}\n    pre_invocation:\n      - \"{args}.region == 'x{}': deny\"\n      - \"{args}.amount > {}: deny('too much')\"\n",
            route % 50,
            1000 + route
        ));
    }
    text
}

pub(crate) fn loading() -> anyhow::Result<()> {
    for (what, found, stripped, bound) in [
        ("load 10,000 small routes", Routes::Names, false, Some(50.0)),
        ("load them without the debug section", Routes::Names, true, None),
        ("load 10,000 with globs", Routes::Globs, false, Some(50.0)),
        ("load 10,000 with HTTP paths", Routes::Paths, false, Some(50.0)),
        ("load 10 small routes", Routes::Names, false, None),
    ] {
        let count = if what.contains("10 small") { 10 } else { MANY };
        let json = configuration(&routes(count, found), stripped)?;
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
