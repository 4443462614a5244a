//! Secrets by reference: `secrets.env` beside `companion.json`, the process environment, a file, or Vault.

use std::collections::HashMap;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use companion_protocol::config::{SecretRef, VaultRef};

use super::vault::Vaulted;

/// The file that `aplc build` writes literal secrets of a foreign policy to.
pub(super) const SECRETS_FILE: &str = "secrets.env";

/// A secret that does not print itself.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// From its text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text, for the one place that sends it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// Why a secret is not there.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// Neither `secrets.env` nor the environment has it.
    #[error("variable `{0}` is neither in `secrets.env` beside the configuration nor in the environment")]
    MissingVariable(String),
    /// The variable is empty.
    #[error("variable `{0}` is empty")]
    EmptyVariable(String),
    /// The file cannot be read.
    #[error("cannot read secret file `{path}`")]
    File {
        /// Which file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file holds nothing but white space.
    #[error("secret file `{0}` is empty")]
    EmptyFile(PathBuf),
    /// Vault was not asked for it: a fault of ours.
    #[error("`{}` of `{}` was not fetched from Vault", .0.field, .0.path)]
    NotFetched(VaultRef),
}

/// Where the secrets of one configuration are looked up.
pub(super) struct SecretSource {
    directory: PathBuf,
    file: HashMap<String, String>,
    vaulted: Arc<Vaulted>,
}

impl SecretSource {
    /// Reads `secrets.env` in the directory of `config`, if there is one.
    pub(super) fn beside(config: &Path, vaulted: Arc<Vaulted>) -> std::io::Result<Self> {
        let directory = config.parent().unwrap_or(Path::new("")).to_owned();
        let path = directory.join(SECRETS_FILE);
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
            Err(error) => return Err(error),
        };
        if !text.is_empty() {
            warn_when_readable_by_others(&path)?;
        }
        Ok(Self {
            directory,
            file: parse(&text),
            vaulted,
        })
    }

    /// The secret behind a reference. `secrets.env` comes before the process environment.
    pub(super) fn read(&self, reference: &SecretRef) -> Result<Secret, SecretError> {
        match reference {
            SecretRef::Env(name) => {
                let value = self
                    .file
                    .get(name)
                    .cloned()
                    .or_else(|| std::env::var(name).ok())
                    .ok_or_else(|| SecretError::MissingVariable(name.clone()))?;
                if value.is_empty() {
                    return Err(SecretError::EmptyVariable(name.clone()));
                }
                Ok(Secret(value))
            }
            SecretRef::Vault(reference) => self
                .vaulted
                .get(reference)
                .cloned()
                .ok_or_else(|| SecretError::NotFetched(reference.clone())),
            SecretRef::File(name) => {
                let path = self.directory.join(name);
                let text = std::fs::read_to_string(&path).map_err(|source| SecretError::File {
                    path: path.clone(),
                    source,
                })?;
                match text.trim() {
                    "" => Err(SecretError::EmptyFile(path)),
                    secret => Ok(Secret(secret.to_owned())),
                }
            }
        }
    }
}

fn warn_when_readable_by_others(path: &Path) -> std::io::Result<()> {
    let mode = std::fs::metadata(path)?.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        tracing::warn!(
            path = %path.display(),
            mode = format!("{mode:04o}"),
            "others can read the secrets file; chmod 600 it"
        );
    }
    Ok(())
}

/// `NAME=value` lines. `#` starts a comment line, `export ` is skipped, one pair of quotes around a value is removed;
/// nothing is expanded.
fn parse(text: &str) -> HashMap<String, String> {
    text.lines()
        .filter_map(|line| {
            let line = line.trim();
            if line.starts_with('#') {
                return None;
            }
            let line = line.strip_prefix("export ").unwrap_or(line);
            let (name, value) = line.split_once('=')?;
            Some((name.trim().to_owned(), unquoted(value.trim()).to_owned()))
        })
        .collect()
}

fn unquoted(value: &str) -> &str {
    for quote in ['"', '\''] {
        if let Some(inner) = value
            .strip_prefix(quote)
            .and_then(|rest| rest.strip_suffix(quote))
        {
            return inner;
        }
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_name_value_lines_without_expanding() {
        let map = parse("# note\nA=b=c\nexport B='x y'\nC=\"$A\"\n\nnonsense\n");
        assert_eq!(map["A"], "b=c");
        assert_eq!(map["B"], "x y");
        assert_eq!(map["C"], "$A");
        assert_eq!(map.len(), 3);
    }

    #[test]
    fn secrets_do_not_print_themselves() {
        assert!(!format!("{:?}", Secret("hunter2".to_owned())).contains("hunter2"));
    }
}
