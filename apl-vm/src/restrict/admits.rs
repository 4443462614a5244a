//! What a router makes of a constraint: which of its backends may serve the request.
//!
//! The proxy itself hands the constraint on as headers; this is the meaning that those headers have.

use std::collections::BTreeMap;

use apl_bytecode::ListKind;

use super::Constraint;

impl Constraint {
    /// Whether a backend may serve. `labels` are its `model`, `region`, `site`, `cost_tier` and those of its own; `tiers`
    /// ranks costs, the cheapest first.
    ///
    /// A label that the backend lacks excludes it where it is asked for, and passes under a deny list. Models are patterns in
    /// which `*` stands for any text, regions and sites are names. A tier that is not ranked, of the backend or of the
    /// constraint, excludes. What to do when no backend is left is [`Constraint::falls_back`].
    #[must_use]
    pub fn admits(&self, labels: &BTreeMap<String, String>, tiers: &[String]) -> bool {
        let label = |name: &str| labels.get(name).map(String::as_str);
        let given_up = |kind: ListKind| self.falls_back() && kind.allows();
        let lists = self.lists.iter().all(|(kind, members)| match kind {
            // An empty list that falls back is given up, and only it.
            kind if members.is_empty() && given_up(*kind) => true,
            ListKind::AllowModels => label("model")
                .is_some_and(|model| members.iter().any(|pattern| model_matches(pattern, model))),
            ListKind::DenyModels => label("model")
                .is_none_or(|model| !members.iter().any(|pattern| model_matches(pattern, model))),
            ListKind::AllowRegions => label("region").is_some_and(|region| members.contains(region)),
            ListKind::AllowSites => label("site").is_some_and(|site| members.contains(site)),
        });
        let rank = |tier: &str| tiers.iter().position(|known| known == tier);
        let cost = label("cost_tier").and_then(rank);
        let tiers = self
            .max_cost_tiers
            .iter()
            .all(|most| matches!((cost, rank(most)), (Some(cost), Some(most)) if cost <= most));
        let own = self
            .custom
            .iter()
            .all(|(name, value)| label(name) == Some(value.as_str()));
        lists && tiers && own
    }
}

/// Whether a model's name fits a pattern: `*` is any text, the empty one too; everything else is itself, case included.
#[must_use]
pub fn model_matches(pattern: &str, model: &str) -> bool {
    let Some((head, rest)) = pattern.split_once('*') else {
        return pattern == model;
    };
    let Some(mut model) = model.strip_prefix(head) else {
        return false;
    };
    let mut parts = rest.split('*').peekable();
    while let Some(part) = parts.next() {
        if parts.peek().is_none() {
            return model.ends_with(part);
        }
        // The leftmost place leaves most for what follows.
        let Some((_, behind)) = model.split_once(part) else {
            return false;
        };
        model = behind;
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admits(constraint: &Constraint, labels: &[(&str, &str)]) -> bool {
        let tiers = ["cheap", "standard", "premium"].map(str::to_owned);
        let labels = labels
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        constraint.admits(&labels, &tiers)
    }

    #[test]
    fn a_star_is_any_text_and_nothing_else_is_special() {
        for (pattern, model, fits) in [
            ("m/*", "m/", true),
            ("*", "", true),
            ("a*b*c", "axxbxxc", true),
            ("a*b*c", "axxb", false),
            ("*ab", "aab", true),
            ("a**b", "ab", true),
            ("a?c", "abc", false),
            ("M/*", "m/a", false),
            ("ab*ba", "aba", false),
            ("*a*", "xax", true),
            ("", "", true),
            ("", "x", false),
        ] {
            assert_eq!(model_matches(pattern, model), fits, "{pattern} {model}");
        }
    }

    #[test]
    fn what_is_not_known_excludes_where_it_is_asked_for() {
        let allow = Constraint {
            lists: [(ListKind::AllowRegions, ["eu".to_owned()].into())].into(),
            strict: true,
            ..Constraint::default()
        };
        assert!(admits(&allow, &[("region", "eu")]));
        assert!(!admits(&allow, &[("region", "eu-west")]));
        assert!(!admits(&allow, &[]));
        let tier = Constraint {
            max_cost_tiers: ["standard".to_owned()].into(),
            ..Constraint::default()
        };
        assert!(admits(&tier, &[("cost_tier", "cheap")]));
        assert!(!admits(&tier, &[("cost_tier", "premium")]));
        assert!(!admits(&tier, &[]));
        let deny = Constraint {
            lists: [(ListKind::DenyModels, ["x/*".to_owned()].into())].into(),
            ..Constraint::default()
        };
        assert!(admits(&deny, &[]));
        assert!(!admits(&deny, &[("model", "x/y")]));
        assert!(admits(&Constraint::default(), &[]));
    }
}
