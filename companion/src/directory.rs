//! Directories of API keys: a file of digests and records, read again while the companion runs.
//!
//! The proxy sends the digest of a key, never the key, and the file holds digests too: neither a leaked file nor a leaked
//! log is a credential.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use companion_protocol::KeyRecord;
use companion_protocol::config::KeyFile;
use serde::Deserialize;
use serde_json::{Map, Value};
use tokio::sync::Mutex;

/// Most bytes of a directory's file.
const MAX_FILE: u64 = 64 << 20;

/// A directory, and what was last read of it.
#[derive(Debug)]
pub struct Directory {
    path: PathBuf,
    refresh: Duration,
    max_staleness: Option<Duration>,
    held: Mutex<Held>,
}

#[derive(Debug, Default)]
struct Held {
    records: Option<BTreeMap<String, KeyRecord>>,
    /// When it was last looked at, and when that last went well.
    looked: Option<Instant>,
    read: Option<Instant>,
}

/// Why a directory has no answer. Never holds a digest or a record.
#[derive(Debug, thiserror::Error)]
pub enum DirectoryError {
    /// The file cannot be read.
    #[error("the key file cannot be read: {0}")]
    Read(#[from] std::io::Error),
    /// It is not a key file.
    #[error("the key file is not JSON of the form that is needed: line {0}")]
    Parse(usize),
    /// One of its records names no key.
    #[error("record {0} of the key file: `hash` is not `sha256:` and 64 hexadecimal digits")]
    Hash(usize),
    /// Two of its records name one key.
    #[error("record {0} of the key file has the `hash` of an earlier one")]
    Twice(usize),
    /// It is larger than a directory may be.
    #[error("the key file is larger than 64 MiB")]
    TooLarge,
    /// It could not be read for longer than policy allows.
    #[error("the key file could not be read for longer than `max_staleness_secs`")]
    Stale,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawFile {
    keys: Vec<RawRecord>,
}

#[derive(Deserialize)]
struct RawRecord {
    hash: String,
    #[serde(default)]
    expires_at: Option<u64>,
    #[serde(flatten)]
    fields: Map<String, Value>,
}

impl Directory {
    /// A directory at a path that is not relative any more. Nothing is read yet.
    pub fn new(path: PathBuf, config: &KeyFile) -> Self {
        Self {
            path,
            refresh: Duration::from_secs(config.refresh_s),
            max_staleness: config.max_staleness_s.map(Duration::from_secs),
            held: Mutex::default(),
        }
    }

    /// The record of a key by its digest in lower-case hex; `None`: nobody's.
    ///
    /// # Errors
    ///
    /// The file cannot be read and what was read before is too old, or nothing was.
    pub async fn find(&self, digest: &str) -> Result<Option<KeyRecord>, DirectoryError> {
        let mut held = self.held.lock().await;
        let now = Instant::now();
        let due = held
            .looked
            .is_none_or(|looked| now.duration_since(looked) >= self.refresh);
        if due {
            match self.read().await {
                Ok(records) => {
                    held.records = Some(records);
                    held.read = Some(now);
                }
                // An earlier answer is better than none, for a while.
                Err(error) if held.records.is_none() => return Err(error),
                Err(error) => {
                    tracing::warn!(path = %self.path.display(), %error, "the key file stays as it was read before")
                }
            }
            held.looked = Some(now);
        }
        let stale = held.read.zip(self.max_staleness);
        if stale.is_some_and(|(read, most)| now.duration_since(read) > most) {
            return Err(DirectoryError::Stale);
        }
        Ok(held
            .records
            .as_ref()
            .and_then(|records| records.get(digest))
            .cloned())
    }

    async fn read(&self) -> Result<BTreeMap<String, KeyRecord>, DirectoryError> {
        if tokio::fs::metadata(&self.path).await?.len() > MAX_FILE {
            return Err(DirectoryError::TooLarge);
        }
        records(&tokio::fs::read(&self.path).await?)
    }
}

fn records(text: &[u8]) -> Result<BTreeMap<String, KeyRecord>, DirectoryError> {
    let file: RawFile = serde_json::from_slice(text).map_err(|error| DirectoryError::Parse(error.line()))?;
    let mut records = BTreeMap::new();
    for (at, raw) in file.keys.into_iter().enumerate() {
        let hash = raw.hash.to_ascii_lowercase();
        let digest = hash
            .strip_prefix("sha256:")
            .filter(|hex| hex.len() == 64 && hex.bytes().all(|byte| byte.is_ascii_hexdigit()))
            .ok_or(DirectoryError::Hash(at))?;
        let record = KeyRecord {
            fields: raw.fields,
            expires_at: raw.expires_at,
        };
        // Picking either of two would hand one caller the other's identity.
        if records.insert(digest.to_owned(), record).is_some() {
            return Err(DirectoryError::Twice(at));
        }
    }
    Ok(records)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(digit: char) -> String {
        digit.to_string().repeat(64)
    }

    fn file(text: &str, refresh_s: u64) -> (tempfile::TempDir, Directory) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("keys.json");
        std::fs::write(&path, text).unwrap();
        let config = KeyFile {
            path: "keys.json".to_owned(),
            refresh_s,
            max_staleness_s: None,
        };
        (dir, Directory::new(path, &config))
    }

    #[tokio::test]
    async fn finds_a_record_without_its_hash_and_reads_the_file_again() {
        let one = format!(
            r#"{{"keys": [{{"hash": "SHA256:{}", "user": "bob", "expires_at": 7}}]}}"#,
            key('A')
        );
        let (dir, directory) = file(&one, 0);
        let record = directory.find(&key('a')).await.unwrap().unwrap();
        assert_eq!(record.expires_at, Some(7));
        assert_eq!(Value::Object(record.fields), serde_json::json!({"user": "bob"}));
        assert_eq!(directory.find(&key('b')).await.unwrap(), None);
        std::fs::write(dir.path().join("keys.json"), r#"{"keys": []}"#).unwrap();
        assert_eq!(directory.find(&key('a')).await.unwrap(), None, "taken away");
        // A file that is broken for a moment is not an outage.
        std::fs::write(dir.path().join("keys.json"), "{").unwrap();
        assert_eq!(directory.find(&key('a')).await.unwrap(), None);
    }

    #[tokio::test]
    async fn refuses_a_file_that_it_could_read_in_two_ways() {
        let hash = format!("sha256:{}", key('a'));
        for text in [
            "{}".to_owned(),
            r#"{"keys": [{"hash": "secret"}]}"#.to_owned(),
            r#"{"keys": [{"user": "bob"}]}"#.to_owned(),
            format!(r#"{{"keys": [{{"hash": "{hash}"}}, {{"hash": "{hash}"}}]}}"#),
        ] {
            let (_dir, directory) = file(&text, 60);
            assert!(directory.find(&key('a')).await.is_err(), "{text}");
        }
    }
}
