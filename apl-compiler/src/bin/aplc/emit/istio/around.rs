//! What closes the ways around the proxy and the companion.

use super::super::built::Built;
use super::super::yaml::{Map, Yaml};
use super::{Fault, Options, PORT, file, object};

const HEADING: &str = "Written by `aplc emit istio`. What closes the ways around: only the governed proxy may call the companion and the backends.";

pub(super) fn objects(options: &Options, built: &Built) -> Result<String, Fault> {
    let mut objects = Vec::new();
    if built.companion_cluster().is_some() {
        objects.push(allow(
            "aplomb-companion",
            &options.companion_namespace,
            "aplomb-companion",
            options,
            Some(PORT),
        ));
        objects.push(destination(options, built));
        for (host, port) in built.hosts() {
            objects.push(entry(options, &host, port));
        }
    }
    for protected in &options.protected {
        let (namespace, app) = protected
            .split_once('/')
            .filter(|(namespace, app)| !namespace.is_empty() && !app.is_empty())
            .ok_or_else(|| Fault::Argument(format!("`--protect {protected}`: write `NAMESPACE/APP`")))?;
        objects.push(allow(
            &format!("aplomb-only-way-{app}"),
            namespace,
            app,
            options,
            None,
        ));
    }
    Ok(file(HEADING, objects))
}

/// An ALLOW policy denies everybody else.
fn allow(name: &str, namespace: &str, app: &str, options: &Options, port: Option<u16>) -> Map {
    let principal = format!(
        "cluster.local/ns/{}/sa/{}",
        options.namespace, options.service_account
    );
    let mut rule = Map::new().with(
        "from",
        vec![Map::new().with("source", Map::new().with("principals", vec![principal.as_str()]))],
    );
    if let Some(port) = port {
        rule = rule.with(
            "to",
            vec![Map::new().with("operation", Map::new().with("ports", vec![port.to_string()]))],
        );
    }
    object("security.istio.io/v1", "AuthorizationPolicy", name, namespace).with(
        "spec",
        Map::new()
            .with(
                "selector",
                Map::new().with("matchLabels", Map::new().with("app", app)),
            )
            .with("action", "ALLOW")
            .with("rules", vec![rule]),
    )
}

/// A replica that refuses connections gets nothing for a while. What one answers says nothing about it.
fn outliers() -> Map {
    Map::new()
        .with("splitExternalLocalOriginErrors", true)
        .with("consecutiveLocalOriginFailures", 1_u64)
        .because("One that is gone is noticed by its first call; Kubernetes takes longer.")
        .with("consecutive5xxErrors", 0_u64)
        .with("interval", "1s")
        .with("baseEjectionTime", "10s")
        .with("maxEjectionPercent", 50_u64)
}

fn destination(options: &Options, built: &Built) -> Map {
    let outliers = (!built.embedded_store()).then(outliers);
    object(
        "networking.istio.io/v1",
        "DestinationRule",
        "aplomb-companion",
        &options.companion_namespace,
    )
    .with(
        "spec",
        Map::new().with("host", options.companion_host()).with(
            "trafficPolicy",
            Map::new()
                .with("tls", Map::new().with("mode", "ISTIO_MUTUAL"))
                .with(
                    "connectionPool",
                    Map::new()
                        .with("tcp", Map::new().with("connectTimeout", "1s"))
                        .with(
                            "http",
                            Map::new()
                                .with("http1MaxPendingRequests", 4096_u64)
                                .with("http2MaxRequests", 4096_u64),
                        ),
                )
                .with_some("outlierDetection", outliers),
        ),
    )
}

/// A host outside the mesh that the companion calls, for meshes whose outbound policy is REGISTRY_ONLY.
fn entry(options: &Options, host: &str, port: u16) -> Map {
    let name: String = host
        .chars()
        .map(|ch| {
            if ch.is_ascii_alphanumeric() {
                ch.to_ascii_lowercase()
            } else {
                '-'
            }
        })
        .collect();
    object(
        "networking.istio.io/v1",
        "ServiceEntry",
        &format!("aplomb-{name}-{port}"),
        &options.companion_namespace,
    )
    .with(
        "spec",
        Map::new()
            .with("hosts", vec![host])
            .with(
                "ports",
                vec![
                    Map::new()
                        .with("number", u64::from(port))
                        .with("name", "tls")
                        .with("protocol", "TLS"),
                ],
            )
            .with("resolution", "DNS")
            .with("location", "MESH_EXTERNAL")
            .with("exportTo", Yaml::from(vec!["."])),
    )
}
