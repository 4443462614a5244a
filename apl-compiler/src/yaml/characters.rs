//! Characters that a policy file cannot hold.
//!
//! Besides control characters these are the ones that make people and parsers see different files: a carriage return
//! without a line feed ends a line in YAML and in few editors, so a rule behind it looks like part of a comment; and
//! bidirectional controls reorder what is shown ("Trojan Source", CVE-2021-42574).

/// The first one, and where.
pub(super) fn bad(text: &str) -> Option<(usize, char)> {
    let mut chars = text.char_indices().peekable();
    while let Some((at, ch)) = chars.next() {
        let refused = match ch {
            '\t' | '\n' => false,
            '\r' => chars.peek().is_none_or(|(_, next)| *next != '\n'),
            '\u{85}' | '\u{2028}' | '\u{2029}' | '\u{feff}' => true,
            '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => true,
            _ => ch.is_control(),
        };
        if refused {
            return Some((at, ch));
        }
    }
    None
}

/// What to say about it, and what to do.
pub(super) fn explain(ch: char) -> (String, &'static str) {
    let number = u32::from(ch);
    match ch {
        '\r' => (
            "a carriage return stands alone; some programs end the line here, and others do not".to_owned(),
            "convert the file to one kind of line end: LF, or CRLF",
        ),
        '\u{85}' | '\u{2028}' | '\u{2029}' => (
            format!("the file holds the line separator U+{number:04X}, which few programs show as one"),
            "replace it by a line feed",
        ),
        '\u{feff}' => (
            "a byte order mark stands inside the file".to_owned(),
            "remove it; one at the very beginning is accepted",
        ),
        '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => (
            format!("the file holds U+{number:04X}, which changes the order in which text is shown"),
            "remove it: with it, the file does not say what it seems to say",
        ),
        _ => (
            format!("the file holds the control character U+{number:04X}"),
            "remove it; inside a double-quoted string it can be written as an escape",
        ),
    }
}
