//! The design's tables as rules: which differences from the references they ask for.
//!
//! "Where the two references differ, or `strict` is present, the tables decide": each rule below is a row of them. A rule
//! looks at the construct that its row speaks of and at the direction of the difference, so that a mistake elsewhere in the
//! same vector stays one.

use serde_json::Value;

use super::expected::{self, reference};
use super::run::{Answer, Ran};

/// Why a difference is by design; `None`: it is wrong.
pub(crate) fn by_design(area: &str, vector: &Value, ours: &Answer) -> Option<&'static str> {
    let case = Case {
        area,
        vector,
        wanted: reference(vector),
        policy: vector["policy"].as_str().unwrap_or(""),
        ours,
    };
    RULES.iter().find(|(holds, _)| holds(&case)).map(|(_, row)| *row)
}

/// What a rule looks at.
struct Case<'a> {
    area: &'a str,
    vector: &'a Value,
    wanted: &'a Value,
    policy: &'a str,
    ours: &'a Answer,
}

type Rule = (fn(&Case<'_>) -> bool, &'static str);

const RULES: &[Rule] = &[
    (hashes, "row 11: HMAC-SHA-256 under the deployment key"),
    (masks, "row 10: `mask` always hides at least half"),
    (validators, "row 9: `email`, `url`, `uuid` are real checks"),
    (scanners, "row 12: scans look, and act on what they find"),
    (
        reaches_further,
        "rows 6 and 13: pipelines reach into arrays and JSON texts",
    ),
    (
        references_differ,
        "the references differ: what the stricter of them means",
    ),
    (
        old_form_accepted,
        "what one of the references accepts is accepted",
    ),
    (
        quoted_names,
        "ours: a quoted subscript names a key that a path cannot spell",
    ),
    (
        object_is_present,
        "row 4: an object is present, so `exists` holds",
    ),
    (
        presence,
        "rows 4 and 5: objects and null are present, arrays of scalars are sets",
    ),
    (
        dotted_keys,
        "a dotted key is one name and never collides with a path: `args[\"a.b\"]`",
    ),
    (
        text_has_no_names,
        "row 13: a document that is a text has no attribute of its own name",
    ),
    (
        no_such_root,
        "the namespace is one of claims here, which the identity code makes",
    ),
    (
        empty_code,
        "row 24: an empty code is no code; the denial gets its position",
    ),
    (outer_quotes, "accepted spellings: outer quotes are removed"),
    (own_code, "plugins with code of their own do not run in a proxy"),
    (
        closed_keys,
        "closed lists of keys and words: what would be lost or misread is an error",
    ),
    (
        scope_is_compiled,
        "the scope of an approval is compiled with the policy, not when an approval arrives",
    ),
    (map_steps, "unknown map steps are errors, as in 0.5.0"),
    (
        accepted_beside,
        "accepted spellings: reactions beside the decision point",
    ),
    (compile_error, "a compile error in place of a denial at run time"),
    (
        cel_is_built_in,
        "row 18: CEL is compiled in; an error in it denies with `cel`",
    ),
    (
        asked_elsewhere,
        "Cedar and Rego decide in the companion, whose tests ask them",
    ),
    (
        failure_is_no_excuse,
        "`on_error: continue` passes over an unreachable channel only",
    ),
    (
        retry_is_bound,
        "row 20: an approval's id comes with the answer, never from attributes",
    ),
    (missing_is_not_equal, "row 2: `!=` on a missing attribute is true"),
    (
        cleared,
        "row 19: what was granted is cleared before each delegation",
    ),
    (
        labels_when_read,
        "execution.md rule 7: labels are loaded where a rule reads them",
    ),
    (route_condition, "a route's `when:` is evaluated"),
    (
        labels_of_the_phase,
        "row 15: labels set earlier in the same phase are visible",
    ),
    (
        written_order,
        "execution.md rule 11: the observable order is the written order",
    ),
    (
        impossible_at_once,
        "a list that nothing is left in denies at once: `policy.restrict_empty`",
    ),
    (strict, "the vector's own `strict`"),
];

impl Case<'_> {
    fn ran(&self) -> Option<&Ran> {
        match self.ours {
            Answer::Verdict(ran) => Some(ran),
            Answer::Refused | Answer::Other(_) => None,
        }
    }

    fn denied(&self) -> bool {
        match self.ours {
            Answer::Verdict(ran) => ran.denied.is_some(),
            Answer::Other(ours) => ours["decision"] == "deny",
            Answer::Refused => false,
        }
    }

    fn refused(&self) -> bool {
        *self.ours == Answer::Refused
    }

    /// The reference lets it through.
    fn passes(&self) -> bool {
        let wanted = self.wanted;
        wanted["decision"] == "allow"
            || ["pass", "allow", "replace", "omit"]
                .iter()
                .any(|word| wanted["outcome"] == *word)
    }

    fn loads(&self) -> bool {
        self.wanted["parse_error"].is_null() && self.wanted["load_error"].is_null()
    }

    /// Stages of a pipeline, by their names.
    fn has_stage(&self, names: &[&str]) -> bool {
        let piped = matches!(self.area, "pipeline" | "route" | "host");
        let word = |ch: char| !(ch.is_ascii_alphanumeric() || ch == '_' || ch == '.');
        piped && self.policy.split(word).any(|part| names.contains(&part))
    }
}

