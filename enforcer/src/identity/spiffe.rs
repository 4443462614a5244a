//! SPIFFE ids: what one looks like, and which trust domains are believed.

use std::collections::BTreeSet;

use apl_bytecode::{Identity, Program};
use apl_vm::{Fact, FactMap};

use super::token::{TokenError, text_of};

/// Longest id and longest trust domain in bytes (SPIFFE-ID section 2).
const MAX_ID: usize = 2048;
const MAX_DOMAIN: usize = 255;

/// The trust domain of a well-formed id (SPIFFE-ID section 2): a lower-case authority without port or user, then segments of
/// plain characters, none of them empty or relative. `None`: it is none.
pub(crate) fn domain(id: &str) -> Option<&str> {
    let rest = id.strip_prefix("spiffe://").filter(|_| id.len() <= MAX_ID)?;
    let (domain, path) = rest.split_once('/').map_or((rest, None), |(d, p)| (d, Some(p)));
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b".-_".contains(&byte);
    let fine = !domain.is_empty() && domain.len() <= MAX_DOMAIN && domain.bytes().all(plain);
    let segments = path.is_none_or(|path| {
        path.split('/').all(|segment| {
            !matches!(segment, "" | "." | "..")
                && segment
                    .bytes()
                    .all(|byte| byte.is_ascii_uppercase() || plain(byte))
        })
    });
    (fine && segments).then_some(domain)
}

/// The trust domain of an id that this identity believes.
///
/// # Errors
///
/// [`TokenError::Mapping`]: it is no SPIFFE id; [`TokenError::Workload`]: its domain is not among those of the identity.
pub(crate) fn trusted(program: &Program, identity: &Identity, id: &str) -> Result<String, TokenError> {
    let domain = domain(id).ok_or(TokenError::Mapping)?;
    let mut known = identity.trust_domains.iter();
    if identity.trust_domains.is_empty() || known.any(|known| text_of(program, *known) == domain) {
        Ok(domain.to_owned())
    } else {
        Err(TokenError::Workload)
    }
}

/// The attributes of a workload. Kubernetes meshes name it `spiffe://<domain>/ns/<namespace>/sa/<service account>`; such an
/// id gives selectors as SPIRE spells them.
pub(crate) fn put(facts: &mut FactMap, id: &str, domain: &str, attestor: &str) {
    for (key, value) in [
        ("spiffe_id", id),
        ("trust_domain", domain),
        ("attestor", attestor),
    ] {
        facts.insert(format!("caller_workload.{key}"), Fact::Str(value.to_owned()));
    }
    let path: Vec<&str> = id.split('/').skip(3).collect();
    let selectors: BTreeSet<String> = match path.as_slice() {
        ["ns", namespace, "sa", account] => {
            apl_vm::set_of([format!("k8s:ns:{namespace}"), format!("k8s:sa:{account}")])
        }
        _ => BTreeSet::new(),
    };
    facts.insert("caller_workload.selectors".to_owned(), Fact::Set(selectors));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_ids_of_the_standard_and_nothing_that_only_looks_like_one() {
        for (id, found) in [
            ("spiffe://example.org", Some("example.org")),
            ("spiffe://cluster.local/ns/a/sa/b", Some("cluster.local")),
            ("spiffe://td_1/Path-1", Some("td_1")),
            ("spiffe://", None),
            ("spiffe:///ns/a", None),
            ("SPIFFE://example.org/a", None),
            ("spiffe://Example.org/a", None),
            ("spiffe://example.org:443/a", None),
            ("spiffe://user@example.org/a", None),
            ("spiffe://example.org/", None),
            ("spiffe://example.org/a//b", None),
            ("spiffe://example.org/a/../b", None),
            ("spiffe://example.org/a?x", None),
            ("spiffe://example.org/a%2fb", None),
            ("https://example.org/a", None),
        ] {
            assert_eq!(domain(id), found, "{id}");
        }
        assert_eq!(domain(&format!("spiffe://{}/a", "d".repeat(256))), None);
        assert_eq!(domain(&format!("spiffe://d/{}", "a".repeat(2048))), None);
    }
}
