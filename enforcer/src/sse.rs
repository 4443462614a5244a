//! Server-sent events, as the WHATWG HTML standard (section 9.2) parses them: CR, LF and CRLF end lines, several `data`
//! lines are one payload, a BOM may stand first, comments are skipped. Chunks may split anywhere.
//!
//! Events keep their raw bytes, so that what is not edited is passed on byte for byte.

/// One event with its raw bytes, the blank line included.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RawEvent {
    /// As received.
    pub(crate) raw: Vec<u8>,
    /// The `data` lines, joined with line feeds; `None`: no `data` line at all (a comment, a bare `id`).
    pub(crate) data: Option<Vec<u8>>,
    /// The last `id` line that a client would take; an empty one resets.
    pub(crate) id: Option<Vec<u8>>,
    /// The last `event` line.
    pub(crate) kind: Option<Vec<u8>>,
}

/// Why a stream cannot go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SseError {
    /// An event is longer than the bound.
    TooLarge,
}

/// Splits a stream into events with a bounded hold-back.
#[derive(Debug)]
pub(crate) struct Splitter {
    /// Bytes of the event that is not complete yet.
    held: Vec<u8>,
    /// Where the current line begins in `held`.
    line: usize,
    /// Up to where `held` has been looked at.
    seen: usize,
    limit: usize,
    started: bool,
    /// The last byte that was looked at is a CR.
    after_cr: bool,
}

impl Splitter {
    /// `limit`: bytes of one event.
    pub(crate) const fn new(limit: usize) -> Self {
        Self {
            held: Vec::new(),
            line: 0,
            seen: 0,
            limit,
            started: false,
            after_cr: false,
        }
    }

    /// Takes a chunk and returns the events that it completes.
    ///
    /// An event ends with the first byte of its blank line's end: a CR is not held back for the LF that may follow it.
    /// That LF is an event of its own, one byte without data, however the stream is cut.
    pub(crate) fn push(&mut self, chunk: &[u8]) -> (Vec<RawEvent>, Result<(), SseError>) {
        self.held.extend_from_slice(chunk);
        let mut events = Vec::new();
        while let Some(end) = self.next_event_end() {
            // Whoever sends it in one chunk gets no more than who sends it in many.
            if end > self.limit {
                return (events, Err(SseError::TooLarge));
            }
            events.push(self.take(end));
        }
        let fine = if self.held.len() > self.limit {
            Err(SseError::TooLarge)
        } else {
            Ok(())
        };
        (events, fine)
    }

    /// How many bytes are held back.
    pub(crate) const fn held(&self) -> usize {
        self.held.len()
    }

    /// Gives the held bytes back; what comes next begins with them.
    pub(crate) fn give_back(&mut self) -> Vec<u8> {
        self.line = 0;
        self.seen = 0;
        // It is looked at again from the start of an event.
        self.after_cr = false;
        std::mem::take(&mut self.held)
    }

    fn next_event_end(&mut self) -> Option<usize> {
        while let Some(byte) = self.held.get(self.seen).copied() {
            let at = self.seen;
            let after = at.saturating_add(1);
            self.seen = after;
            let was_cr = std::mem::replace(&mut self.after_cr, byte == b'\r');
            match byte {
                // The second half of a CRLF: it belongs to the line that the CR has ended.
                b'\n' if was_cr => {
                    self.line = after;
                    if at == 0 {
                        return Some(after);
                    }
                }
                b'\n' | b'\r' => {
                    let blank = at == self.line.saturating_add(self.bom_length());
                    self.line = after;
                    if blank {
                        return Some(after);
                    }
                }
                _ => {}
            }
        }
        None
    }

    /// A BOM counts as nothing at the start of the stream.
    fn bom_length(&self) -> usize {
        if !self.started && self.line == 0 && self.held.starts_with(BOM) {
            BOM.len()
        } else {
            0
        }
    }

    fn take(&mut self, end: usize) -> RawEvent {
        let rest = self.held.split_off(end.min(self.held.len()));
        let raw = std::mem::replace(&mut self.held, rest);
        self.line = 0;
        self.seen = 0;
        let text = if self.started {
            &raw
        } else {
            raw.strip_prefix(BOM).unwrap_or(&raw)
        };
        let (data, id, kind) = fields(text);
        self.started = true;
        RawEvent { raw, data, id, kind }
    }
}

const BOM: &[u8] = b"\xef\xbb\xbf";

/// The payload, the id and the type of an event.
type Fields = (Option<Vec<u8>>, Option<Vec<u8>>, Option<Vec<u8>>);

fn fields(raw: &[u8]) -> Fields {
    let (mut data, mut id, mut kind): Fields = (None, None, None);
    for line in lines(raw) {
        let (field, value) = field_of(line);
        match (field, &mut data) {
            (b"data", Some(all)) => {
                all.push(b'\n');
                all.extend_from_slice(value);
            }
            (b"data", None) => data = Some(value.to_vec()),
            // The standard has a client ignore an id with a NUL; not every client does.
            (b"id", _) => id = Some(value.to_vec()),
            (b"event", _) => kind = Some(value.to_vec()),
            (_, _) => {}
        }
    }
    (data, id, kind)
}

/// `name: value`, one space after the colon dropped; without a colon the whole line is the name.
fn field_of(line: &[u8]) -> (&[u8], &[u8]) {
    match line.iter().position(|byte| *byte == b':') {
        Some(at) => {
            let (field, rest) = line.split_at(at);
            let value = rest.strip_prefix(b":").unwrap_or(rest);
            (field, value.strip_prefix(b" ").unwrap_or(value))
        }
        None => (line, &[]),
    }
}

