//! Lists: which answers hold one, and what its entries name.

use apl_bytecode::EntityKind;
use apl_vm::{Document, Kind, Node, NodeId};

/// Methods whose answers hold lists. `server/discover` has none in the revisions that are known; one that a server puts
/// there is treated like any other.
const METHODS: &[&str] = &[
    "prompts/list",
    "resources/list",
    "resources/templates/list",
    "server/discover",
    "tools/list",
];

/// Where the entries of each kind stand in a result, what they are entries of, and which of their members names them.
const LISTS: &[(&str, Option<EntityKind>, &str)] = &[
    ("tools", Some(EntityKind::Tool), "name"),
    ("prompts", Some(EntityKind::Prompt), "name"),
    ("resources", Some(EntityKind::Resource), "uri"),
    ("resourceTemplates", None, "uriTemplate"),
];

/// What an entry of a list offers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Offer {
    /// Operations on this.
    Entity(EntityKind, String),
    /// Operations on every resource whose URI begins so, and perhaps on others.
    Resources(String),
    /// Nothing: it has no name that a call could be made with.
    Nothing,
}

/// An entry, and where it stands.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) at: NodeId,
    pub(crate) offer: Offer,
}

/// Whether the answer to this method holds lists.
pub(crate) fn is_list(method: &str) -> bool {
    METHODS.contains(&method)
}

/// The entries of all lists in a response; none in an error.
///
/// # Errors
///
/// A list that is none, or that a client could find under a key in another case.
pub(crate) fn entries(message: &Document) -> Result<Vec<Entry>, ()> {
    let root = message.node(message.root());
    let Some(result) = root.get("result") else {
        return Ok(Vec::new());
    };
    let mut all = Vec::new();
    for (key, entity, name) in LISTS {
        if result.folded_twin(key).is_some() {
            return Err(());
        }
        let Some(list) = result.get(key) else { continue };
        if list.kind() != Kind::Array {
            return Err(());
        }
        all.extend(list.elements().map(|entry| Entry {
            at: entry.id(),
            offer: offer(entry, *entity, name),
        }));
    }
    Ok(all)
}

fn offer(entry: Node<'_>, entity: Option<EntityKind>, key: &str) -> Offer {
    let Some(name) = entry.get(key).and_then(super::request::plain_text) else {
        return Offer::Nothing;
    };
    match entity {
        Some(entity) => Offer::Entity(entity, name),
        // What stands before the first expression stays as it is (RFC 6570 section 3.1).
        None => Offer::Resources(name.split('{').next().unwrap_or_default().to_owned()),
    }
}

/// Where a result says that anybody may keep it (2026-07-28): what one caller sees is not for another.
pub(crate) fn shared_with_all(message: &Document) -> Option<NodeId> {
    let scope = message.node(message.root()).get("result")?.get("cacheScope")?;
    (!scope.is_str("private")).then(|| scope.id())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offers(json: &str) -> Result<Vec<Offer>, ()> {
        let document = Document::parse(json.as_bytes().to_vec(), &apl_vm::Limits::default()).expect("JSON");
        entries(&document).map(|all| all.into_iter().map(|entry| entry.offer).collect())
    }

    #[test]
    fn finds_what_entries_offer() {
        let found = offers(
            r#"{"result":{"tools":[{"name":"a"},{"title":"b"},7,{"name":""}],"resources":[{"name":"n","uri":"u:1"}],
                "resourceTemplates":[{"uriTemplate":"db://{t}/{r}"},{"uriTemplate":"{+all}"}]}}"#,
        );
        assert_eq!(
            found,
            Ok(vec![
                Offer::Entity(EntityKind::Tool, "a".to_owned()),
                Offer::Nothing,
                Offer::Nothing,
                Offer::Nothing,
                Offer::Entity(EntityKind::Resource, "u:1".to_owned()),
                Offer::Resources("db://".to_owned()),
                Offer::Resources(String::new()),
            ])
        );
        assert_eq!(offers(r#"{"error":{"code":1,"message":""}}"#), Ok(Vec::new()));
    }

    #[test]
    fn a_list_that_cannot_be_found_for_sure_is_none() {
        assert_eq!(offers(r#"{"result":{"Tools":[]}}"#), Err(()));
        assert_eq!(offers(r#"{"result":{"tools":{"name":"a"}}}"#), Err(()));
    }
}