fn hashes(case: &Case<'_>) -> bool {
    let hash = |text: &str, digits: usize| {
        text.strip_prefix("hash:")
            .is_some_and(|hex| hex.len() == digits && hex.bytes().all(|byte| byte.is_ascii_hexdigit()))
    };
    let same = |(wanted, ours): (&str, &str)| hash(wanted, 16) && hash(ours, 32);
    leaves(
        case,
        &|wanted, ours| matches!((wanted.as_str(), ours.as_str()), (Some(wanted), Some(ours)) if same((wanted, ours))),
    )
}

fn masks(case: &Case<'_>) -> bool {
    let clear = |text: &str| text.chars().filter(|ch| *ch != '*').count();
    case.policy.contains("mask(")
        && leaves(case, &|wanted, ours| {
            let (Some(wanted), Some(ours)) = (wanted.as_str(), ours.as_str()) else {
                return false;
            };
            let count = wanted.chars().count();
            ours.chars().count() == count && clear(wanted) > count / 2 && clear(ours) == count / 2
        })
}

/// The same verdict, and documents that differ in some leaves, each of which the rule explains.
fn leaves(case: &Case<'_>, explained: &dyn Fn(&Value, &Value) -> bool) -> bool {
    let Some(ran) = case.ran().filter(|ran| ran.denied.is_none() && case.passes()) else {
        return false;
    };
    let expect = &case.vector["expect"];
    let mut pairs = Vec::new();
    if case.area == "pipeline" {
        pairs.push((expect["value"].clone(), ran.args["f"].clone()));
    } else {
        for (key, ours) in [("args", &ran.args), ("result", &ran.result)] {
            if !expect[key].is_null() {
                pairs.push((expect[key].clone(), ours.clone()));
            }
        }
    }
    let same = |pair: &(Value, Value)| pair.0 == pair.1;
    !pairs.iter().all(same)
        && pairs
            .iter()
            .all(|(wanted, ours)| explains(wanted, ours, explained))
}

fn explains(wanted: &Value, ours: &Value, explained: &dyn Fn(&Value, &Value) -> bool) -> bool {
    if wanted == ours || explained(wanted, ours) {
        return true;
    }
    match (wanted, ours) {
        (Value::Object(wanted), Value::Object(ours)) => {
            ours.keys().all(|key| wanted.contains_key(key))
                && wanted.iter().all(|(key, value)| match ours.get(key) {
                    Some(ours) => explains(value, ours, explained),
                    // Removed where the reference did not reach.
                    None => explained(value, &Value::Null),
                })
        }
        (Value::Array(wanted), Value::Array(ours)) => {
            wanted.len() == ours.len()
                && wanted
                    .iter()
                    .zip(ours)
                    .all(|(one, other)| explains(one, other, explained))
        }
        // JSON inside a text is edited in place.
        (Value::String(wanted), Value::String(ours)) => {
            match (
                serde_json::from_str::<Value>(wanted),
                serde_json::from_str::<Value>(ours),
            ) {
                (Ok(wanted), Ok(ours)) if wanted.is_object() || wanted.is_array() => {
                    explains(&wanted, &ours, explained)
                }
                _ => false,
            }
        }
        _ => false,
    }
}

