//! Which `protocols` entry a request falls under.

use crate::config::{Protocol, Speaks};

/// What a path is to the configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Listing {
    /// Under the entry with this index.
    Listed(usize),
    /// Under none.
    Unlisted,
    /// Written so that a router or a backend may read it as a listed path although it is not spelt as one, or may read
    /// a listed one as another: of this entry, as far as one can tell.
    Ambiguous(usize),
}

/// Finds the entry: the longest prefix on a segment boundary wins, and an entry with the authority beats one without.
pub(crate) fn listing(protocols: &[Protocol], authority: &str, target: &str) -> Listing {
    let path = target.split(['?', '#']).next().unwrap_or(target);
    let strict = longest(protocols, authority, path, false);
    if is_plain(path) {
        return match strict {
            Some(at) => Listing::Listed(at),
            // A backend without case may take it for the listed one.
            None => longest(protocols, authority, path, true).map_or(Listing::Unlisted, Listing::Ambiguous),
        };
    }
    let decoded = canonical(path).and_then(|path| longest(protocols, authority, &path, false));
    if let Some(at) = decoded
        && protocols
            .get(at)
            .is_some_and(|entry| entry.speaks == Speaks::Http)
    {
        return Listing::Listed(at);
    }
    let loose = || longest(protocols, authority, &loosened(path), true);
    strict
        .or_else(loose)
        .map_or(Listing::Unlisted, Listing::Ambiguous)
}

/// A path decoded for comparison, without a slash at its end. `None`: it can be read in more than one way, or is no path.
///
/// What may stand escaped is only what nobody takes for anything but a character of a segment. An escaped letter, digit or
/// one of `-._~` is refused too: whoever compares raw paths would see another one (RFC 3986 section 6.2.2.2).
pub(crate) fn canonical(target: &str) -> Option<String> {
    let path = target.split('?').next().unwrap_or_default();
    let fine = |byte: u8| {
        !byte.is_ascii_control()
            && !byte.is_ascii_alphanumeric()
            && !matches!(
                byte,
                b'-' | b'.' | b'_' | b'~' | b'/' | b'\\' | b'%' | b';' | b'?' | b'#'
            )
    };
    let raw = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'\\' | b';' | b'#');
    let decoded = unescaped(path, fine).filter(|_| path.bytes().all(raw))?;
    let decoded = String::from_utf8(decoded).ok()?;
    let trimmed = decoded.trim_end_matches('/');
    let segments = trimmed.strip_prefix('/').unwrap_or("x").split('/');
    let plain = decoded.starts_with('/')
        && decoded.len() <= trimmed.len().saturating_add(1)
        && !decoded.contains(char::is_control)
        && segments
            .clone()
            .all(|segment| !matches!(segment, "" | "." | ".."));
    plain.then(|| trimmed.to_owned())
}

/// With its escapes decoded; `None`: one is malformed, or `fine` does not hold of what it stands for.
pub(crate) fn unescaped(text: &str, fine: impl Fn(u8) -> bool) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(mut byte) = rest.next() {
        if byte == b'%' {
            let digit = |byte: Option<u8>| char::from(byte?).to_digit(16);
            let value = digit(rest.next())?
                .checked_mul(16)?
                .checked_add(digit(rest.next())?)?;
            byte = u8::try_from(value).ok().filter(|byte| fine(*byte))?;
        }
        out.push(byte);
    }
    Some(out)
}

/// No escape, no empty, dot or parameter segment, no control byte: everybody reads it the same way.
pub(super) fn is_plain(path: &str) -> bool {
    path.starts_with('/')
        && !path.contains("//")
        && path
            .bytes()
            .all(|byte| byte > b' ' && byte != 0x7f && !matches!(byte, b'%' | b'\\' | b';'))
        && !path.split('/').any(|segment| segment == "." || segment == "..")
}

fn longest(protocols: &[Protocol], authority: &str, path: &str, fold: bool) -> Option<usize> {
    protocols
        .iter()
        .enumerate()
        .filter(|(_, entry)| {
            entry
                .authority
                .as_deref()
                .is_none_or(|wanted| same_authority(wanted, authority))
                && under(&entry.path_prefix, path, fold)
        })
        .max_by_key(|(_, entry)| {
            (
                entry.path_prefix.trim_end_matches('/').len(),
                entry.authority.is_some(),
            )
        })
        .map(|(at, _)| at)
}

fn under(prefix: &str, path: &str, fold: bool) -> bool {
    let prefix = prefix.trim_end_matches('/').as_bytes();
    let path = path.as_bytes();
    let Some((head, rest)) = path.split_at_checked(prefix.len()) else {
        return false;
    };
    let same = if fold {
        head.eq_ignore_ascii_case(prefix)
    } else {
        head == prefix
    };
    same && matches!(rest.first(), None | Some(b'/'))
}

/// Compares without case, a trailing dot and, unless the entry names one, the port.
fn same_authority(wanted: &str, found: &str) -> bool {
    let plain = |text: &str| text.trim_end_matches('.').to_ascii_lowercase();
    if plain(wanted) == plain(found) {
        return true;
    }
    match found.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => plain(wanted) == plain(host),
        Some(_) | None => false,
    }
}

