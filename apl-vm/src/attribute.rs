//! Finding what an attribute path names.

use std::{borrow::Cow, collections::BTreeSet};

use apl_bytecode::{AttrId, Seg, StrId, push_key_segment};

use apl_json::{Kind, Node};

use crate::{
    data::Data,
    facts::{Fact, Facts},
    prepared::Prepared,
};

/// Everything that an expression can read.
#[derive(Clone, Copy)]
pub(crate) struct Scope<'a> {
    pub(crate) program: &'a Prepared,
    pub(crate) facts: &'a Facts,
    pub(crate) args: Source<'a>,
    pub(crate) result: Source<'a>,
    /// What a probe assumes; `None` when run for real.
    pub(crate) assumed: Option<&'a Assumed>,
}

/// A document of the operation, as received: predicates do not see edits.
#[derive(Clone, Copy)]
pub(crate) enum Source<'a> {
    Absent,
    Unknown,
    Node(Node<'a>),
}

/// What a probe knows about effects that it did not perform.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Assumed {
    /// Labels that are set on every way to here.
    pub(crate) labels: BTreeSet<String>,
    /// There may be labels besides.
    pub(crate) more_labels: bool,
    /// A delegation was asked for on some way to here.
    pub(crate) delegated: bool,
    /// An approval was asked for on some way to here.
    pub(crate) elicited: bool,
    /// The operation is the one at hand, so that its facts are known.
    pub(crate) at_hand: bool,
}

impl Assumed {
    /// Whether nobody can know what is in this namespace.
    pub(crate) fn hides(&self, root: &str) -> bool {
        match root {
            "delegation" => self.delegated || !self.at_hand,
            "elicitation" => self.elicited || !self.at_hand,
            _ => !self.at_hand,
        }
    }
}

/// What a path names.
pub(crate) enum Found<'a> {
    Absent,
    Unknown,
    Fact(&'a Fact),
    Node(Node<'a>),
    Labels(Labels<'a>),
}

/// `security.labels`.
#[derive(Clone, Copy)]
pub(crate) struct Labels<'a> {
    known: &'a BTreeSet<String>,
    assumed: Option<&'a Assumed>,
    pub(crate) rest: Rest,
}

/// What is known of labels besides those that are known to be set. Labels only grow, so a known one counts whether they
/// were loaded or not.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rest {
    /// There are none.
    None,
    /// In a probe: there may be some.
    Unknown,
    /// They were not loaded before they were read, which is the compiler's fault: asking for one is an error.
    Unloaded,
}

impl<'a> Labels<'a> {
    pub(crate) fn has(self, label: &str) -> bool {
        self.known.contains(label) || self.assumed.is_some_and(|assumed| assumed.labels.contains(label))
    }

    pub(crate) fn all(self) -> BTreeSet<&'a str> {
        let assumed = self.assumed.into_iter().flat_map(|assumed| &assumed.labels);
        // Not collected: see `set_of`.
        let mut all = BTreeSet::new();
        self.known.iter().chain(assumed).for_each(|label| {
            all.insert(label.as_str());
        });
        all
    }
}

