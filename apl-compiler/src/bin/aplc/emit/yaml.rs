//! Writing YAML for people: keys in the order in which readers expect them, with comments.

use serde_json::Value;

/// A YAML value to be written.
#[derive(Debug, Clone)]
pub(super) enum Yaml {
    /// A block mapping.
    Map(Vec<Entry>),
    /// A block sequence.
    List(Vec<Yaml>),
    /// A text.
    Text(String),
    /// A number, a boolean, null.
    Plain(String),
}

/// A key with its value.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    /// Why it is there; one comment line each.
    note: Vec<String>,
    key: String,
    value: Yaml,
}

/// A mapping under construction.
#[derive(Debug, Clone, Default)]
pub(super) struct Map(Vec<Entry>);

impl Map {
    pub(super) fn new() -> Self {
        Self::default()
    }

    /// Adds a key.
    #[must_use]
    pub(super) fn with(mut self, key: impl Into<String>, value: impl Into<Yaml>) -> Self {
        self.0.push(Entry {
            note: Vec::new(),
            key: key.into(),
            value: value.into(),
        });
        self
    }

    /// Adds a key if there is a value.
    #[must_use]
    pub(super) fn with_some(self, key: &str, value: Option<impl Into<Yaml>>) -> Self {
        match value {
            Some(value) => self.with(key, value),
            None => self,
        }
    }

    /// Adds all keys of another mapping.
    #[must_use]
    pub(super) fn append(mut self, other: Self) -> Self {
        self.0.extend(other.0);
        self
    }

    /// Says why the last key is there.
    #[must_use]
    pub(super) fn because(mut self, note: &str) -> Self {
        if let Some(last) = self.0.last_mut() {
            last.note.extend(note.lines().map(str::to_owned));
        }
        self
    }
}

impl From<Map> for Yaml {
    fn from(map: Map) -> Self {
        Self::Map(map.0)
    }
}

impl From<Vec<Yaml>> for Yaml {
    fn from(list: Vec<Yaml>) -> Self {
        Self::List(list)
    }
}

impl From<Vec<Map>> for Yaml {
    fn from(list: Vec<Map>) -> Self {
        Self::List(list.into_iter().map(Self::from).collect())
    }
}

impl From<Vec<&str>> for Yaml {
    fn from(list: Vec<&str>) -> Self {
        Self::List(list.into_iter().map(Self::from).collect())
    }
}

impl From<Vec<String>> for Yaml {
    fn from(list: Vec<String>) -> Self {
        Self::List(list.into_iter().map(Self::Text).collect())
    }
}

