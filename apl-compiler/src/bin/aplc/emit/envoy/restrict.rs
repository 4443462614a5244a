//! `restrict` for Envoy: labelled endpoints in subsets, chosen by what the filter writes into `x-policy-restrict-all`.
//!
//! A subset is found by equality alone, so every question that a constraint can ask about an endpoint becomes a key of
//! metadata with two values, yes and no: "is its region among those allowed?" once for each region that an endpoint has, and
//! once for those without one. `header_to_metadata`, behind the filter, answers all of them for a request by a regular
//! expression each. An endpoint has one value under the keys of its own labels, the one that admits it, and both under every
//! other key (`list_as_any`). So the configuration depends on the endpoints alone and not on the policy, which may change.
//!
//! `on_empty: fallback` is a second cluster of the same endpoints, whose subsets fall back to the questions of deny lists.

mod patterns;

use std::collections::{BTreeMap, BTreeSet};

use super::super::upstream::Upstream;
use super::super::yaml::Map;
use super::Fault;

/// More memberships in subsets than this for one endpoint, and the tables grow beyond what they are worth.
const MOST_FREE_KEYS: usize = 12;

const HEADER: &str = "x-policy-restrict-all";
const YES: &str = "listed:on";
const NO: &str = "listed:";

/// The questions that the endpoints of one upstream raise.
pub(super) struct Questions {
    all: Vec<Question>,
}

struct Question {
    key: String,
    expression: String,
    /// What a request without any constraint has, and an endpoint that may serve.
    admits: &'static str,
    /// Of a deny list: stays when everything else is given up.
    denies: bool,
    /// The endpoints, by their labels, that it is about.
    label: Label,
}

#[derive(Clone, PartialEq)]
enum Label {
    /// This label with this value, or without it.
    One(&'static str, Option<String>),
    /// These labels of the operator's own.
    Own(BTreeMap<String, String>),
}

const KNOWN: [&str; 4] = ["model", "region", "site", "cost_tier"];

fn own(labels: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    let own = labels.iter().filter(|(name, _)| !KNOWN.contains(&name.as_str()));
    own.map(|(name, value)| (name.clone(), value.clone())).collect()
}

impl Questions {
    /// Those of these endpoints; none if no endpoint has a label.
    pub(super) fn of(endpoints: &[&Upstream], tiers: &[String]) -> Result<Option<Self>, Fault> {
        if endpoints.iter().all(|endpoint| endpoint.labels.is_empty()) {
            return Ok(None);
        }
        let values = |name: &str| -> BTreeSet<Option<String>> {
            endpoints
                .iter()
                .map(|endpoint| endpoint.labels.get(name).cloned())
                .collect()
        };
        let mut all = Vec::new();
        let mut add = |name: &str, label: Label, denies, expression| {
            let shown = match &label {
                Label::One(_, value) => value.clone().unwrap_or_default(),
                Label::Own(labels) => {
                    let pairs = labels.iter().map(|(name, value)| format!("{name}={value}"));
                    pairs.collect::<Vec<_>>().join(",")
                }
            };
            all.push(Question {
                key: format!("{name}:{shown}"),
                expression,
                admits: if denies { NO } else { YES },
                denies,
                label,
            });
        };
        for model in values("model") {
            let fits = model.as_deref().map(patterns::patterns_of);
            let label = Label::One("model", model);
            if let Some(fits) = &fits {
                let banned = patterns::present_and_some("deny-models", fits);
                add("deny-models", label.clone(), true, banned);
            }
            let allowed = patterns::absent_or_some("allow-models", fits.as_deref());
            add("allow-models", label, false, allowed);
        }
        for (label, name) in [("region", "allow-regions"), ("site", "allow-sites")] {
            for value in values(label) {
                let member = value.as_deref().map(|value| patterns::one_of([value].into_iter()));
                let allowed = patterns::absent_or_some(name, member.as_deref());
                add(name, Label::One(label, value), false, allowed);
            }
        }
        for tier in values("cost_tier") {
            let ceilings = tier.as_deref().map(|tier| ceilings(tier, tiers)).transpose()?;
            let member = ceilings.map(|ceilings| patterns::one_of(ceilings.iter().map(String::as_str)));
            let allowed = patterns::absent_or_every("max-cost-tiers", member.as_deref());
            add("max-cost-tiers", Label::One("cost_tier", tier), false, allowed);
        }
        for labels in endpoints
            .iter()
            .map(|endpoint| own(&endpoint.labels))
            .collect::<BTreeSet<_>>()
        {
            let pairs = labels.iter().map(|(name, value)| (name.as_str(), value.as_str()));
            let member = (!labels.is_empty()).then(|| patterns::one_pair_of(pairs));
            let allowed = patterns::absent_or_every("custom", member.as_deref());
            add("custom", Label::Own(labels), false, allowed);
        }
        let questions = Self { all };
        for endpoint in endpoints {
            let free = questions.all.iter().filter(|question| !question.asks(endpoint));
            let free = free.count();
            if free > MOST_FREE_KEYS {
                return Err(Fault::Argument(format!(
                    "the endpoints of `{}` have too many different labels: {free} of their values are not those of `{}`, and each doubles the subsets that it is in; at most {MOST_FREE_KEYS} may be. Give endpoints that are alike the same labels, or other path prefixes",
                    endpoint.prefix, endpoint.host
                )));
            }
        }
        Ok(Some(questions))
    }

