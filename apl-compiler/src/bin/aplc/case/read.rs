//! Test files to tests, with everything that is wrong with them.

use std::path::{Path, PathBuf};

use apl_compiler::diagnostics::{Code, Diagnostic, Severity};
use apl_compiler::vocabulary::nearest;
use apl_compiler::yaml::{self, Entry, Node, Value as Yaml};
use apl_compiler::{Source, Span};
use serde_json::{Map, Value};

use super::{Expect, Given, Identity, Step, Suite, Test, layers};

mod expect;
mod given;

const FILE: &[&str] = &["policy", "defaults", "identities", "tests"];
const TEST: &[&str] = &["name", "steps", "for"];

/// Collects what is wrong.
pub(crate) struct Reader {
    pub source: Source,
    pub wrong: Vec<Diagnostic>,
}

impl Reader {
    /// For a file.
    pub(crate) const fn new(source: Source) -> Self {
        Self {
            source,
            wrong: Vec::new(),
        }
    }

    /// The line of a place.
    pub(crate) fn line(&self, span: Span) -> u32 {
        self.source.position(span.start).line
    }

    fn push(&mut self, code: Code, span: Span, message: String, help: Option<String>) {
        self.wrong.push(Diagnostic {
            code,
            severity: Severity::Error,
            span,
            message,
            label: String::new(),
            help,
            related: None,
            fix: None,
        });
    }

    /// A value that cannot be.
    pub(super) fn error(&mut self, span: Span, message: String, help: &str) {
        self.push(Code::BadValue, span, message, Some(help.to_owned()));
    }

    /// A name that is none of these.
    pub(super) fn unknown<'n>(
        &mut self,
        span: Span,
        message: &str,
        word: &str,
        names: impl IntoIterator<Item = &'n str> + Clone,
    ) {
        let help = match nearest(word, names.clone()) {
            Some(guess) => format!("did you mean `{guess}`?"),
            None => format!(
                "known are {}",
                names
                    .into_iter()
                    .map(|name| format!("`{name}`"))
                    .collect::<Vec<_>>()
                    .join(", ")
            ),
        };
        self.push(Code::UnknownKey, span, message.to_owned(), Some(help));
    }

    /// A map with no keys but these. False: it is none.
    pub(super) fn keys(&mut self, node: &Node, what: &str, known: &[&str]) -> bool {
        let Some(entries) = node.as_map() else {
            self.shape(node, what, "a map");
            return false;
        };
        self.only(entries, what, &[known]);
        true
    }

    fn only(&mut self, entries: &[Entry], what: &str, known: &[&[&str]]) {
        let names: Vec<&str> = known.iter().flat_map(|list| list.iter().copied()).collect();
        for entry in entries {
            if !names.contains(&entry.key.as_str()) {
                self.unknown(
                    entry.key_span,
                    &format!("{what} has no key `{}`", entry.key),
                    &entry.key,
                    names.iter().copied(),
                );
            }
        }
    }

    fn shape(&mut self, node: &Node, what: &str, wanted: &str) {
        let message = format!("`{what}` takes {wanted}, not {}", node.kind());
        self.push(Code::WrongType, node.span, message, None);
    }

    /// A text; numbers and booleans count as theirs.
    pub(super) fn text(&mut self, node: &Node, what: &str) -> String {
        node.scalar().unwrap_or_else(|| {
            self.shape(node, what, "text");
            String::new()
        })
    }

    /// A list of texts.
    pub(super) fn texts(&mut self, node: &Node, what: &str) -> Vec<String> {
        match node.as_list() {
            Some(items) => items.iter().map(|item| self.text(item, what)).collect(),
            None => {
                self.shape(node, what, "a list of texts");
                Vec::new()
            }
        }
    }

    /// A map as JSON.
    pub(super) fn object(&mut self, node: &Node, what: &str) -> Map<String, Value> {
        match node.to_json() {
            Value::Object(map) => map,
            _ => {
                self.shape(node, what, "a map");
                Map::new()
            }
        }
    }

    /// One of a few words.
    pub(super) fn word<T: Copy>(&mut self, node: &Node, what: &str, all: &[(&str, T)]) -> Option<T> {
        let word = self.text(node, what);
        let found = all.iter().find(|(name, _)| *name == word);
        if found.is_none() {
            let names = all.iter().map(|(name, _)| *name);
            self.unknown(node.span, &format!("`{what}` cannot be `{word}`"), &word, names);
        }
        found.map(|(_, value)| *value)
    }

    /// `true` or `false`.
    pub(super) fn flag(&mut self, node: &Node, what: &str) -> bool {
        match &node.value {
            Yaml::Bool(value) => *value,
            _ => {
                self.shape(node, what, "`true` or `false`");
                false
            }
        }
    }
}

