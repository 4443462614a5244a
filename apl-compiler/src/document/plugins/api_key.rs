//! `identity/api-key`: where the key is, and who knows whose it is.

use super::{claims, jwt};
use crate::diagnostics::{Code, error};
use crate::document::identity::{CredentialDecl, DirectoryDecl, IdentityDecl};
use crate::document::keys::{Reader, check};
use crate::source::Span;
use crate::vocabulary::Section;
use crate::yaml::Node;

/// How long a record is believed, and a key counts as unknown, in seconds.
const TTL_S: u32 = 60;
const UNKNOWN_TTL_S: u32 = 30;

/// Reads the configuration of one.
pub(super) fn api_key(config: &Node, at: Span, reader: &mut Reader<'_>) -> Option<IdentityDecl> {
    check(config, Section::ApiKeyConfig, reader);
    let role = jwt::role(config, reader);
    let header = header(config, at, reader);
    let prefix = reader.text(config, "prefix").map(str::to_owned);
    let directory = provider(config, at, reader);
    let claims = claims::of_record(config, role, reader);
    let trust_domains = jwt::trust_domains(config, reader);
    let enforce_expiry = reader.word(config, "expiry", &["enforce", "directory"]) != Some("directory");
    let (mut ttl_s, mut unknown_ttl_s) = (TTL_S, UNKNOWN_TTL_S);
    if let Some(cache) = config.get("cache") {
        check(&cache.node, Section::KeyCache, reader);
        let mut seconds = |key: &str, default: u32| {
            let found = reader.number(&cache.node, key, 1, 86_400);
            found
                .and_then(|found| u32::try_from(found).ok())
                .unwrap_or(default)
        };
        ttl_s = seconds("ttl_secs", ttl_s);
        unknown_ttl_s = seconds("negative_ttl_secs", unknown_ttl_s);
    }
    Some(IdentityDecl {
        role,
        source: CredentialDecl::ApiKey {
            header: header?,
            prefix,
            ttl_s,
            unknown_ttl_s,
            enforce_expiry,
            directory: directory?,
        },
        trust_domains,
        claims,
        bound: false,
    })
}

fn header(config: &Node, at: Span, reader: &mut Reader<'_>) -> Option<String> {
    let Some(entry) = config.get("credential") else {
        reader.reports.push(
            error(Code::MissingKey, at, "`identity/api-key` needs `credential`")
                .help("credential: {kind: header, name: x-api-key}"),
        );
        return None;
    };
    check(&entry.node, Section::Credential, reader);
    reader.word(&entry.node, "kind", &["header"])?;
    let name = reader.required(&entry.node, "name", "`credential`", entry.node.span)?;
    Some(name.to_ascii_lowercase())
}

fn provider(config: &Node, at: Span, reader: &mut Reader<'_>) -> Option<DirectoryDecl> {
    // Newer documents call it what it is.
    let Some(entry) = config.get("provider").or_else(|| config.get("directory")) else {
        reader.reports.push(
            error(Code::MissingKey, at, "`identity/api-key` needs `provider`")
                .help("provider: {kind: file, path: keys.yaml}"),
        );
        return None;
    };
    let node = &entry.node;
    check(node, Section::KeyProvider, reader);
    reader.word(node, "index", &["sha256"]);
    match reader.word(node, "kind", &["file", "http"])? {
        "file" => {
            let path = reader
                .required(node, "path", "`kind: file`", node.span)?
                .to_owned();
            Some(DirectoryDecl::File { path })
        }
        _ => {
            let span = node.get("kind").map_or(node.span, |entry| entry.node.span);
            reader.reports.push(
                error(Code::NotInBuild, span, "`kind: http` is not in this build").help(
                    "let a job write the directory's digests and records into a file, and use `kind: file`",
                ),
            );
            None
        }
    }
}
