//! Scanners: do the texts of a document hold something that must not pass?
//!
//! A scanner is a set of detectors. Each is a *trigger* (a byte class, looked up once a byte) and a bounded *verifier*
//! (check digits, ranges, a prefix table), so that one pass over a text serves all of them and time is linear. What is
//! looked at: every string, unescaped; every number, by its lexeme; every object key. Each text is read in up to four
//! ways ([`reading`]): as it is, with Unicode look-alikes folded to ASCII, and with one and two more layers of JSON
//! escapes removed, because a string may itself hold JSON.
//!
//! | detector | finds |
//! |---|---|
//! | `ssn` | `ddd-dd-dddd` and `ddd dd dddd`; area not 000, 666 or 9xx, group not 00, serial not 0000. Nine bare digits only where `ssn` or `social security` stands in the 32 bytes before or is the member's key |
//! | `credit_card` | 13 to 19 digits, single spaces or dashes between them, a prefix and length of a card network, Luhn |
//! | `iban` | a country of the registry with its length, single spaces allowed, remainder 1 modulo 97 |
//! | `email` | a local part of 1 to 64 bytes, `@`, a domain of at least two labels that ends in letters |
//! | `phone` | `+` and 8 to 15 digits; `ddd-ddd-dddd`, `ddd.ddd.dddd` or `(ddd) ddd-dddd` with a North American area and exchange |
//! | `ip_address` | IPv4 with four octets; IPv6 with at least three colons |
//! | `api_key` | keys of well-known providers, by prefix and least length (table in `scan/secrets.rs`) |
//! | `private_key` | PEM, from `-----BEGIN ... PRIVATE KEY` to its end line or the end of the text |
//! | `jwt` | `eyJ` and three or more base64url parts |
//! | `prompt_injection` | the phrases in `scan/injection.rs` |
//! | custom | a pattern of the policy's own; for redaction a match longer than 512 bytes is cut out from where the last one ended |
//!
//! A verifier looks at 512 bytes at most. A token (key, JWT) that is longer is taken up to its end.

mod detect;
mod injection;
mod pii;
mod reading;
mod running;
mod secrets;
mod walk;

use apl_bytecode::sort_by;
use std::borrow::Cow;

use apl_bytecode::{Detector, RegexId, ScannerId, StrId};

use apl_json::{Document, JsonError, NodeId, View};

use crate::prepared::Prepared;

pub use running::Running;

use detect::{Find, Set};
use reading::readings;
use walk::{Spot, walk};

/// What a match becomes.
pub const REDACTED: &str = "[REDACTED]";

/// Something was found. Never holds the value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The detector: `ssn`, or the name of a custom one.
    pub detector: String,
    /// Where, from the view's root: `body.items.0`. Keys that could themselves be data are written `*`, and a find in a
    /// key ends in `(key)`. Empty for the root.
    pub field: String,
}

/// Looks for the first thing that a scanner finds in the view's current values, in document order.
///
/// A scanner that the program does not have finds nothing; the verifier refuses programs that name one.
#[must_use]
pub fn scan(program: &Prepared, scanner: ScannerId, view: &View<'_>) -> Option<Finding> {
    let search = Search::new(program, scanner);
    view.parts
        .iter()
        .find_map(|part| search.first(part.document, part.node))
}

/// A scanner, ready to run.
pub(crate) struct Search<'p> {
    program: &'p Prepared,
    set: Set,
    custom: Vec<(StrId, RegexId)>,
}

/// Why a redaction could not be made.
pub(crate) enum Unredactable {
    /// A redacted key could be taken for another one.
    Key,
    /// Too much to put in.
    Json(JsonError),
}

impl<'p> Search<'p> {
    pub(crate) fn new(program: &'p Prepared, scanner: ScannerId) -> Self {
        let mut search = Self {
            program,
            set: Set::default(),
            custom: Vec::new(),
        };
        let detectors = program
            .program()
            .scanners
            .get(scanner.at())
            .map_or(&[][..], |scanner| &scanner.detectors);
        for detector in detectors {
            match Set::of(*detector) {
                Some(one) => search.set = search.set.with(one),
                None => {
                    if let Detector::Custom(name, regex) = detector {
                        search.custom.push((*name, *regex));
                    }
                }
            }
        }
        search
    }