fn reaches_further(case: &Case<'_>) -> bool {
    let fields =
        case.policy.contains("args:") || case.policy.contains("result:") || case.policy.contains("result.");
    fields
        && leaves(case, &|wanted, ours| {
            let hidden = ours.as_str().is_some_and(|text| {
                text == "[REDACTED]" || text.starts_with("hash:") || (!text.is_empty() && text.contains('*'))
            });
            hidden || (ours.is_null() && !wanted.is_null() && case.policy.contains("omit"))
        })
}

fn validators(case: &Case<'_>) -> bool {
    case.has_stage(&["email", "url", "uuid"]) && (case.passes() != case.denied() || case.denied())
}

fn scanners(case: &Case<'_>) -> bool {
    case.has_stage(&["pii.detect", "pii.redact", "injection.scan"]) && case.loads() && !case.refused()
}

/// Where the stricter of two references is what we answer.
fn references_differ(case: &Case<'_>) -> bool {
    !case.vector["praxis_policy_0_5_0"].is_null()
        && expected::answers(case.area, case.vector, &case.vector["expect"], case.ours)
        && (case.denied() || case.refused())
}

/// What 0.5.0 refuses and CPEX accepts means here what it means there.
fn old_form_accepted(case: &Case<'_>) -> bool {
    let refused_by_one = !case.loads() && !case.vector["praxis_policy_0_5_0"].is_null();
    let expect = &case.vector["expect"];
    let accepted = expect["parse_error"].is_null();
    (refused_by_one && accepted && expected::answers(case.area, case.vector, expect, case.ours))
        || (expect["parse_error"] == "renamed_field" && !case.refused())
}

fn quoted_names(case: &Case<'_>) -> bool {
    let quoted = case.policy.contains("['") || case.policy.contains("[\"");
    matches!(case.area, "predicate" | "rule") && quoted && !case.refused() && !case.loads()
}

fn object_is_present(case: &Case<'_>) -> bool {
    let bag = case.vector["bag"].as_object();
    let asked = case
        .policy
        .split("exists(")
        .skip(1)
        .filter_map(|rest| rest.split(')').next());
    asked.map(str::trim).any(|path| {
        let below = format!("{path}.");
        bag.is_some_and(|bag| !bag.contains_key(path) && bag.keys().any(|key| key.starts_with(&below)))
    }) && !case.refused()
}

/// Whether a bag of ours has what the reference's has, and more only where upstream leaves nothing.
fn presence(case: &Case<'_>) -> bool {
    let Answer::Other(ours) = case.ours else {
        return false;
    };
    let (Some(wanted), Some(ours)) = (case.wanted["bag"].as_object(), ours["bag"].as_object()) else {
        return false;
    };
    wanted.iter().all(|(key, value)| ours.get(key) == Some(value))
        && ours
            .iter()
            .all(|(key, value)| wanted.contains_key(key) || value.is_array() || value == "present")
}

fn dotted_keys(case: &Case<'_>) -> bool {
    fn dotted(value: &Value) -> bool {
        match value {
            Value::Object(members) => members
                .iter()
                .any(|(key, value)| key.contains('.') || dotted(value)),
            Value::Array(items) => items.iter().any(dotted),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
        }
    }
    case.area == "flatten" && dotted(&case.vector["input"])
}

fn text_has_no_names(case: &Case<'_>) -> bool {
    case.area == "flatten" && !case.vector["input"].is_object()
}

fn no_such_root(case: &Case<'_>) -> bool {
    case.area == "flatten" && !["args", "result", "data"].contains(&case.policy)
}

fn empty_code(case: &Case<'_>) -> bool {
    let denied = case.ran().and_then(|ran| ran.denied.as_ref());
    let reason = case.wanted["reason"].as_str().filter(|reason| !reason.is_empty());
    case.wanted["code"] == ""
        && denied.is_some_and(|(code, ours)| {
            code.starts_with("T.") && reason.is_none_or(|reason| reason == "*" || reason == ours)
        })
}

fn outer_quotes(case: &Case<'_>) -> bool {
    let Answer::Other(ours) = case.ours else {
        return false;
    };
    let bare = |value: &Value| {
        value
            .as_str()
            .map(|text| text.trim_matches(['"', '\'']).to_owned())
    };
    ["label", "name", "plugin"].iter().any(|key| {
        case.wanted[key] != ours[key]
            && bare(&case.wanted[key]).is_some()
            && bare(&case.wanted[key]) == bare(&ours[key])
    })
}

