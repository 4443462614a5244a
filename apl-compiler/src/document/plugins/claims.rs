//! How claims become attributes: `claim_mapper`, `claim_map` or `record_map`, and `claims`.

mod path;
mod presets;

use apl_bytecode::{ClaimField, ClaimShape, TokenRole};

use crate::diagnostics::{Code, error};
use crate::document::identity::{ClaimMapDecl, ClaimPathDecl, ClaimRuleDecl};
use crate::document::keys::{Reader, check};
use crate::vocabulary::Section;
use crate::yaml::{Entry, Node};

/// Claims of the token itself. `claims: {include: [iss]}` makes one readable.
const REGISTERED: &[&str] = &["iss", "sub", "aud", "exp", "nbf", "iat", "jti"];

/// The map of a token's claims.
pub(super) fn of_token(config: &Node, role: TokenRole, reader: &mut Reader<'_>) -> ClaimMapDecl {
    let inline = config.get("claim_map");
    let named = config.get("claim_mapper");
    let name = reader
        .word(config, "claim_mapper", presets::NAMES)
        .unwrap_or("standard");
    if let (Some(inline), Some(named)) = (inline, named) {
        reader.reports.push(
            error(
                Code::BadValue,
                inline.key_span,
                "`claim_map` beside `claim_mapper`",
            )
            .related(named.key_span, "the other map")
            .help("keep one: `claim_map` says everything that a mapper says"),
        );
    }
    let rules = match inline {
        Some(entry) => section(entry, role, reader),
        None => Some(presets::rules(name, role)),
    };
    let rules = rules.unwrap_or_default();
    if rules.is_empty()
        && inline.is_none()
        && let Some(named) = named
    {
        reader.reports.push(
            error(
                Code::BadValue,
                named.node.span,
                format!("the claim mapper `{name}` says nothing about workloads"),
            )
            .help("only `standard` does: a SPIFFE id in `sub` or `spiffe_id`"),
        );
    }
    finish(config, rules, true, reader)
}

/// The map of an API key's record.
pub(super) fn of_record(config: &Node, role: TokenRole, reader: &mut Reader<'_>) -> ClaimMapDecl {
    let rules = match config.get("record_map") {
        Some(entry) => section(entry, role, reader).unwrap_or_default(),
        None => presets::record(role),
    };
    finish(config, rules, false, reader)
}

fn finish(config: &Node, rules: Vec<ClaimRuleDecl>, token: bool, reader: &mut Reader<'_>) -> ClaimMapDecl {
    let mut hidden: Vec<String> = if token {
        REGISTERED.iter().map(|name| (*name).to_owned()).collect()
    } else {
        Vec::new()
    };
    // What a rule takes whole is not a claim besides; of what it looks into, the rest is.
    for path in rules.iter().flat_map(|rule| &rule.paths) {
        if let [only] = path.names.as_slice() {
            hidden.push(only.clone());
        }
    }
    // Inside `claim_map`, or beside it.
    let nested = ["claim_map", "record_map"]
        .iter()
        .find_map(|key| config.get(key)?.node.get("claims"));
    for entry in [config.get("claims"), nested].into_iter().flatten() {
        check(&entry.node, Section::Claims, reader);
        let mut names = |key: &str| -> Vec<String> {
            let Some(list) = entry.node.get(key) else {
                return Vec::new();
            };
            let texts = reader.texts(&list.node, key);
            texts.into_iter().map(|(name, _)| name).collect()
        };
        let (exclude, include) = (names("exclude"), names("include"));
        if let Some(both) = include.iter().find(|name| exclude.contains(name)) {
            let message = format!("`{both}` is in `include` and in `exclude`");
            reader.reports.error(Code::BadValue, entry.node.span, message);
        }
        hidden.extend(exclude);
        hidden.retain(|name| !include.contains(name));
    }
    hidden.sort();
    hidden.dedup();
    ClaimMapDecl { rules, hidden }
}

/// The section of a role.
fn section(entry: &Entry, role: TokenRole, reader: &mut Reader<'_>) -> Option<Vec<ClaimRuleDecl>> {
    check(&entry.node, Section::ClaimMap, reader);
    let (name, fields, anchor) = match role {
        TokenRole::User => ("subject", Section::SubjectMap, "id"),
        TokenRole::Client => ("client", Section::ClientMap, "client_id"),
        TokenRole::CallerWorkload => ("workload", Section::WorkloadMap, "spiffe_id"),
    };
    let Some(section) = entry.node.get(name) else {
        reader.reports.push(
            error(
                Code::MissingKey,
                entry.key_span,
                format!("`{}` needs `{name}`", entry.key),
            )
            .help(format!(
                "the plugin's role fills that section: {name}: {{{anchor}: sub}}"
            )),
        );
        return None;
    };
    check(&section.node, fields, reader);
    if section.node.get(anchor).is_none() {
        let message = format!("`{name}` needs `{anchor}`, which says who it is");
        reader.reports.error(Code::MissingKey, section.key_span, message);
    }
    let entries = section.node.as_map().unwrap_or_default();
    let rules = entries
        .iter()
        .filter_map(|entry| rule(entry, field(&entry.key, role)?, reader));
    Some(rules.collect())
}

