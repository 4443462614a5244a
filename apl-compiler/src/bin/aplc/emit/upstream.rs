//! Backends as the command line names them, and their Envoy clusters.

use super::Fault;
use super::built::host_port;
use super::yaml::{Map, Yaml};

/// `PATH_PREFIX=URL`: where the traffic of one entry of `protocols` goes.
#[derive(Debug, Clone)]
pub(super) struct Upstream {
    pub prefix: String,
    pub tls: bool,
    pub host: String,
    pub port: u16,
    /// The path that takes the prefix's place.
    pub path: String,
}

impl Upstream {
    pub(super) fn parse(text: &str) -> Result<Self, Fault> {
        let bad = |what: &str| {
            Fault::Argument(format!(
                "`--upstream {text}`: {what}; write `/hr/mcp=http://127.0.0.1:9101/mcp` or `/crm=https://mcp.example.com/mcp`"
            ))
        };
        let (prefix, url) = text.split_once('=').ok_or_else(|| bad("there is no `=`"))?;
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

/// A cluster with one address: static for an IP address, else looked up in DNS.
pub(super) fn cluster(name: &str, host: &str, port: u16, tls: Option<Map>) -> Map {
    let address = Map::new().with(
        "socket_address",
        Map::new()
            .with("address", host)
            .with("port_value", u64::from(port)),
    );
    let kind = if host.parse::<std::net::IpAddr>().is_ok() {
        "STATIC"
    } else {
        "STRICT_DNS"
    };
    Map::new()
        .with("name", name)
        .with("type", kind)
        .with("connect_timeout", "1s")
        .with(
            "load_assignment",
            Map::new().with("cluster_name", name).with(
                "endpoints",
                vec![Map::new().with(
                    "lb_endpoints",
                    vec![Map::new().with("endpoint", Map::new().with("address", address))],
                )],
            ),
        )
        .with_some("transport_socket", tls)
}

/// TLS to a server whose certificate must be for `host`, by an authority of the system, or by `ca`; with a certificate
/// of our own if there is one.
pub(super) fn tls(host: &str, ca: &str, own: Option<(&str, &str)>) -> Map {
    let file = |path: &str| Map::new().with("filename", path);
    let kind = if host.parse::<std::net::IpAddr>().is_ok() {
        "IP_ADDRESS"
    } else {
        "DNS"
    };
    let san = Map::new()
        .with("san_type", kind)
        .with("matcher", Map::new().with("exact", host));
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
            .with("match_typed_subject_alt_names", vec![san]),
    );
    Map::new().with("name", "envoy.transport_sockets.tls").with(
        "typed_config",
        Map::new()
            .with(
                "@type",
                "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext",
            )
            .with("sni", host)
            .with("common_tls_context", Yaml::from(common)),
    )
}
