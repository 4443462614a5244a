//! Regular expressions (RE2) that ask the header `x-policy-restrict-all` about one label.
//!
//! The filter writes the header as `NAME=LIST;NAME=LIST;on-empty=WORD`, the names in a fixed order, each member of a list
//! percent-encoded so that `,`, `;`, `=` and `%` are never part of it. Each expression is total: it matches every text, and
//! its one group holds `on` (of `on-empty`, which is in every such header) exactly when the answer is yes.

use std::fmt::Write as _;

/// The names before `on-empty`.
const NAMES: [&str; 6] = [
    "allow-models",
    "deny-models",
    "allow-regions",
    "allow-sites",
    "max-cost-tiers",
    "custom",
];

/// Yes if `name` is not in the header, or its list fits; `None`: it may not be there at all.
pub(super) fn absent_or(name: &str, list: Option<&str>) -> String {
    let others = others(name);
    let listed = list.map_or_else(String::new, |list| format!("(?:{name}={list};{others})?"));
    total(&format!("{others}{listed}"))
}

/// Yes if `name` is in the header and one of its members fits.
pub(super) fn present_and_some(name: &str, member: &str) -> String {
    let others = others(name);
    total(&format!("{others}{name}={};{others}", some(member)))
}

/// Yes if each name that is in the header has an expression here that its list fits; `None`: it may not be there at all. What
/// `deny-models` lists is another question's.
pub(super) fn each(list: impl Fn(&str) -> Option<String>) -> String {
    let mut front = String::new();
    for name in NAMES {
        let list = if name == "deny-models" {
            Some("[^;]*".to_owned())
        } else {
            list(name)
        };
        if let Some(list) = list {
            front.push_str(&format!("(?:{name}={list};)?"));
        }
    }
    total(&front)
}

/// A list of which one member fits.
pub(super) fn some(member: &str) -> String {
    format!("(?:[^,;]*,)*{member}(?:,[^,;]*)*")
}

/// A list of which every member fits.
pub(super) fn every(member: &str) -> String {
    format!("{member}(?:,{member})*")
}

fn total(front: &str) -> String {
    format!("^{front}(on)-empty=.*$|^.*$")
}

/// Any number of the other names with their lists.
fn others(name: &str) -> String {
    let others: Vec<&str> = NAMES.into_iter().filter(|other| *other != name).collect();
    format!("(?:(?:{})=[^;]*;)*", others.join("|"))
}

/// One of these texts, as they stand in the header.
pub(super) fn one_of<'a>(texts: impl Iterator<Item = &'a str>) -> String {
    let texts: Vec<String> = texts.map(|text| literal(&encoded(text))).collect();
    format!("(?:{})", texts.join("|"))
}

/// `LABEL=VALUE`, as it stands in the header.
pub(super) fn one_pair_of<'a>(pairs: impl Iterator<Item = (&'a str, &'a str)>) -> String {
    let pairs: Vec<String> = pairs
        .map(|(label, value)| literal(&format!("{}={}", encoded(label), encoded(value))))
        .collect();
    format!("(?:{})", pairs.join("|"))
}

/// The patterns (`*` is any text) that fit this model.
///
/// Such a pattern is the model with some runs of it, empty ones too, replaced by stars. Reading it from left to right one is
/// in one of two states before each character of the model: behind a star, where characters may be left out, or not. The
/// expression is that automaton, cut in halves.
pub(super) fn patterns_of(model: &str) -> String {
    let model: Vec<String> = encoded(model)
        .chars()
        .map(|ch| literal(&ch.to_string()))
        .collect();
    let (plain, starred) = (
        walk(&model, State::Plain, State::Plain),
        walk(&model, State::Plain, State::Starred),
    );
    format!("(?:{plain}|{starred})\\**")
}

#[derive(Clone, Copy)]
enum State {
    Plain,
    Starred,
}

/// The parts of patterns that lead over these characters, from one state to the other.
fn walk(model: &[String], from: State, to: State) -> String {
    match model {
        [] => match (from, to) {
            (State::Plain, State::Plain) | (State::Starred, State::Starred) => String::new(),
            (State::Plain | State::Starred, State::Plain | State::Starred) => "\\*+".to_owned(),
        },
        [one] => match (from, to) {
            (State::Plain | State::Starred, State::Plain) => format!("\\**{one}"),
            (State::Plain, State::Starred) => "\\*+".to_owned(),
            (State::Starred, State::Starred) => String::new(),
        },
        more => {
            let (left, right) = more.split_at(more.len() / 2);
            let by = |middle| format!("{}{}", walk(left, from, middle), walk(right, middle, to));
            format!("(?:{}|{})", by(State::Plain), by(State::Starred))
        }
    }
}

/// As the filter writes a member.
fn encoded(text: &str) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_graphic() && !matches!(byte, b',' | b'%' | b'=' | b';') {
            out.push(char::from(byte));
        } else {
            let _infallible = write!(out, "%{byte:02X}");
        }
    }
    out
}

