//! Assertions: headers that the proxy vouches for, to the backend and to the client.
//!
//! Every header that a contract names is first removed, so that nobody but the proxy can set it; also its twin with
//! underscores, which some backends take for the same.

use std::collections::BTreeMap;

use apl_bytecode::{Assertion, AttrId, Contract, Encoding, HeaderSource, glob_matches};
use apl_vm::{Fact, Facts, Prepared};

use crate::{identity::token::text_of, json_text, refusal::Refusal};

/// What happens to the headers of one direction.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct HeaderEdits {
    /// Names or patterns of what is removed.
    strip: Vec<String>,
    /// What is set then.
    pub(crate) set: Vec<(String, String)>,
}

impl HeaderEdits {
    /// What a contract says for one principal.
    ///
    /// # Errors
    ///
    /// `auth.assertion_missing`: a header that must be there has no value.
    pub(crate) fn of(
        program: &Prepared,
        contract: &Contract,
        facts: &Facts,
        variables: &BTreeMap<String, String>,
    ) -> Result<Self, Refusal> {
        let model = program.program();
        let mut edits = Self {
            strip: contract
                .strip
                .iter()
                .map(|id| text_of(model, *id).to_owned())
                .collect(),
            set: Vec::new(),
        };
        for assertion in &contract.headers {
            let name = text_of(model, assertion.name);
            edits.strip.push(name.to_owned());
            match value(program, assertion, facts, variables) {
                Some(value) => edits.set.push((name.to_owned(), value)),
                None if assertion.required => {
                    let reason = format!("there is no value for the header `{name}`");
                    let mut refusal = Refusal::operation("auth.assertion_missing", &reason);
                    refusal.status = 403;
                    return Err(refusal);
                }
                None => {}
            }
        }
        Ok(edits)
    }

    /// Everything that any contract of the program removes from requests.
    pub(crate) fn removals(program: &Prepared) -> Self {
        let model = program.program();
        let mut named = vec![false; model.strings.len()];
        let mut strip = Vec::new();
        for assertions in &model.assertions {
            let headers = assertions.request.headers.iter().map(|header| header.name);
            for id in headers.chain(assertions.request.strip.iter().copied()) {
                if let Some(named) = named.get_mut(id.at()).filter(|named| !**named) {
                    *named = true;
                    strip.push(text_of(model, id).to_owned());
                }
            }
        }
        Self {
            strip,
            set: Vec::new(),
        }
    }

    /// Takes another contract's edits over; `false`: they set a header to another value.
    pub(crate) fn join(&mut self, other: Self) -> bool {
        self.strip.extend(other.strip);
        for (name, value) in other.set {
            match self.set.iter().find(|(known, _)| *known == name) {
                Some((_, known)) if *known != value => return false,
                Some(_) => {}
                None => self.set.push((name, value)),
            }
        }
        true
    }

    /// Whether nothing happens.
    pub(crate) fn is_empty(&self) -> bool {
        self.strip.is_empty() && self.set.is_empty()
    }

    /// Whether a header of this name is removed.
    pub(crate) fn removes(&self, name: &str) -> bool {
        let dashed = name.replace('_', "-");
        self.strip
            .iter()
            .any(|pattern| glob_matches(pattern, name) || glob_matches(pattern, &dashed))
    }
}

/// The value of a header; `None` when there is none, or none that a header can hold.
fn value(
    program: &Prepared,
    assertion: &Assertion,
    facts: &Facts,
    variables: &BTreeMap<String, String>,
) -> Option<String> {
    let model = program.program();
    let text = match &assertion.source {
        HeaderSource::Variable(name) => variables.get(text_of(model, *name))?.clone(),
        HeaderSource::Attr(attr) => encoded(fact(program, *attr, facts)?, assertion.encoding)?,
        HeaderSource::Members(members) => {
            let mut out = vec![b'{'];
            for (key, attr) in members {
                let Some(fact) = fact(program, *attr, facts) else {
                    if assertion.required {
                        return None;
                    }
                    continue;
                };
                let value = encoded(fact, Encoding::Json)?;
                if out.len() > 1 {
                    out.push(b',');
                }
                json_text::push_string(&mut out, text_of(model, *key));
                out.push(b':');
                out.extend_from_slice(value.as_bytes());
            }
            if out.len() == 1 {
                return None;
            }
            out.push(b'}');
            ascii(&String::from_utf8(out).ok()?)
        }
    };
    let fine = !text.is_empty() && text.bytes().all(|byte| matches!(byte, b' '..=b'~' | b'\t'));
    fine.then_some(text)
}

