//! Session and event ids of a backend, sealed on their way to the client and opened on their way back
//! (`execution.md` rule 17).
//!
//! A session id is bound to the subject that the global identities verify and to the `protocols` entry; an event id to the
//! backend's session as well, and it carries the requests that its stream answers. So a stolen id is of no use to another
//! subject, and a stream that is resumed, on any worker, is governed like the one that was cut.

use super::{
    Exchange, Out,
    work::{Law, Work},
};
use crate::{
    Command, Counter, Engine, HeaderList, codec::Codec, engine::count, http::head::MAX_SESSION_ID,
    identity::principal::Unverified, mcp::cursor::Cursor, refusal::Refusal, seal::MAX_SEALED,
    session::subject_of,
};

/// What an exchange knows for sealing.
#[derive(Debug, Default)]
pub(super) struct Seals {
    /// What the client sent was opened.
    opened: bool,
    /// To whom ids are bound; empty: nobody is identified. `None`: not known, so nothing can be sealed.
    subject: Option<String>,
    /// The backend's own session id, as far as the request names one.
    session: Option<String>,
    /// The backend's own event id that the stream is resumed at.
    event: Option<String>,
    /// Event ids of the response are sealed.
    pub(super) ids: bool,
    /// Nothing is sealed, because what is not governed by a route is in shadow: ids pass as they are, and one of an
    /// earlier time that can be opened is.
    pub(super) off: bool,
}

impl Exchange {
    /// Opens what the client sent. False: the exchange waits for keys, or was refused.
    pub(super) fn open_seals(&mut self, engine: &mut Engine, now_ms: u64, out: &mut Out) -> bool {
        let law = Law::of(engine, None, "", self.scope(engine).as_deref());
        self.seals.off |= !self.seals.opened && engine.in_shadow(law.enforcement, now_ms);
        if self.seals.opened
            || engine.sealer.is_none()
            || self.head.codec != Codec::Mcp
            || !self.head.revision.has_sessions()
        {
            return true;
        }
        let verified = engine.identify(&law.identities, &self.head, now_ms);
        if self.seals.off {
            self.seals.opened = true;
            self.seals.subject = verified.ok().and_then(|(principal, _)| subject_of(&principal));
            let sealed = self.head.mcp_session_id.as_deref().unwrap_or_default();
            let session = self.open(engine, b"session", sealed);
            if let Some(session) = session.and_then(|bytes| String::from_utf8(bytes).ok()) {
                self.head.mcp_session_id = Some(session.clone());
                self.seals.session = Some(session);
            }
            return true;
        }
        let bound = self.head.mcp_session_id.is_some() || self.head.method != "POST";
        match verified {
            Ok((principal, _)) => self.seals.subject = Some(subject_of(&principal).unwrap_or_default()),
            Err(unverified) if bound => {
                self.unverified(engine, unverified, now_ms, out);
                return false;
            }
            // The route may know its caller by another identity; then nothing is sealed for it.
            Err(Unverified::Refused(_)) => {}
            // The route's own identity waits for them too, and then this is looked at again.
            Err(Unverified::NeedsKeys(..) | Unverified::NeedsRecord(_)) => return true,
        }
        self.seals.opened = true;
        match self.open_ids(engine) {
            Ok(works) => {
                self.batch.waiting.extend(works.into_iter().map(Box::new));
                true
            }
            Err(refusal) => {
                out.push(count(Counter::SealsRefused, 1));
                self.refuse(engine, &refusal, now_ms, out);
                false
            }
        }
    }

    /// Whether it has ids that are sealed.
    pub(super) fn seals_ids(&self, engine: &Engine) -> bool {
        engine.sealer.is_some() && self.head.codec == Codec::Mcp && !self.seals.off
    }

    /// The requests that a resumed stream answers.
    fn open_ids(&mut self, engine: &Engine) -> Result<Vec<Work>, Refusal> {
        if let Some(sealed) = self.head.mcp_session_id.take() {
            let opened = self.open(engine, b"session", &sealed);
            let session = opened.and_then(|bytes| String::from_utf8(bytes).ok());
            // 404 makes a client begin a new session, in every revision that has them.
            let Some(session) = session else {
                return Err(Refusal::rpc(
                    404,
                    -32001,
                    "protocol.unknown_session",
                    "the session is not known: begin a new one",
                ));
            };
            // Labels and policy go by the backend's id: it survives a rotation of the key.
            self.head.mcp_session_id = Some(session.clone());
            self.seals.session = Some(session);
        }
        if self.head.method != "GET" || !engine.reads_responses {
            return Ok(Vec::new());
        }
        let Some(sealed) = self.head.last_event_id.as_deref().filter(|id| !id.is_empty()) else {
            return Ok(Vec::new());
        };
        let cursor = self
            .open(engine, b"event", sealed)
            .and_then(|bytes| Cursor::decode(&bytes));
        let event = cursor
            .as_ref()
            .and_then(|cursor| String::from_utf8(cursor.event.clone()).ok());
        let (Some(cursor), Some(event)) = (cursor, event) else {
            return Err(Refusal::bad_request(
                "protocol.unknown_event",
                "`Last-Event-ID` names no event of this session: open the stream without it",
            ));
        };
        self.seals.event = Some(event);
        Ok(cursor.asked.into_iter().map(Work::resumed).collect())
    }