    /// An endpoint's metadata.
    pub(super) fn metadata(&self, endpoint: &Upstream) -> Map {
        let mut keys = Map::new();
        for question in &self.all {
            let values = if question.asks(endpoint) {
                vec![question.admits]
            } else {
                vec![YES, NO]
            };
            keys = keys.with(question.key.as_str(), values);
        }
        Map::new().with("filter_metadata", Map::new().with("envoy.lb", keys))
    }

    /// The subsets of the cluster that keeps to the constraint, or of the one that gives all but deny lists up.
    pub(super) fn subsets(&self, fallback: bool) -> Map {
        let keys = |denies_only: bool| -> Vec<&str> {
            let asked = self.all.iter().filter(|question| question.denies || !denies_only);
            asked.map(|question| question.key.as_str()).collect()
        };
        let denying = keys(true);
        let everything = Map::new().with("keys", keys(false));
        let selectors = match (fallback, denying.is_empty()) {
            (false, _) => vec![everything.with("fallback_policy", "NO_FALLBACK")],
            (true, true) => vec![everything.with("fallback_policy", "ANY_ENDPOINT")],
            (true, false) => vec![
                everything
                    .with("fallback_policy", "KEYS_SUBSET")
                    .with("fallback_keys_subset", denying.clone()),
                Map::new()
                    .with("keys", denying)
                    .with("fallback_policy", "NO_FALLBACK"),
            ],
        };
        Map::new()
            .with("fallback_policy", "NO_FALLBACK")
            .with("list_as_any", true)
            .with("subset_selectors", selectors)
    }

    /// What `header_to_metadata` does on the routes of this upstream.
    pub(super) fn rules(&self) -> Map {
        let rules: Vec<Map> = self.all.iter().map(Question::rule).collect();
        Map::new()
            .with("@type", HEADER_TO_METADATA)
            .with("request_rules", rules)
    }
}

const HEADER_TO_METADATA: &str =
    "type.googleapis.com/envoy.extensions.filters.http.header_to_metadata.v3.Config";

/// The name of the filter in the chain and of its configuration on routes.
pub(super) const FILTER: &str = "envoy.filters.http.header_to_metadata";

/// The filter in the chain: does nothing but what a route says.
pub(super) fn filter() -> Map {
    Map::new()
        .with("name", FILTER)
        .with(
            "typed_config",
            Map::new().with("@type", HEADER_TO_METADATA).with(
                "request_rules",
                vec![
                    Map::new().with("header", HEADER).with(
                        "on_header_present",
                        Map::new()
                            .with("metadata_namespace", "aplomb")
                            .with("key", "restrict"),
                    ),
                ],
            ),
        )
        .because("Behind the filter: what `restrict` asks for, as metadata that subsets are found by. The rules stand on the routes.")
}

/// Envoy's answer where no endpoint is left, with our code.
pub(super) fn local_reply() -> Map {
    let nowhere = Map::new().with("response_flag_filter", Map::new().with("flags", vec!["UH"]));
    let restricted = Map::new().with(
        "header_filter",
        Map::new().with(
            "header",
            Map::new().with("name", HEADER).with("present_match", true),
        ),
    );
    let both = Map::new().with(
        "and_filter",
        Map::new().with("filters", vec![nowhere, restricted]),
    );
    let code = Map::new()
        .with("key", "x-policy-violation")
        .with("value", "policy.restrict_empty");
    let mapper = Map::new()
        .with("filter", both)
        .with("headers_to_add", vec![Map::new().with("header", code)])
        .with(
            "body",
            Map::new().with(
                "inline_string",
                "no healthy endpoint is among those that the policy leaves for this request\n",
            ),
        );
    Map::new().with("mappers", vec![mapper])
}

impl Question {
    fn asks(&self, endpoint: &Upstream) -> bool {
        match &self.label {
            Label::One(name, value) => endpoint.labels.get(*name) == value.as_ref(),
            Label::Own(labels) => own(&endpoint.labels) == *labels,
        }
    }

    fn rule(&self) -> Map {
        let to = || {
            Map::new()
                .with("metadata_namespace", "envoy.lb")
                .with("key", self.key.as_str())
        };
        let rewrite = Map::new()
            .with("pattern", Map::new().with("regex", self.expression.as_str()))
            .with("substitution", format!("{NO}\\1"));
        Map::new()
            .with("header", HEADER)
            .with("on_header_present", to().with("regex_value_rewrite", rewrite))
            .with("on_header_missing", to().with("value", self.admits))
    }
}

/// The ceilings that a tier keeps under: itself and every dearer one.
fn ceilings(tier: &str, tiers: &[String]) -> Result<Vec<String>, Fault> {
    let at = tiers.iter().position(|known| known == tier).ok_or_else(|| {
        Fault::Argument(format!(
            "an `--upstream` has the label `cost_tier={tier}`, and `--cost-tiers` does not rank it; write `--cost-tiers economy,standard,premium`, the cheapest first"
        ))
    })?;
    Ok(tiers.iter().skip(at).cloned().collect())
}