fn field(key: &str, role: TokenRole) -> Option<ClaimField> {
    Some(match key {
        "id" | "spiffe_id" => ClaimField::Id,
        "client_name" => ClaimField::Name,
        "roles" => ClaimField::Roles,
        "permissions" => ClaimField::Permissions,
        "teams" => ClaimField::Teams,
        "authorized_scopes" => ClaimField::Scopes,
        "authorized_audiences" => ClaimField::Audiences,
        "selectors" => ClaimField::Selectors,
        "client_id" if role == TokenRole::Client => ClaimField::Id,
        "client_id" => ClaimField::ClientId,
        _ => return None,
    })
}

fn rule(entry: &Entry, field: ClaimField, reader: &mut Reader<'_>) -> Option<ClaimRuleDecl> {
    let node = &entry.node;
    let expanded = node.as_map().is_some();
    let paths = if expanded {
        check(node, Section::ClaimRule, reader);
        let Some(paths) = node.get("paths") else {
            let message = format!("`{}` needs `paths`", entry.key);
            reader.reports.error(Code::MissingKey, entry.key_span, message);
            return None;
        };
        &paths.node
    } else {
        node
    };
    let items = paths.as_list().unwrap_or(std::slice::from_ref(paths));
    if items.is_empty() {
        let message = format!("`{}` needs at least one path", entry.key);
        reader.reports.error(Code::BadValue, paths.span, message);
    }
    let read: Vec<Option<ClaimPathDecl>> = items.iter().map(|item| candidate(item, reader)).collect();
    let mut word = |key: &str, words: &[&str]| {
        expanded
            .then(|| reader.word(node, key, words).map(str::to_owned))
            .flatten()
    };
    let union = word("merge", &["first_match", "union"]).as_deref() == Some("union");
    let split = word("split", &["whitespace"]).is_some();
    let required = word("on_missing", &["ignore", "deny"]).as_deref() == Some("deny");
    let paths: Vec<ClaimPathDecl> = read.into_iter().collect::<Option<_>>()?;
    let single = field.is_single();
    let shaped = paths.iter().any(|path| path.shape != ClaimShape::Any);
    let stops = paths.iter().any(|path| path.stop);
    let wrong = match (single, union, split, shaped, stops) {
        (true, true, ..) => Some("holds one text, so `merge: union` has nothing to join"),
        (true, _, true, ..) => Some("holds one text, so `split` would lose the others"),
        (true, _, _, true, _) => {
            Some("holds one text, so neither `array_only` nor `string_only` has a meaning")
        }
        (false, _, _, _, true) => Some("holds a set; `stop_if_present` is for one text"),
        _ => None,
    };
    if let Some(wrong) = wrong {
        reader
            .reports
            .error(Code::BadValue, node.span, format!("`{}` {wrong}", entry.key));
    }
    (!paths.is_empty()).then_some(ClaimRuleDecl {
        field,
        paths,
        union,
        split,
        required,
    })
}

fn candidate(item: &Node, reader: &mut Reader<'_>) -> Option<ClaimPathDecl> {
    let (text, span, shape, stop) = if item.as_map().is_some() {
        check(item, Section::ClaimPath, reader);
        let list = reader.boolean(item, "array_only").unwrap_or(false);
        let text = reader.boolean(item, "string_only").unwrap_or(false);
        if list && text {
            let message = "`array_only` and `string_only` leave nothing";
            reader.reports.error(Code::BadValue, item.span, message);
        }
        let shape = match (list, text) {
            (true, _) => ClaimShape::List,
            (false, true) => ClaimShape::Text,
            (false, false) => ClaimShape::Any,
        };
        let stop = reader.boolean(item, "stop_if_present").unwrap_or(false);
        let path = reader.required(item, "path", "a candidate", item.span)?;
        (path, item.get("path")?.node.span, shape, stop)
    } else {
        let Some(text) = item.as_str() else {
            reader.wrong(item, "a claim path", "text");
            return None;
        };
        (text, item.span, ClaimShape::Any, false)
    };
    match path::parse(text) {
        Ok(names) => Some(ClaimPathDecl { names, shape, stop }),
        Err(wrong) => {
            let message = format!("`{text}` is no claim path: {wrong}");
            reader.reports.push(error(Code::BadValue, span, message).help(
                "names joined by dots; `\\.` is a dot in a name and `\\\\` a backslash, as in `https://app\\.example\\.com/roles`",
            ));
            None
        }
    }
}
