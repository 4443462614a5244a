//! Session keys as row keys: the digests' bytes, half the size of their hex.

use companion_protocol::SessionKey;

use super::StoreError;

/// The rows' first parts. The session's holds the subject too: whatever the proxy computes, two subjects cannot meet.
pub(super) struct BucketKeys {
    pub(super) session: [u8; 64],
    pub(super) subject: [u8; 32],
}

impl BucketKeys {
    pub(super) fn of(key: &SessionKey) -> Result<Self, StoreError> {
        let subject = digest(&key.subject)?;
        let mut session = [0; 64];
        let (of_subject, of_session) = session.split_at_mut(32);
        of_subject.copy_from_slice(&subject);
        of_session.copy_from_slice(&digest(&key.session)?);
        Ok(Self { session, subject })
    }
}

/// Lower-case hex of a digest.
pub(crate) fn hex(digest: &[u8]) -> String {
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn digest(hex: &str) -> Result<[u8; 32], StoreError> {
    let nibble = |b: u8| match b {
        b'0'..=b'9' => Ok(b - b'0'),
        b'a'..=b'f' => Ok(b - b'a' + 10),
        _ => Err(StoreError::InvalidKey),
    };
    if hex.len() != 64 {
        return Err(StoreError::InvalidKey);
    }
    let mut out = [0; 32];
    for (byte, pair) in out.iter_mut().zip(hex.as_bytes().chunks_exact(2)) {
        let &[high, low] = pair else {
            return Err(StoreError::InvalidKey);
        };
        *byte = nibble(high)? << 4 | nibble(low)?;
    }
    Ok(out)
}
