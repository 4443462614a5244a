//! `aplc build`.

use std::fs;
use std::io::Write as _;
use std::path::Path;

use super::command::{Build, Format};
use super::{End, Fault, artefacts, input, summary};

/// Compiles and writes everything, or nothing if the policy has errors.
pub(crate) fn run(build: &Build) -> Result<End, Fault> {
    let compilation = input::policy(&build.policy)?;
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
    let mut model = output.program.program().clone();
    if build.strip {
        model.debug = None;
    }
    let bytes = apl_bytecode::encode(&model);
    let digest = output.program.digest_hex();
    let directory = build.policy.parent().unwrap_or_else(|| Path::new(""));
    let (companion, secrets) = artefacts::companion(&output.deployment, directory, &digest)?;
    let filter = artefacts::filter_config(&output.program, &bytes, &output.deployment, build)?;

    fs::create_dir_all(&build.output).map_err(|cause| Fault::File {
        doing: "create",
        path: build.output.clone(),
        cause,
    })?;
    write(&build.output.join("policy.aplb"), &bytes)?;
    write(&build.output.join("companion.json"), &pretty(&companion)?)?;
    write(&build.output.join("filter-config.json"), &pretty(&filter)?)?;
    let path = build.output.join("secrets.env");
    if secrets.is_empty() {
        // One of an earlier build would be read by the companion.
        match fs::remove_file(&path) {
            Err(cause) if cause.kind() != std::io::ErrorKind::NotFound => {
                return Err(Fault::File {
                    doing: "remove",
                    path,
                    cause,
                });
            }
            _ => {}
        }
    } else {
        write_secret(&path, artefacts::secrets_env(&secrets)?.as_bytes())?;
    }

    let summary = summary::of(output, &model, &bytes, secrets.len());
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
