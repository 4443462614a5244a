//! The checks behind `email`, `url` and `uuid`. Each looks at every byte once.

/// A valid e-mail address as the WHATWG HTML standard defines it for `input type=email`: one or more of the local part's
/// characters, `@`, labels of letters, digits and inner hyphens, 63 bytes at most each. ASCII only; one label is enough.
pub(super) fn email(text: &str) -> bool {
    let Some((local, domain)) = text.rsplit_once('@') else {
        return false;
    };
    let local_byte = |byte: u8| byte.is_ascii_alphanumeric() || b".!#$%&'*+/=?^_`{|}~-".contains(&byte);
    !local.is_empty() && local.bytes().all(local_byte) && domain.split('.').all(label)
}

/// A label of a host name (RFC 1123).
fn label(text: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    (1..=63).contains(&text.len())
        && text.bytes().all(inner)
        && !text.starts_with('-')
        && !text.ends_with('-')
}

/// An absolute `http` or `https` URL with a host, spelled so that nobody can read it differently (RFC 3986, stricter where
/// parsers are known to disagree): no user information, no backslash, white space or control character, no byte outside
/// ASCII, complete percent escapes, a port up to 65535, and a host that is a name, an IPv4 address or a bracketed IPv6
/// address.
pub(super) fn url(text: &str) -> bool {
    // In lower case only, as upstream has it.
    let Some(rest) = text.strip_prefix("https://").or(text.strip_prefix("http://")) else {
        return false;
    };
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (Some(authority), Some(tail)) = (rest.get(..end), rest.get(end..)) else {
        return false;
    };
    let (host, port) = match authority.strip_prefix('[') {
        Some(bracketed) => match bracketed.split_once(']') {
            Some((address, port)) => {
                return address.parse::<std::net::Ipv6Addr>().is_ok() && port_suffix(port) && uri_bytes(tail);
            }
            None => return false,
        },
        None => authority
            .find(':')
            .map_or((authority, ""), |colon| authority.split_at(colon)),
    };
    host_name(host) && port_suffix(port) && uri_bytes(tail)
}

/// A name, whose last label may be empty (the root), or an IPv4 address. What ends in digits must be the latter.
fn host_name(host: &str) -> bool {
    let name = host.strip_suffix('.').unwrap_or(host);
    let numeric = name
        .rsplit('.')
        .next()
        .is_some_and(|last| last.bytes().all(|byte| byte.is_ascii_digit()));
    let labels = || {
        name.split('.').all(|part| {
            part.bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
                && (1..=63).contains(&part.len())
        })
    };
    if numeric {
        host.parse::<std::net::Ipv4Addr>().is_ok()
    } else {
        name.len() <= 253 && labels()
    }
}

/// Nothing, or a colon and a port.
fn port_suffix(text: &str) -> bool {
    match text.strip_prefix(':') {
        None => text.is_empty(),
        Some(port) => port.bytes().all(|byte| byte.is_ascii_digit()) && port.parse::<u16>().is_ok(),
    }
}

/// Path, query and fragment: the characters of RFC 3986, brackets and `|` besides, which browsers leave as they are.
fn uri_bytes(tail: &str) -> bool {
    let mut bytes = tail.bytes();
    while let Some(byte) = bytes.next() {
        let fine = match byte {
            b'%' => [bytes.next(), bytes.next()]
                .into_iter()
                .all(|digit| digit.is_some_and(|digit| digit.is_ascii_hexdigit())),
            _ => byte.is_ascii_alphanumeric() || b"-._~:/?#[]@!$&'()*+,;=|".contains(&byte),
        };
        if !fine {
            return false;
        }
    }
    tail.bytes().filter(|byte| *byte == b'#').count() <= 1
}

/// The text form of RFC 9562, section 4: 8-4-4-4-12 hexadecimal digits in any case; variant `10` and a version from 1 to
/// 8, or the nil or max UUID.
pub(super) fn uuid(text: &str) -> bool {
    let bytes = text.as_bytes();
    let shape = bytes.len() == 36
        && bytes.iter().enumerate().all(|(i, byte)| match i {
            8 | 13 | 18 | 23 => *byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        });
    let digits = || {
        bytes
            .iter()
            .filter(|byte| **byte != b'-')
            .map(u8::to_ascii_lowercase)
    };
    let versioned = matches!(bytes.get(14), Some(b'1'..=b'8'))
        && matches!(bytes.get(19), Some(b'8' | b'9' | b'a' | b'b' | b'A' | b'B'));
    shape && (versioned || digits().all(|digit| digit == b'0') || digits().all(|digit| digit == b'f'))
}