/// Steps and stages that run a plugin which the vector gives a verdict, a value or labels.
fn own_code(case: &Case<'_>) -> bool {
    let mocks = case.vector["mocks"]["plugins"].as_object().into_iter().flatten();
    let acts = |mock: &Value| mock.as_object().is_some_and(|mock| !mock.is_empty());
    let mocked = mocks
        .into_iter()
        .any(|(name, mock)| acts(mock) && case.policy.contains(name.as_str()));
    let listed = case.vector["request"]["plugins"]
        .as_object()
        .into_iter()
        .flatten();
    let listed = listed
        .into_iter()
        .any(|(name, _)| case.policy.contains(name.as_str()));
    let stage = case.area == "pipeline" && case.vector["mocks"]["plugins"].is_object();
    (mocked || listed || stage) && case.refused()
}

/// Steps with keys, words or names that upstream takes and loses.
fn closed_keys(case: &Case<'_>) -> bool {
    let wanted = &case.vector["expect"];
    let known: &[&str] = match wanted["kind"].as_str() {
        Some("delegate") => &["target", "audience", "permissions", "subject", "actor"],
        Some("elicit") => &["channel", "scope", "purpose", "prompt", "timeout", "show"],
        _ if case.policy.contains("on_error:") && case.refused() => {
            let word = case.policy.split("on_error:").nth(1).unwrap_or("").trim_start();
            return !["deny", "continue"].iter().any(|known| word.starts_with(known));
        }
        _ => return false,
    };
    let mut keys = wanted["config"]
        .as_object()
        .into_iter()
        .flatten()
        .map(|(key, _)| key.as_str());
    let unknown = keys.any(|key| !known.contains(&key));
    let word = wanted["on_error"]
        .as_str()
        .is_some_and(|word| word != "deny" && word != "continue");
    let name = wanted["plugin"].as_str().is_some_and(|name| name.contains(':'));
    let twice = known
        .iter()
        .any(|key| case.policy.matches(&format!("{key}:")).count() > 1);
    // Keys of the map form that are not lifted from it are lost upstream.
    let lost =
        case.vector["yaml"] == true && known.iter().any(|key| case.policy.contains(&format!("{key}:")));
    case.refused() && (unknown || word || name || twice || lost)
}

fn scope_is_compiled(case: &Case<'_>) -> bool {
    case.vector["expect"]["kind"] == "elicit" && case.policy.contains("scope:") && case.refused()
}

fn map_steps(case: &Case<'_>) -> bool {
    let dialect = case.vector["expect"]["dialect"].as_str();
    case.refused() && dialect.is_some_and(|dialect| dialect.starts_with("custom:"))
}

fn accepted_beside(case: &Case<'_>) -> bool {
    let beside = case
        .policy
        .lines()
        .any(|line| line.starts_with("on_allow:") || line.starts_with("on_deny:"));
    beside && case.wanted["parse_error"] == "step_single_key" && !case.refused()
}

fn compile_error(case: &Case<'_>) -> bool {
    let denies = expected::denies(case.wanted) || !case.wanted["error"].is_null();
    case.refused() && denies
}

/// The verdict is CEL's own; a mock's reason cannot be its.
fn cel_is_built_in(case: &Case<'_>) -> bool {
    let denied = case.ran().and_then(|ran| ran.denied.as_ref());
    case.policy.contains("cel")
        && expected::denies(case.wanted)
        && denied.is_some_and(|(code, _)| code == "cel")
        && ["pdp:Cel", "cel"].iter().any(|code| case.wanted["code"] == *code)
}

fn asked_elsewhere(case: &Case<'_>) -> bool {
    let denied = case.ran().and_then(|ran| ran.denied.as_ref());
    case.area == "pdp" && denied.is_some_and(|(code, _)| code == "pdp:Cedar" || code == "pdp:Opa")
}

fn failure_is_no_excuse(case: &Case<'_>) -> bool {
    let asks = case.vector["mocks"]["elicit"].as_object().is_some_and(|mocks| {
        mocks
            .values()
            .any(|mock| mock["status"] != "approved" || mock["valid"] == false)
    });
    let scope = case.policy.contains("scope:");
    case.policy.contains("on_error: continue") && (asks || scope) && case.passes() && case.denied()
}

