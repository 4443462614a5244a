//! An Envoy bootstrap.

pub(super) mod filter;

use std::path::PathBuf;

use clap::Args;

use super::built::Built;
use super::upstream::{self, Upstream};
use super::yaml::{Map, document};
use super::{Fault, put, write};

/// `aplc emit envoy`.
#[derive(Debug, Args)]
pub(super) struct Options {
    /// The folder that `aplc build -o` wrote.
    #[arg(long, value_name = "DIR")]
    build: PathBuf,
    /// The path of `aplomb.wasm` as Envoy will see it.
    #[arg(long, value_name = "FILE")]
    module: String,
    /// Where the traffic of a path goes: `/hr/mcp=http://127.0.0.1:9101/mcp`. One for each entry of `protocols`; others
    /// may be added, and pass the filter untouched.
    #[arg(long = "upstream", value_name = "PATH_PREFIX=URL", required = true)]
    upstreams: Vec<String>,
    /// Where the proxy listens.
    #[arg(long, value_name = "IP:PORT", default_value = "127.0.0.1:10000")]
    listen: std::net::SocketAddr,
    /// Envoy's own administration; loopback, because whoever reaches it can end the proxy.
    #[arg(long, value_name = "IP:PORT", default_value = "127.0.0.1:9901")]
    admin: std::net::SocketAddr,
    /// Where the companion listens: `http://127.0.0.1:9470`, or with TLS `https://companion.internal:9470`.
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:9470")]
    companion: String,
    /// PEM of the authorities that TLS connections trust.
    #[arg(
        long,
        value_name = "FILE",
        default_value = "/etc/ssl/certs/ca-certificates.crt"
    )]
    ca: String,
    /// The proxy's own certificate and key (PEM) for the companion.
    #[arg(long, value_name = "CERT,KEY", value_delimiter = ',', num_args = 2)]
    companion_identity: Vec<String>,
    /// Deliver the filter's configuration by ECDS from files in this folder, so that a new policy takes effect when a
    /// file there is replaced. The path is used as Envoy will see it; the files are written too.
    #[arg(long, value_name = "DIR")]
    ecds: Option<PathBuf>,
    /// The file to write; otherwise standard output.
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
}

const HEADING: &str = "Written by `aplc emit envoy`. The filter judges the paths of `protocols`; everything else passes it untouched.";

pub(super) fn run(options: &Options) -> Result<(), Fault> {
    let built = Built::read(&options.build)?;
    let upstreams = upstreams(options, &built)?;
    let plugins = filter::plugins(&built, &options.module)?;
    let filters = match &options.ecds {
        None => plugins
            .iter()
            .map(|plugin| {
                Map::new()
                    .with("name", plugin.name.as_str())
                    .with("typed_config", plugin.typed.clone())
            })
            .collect(),
        Some(folder) => {
            for plugin in &plugins {
                write(
                    &folder.join(format!("{}.yaml", plugin.name)),
                    &filter::discovery(plugin),
                )?;
            }
            plugins
                .iter()
                .map(|plugin| filter::discovered(plugin, folder))
                .collect()
        }
    };
    let text = document(HEADING, bootstrap(options, &built, &upstreams, filters)?);
    put(options.output.as_ref(), &text)
}

/// The backends; every governed path must have one.
fn upstreams(options: &Options, built: &Built) -> Result<Vec<Upstream>, Fault> {
    let mut all = options
        .upstreams
        .iter()
        .map(|text| Upstream::parse(text))
        .collect::<Result<Vec<_>, _>>()?;
    for traffic in built.traffic()? {
        let served = all.iter().any(|upstream| {
            covers(&traffic.path_prefix, &upstream.prefix) || covers(&upstream.prefix, &traffic.path_prefix)
        });
        if !served {
            return Err(Fault::Argument(format!(
                "the policy governs `{}`, and no `--upstream` says where its traffic goes; add `--upstream {}=http://HOST:PORT/PATH`",
                traffic.path_prefix, traffic.path_prefix
            )));
        }
    }
    let mut names = std::collections::BTreeSet::new();
    for upstream in &all {
        if !names.insert(upstream.cluster()) {
            return Err(Fault::Argument(format!(
                "two `--upstream` would make one cluster `{}`; give them path prefixes that differ in letters or digits",
                upstream.cluster()
            )));
        }
    }
    // Envoy takes the first route that matches: the longest prefix must stand first.
    all.sort_by(|a, b| b.prefix.len().cmp(&a.prefix.len()).then(a.prefix.cmp(&b.prefix)));
    Ok(all)
}

