//! `lines.json` beside `companion.json`: where the policy's rules were written.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::Path;

use companion_protocol::AuditRecord;
use companion_protocol::config::{LINES_FILE, MAX_RULE_LINES, RuleLines};

use super::{ConfigError, Policies};

/// The member of a record's `labels_of_policy` that has the line.
const LINE: &str = "line";

/// The lines of this policy, if the file is there and is of this policy. Another policy's may lie in the same folder.
pub(super) fn beside(config: &Path, digest: &str) -> Result<BTreeMap<String, String>, ConfigError> {
    let path = config.with_file_name(LINES_FILE);
    let text = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(BTreeMap::new()),
        Err(source) => return Err(ConfigError::Read { path, source }),
    };
    let RuleLines { policy_digest, lines } =
        serde_json::from_str(&text).map_err(|source| ConfigError::Lines {
            path: path.clone(),
            source,
        })?;
    if policy_digest != digest {
        return Ok(BTreeMap::new());
    }
    match lines.len() <= MAX_RULE_LINES {
        true => Ok(lines),
        false => Err(ConfigError::TooManyLines { path }),
    }
}

impl Policies {
    /// The record with the line of its rule, where that is known.
    pub(crate) fn with_line<'a>(&self, record: &'a AuditRecord) -> Cow<'a, AuditRecord> {
        let rule = record
            .rule
            .as_ref()
            .or(record.step.as_ref().map(|step| &step.source));
        let policy = self.by_digest.get(&record.policy_digest);
        match rule.zip(policy).and_then(|(rule, policy)| policy.lines.get(rule)) {
            None => Cow::Borrowed(record),
            Some(line) => {
                let mut record = record.clone();
                record.labels_of_policy.insert(LINE.to_owned(), line.clone());
                Cow::Owned(record)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const DIGEST: &str = "ab";

    fn read(text: &str) -> Result<BTreeMap<String, String>, ConfigError> {
        let directory = tempfile::tempdir().expect("a directory");
        std::fs::write(directory.path().join(LINES_FILE), text).expect("writes");
        beside(&directory.path().join("companion.json"), DIGEST)
    }

    fn file(digest: &str, rules: usize) -> String {
        let lines: BTreeMap<String, String> = (0..rules)
            .map(|rule| (format!("r[{rule}]"), format!("p.yaml:{rule}")))
            .collect();
        json!({"policy_digest": digest, "lines": lines}).to_string()
    }

    #[test]
    fn lines_are_those_of_this_policy_or_none() {
        assert_eq!(read(&file(DIGEST, 3)).expect("reads")["r[2]"], "p.yaml:2");
        assert!(read(&file("cd", 3)).expect("reads").is_empty());
        let nowhere = tempfile::tempdir().expect("a directory");
        let missing = beside(&nowhere.path().join("companion.json"), DIGEST);
        assert!(missing.expect("reads").is_empty());
    }

    #[test]
    fn a_file_that_cannot_be_used_is_told() {
        assert!(matches!(read("[]"), Err(ConfigError::Lines { .. })));
        let many = read(&file(DIGEST, MAX_RULE_LINES + 1));
        assert!(matches!(many, Err(ConfigError::TooManyLines { .. })));
    }
}
