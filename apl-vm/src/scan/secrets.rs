//! Verifiers for credentials.

use super::detect::byte;

/// Prefix, least and greatest number of bytes behind it, and whether those must be upper case or digits.
struct Key(&'static str, u16, u16, bool);

/// No greatest number.
const MANY: u16 = u16::MAX;

/// Keys of well-known providers. The prefix alone is common enough in prose for some, so each has a least length, and a
/// body that is not all of one kind.
const KEYS: &[Key] = &[
    Key("AKIA", 16, 16, true),
    Key("ASIA", 16, 16, true),
    Key("AIza", 35, 35, false),
    Key("ya29.", 20, MANY, false),
    Key("ghp_", 36, MANY, false),
    Key("gho_", 36, MANY, false),
    Key("ghu_", 36, MANY, false),
    Key("ghs_", 36, MANY, false),
    Key("ghr_", 36, MANY, false),
    Key("github_pat_", 22, MANY, false),
    Key("glpat-", 20, MANY, false),
    Key("xoxb-", 10, MANY, false),
    Key("xoxp-", 10, MANY, false),
    Key("xoxa-", 10, MANY, false),
    Key("xoxr-", 10, MANY, false),
    Key("xoxs-", 10, MANY, false),
    Key("xapp-", 10, MANY, false),
    Key("sk_live_", 16, MANY, false),
    Key("sk_test_", 16, MANY, false),
    Key("rk_live_", 16, MANY, false),
    Key("rk_test_", 16, MANY, false),
    Key("whsec_", 24, MANY, false),
    Key("sk-", 20, MANY, false),
    Key("SG.", 32, MANY, false),
    Key("npm_", 36, MANY, false),
    Key("pypi-", 50, MANY, false),
    Key("hf_", 30, MANY, false),
    Key("dop_v1_", 64, MANY, false),
    Key("hvs.", 24, MANY, false),
    Key("AccountKey=", 64, MANY, false),
];

/// Whether a key of [`KEYS`] starts with this byte.
pub(super) const fn starts_key(first: u8) -> bool {
    let mut keys = KEYS;
    while let [Key(prefix, ..), rest @ ..] = keys {
        if let [byte, ..] = prefix.as_bytes()
            && *byte == first
        {
            return true;
        }
        keys = rest;
    }
    false
}

/// How far a verifier looks before it decides. What passes is then followed to its end, once.
const LONGEST: usize = 512;

/// A key of a well-known provider.
pub(super) fn api_key(bytes: &[u8], at: usize) -> Option<usize> {
    let rest = bytes.get(at..)?;
    let Key(prefix, least, most, upper) = KEYS.iter().find(|key| rest.starts_with(key.0.as_bytes()))?;
    let body = rest.get(prefix.len()..)?;
    let part = |byte: &&u8| {
        if *upper {
            byte.is_ascii_uppercase() || byte.is_ascii_digit()
        } else {
            byte.is_ascii_alphanumeric() || b"_-.+/=".contains(byte)
        }
    };
    let head = body.get(..body.iter().take(LONGEST).take_while(part).count())?;
    let varied = head.iter().any(u8::is_ascii_digit) && head.iter().any(u8::is_ascii_alphabetic);
    let fits = head.len() >= usize::from(*least) && (*most == MANY || head.len() <= usize::from(*most));
    if !varied || !fits {
        return None;
    }
    let length = body.iter().take_while(part).count();
    Some(at.saturating_add(prefix.len()).saturating_add(length))
}

/// A JSON web token: three (signed) or five (encrypted) base64url parts, the first a JSON object.
pub(super) fn jwt(bytes: &[u8], at: usize) -> Option<usize> {
    let token = bytes.get(at..)?;
    if !token.starts_with(b"eyJ") || (at > 0 && matches!(byte(bytes, at.saturating_sub(1)), b'_' | b'-')) {
        return None;
    }
    let part = |byte: &&u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
    let header = token.iter().take(LONGEST).take_while(part).count();
    let behind = token.get(header.saturating_add(1)..)?;
    let payload = behind.iter().take(LONGEST).take_while(part).count();
    if header < 10 || byte(token, header) != b'.' || payload < 6 {
        return None;
    }
    // Whatever starts behind here has no header in reach, or is the rest of this run: it is walked through twice at most.
    let run = token.get(
        ..token
            .iter()
            .take_while(|byte| part(byte) || **byte == b'.')
            .count(),
    )?;
    let parts = run.iter().filter(|byte| **byte == b'.').count().saturating_add(1);
    (parts >= 3).then(|| at.saturating_add(run.len()))
}

/// A PEM private key, to its end line or, cut off, to the end of the text.
pub(super) fn private_key(bytes: &[u8], at: usize) -> Option<usize> {
    const HEAD: &[u8] = b"-----BEGIN ";
    const LONGEST_LABEL: usize = 64;
    let rest = bytes.get(at..)?.strip_prefix(HEAD)?;
    let label = rest.get(..LONGEST_LABEL.min(rest.len()))?;
    position(label, b"PRIVATE KEY")?;
    let body_at = at.saturating_add(HEAD.len());
    let Some(end) = position(rest, b"-----END ") else {
        return Some(bytes.len());
    };
    let end = body_at.saturating_add(end).saturating_add(9);
    let tail = bytes.get(end..bytes.len().min(end.saturating_add(LONGEST_LABEL)))?;
    Some(position(tail, b"-----").map_or(bytes.len().min(end), |dashes| {
        end.saturating_add(dashes).saturating_add(5)
    }))
}

/// A byte of a provider's key or a JSON web token.
pub(super) fn is_of_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"_-.+/=".contains(&byte)
}

/// Whether a text that may go on could begin with a provider's key or a JSON web token.
pub(super) fn may_be_token(rest: &[u8]) -> bool {
    let prefixes = KEYS.iter().map(|key| key.0).chain(["eyJ"]);
    begins(rest, prefixes)
}

/// Whether what comes could decide whether there is a PEM private key, or where it ends.
pub(super) fn private_key_is_open(rest: &[u8]) -> bool {
    const HEAD: &str = "-----BEGIN ";
    const LONGEST_LABEL: usize = 64;
    if !begins(rest, [HEAD].into_iter()) {
        return false;
    }
    let behind = rest.get(HEAD.len()..).unwrap_or_default();
    if behind.len() < LONGEST_LABEL {
        return true;
    }
    let Some(end) = position(behind, b"-----END ") else {
        // Without its label it is none.
        let label = behind.get(..LONGEST_LABEL).unwrap_or_default();
        return position(label, b"PRIVATE KEY").is_some();
    };
    behind.len() < end.saturating_add(LONGEST_LABEL).saturating_add(9)
}

/// Whether a text that may go on begins with one of these.
fn begins<'a>(rest: &[u8], mut prefixes: impl Iterator<Item = &'a str>) -> bool {
    prefixes.any(|prefix| {
        let prefix = prefix.as_bytes();
        let shorter = prefix.len().min(rest.len());
        prefix.get(..shorter) == rest.get(..shorter)
    })
}

fn position(text: &[u8], part: &[u8]) -> Option<usize> {
    text.windows(part.len()).position(|window| window == part)
}
