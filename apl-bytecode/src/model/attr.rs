//! Attribute paths.

use alloc::vec::Vec;

use super::{AttrId, StrId};

/// An attribute path as policy spells it: `role.hr`, `args.user.age`, `data.bans[subject.id]`, `args["weird-name"]`.
///
/// The first segment is a name: the namespace. `args` and `result` are looked up in the JSON documents of the operation,
/// everything else among the facts of the exchange under its dotted spelling.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Attr {
    /// At least one segment, the first of them [`Seg::Name`].
    pub segs: Vec<Seg>,
}

/// One segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Seg {
    /// A literal name, from `.name` or `["name"]`. One opaque key: dots inside it do not split it.
    Name(StrId),
    /// `[other.path]`: the text of another attribute, as one opaque key. Must refer to an attribute that stands
    /// *before* this one in the table, so that resolution ends. Unresolved: the whole path is absent.
    Value(AttrId),
}
