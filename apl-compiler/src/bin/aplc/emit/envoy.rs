//! An Envoy bootstrap.

mod companion;
pub(super) mod filter;
mod restrict;

use std::path::PathBuf;

use clap::Args;

use super::built::Built;
use super::upstream::{self, Endpoint, Upstream};
use super::yaml::{Map, document};
use super::{Fault, put, write};
use restrict::Questions;

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
    /// may be added, and pass the filter untouched. Labels that `restrict` chooses by follow the URL, and the same path
    /// again is another endpoint: `'/llm=http://10.0.0.1:8000/v1 model=vendor/a region=eu cost_tier=standard gpu=h100'`.
    #[arg(
        long = "upstream",
        value_name = "PATH_PREFIX=URL [LABEL=VALUE ...]",
        required = true
    )]
    upstreams: Vec<String>,
    /// The cost tiers of labels and of `restrict`, the cheapest first.
    #[arg(long, value_name = "TIER,TIER", value_delimiter = ',')]
    cost_tiers: Vec<String>,
    /// Where the proxy listens.
    #[arg(long, value_name = "IP:PORT", default_value = "127.0.0.1:10000")]
    listen: std::net::SocketAddr,
    /// Envoy's own administration; loopback, because whoever reaches it can end the proxy.
    #[arg(long, value_name = "IP:PORT", default_value = "127.0.0.1:9901")]
    admin: std::net::SocketAddr,
    /// Where the companion listens: `http://127.0.0.1:9470`, or with TLS `https://companion.internal:9470`. Given several
    /// times, they stand in for each other; they must share one store.
    #[arg(
        long = "companion",
        value_name = "URL",
        default_value = "http://127.0.0.1:9470"
    )]
    companions: Vec<String>,
    /// PEM of the authorities that TLS connections trust.
    #[arg(
        long,
        value_name = "FILE",
        default_value = "/etc/ssl/certs/ca-certificates.crt"
    )]
    ca: String,
    /// The proxy's own certificate and key (PEM) for the companion.
    #[arg(long, value_name = "CERT,KEY")]
    companion_identity: Option<String>,
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

/// The backends of one path prefix.
struct Backend {
    endpoints: Vec<Upstream>,
    /// What `restrict` asks about them, if they have labels.
    questions: Option<Questions>,
}

impl Backend {
    fn first(&self) -> Option<&Upstream> {
        self.endpoints.first()
    }

    /// The endpoints with their metadata.
    fn places(&self) -> Vec<Endpoint<'_>> {
        let several = self.endpoints.len() > 1;
        let place = |to| Endpoint {
            hostname: several.then(|| Upstream::authority(to)),
            metadata: self.questions.as_ref().map(|questions| questions.metadata(to)),
            ..Endpoint::alone(&to.host, to.port)
        };
        self.endpoints.iter().map(place).collect()
    }

    fn clusters(&self, ca: &str) -> Vec<Map> {
        let Some(to) = self.first() else {
            return Vec::new();
        };
        let cluster = |name: &str| {
            let tls = to.tls.then(|| match self.endpoints.as_slice() {
                [only] => upstream::tls(&only.host, ca, None),
                _ => upstream::tls_of_several(ca),
            });
            upstream::cluster(name, &self.places(), tls)
        };
        match &self.questions {
            None => vec![cluster(&to.cluster())],
            Some(questions) => vec![
                cluster(&to.cluster()).with("lb_subset_config", questions.subsets(false)),
                cluster(&fallback(to))
                    .with("lb_subset_config", questions.subsets(true))
                    .because("`on_empty: fallback`: where no endpoint fits, any that no deny list names."),
            ],
        }
    }

    fn routes(&self) -> Vec<Map> {
        let Some(to) = self.first() else {
            return Vec::new();
        };
        let several = self.endpoints.len() > 1;
        match &self.questions {
            None => vec![route(to, &to.cluster(), several, None)],
            Some(questions) => {
                let falls_back = Map::new()
                    .with("name", "x-policy-restrict-on-empty")
                    .with("string_match", Map::new().with("exact", "fallback"));
                let labelled = |cluster: &str, header| {
                    let rules = Map::new().with(restrict::FILTER, questions.rules());
                    route(to, cluster, several, header).with("typed_per_filter_config", rules)
                };
                vec![
                    labelled(&fallback(to), Some(falls_back)),
                    labelled(&to.cluster(), None),
                ]
            }
        }
    }
}

fn fallback(to: &Upstream) -> String {
    format!("{}-fallback", to.cluster())
}