fn retry_is_bound(case: &Case<'_>) -> bool {
    let same = case.ran().is_some_and(|ran| {
        let verdict = ran.denied.is_none() == case.passes();
        verdict && ran.asked.calls.iter().any(|call| call.starts_with("dispatch:"))
    });
    let seeded = case.vector["bag"].get("elicitation.id").is_some();
    let twice = case.policy.matches("from:").count() > 1;
    same && (seeded || twice)
}

/// The path before `!=` is not in the bag.
fn missing_is_not_equal(case: &Case<'_>) -> bool {
    let path = |text: &str| {
        let start = text
            .trim_end()
            .rfind(|ch: char| !(ch.is_ascii_alphanumeric() || "_.[]".contains(ch)))
            .map_or(0, |at| at + 1);
        text.trim_end().get(start..).unwrap_or("").to_owned()
    };
    let parts: Vec<&str> = case.policy.split("!=").collect();
    let before = parts.split_last().map_or(&[][..], |(_, before)| before);
    let missing = before
        .iter()
        .any(|text| case.vector["bag"].get(path(text)).is_none());
    matches!(case.area, "predicate" | "rule" | "route") && missing && !case.refused() && case.loads()
}

fn cleared(case: &Case<'_>) -> bool {
    case.policy.matches("delegate(").count() > 1
        && case.policy.contains("delegation.granted")
        && !case.refused()
}

fn labels_when_read(case: &Case<'_>) -> bool {
    let Answer::Other(ours) = case.ours else {
        return false;
    };
    case.area == "host"
        && case.vector["request"]["store"] == "load_error"
        && !case.policy.contains("security.labels")
        && case.wanted["code"] == "session.load_failed"
        && ours["code"] != "session.load_failed"
}

fn route_condition(case: &Case<'_>) -> bool {
    let conditional = case
        .policy
        .lines()
        .any(|line| line.trim_start().starts_with("when:") && !line.trim_start().starts_with('-'));
    case.area == "host" && conditional && !case.policy.contains("do:")
}

fn written_order(case: &Case<'_>) -> bool {
    let Answer::Other(ours) = case.ours else {
        return false;
    };
    case.vector["request"]["store"] == "append_error"
        && case.denied()
        && case.wanted["decision"] == "deny"
        && ours["code"] == "session.persist_failed"
}

fn impossible_at_once(case: &Case<'_>) -> bool {
    let empty = |folded: &Value| {
        folded["on_empty"] == "deny"
            && ["allow_models", "allow_regions", "allow_sites"]
                .iter()
                .any(|key| folded[key].as_array().is_some_and(Vec::is_empty))
    };
    let code = case
        .ran()
        .and_then(|ran| ran.denied.as_ref())
        .map(|(code, _)| code.as_str());
    let listed = case.wanted["constraints"].as_array().into_iter().flatten();
    match case.ours {
        Answer::Other(ours) => case.area == "restrict_fold" && empty(case.wanted) && empty(ours),
        Answer::Verdict(_) => code == Some("policy.restrict_empty") && listed.count() > 0,
        Answer::Refused => false,
    }
}

/// Labels that an earlier step of the phase set.
fn labels_of_the_phase(case: &Case<'_>) -> bool {
    case.policy.contains("security.labels")
        && case.policy.contains("taint(")
        && case.denied()
        && case.passes()
}

/// Whether we let through less, where the vector itself asks for that.
fn strict(case: &Case<'_>) -> bool {
    if case.vector["strict"].is_null() {
        return false;
    }
    let wanted = case.wanted;
    match case.ours {
        Answer::Refused => case.loads(),
        Answer::Verdict(ran) => {
            let less = ran.denied.is_some() && !expected::denies(wanted);
            // The same verdict: only what goes with it differs, and in the direction of the hint.
            let unwanted = ran.denied.is_none()
                && !expected::denies(wanted)
                && case.vector["strict"]
                    .as_str()
                    .is_some_and(|hint| hint.contains("unresolved reference"));
            less || unwanted
        }
        Answer::Other(ours) => match (ours["sequence"].as_array(), wanted["sequence"].as_array()) {
            (Some(ours), Some(wanted)) if ours.len() == wanted.len() => ours
                .iter()
                .zip(wanted)
                .all(|(ours, wanted)| ours == wanted || (wanted == "allow" && ours["deny"].is_string())),
            _ => ours["decision"] == "deny" && wanted["decision"] == "allow",
        },
    }
}
