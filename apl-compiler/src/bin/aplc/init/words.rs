//! Text of others as YAML.

/// A double-quoted scalar. What a policy file may not hold is escaped.
pub(super) fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for ch in text.chars() {
        match ch {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            _ if plain(ch) => out.push(ch),
            _ => out.push_str(&format!("\\U{:08X}", u32::from(ch))),
        }
    }
    out.push('"');
    out
}

/// Characters that a policy file may hold and that show as themselves.
fn plain(ch: char) -> bool {
    !ch.is_control()
        && !matches!(
            ch,
            '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{200e}' | '\u{200f}' | '\u{61c}'
        )
        && !matches!(ch, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// The beginning of a description as one comment line.
pub(super) fn comment(indent: &str, text: &str) -> String {
    let line: String = text
        .lines()
        .map(str::trim)
        .find(|line| !line.is_empty())
        .unwrap_or("")
        .chars()
        .filter(|ch| plain(*ch))
        .collect();
    if line.is_empty() {
        return String::new();
    }
    let short: String = line.chars().take(110).collect();
    let more = if short.len() < line.len() { " ..." } else { "" };
    format!("{indent}# {short}{more}\n")
}

/// A selector: names that look like patterns are written as a list, where names are literal.
pub(super) fn selector(kind: &str, name: &str) -> String {
    if name.contains(['*', '?']) {
        format!("  - {kind}: [{}]\n", quoted(name))
    } else {
        format!("  - {kind}: {}\n", quoted(name))
    }
}

#[cfg(test)]
mod tests {
    use super::{comment, quoted};

    #[test]
    fn nothing_of_a_foreign_text_reaches_the_file_raw() {
        assert_eq!(
            quoted("a\"b\\c\u{202e}\u{7}"),
            "\"a\\\"b\\\\c\\U0000202E\\U00000007\""
        );
        assert_eq!(comment("  ", "\n  first\r\nsecond"), "  # first\n");
        assert!(!comment("", "x\u{2028}  - tool: y").contains('\u{2028}'));
    }
}
