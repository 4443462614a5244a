//! Static attributes: the files under `attribute_files`, merged into one tree.
//!
//! Each file holds a map `data` and nothing else. Maps are merged; two files may give the same leaf only with the same
//! value, so that the order of the files never matters.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry as Slot;

use serde_json::Value as Json;

use crate::diagnostics::{Code, Reports, error};
use crate::source::{Source, Span};
use crate::yaml::{Entry, Node, Value};
use crate::{Files, yaml};

/// The merged tree.
#[derive(Debug, Clone, Default)]
pub(crate) struct Attributes {
    /// Some section names files, so that what they lack is known to be absent.
    pub declared: bool,
    tree: BTreeMap<String, Tree>,
}

#[derive(Debug, Clone)]
enum Tree {
    Leaf(Json, Span),
    Map(BTreeMap<String, Tree>, Span),
}

impl Attributes {
    /// Whether a path below `data` leads somewhere. Below a list nothing is told apart.
    pub(crate) fn has(&self, path: &[&str]) -> bool {
        let mut map = &self.tree;
        for name in path {
            match map.get(*name) {
                Some(Tree::Map(inner, _)) => map = inner,
                Some(Tree::Leaf(..)) => return true,
                None => return false,
            }
        }
        true
    }

    /// As JSON with sorted keys; empty when there are none.
    pub(crate) fn to_json(&self) -> String {
        if self.tree.is_empty() {
            String::new()
        } else {
            map_to_json(&self.tree).to_string()
        }
    }
}

fn map_to_json(map: &BTreeMap<String, Tree>) -> Json {
    let members = map.iter().map(|(key, tree)| {
        let value = match tree {
            Tree::Leaf(value, _) => value.clone(),
            Tree::Map(inner, _) => map_to_json(inner),
        };
        (key.clone(), value)
    });
    Json::Object(members.collect())
}

/// Reads the files that a policy names; they become sources of the compilation.
pub(crate) fn read(
    root: &Node,
    files: &dyn Files,
    sources: &mut Vec<Source>,
    reports: &mut Reports,
) -> Attributes {
    let mut attributes = Attributes::default();
    let global = root.get("global").map(|entry| &entry.node);
    let wrapped = global
        .and_then(|global| global.get("apl"))
        .and_then(|apl| apl.node.get("attribute_files"));
    let flat = global.and_then(|global| global.get("attribute_files"));
    for list in [flat, wrapped].into_iter().flatten() {
        attributes.declared = true;
        for item in names(list, reports) {
            let Some(name) = item.as_str() else {
                reports.error(
                    Code::WrongType,
                    item.span,
                    format!("an attribute file is a path, this is {}", item.kind()),
                );
                continue;
            };
            file(name, item.span, files, sources, &mut attributes.tree, reports);
        }
    }
    attributes
}

fn names<'n>(list: &'n Entry, reports: &mut Reports) -> &'n [Node] {
    match &list.node.value {
        Value::List(items) => items,
        Value::Null => &[],
        Value::Str(..) => std::slice::from_ref(&list.node),
        Value::Bool(_) | Value::Int(_) | Value::Float(_) | Value::Map(_) => {
            let message = format!(
                "`attribute_files` is a list of paths, this is {}",
                list.node.kind()
            );
            reports.error(Code::WrongType, list.node.span, message);
            &[]
        }
    }
}

fn file(
    name: &str,
    at: Span,
    files: &dyn Files,
    sources: &mut Vec<Source>,
    tree: &mut BTreeMap<String, Tree>,
    reports: &mut Reports,
) {
    let (shown, text) = match files.read(name) {
        Ok(found) => found,
        Err(fault) => {
            reports.push(
                error(
                    Code::AttributeFile,
                    at,
                    format!("the attribute file `{name}` cannot be read: {fault}"),
                )
                .help("paths are relative to the policy file"),
            );
            return;
        }
    };
    let Ok(index) = u16::try_from(sources.len()) else {
        reports.error(
            Code::Limit,
            at,
            "a policy is made of at most 65,536 files".to_owned(),
        );
        return;
    };
    sources.push(Source::new(shown, text));
    let Some(source) = sources.last() else { return };
    let Some(root) = yaml::load(source, index, reports) else {
        return;
    };
    let Some(entries) = root.as_map() else {
        let message = format!("an attribute file is a map, this is {}", root.kind());
        reports.push(error(Code::AttributeFile, root.span, message).help("data:\n  key: value"));
        return;
    };
    for entry in entries {
        if entry.key != "data" {
            reports.push(
                error(
                    Code::AttributeFile,
                    entry.key_span,
                    format!("`{}` stands beside `data` in an attribute file", entry.key),
                )
                .help("only what is below `data` can be read; move it there"),
            );
            continue;
        }
        match &entry.node.value {
            Value::Null => {}
            Value::Map(entries) => merge(tree, entries, reports),
            Value::Bool(_) | Value::Int(_) | Value::Float(_) | Value::Str(..) | Value::List(_) => {
                reports.error(
                    Code::AttributeFile,
                    entry.node.span,
                    format!("`data` is a map, this is {}", entry.node.kind()),
                );
            }
        }
    }
}

fn merge(tree: &mut BTreeMap<String, Tree>, entries: &[Entry], reports: &mut Reports) {
    for entry in entries {
        let slot = match tree.entry(entry.key.clone()) {
            Slot::Vacant(slot) => {
                let empty = match &entry.node.value {
                    Value::Map(_) => Tree::Map(BTreeMap::new(), entry.key_span),
                    _ => Tree::Leaf(leaf(&entry.node, reports), entry.key_span),
                };
                slot.insert(empty)
            }
            Slot::Occupied(slot) => slot.into_mut(),
        };
        match (slot, &entry.node.value) {
            (Tree::Map(inner, _), Value::Map(entries)) => merge(inner, entries, reports),
            (Tree::Leaf(known, _), value)
                if !matches!(value, Value::Map(_)) && *known == entry.node.to_json() => {}
            (Tree::Leaf(_, first) | Tree::Map(_, first), _) => reports.push(
                error(
                    Code::AttributeFile,
                    entry.key_span,
                    format!("`{}` has another value here", entry.key),
                )
                .related(*first, "the first value")
                .help("maps of several files are merged, but each value stands in one of them only"),
            ),
        }
    }
}

fn leaf(node: &Node, reports: &mut Reports) -> Json {
    finite(node, reports);
    node.to_json()
}

fn finite(node: &Node, reports: &mut Reports) {
    match &node.value {
        Value::Float(value) if !value.is_finite() => reports.error(
            Code::BadValue,
            node.span,
            "an attribute is a finite number".to_owned(),
        ),
        Value::List(items) => items.iter().for_each(|item| finite(item, reports)),
        Value::Map(entries) => entries.iter().for_each(|entry| finite(&entry.node, reports)),
        Value::Null | Value::Bool(_) | Value::Int(_) | Value::Float(_) | Value::Str(..) => {}
    }
}
