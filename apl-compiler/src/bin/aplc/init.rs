//! `aplc init`: a first policy that compiles, and denies everything until somebody fills in the gates.

mod audit;
mod fields;
mod tools;
mod words;

use std::fs;
use std::io::Write as _;

use apl_compiler::{Severity, compile};

use super::command::Init;
use super::{End, Fault, check};

/// What a policy begins with.
const HEAD: &str = "\
# Who may do what, and what they get to see. Written by `aplc init`; it denies everything until the gates are filled in.
#
# 1. Declare who verifies the callers (`plugins`, `global`).
# 2. Replace each line with `gate.missing` by a gate, such as \"require(role.hr)\".
# 3. `aplc check policy.yaml` until it is quiet, then `aplc build policy.yaml -o build`.
#
# plugins:
#   - name: user
#     kind: identity/jwt
#     config:
#       trusted_issuers:
#         - issuer: \"https://idp.example\"
#           audiences: [gateway]
#           algorithms: [RS256]
#           decoding_key: { kind: jwks_url, url: \"https://idp.example/keys\" }
#
# global:
#   authentication: [user]

engine_settings:
  unmatched: deny # what no route governs

routes:
";

/// The gate that is to be replaced.
const GATE: &str = "      - \"deny('no gate for this yet', 'gate.missing')\"\n";

/// Writes the policy.
pub(crate) fn run(init: &Init) -> Result<End, Fault> {
    let text = match (&init.tools, &init.from_audit) {
        (Some(path), None) => tools::policy(&check::tools(path)?),
        (None, Some(path)) => audit::policy(path)?,
        // clap lets no other case through.
        _ => {
            return Err(Fault::Argument(
                "give one of `--tools` and `--from-audit`".to_owned(),
            ));
        }
    };
    let compilation = compile("policy.yaml", &text);
    if let Some(fault) = compilation
        .diagnostics
        .iter()
        .find(|diagnostic| diagnostic.severity > Severity::Note)
    {
        return Err(Fault::Argument(format!(
            "the policy that came of it is not clean ({}: {}); nothing was written",
            fault.code.id(),
            fault.message
        )));
    }
    let mut options = fs::OpenOptions::new();
    options.write(true);
    if init.force {
        options.create(true).truncate(true);
    } else {
        options.create_new(true);
    }
    let mut file = options.open(&init.output).map_err(|cause| {
        if cause.kind() == std::io::ErrorKind::AlreadyExists {
            return Fault::Argument(format!(
                "`{}` is there already; `--force` replaces it",
                init.output.display()
            ));
        }
        Fault::File {
            doing: "write",
            path: init.output.clone(),
            cause,
        }
    })?;
    file.write_all(text.as_bytes()).map_err(|cause| Fault::File {
        doing: "write",
        path: init.output.clone(),
        cause,
    })?;
    println!(
        "wrote {}: every route denies until its gate is filled in",
        init.output.display()
    );
    Ok(End::Fine)
}
