//! Claim paths: names joined by dots, with `\.` for a dot in a name and `\\` for a backslash.

/// The names.
///
/// # Errors
///
/// What is wrong, for readers.
pub(super) fn parse(text: &str) -> Result<Vec<String>, String> {
    let mut names = Vec::new();
    let mut name = String::new();
    let mut chars = text.chars();
    while let Some(ch) = chars.next() {
        match ch {
            '\\' => match chars.next() {
                Some(escaped @ ('.' | '\\')) => name.push(escaped),
                Some(other) => return Err(format!("`\\{other}` is no escape")),
                None => return Err("it ends in a backslash".to_owned()),
            },
            '.' if name.is_empty() => return Err("a name in it is empty".to_owned()),
            '.' => names.push(std::mem::take(&mut name)),
            ch if ch.is_control() => return Err("a name in it has a control character".to_owned()),
            ch => name.push(ch),
        }
    }
    if name.is_empty() {
        return Err("a name in it is empty".to_owned());
    }
    names.push(name);
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn names_are_joined_by_dots_that_are_not_escaped() {
        let names = |text: &str| parse(text).unwrap();
        assert_eq!(names("sub"), ["sub"]);
        assert_eq!(names("realm_access.roles"), ["realm_access", "roles"]);
        assert_eq!(names("cognito:groups"), ["cognito:groups"]);
        assert_eq!(names("https://a\\.example/roles"), ["https://a.example/roles"]);
        assert_eq!(
            names("kubernetes\\.io.pod.name"),
            ["kubernetes.io", "pod", "name"]
        );
        assert_eq!(names("a\\\\b"), ["a\\b"]);
        for wrong in ["", ".a", "a.", "a..b", "a\\", "a\\:b", "a\0b"] {
            assert!(parse(wrong).is_err(), "{wrong:?}");
        }
    }
}