/// Reads a test file.
///
/// # Errors
///
/// Everything that is wrong with it.
pub(crate) fn suite(file: &Path, source: Source) -> Result<Suite, (Source, Vec<Diagnostic>)> {
    let root = match yaml::read(&source) {
        Ok(root) => root,
        Err(wrong) => return Err((source, wrong)),
    };
    let mut reader = Reader::new(source);
    let suite = read_suite(file, &root, &mut reader);
    if reader.wrong.is_empty() {
        Ok(suite)
    } else {
        Err((reader.source, reader.wrong))
    }
}

/// Reads a request to explain: one test without `expect`, and perhaps `identities`.
///
/// # Errors
///
/// Everything that is wrong with it.
pub(crate) fn request_file(source: Source) -> Result<Given, (Source, Vec<Diagnostic>)> {
    let root = match yaml::read(&source) {
        Ok(root) => root,
        Err(wrong) => return Err((source, wrong)),
    };
    let mut reader = Reader::new(source);
    let entries = root.as_map().unwrap_or_default().to_vec();
    if root.as_map().is_none() {
        reader.shape(&root, "a request file", "a map");
    }
    reader.only(
        &entries,
        "a request file",
        &[given::KEYS, &["name", "identities", "expect"]],
    );
    let named = identities(&root, &mut reader);
    let given = given::given(&entries, root.span, &named, &mut reader);
    if reader.wrong.is_empty() {
        Ok(given)
    } else {
        Err((reader.source, reader.wrong))
    }
}

/// Reads an identity on its own.
///
/// # Errors
///
/// Everything that is wrong with it.
pub(crate) fn identity_file(source: Source) -> Result<Identity, (Source, Vec<Diagnostic>)> {
    let root = match yaml::read(&source) {
        Ok(root) => root,
        Err(wrong) => return Err((source, wrong)),
    };
    let mut reader = Reader::new(source);
    let identity = super::identity::identity(&root, &[], &mut reader);
    if reader.wrong.is_empty() {
        Ok(identity)
    } else {
        Err((reader.source, reader.wrong))
    }
}

fn read_suite(file: &Path, root: &Node, reader: &mut Reader) -> Suite {
    reader.keys(root, "a test file", FILE);
    let named = identities(root, reader);
    let policy = match root.get("policy") {
        Some(entry) => file.with_file_name(reader.text(&entry.node, "policy")),
        None => default_policy(file),
    };
    let defaults = root.get("defaults").map(|entry| &entry.node);
    if let Some(defaults) = defaults {
        reader.keys(defaults, "`defaults`", &[given::KEYS, &["expect"]].concat());
    }
    let below = defaults.and_then(Node::as_map).unwrap_or_default();
    let mut tests = Vec::new();
    match root.get("tests").map(|entry| &entry.node) {
        Some(list) => match list.as_list() {
            Some(items) => {
                for item in items {
                    read_test(item, below, &named, reader, &mut tests);
                }
            }
            None => reader.shape(list, "tests", "a list"),
        },
        None => reader.push(
            Code::MissingKey,
            root.span,
            "there are no `tests`".to_owned(),
            None,
        ),
    }
    Suite { policy, tests }
}

