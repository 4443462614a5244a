//! `aplc build --shadow`: a second policy on the same traffic.

use std::collections::BTreeMap;
use std::path::Path;

use apl_compiler::Options;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use companion_protocol::config::CompanionConfig;
use serde_json::Value;

use super::super::command::{Build, Format};
use super::super::{Fault, artefacts, input, sign};

/// The second policy, built.
pub(super) struct Shadow {
    bytes: Vec<u8>,
    identities: Vec<Value>,
    timeout_ms: u64,
    secrets: BTreeMap<String, String>,
    /// What the companion needs to read labels and decide for it.
    pub(super) companion: CompanionConfig,
}

/// Compiles it; `None`: it has errors, which were reported.
pub(super) fn read(path: &Path, build: &Build) -> Result<Option<Shadow>, Fault> {
    let mut compilation = input::policy(path)?;
    let opens = compilation
        .output
        .as_ref()
        .is_some_and(|output| !output.deployment.bound.uses.is_empty());
    if opens && let Some(file) = &build.deploy {
        let options = Options {
            deploy: Some(input::file(file)?),
            ..Options::default()
        };
        compilation = input::policy_with(path, &options)?;
    }
    if build.format == Format::Text || compilation.output.is_none() {
        input::report(&compilation, build.no_notes);
    }
    let Some(output) = &compilation.output else {
        return Ok(None);
    };
    let mut model = output.program.program().clone();
    // It travels beside the other one in every configuration, and only the companion's operator looks into it.
    model.debug = None;
    let mut bytes = apl_bytecode::encode(&model);
    let digest = output.program.digest_hex();
    if let Some(path) = &build.sign_key {
        bytes = sign::attach(&bytes, &sign::private_key(path)?, &digest)
            .map_err(|fault| Fault::Argument(format!("cannot sign the second program: {fault}")))?;
    }
    let bound = &output.deployment.bound;
    if !bound.uses.is_empty() && !bound.by_file {
        return Err(Fault::Argument(format!(
            "`{}` leaves settings to the deployment: give its file with `--deploy FILE`",
            path.display()
        )));
    }
    let identities = output
        .deployment
        .identities
        .iter()
        .map(artefacts::filter::identity);
    let directory = path.parent().unwrap_or_else(|| Path::new(""));
    let (companion, secrets) = artefacts::companion(&output.deployment, directory, &digest)?;
    Ok(Some(Shadow {
        bytes,
        identities: identities.collect(),
        timeout_ms: artefacts::timeout_ms(&output.deployment).min(60_000),
        secrets,
        companion,
    }))
}

impl Shadow {
    /// Puts it beside the first one.
    pub(super) fn join(
        &self,
        filter: &mut Value,
        secrets: &mut BTreeMap<String, String>,
    ) -> Result<(), Fault> {
        for (name, secret) in &self.secrets {
            if secrets
                .insert(name.clone(), secret.clone())
                .is_some_and(|other| other != *secret)
            {
                return Err(Fault::Argument(format!(
                    "both policies hold a secret that would become `{name}`, and not the same: name environment variables \
                     or files in one of them"
                )));
            }
        }
        // One list binds both programs.
        let first = filter["identities"].as_array().cloned().unwrap_or_default();
        if let Some(other) = self.identities.iter().find(|one| !first.contains(one)) {
            return Err(Fault::Argument(format!(
                "the second policy leaves {} to the deployment, and the first does not leave the same",
                other["name"]
            )));
        }
        filter["shadow_policy"] = STANDARD.encode(&self.bytes).into();
        let timeout = &mut filter["companion"]["timeout_ms"];
        if timeout.as_u64().unwrap_or(0) < self.timeout_ms {
            *timeout = self.timeout_ms.into();
        }
        Ok(())
    }
}
