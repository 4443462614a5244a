//! A section that may carry policy: `global`, a default, a group, a route.

use apl_bytecode::Side;

use super::assertions::{self, AssertionsDecl};
use super::keys::{Reader, check};
use super::overrides::{self, Listed, Override};
use crate::diagnostics::{Code, error, note};
use crate::source::Span;
use crate::syntax::{Context, Field, Step, parse_field, parse_steps};
use crate::vocabulary::Section;
use crate::yaml::{Entry, Node, Value};

/// What one section says.
#[derive(Debug, Default)]
pub(crate) struct SectionDecl {
    /// What its denial codes begin with: `routes.tool:pay`, `groups.hr`, `global`.
    pub source: String,
    /// Steps before the call.
    pub pre: Vec<Step>,
    /// Steps after the call.
    pub post: Vec<Step>,
    /// Pipelines over arguments, in written order.
    pub args: Vec<Field>,
    /// Pipelines over the result.
    pub result: Vec<Field>,
    /// Asserted headers.
    pub assertions: AssertionsDecl,
    /// Other settings of declared plugins.
    pub overrides: Vec<Override>,
    /// Plugins that run before the steps. Empty once they are among the steps.
    pub listed: Vec<Listed>,
    /// Where those stood.
    pub listed_at: Vec<Span>,
    /// Credentials.
    pub authentication: Option<Authentication>,
}

/// An `authentication` block.
#[derive(Debug, Clone)]
pub(crate) struct Authentication {
    /// Names of identity plugins, in order.
    pub steps: Vec<(String, Span)>,
    /// Drops what outer sections say.
    pub replace_inherited: bool,
}

const PRE: [&str; 2] = ["policy", "pre_invocation"];
const POST: [&str; 2] = ["post_policy", "post_invocation"];

/// Reads a section.
pub(crate) fn read(node: &Node, kind: Section, source: &str, reader: &mut Reader<'_>) -> SectionDecl {
    check(node, kind, reader);
    let mut section = SectionDecl {
        source: source.to_owned(),
        ..SectionDecl::default()
    };
    section.authentication = authentication(node, reader);
    section.assertions = assertions::read(node, reader);
    let policy = match node.get("apl") {
        Some(wrapper) => {
            beside_wrapper(node, wrapper, reader);
            check(&wrapper.node, Section::Apl, reader);
            reader.reports.push(
                note(
                    Code::OldSpelling,
                    wrapper.key_span,
                    "the `apl:` wrapper is an old spelling",
                )
                .help("move what is in it one level out"),
            );
            &wrapper.node
        }
        None => node,
    };
    (section.overrides, section.listed) = overrides::read(policy, reader);
    section.pre = phase(policy, &PRE, "pre_invocation", Side::Args, reader);
    section.post = phase(policy, &POST, "post_invocation", Side::Result, reader);
    section.args = fields(policy, "args", Side::Args, reader);
    section.result = fields(policy, "result", Side::Result, reader);
    section
}

fn beside_wrapper(node: &Node, wrapper: &Entry, reader: &mut Reader<'_>) {
    let policy = |key: &str| {
        Section::Apl.keys().any(|(known, _)| known == key) && key != "plugins" && key != "response"
    };
    for entry in node
        .as_map()
        .unwrap_or(&[])
        .iter()
        .filter(|entry| policy(&entry.key))
    {
        let message = format!("`{}` stands beside an `apl:` wrapper", entry.key);
        reader.reports.push(
            error(Code::BesideWrapper, entry.key_span, message)
                .related(wrapper.key_span, "the wrapper")
                .help("CPEX would ignore it silently; remove the wrapper and keep everything on one level"),
        );
    }
}