fn lines(raw: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = raw;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let at = rest.iter().position(|byte| matches!(byte, b'\n' | b'\r'));
        let (line, tail) = match at {
            Some(at) => rest.split_at(at),
            None => (rest, &[] as &[u8]),
        };
        rest = tail
            .strip_prefix(b"\r\n")
            .or_else(|| tail.strip_prefix(b"\n"))
            .or_else(|| tail.strip_prefix(b"\r"))
            .unwrap_or(tail);
        Some(line)
    })
}

/// What becomes of an event's id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Id<'a> {
    /// As it is.
    Keep,
    /// There is none.
    Remove,
    /// This one.
    Set(&'a str),
}

/// The event with another payload, another id or both: every other field as it was, `data` and `id` where the first of
/// their lines stood. The payload must hold no CR; each of its lines becomes a `data` line.
pub(crate) fn rewritten(event: &RawEvent, payload: Option<&[u8]>, id: Id<'_>) -> Vec<u8> {
    let mut out = Vec::with_capacity(event.raw.len().saturating_add(payload.map_or(0, <[u8]>::len)));
    let (mut data_written, mut id_written) = (false, false);
    for line in lines(&event.raw) {
        let bare = line.strip_prefix(BOM).unwrap_or(line);
        match (field_of(bare).0, payload, id) {
            (b"data", Some(payload), _) => {
                if !std::mem::replace(&mut data_written, true) {
                    push_data(&mut out, payload);
                }
            }
            (b"id", _, Id::Remove) => {}
            (b"id", _, Id::Set(id)) => {
                if !std::mem::replace(&mut id_written, true) {
                    out.extend_from_slice(b"id: ");
                    out.extend_from_slice(id.as_bytes());
                    out.push(b'\n');
                }
            }
            (_, _, _) => {
                if !line.is_empty() {
                    out.extend_from_slice(line);
                    out.push(b'\n');
                }
            }
        }
    }
    if let Some(payload) = payload.filter(|_| !data_written) {
        push_data(&mut out, payload);
    }
    out.push(b'\n');
    out
}

/// A `message` event of our own.
pub(crate) fn message(payload: &[u8]) -> Vec<u8> {
    let mut out = b"event: message\n".to_vec();
    push_data(&mut out, payload);
    out.push(b'\n');
    out
}

fn push_data(out: &mut Vec<u8>, payload: &[u8]) {
    for line in payload.split(|byte| *byte == b'\n') {
        out.extend_from_slice(b"data: ");
        out.extend(line.iter().copied().filter(|byte| *byte != b'\r'));
        out.push(b'\n');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn data(stream: &[u8], size: usize) -> Vec<Option<String>> {
        let mut splitter = Splitter::new(1 << 16);
        let mut events = Vec::new();
        for chunk in stream.chunks(size.max(1)) {
            let (some, fine) = splitter.push(chunk);
            assert_eq!(fine, Ok(()));
            events.extend(some);
        }
        let mut raw: Vec<u8> = events.iter().flat_map(|event| event.raw.clone()).collect();
        raw.extend(splitter.give_back());
        assert_eq!(raw, stream, "raw bytes are kept");
        events
            .into_iter()
            .map(|event| event.data.map(|data| String::from_utf8_lossy(&data).into_owned()))
            .collect()
    }

    #[test]
    fn any_chunking_gives_the_same_events() {
        let streams: &[(&[u8], &[Option<&str>])] = &[
            (b"data: a\n\ndata: b\n\n", &[Some("a"), Some("b")]),
            (
                b"data: a\r\n\r\ndata: b\r\rdata:c\n\n",
                &[Some("a"), None, Some("b"), Some("c")],
            ),
            (b"\xef\xbb\xbfdata: a\n\n", &[Some("a")]),
            (b"event: message\nid: 7\ndata: {\ndata: }\n\n", &[Some("{\n}")]),
            (b": comment\n\ndata\n\nid: 1\n\n", &[None, Some(""), None]),
            (b"data: a\r\n\n", &[Some("a")]),
            (b"data: a\n\r\ndata: b\n\r", &[Some("a"), None, Some("b")]),
            (b"retry: 5\r\rdata: a\r\r", &[None, Some("a")]),
            (b"data: cut", &[]),
            (b"data: cut\r", &[]),
            (b"data:  two\n\n\n\n", &[Some(" two"), None, None]),
        ];
        for (stream, expected) in streams {
            let expected: Vec<_> = expected.iter().map(|data| data.map(str::to_owned)).collect();
            for size in 1..=stream.len() {
                assert_eq!(data(stream, size), expected, "{stream:?} in chunks of {size}");
            }
        }
    }

    #[test]
    fn an_event_over_the_bound_ends_the_stream() {
        let mut splitter = Splitter::new(16);
        let (events, fine) = splitter.push(b"data: 1\n\ndata: 0123456789abcdef");
        assert_eq!((events.len(), fine), (1, Err(SseError::TooLarge)));
    }

    #[test]
    fn keeps_the_other_fields_when_data_is_replaced() {
        let mut splitter = Splitter::new(1 << 10);
        let (events, _) = splitter.push(b"\xef\xbb\xbfid: 7\r\ndata: {\r\ndata: }\r\nevent: message\r\n\r\n");
        let event = events.first().expect("one");
        assert_eq!(
            rewritten(event, Some(b"[1]"), Id::Keep),
            b"\xef\xbb\xbfid: 7\ndata: [1]\nevent: message\n\n".to_vec()
        );
        assert_eq!(
            rewritten(event, None, Id::Set("sealed")),
            b"id: sealed\ndata: {\ndata: }\nevent: message\n\n".to_vec(),
            "the BOM goes with the line that it stood on"
        );
        assert_eq!(
            rewritten(event, None, Id::Remove),
            b"data: {\ndata: }\nevent: message\n\n".to_vec()
        );
    }
}