    /// The first find at or under a value.
    pub(crate) fn first(&self, document: &Document, id: NodeId) -> Option<Finding> {
        let mut finding = None;
        walk(document.node(id), &mut |spot| {
            let Some(text) = spot.text() else { return true };
            self.each(&text, &spot.context(), &mut |find| {
                finding = Some(Finding {
                    detector: self.name(find).to_owned(),
                    field: spot.path(),
                });
                false
            });
            finding.is_none()
        });
        finding
    }

    /// Replaces every match at or under a value; whether there was one.
    pub(crate) fn redact(&self, document: &mut Document, id: NodeId) -> Result<bool, Unredactable> {
        let mut changes = Vec::new();
        let (mut key_changed, mut key_like_ours) = (false, false);
        walk(document.node(id), &mut |spot: &Spot<'_>| {
            let Some(text) = spot.text() else { return true };
            match self.redacted(&text, &spot.context()) {
                Some(mut changed) => {
                    if spot.is_key {
                        // Two redacted keys must not become one.
                        key_changed = true;
                        changed.push_str(&format!("#{}", spot.node.id().number()));
                    }
                    changes.push((spot.node.id(), changed));
                }
                None => key_like_ours |= spot.is_key && text.contains(REDACTED),
            }
            true
        });
        if key_changed && key_like_ours {
            return Err(Unredactable::Key);
        }
        for (id, text) in &changes {
            document.replace_text(*id, text).map_err(Unredactable::Json)?;
        }
        Ok(!changes.is_empty())
    }

    /// The text with every match replaced, `None` when there is none.
    fn redacted(&self, text: &str, context: &str) -> Option<String> {
        let mut spans = Vec::new();
        self.each(text, context, &mut |find| {
            spans.push((
                text.floor_char_boundary(find.start),
                text.ceil_char_boundary(find.end),
            ));
            true
        });
        if spans.is_empty() {
            return None;
        }
        sort_by(&mut spans, Ord::cmp);
        let mut out = String::with_capacity(text.len());
        let mut at = 0;
        let mut last = None;
        for (start, end) in spans {
            // Matches that overlap or touch become one.
            if last.is_none_or(|last| start > last) {
                out.push_str(text.get(at..start).unwrap_or_default());
                out.push_str(REDACTED);
            }
            at = at.max(end);
            last = Some(at);
        }
        out.push_str(text.get(at..).unwrap_or_default());
        Some(out)
    }

    /// Reports finds, with positions in `text`, until the sink has enough.
    fn each(&self, text: &str, context: &str, sink: &mut dyn FnMut(Find) -> bool) {
        for reading in readings(text) {
            let mut report = |mut find: Find| {
                (find.start, find.end) = (reading.origin(find.start), reading.origin(find.end));
                sink(find)
            };
            let built_in = detect::built_in(&reading.bytes, context, self.set, &mut report);
            let mut custom = self.custom.iter().enumerate();
            let go_on = built_in
                && custom.all(|(which, (_, regex))| {
                    detect::custom(self.program, *regex, which, &reading.bytes, &mut report)
                });
            if !go_on {
                return;
            }
        }
    }

    fn name(&self, find: Find) -> &str {
        match find.what {
            detect::What::BuiltIn(name) => name,
            detect::What::Custom(which) => {
                let name = self
                    .custom
                    .get(which)
                    .and_then(|(name, _)| self.program.program().strings.get(name.at()));
                name.map_or("custom", String::as_str)
            }
        }
    }
}

/// A key that is fit to be shown, or `*`.
fn shown(key: Cow<'_, str>) -> Cow<'_, str> {
    let bytes = key.as_bytes();
    let name = bytes.len() <= 64
        && bytes
            .first()
            .is_some_and(|first| first.is_ascii_alphabetic() || *first == b'_')
        && bytes
            .iter()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'))
        && !bytes
            .windows(5)
            .any(|window| window.iter().all(u8::is_ascii_digit));
    if name { key } else { Cow::Borrowed("*") }
}
