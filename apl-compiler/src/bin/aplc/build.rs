//! `aplc build`.

mod shadow;

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use apl_compiler::Options;
use companion_protocol::config::{CompanionConfig, LINES_FILE};
use serde_json::Value;

use super::command::{Build, Format};
use super::{End, Fault, artefacts, input, shared, sign, summary};

/// Compiles and writes everything, or nothing if the policy has errors.
pub(crate) fn run(build: &Build) -> Result<End, Fault> {
    let options = Options {
        deploy: build.deploy.as_deref().map(input::file).transpose()?,
        ..Options::default()
    };
    let compilation = input::policy_with(&build.policy, &options)?;
    if build.format == Format::Text {
        input::report(&compilation, build.no_notes);
    }
    let Some(output) = &compilation.output else {
        if build.format == Format::Json {
            println!(
                "{}",
                serde_json::to_string_pretty(&input::diagnostics(&compilation))?
            );
        }
        return Ok(End::PolicyAtFault);
    };
    let bound = &output.deployment.bound;
    if let Some(left) = bound.uses.first().filter(|_| !bound.by_file) {
        return Err(Fault::Argument(format!(
            "`{}` leaves {} to the deployment (`{}` to `bind: {}`): give its file with `--deploy FILE`; docs/deployments.md \
             shows one",
            build.policy.display(),
            bound.uses.len(),
            left.of,
            left.binding,
        )));
    }
    let build = &build.with(&bound.target);
    let mut model = output.program.program().clone();
    if build.strip {
        model.debug = None;
    }
    let mut bytes = apl_bytecode::encode(&model);
    let digest = output.program.digest_hex();
    let mut public_key = None;
    if let Some(path) = &build.sign_key {
        let key = sign::private_key(path)?;
        bytes = sign::attach(&bytes, &key, &digest)
            .map_err(|fault| Fault::Argument(format!("cannot sign the program: {fault}")))?;
        public_key = Some(sign::public_text(&key));
    }
    let directory = build.policy.parent().unwrap_or_else(|| Path::new(""));
    let (companion, mut secrets) = artefacts::companion(&output.deployment, directory, &digest)?;
    let mut filter =
        artefacts::filter::config(&output.program, &bytes, &output.deployment, build, public_key)?;
    let shadow = match &build.shadow {
        None => None,
        Some(path) => match shadow::read(path, build)? {
            None => return Ok(End::PolicyAtFault),
            Some(shadow) => {
                shadow.join(&mut filter, &mut secrets)?;
                Some(shadow)
            }
        },
    };

    for warning in shared::warnings(&output.program, &filter) {
        eprintln!("warning: {warning}");
    }

    fs::create_dir_all(&build.output).map_err(|cause| Fault::File {
        doing: "create",
        path: build.output.clone(),
        cause,
    })?;
    write(&build.output.join("policy.aplb"), &bytes)?;
    write(&build.output.join("companion.json"), &pretty(&companion)?)?;
    write(&build.output.join("filter-config.json"), &pretty(&filter)?)?;
    let path = build.output.join(LINES_FILE);
    match artefacts::lines(output.program.program(), &digest) {
        Some(lines) => write(&path, &pretty(&lines)?)?,
        None => remove(path)?,
    }
    let path = build.output.join("shadow-companion.json");
    match &shadow {
        Some(shadow) => write(&path, &pretty(&shadow.companion)?)?,
        None => remove(path)?,
    }
    let path = build.output.join("secrets.env");
    if secrets.is_empty() {
        remove(path)?;
    } else {
        write_secret(&path, artefacts::secrets_env(&secrets)?.as_bytes())?;
    }

    let summary = summary::of(
        output,
        &model,
        &bytes,
        secrets.len(),
        environment(&companion, build),
    );
    match build.format {
        Format::Text => print!("{}", summary.text(&compilation, build)),
        Format::Json => {
            let mut object = input::diagnostics(&compilation);
            if let Some(map) = object.as_object_mut() {
                map.insert("summary".to_owned(), summary.json());
            }
            println!("{}", serde_json::to_string_pretty(&object)?);
        }
    }
    Ok(End::Fine)
}

/// Removes what an earlier build left: the companion would read it.
fn remove(path: PathBuf) -> Result<(), Fault> {
    match fs::remove_file(&path) {
        Err(cause) if cause.kind() != std::io::ErrorKind::NotFound => Err(Fault::File {
            doing: "remove",
            path,
            cause,
        }),
        _ => Ok(()),
    }
}

/// Which environment variables must be set, and what each is.
fn environment(companion: &CompanionConfig, build: &Build) -> Vec<(&'static str, String)> {
    let mut found: Vec<_> = artefacts::filter::variables(build)
        .into_iter()
        .filter_map(|(key, _, name)| {
            let what = match key {
                "hash_key_env" => "filter, key of `hash`",
                "seal_key_env" => "filter, key of session and event ids",
                _ => "filter, token for the companion",
            };
            Some((what, name?.to_owned()))
        })
        .collect();
    // Every reference of the document, whatever it is of: `{"env": "NAME"}`.
    let mut open = vec![serde_json::to_value(companion).unwrap_or_default()];
    while let Some(value) = open.pop() {
        match value {
            Value::Object(map) => {
                if let (1, Some(Value::String(name))) = (map.len(), map.get("env"))
                    && !found.iter().any(|(_, known)| known == name)
                {
                    found.push(("companion, a secret of the policy", name.clone()));
                }
                open.extend(map.into_iter().map(|(_, value)| value));
            }
            Value::Array(items) => open.extend(items),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }
    found.sort_by(|a, b| a.1.cmp(&b.1));
    found
}

fn pretty(value: &impl serde::Serialize) -> Result<Vec<u8>, Fault> {
    let mut bytes = serde_json::to_vec_pretty(value)?;
    bytes.push(b'\n');
    Ok(bytes)
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), Fault> {
    fs::write(path, bytes).map_err(|cause| Fault::File {
        doing: "write",
        path: path.to_owned(),
        cause,
    })
}

/// Writes a file that only its owner can read; the mode is set before anything is in it.
fn write_secret(path: &Path, bytes: &[u8]) -> Result<(), Fault> {
    let fault = |cause| Fault::File {
        doing: "write",
        path: path.to_owned(),
        cause,
    };
    let mut options = fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt as _;
        options.mode(0o600);
    }
    // An existing file may have a wider mode, so it is replaced rather than reused.
    match fs::remove_file(path) {
        Err(cause) if cause.kind() != std::io::ErrorKind::NotFound => return Err(fault(cause)),
        _ => {}
    }
    options
        .open(path)
        .and_then(|mut file| file.write_all(bytes))
        .map_err(fault)
}