/// Whether a route for `outer` also gets requests for `inner`.
fn covers(outer: &str, inner: &str) -> bool {
    inner
        .strip_prefix(outer.trim_end_matches('/'))
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

fn bootstrap(
    options: &Options,
    built: &Built,
    upstreams: &[Upstream],
    filters: Vec<Map>,
) -> Result<Map, Fault> {
    let mut clusters: Vec<Map> = upstreams
        .iter()
        .map(|to| {
            let tls = to.tls.then(|| upstream::tls(&to.host, &options.ca, None));
            upstream::cluster(&to.cluster(), &to.host, to.port, tls)
        })
        .collect();
    if let Some(name) = built.companion_cluster() {
        clusters.push(companion(options, name)?);
    }
    Ok(Map::new()
        .with("admin", Map::new().with("address", address(options.admin)))
        .with("node", Map::new().with("id", "aplomb").with("cluster", "aplomb"))
        .with(
            "stats_config",
            Map::new().with(
                "stats_tags",
                vec![
                    Map::new()
                        .with("tag_name", "aplomb_event")
                        .with("regex", r"^wasmcustom\.aplomb(\.([a-z_]+))$"),
                ],
            ),
        )
        .because("Every counter of the filter is one series, `wasmcustom.aplomb`, by `aplomb_event`: allowed, denied, ...")
        .with(
            "static_resources",
            Map::new()
                .with("listeners", vec![listener(options, built, upstreams, filters)])
                .with("clusters", clusters),
        ))
}

fn companion(options: &Options, name: &str) -> Result<Map, Fault> {
    let url = Upstream::parse(&format!("/={}", options.companion)).map_err(|_| {
        Fault::Argument(format!(
            "`--companion {}` is no URL; write `http://127.0.0.1:9470` or `https://companion.internal:9470`",
            options.companion
        ))
    })?;
    let loopback = url
        .host
        .parse::<std::net::IpAddr>()
        .is_ok_and(|ip| ip.is_loopback());
    if !url.tls && !loopback {
        return Err(Fault::Argument(format!(
            "`--companion {}` is plain HTTP to another host: tokens and labels would cross the network in the clear; use `https://`",
            options.companion
        )));
    }
    let own = match options.companion_identity.as_slice() {
        [certificate, key] => Some((certificate.as_str(), key.as_str())),
        _ => None,
    };
    let tls = url.tls.then(|| upstream::tls(&url.host, &options.ca, own));
    Ok(upstream::cluster(name, &url.host, url.port, tls))
}

fn address(at: std::net::SocketAddr) -> Map {
    Map::new().with(
        "socket_address",
        Map::new()
            .with("address", at.ip().to_string())
            .with("port_value", u64::from(at.port())),
    )
}

fn listener(options: &Options, built: &Built, upstreams: &[Upstream], mut filters: Vec<Map>) -> Map {
    filters.push(Map::new().with("name", "envoy.filters.http.router").with(
        "typed_config",
        Map::new().with(
            "@type",
            "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router",
        ),
    ));
    let connections = Map::new()
        .with(
            "@type",
            "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        )
        .with("stat_prefix", "agents")
        .with("stream_idle_timeout", "0s")
        .because("Server-sent events may be silent for long.")
        .with("normalize_path", true)
        .because("The filter refuses paths that can be read in two ways; what it lets through is routed as it was judged.")
        .with("merge_slashes", true)
        .with("path_with_escaped_slashes_action", "REJECT_REQUEST")
        .with("access_log", vec![access_log()])
        .with(
            "route_config",
            Map::new().with("name", "agents").with(
                "virtual_hosts",
                vec![
                    Map::new()
                        .with("name", "agents")
                        .with("domains", vec!["*"])
                        .with("routes", upstreams.iter().map(route).collect::<Vec<_>>()),
                ],
            ),
        )
        .with("http_filters", filters);
    Map::new()
        .with("name", "agents")
        .with("address", address(options.listen))
        .with("per_connection_buffer_limit_bytes", built.buffer_bytes())
        .because(
            "Bodies are held until the verdict; this must stay above `limits.max_body_bytes` of the filter.",
        )
        .with(
            "filter_chains",
            vec![Map::new().with(
                "filters",
                vec![Map::new().with("name", "http").with("typed_config", connections)],
            )],
        )
}

fn route(to: &Upstream) -> Map {
    let exact = Map::new().with("path_separated_prefix", to.prefix.trim_end_matches('/'));
    let matched = if to.prefix == "/" {
        Map::new().with("prefix", "/")
    } else {
        exact
    };
    let mut action = Map::new().with("cluster", to.cluster());
    if to.path != to.prefix && to.prefix != "/" {
        action = action.with("prefix_rewrite", to.path.as_str());
    }
    Map::new().with("match", matched).with(
        "route",
        action
            .with("host_rewrite_literal", to.authority())
            .because("Many MCP servers refuse a foreign Host.")
            .with("timeout", "0s")
            .because("A tool may take its time."),
    )
}

fn access_log() -> Map {
    let format = Map::new()
        .with("method", "%REQ(:METHOD)%")
        .with("path", "%REQ(X-ENVOY-ORIGINAL-PATH?:PATH)%")
        .with("status", "%RESPONSE_CODE%")
        .with("details", "%RESPONSE_CODE_DETAILS%")
        .with("upstream", "%UPSTREAM_HOST%")
        .with("ms", "%DURATION%")
        .with("decision_id", "%FILTER_STATE(wasm.aplomb.decision_id:PLAIN)%")
        .because("The decision behind each line; the same id finds the audit record.")
        .with("code", "%FILTER_STATE(wasm.aplomb.code:PLAIN)%");
    Map::new().with("name", "envoy.access_loggers.stdout").with(
        "typed_config",
        Map::new()
            .with(
                "@type",
                "type.googleapis.com/envoy.extensions.access_loggers.stream.v3.StdoutAccessLog",
            )
            .with("log_format", Map::new().with("json_format", format)),
    )
}
