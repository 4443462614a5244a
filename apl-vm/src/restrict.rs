//! Constraints on where a request may go, folded as they come.
//!
//! Allow lists intersect as literal texts, deny lists and tiers unite, labels unite and must not contradict each other. An
//! allow list that nothing is in can be satisfied by no backend: it denies, unless every constraint says
//! `on_empty: fallback`; then that list, and only it, is given up.

mod admits;

use std::collections::{BTreeMap, BTreeSet};

use apl_bytecode::{AttrId, ListKind, Members, Restrict};

pub use admits::model_matches;

use apl_json::Kind;

use crate::{
    attribute::{Found, Scope, node_text},
    facts::Fact,
    facts::set_of,
};

/// The constraints of one phase, folded.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Constraint {
    /// The lists that were given.
    pub lists: BTreeMap<ListKind, BTreeSet<String>>,
    /// Ceilings of cost; every one of them counts.
    pub max_cost_tiers: BTreeSet<String>,
    /// Labels that a backend must have.
    pub custom: BTreeMap<String, String>,
    /// Some constraint denies when nothing satisfies it.
    pub strict: bool,
}

/// Why a constraint cannot be added.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Refused {
    /// The reference of a deny list names nothing.
    Unresolved(ListKind),
    /// Two values for one label.
    Conflict(String),
}

impl Constraint {
    /// Whether nothing is constrained.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.lists.is_empty() && self.max_cost_tiers.is_empty() && self.custom.is_empty()
    }

    /// Whether a request that no backend satisfies may go anywhere that its deny lists leave.
    #[must_use]
    pub const fn falls_back(&self) -> bool {
        !self.strict
    }

    /// The allow list that nothing is in and that denies therefore.
    #[must_use]
    pub fn impossible(&self) -> Option<ListKind> {
        let empty = |(kind, members): (&ListKind, &BTreeSet<String>)| {
            (kind.allows() && members.is_empty()).then_some(*kind)
        };
        self.lists.iter().find_map(empty).filter(|_| self.strict)
    }

    pub(crate) fn add(&mut self, restrict: &Restrict, scope: &Scope<'_>) -> Result<(), Refused> {
        for (kind, members) in &restrict.lists {
            let members = match members {
                Members::Texts(texts) => set_of(texts.iter().map(|id| scope.text(*id).to_owned())),
                Members::Attr(attr) => match members_of(scope, *attr) {
                    Some(members) => members,
                    None if kind.allows() => BTreeSet::new(),
                    None => return Err(Refused::Unresolved(*kind)),
                },
            };
            match self.lists.get_mut(kind) {
                None => {
                    self.lists.insert(*kind, members);
                }
                Some(known) if kind.allows() => known.retain(|member| members.contains(member)),
                Some(known) => known.extend(members),
            }
        }
        let tier = restrict.max_cost_tier.map(|id| scope.text(id).to_owned());
        self.max_cost_tiers.extend(tier);
        for (label, value) in &restrict.custom {
            let (label, value) = (scope.text(*label), scope.text(*value));
            match self.custom.get(label) {
                Some(known) if known != value => return Err(Refused::Conflict(label.to_owned())),
                Some(_) => {}
                None => {
                    self.custom.insert(label.to_owned(), value.to_owned());
                }
            }
        }
        self.strict |= !restrict.fallback;
        Ok(())
    }
}

/// A set's members, or one text.
fn members_of(scope: &Scope<'_>, attr: AttrId) -> Option<BTreeSet<String>> {
    match scope.find(attr) {
        Found::Absent | Found::Unknown => None,
        Found::Labels(labels) => Some(set_of(labels.all().into_iter().map(str::to_owned))),
        Found::Fact(Fact::Set(set)) => Some(set.clone()),
        Found::Fact(Fact::Str(text)) => Some(set_of([text.clone()])),
        Found::Fact(Fact::Bool(_) | Fact::Int(_) | Fact::Float(_) | Fact::Opaque | Fact::Unknown) => None,
        Found::Node(node) => match node.kind() {
            Kind::String => Some(set_of([node.as_str()?.into_owned()])),
            Kind::Array => {
                let texts: Option<Vec<String>> = node
                    .elements()
                    .map(|item| (item.kind() == Kind::String).then(|| node_text(item)).flatten())
                    .map(|text| text.map(std::borrow::Cow::into_owned))
                    .collect();
                texts.map(set_of)
            }
            Kind::Null | Kind::Bool | Kind::Number | Kind::Object => None,
        },
    }
}
