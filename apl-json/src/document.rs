//! A document: received bytes, the index over them, and the edits.

use super::{
    error::JsonError,
    node::{Kind, Node},
    parse, splice, text,
};

/// What a document may be at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// How deep objects and arrays may nest. `[]` is 1 deep.
    pub max_depth: u16,
    /// How many values there may be, containers included and keys not. An index entry has 16 bytes; a member has two.
    pub max_nodes: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_depth: 64,
            max_nodes: 200_000,
        }
    }
}

/// A value in a document. Valid in the document that gave it, for as long as that lives; edits do not move it. In
/// another document it names some other value or none, never a fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NodeId(pub(super) u32);

impl NodeId {
    /// A number that no other value of the document has.
    pub const fn number(self) -> u32 {
        self.0
    }
}

/// One entry of the index, in document order: a container is followed by what is in it, a key by its value.
#[derive(Debug, Clone, Copy)]
pub(super) struct Slot {
    /// The first byte.
    pub(super) start: u32,
    /// Behind the last byte.
    pub(super) end: u32,
    /// The first entry behind this one and everything in it.
    pub(super) next: u32,
    pub(super) kind: Kind,
    pub(super) flags: u8,
    /// Of a key: see [`Key`](super::Key). 0: nothing is known of it.
    pub(super) tag: u16,
}

impl Slot {
    /// A string with at least one escape.
    pub(super) const ESCAPED: u8 = 1;
    /// An object's key.
    pub(super) const KEY: u8 = 2;
    /// Positions are in [`Document::added`].
    pub(super) const ADDED: u8 = 4;
    /// It was changed: [`Document::links`] says to what.
    pub(super) const EDITED: u8 = 8;

    pub(super) const fn has(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }
}

/// What happens to a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Change {
    /// This one, whose bytes are in [`Document::added`], stands in its place.
    Replaced(u32),
    /// It goes, with its key and one comma.
    Removed,
}

/// No value of a document, which is shorter than that.
const REMOVED: u32 = u32::MAX;

/// Nor is this one.
const NONE: u32 = u32::MAX - 1;

impl Change {
    const fn number(self) -> u32 {
        match self {
            Self::Replaced(by) => by,
            Self::Removed => REMOVED,
        }
    }

    const fn of(number: u32) -> Self {
        match number {
            REMOVED => Self::Removed,
            by => Self::Replaced(by),
        }
    }
}

/// Received bytes, the index over them, and edits that [`Document::render`] splices in.
#[derive(Debug, Clone)]
pub struct Document {
    /// As received.
    pub(super) text: String,
    /// What was put in, one text behind the other.
    pub(super) added: String,
    pub(super) slots: Vec<Slot>,
    /// The changed values, each once, in the order of their first change.
    edited: Vec<u32>,
    /// By value, as far as anything was changed. Of a changed one: the root of what replaced it, or [`REMOVED`]. Of the root
    /// of a replacement: what it replaced, which is where a change of it counts.
    links: Vec<u32>,
    limits: Limits,
}

impl Document {
    /// Reads a JSON text.
    ///
    /// Takes the bytes over: the document is `bytes` and 16 bytes for every value and key. Time is linear in the
    /// length, and n log n in the number of keys of one object.
    ///
    /// # Errors
    ///
    /// When it is not RFC 8259 JSON in UTF-8, has duplicate keys, or exceeds `limits`; see [`JsonError`].
    pub fn parse(bytes: Vec<u8>, limits: &Limits) -> Result<Self, JsonError> {
        if u32::try_from(bytes.len()).map_or(true, |length| length == u32::MAX) {
            return Err(JsonError::TooLarge);
        }
        if bytes.starts_with(b"\xEF\xBB\xBF") {
            return Err(JsonError::Bom);
        }
        let text = String::from_utf8(bytes).map_err(|error| JsonError::BadUtf8 {
            at: error.utf8_error().valid_up_to() as u32,
        })?;
        let mut slots = Vec::with_capacity((text.len() / 24).min(limits.max_nodes as usize));
        parse::index(&text, 0, 0, &mut slots, limits)?;
        Ok(Self {
            text,
            added: String::new(),
            slots,
            edited: Vec::new(),
            links: Vec::new(),
            limits: *limits,
        })
    }

    /// The outermost value.
    #[must_use]
    pub fn root(&self) -> NodeId {
        NodeId(0)
    }

