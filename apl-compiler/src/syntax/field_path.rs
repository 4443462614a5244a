//! Paths of fields under `args:` and `result:`.
//!
//! Keys are joined by dots, `user.address.street`; a key that holds a dot, a bracket or a quote stands in a quoted subscript, as
//! in attribute paths: `user["home.address"].street`, or `["weird.name"]` for one at the top.

/// A segment: the key, and whether it was quoted. `**` without quotes is any depth.
pub(crate) type Segment = (String, bool);

/// The segments of a path; `None` when it is none.
pub(crate) fn segments(path: &str) -> Option<Vec<Segment>> {
    let mut segments = Vec::new();
    let mut rest = path;
    loop {
        if rest.starts_with('[') {
            let (key, behind) = subscript(rest)?;
            segments.push((key, true));
            rest = behind;
        } else {
            let end = rest.find(['.', '[']).unwrap_or(rest.len());
            let (key, behind) = rest.split_at_checked(end)?;
            if key.is_empty() || key.contains(['"', '\'', ']']) {
                return None;
            }
            segments.push((key.to_owned(), false));
            rest = behind;
        }
        match rest.chars().next() {
            None => return Some(segments),
            Some('[') => {}
            Some('.') => {
                rest = rest.strip_prefix('.')?;
                // `a.["b"]` would be a second way to write `a["b"]`.
                if rest.starts_with('[') {
                    return None;
                }
            }
            Some(_) => return None,
        }
    }
}

/// Reads `["key"]`; yields the key and what stands behind it.
fn subscript(text: &str) -> Option<(String, &str)> {
    let inner = text.strip_prefix('[')?.trim_start();
    let quote = inner.chars().next().filter(|ch| matches!(ch, '"' | '\''))?;
    let mut key = String::new();
    let mut chars = inner.char_indices().skip(1);
    while let Some((at, ch)) = chars.next() {
        match ch {
            '\\' => match chars.next()? {
                (_, escaped @ ('\\' | '\'' | '"')) => key.push(escaped),
                _ => return None,
            },
            _ if ch == quote => {
                let behind = inner.get(at + ch.len_utf8()..)?.trim_start();
                return Some((key, behind.strip_prefix(']')?));
            }
            _ => key.push(ch),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::segments;

    fn keys(path: &str) -> Option<Vec<String>> {
        Some(segments(path)?.into_iter().map(|(key, _)| key).collect())
    }

    #[test]
    fn keys_are_joined_by_dots_and_any_other_is_quoted() {
        for (path, expected) in [
            ("a", vec!["a"]),
            ("a.b-c.0", vec!["a", "b-c", "0"]),
            ("**.ssn", vec!["**", "ssn"]),
            (r#"["weird.name"]"#, vec!["weird.name"]),
            (r#"a["b.c"].d['e']"#, vec!["a", "b.c", "d", "e"]),
            (r#"["a\"]b"]"#, vec!["a\"]b"]),
            (r#"[""]"#, vec![""]),
        ] {
            let expected: Vec<String> = expected.into_iter().map(str::to_owned).collect();
            assert_eq!(keys(path), Some(expected), "{path}");
        }
    }

    #[test]
    fn refuses_what_could_be_read_in_two_ways() {
        for path in [
            "",
            ".",
            "a.",
            ".a",
            "a..b",
            "a[b]",
            "a[0]",
            r#"a.["b"]"#,
            r#"["a"]b"#,
            r#"["a"#,
            r#"["a\n"]"#,
            "a\"b",
        ] {
            assert_eq!(keys(path), None, "{path}");
        }
    }
}
