//! Static attributes: one JSON object, read when the program is loaded and looked up by binary search.

use apl_bytecode::sort_by;
use apl_json::{Document, Kind, Limits, Node, NodeId};

/// The attributes below `data`.
#[derive(Debug, Clone)]
pub(crate) struct Data {
    document: Document,
    /// Every member of every object: the object, the key, the value. In order.
    members: Vec<(u32, String, NodeId)>,
}

impl Data {
    /// Reads them. `None` when the text is not one JSON object.
    pub(crate) fn read(text: &str) -> Option<Self> {
        let document = Document::parse(text.as_bytes().to_vec(), &Limits::default()).ok()?;
        let root = document.received(document.root());
        if root.kind() != Kind::Object {
            return None;
        }
        let mut members = Vec::new();
        let mut open = vec![root];
        while let Some(container) = open.pop() {
            for (key, value) in container.members() {
                members.push((container.id().number(), key.into_owned(), value.id()));
                open.push(value);
            }
            open.extend(container.elements());
        }
        sort_by(&mut members, Ord::cmp);
        Some(Self { document, members })
    }

    /// All of them.
    pub(crate) fn root(&self) -> Node<'_> {
        self.document.received(self.document.root())
    }

    /// One member of an object of these.
    pub(crate) fn get(&self, object: Node<'_>, key: &str) -> Option<Node<'_>> {
        let wanted = (object.id().number(), key);
        let at = self
            .members
            .binary_search_by(|(object, key, _)| (*object, key.as_str()).cmp(&wanted));
        let (_, _, value) = self.members.get(at.ok()?)?;
        Some(self.document.received(*value))
    }
}

#[cfg(test)]
#[expect(clippy::expect_used, reason = "a test may panic")]
mod tests {
    use super::Data;

    #[test]
    fn finds_every_member_of_every_object_and_no_other() {
        let entries: Vec<String> = (0..1_000)
            .map(|at| format!("\"user-{at}\": {{\"level\": {at}}}"))
            .collect();
        let text = format!("{{\"bans\": {{{}}}, \"A.b\": [{{\"c\": 1}}]}}", entries.join(","));
        let data = Data::read(&text).expect("one object");
        let bans = data.get(data.root(), "bans").expect("it is there");
        for at in 0..1_000 {
            let ban = data.get(bans, &format!("user-{at}")).expect("it is there");
            let level = data.get(ban, "level").expect("it is there");
            assert_eq!(level.raw(), at.to_string().as_bytes());
        }
        assert!(data.get(bans, "user-1000").is_none());
        assert!(
            data.get(data.root(), "A").is_none(),
            "a dot in a key splits nothing"
        );
        assert!(data.get(data.root(), "A.b").is_some());
    }

    #[test]
    fn refuses_what_is_no_object() {
        for text in ["", "[]", "1", "{", "{\"a\":1,\"a\":2}"] {
            assert!(Data::read(text).is_none(), "{text}");
        }
    }
}
