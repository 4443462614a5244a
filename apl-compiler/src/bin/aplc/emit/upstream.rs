//! Backends as the command line names them, and their Envoy clusters.

use std::collections::BTreeMap;

use super::Fault;
use super::built::host_port;
use super::yaml::{Map, Yaml};

/// `PATH_PREFIX=URL LABEL=VALUE ...`: where the traffic of one entry of `protocols` goes, or one of several places.
#[derive(Debug, Clone)]
pub(super) struct Upstream {
    pub prefix: String,
    pub tls: bool,
    pub host: String,
    pub port: u16,
    /// The path that takes the prefix's place.
    pub path: String,
    /// What `restrict` chooses by: `model`, `region`, `site`, `cost_tier` and any others.
    pub labels: BTreeMap<String, String>,
}

impl Upstream {
    pub(super) fn parse(text: &str) -> Result<Self, Fault> {
        let bad = |what: &str| {
            Fault::Argument(format!(
                "`--upstream {text}`: {what}; write `/hr/mcp=http://127.0.0.1:9101/mcp`, `/crm=https://mcp.example.com/mcp` or with labels `'/llm=http://10.0.0.1:8000/v1 model=vendor/a region=eu'`"
            ))
        };
        let mut words = text.split_ascii_whitespace();
        let (prefix, url) = words
            .next()
            .and_then(|word| word.split_once('='))
            .ok_or_else(|| bad("there is no `=`"))?;
        let mut labels = BTreeMap::new();
        for word in words {
            let (name, value) = word
                .split_once('=')
                .filter(|(name, value)| !name.is_empty() && !value.is_empty())
                .ok_or_else(|| bad("what follows the URL must be labels, `NAME=VALUE`"))?;
            if labels.insert(name.to_owned(), value.to_owned()).is_some() {
                return Err(bad("a label stands there twice"));
            }
        }
        let (tls, rest) = if let Some(rest) = url.strip_prefix("https://") {
            (true, rest)
        } else if let Some(rest) = url.strip_prefix("http://") {
            (false, rest)
        } else {
            return Err(bad("the URL must begin with `http://` or `https://`"));
        };
        if !prefix.starts_with('/') {
            return Err(bad("the path prefix must begin with `/`"));
        }
        let (host, port) =
            host_port(rest, if tls { 443 } else { 80 }).ok_or_else(|| bad("the URL names no host"))?;
        let path = rest.find('/').map_or("", |at| &rest[at..]);
        Ok(Self {
            prefix: prefix.to_owned(),
            tls,
            host,
            port,
            path: if path.is_empty() { prefix } else { path }.to_owned(),
            labels,
        })
    }

    /// The cluster's name: from the prefix, so that it says what it is for.
    pub(super) fn cluster(&self) -> String {
        let name: String = self
            .prefix
            .chars()
            .map(|ch| if ch.is_ascii_alphanumeric() { ch } else { '-' })
            .collect();
        match name.trim_matches('-') {
            "" => "backend".to_owned(),
            name => name.to_owned(),
        }
    }

    /// What the backend sees as `Host`.
    pub(super) fn authority(&self) -> String {
        match (self.tls, self.port) {
            (true, 443) | (false, 80) => self.host.clone(),
            (_, port) => format!("{}:{port}", self.host),
        }
    }
}

/// A cluster: static if all its addresses are, else looked up in DNS.
pub(super) fn cluster(name: &str, places: &[Endpoint<'_>], tls: Option<Map>) -> Map {
    let is_ip = |place: &Endpoint<'_>| place.host.parse::<std::net::IpAddr>().is_ok();
    let kind = if places.iter().all(is_ip) {
        "STATIC"
    } else {
        "STRICT_DNS"
    };
    let endpoints: Vec<Map> = places.iter().map(Endpoint::map).collect();
    Map::new()
        .with("name", name)
        .with("type", kind)
        .with("connect_timeout", "1s")
        .with(
            "load_assignment",
            Map::new()
                .with("cluster_name", name)
                .with("endpoints", vec![Map::new().with("lb_endpoints", endpoints)]),
        )
        .with_some("transport_socket", tls)
}

/// One address of a cluster.
pub(super) struct Endpoint<'a> {
    pub host: &'a str,
    pub port: u16,
    /// What the backend sees as `Host`, where a cluster has several.
    pub hostname: Option<String>,
    pub metadata: Option<Map>,
}

impl<'a> Endpoint<'a> {
    /// The only one of its cluster.
    pub(super) const fn alone(host: &'a str, port: u16) -> Self {
        Self {
            host,
            port,
            hostname: None,
            metadata: None,
        }
    }

    fn map(&self) -> Map {
        let address = Map::new().with(
            "socket_address",
            Map::new()
                .with("address", self.host)
                .with("port_value", u64::from(self.port)),
        );
        let endpoint = Map::new()
            .with("address", address)
            .with_some("hostname", self.hostname.as_deref());
        Map::new()
            .with("endpoint", endpoint)
            .with_some("metadata", self.metadata.clone())
    }
}

/// TLS to several servers of one cluster, each by its own name.
pub(super) fn tls_of_several(ca: &str) -> Map {
    let trusted = Map::new().with("trusted_ca", Map::new().with("filename", ca));
    Map::new().with("name", "envoy.transport_sockets.tls").with(
        "typed_config",
        Map::new()
            .with("@type", UPSTREAM_TLS)
            .with("auto_host_sni", true)
            .with("auto_sni_san_validation", true)
            .with(
                "common_tls_context",
                Map::new().with("validation_context", trusted),
            ),
    )
}

const UPSTREAM_TLS: &str = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext";

/// TLS to a server whose certificate must be for `host`, by an authority of the system, or by `ca`; with a certificate
/// of our own if there is one.
pub(super) fn tls(host: &str, ca: &str, own: Option<(&str, &str)>) -> Map {
    let name = Map::new().with("sni", host);
    with_names(name, &[host], ca, own)
}

/// The same to servers that stand in for each other: a certificate of any of them is good for all.
pub(super) fn tls_of_equals(hosts: &[&str], ca: &str, own: Option<(&str, &str)>) -> Map {
    let name = Map::new().with("auto_host_sni", true);
    with_names(name, hosts, ca, own)
}

fn with_names(name: Map, hosts: &[&str], ca: &str, own: Option<(&str, &str)>) -> Map {
    let file = |path: &str| Map::new().with("filename", path);
    let accepted = |host: &&str| {
        let kind = if host.parse::<std::net::IpAddr>().is_ok() {
            "IP_ADDRESS"
        } else {
            "DNS"
        };
        Map::new()
            .with("san_type", kind)
            .with("matcher", Map::new().with("exact", *host))
    };
    let names: Vec<Map> = hosts.iter().map(accepted).collect();
    let mut common = Map::new();
    if let Some((certificate, key)) = own {
        common = common.with(
            "tls_certificates",
            vec![
                Map::new()
                    .with("certificate_chain", file(certificate))
                    .with("private_key", file(key)),
            ],
        );
    }
    common = common.with(
        "validation_context",
        Map::new()
            .with("trusted_ca", file(ca))
            .with("match_typed_subject_alt_names", names),
    );
    Map::new().with("name", "envoy.transport_sockets.tls").with(
        "typed_config",
        Map::new()
            .with("@type", UPSTREAM_TLS)
            .append(name)
            .with("common_tls_context", Yaml::from(common)),
    )
}
