//! `global.session_store`: where labels live.

use crate::diagnostics::{Code, error};
use crate::document::Store;
use crate::document::keys::{Reader, check};
use crate::vocabulary::Section;
use crate::yaml::Node;

/// `global.session_store`.
pub(crate) fn session_store(node: &Node, reader: &mut Reader<'_>) -> Option<Store> {
    check(node, Section::SessionStore, reader);
    match reader.required(node, "kind", "`session_store`", node.span)? {
        "valkey" | "redis" => {
            let endpoint = reader.required(node, "endpoint", "a Valkey store", node.span)?;
            let tls = reader.boolean(node, "tls").unwrap_or(false);
            Some(Store::Valkey(if tls && !endpoint.contains("://") {
                format!("rediss://{endpoint}")
            } else {
                endpoint.to_owned()
            }))
        }
        "memory" | "embedded" => Some(Store::Embedded),
        word => {
            let span = node.get("kind").map_or(node.span, |entry| entry.node.span);
            reader.reports.push(
                error(
                    Code::UnknownKind,
                    span,
                    format!("there is no session store `{word}`"),
                )
                .help("`valkey`, `redis`, `memory` or `embedded`"),
            );
            None
        }
    }
}
