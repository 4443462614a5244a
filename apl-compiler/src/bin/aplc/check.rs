//! `aplc check`.

use std::fs;

use apl_compiler::diagnostics::{HELP_BASE, to_sarif};
use apl_compiler::{Dialect, Options, Tools};

use super::command::{Check, CheckFormat, From};
use super::{End, Fault, input};

/// Checks a policy.
pub(crate) fn run(check: &Check) -> Result<End, Fault> {
    let options = Options {
        strict: check.strict,
        tools: check.tools.as_deref().map(tools).transpose()?,
        from: check.from.map(|from| match from {
            From::Cpex02 => Dialect::Cpex02,
            From::Praxis05 => Dialect::Praxis05,
        }),
        deploy: check.deploy.as_deref().map(input::file).transpose()?,
        ..Options::default()
    };
    let compilation = input::policy_with(&check.policy, &options)?;
    match check.format {
        CheckFormat::Human => {
            input::report(&compilation, check.no_notes);
            if compilation.output.is_some() {
                println!(
                    "{}: ok{}",
                    check.policy.display(),
                    input::counted(&compilation, check.no_notes)
                );
            }
        }
        CheckFormat::Json => println!(
            "{}",
            serde_json::to_string_pretty(&input::diagnostics(&compilation))?
        ),
        CheckFormat::Sarif => {
            let base = check.help_base.as_deref().unwrap_or(HELP_BASE);
            let sarif = to_sarif(&compilation.diagnostics, &compilation.sources, base);
            println!("{}", serde_json::to_string_pretty(&sarif)?);
        }
    }
    Ok(input::end(&compilation))
}

/// Reads a list of tools.
pub(crate) fn tools(path: &std::path::Path) -> Result<Tools, Fault> {
    let text = fs::read_to_string(path).map_err(|cause| Fault::File {
        doing: "read",
        path: path.to_owned(),
        cause,
    })?;
    Tools::parse(&text).map_err(|fault| Fault::Argument(format!("`{}`: {fault}", path.display())))
}
