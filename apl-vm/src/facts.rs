//! What policy can read besides the operation's own documents.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    rc::Rc,
};

use apl_bytecode::EffectId;

use crate::restrict::Constraint;

/// One attribute's value. Absence is the absence of an entry.
#[derive(Debug, Clone, PartialEq)]
pub enum Fact {
    /// A boolean.
    Bool(bool),
    /// An integer.
    Int(i64),
    /// A double.
    Float(f64),
    /// A text.
    Str(String),
    /// A set of texts; may be empty.
    Set(BTreeSet<String>),
    /// Present, but nothing that can be compared: an object, an explicit null, a mixed array.
    Opaque,
    /// Not known in this run (a list run, or an answer that a shadow run did not ask for).
    Unknown,
}

/// Attributes by their dotted spelling: `role.hr`, `claim.manager`, `http.method`. A dot inside one segment is escaped:
/// build keys from foreign names with [`push_key_segment`](apl_bytecode::push_key_segment).
pub type FactMap = HashMap<String, Fact>;

/// The facts of one exchange.
///
/// `base` comes from verified credentials and is shared between all exchanges that present them; `own` belongs to this
/// exchange and wins over it.
#[derive(Debug, Clone, Default)]
pub struct Facts {
    /// From verified credentials.
    pub base: Rc<FactMap>,
    /// Of this exchange: `http.*`, `mcp.*`, `delegation.*`, ...
    pub own: FactMap,
    /// `security.labels`.
    pub labels: LabelState,
    /// What the effects of this phase were answered. Every phase begins with none.
    pub answers: BTreeMap<EffectId, Told>,
    /// Where the request may go, as narrowed so far.
    pub constraint: Constraint,
}

/// What a human or a decision point has said.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Told {
    /// Approved, or allowed. Of an elicitation whose channel could not be reached and that goes on: not.
    pub holds: bool,
    /// The code of a denial; may be empty.
    pub code: String,
    /// Its reason; may be empty.
    pub reason: String,
}

/// What is known of the session's labels.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LabelState {
    /// Whether the store was asked. Reading `security.labels` before is a fault of the compiler and denies.
    pub loaded: bool,
    /// Stored labels (session and subject), and those that this exchange has set so far, in any scope.
    pub known: BTreeSet<String>,
}

/// A set of texts, put in one by one: what the standard library does to collect one sorts them first, which is 5 KB of the
/// module for every type of item.
pub fn set_of(texts: impl IntoIterator<Item = String>) -> BTreeSet<String> {
    let mut set = BTreeSet::new();
    texts.into_iter().for_each(|text| {
        set.insert(text);
    });
    set
}

impl Facts {
    /// The attribute's value, `None` when it is absent. `security.labels` is not found here.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Fact> {
        self.own.get(key).or_else(|| self.base.get(key))
    }
}
