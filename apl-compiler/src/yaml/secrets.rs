//! Which keys hold secrets, and where their values are in a text that does not parse.

use crate::source::{Source, Span, to_u32};

/// What the name of a secret's key ends with; letters are compared without case, `-` is `_`.
const ENDINGS: &[&str] = &[
    "secret",
    "password",
    "passwd",
    "passphrase",
    "api_key",
    "apikey",
    "private_key",
    "access_token",
    "refresh_token",
    "id_token",
    "bearer",
    "credentials",
];

/// Whether the value of this key must not be shown, wherever it stands: a misplaced secret is one too.
pub(crate) fn is_secret(key: &str) -> bool {
    let key = key.to_ascii_lowercase().replace('-', "_");
    key == "token" || ENDINGS.iter().any(|ending| key.ends_with(ending))
}

/// Masks by text, line by line: everything behind a secret's key to the end of the line, and the more indented lines below
/// it (a block or folded scalar). It hides more than a parser would, never less.
pub(crate) fn mask(source: &mut Source) {
    let mut spans = Vec::new();
    let mut start = 0;
    // The indentation of a secret's key whose value may go on below.
    let mut inside: Option<usize> = None;
    for line in source.text.split_inclusive('\n') {
        let trimmed = line.trim_start();
        let indent = line.len() - trimmed.len();
        let blank = trimmed.is_empty();
        if let Some(key) = inside {
            if blank || indent > key || trimmed.starts_with(':') {
                spans.push(span(start, line.len()));
                start += line.len();
                continue;
            }
            inside = None;
        }
        if let Some(value) = value_of_secret(line) {
            spans.push(span(start + value, line.len() - value));
            inside = Some(indent);
        }
        start += line.len();
    }
    spans.into_iter().for_each(|span| source.mask(span));
}

fn span(start: usize, length: usize) -> Span {
    Span {
        file: 0,
        start: to_u32(start),
        end: to_u32(start + length),
    }
}

/// Where the value of the first secret's key on a line begins.
fn value_of_secret(line: &str) -> Option<usize> {
    let word = |ch: char| ch.is_alphanumeric() || matches!(ch, '_' | '-' | '.');
    for (colon, _) in line.match_indices([':', '=']) {
        let before = line.get(..colon)?.trim_end().trim_end_matches(['"', '\'']);
        let key = before
            .char_indices()
            .rev()
            .take_while(|(_, ch)| word(*ch))
            .last()
            .map_or("", |(at, _)| before.get(at..).unwrap_or(""));
        if is_secret(key) {
            return Some(colon + 1);
        }
    }
    // `? secret` puts the value on the next line.
    let explicit = line.trim_start().strip_prefix('?').map(str::trim);
    explicit
        .filter(|key| is_secret(key.trim_matches(['"', '\''])))
        .map(|_| line.len())
}

#[cfg(test)]
mod tests {
    use super::mask;
    use crate::source::Source;

    #[test]
    fn hides_values_by_text_alone() {
        for text in [
            "client_secret: hunter2\n",
            "a: {kind: literal, secret: hunter2, b: [\n",
            "\"password\" : 'hunter2\n",
            "- secret: |\n    hunter2\n\n    hunter2\nnext: 1\n",
            "Client-Secret:\n  hunter2\n",
            "? secret\n: hunter2\n",
            "token: hunter2",
            "x: \"password=hunter2\"\n",
        ] {
            let mut source = Source::new("p", text);
            mask(&mut source);
            assert!(!source.text.contains("hunter2"), "{text}: {}", source.text);
            assert_eq!(source.text.matches('\n').count(), text.matches('\n').count());
            assert_eq!(source.text.len(), text.len());
        }
        let mut source = Source::new(
            "p",
            "token_endpoint: x\nclient_secret_source: {kind: env_var, name: N}\n",
        );
        let before = source.text.clone();
        mask(&mut source);
        assert_eq!(source.text, before);
    }
}