/// `x.test.yaml` tests `x.yaml`.
fn default_policy(file: &Path) -> PathBuf {
    let name = file
        .file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned();
    file.with_file_name(name.replace(".test.y", ".y"))
}

fn identities(root: &Node, reader: &mut Reader) -> Vec<(String, Node)> {
    let Some(entry) = root.get("identities") else {
        return Vec::new();
    };
    match entry.node.as_map() {
        Some(entries) => entries
            .iter()
            .map(|entry| (entry.key.clone(), entry.node.clone()))
            .collect(),
        None => {
            reader.shape(&entry.node, "identities", "a map from names to identities");
            Vec::new()
        }
    }
}

fn read_test(
    item: &Node,
    below: &[Entry],
    named: &[(String, Node)],
    reader: &mut Reader,
    tests: &mut Vec<Test>,
) {
    let Some(entries) = item.as_map() else {
        return reader.shape(item, "tests", "maps");
    };
    reader.only(entries, "a test", &[TEST, given::KEYS, &["expect"]]);
    let name = match item.get("name") {
        Some(entry) => reader.text(&entry.node, "name"),
        None => {
            reader.push(
                Code::MissingKey,
                item.span,
                "a test without a `name`".to_owned(),
                Some("say what rule it proves".to_owned()),
            );
            String::new()
        }
    };
    let own: Vec<Entry> = entries
        .iter()
        .filter(|entry| !TEST.contains(&entry.key.as_str()))
        .cloned()
        .collect();
    let layer = layers::over(below, &own);
    let variants = item.get("for").map(|entry| &entry.node);
    let Some(variants) = variants else {
        let steps = read_steps(item, &layer, named, reader);
        return tests.push(Test {
            name,
            line: reader.line(item.span),
            steps,
        });
    };
    let Some(list) = variants.as_list() else {
        return reader.shape(variants, "for", "a list");
    };
    for (at, variant) in list.iter().enumerate() {
        let Some(entries) = variant.as_map() else {
            reader.shape(variant, "for", "maps");
            continue;
        };
        reader.only(entries, "a variant", &[&["name"], given::KEYS, &["expect"]]);
        let label = match variant.get("name") {
            Some(entry) => reader.text(&entry.node, "name"),
            None => (at + 1).to_string(),
        };
        let steps = read_steps(item, &layers::over(&layer, entries), named, reader);
        tests.push(Test {
            name: format!("{name} [{label}]"),
            line: reader.line(variant.span),
            steps,
        });
    }
}

fn read_steps(item: &Node, layer: &[Entry], named: &[(String, Node)], reader: &mut Reader) -> Vec<Step> {
    let Some(entry) = item.get("steps") else {
        return vec![step(item, layer, None, named, reader)];
    };
    let Some(list) = entry.node.as_list() else {
        reader.shape(&entry.node, "steps", "a list");
        return Vec::new();
    };
    let mut steps = Vec::new();
    for node in list {
        let Some(entries) = node.as_map() else {
            reader.shape(node, "steps", "maps");
            continue;
        };
        reader.only(entries, "a step", &[&["name"], given::KEYS, &["expect"]]);
        let name = node.get("name").map(|entry| reader.text(&entry.node, "name"));
        steps.push(step(node, &layers::over(layer, entries), name, named, reader));
    }
    steps
}

fn step(
    node: &Node,
    entries: &[Entry],
    name: Option<String>,
    named: &[(String, Node)],
    reader: &mut Reader,
) -> Step {
    let given = given::given(entries, node.span, named, reader);
    let expect = match entries.iter().find(|entry| entry.key == "expect") {
        Some(entry) => expect::expect(&entry.node, reader),
        None => {
            reader.push(
                Code::MissingKey,
                node.span,
                "nothing is expected".to_owned(),
                Some("add `expect: {verdict: allow}` or what else should come of it".to_owned()),
            );
            Expect::default()
        }
    };
    Step {
        name,
        line: reader.line(node.span),
        given,
        expect,
    }
}
