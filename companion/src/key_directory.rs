//! Whose an API key is: a JSON file from the key's SHA-256 to a record.
//!
//! ```json
//! {"2bb80d53…": {"subject": "billing-bot", "roles": ["billing"], "expires_at": 1893456000}}
//! ```
//!
//! The file holds no key, only digests of keys that are random and long. It is read anew when it changes; a file that is
//! gone or cannot be read answers for nobody, and does not go on with what it said before.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use companion_protocol::KeyRecord;

use crate::json_object;

/// The largest file in bytes.
const MAX_FILE_BYTES: u64 = 16 << 20;

/// Why nobody can tell.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DirectoryError {
    /// No such directory.
    #[error("no key directory `{0}` is configured for this policy")]
    Unknown(String),
    /// Not a SHA-256 in hex.
    #[error("the key's digest is not 64 lower-case hex digits")]
    Digest,
    /// The file cannot be read; the log says why.
    #[error("the key directory cannot be read")]
    Unavailable,
}

impl DirectoryError {
    /// The stable code.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Unknown(_) | Self::Digest => "auth.misconfigured",
            Self::Unavailable => "auth.directory_unavailable",
        }
    }
}

type Records = Arc<BTreeMap<String, KeyRecord>>;

/// When the file was changed, how long it is, what it said.
type Known = Option<(SystemTime, u64, Records)>;

/// A file of keys.
#[derive(Debug)]
pub struct KeyDirectory {
    path: PathBuf,
    known: Mutex<Known>,
}

impl KeyDirectory {
    /// Over this file, which must be readable now.
    pub fn open(path: PathBuf) -> Result<Self, DirectoryError> {
        let directory = Self {
            path,
            known: Mutex::new(None),
        };
        directory.records()?;
        Ok(directory)
    }

    /// Whose the key with this digest is; `None`: nobody's.
    pub fn find(&self, digest: &str) -> Result<Option<KeyRecord>, DirectoryError> {
        let is_digest = digest.len() == 64 && digest.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        if !is_digest {
            return Err(DirectoryError::Digest);
        }
        Ok(self.records()?.get(digest).cloned())
    }

    fn records(&self) -> Result<Records, DirectoryError> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        self.refreshed(&mut known)
            .inspect_err(|error| {
                tracing::error!(path = %self.path.display(), %error, "a key directory cannot be read");
            })
            .map_err(|_| DirectoryError::Unavailable)
    }

    fn refreshed(&self, known: &mut Known) -> std::io::Result<Records> {
        let metadata = std::fs::metadata(&self.path)?;
        let (changed, length) = (metadata.modified()?, metadata.len());
        if let Some((at, of, records)) = known.as_ref()
            && (*at, *of) == (changed, length)
        {
            return Ok(Arc::clone(records));
        }
        *known = None;
        if length > MAX_FILE_BYTES {
            return Err(std::io::Error::other(format!(
                "it is longer than {MAX_FILE_BYTES} bytes"
            )));
        }
        let records: BTreeMap<String, KeyRecord> = json_object::parse(&std::fs::read(&self.path)?)?;
        if records.values().any(|record| record.subject.is_empty()) {
            return Err(std::io::Error::other("a record has no subject"));
        }
        let records = Arc::new(records);
        *known = Some((changed, length, Arc::clone(&records)));
        Ok(records)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_found_until_the_file_no_longer_says_so() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        let digest = "a".repeat(64);
        std::fs::write(file.path(), format!("{{\"{digest}\": {{\"subject\": \"bot\"}}}}")).expect("writes");
        let directory = KeyDirectory::open(file.path().to_owned()).expect("opens");
        let found = directory.find(&digest).expect("reads").expect("is known");
        assert_eq!(found.subject, "bot");
        assert_eq!(directory.find(&"b".repeat(64)), Ok(None));
        assert_eq!(directory.find("bot"), Err(DirectoryError::Digest));
        std::fs::write(file.path(), "{}").expect("writes");
        assert_eq!(directory.find(&digest), Ok(None));
        for broken in ["", "[]", "{\"x\": {\"subject\": \"\"}}", "{\"x\": {}}"] {
            std::fs::write(file.path(), broken).expect("writes");
            assert_eq!(
                directory.find(&digest),
                Err(DirectoryError::Unavailable),
                "{broken}"
            );
        }
    }
}
