//! Laws that hold for every document, on generated ones.

use serde_json::Value;

use super::{parse, rendered};
use crate::{Document, JsonError, Kind, Limits, Node, Number};

/// A small deterministic generator (SplitMix64).
struct Rng(u64);

impl Rng {
    fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (z ^ (z >> 31)) % n
    }

    fn space(&mut self) -> &'static str {
        ["", "", "", " ", "\n\t", " \r\n"][self.below(6) as usize]
    }

    fn text(&mut self) -> String {
        (0..self.below(12))
            .map(|_| {
                [
                    "a",
                    "Z9",
                    "é",
                    "\\n",
                    "\\u0041",
                    "\\ud83d\\ude00",
                    "\\\\",
                    "\\\"",
                    "😀",
                    "longer run of text",
                ][self.below(10) as usize]
            })
            .collect()
    }

    fn json(&mut self, depth: u32, out: &mut String) {
        out.push_str(self.space());
        match self.below(if depth == 0 { 5 } else { 8 }) {
            0 => out.push_str(["null", "true", "false"][self.below(3) as usize]),
            1 | 2 => out.push_str(["0", "-1.5e3", "123456789", "-0"][self.below(4) as usize]),
            3 | 4 => out.push_str(&format!("\"{}\"", self.text())),
            5 | 6 => {
                out.push('{');
                for i in 0..self.below(5) {
                    out.push_str(if i == 0 { "" } else { "," });
                    out.push_str(&format!(
                        "{}\"{i}{}\"{}:",
                        self.space(),
                        self.text(),
                        self.space()
                    ));
                    self.json(depth - 1, out);
                }
                out.push_str(self.space());
                out.push('}');
            }
            _ => {
                out.push('[');
                for i in 0..self.below(5) {
                    out.push_str(if i == 0 { "" } else { "," });
                    self.json(depth - 1, out);
                }
                out.push_str(self.space());
                out.push(']');
            }
        }
        out.push_str(self.space());
    }
}

fn same(node: Node<'_>, value: &Value) -> bool {
    match value {
        Value::Null => node.kind() == Kind::Null,
        Value::Bool(b) => node.as_bool() == Some(*b),
        Value::Number(n) => node.number().and_then(Number::as_f64) == n.as_f64(),
        Value::String(s) => node.is_str(s) && node.as_str().unwrap() == s.as_str(),
        Value::Array(items) => {
            node.len() == items.len() && node.elements().zip(items).all(|(n, v)| same(n, v))
        }
        Value::Object(map) => {
            node.len() == map.len() && map.iter().all(|(k, v)| node.get(k).is_some_and(|n| same(n, v)))
        }
    }
}

/// Every path to a value below the root.
fn paths(value: &Value, prefix: &[String], out: &mut Vec<Vec<String>>) {
    let children: Vec<(String, &Value)> = match value {
        Value::Array(items) => items
            .iter()
            .enumerate()
            .map(|(i, v)| (i.to_string(), v))
            .collect(),
        Value::Object(map) => map.iter().map(|(k, v)| (k.clone(), v)).collect(),
        _ => Vec::new(),
    };
    for (segment, child) in children {
        let mut path = prefix.to_vec();
        path.push(segment);
        out.push(path.clone());
        paths(child, &path, out);
    }
}

fn value_at<'v>(value: &'v mut Value, path: &[String]) -> Option<&'v mut Value> {
    path.iter().try_fold(value, |value, segment| match value {
        Value::Array(items) => items.get_mut(segment.parse::<usize>().ok()?),
        Value::Object(map) => map.get_mut(segment),
        _ => None,
    })
}

#[test]
fn any_document_reads_like_serde_json_and_renders_as_received() {
    let mut rng = Rng(1);
    for _ in 0..3_000 {
        let mut text = String::new();
        rng.json(4, &mut text);
        let value: Value = serde_json::from_str(&text).unwrap();
        let document = parse(&text).unwrap();
        assert!(same(document.node(document.root()), &value), "{text}");
        assert_eq!(rendered(&document), text);
    }
}

#[test]
fn any_edits_give_what_they_give_on_a_tree() {
    let mut rng = Rng(2);
    for _ in 0..3_000 {
        let mut text = String::new();
        rng.json(4, &mut text);
        let mut value: Value = serde_json::from_str(&text).unwrap();
        let mut document = parse(&text).unwrap();
        let mut all = Vec::new();
        paths(&value, &[], &mut all);
        // Replacements first, so that indices of elements stay what they were; removals then from the last path on.
        for path in all.iter().filter(|_| rng.below(4) == 0).collect::<Vec<_>>() {
            let Some(target) = value_at(&mut value, path) else {
                continue;
            };
            *target = serde_json::json!({ "new": [1, "x"] });
            let segments: Vec<&str> = path.iter().map(String::as_str).collect();
            let mut node = document.node(document.root());
            for segment in &segments {
                node = if node.kind() == Kind::Array {
                    node.elements().nth(segment.parse().unwrap()).unwrap()
                } else {
                    node.get(segment).unwrap()
                };
            }
            let id = node.id();
            document.replace(id, br#"{"new": [1, "x"]}"#.to_vec()).unwrap();
        }
        let mut removals = Vec::new();
        paths(&value, &[], &mut removals);
        for path in removals
            .iter()
            .rev()
            .filter(|_| rng.below(3) == 0)
            .collect::<Vec<_>>()
        {
            let mut node = document.node(document.root());
            for segment in path {
                node = if node.kind() == Kind::Array {
                    node.elements().nth(segment.parse().unwrap()).unwrap()
                } else {
                    node.get(segment).unwrap()
                };
            }
            let id = node.id();
            document.remove(id);
            let (last, parent) = path.split_last().unwrap();
            match value_at(&mut value, parent).unwrap() {
                Value::Array(items) => drop(items.remove(last.parse().unwrap())),
                Value::Object(map) => drop(map.remove(last)),
                _ => unreachable!("a parent is a container"),
            }
        }
        let output = document.render();
        assert_eq!(serde_json::from_slice::<Value>(&output).unwrap(), value, "{text}");
        assert!(same(document.node(document.root()), &value), "{text}");
        Document::parse(output, &Limits::default()).unwrap();
    }
}

#[test]
fn no_bytes_make_the_parser_panic() {
    let mut rng = Rng(3);
    let alphabet = b"{}[]\",:\\u0dD8 \n-1.eEtrufalsn\xff\xc3\xa9\x00";
    for _ in 0..50_000 {
        let bytes: Vec<u8> = (0..rng.below(24))
            .map(|_| alphabet[rng.below(alphabet.len() as u64) as usize])
            .collect();
        let ours = Document::parse(bytes.clone(), &Limits::default());
        let theirs = serde_json::from_slice::<Value>(&bytes);
        match ours {
            Ok(document) => assert_eq!(document.render(), bytes),
            Err(JsonError::DuplicateKey { .. }) => {}
            Err(error) => assert!(theirs.is_err(), "{error}: {:?}", String::from_utf8_lossy(&bytes)),
        }
    }
}
