//! Which `protocols` entry a request falls under.

use crate::config::Protocol;

/// What a path is to the configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Listing {
    /// Under the entry with this index.
    Listed(usize),
    /// Under none.
    Unlisted,
    /// Written so that a router or a backend may read it as a listed path although it is not spelt as one, or may read
    /// a listed one as another.
    Ambiguous,
}

/// Finds the entry: the longest prefix on a segment boundary wins, and an entry with the authority beats one without.
pub(crate) fn listing(protocols: &[Protocol], authority: &str, target: &str) -> Listing {
    let path = target.split(['?', '#']).next().unwrap_or(target);
    let strict = longest(protocols, authority, path, false);
    if is_plain(path) {
        return match strict {
            Some(at) => Listing::Listed(at),
            // A backend without case may take it for the listed one.
            None if longest(protocols, authority, path, true).is_some() => Listing::Ambiguous,
            None => Listing::Unlisted,
        };
    }
    let loose = loosened(path);
    if strict.is_some() || longest(protocols, authority, &loose, true).is_some() {
        return Listing::Ambiguous;
    }
    Listing::Unlisted
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
            ("x", "/MCP", Listing::Ambiguous),
            ("x", "//mcp", Listing::Ambiguous),
            ("x", "/./mcp", Listing::Ambiguous),
            ("x", "/a/../mcp", Listing::Ambiguous),
            ("x", "/%6dcp", Listing::Ambiguous),
            ("x", "/%256dcp", Listing::Ambiguous),
            ("x", "/a%2f..%2fmcp", Listing::Ambiguous),
            ("x", "/mcp;v=1", Listing::Ambiguous),
            ("x", "\\mcp", Listing::Ambiguous),
            ("x", "/mcp/..", Listing::Ambiguous),
            ("x", "/mcp/%zz", Listing::Ambiguous),
        ] {
            assert_eq!(
                listing(&protocols, authority, path),
                expected,
                "{authority} {path}"
            );
        }
    }
}
