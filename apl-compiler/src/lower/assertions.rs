//! Assertions of all layers, as one.

use apl_bytecode::{Assertion, Assertions, AssertionsId, Contract, HeaderSource};

use super::policy::Lowering;
use crate::diagnostics::{Code, error};
use crate::document::{AssertionsDecl, ContractDecl, HeaderDecl, SectionDecl, SourceDecl};

/// The assertions of these layers, outermost first; `None`: there are none.
pub(crate) fn lower(layers: &[&SectionDecl], lowering: &mut Lowering<'_>) -> Option<AssertionsId> {
    let side =
        |of: fn(&AssertionsDecl) -> &ContractDecl| merged(layers.iter().map(|layer| of(&layer.assertions)));
    let (request, response) = (side(|all| &all.request), side(|all| &all.response));
    if [&request, &response]
        .iter()
        .all(|(headers, strip)| headers.is_empty() && strip.is_empty())
    {
        return None;
    }
    let assertions = Assertions {
        request: contract(request, lowering),
        response: contract(response, lowering),
    };
    Some(lowering.tables.assertions(assertions))
}

type Merged<'d> = (Vec<&'d HeaderDecl>, Vec<&'d str>);

/// The union; of two entries for one header the narrower one counts.
fn merged<'d>(layers: impl Iterator<Item = &'d ContractDecl>) -> Merged<'d> {
    let mut headers: Vec<&HeaderDecl> = Vec::new();
    let mut strip: Vec<&str> = Vec::new();
    for layer in layers {
        if layer.replace_inherited.is_some() {
            headers.clear();
            strip.clear();
        }
        for header in &layer.headers {
            match headers.iter_mut().find(|known| known.name == header.name) {
                Some(known) => *known = header,
                None => headers.push(header),
            }
        }
        for pattern in &layer.strip {
            if !strip.contains(&pattern.as_str()) {
                strip.push(pattern);
            }
        }
    }
    (headers, strip)
}

fn contract((headers, strip): Merged<'_>, lowering: &mut Lowering<'_>) -> Contract {
    Contract {
        headers: headers
            .into_iter()
            .filter_map(|header| assertion(header, lowering))
            .collect(),
        strip: strip
            .into_iter()
            .map(|pattern| lowering.tables.str(pattern))
            .collect(),
    }
}

fn assertion(header: &HeaderDecl, lowering: &mut Lowering<'_>) -> Option<Assertion> {
    let attr = |names: &[String], lowering: &mut Lowering<'_>| {
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        lowering.tables.attr_of(&names)
    };
    let source = match &header.source {
        SourceDecl::Attr(names) => HeaderSource::Attr(attr(names, lowering)),
        SourceDecl::Members(members) => HeaderSource::Members(
            members
                .iter()
                .map(|(key, names)| (lowering.tables.str(key), attr(names, lowering)))
                .collect(),
        ),
        SourceDecl::Secret(name, span) => {
            let document = lowering.document;
            let found = document.secrets.iter().find(|secret| secret.name == *name);
            match found.map(|secret| (&secret.variable, &secret.kind)) {
                Some((Some(variable), _)) => HeaderSource::Variable(lowering.tables.str(variable)),
                Some((None, kind)) => {
                    lowering.reports.push(
                        error(
                            Code::NotInBuild,
                            *span,
                            format!("the secret `{name}` comes from `{kind}`, which the proxy cannot ask"),
                        )
                        .help("give it to the proxy in an environment variable of its VM: `provider: env`, `ref: NAME`"),
                    );
                    return None;
                }
                None => {
                    lowering.reports.push(
                        error(Code::Assertion, *span, format!("no secret is called `{name}`")).help(format!(
                            "secrets: {{values: {{{name}: {{provider: env, ref: NAME}}}}}}"
                        )),
                    );
                    return None;
                }
            }
        }
    };
    Some(Assertion {
        name: lowering.tables.str(&header.name),
        source,
        encoding: header.encoding,
        required: header.required,
    })
}
