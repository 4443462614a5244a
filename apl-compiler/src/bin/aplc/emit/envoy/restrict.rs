//! `restrict` for Envoy: labelled endpoints in subsets, chosen by what the filter writes into `x-policy-restrict-all`.
//!
//! A subset is found by equality alone, so every question that a constraint can ask about an endpoint becomes a key of
//! metadata with two values, yes and no: "is its region among those allowed?" once for each region that an endpoint has, and
//! once for those without one; or, where there are few kinds of endpoints, "may one of this kind serve?" once for each kind. Deny lists are
//! asked about one by one either way. `header_to_metadata`, behind the filter, answers all of them for a request by a regular
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
    /// These labels and no others.
    All(BTreeMap<String, String>),
}

/// The lists that ask for a label, and which.
const LISTS: [(&str, &str); 4] = [
    ("allow-models", "model"),
    ("allow-regions", "region"),
    ("allow-sites", "site"),
    ("max-cost-tiers", "cost_tier"),
];

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
        let by_label = Self::by_label(endpoints, tiers)?;
        let by_kind = Self::by_kind(endpoints, tiers)?;
        let fewest = if by_kind.free(endpoints) < by_label.free(endpoints) {
            by_kind
        } else {
            by_label
        };
        match fewest.free(endpoints) {
            0..=MOST_FREE_KEYS => Ok(Some(fewest)),
            free => Err(Fault::Argument(format!(
                "the endpoints of `{}` have too many different labels: an endpoint would be in 2^{free} subsets, and at most 2^{MOST_FREE_KEYS} are worth their memory; give endpoints that are alike the same labels, or other path prefixes",
                endpoints.first().map_or("", |first| first.prefix.as_str())
            ))),
        }
    }

    /// How many questions at most are not about an endpoint's own labels.
    fn free(&self, endpoints: &[&Upstream]) -> usize {
        let of = |endpoint: &&Upstream| {
            let free = self.all.iter().filter(|question| !question.asks(endpoint));
            free.count()
        };
        endpoints.iter().map(of).max().unwrap_or(0)
    }

    /// One for each value of each label.
    fn by_label(endpoints: &[&Upstream], tiers: &[String]) -> Result<Self, Fault> {
        let mut all = denials(endpoints);
        for (name, label) in LISTS {
            for value in values(endpoints, label) {
                let list = value
                    .as_deref()
                    .map(|value| fits(label, value, tiers))
                    .transpose()?;
                let shown = value.as_deref().unwrap_or_default();
                all.push(Question {
                    key: format!("{name}:{shown}"),
                    expression: patterns::absent_or(name, list.as_deref()),
                    admits: YES,
                    denies: false,
                    label: Label::One(label, value),
                });
            }
        }
        let sets: BTreeSet<_> = endpoints.iter().map(|endpoint| own(&endpoint.labels)).collect();
        for labels in sets {
            all.push(Question {
                key: format!("custom:{}", shown(&labels)),
                expression: patterns::absent_or("custom", fits_own(&labels).as_deref()),
                admits: YES,
                denies: false,
                label: Label::Own(labels),
            });
        }
        Ok(Self { all })
    }

    /// One for each set of labels.
    fn by_kind(endpoints: &[&Upstream], tiers: &[String]) -> Result<Self, Fault> {
        let mut all = denials(endpoints);
        let kinds: BTreeSet<_> = endpoints.iter().map(|endpoint| endpoint.labels.clone()).collect();
        for labels in kinds {
            let mut lists = BTreeMap::new();
            for (name, label) in LISTS {
                if let Some(value) = labels.get(label) {
                    lists.insert(name, fits(label, value, tiers)?);
                }
            }
            lists.extend(fits_own(&own(&labels)).map(|list| ("custom", list)));
            all.push(Question {
                key: format!("kind:{}", shown(&labels)),
                expression: patterns::each(|name| lists.get(name).cloned()),
                admits: YES,
                denies: false,
                label: Label::All(labels),
            });
        }
        Ok(Self { all })
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

/// "Does a deny list name it?", for each model.
fn denials(endpoints: &[&Upstream]) -> Vec<Question> {
    let models = values(endpoints, "model").into_iter().flatten();
    let question = |model: String| Question {
        key: format!("deny-models:{model}"),
        expression: patterns::present_and_some("deny-models", &patterns::patterns_of(&model)),
        admits: NO,
        denies: true,
        label: Label::One("model", Some(model)),
    };
    models.map(question).collect()
}

/// The values of a label, and `None` if an endpoint is without it.
fn values(endpoints: &[&Upstream], label: &str) -> BTreeSet<Option<String>> {
    let values = endpoints
        .iter()
        .map(|endpoint| endpoint.labels.get(label).cloned());
    values.collect()
}

fn shown(labels: &BTreeMap<String, String>) -> String {
    let pairs = labels.iter().map(|(name, value)| format!("{name}={value}"));
    pairs.collect::<Vec<_>>().join(",")
}

/// The lists that a label with this value fits.
fn fits(label: &str, value: &str, tiers: &[String]) -> Result<String, Fault> {
    Ok(match label {
        "model" => patterns::some(&patterns::patterns_of(value)),
        "cost_tier" => {
            let ceilings = ceilings(value, tiers)?;
            patterns::every(&patterns::one_of(ceilings.iter().map(String::as_str)))
        }
        _ => patterns::some(&patterns::one_of([value].into_iter())),
    })
}

/// The lists of pairs that these labels fit; none without labels.
fn fits_own(labels: &BTreeMap<String, String>) -> Option<String> {
    let pairs = labels.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    (!labels.is_empty()).then(|| patterns::every(&patterns::one_pair_of(pairs)))
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
            Label::All(labels) => endpoint.labels == *labels,
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
