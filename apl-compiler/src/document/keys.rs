//! Checking keys and reading plain values.

use crate::diagnostics::{Code, Reports, error, note};
use crate::source::{Source, Span};
use crate::vocabulary::{Section, Treatment, nearest};
use crate::yaml::{Entry, Node, Value};

/// What reading a document needs.
pub(crate) struct Reader<'a> {
    /// The file.
    pub source: &'a Source,
    /// Where diagnostics go.
    pub reports: &'a mut Reports,
    /// Keys without meaning that were noted already: once a file is enough.
    pub noted: Vec<(&'static str, &'static str)>,
}

/// Checks the keys of a section: unknown ones are errors, with a suggestion.
pub(crate) fn check(node: &Node, section: Section, reader: &mut Reader<'_>) {
    for entry in reader.map(node, section.name()) {
        check_key(entry, section, reader);
    }
}

fn check_key(entry: &Entry, section: Section, reader: &mut Reader<'_>) {
    let key = entry.key.as_str();
    let Some((known, treatment)) = section.keys().find(|(known, _)| *known == key) else {
        let message = format!("{} has no key `{key}`", section.name());
        let diagnostic = error(Code::UnknownKey, entry.key_span, message);
        reader
            .reports
            .push(match nearest(key, section.keys().map(|(known, _)| known)) {
                Some(guess) => diagnostic.suggest(entry.key_span, guess),
                None => diagnostic.help(format!("its keys are {}", listed(section))),
            });
        return;
    };
    match treatment {
        Treatment::Read => {}
        Treatment::Old(new) => {
            reader.reports.push(
                note(
                    Code::OldSpelling,
                    entry.key_span,
                    format!("`{key}` is an old spelling"),
                )
                .help(format!("write {}", quoted(new))),
            );
        }
        Treatment::Inert(instead) => {
            if !reader.noted.contains(&(known, instead)) {
                reader.noted.push((known, instead));
                reader.reports.push(
                    note(
                        Code::NoMeaning,
                        entry.key_span,
                        format!("`{key}` has no meaning here"),
                    )
                    .help(instead),
                );
            }
        }
        Treatment::NotYet(instead) => {
            reader.reports.push(
                error(
                    Code::NotInBuild,
                    entry.key_span,
                    format!("`{key}` is not in this build"),
                )
                .help(instead),
            );
        }
        Treatment::Elsewhere(place) => {
            reader.reports.push(
                error(
                    Code::WrongScope,
                    entry.key_span,
                    format!("`{key}` does not belong in {}", section.name()),
                )
                .help(format!("put it under {place}")),
            );
        }
    }
}

fn quoted(text: &str) -> String {
    if text.contains('`') {
        text.to_owned()
    } else {
        format!("`{text}`")
    }
}

fn listed(section: Section) -> String {
    let mut keys: Vec<&str> = section
        .keys()
        .filter(|(_, treatment)| matches!(treatment, Treatment::Read))
        .map(|(key, _)| key)
        .collect();
    keys.dedup();
    keys.iter()
        .map(|key| format!("`{key}`"))
        .collect::<Vec<_>>()
        .join(", ")
}

impl Reader<'_> {
    /// The entries of a map; anything but a map or nothing is reported.
    pub(crate) fn map<'n>(&mut self, node: &'n Node, what: &str) -> &'n [Entry] {
        match &node.value {
            Value::Map(entries) => entries,
            Value::Null => &[],
            Value::Bool(_) | Value::Int(_) | Value::Float(_) | Value::Str(..) | Value::List(_) => {
                self.wrong(node, what, "a map");
                &[]
            }
        }
    }

    /// The elements of a list; anything else is reported.
    pub(crate) fn list<'n>(&mut self, node: &'n Node, what: &str) -> &'n [Node] {
        match node.as_list() {
            Some(items) => items,
            None => {
                self.wrong(node, what, "a list");
                &[]
            }
        }
    }

    /// Says that a value has the wrong shape.
    pub(crate) fn wrong(&mut self, node: &Node, what: &str, expected: &str) {
        let what = if what.contains('`') || what.contains(' ') {
            what.to_owned()
        } else {
            format!("`{what}`")
        };
        self.reports.error(
            Code::WrongType,
            node.span,
            format!("{what} is {expected}, this is {}", node.kind()),
        );
    }

    /// Text that is not empty.
    pub(crate) fn text<'n>(&mut self, node: &'n Node, key: &str) -> Option<&'n str> {
        let entry = node.get(key)?;
        match entry.node.as_str() {
            Some("") => {
                self.reports
                    .error(Code::BadValue, entry.node.span, format!("`{key}` is empty"));
                None
            }
            Some(text) => Some(text),
            None => {
                self.wrong(&entry.node, key, "text");
                None
            }
        }
    }

    /// Text that must be there.
    pub(crate) fn required<'n>(
        &mut self,
        node: &'n Node,
        key: &str,
        what: &str,
        at: Span,
    ) -> Option<&'n str> {
        if node.get(key).is_none() {
            self.reports
                .error(Code::MissingKey, at, format!("{what} needs `{key}`"));
        }
        self.text(node, key)
    }

    /// One of a few words.
    pub(crate) fn word<'n>(&mut self, node: &'n Node, key: &str, words: &[&str]) -> Option<&'n str> {
        let text = self.text(node, key)?;
        if words.contains(&text) {
            return Some(text);
        }
        let span = node.get(key)?.node.span;
        let help = words
            .iter()
            .map(|word| format!("`{word}`"))
            .collect::<Vec<_>>()
            .join(", ");
        self.reports.push(
            error(Code::BadValue, span, format!("`{key}` cannot be `{text}`"))
                .help(format!("it is one of {help}")),
        );
        None
    }

    /// A boolean.
    pub(crate) fn boolean(&mut self, node: &Node, key: &str) -> Option<bool> {
        let entry = node.get(key)?;
        if let Value::Bool(value) = entry.node.value {
            return Some(value);
        }
        self.wrong(&entry.node, key, "`true` or `false`");
        None
    }

    /// A whole number within bounds.
    pub(crate) fn number(&mut self, node: &Node, key: &str, low: i64, high: i64) -> Option<i64> {
        let entry = node.get(key)?;
        match entry.node.value {
            Value::Int(value) if (low..=high).contains(&value) => Some(value),
            Value::Int(value) => {
                self.reports.error(
                    Code::BadValue,
                    entry.node.span,
                    format!("`{key}` is between {low} and {high}, not {value}"),
                );
                None
            }
            _ => {
                self.wrong(&entry.node, key, "a whole number");
                None
            }
        }
    }

    /// A text or a list of texts.
    pub(crate) fn texts(&mut self, node: &Node, what: &str) -> Vec<(String, Span)> {
        let items = match &node.value {
            Value::Str(..) => std::slice::from_ref(node),
            Value::List(items) => items.as_slice(),
            Value::Null | Value::Bool(_) | Value::Int(_) | Value::Float(_) | Value::Map(_) => {
                self.wrong(node, what, "text or a list of texts");
                return Vec::new();
            }
        };
        let mut texts = Vec::new();
        for item in items {
            match item.as_str() {
                Some("") => {
                    self.reports
                        .error(Code::BadValue, item.span, format!("`{what}` holds an empty text"))
                }
                Some(text) => texts.push((text.to_owned(), item.span)),
                None => self.wrong(item, what, "a list of texts"),
            }
        }
        texts
    }
}
