//! `pins`, `engine_settings.public_paths` and a route's `challenge`.

use super::keys::{Reader, check};
use crate::diagnostics::{Code, error};
use crate::vocabulary::Section;
use crate::yaml::Node;

/// The pinned tools of one server.
#[derive(Debug)]
pub(crate) struct PinsDecl {
    /// The scope of the server's entries of `protocols`.
    pub scope: Option<String>,
    /// `unpinned: hide`.
    pub hides_unpinned: bool,
    /// Names and digests, in the order of names.
    pub tools: Vec<(String, [u8; 32])>,
}

/// What a caller is told to acquire.
#[derive(Debug, Clone)]
pub(crate) struct ChallengeDecl {
    /// OAuth scopes.
    pub scopes: Vec<String>,
    /// `lists: annotate`.
    pub annotates: bool,
}

/// The mark of a changed definition is a label, `pin:<scope>/<tool>`, and so long is one at most.
const MAX_MARK_BYTES: usize = 128;

/// Reads `pins`.
pub(crate) fn read(node: &Node, reader: &mut Reader<'_>) -> Vec<PinsDecl> {
    let mut all: Vec<PinsDecl> = Vec::new();
    if node.is_null() {
        return all;
    }
    for item in reader.list(node, "pins") {
        check(item, Section::Pins, reader);
        let scope = reader.text(item, "scope").map(str::to_owned);
        if all.iter().any(|known| known.scope == scope) {
            let message = match &scope {
                Some(scope) => format!("two lists of pins for the scope `{scope}`"),
                None => "two lists of pins without a scope".to_owned(),
            };
            reader.reports.push(
                error(Code::Duplicate, item.span, message).help("put all tools of a server into one list"),
            );
            continue;
        }
        let unpinned = reader.word(item, "unpinned", &["allow", "hide"]);
        let tools = tools(item, scope.as_deref().unwrap_or_default(), reader);
        all.push(PinsDecl {
            scope,
            hides_unpinned: unpinned == Some("hide"),
            tools,
        });
    }
    all
}

fn tools(item: &Node, scope: &str, reader: &mut Reader<'_>) -> Vec<(String, [u8; 32])> {
    let Some(entry) = item.get("tools") else {
        reader
            .reports
            .error(Code::MissingKey, item.span, "a list of pins needs `tools`");
        return Vec::new();
    };
    let mut tools = Vec::new();
    for tool in reader.map(&entry.node, "tools") {
        let mark = "pin:/".len() + scope.len() + tool.key.len();
        if tool.key.is_empty() || mark > MAX_MARK_BYTES {
            let message = format!("`{}` cannot be pinned", tool.key);
            reader
                .reports
                .push(error(Code::BadValue, tool.key_span, message).help(format!(
                    "the tool's name has at least one byte, and with its scope at most {}",
                    MAX_MARK_BYTES - "pin:/".len()
                )));
            continue;
        }
        match tool.node.as_str().and_then(digest) {
            Some(digest) => tools.push((tool.key.clone(), digest)),
            None => reader.reports.push(
                error(
                    Code::BadValue,
                    tool.node.span,
                    format!("the pin of `{}` is no digest", tool.key),
                )
                .help("64 hexadecimal digits in quotes, as `aplc pin tools.json` prints them"),
            ),
        }
    }
    tools.sort();
    tools
}

fn digest(text: &str) -> Option<[u8; 32]> {
    if text.len() != 64 {
        return None;
    }
    let mut digest = [0; 32];
    for (byte, pair) in digest.iter_mut().zip(text.as_bytes().chunks(2)) {
        let pair = std::str::from_utf8(pair).ok()?;
        if pair.starts_with('+') {
            return None;
        }
        *byte = u8::from_str_radix(pair, 16).ok()?;
    }
    Some(digest)
}

/// Reads `engine_settings.public_paths`; `None`: it is not given.
pub(crate) fn public_paths(settings: &Node, reader: &mut Reader<'_>) -> Option<Vec<String>> {
    let entry = settings.get("public_paths")?;
    let mut paths = Vec::new();
    for (path, span) in reader.texts(&entry.node, "public_paths") {
        let bare = path.strip_suffix("/*").unwrap_or(&path);
        let plain = bare
            .bytes()
            .all(|byte| byte.is_ascii_graphic() && !b"*?#%\\;".contains(&byte));
        let absolute = path.starts_with('/')
            && bare
                .split('/')
                .skip(1)
                .all(|segment| !matches!(segment, "" | "." | ".."));
        if plain && absolute {
            paths.push(path);
        } else {
            let message = format!("`{path}` is no public path");
            reader.reports.push(error(Code::BadValue, span, message).help(
                "an absolute path, exact or with `/*` at its end for everything below; without `?`, `#`, `%`, `;`, `\\` and empty or dot segments",
            ));
        }
    }
    Some(paths)
}

/// Reads a route's `challenge`.
pub(crate) fn challenge(route: &Node, reader: &mut Reader<'_>) -> Option<ChallengeDecl> {
    let entry = route.get("challenge")?;
    check(&entry.node, Section::Challenge, reader);
    let annotates = reader.word(&entry.node, "lists", &["hide", "annotate"]) == Some("annotate");
    let Some(scopes) = entry.node.get("scopes") else {
        reader
            .reports
            .error(Code::MissingKey, entry.node.span, "a challenge needs `scopes`");
        return None;
    };
    let mut found = Vec::new();
    for (scope, span) in reader.texts(&scopes.node, "scopes") {
        // RFC 6749 section 3.3; it stands in a quoted string of a header.
        if scope
            .bytes()
            .all(|byte| byte.is_ascii_graphic() && byte != b'"' && byte != b'\\')
        {
            found.push(scope);
        } else {
            let message = format!("`{scope}` is no OAuth scope");
            reader.reports.push(
                error(Code::BadValue, span, message).help("one word of visible ASCII, without `\"` and `\\`"),
            );
        }
    }
    if found.is_empty() {
        reader.reports.error(
            Code::BadValue,
            scopes.node.span,
            "a challenge without scopes says nothing",
        );
        return None;
    }
    Some(ChallengeDecl {
        scopes: found,
        annotates,
    })
}