/// One phase, under whichever of its spellings.
fn phase(
    node: &Node,
    spellings: &[&str; 2],
    modern: &'static str,
    side: Side,
    reader: &mut Reader<'_>,
) -> Vec<Step> {
    let nested = node
        .get("authorization")
        .and_then(|authorization| authorization.node.get(modern));
    let flat = spellings.iter().filter_map(|spelling| node.get(spelling));
    let mut found: Vec<&Entry> = nested.into_iter().chain(flat).collect();
    // An empty list says nothing, in any spelling.
    found.retain(|entry| entry.node.as_list().is_none_or(|items| !items.is_empty()));
    if modern == "pre_invocation"
        && let Some(authorization) = node.get("authorization")
    {
        check(&authorization.node, Section::Authorization, reader);
    }
    let mut found = found.into_iter();
    let Some(first) = found.next() else {
        return Vec::new();
    };
    for second in found {
        let message = format!(
            "`{}` and `{}` are two spellings of one phase",
            first.key, second.key
        );
        let message = if first.key == second.key {
            format!("`{modern}` stands here and under `authorization`")
        } else {
            message
        };
        reader.reports.push(
            error(Code::TwoSpellings, second.key_span, message)
                .related(first.key_span, "the other one")
                .help("put all steps into one list, in the order in which they are to run"),
        );
    }
    if first.key != modern {
        reader.reports.push(
            note(
                Code::OldSpelling,
                first.key_span,
                format!("`{}` is an old spelling", first.key),
            )
            .help(format!(
                "write `authorization: {{{modern}: [...]}}`, or `{modern}`"
            )),
        );
    }
    let mut cx = Context {
        source: reader.source,
        reports: reader.reports,
        side,
    };
    parse_steps(&first.node, &first.key, &mut cx)
}

fn fields(node: &Node, key: &str, side: Side, reader: &mut Reader<'_>) -> Vec<Field> {
    let Some(entry) = node.get(key) else {
        return Vec::new();
    };
    let mut fields = Vec::new();
    for entry in reader.map(&entry.node, key) {
        let Some(text) = entry.node.text(&reader.source.text) else {
            reader.wrong(&entry.node, "a field", "a pipeline in quotes");
            continue;
        };
        match parse_field(side, &entry.key, entry.key_span, text.all()) {
            Ok(field) => fields.push(field),
            Err(faults) => faults.into_iter().for_each(|fault| reader.reports.push(fault)),
        }
    }
    fields
}

fn authentication(node: &Node, reader: &mut Reader<'_>) -> Option<Authentication> {
    let entry = match (node.get("authentication"), node.get("identity")) {
        (Some(new), Some(old)) => {
            reader.reports.push(
                error(
                    Code::TwoSpellings,
                    old.key_span,
                    "`identity` is the old spelling of `authentication`",
                )
                .related(new.key_span, "the other one"),
            );
            new
        }
        (Some(entry), None) | (None, Some(entry)) => entry,
        (None, None) => return None,
    };
    let mut block = Authentication {
        steps: Vec::new(),
        replace_inherited: false,
    };
    let list = match &entry.node.value {
        Value::Map(entries) => {
            for part in entries
                .iter()
                .filter(|part| !matches!(part.key.as_str(), "steps" | "replace_inherited"))
            {
                let message = format!("`authentication` has no key `{}`", part.key);
                reader.reports.push(
                    error(Code::UnknownKey, part.key_span, message)
                        .help("its keys are `steps` and `replace_inherited`"),
                );
            }
            block.replace_inherited = reader.boolean(&entry.node, "replace_inherited").unwrap_or(false);
            match entry.node.get("steps") {
                Some(steps) => &steps.node,
                None => {
                    reader
                        .reports
                        .error(Code::MissingKey, entry.key_span, "`authentication` needs `steps`");
                    return Some(block);
                }
            }
        }
        _ => &entry.node,
    };
    for step in reader.list(list, "authentication") {
        match (step.as_str(), step.get("name")) {
            (Some(""), _) => reader
                .reports
                .error(Code::BadValue, step.span, "the name is empty"),
            (Some(name), _) => block.steps.push((name.to_owned(), step.span)),
            (None, Some(_)) => {
                for part in step
                    .as_map()
                    .unwrap_or(&[])
                    .iter()
                    .filter(|part| part.key != "name")
                {
                    let diagnostic = error(
                        Code::NotInBuild,
                        part.key_span,
                        format!("`{}` on an authentication step is not in this build", part.key),
                    );
                    reader.reports.push(diagnostic.help("every listed credential is mandatory; declare a second plugin for another configuration"));
                }
                if let Some(name) = reader.text(step, "name") {
                    block.steps.push((name.to_owned(), step.span));
                }
            }
            (None, None) => reader.wrong(step, "an authentication step", "the name of an identity plugin"),
        }
    }
    Some(block)
}