    /// The backend gets its own ids.
    pub(super) fn unsealed(&self, engine: &Engine, out: &mut Out) {
        let set = |name: &str, value: &Option<String>, out: &mut Out| {
            if let Some(value) = value {
                out.push(Command::SetRequestHeader {
                    name: name.to_owned(),
                    value: value.clone(),
                });
            }
        };
        let remove = |name: &str, out: &mut Out| {
            out.push(Command::RemoveRequestHeader {
                name: name.to_owned(),
            });
        };
        if self.seals.off {
            return set("mcp-session-id", &self.seals.session, out);
        }
        if self.seals_ids(engine) && !self.head.revision.has_sessions() && self.head.mcp_session_id.is_some()
        {
            // A stateless revision ignores it; a backend that does not would take it unopened.
            remove("mcp-session-id", out);
        }
        set("mcp-session-id", &self.seals.session, out);
        // Only a GET resumes, and only at a place that was opened here.
        let resumes = self.head.method == "GET" && (self.seals.event.is_some() || !engine.reads_responses);
        if self.head.last_event_id.is_some() && !resumes {
            remove("last-event-id", out);
        }
        set("last-event-id", &self.seals.event, out);
    }

    /// The client gets a sealed session id, or none.
    pub(super) fn seal_session(&self, engine: &Engine, headers: &HeaderList, out: &mut Out) {
        let name = "mcp-session-id";
        let mut given = headers.iter().filter(|(known, _)| known == name.as_bytes());
        let Some((_, id)) = given.next().filter(|_| self.seals_ids(engine)) else {
            return;
        };
        let fine = given.next().is_none()
            && id.iter().all(u8::is_ascii_graphic)
            && !id.is_empty()
            && self.head.revision.has_sessions();
        let sealed = self
            .seal(engine, b"session", id)
            .filter(|sealed| fine && sealed.len() <= MAX_SESSION_ID);
        out.push(match sealed {
            Some(value) => Command::SetResponseHeader {
                name: name.to_owned(),
                value,
            },
            None => Command::RemoveResponseHeader {
                name: name.to_owned(),
            },
        });
    }

    /// An event's id as the client gets it; `None`: the stream cannot be resumed here.
    pub(super) fn sealed_event_id(&self, engine: &Engine, id: &[u8]) -> Option<String> {
        // An empty one takes the last one back.
        if id.is_empty() {
            return Some(String::new());
        }
        let plain = id.iter().all(|byte| *byte >= b' ' && *byte != 0x7f);
        if !plain || !self.works().all(|work| work.can_resume(engine)) {
            return None;
        }
        let cursor = Cursor {
            asked: self.works().filter_map(Work::asked).collect(),
            event: id.to_vec(),
        }
        .encode();
        // In base64, with the tag.
        if cursor.len() > MAX_SEALED / 2 {
            return None;
        }
        self.seal(engine, b"event", &cursor)
    }

    fn seal(&self, engine: &Engine, kind: &[u8], plain: &[u8]) -> Option<String> {
        let (sealer, subject) = (engine.sealer.as_ref()?, self.seals.subject.as_deref()?);
        Some(sealer.seal(&self.bound(engine, kind, subject), plain))
    }

    fn open(&self, engine: &Engine, kind: &[u8], sealed: &str) -> Option<Vec<u8>> {
        let (sealer, subject) = (engine.sealer.as_ref()?, self.seals.subject.as_deref()?);
        sealer.open(&self.bound(engine, kind, subject), sealed)
    }

    /// What an id is bound to: kind, subject, entry and, for events, session.
    fn bound<'a>(&'a self, engine: &'a Engine, kind: &'a [u8], subject: &'a str) -> [&'a [u8]; 6] {
        let entry = engine.config.protocols.get(self.entry);
        let authority = entry.and_then(|entry| entry.authority.as_deref());
        let scope = entry.and_then(|entry| entry.scope.as_deref());
        let session = self.seals.session.as_deref().filter(|_| kind == b"event");
        [
            kind,
            subject.as_bytes(),
            authority.unwrap_or_default().as_bytes(),
            entry.map_or("", |entry| entry.path_prefix.as_str()).as_bytes(),
            scope.unwrap_or_default().as_bytes(),
            session.unwrap_or_default().as_bytes(),
        ]
    }
}
