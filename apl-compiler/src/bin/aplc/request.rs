//! `aplc explain POLICY --request REQUEST`: how a policy decides on one request.

mod gather;
mod seen;
mod write;

use std::path::Path;

use apl_compiler::Source;
use apl_compiler::diagnostics::{Diagnostic, to_report};

use super::case::{self, Given};
use super::command::{Explain, Format};
use super::place::Places;
use super::proxy::Proxy;
use super::{End, Fault, input};

/// Explains, and says no more than whether it could.
pub(crate) fn run(explain: &Explain, request: &Path) -> Result<End, Fault> {
    let Some(policy) = &explain.subject else {
        return Err(Fault::Argument(
            "`--request` needs the policy too: `aplc explain policy.yaml --request request.yaml`".to_owned(),
        ));
    };
    let compilation = input::policy(Path::new(policy))?;
    let Some(output) = &compilation.output else {
        input::report(&compilation, true);
        return Ok(End::PolicyAtFault);
    };
    let given = match read(request, explain.identity.as_deref())? {
        Ok(given) => given,
        Err((source, wrong)) => return Ok(refused(&source, &wrong)),
    };
    let mut proxy = Proxy::new(&output.program).map_err(|error| Fault::Argument(error.to_string()))?;
    let outcome = proxy
        .run(&given)
        .map_err(|error| Fault::Argument(error.to_string()))?;
    let places = Places::new(proxy.program(), &compilation.sources);
    let explanation = gather::gather(&outcome, &given, &output.program, &places, explain.show_values);
    match explain.format {
        Format::Text => print!("{}", write::text(&explanation)),
        Format::Json => println!("{}", serde_json::to_string_pretty(&write::json(&explanation))?),
    }
    // An answer that was not given leaves the verdict open.
    Ok(if outcome.missing.is_empty() {
        End::Fine
    } else {
        End::PolicyAtFault
    })
}

type Read = Result<Given, (Source, Vec<Diagnostic>)>;

fn read(request: &Path, identity: Option<&Path>) -> Result<Read, Fault> {
    let text = input::text(request)?;
    let message: Option<serde_json::Value> = serde_json::from_str(&text).ok();
    let source = Source::new(request.to_string_lossy(), text);
    let given = match message.filter(|message| message.get("jsonrpc").is_some()) {
        Some(message) => Ok(Given::message(message)),
        None => case::request_file(source),
    };
    let (Ok(mut given), Some(path)) = (given.clone(), identity) else {
        return Ok(given);
    };
    let source = Source::new(path.to_string_lossy(), input::text(path)?);
    Ok(case::identity_file(source).map(|identity| {
        given.identity = identity;
        given
    }))
}

fn refused(source: &Source, wrong: &[Diagnostic]) -> End {
    for diagnostic in wrong {
        eprintln!("{:?}", to_report(diagnostic, std::slice::from_ref(source)));
    }
    End::PolicyAtFault
}
