//! The design's tables as rules, for vectors that `differences.txt` does not name: those of another file.
//!
//! "Where the two references differ, or `strict` is present, the tables decide": each rule below is a row of them.

use serde_json::Value;

use super::expected::{self, reference};
use super::run::Answer;

/// Why a difference is by design; `None`: it is wrong.
pub(crate) fn by_design(area: &str, vector: &Value, ours: &Answer) -> Option<&'static str> {
    let wanted = reference(vector);
    if hashes(vector, ours) {
        return Some("row 11: HMAC-SHA-256 under the deployment key");
    }
    if masks(vector, ours) {
        return Some("row 10: `mask` always hides at least half");
    }
    if let Answer::Verdict { denied, .. } = ours {
        let other = expected::answers(area, vector, &vector["expect"], ours);
        if other && denied.is_some() {
            return Some("the references differ: what the stricter of them means");
        }
    }
    if presence(wanted, ours) {
        return Some("rows 4 and 5: objects and null are present, arrays of scalars are sets");
    }
    if *ours == Answer::Refused && expected::denies(wanted) {
        return Some("a compile error in place of a denial at run time");
    }
    if !vector["strict"].is_null() && stricter(ours, wanted) {
        return Some("the vector's own `strict`");
    }
    None
}

/// Whether we let through less.
fn stricter(ours: &Answer, wanted: &Value) -> bool {
    match ours {
        Answer::Refused => wanted["parse_error"].is_null() && wanted["load_error"].is_null(),
        Answer::Verdict { denied, .. } => denied.is_some() && !expected::denies(wanted),
        Answer::Other(ours) => match (ours["sequence"].as_array(), wanted["sequence"].as_array()) {
            (Some(ours), Some(wanted)) if ours.len() == wanted.len() => ours
                .iter()
                .zip(wanted)
                .all(|(ours, wanted)| ours == wanted || (wanted == "allow" && ours["deny"].is_string())),
            _ => ours["decision"] == "deny" && wanted["decision"] == "allow",
        },
        Answer::NotInBuild => false,
    }
}

/// Whether a bag of ours has what the reference's has, and more only where upstream leaves nothing.
fn presence(wanted: &Value, ours: &Answer) -> bool {
    let Answer::Other(ours) = ours else { return false };
    let (Some(wanted), Some(ours)) = (wanted["bag"].as_object(), ours["bag"].as_object()) else {
        return false;
    };
    wanted.iter().all(|(key, value)| ours.get(key) == Some(value))
        && ours
            .iter()
            .all(|(key, value)| wanted.contains_key(key) || value.is_array() || value == "present")
}

fn values<'a>(vector: &'a Value, ours: &'a Answer) -> Option<(&'a str, &'a str)> {
    let Answer::Verdict {
        denied: None, args, ..
    } = ours
    else {
        return None;
    };
    Some((vector["expect"]["value"].as_str()?, args["f"].as_str()?))
}

fn hashes(vector: &Value, ours: &Answer) -> bool {
    let hash = |text: &str, digits: usize| {
        text.strip_prefix("hash:")
            .is_some_and(|hex| hex.len() == digits && hex.bytes().all(|byte| byte.is_ascii_hexdigit()))
    };
    values(vector, ours).is_some_and(|(theirs, ours)| hash(theirs, 16) && hash(ours, 32))
}

fn masks(vector: &Value, ours: &Answer) -> bool {
    let clear = |text: &str| text.chars().filter(|ch| *ch != '*').count();
    let is_mask = vector["policy"]
        .as_str()
        .is_some_and(|policy| policy.contains("mask("));
    is_mask
        && values(vector, ours).is_some_and(|(theirs, ours)| {
            let count = theirs.chars().count();
            ours.chars().count() == count && clear(theirs) > count / 2 && clear(ours) == count / 2
        })
}