    /// The value as it stands after the edits so far.
    ///
    /// Where it was replaced this is the replacement. A value that was removed is no longer found in its container, but
    /// its id still shows what it was.
    #[must_use]
    pub fn node(&self, id: NodeId) -> Node<'_> {
        Node::current(self, id.0)
    }

    /// The value as received, as if nothing was edited.
    #[must_use]
    pub fn received(&self, id: NodeId) -> Node<'_> {
        Node::received(self, id.0)
    }

    /// The received bytes.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        self.text.as_bytes()
    }

    /// Puts another value in the place of this one. The last change of a value counts; a change inside a value that was
    /// replaced or removed has no effect.
    ///
    /// # Errors
    ///
    /// When `json` is not what [`Document::parse`] accepts; then nothing changes.
    pub fn replace(&mut self, id: NodeId, json: Vec<u8>) -> Result<(), JsonError> {
        let text = String::from_utf8(json).map_err(|error| JsonError::BadUtf8 {
            at: error.utf8_error().valid_up_to() as u32,
        })?;
        let base = self.room_for(&text)?;
        let root = self.slots.len();
        if let Err(error) = parse::index(&text, base, Slot::ADDED, &mut self.slots, &self.limits) {
            self.slots.truncate(root);
            return Err(error);
        }
        self.put(id, root as u32, &text);
        Ok(())
    }

    /// Puts a text in the place of this value.
    ///
    /// # Errors
    ///
    /// Only [`JsonError::TooLarge`], when replacements exceed 4 GiB.
    pub fn replace_text(&mut self, id: NodeId, text: &str) -> Result<(), JsonError> {
        let mut json = Vec::with_capacity(text.len().saturating_add(2));
        text::quote(text, &mut json);
        let escaped = json.len() > text.len().saturating_add(2);
        let json = String::from_utf8(json).map_err(|_| JsonError::TooLarge)?;
        // Redaction puts the same text in again and again.
        let same = self.added.ends_with(&json);
        let base = if same {
            self.added.len().wrapping_sub(json.len()) as u32
        } else {
            self.room_for(&json)?
        };
        let root = self.slots.len() as u32;
        // What the parser would make of it.
        self.slots.push(Slot {
            start: base,
            end: base.wrapping_add(json.len() as u32),
            next: root.wrapping_add(1),
            kind: Kind::String,
            flags: Slot::ADDED | if escaped { Slot::ESCAPED } else { 0 },
            tag: 0,
        });
        self.put(id, root, if same { "" } else { &json });
        Ok(())
    }

    /// Takes a member or an element away, with its comma. The outermost value becomes `null`.
    pub fn remove(&mut self, id: NodeId) {
        self.change(id, Change::Removed);
    }

    /// Whether this value was taken away.
    #[must_use]
    pub fn is_removed(&self, id: NodeId) -> bool {
        matches!(self.change_of(id.0), Some(Change::Removed))
    }

    /// Forgets every edit. Ids of values that were put in name nothing any more.
    pub fn revert(&mut self) {
        let received = self.slots.partition_point(|slot| !slot.has(Slot::ADDED));
        self.slots.truncate(received);
        for at in std::mem::take(&mut self.edited) {
            if let Some(slot) = self.slots.get_mut(at as usize) {
                slot.flags &= !Slot::EDITED;
            }
        }
        self.links.clear();
        self.added.clear();
    }

    /// Whether anything was replaced or removed.
    #[must_use]
    pub fn is_edited(&self) -> bool {
        !self.edited.is_empty()
    }

    /// The received bytes with all edits applied. Every byte that no edit covers is as it was received.
    #[must_use]
    pub fn render(&self) -> Vec<u8> {
        splice::render(self, NodeId(0))
    }

    /// One value with all edits in it applied.
    #[must_use]
    pub fn render_node(&self, id: NodeId) -> Vec<u8> {
        splice::render(self, id)
    }

    /// Where a text that is put in will stand.
    fn room_for(&self, text: &str) -> Result<u32, JsonError> {
        let base = u32::try_from(self.added.len()).ok();
        let end = base.and_then(|base| base.checked_add(u32::try_from(text.len()).ok()?));
        base.filter(|_| end.is_some()).ok_or(JsonError::TooLarge)
    }

    /// Puts a text, whose index is `root` and what follows it, in the place of a value.
    fn put(&mut self, id: NodeId, root: u32, text: &str) {
        self.added.push_str(text);
        let origin = self.change(id, Change::Replaced(root));
        if let Some(link) = self.links.get_mut(root as usize) {
            *link = origin;
        }
    }

    fn change(&mut self, id: NodeId, change: Change) -> u32 {
        let origin = match self.slot(id.0) {
            Some(slot) if slot.has(Slot::ADDED) => self.origin(id.0),
            Some(_) | None => id.0,
        };
        self.links.resize(self.slots.len(), NONE);
        let slot = self.slots.get_mut(origin as usize);
        if let (Some(slot), Some(link)) = (slot, self.links.get_mut(origin as usize)) {
            if !slot.has(Slot::EDITED) {
                slot.flags |= Slot::EDITED;
                self.edited.push(origin);
            }
            *link = change.number();
        }
        origin
    }

    /// What a value that was put in stands for; itself, if it stands inside of what was put in.
    fn origin(&self, id: u32) -> u32 {
        match self.links.get(id as usize) {
            Some(&link) if link != NONE && !self.slot(id).is_some_and(|slot| slot.has(Slot::EDITED)) => link,
            Some(_) | None => id,
        }
    }

    /// Every changed value and what happens to it.
    pub(super) fn changes(&self) -> impl Iterator<Item = (u32, Change)> {
        self.edited
            .iter()
            .filter_map(|id| Some((*id, self.change_of(*id)?)))
    }

    pub(super) fn slot(&self, id: u32) -> Option<&Slot> {
        self.slots.get(id as usize)
    }

    pub(super) fn change_of(&self, id: u32) -> Option<Change> {
        if self.slot(id)?.has(Slot::EDITED) {
            self.links.get(id as usize).copied().map(Change::of)
        } else {
            None
        }
    }

    /// The bytes of an entry, without edits.
    pub(super) fn slice(&self, slot: &Slot) -> &str {
        let source = if slot.has(Slot::ADDED) {
            &self.added
        } else {
            &self.text
        };
        source
            .get(slot.start as usize..slot.end as usize)
            .unwrap_or_default()
    }
}