/// The backends; every governed path must have one.
fn upstreams(options: &Options, built: &Built) -> Result<Vec<Backend>, Fault> {
    let all = options
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
    let mut backends: Vec<Backend> = Vec::new();
    let mut names = std::collections::BTreeSet::new();
    for upstream in all {
        let same = |backend: &&mut Backend| {
            backend
                .first()
                .is_some_and(|first| first.prefix == upstream.prefix)
        };
        if let Some(backend) = backends.iter_mut().find(same) {
            if backend
                .first()
                .is_some_and(|first| first.tls != upstream.tls || first.path != upstream.path)
            {
                return Err(Fault::Argument(format!(
                    "the endpoints of `{}` differ in scheme or path; one route leads to all of them, so both must be the same",
                    upstream.prefix
                )));
            }
            backend.endpoints.push(upstream);
            continue;
        }
        if !names.insert(upstream.cluster()) {
            return Err(Fault::Argument(format!(
                "two `--upstream` would make one cluster `{}`; give them path prefixes that differ in letters or digits",
                upstream.cluster()
            )));
        }
        backends.push(Backend {
            endpoints: vec![upstream],
            questions: None,
        });
    }
    for backend in &mut backends {
        let endpoints: Vec<&Upstream> = backend.endpoints.iter().collect();
        backend.questions = Questions::of(&endpoints, &options.cost_tiers)?;
        if let Some(first) = backend.first().filter(|_| backend.questions.is_some())
            && !names.insert(fallback(first))
        {
            return Err(Fault::Argument(format!(
                "the cluster `{}` exists for `on_empty: fallback` of `{}`; give the other path another prefix",
                fallback(first),
                first.prefix
            )));
        }
    }
    // Envoy takes the first route that matches: the longest prefix must stand first.
    let prefix = |backend: &Backend| {
        backend
            .first()
            .map_or("", |first| first.prefix.as_str())
            .to_owned()
    };
    backends.sort_by_key(|backend| (std::cmp::Reverse(prefix(backend).len()), prefix(backend)));
    Ok(backends)
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
    backends: &[Backend],
    filters: Vec<Map>,
) -> Result<Map, Fault> {
    let labelled = backends.iter().any(|backend| backend.questions.is_some());
    let mut clusters: Vec<Map> = backends
        .iter()
        .flat_map(|backend| backend.clusters(&options.ca))
        .collect();
    if let Some(name) = built.companion_cluster() {
        clusters.push(companion::cluster(options, built, name)?);
    }
    let runtime = labelled.then(|| {
        let layer = Map::new()
            .with("name", "static")
            .with(
                "static_layer",
                Map::new().with("re2.max_program_size.error_level", 32_768_u64),
            )
            .because("The expressions that find subsets are longer than Envoy's default of 100; Istio's is this too.");
        Map::new().with("layers", vec![layer])
    });
    Ok(Map::new()
        .with("admin", Map::new().with("address", address(options.admin)))
        .with("node", Map::new().with("id", "aplomb").with("cluster", "aplomb"))
        .with_some("layered_runtime", runtime)
        .with(
            "stats_config",
            Map::new().with(
                "stats_tags",
                vec![
                    Map::new()
                        .with("tag_name", "aplomb_event")
                        .with(
                            "regex",
                            r"^wasmcustom\.aplomb(\.(allowed|denied|denied_after|pending|refused|unidentified|unlisted))$",
                        ),
                ],
            ),
        )
        .because("What became of requests is one series, `wasmcustom.aplomb`, by `aplomb_event`. The filter's other metrics keep their names.")
        .with(
            "static_resources",
            Map::new()
                .with("listeners", vec![listener(options, built, backends, filters)])
                .with("clusters", clusters),
        ))
}

fn address(at: std::net::SocketAddr) -> Map {
    Map::new().with(
        "socket_address",
        Map::new()
            .with("address", at.ip().to_string())
            .with("port_value", u64::from(at.port())),
    )
}

fn listener(options: &Options, built: &Built, backends: &[Backend], mut filters: Vec<Map>) -> Map {
    let labelled = backends.iter().any(|backend| backend.questions.is_some());
    if labelled {
        filters.push(restrict::filter());
    }
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
        .with_some("local_reply_config", labelled.then(restrict::local_reply))
        .with(
            "route_config",
            Map::new().with("name", "agents").with(
                "virtual_hosts",
                vec![
                    Map::new()
                        .with("name", "agents")
                        .with("domains", vec!["*"])
                        .with("routes", backends.iter().flat_map(Backend::routes).collect::<Vec<_>>()),
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

fn route(to: &Upstream, cluster: &str, several: bool, header: Option<Map>) -> Map {
    let matched = if to.prefix == "/" {
        Map::new().with("prefix", "/")
    } else {
        Map::new().with("path_separated_prefix", to.prefix.trim_end_matches('/'))
    };
    let matched = matched.with_some("headers", header.map(|header| vec![header]));
    let mut action = Map::new().with("cluster", cluster);
    if to.path != to.prefix && to.prefix != "/" {
        action = action.with("prefix_rewrite", to.path.as_str());
    }
    action = if several {
        action.with("auto_host_rewrite", true)
    } else {
        action.with("host_rewrite_literal", to.authority())
    };
    Map::new().with("match", matched).with(
        "route",
        action
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
