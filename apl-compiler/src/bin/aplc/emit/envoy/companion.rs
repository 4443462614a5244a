//! The companion's cluster, for one companion or for several that stand in for each other.

use super::super::built::Built;
use super::super::upstream::{self, Endpoint, Upstream};
use super::super::yaml::Map;
use super::{Fault, Options};

const PROTOCOL_OPTIONS: &str = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions";

pub(super) fn cluster(options: &Options, built: &Built, name: &str) -> Result<Map, Fault> {
    let all = options
        .companions
        .iter()
        .map(|url| companion(url, built))
        .collect::<Result<Vec<_>, _>>()?;
    for (at, one) in all.iter().enumerate() {
        let earlier = all.get(..at).unwrap_or_default();
        if earlier
            .iter()
            .any(|other| (&other.host, other.port) == (&one.host, one.port))
        {
            return Err(Fault::Argument(format!(
                "`--companion` names {}:{} twice; name each companion once",
                one.host, one.port
            )));
        }
        if earlier.iter().any(|other| other.tls != one.tls) {
            return Err(Fault::Argument(
                "some `--companion` are `http://` and some `https://`; the proxy calls whichever answers, so give all of them TLS or none"
                    .to_owned(),
            ));
        }
    }
    let own = match &options.companion_identity {
        None => None,
        Some(files) => Some(files.split_once(',').ok_or_else(|| {
            Fault::Argument(format!(
                "`--companion-identity {files}` names one file; write the certificate's and the key's, `proxy.pem,proxy-key.pem`"
            ))
        })?),
    };
    let places: Vec<Endpoint<'_>> = all
        .iter()
        .map(|one| Endpoint::alone(&one.host, one.port))
        .collect();
    if let [only] = all.as_slice() {
        let tls = only.tls.then(|| upstream::tls(&only.host, &options.ca, own));
        // No health check: there is nobody to turn to, and its rhythm would delay the first call after a restart.
        return Ok(upstream::cluster(name, &places, tls));
    }
    if built.embedded_store() {
        return Err(Fault::Argument(format!(
            "{} companions, and the policy keeps labels on a companion's own disk, where the others do not see them; give it `session_store: {{kind: valkey, endpoint: ...}}`",
            all.len()
        )));
    }
    let hosts: Vec<&str> = all.iter().map(|one| one.host.as_str()).collect();
    let tls = all
        .iter()
        .any(|one| one.tls)
        .then(|| upstream::tls_of_equals(&hosts, &options.ca, own));
    Ok(upstream::cluster(name, &places, tls).append(together(built)))
}

fn companion(text: &str, built: &Built) -> Result<Upstream, Fault> {
    let url = Upstream::parse(&format!("/={text}")).map_err(|_| {
        Fault::Argument(format!(
            "`--companion {text}` is no URL; write `http://127.0.0.1:9470` or `https://companion.internal:9470`"
        ))
    })?;
    let loopback = url
        .host
        .parse::<std::net::IpAddr>()
        .is_ok_and(|ip| ip.is_loopback());
    if !url.tls && !loopback {
        return Err(Fault::Argument(format!(
            "`--companion {text}` is plain HTTP to another host: tokens and labels would cross the network in the clear; use `https://`"
        )));
    }
    if url.path.trim_end_matches('/') != built.companion_path() {
        return Err(Fault::Argument(format!(
            "`--companion {text}` has the path `{}`, and the filter was configured for `{}`; a path is said with `aplc build --companion-path`, for all companions",
            url.path.trim_end_matches('/'),
            built.companion_path()
        )));
    }
    Ok(url)
}

/// What makes several of them one: who is not ready gets nothing, who is gone is noticed by the first call, which another answers.
fn together(built: &Built) -> Map {
    let probe = Map::new()
        .with_some("host", built.companion_authority())
        .with("path", format!("{}/readyz", built.companion_path()));
    let check = Map::new()
        .with("timeout", "5s")
        .with("interval", "1s")
        .with("no_traffic_interval", "1s")
        .with("unhealthy_threshold", 2_u64)
        .because("Of checks that get no answer. An answer other than 200 counts at once.")
        .with("healthy_threshold", 1_u64)
        .with("http_health_check", probe);
    let outliers = Map::new()
        .with("split_external_local_origin_errors", true)
        .with("consecutive_local_origin_failure", 1_u64)
        .because("A connection that fails says at once what the next check would say. What a companion answers says nothing about it.")
        .with("enforcing_consecutive_local_origin_failure", 100_u64)
        .with("enforcing_local_origin_success_rate", 0_u64)
        .with("enforcing_consecutive_5xx", 0_u64)
        .with("enforcing_consecutive_gateway_failure", 0_u64)
        .with("enforcing_success_rate", 0_u64)
        .with("interval", "1s")
        .with("base_ejection_time", "10s")
        .because("Or until a health check finds it ready again.")
        .with("max_ejection_time", "30s")
        .with("max_ejection_percent", 50_u64);
    let elsewhere = Map::new()
        .with("name", "envoy.retry_host_predicates.previous_hosts")
        .with(
            "typed_config",
            Map::new().with(
                "@type",
                "type.googleapis.com/envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate",
            ),
        );
    let retry = Map::new()
        .with("retry_on", "connect-failure,refused-stream,reset-before-request")
        .because("Only what no companion has begun: a call that was sent may have been counted.")
        .with("num_retries", 2_u64)
        .with(
            "retry_back_off",
            Map::new()
                .with("base_interval", "0.005s")
                .with("max_interval", "0.02s"),
        )
        .with("retry_host_predicate", vec![elsewhere])
        .with("host_selection_retry_max_attempts", 3_u64);
    let protocol = Map::new()
        .with("@type", format!("type.googleapis.com/{PROTOCOL_OPTIONS}"))
        .with(
            "explicit_http_config",
            Map::new().with("http_protocol_options", Map::new()),
        )
        .with("retry_policy", retry);
    Map::new()
        .with("health_checks", vec![check])
        .because("Companions that share one store. Who leaves (`--drain`) or cannot work answers 503 at /readyz, which needs no token.")
        .with(
            "common_lb_config",
            Map::new().with("healthy_panic_threshold", Map::new().with("value", 1_u64)),
        )
        .because("Where none is ready, each is asked all the same and says itself what it cannot do: that denies by its cause.")
        .with("outlier_detection", outliers)
        .with(
            "typed_extension_protocol_options",
            Map::new().with(PROTOCOL_OPTIONS, protocol),
        )
}
