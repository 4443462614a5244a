//! What of a record only some may read: people's names under a pseudonym, what was captured under the operator's key.

use companion_protocol::AuditRecord;
use companion_protocol::sealed::CaptureKey;
use hmac::{Hmac, Mac};
use sha2::Sha256;

use super::AuditError;
use crate::store::hex;

/// The key that names become pseudonyms under. Whoever has it can tell which pseudonym is whose; without it nobody can.
#[derive(Clone)]
pub struct Pseudonyms(Hmac<Sha256>);

/// Too short a key could be tried out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the key of pseudonyms has fewer than 16 bytes")]
pub struct ShortKey;

impl Pseudonyms {
    /// A key of at least 16 bytes.
    pub fn new(key: &[u8]) -> Result<Self, ShortKey> {
        if key.len() < 16 {
            return Err(ShortKey);
        }
        Hmac::new_from_slice(key).map(Self).map_err(|_| ShortKey)
    }

    /// The name's pseudonym: the same for the same name under the same key.
    pub fn of(&self, name: &str) -> String {
        let mut mac = self.0.clone();
        mac.update(b"aplomb pseudonym 1\0");
        mac.update(name.as_bytes());
        let digest: [u8; 32] = mac.finalize().into_bytes().into();
        let (half, _) = digest.split_at(16);
        format!("p:{}", hex(half))
    }

    /// Subjects and approvers. Clients and workloads are programs, and an operator's own acts stay under their name.
    fn hide(&self, record: &mut AuditRecord) {
        if let Some(subject) = &mut record.subject {
            *subject = self.of(subject);
        }
        if record.entity_type == "approval"
            && let Some(approver) = &mut record.client
        {
            *approver = self.of(approver);
        }
    }
}

/// What is done to a record before it is written.
#[derive(Default)]
pub(super) struct Privacy {
    pub(super) pseudonyms: Option<Pseudonyms>,
    pub(super) capture_key: Option<CaptureKey>,
}

impl Privacy {
    /// `None`: it is written as it is.
    pub(super) fn apply(&self, record: &AuditRecord) -> Result<Option<AuditRecord>, AuditError> {
        let named = self
            .pseudonyms
            .as_ref()
            .filter(|_| record.entity_type != "sessions");
        if named.is_none() && record.facts.is_none() {
            return Ok(None);
        }
        let mut record = record.clone();
        if record.facts.is_some() {
            let Some(key) = &self.capture_key else {
                tracing::error!(
                    "a record carries what its policy read, and there is no `--capture-key` to encrypt it to"
                );
                return Err(AuditError);
            };
            key.seal(&mut record).map_err(|error| {
                tracing::error!(%error, "what a policy read cannot be encrypted");
                AuditError
            })?;
        }
        if let Some(pseudonyms) = named {
            pseudonyms.hide(&mut record);
        }
        Ok(Some(record))
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::record;
    use super::*;

    fn pseudonyms(key: &[u8]) -> Pseudonyms {
        Pseudonyms::new(key).expect("long enough")
    }

    #[test]
    fn a_name_has_one_pseudonym_under_one_key_and_another_under_another() {
        let one = pseudonyms(b"0123456789abcdef");
        assert_eq!(one.of("bob"), one.of("bob"));
        assert_ne!(one.of("bob"), one.of("alice"));
        assert_ne!(one.of("bob"), pseudonyms(b"fedcba9876543210").of("bob"));
        assert!(!one.of("bob").contains("bob"));
        assert_eq!(Pseudonyms::new(b"short").err(), Some(ShortKey));
    }

    #[test]
    fn people_are_hidden_and_operators_and_programs_are_not() {
        let privacy = Privacy {
            pseudonyms: Some(pseudonyms(b"0123456789abcdef")),
            capture_key: None,
        };
        let of = |entity_type: &str| AuditRecord {
            entity_type: entity_type.to_owned(),
            subject: Some("bob".to_owned()),
            client: Some("carol".to_owned()),
            ..record(1)
        };
        let hidden = |entity_type: &str| {
            let record = of(entity_type);
            let written = privacy.apply(&record).expect("applies").unwrap_or(record);
            (
                written.subject != Some("bob".to_owned()),
                written.client != Some("carol".to_owned()),
            )
        };
        assert_eq!(hidden("tool"), (true, false));
        assert_eq!(hidden("approval"), (true, true));
        assert_eq!(hidden("sessions"), (false, false));
    }

    #[test]
    fn what_was_captured_is_not_written_without_a_key() {
        let captured = AuditRecord {
            facts: Some(Box::default()),
            ..record(1)
        };
        assert!(Privacy::default().apply(&captured).is_err());
        assert_eq!(Privacy::default().apply(&record(1)).ok(), Some(None));
    }
}