/// How the most generous reader would read the path: decoded (twice), backslashes as slashes, parameters dropped, dot
/// and empty segments resolved.
fn loosened(path: &str) -> String {
    let decoded = decode(&decode(path.as_bytes()));
    let text = String::from_utf8_lossy(&decoded).replace('\\', "/");
    let mut segments: Vec<&str> = Vec::new();
    for segment in text.split('/') {
        let segment = segment.split(';').next().unwrap_or(segment);
        match segment {
            "" | "." => {}
            ".." => {
                segments.pop();
            }
            _ => segments.push(segment),
        }
    }
    format!("/{}", segments.join("/"))
}

fn decode(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let Some((byte, tail)) = rest.split_first() {
        let pair = if *byte == b'%' {
            tail.split_at_checked(2)
        } else {
            None
        };
        let value = pair.and_then(|(digits, after)| {
            let text = std::str::from_utf8(digits).ok()?;
            Some((u8::from_str_radix(text, 16).ok()?, after))
        });
        match value {
            Some((value, after)) => {
                out.push(value);
                rest = after;
            }
            None => {
                out.push(*byte);
                rest = tail;
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Speaks;

    fn entry(authority: Option<&str>, prefix: &str) -> Protocol {
        Protocol {
            authority: authority.map(str::to_owned),
            path_prefix: prefix.to_owned(),
            speaks: Speaks::Mcp,
            scope: None,
            origins: None,
        }
    }

    #[test]
    fn lists_paths() {
        let protocols = [
            entry(None, "/mcp"),
            entry(None, "/mcp/hr/"),
            entry(Some("A.example"), "/mcp"),
        ];
        for (authority, path, expected) in [
            ("x", "/mcp", Listing::Listed(0)),
            ("x", "/mcp/", Listing::Listed(0)),
            ("x", "/mcp?x=/mcp/hr", Listing::Listed(0)),
            ("x", "/mcp/hr", Listing::Listed(1)),
            ("x", "/mcp/hrx", Listing::Listed(0)),
            ("a.example:8080", "/mcp", Listing::Listed(2)),
            ("a.example.", "/mcp/y", Listing::Listed(2)),
            ("a.example", "/mcp/hr/z", Listing::Listed(1)),
            ("x", "/mcpx", Listing::Unlisted),
            ("x", "/", Listing::Unlisted),
            ("x", "/other%20file", Listing::Unlisted),
            ("x", "/MCP", Listing::Ambiguous(0)),
            ("x", "//mcp", Listing::Ambiguous(0)),
            ("x", "/./mcp", Listing::Ambiguous(0)),
            ("x", "/a/../mcp", Listing::Ambiguous(0)),
            ("x", "/%6dcp", Listing::Ambiguous(0)),
            ("x", "/%256dcp", Listing::Ambiguous(0)),
            ("x", "/a%2f..%2fmcp", Listing::Ambiguous(0)),
            ("x", "/mcp;v=1", Listing::Ambiguous(0)),
            ("x", "\\mcp", Listing::Ambiguous(0)),
            ("x", "/mcp/..", Listing::Ambiguous(0)),
            ("x", "/mcp/%zz", Listing::Ambiguous(0)),
        ] {
            assert_eq!(
                listing(&protocols, authority, path),
                expected,
                "{authority} {path}"
            );
        }
    }

    #[test]
    fn a_path_has_one_reading_or_none() {
        for (path, expected) in [
            ("/", Some("")),
            ("/a/b", Some("/a/b")),
            ("/a/b/", Some("/a/b")),
            ("/a?x=%zz", Some("/a")),
            ("/a%20b/%C3%A4%c3%a4", Some("/a b/ää")),
            ("/a:b@c,d;", None),
            ("/a%3Ab", Some("/a:b")),
            ("", None),
            ("a", None),
            ("*", None),
            ("//a", None),
            ("/a//", None),
            ("/a//b", None),
            ("/./a", None),
            ("/a/..", None),
            ("/a/%2e%2e", None),
            ("/a/.%2E", None),
            ("/a%2fb", None),
            ("/a%5cb", None),
            ("/a\\b", None),
            ("/a;v=1", None),
            ("/a%3bv", None),
            ("/%61dmin", None),
            ("/a%252fb", None),
            ("/a%3fb", None),
            ("/a#b", None),
            ("/a%00", None),
            ("/a%0a", None),
            ("/a%c2%85", None),
            ("/a%", None),
            ("/a%4", None),
            ("/a%zz", None),
            ("/a%+f", None),
            ("/a%ff", None),
            ("/a%c0%af", None),
            ("/a\u{e4}", None),
        ] {
            assert_eq!(canonical(path).as_deref(), expected, "{path}");
        }
    }

    #[test]
    fn escapes_are_for_resources_only() {
        let mut http = entry(None, "/files");
        http.speaks = Speaks::Http;
        let protocols = [http, entry(None, "/mcp")];
        assert_eq!(listing(&protocols, "x", "/files/a%20b"), Listing::Listed(0));
        assert_eq!(listing(&protocols, "x", "/files/a%2fb"), Listing::Ambiguous(0));
        assert_eq!(listing(&protocols, "x", "/mcp/a%20b"), Listing::Ambiguous(1));
    }
}