impl From<&str> for Yaml {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for Yaml {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<bool> for Yaml {
    fn from(value: bool) -> Self {
        Self::Plain(value.to_string())
    }
}

impl From<u64> for Yaml {
    fn from(value: u64) -> Self {
        Self::Plain(value.to_string())
    }
}

impl From<&Value> for Yaml {
    fn from(value: &Value) -> Self {
        match value {
            Value::Null | Value::Bool(_) | Value::Number(_) => Self::Plain(value.to_string()),
            Value::String(text) => Self::Text(text.clone()),
            Value::Array(list) => Self::List(list.iter().map(Self::from).collect()),
            Value::Object(map) => Self::Map(
                map.iter()
                    .map(|(key, value)| Entry {
                        note: Vec::new(),
                        key: key.clone(),
                        value: value.into(),
                    })
                    .collect(),
            ),
        }
    }
}

/// The text of one document, with its heading comment.
pub(super) fn document(heading: &str, root: impl Into<Yaml>) -> String {
    let mut out = String::new();
    for line in heading.lines() {
        out.push_str("# ");
        out.push_str(line);
        out.push('\n');
    }
    block(&root.into(), 0, &mut out);
    out
}

/// Several documents in one stream.
pub(super) fn documents(all: Vec<String>) -> String {
    all.join("---\n")
}

fn indent(depth: usize, out: &mut String) {
    for _ in 0..depth {
        out.push_str("  ");
    }
}

/// A value on lines of its own.
fn block(value: &Yaml, depth: usize, out: &mut String) {
    match value {
        Yaml::Map(entries) => {
            for entry in entries {
                mapped(entry, depth, true, out);
            }
        }
        Yaml::List(items) => {
            for item in items {
                listed(item, depth, out);
            }
        }
        Yaml::Text(_) | Yaml::Plain(_) => {
            indent(depth, out);
            inline(value, out);
        }
    }
}

/// `key: value`; the first key of a list's item stands behind its dash.
fn mapped(entry: &Entry, depth: usize, indented: bool, out: &mut String) {
    for (number, line) in entry.note.iter().enumerate() {
        if indented || number > 0 {
            indent(depth, out);
        }
        out.push_str("# ");
        out.push_str(line);
        out.push('\n');
    }
    if indented || !entry.note.is_empty() {
        indent(depth, out);
    }
    out.push_str(&scalar(&entry.key));
    out.push(':');
    after_key(&entry.value, depth, out);
}

fn after_key(value: &Yaml, depth: usize, out: &mut String) {
    let nested = match value {
        Yaml::Map(entries) => !entries.is_empty(),
        Yaml::List(items) => !items.is_empty(),
        Yaml::Text(_) | Yaml::Plain(_) => false,
    };
    if nested {
        out.push('\n');
        block(value, depth + 1, out);
    } else {
        out.push(' ');
        inline(value, out);
    }
}

fn listed(item: &Yaml, depth: usize, out: &mut String) {
    indent(depth, out);
    out.push_str("- ");
    match item {
        Yaml::Map(entries) if !entries.is_empty() => {
            for (number, entry) in entries.iter().enumerate() {
                mapped(entry, depth + 1, number > 0, out);
            }
        }
        Yaml::Map(_) | Yaml::List(_) | Yaml::Text(_) | Yaml::Plain(_) => {
            inline(item, out);
        }
    }
}

/// A value on the rest of a line.
fn inline(value: &Yaml, out: &mut String) {
    match value {
        Yaml::Map(entries) => {
            let inside: Vec<String> = entries
                .iter()
                .map(|entry| format!("{}: {}", scalar(&entry.key), one_line(&entry.value)))
                .collect();
            out.push_str(&format!("{{{}}}", inside.join(", ")));
        }
        Yaml::List(items) => {
            let inside: Vec<String> = items.iter().map(one_line).collect();
            out.push_str(&format!("[{}]", inside.join(", ")));
        }
        Yaml::Text(text) => out.push_str(&scalar(text)),
        Yaml::Plain(text) => out.push_str(text),
    }
    out.push('\n');
}

fn one_line(value: &Yaml) -> String {
    let mut text = String::new();
    inline(value, &mut text);
    text.trim_end().to_owned()
}

/// A text as it may stand in YAML 1.1 and 1.2 alike: bare when nobody can read anything else in it, else quoted as in
/// JSON, whose strings are YAML.
fn scalar(text: &str) -> String {
    let safe = text.starts_with(|ch: char| ch.is_ascii_alphabetic() || ch == '/')
        && text
            .chars()
            .all(|ch| ch.is_ascii_alphanumeric() || "-_./@".contains(ch));
    let word = text.to_ascii_lowercase();
    let reserved = ["true", "false", "null", "yes", "no", "on", "off", "y", "n"].contains(&word.as_str());
    if safe && !reserved {
        text.to_owned()
    } else {
        Value::String(text.to_owned()).to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_could_be_read_as_something_else_is_quoted() {
        for bare in ["mcp", "/hr/mcp", "networking.istio.io/v1", "a-b_c"] {
            assert_eq!(scalar(bare), bare);
        }
        for quoted in [
            "",
            "true",
            "No",
            "1",
            "1e3",
            "a: b",
            "#x",
            "*",
            "a b",
            "0x1f",
            "outbound|1||h",
        ] {
            assert_eq!(scalar(quoted), format!("\"{quoted}\""));
        }
    }

    #[test]
    fn a_list_of_maps_keeps_its_comments_inside_the_item() {
        let map = Map::new()
            .with("a", 1_u64)
            .because("one")
            .with("b", vec!["x"])
            .because("two");
        let text = document("head", Map::new().with("list", vec![map]));
        assert_eq!(
            text,
            "# head\nlist:\n  - # one\n    a: 1\n    # two\n    b:\n      - x\n"
        );
    }
}