impl<'a> Scope<'a> {
    pub(crate) fn text(&self, id: StrId) -> &'a str {
        self.program
            .program()
            .strings
            .get(id.at())
            .map_or("", String::as_str)
    }

    /// Resolves a path. The verifier bounds how many segments that looks at.
    pub(crate) fn find(&self, id: AttrId) -> Found<'a> {
        let Some(attr) = self.program.program().attrs.get(id.at()) else {
            return Found::Absent;
        };
        let Some((Seg::Name(first), rest)) = attr.segs.split_first() else {
            return Found::Absent;
        };
        match self.text(*first) {
            "args" => self.walk(self.args, rest),
            "result" => self.walk(self.result, rest),
            first => match (first, self.program.data(), self.program.key(id)) {
                ("data", Some(data), _) => self.constant(data, rest),
                (_, _, Some(key)) => self.fact(key),
                (_, _, None) => self.computed(&attr.segs),
            },
        }
    }

    fn walk(&self, source: Source<'a>, segs: &[Seg]) -> Found<'a> {
        let mut node = match source {
            Source::Absent => return Found::Absent,
            Source::Unknown => return Found::Unknown,
            Source::Node(node) => node,
        };
        for seg in segs {
            let child = match self.segment(*seg) {
                Segment::Absent => return Found::Absent,
                Segment::Unknown => return Found::Unknown,
                Segment::Text(name) => node.get(&name),
            };
            match child {
                Some(child) => node = child,
                None => return Found::Absent,
            }
        }
        Found::Node(node)
    }

    /// A static attribute.
    fn constant(&self, data: &'a Data, segs: &[Seg]) -> Found<'a> {
        let mut node = data.root();
        for seg in segs {
            let name = match self.segment(*seg) {
                Segment::Absent => return Found::Absent,
                Segment::Unknown => return Found::Unknown,
                Segment::Text(name) => name,
            };
            match data.get(node, &name) {
                Some(child) => node = child,
                None => return Found::Absent,
            }
        }
        Found::Node(node)
    }

    fn computed(&self, segs: &[Seg]) -> Found<'a> {
        let mut key = String::new();
        let mut unknown = false;
        for seg in segs {
            match self.segment(*seg) {
                Segment::Text(text) => push_key_segment(&mut key, &text),
                // An absent one further on settles it.
                Segment::Unknown => unknown = true,
                Segment::Absent => return Found::Absent,
            }
        }
        if unknown { Found::Unknown } else { self.fact(&key) }
    }

    fn segment(&self, seg: Seg) -> Segment<'a> {
        match seg {
            Seg::Name(name) => Segment::Text(Cow::Borrowed(self.text(name))),
            Seg::Value(attr) => match self.find(attr) {
                Found::Absent | Found::Labels(_) => Segment::Absent,
                Found::Unknown => Segment::Unknown,
                Found::Fact(fact) => fact_text(fact),
                Found::Node(node) => node_text(node).map_or(Segment::Absent, Segment::Text),
            },
        }
    }

    fn fact(&self, key: &str) -> Found<'a> {
        if key == "security.labels" {
            return self.labels();
        }
        let told = |assumed: &Assumed| {
            assumed.delegated && key.starts_with("delegation.")
                || assumed.elicited && key.starts_with("elicitation.")
        };
        if self.assumed.is_some_and(told) {
            return Found::Unknown;
        }
        match self.facts.get(key) {
            None => Found::Absent,
            Some(Fact::Unknown) => Found::Unknown,
            Some(fact) => Found::Fact(fact),
        }
    }

    /// `security.labels`.
    pub(crate) fn labels(&self) -> Found<'a> {
        let labels = &self.facts.labels;
        let rest = match (self.assumed, labels.loaded) {
            (
                Some(Assumed {
                    more_labels: false, ..
                })
                | None,
                true,
            ) => Rest::None,
            (Some(_), _) => Rest::Unknown,
            (None, false) => Rest::Unloaded,
        };
        Found::Labels(Labels {
            known: &labels.known,
            assumed: self.assumed,
            rest,
        })
    }
}

/// One segment of a path, as text.
enum Segment<'a> {
    Text(Cow<'a, str>),
    Absent,
    Unknown,
}

fn fact_text(fact: &Fact) -> Segment<'_> {
    match fact {
        Fact::Bool(value) => Segment::Text(Cow::Borrowed(if *value { "true" } else { "false" })),
        Fact::Int(value) => Segment::Text(Cow::Owned(value.to_string())),
        Fact::Float(value) => Segment::Text(Cow::Owned(value.to_string())),
        Fact::Str(text) => Segment::Text(Cow::Borrowed(text)),
        Fact::Set(_) | Fact::Opaque => Segment::Absent,
        Fact::Unknown => Segment::Unknown,
    }
}

/// A scalar as text: what it contributes to a path, and as a member of a set. `None` for null and containers.
pub(crate) fn node_text(node: Node<'_>) -> Option<Cow<'_, str>> {
    match node.kind() {
        Kind::String => node.as_str(),
        Kind::Bool => node
            .as_bool()
            .map(|value| Cow::Borrowed(if value { "true" } else { "false" })),
        Kind::Number => {
            let number = node.number()?;
            let signed = number.as_i64().map(|value| value.to_string());
            let unsigned = || number.as_u64().map(|value| value.to_string());
            let float = || number.as_f64().map(|value| value.to_string());
            let text = signed.or_else(unsigned).or_else(float);
            Some(text.map_or(Cow::Borrowed(number.lexeme), Cow::Owned))
        }
        Kind::Null | Kind::Array | Kind::Object => None,
    }
}
