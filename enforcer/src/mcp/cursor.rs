//! What a sealed event id carries: the requests that its stream answers, and the backend's own id of the event.

use apl_bytecode::EntityKind;

/// A request whose answer a stream carries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Asked {
    /// `None`: housekeeping.
    pub(crate) entity: Option<EntityKind>,
    pub(crate) name: String,
    pub(crate) method: String,
    /// As sent.
    pub(crate) id: Vec<u8>,
}

/// A place in a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Cursor {
    /// None: the stream answers no request (a GET stream).
    pub(crate) asked: Vec<Asked>,
    /// The backend's event id.
    pub(crate) event: Vec<u8>,
}

const KINDS: &[EntityKind] = &[
    EntityKind::Tool,
    EntityKind::Prompt,
    EntityKind::Resource,
    EntityKind::Llm,
    EntityKind::A2a,
    EntityKind::Http,
];

/// What stands for housekeeping where a kind's number does.
const HOUSEKEEPING: u8 = u8::MAX;

impl Cursor {
    /// The bytes to seal.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        push(&mut out, &self.event);
        for asked in &self.asked {
            let kind = asked
                .entity
                .and_then(|entity| KINDS.iter().position(|kind| *kind == entity))
                .and_then(|at| u8::try_from(at).ok())
                .unwrap_or(HOUSEKEEPING);
            push(&mut out, &[kind]);
            push(&mut out, asked.name.as_bytes());
            push(&mut out, asked.method.as_bytes());
            push(&mut out, &asked.id);
        }
        out
    }

    /// What was sealed. `None` for bytes that [`Cursor::encode`] did not write: another version's.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let mut rest = bytes;
        let event = take(&mut rest)?.to_vec();
        let mut asked = Vec::new();
        while !rest.is_empty() {
            let entity = match take(&mut rest)? {
                [HOUSEKEEPING] => None,
                [at] => Some(*KINDS.get(usize::from(*at))?),
                _ => return None,
            };
            let mut text = || String::from_utf8(take(&mut rest)?.to_vec()).ok();
            let (name, method) = (text()?, text()?);
            asked.push(Asked {
                entity,
                name,
                method,
                id: take(&mut rest)?.to_vec(),
            });
        }
        Some(Self { asked, event })
    }
}

fn push(out: &mut Vec<u8>, part: &[u8]) {
    out.extend_from_slice(&u16::try_from(part.len()).unwrap_or(u16::MAX).to_be_bytes());
    out.extend(part.iter().take(usize::from(u16::MAX)));
}

fn take<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let (length, tail) = rest.split_first_chunk::<2>()?;
    let (part, tail) = tail.split_at_checked(usize::from(u16::from_be_bytes(*length)))?;
    *rest = tail;
    Some(part)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_read_back_as_written_and_no_other_bytes_are_read() {
        let cursor = Cursor {
            asked: vec![
                Asked {
                    entity: Some(EntityKind::Tool),
                    name: "get_compensation".to_owned(),
                    method: "tools/call".to_owned(),
                    id: b"\"7\"".to_vec(),
                },
                Asked {
                    entity: None,
                    name: String::new(),
                    method: "tools/list".to_owned(),
                    id: b"8".to_vec(),
                },
            ],
            event: b"3/0".to_vec(),
        };
        let bytes = cursor.encode();
        assert_eq!(Cursor::decode(&bytes), Some(cursor));
        for length in [0, 1, 3, 6, bytes.len() - 1] {
            assert_eq!(Cursor::decode(&bytes[..length]), None, "{length}");
        }
        assert_eq!(
            Cursor::decode(&bytes[..5]).map(|cursor| cursor.asked.len()),
            Some(0),
            "a stream that answers nothing"
        );
    }
}