fn fact<'f>(program: &Prepared, attr: AttrId, facts: &'f Facts) -> Option<&'f Fact> {
    facts.get(program.key(attr)?)
}

fn encoded(fact: &Fact, encoding: Encoding) -> Option<String> {
    let text = match (fact, encoding) {
        (Fact::Bool(value), _) => value.to_string(),
        (Fact::Int(value), _) => value.to_string(),
        (Fact::Float(value), _) => value.to_string(),
        (Fact::Str(text), Encoding::Plain) => text.clone(),
        (Fact::Str(text), Encoding::Csv) => cell(text),
        (Fact::Str(text), Encoding::Json) => {
            let mut out = Vec::new();
            json_text::push_string(&mut out, text);
            ascii(&String::from_utf8(out).ok()?)
        }
        (Fact::Set(texts), Encoding::Csv) => {
            texts.iter().map(|text| cell(text)).collect::<Vec<_>>().join(",")
        }
        (Fact::Set(texts), Encoding::Json) => {
            let mut out = vec![b'['];
            for text in texts {
                if out.len() > 1 {
                    out.push(b',');
                }
                json_text::push_string(&mut out, text);
            }
            out.push(b']');
            ascii(&String::from_utf8(out).ok()?)
        }
        (Fact::Set(_), Encoding::Plain) | (Fact::Opaque | Fact::Unknown, _) => return None,
    };
    Some(text)
}

/// One member of a comma-separated list: a member with a comma in it must not become two.
fn cell(text: &str) -> String {
    if text.contains([',', '"', '\n', '\r']) || text.trim() != text || text.is_empty() {
        format!("\"{}\"", text.replace('"', "\"\""))
    } else {
        text.to_owned()
    }
}

/// JSON in ASCII.
fn ascii(json: &str) -> String {
    let mut out = String::with_capacity(json.len());
    for ch in json.chars() {
        if ch.is_ascii() && ch != '\u{7f}' {
            out.push(ch);
        } else {
            let mut units = [0_u16; 2];
            for unit in ch.encode_utf16(&mut units) {
                out.push_str(&format!("\\u{unit:04x}"));
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(members: &[&str]) -> Fact {
        Fact::Set(members.iter().map(|member| (*member).to_owned()).collect())
    }

    #[test]
    fn sets_are_sorted_and_a_member_stays_one_member() {
        let roles = set(&["b", "a,admin", "say \"hi\"", "\u{e9}"]);
        assert_eq!(
            encoded(&roles, Encoding::Csv).as_deref(),
            Some("\"a,admin\",b,\"say \"\"hi\"\"\",\u{e9}")
        );
        assert_eq!(
            encoded(&roles, Encoding::Json).as_deref(),
            Some(r#"["a,admin","b","say \"hi\"","\u00e9"]"#)
        );
        assert_eq!(encoded(&roles, Encoding::Plain), None);
        assert_eq!(encoded(&set(&[]), Encoding::Json).as_deref(), Some("[]"));
    }

    #[test]
    fn a_header_and_its_twin_with_underscores_are_removed() {
        let edits = HeaderEdits {
            strip: vec!["x-user".into(), "x-internal-*".into()],
            set: Vec::new(),
        };
        for name in ["x-user", "x_user", "x-internal-a", "x_internal_b"] {
            assert!(edits.removes(name), "{name}");
        }
        for name in ["x-users", "xuser", "x-internal"] {
            assert!(!edits.removes(name), "{name}");
        }
    }

    #[test]
    fn json_leaves_ascii_only() {
        assert_eq!(ascii("\"a\u{1f600}\u{e9}\""), "\"a\\ud83d\\ude00\\u00e9\"");
    }
}
