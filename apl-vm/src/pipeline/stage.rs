//! One value through all stages.

use std::{borrow::Cow, fmt::Display};

use apl_bytecode::{ScanMode, ScannerId, Scopes, Stage, StrId, TypeCheck};

use apl_json::{Document, JsonError, Kind, Node, NodeId};

use crate::{
    scan::{REDACTED, Search, Unredactable},
    trace,
};

use super::{Denied, Run, checks, hash};

impl Run<'_> {
    /// Runs the stages over one value of one document.
    pub(super) fn one(&mut self, document: &mut Document, id: NodeId) -> Result<(), Denied> {
        let stages = self.stages;
        for (index, stage) in stages.iter().enumerate() {
            trace::stage(index);
            let node = document.node(id);
            match stage {
                Stage::Type(check) => type_check(node, *check)?,
                Stage::Email => demand(checks::email(&text(node, "email")?), "not an e-mail address")?,
                Stage::Url => demand(
                    checks::url(&text(node, "url")?),
                    "not an absolute http or https URL",
                )?,
                Stage::Uuid => demand(checks::uuid(&text(node, "uuid")?), "not a UUID")?,
                Stage::Range(from, to) => {
                    let value = node.number().and_then(|number| number.as_i64());
                    let value = value.ok_or_else(|| {
                        Denied::new(format!("expected an integer, found {}", type_name(node)))
                    })?;
                    let inside = from.is_none_or(|from| value >= from) && to.is_none_or(|to| value <= to);
                    demand_with(inside, || format!("not in the range {}", range(*from, *to)))?;
                }
                Stage::Len(from, to) => {
                    let length = text(node, "len")?.chars().count();
                    let inside = from.is_none_or(|from| length >= from as usize)
                        && to.is_none_or(|to| length <= to as usize);
                    demand_with(inside, || {
                        format!("length not in the range {}", range(*from, *to))
                    })?;
                }
                Stage::Enum(values) => {
                    text(node, "enum")?;
                    demand(
                        values.iter().any(|value| node.is_str(self.text(*value))),
                        "not one of the values of `enum`",
                    )?;
                }
                Stage::Regex(regex) => match self.program.is_match(*regex, &text(node, "regex")?) {
                    Some(found) => demand(found, "does not match `regex`")?,
                    None => return Err(Denied::new("`regex` cannot be decided")),
                },
                Stage::Mask(shown) => {
                    let masked = mask(&text(node, "mask")?, *shown);
                    self.put(document, id, &masked, "mask")?;
                }
                Stage::Redact(_) => {
                    if self.fires.get(index) != Some(&false) {
                        self.put(document, id, REDACTED, "redact")?;
                    }
                }
                Stage::Omit => {
                    document.remove(id);
                    self.edited("omit");
                    return Ok(());
                }
                Stage::Hash => {
                    let pseudonym = hash::pseudonym(self.hash_key, node);
                    let pseudonym =
                        pseudonym.ok_or_else(|| Denied::new("`hash` needs the deployment's hash key"))?;
                    self.put(document, id, &pseudonym, "hash")?;
                }
                Stage::Taint(label, scopes) => self.taint(*label, *scopes),
                Stage::Scan { scanner, mode, label } => self.scan(document, id, *scanner, *mode, *label)?,
                // Checked before the first stage.
                Stage::Required => {}
            }
        }
        Ok(())
    }

    fn scan(
        &mut self,
        document: &mut Document,
        id: NodeId,
        scanner: ScannerId,
        mode: ScanMode,
        label: Option<StrId>,
    ) -> Result<(), Denied> {
        let search = Search::new(self.program, scanner);
        let found = match mode {
            ScanMode::Detect => search.first(document, id).is_some(),
            ScanMode::Redact => {
                let redacted = search.redact(document, id).map_err(|error| match error {
                    Unredactable::Key => Denied::new("a key cannot be redacted without ambiguity"),
                    Unredactable::Json(error) => too_large(error),
                })?;
                if redacted {
                    self.edited("scan");
                }
                redacted
            }
            ScanMode::Deny => match search.first(document, id) {
                None => false,
                Some(finding) => {
                    label
                        .into_iter()
                        .for_each(|label| self.taint(label, Scopes::SESSION));
                    let scanner = self.program.program().scanners.get(scanner.at());
                    let name = scanner.map_or("scan", |scanner| self.text(scanner.name));
                    let below = if finding.field.is_empty() {
                        String::new()
                    } else {
                        format!(" in {}", finding.field)
                    };
                    let what = format!("`{name}` found {}{below}", finding.detector);
                    return Err(Denied {
                        what,
                        code: scanner.map(|scanner| scanner.code),
                    });
                }
            },
        };
        if let (true, Some(label)) = (found, label) {
            self.taint(label, Scopes::SESSION);
        }
        Ok(())
    }

    fn put(
        &mut self,
        document: &mut Document,
        id: NodeId,
        text: &str,
        kind: &'static str,
    ) -> Result<(), Denied> {
        document.replace_text(id, text).map_err(too_large)?;
        self.edited(kind);
        Ok(())
    }
}

fn too_large(_: JsonError) -> Denied {
    Denied::new("the edited document is too large")
}

fn demand(holds: bool, otherwise: &'static str) -> Result<(), Denied> {
    if holds {
        Ok(())
    } else {
        Err(Denied::new(otherwise))
    }
}

fn demand_with(holds: bool, otherwise: impl FnOnce() -> String) -> Result<(), Denied> {
    if holds {
        Ok(())
    } else {
        Err(Denied::new(otherwise()))
    }
}

/// The text that a stage needs.
fn text<'a>(node: Node<'a>, stage: &str) -> Result<Cow<'a, str>, Denied> {
    node.as_str()
        .ok_or_else(|| Denied::new(format!("`{stage}` needs a string, found {}", type_name(node))))
}

fn type_check(node: Node<'_>, check: TypeCheck) -> Result<(), Denied> {
    let (holds, expected) = match check {
        TypeCheck::Str => (node.kind() == Kind::String, "str"),
        TypeCheck::Int => (
            node.number().is_some_and(|number| number.as_i64().is_some()),
            "int",
        ),
        TypeCheck::Bool => (node.kind() == Kind::Bool, "bool"),
        TypeCheck::Float => (
            node.number().is_some_and(|number| number.as_f64().is_some()),
            "float",
        ),
    };
    demand_with(holds, || {
        format!("expected {expected}, found {}", type_name(node))
    })
}

/// The word for a value's type, which is all that a reason says of it.
fn type_name(node: Node<'_>) -> &'static str {
    match node.number() {
        Some(number) if number.as_i64().is_some() => "int",
        Some(_) => "float",
        None => node.kind().name(),
    }
}

fn range<T: Display>(from: Option<T>, to: Option<T>) -> String {
    let side = |bound: Option<T>| bound.map(|bound| bound.to_string()).unwrap_or_default();
    format!("{}..{}", side(from), side(to))
}

/// All but the last `shown` characters become `*`, and at least half of them (language.md, row 10).
fn mask(text: &str, shown: u32) -> String {
    let length = text.chars().count();
    let shown = (shown as usize).min(length / 2);
    let hidden = length.saturating_sub(shown);
    text.chars()
        .enumerate()
        .map(|(i, c)| if i < hidden { '*' } else { c })
        .collect()
}
