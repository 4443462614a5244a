//! What `/metrics` shows. Every label has a small fixed set of values; nothing that a client chooses becomes one.

use std::sync::atomic::AtomicU64;
use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::{Family, MetricConstructor};
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

/// The content type of [`Metrics::text`].
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Counters and histograms of this process.
pub struct Metrics {
    registry: Registry,
    requests: Family<RequestLabels, Counter>,
    request_time: Family<PathLabel, Histogram, Buckets>,
    effects: Family<EffectLabels, Counter>,
    effect_time: Family<KindLabel, Histogram, Buckets>,
    denials: Family<CodeLabel, Counter>,
    jwks_fetches: Family<OutcomeLabel, Counter>,
    token_cache: Family<OutcomeLabel, Counter>,
    audit_records: Counter<u64, AtomicU64>,
    audit_repeats: Counter<u64, AtomicU64>,
    otlp_items: Family<SignalLabels, Counter>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    path: &'static str,
    status: u32,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct PathLabel {
    path: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct EffectLabels {
    kind: &'static str,
    result: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct KindLabel {
    kind: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CodeLabel {
    code: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OutcomeLabel {
    outcome: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct SignalLabels {
    signal: &'static str,
    outcome: &'static str,
}

#[derive(Clone)]
struct Buckets;

impl MetricConstructor<Histogram> for Buckets {
    fn new_metric(&self) -> Histogram {
        Histogram::new([
            0.000_01, 0.000_03, 0.000_1, 0.000_3, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0,
        ])
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    /// All at zero.
    pub fn new() -> Self {
        let mut registry = Registry::with_prefix("aplomb_companion");
        let requests = Family::default();
        registry.register("requests", "HTTP requests by path and status", requests.clone());
        let request_time = Family::new_with_constructor(Buckets);
        registry.register_with_unit(
            "request",
            "Time from a request's head to its answer, by path",
            Unit::Seconds,
            request_time.clone(),
        );
        let effects = Family::default();
        registry.register("effects", "Effects by kind and result", effects.clone());
        let effect_time = Family::new_with_constructor(Buckets);
        registry.register_with_unit(
            "effect",
            "Time to perform one effect",
            Unit::Seconds,
            effect_time.clone(),
        );
        let denials = Family::default();
        registry.register("refusals", "Denied and failed effects by code", denials.clone());
        let jwks_fetches = Family::default();
        registry.register(
            "jwks_fetches",
            "Fetches of key sets by outcome",
            jwks_fetches.clone(),
        );
        let token_cache = Family::default();
        registry.register(
            "token_cache",
            "Tokens that were held, waited for and minted",
            token_cache.clone(),
        );
        let audit_records = Counter::default();
        registry.register(
            "audit_records",
            "Audit records made durable",
            audit_records.clone(),
        );
        let audit_repeats = Counter::default();
        registry.register(
            "audit_repeats",
            "Audit records that were there already",
            audit_repeats.clone(),
        );
        let otlp_items = Family::default();
        registry.register(
            "otlp_items",
            "Log records and spans that the OpenTelemetry collector took, and that were lost",
            otlp_items.clone(),
        );
        Self {
            registry,
            requests,
            request_time,
            effects,
            effect_time,
            denials,
            jwks_fetches,
            token_cache,
            audit_records,
            audit_repeats,
            otlp_items,
        }
    }

    /// Everything in the OpenMetrics text format.
    pub fn text(&self) -> String {
        let mut text = String::new();
        // Writing to a `String` cannot fail.
        let _ = encode(&mut text, &self.registry);
        text
    }

    pub(crate) fn request(&self, path: &'static str, status: u16, took: Duration) {
        let status = u32::from(status);
        self.request_time
            .get_or_create(&PathLabel { path })
            .observe(took.as_secs_f64());
        self.requests.get_or_create(&RequestLabels { path, status }).inc();
    }

    pub(crate) fn effect(&self, kind: &'static str, result: &'static str, took: Duration) {
        self.effects.get_or_create(&EffectLabels { kind, result }).inc();
        self.effect_time
            .get_or_create(&KindLabel { kind })
            .observe(took.as_secs_f64());
    }

    pub(crate) fn refusal(&self, code: &'static str) {
        self.denials.get_or_create(&CodeLabel { code }).inc();
    }

    pub(crate) fn jwks_fetch(&self, outcome: &'static str) {
        self.jwks_fetches.get_or_create(&OutcomeLabel { outcome }).inc();
    }

    pub(crate) fn token_cache(&self, outcome: &'static str) {
        self.token_cache.get_or_create(&OutcomeLabel { outcome }).inc();
    }

    pub(crate) fn audit_written(&self, written: usize, asked: usize) {
        self.audit_records.inc_by(written as u64);
        self.audit_repeats.inc_by(asked.saturating_sub(written) as u64);
    }

    pub(crate) fn otlp(&self, signal: &'static str, outcome: &'static str, items: u64) {
        if items > 0 {
            self.otlp_items
                .get_or_create(&SignalLabels { signal, outcome })
                .inc_by(items);
        }
    }
}
