//! Media types and encodings.

/// What a body is, by its `content-type`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Media {
    /// `application/json`, in UTF-8.
    Json,
    /// `text/event-stream`.
    EventStream,
    /// Anything else, or unreadable.
    Other,
}

/// Reads a `content-type` value. Parameters other than `charset=utf-8` make a JSON type foreign; an event stream is UTF-8
/// whatever it says.
pub(crate) fn media_type(value: &[u8]) -> Media {
    let Ok(text) = std::str::from_utf8(value) else {
        return Media::Other;
    };
    let mut parts = text.split(';');
    let essence = parts.next().unwrap_or_default().trim();
    if essence.eq_ignore_ascii_case("text/event-stream") {
        return Media::EventStream;
    }
    if !essence.eq_ignore_ascii_case("application/json") {
        return Media::Other;
    }
    let fine = parts.all(|parameter| {
        let parameter = parameter.trim();
        parameter.is_empty()
            || parameter.split_once('=').is_some_and(|(name, value)| {
                name.trim().eq_ignore_ascii_case("charset")
                    && value.trim().trim_matches('"').eq_ignore_ascii_case("utf-8")
            })
    });
    if fine { Media::Json } else { Media::Other }
}

/// Whether it is `application/something+json` (RFC 6839), which HTTP resources answer with.
pub(crate) fn is_json_kind(value: &[u8]) -> bool {
    let essence = value.split(|byte| *byte == b';').next().unwrap_or_default();
    essence.trim_ascii().to_ascii_lowercase().ends_with(b"+json")
}

/// Whether a `content-encoding` leaves the bytes as they are.
pub(crate) fn is_identity(value: &[u8]) -> bool {
    value.trim_ascii().is_empty() || value.trim_ascii().eq_ignore_ascii_case(b"identity")
}

/// Whether a client that sent this `accept` takes events and not JSON.
pub(crate) fn only_events(accept: &str) -> bool {
    let mut events = false;
    for range in accept.split(',') {
        let range = range.split(';').next().unwrap_or_default().trim();
        if range.eq_ignore_ascii_case("text/event-stream") {
            events = true;
        } else if ["application/json", "application/*", "*/*"]
            .iter()
            .any(|json| range.eq_ignore_ascii_case(json))
        {
            return false;
        }
    }
    events
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_media_types() {
        for (value, expected) in [
            ("application/json", Media::Json),
            ("Application/JSON; charset=UTF-8", Media::Json),
            ("application/json;charset=\"utf-8\"", Media::Json),
            ("application/json; charset=utf-16", Media::Other),
            ("application/json, text/plain", Media::Other),
            ("application/jsonx", Media::Other),
            ("text/event-stream; charset=x", Media::EventStream),
            ("text/plain", Media::Other),
            ("", Media::Other),
        ] {
            assert_eq!(media_type(value.as_bytes()), expected, "{value}");
        }
    }

    #[test]
    fn finds_clients_that_take_events_only() {
        assert!(only_events("text/event-stream"));
        assert!(only_events("text/html, Text/Event-Stream;q=1"));
        assert!(!only_events("application/json, text/event-stream"));
        assert!(!only_events("text/event-stream, */*"));
        assert!(!only_events(""));
    }

    #[test]
    fn only_identity_is_identity() {
        assert!(is_identity(b"Identity") && is_identity(b" "));
        assert!(!is_identity(b"gzip") && !is_identity(b"identity, gzip"));
    }
}
