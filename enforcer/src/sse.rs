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
        }
    }

    /// Takes a chunk and returns the events that it completes.
    pub(crate) fn push(&mut self, chunk: &[u8]) -> (Vec<RawEvent>, Result<(), SseError>) {
        self.held.extend_from_slice(chunk);
        let mut events = Vec::new();
        while let Some(end) = self.next_event_end(false) {
            events.push(self.take(end));
        }
        let fine = if self.held.len() > self.limit {
            Err(SseError::TooLarge)
        } else {
            Ok(())
        };
        (events, fine)
    }

    /// The stream is over: what is held, if a consumer could still take it for an event. By the standard an event
    /// without its blank line is discarded, but a lenient client may read it, so it is judged like one.
    pub(crate) fn finish(&mut self) -> Vec<RawEvent> {
        let mut events = Vec::new();
        while let Some(end) = self.next_event_end(true) {
            events.push(self.take(end));
        }
        if !self.held.is_empty() {
            let end = self.held.len();
            events.push(self.take(end));
        }
        events
    }

    /// How many bytes are held back.
    pub(crate) const fn held(&self) -> usize {
        self.held.len()
    }

    /// Gives the held bytes back; what comes next begins with them.
    pub(crate) fn give_back(&mut self) -> Vec<u8> {
        self.line = 0;
        self.seen = 0;
        std::mem::take(&mut self.held)
    }

    fn next_event_end(&mut self, at_end: bool) -> Option<usize> {
        while let Some(byte) = self.held.get(self.seen).copied() {
            let after = self.seen.saturating_add(1);
            let line_end = match byte {
                b'\n' => after,
                b'\r' => match self.held.get(after) {
                    Some(b'\n') => after.saturating_add(1),
                    Some(_) => after,
                    // The next chunk may begin with the LF of a CRLF.
                    None if at_end => after,
                    None => return None,
                },
                _ => {
                    self.seen = after;
                    continue;
                }
            };
            let blank = self.seen == self.line.saturating_add(self.bom_length());
            self.line = line_end;
            self.seen = line_end;
            if blank {
                return Some(line_end);
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
        let data = data_of(if self.started {
            &raw
        } else {
            raw.strip_prefix(BOM).unwrap_or(&raw)
        });
        self.started = true;
        RawEvent { raw, data }
    }
}

const BOM: &[u8] = b"\xef\xbb\xbf";

fn data_of(raw: &[u8]) -> Option<Vec<u8>> {
    let mut data: Option<Vec<u8>> = None;
    for line in lines(raw) {
        let (field, value) = field_of(line);
        if field == b"data" {
            match &mut data {
                Some(all) => {
                    all.push(b'\n');
                    all.extend_from_slice(value);
                }
                None => data = Some(value.to_vec()),
            }
        }
    }
    data
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

/// The event with another payload: every other field as it was, `data` where the first `data` line stood. The payload
/// must hold no CR; each of its lines becomes a `data` line.
pub(crate) fn with_data(event: &RawEvent, payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(event.raw.len().saturating_add(payload.len()));
    let mut written = false;
    for line in lines(&event.raw) {
        let bare = line.strip_prefix(BOM).unwrap_or(line);
        if field_of(bare).0 == b"data" {
            if !written {
                push_data(&mut out, payload);
                written = true;
            }
        } else if !line.is_empty() {
            out.extend_from_slice(line);
            out.push(b'\n');
        }
    }
    if !written {
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
        events.extend(splitter.finish());
        let raw: Vec<u8> = events.iter().flat_map(|event| event.raw.clone()).collect();
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
                &[Some("a"), Some("b"), Some("c")],
            ),
            (b"\xef\xbb\xbfdata: a\n\n", &[Some("a")]),
            (b"event: message\nid: 7\ndata: {\ndata: }\n\n", &[Some("{\n}")]),
            (b": comment\n\ndata\n\nid: 1\n\n", &[None, Some(""), None]),
            (b"data: cut", &[Some("cut")]),
            (b"data: cut\r", &[Some("cut")]),
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
            with_data(event, b"[1]"),
            b"\xef\xbb\xbfid: 7\ndata: [1]\nevent: message\n\n".to_vec()
        );
    }
}