fn literal(text: &str) -> String {
    let mut out = String::new();
    for ch in text.chars() {
        if !ch.is_ascii_alphanumeric() && !"-_/%=@:, ".contains(ch) {
            out.push('\\');
        }
        out.push(ch);
    }
    out
}

#[cfg(test)]
mod tests {
    use apl_vm::model_matches;
    use regex_automata::dfa::{Automaton as _, dense};
    use regex_automata::{Anchored, Input, util::syntax};

    use super::*;

    fn compile(expression: &str) -> dense::DFA<Vec<u32>> {
        dense::Builder::new()
            .syntax(syntax::Config::new().unicode(false).utf8(false))
            .build(expression)
            .expect("an expression")
    }

    fn fits(dfa: &dense::DFA<Vec<u32>>, text: &str) -> bool {
        let found = dfa.try_search_fwd(&Input::new(text).anchored(Anchored::Yes));
        found.expect("searches").is_some()
    }

    /// Whether the first branch, which has the group, takes the text. `total` puts the rest behind `|^.*$`.
    fn says_yes(expression: &str, text: &str) -> bool {
        let front = expression.strip_suffix("|^.*$").expect("it is total");
        fits(&compile(front), text)
    }

    #[test]
    fn a_pattern_fits_a_model_exactly_if_the_machine_says_so() {
        // Every text of up to five signs of a small alphabet, as a pattern for each of these.
        let mut patterns = vec![String::new()];
        for _ in 0..5 {
            let longer: Vec<String> = patterns
                .iter()
                .flat_map(|text| ["a", "b", "/", "*"].map(|sign| format!("{text}{sign}")))
                .collect();
            patterns.extend(longer);
            patterns.sort();
            patterns.dedup();
        }
        for model in ["a", "ab", "aba", "a/b", "aab/b", "abab/a"] {
            let dfa = compile(&format!("^(?:{})$", patterns_of(model)));
            for pattern in &patterns {
                assert_eq!(
                    fits(&dfa, pattern),
                    model_matches(pattern, model),
                    "{pattern} for {model}"
                );
            }
        }
    }

    #[test]
    fn lists_are_asked_for_whole_members_of_the_right_name() {
        let eu = absent_or("allow-regions", Some(&some(&one_of(["eu"].into_iter()))));
        for (text, yes) in [
            ("allow-regions=eu;on-empty=deny", true),
            ("allow-regions=ap,eu,us;on-empty=fallback", true),
            ("allow-regions=eu-west,us;on-empty=deny", false),
            ("allow-models=eu;on-empty=deny", true),
            (
                "allow-models=eu;allow-regions=us;allow-sites=eu;on-empty=deny",
                false,
            ),
            (
                "allow-models=a;allow-regions=eu;custom=region=us;on-empty=deny",
                true,
            ),
        ] {
            assert_eq!(says_yes(&eu, text), yes, "{text}");
        }
        let none = absent_or("allow-regions", None);
        assert!(says_yes(&none, "allow-models=a;on-empty=deny"));
        assert!(!says_yes(&none, "allow-regions=eu;on-empty=deny"));
        let banned = present_and_some("deny-models", &patterns_of("vendor/m.1"));
        for (text, yes) in [
            ("deny-models=other,vendor/*;on-empty=deny", true),
            ("deny-models=*m.1;on-empty=deny", true),
            ("deny-models=vendor/mx1;on-empty=deny", false),
            ("allow-models=vendor/*;on-empty=deny", false),
        ] {
            assert_eq!(says_yes(&banned, text), yes, "{text}");
        }
        let tiers = absent_or(
            "max-cost-tiers",
            Some(&every(&one_of(["standard", "premium"].into_iter()))),
        );
        for (text, yes) in [
            ("max-cost-tiers=premium,standard;on-empty=deny", true),
            ("max-cost-tiers=economy,standard;on-empty=deny", false),
            ("on-empty=deny", true),
        ] {
            assert_eq!(says_yes(&tiers, text), yes, "{text}");
        }
        let own = absent_or("custom", Some(&every(&one_pair_of([("gpu", "h 1")].into_iter()))));
        assert!(says_yes(&own, "custom=gpu=h%201;on-empty=deny"));
        assert!(!says_yes(&own, "custom=gpu=h%201,x=y;on-empty=deny"));
        let here = each(|name| (name == "allow-regions").then(|| some(&one_of(["eu"].into_iter()))));
        for (text, yes) in [
            ("on-empty=deny", true),
            ("deny-models=x;allow-regions=ap,eu;on-empty=deny", true),
            ("deny-models=x;allow-regions=ap;on-empty=deny", false),
            ("allow-regions=eu;allow-sites=s;on-empty=deny", false),
        ] {
            assert_eq!(says_yes(&here, text), yes, "{text}");
        }
    }
}
