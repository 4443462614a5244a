//! Values while an expression runs.

use std::{borrow::Cow, cmp::Ordering, rc::Rc};

use apl_json::{Kind, Node};

/// A truth value. `And`, `Or` and `Not` are total over it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Truth {
    /// True.
    True,
    /// False.
    False,
    /// Not known in this run; some value of what is not known makes it true, false or an error.
    Unknown,
    /// It cannot be said, whatever is not known: a missing key in CEL.
    Error,
    /// An order comparison of what has no order was evaluated: the phase denies, whatever stands around it.
    Fault,
}

impl From<bool> for Truth {
    fn from(value: bool) -> Self {
        if value { Self::True } else { Self::False }
    }
}

impl Truth {
    /// Left to right: a left side that is false or a fault decides. Otherwise false on the right absorbs what is not
    /// known and errors, but a fault on the right, where nothing decided before it, is one.
    ///
    /// What is not known may turn out to be false, so that a fault behind it would not have been evaluated; hence unknown.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::Fault, _) | (Self::True | Self::Error, Self::Fault) => Self::Fault,
            (Self::False, _) | (_, Self::False) => Self::False,
            (Self::Unknown, _) | (_, Self::Unknown) => Self::Unknown,
            (Self::Error, _) | (_, Self::Error) => Self::Error,
            (Self::True, Self::True) => Self::True,
        }
    }

    /// True in the place of false, else as [`Truth::and`].
    #[must_use]
    pub const fn or(self, other: Self) -> Self {
        self.not().and(other.not()).not()
    }

    /// An error stays an error, so that no negation turns it into a pass.
    #[must_use]
    pub const fn not(self) -> Self {
        match self {
            Self::True => Self::False,
            Self::False => Self::True,
            Self::Unknown => Self::Unknown,
            Self::Error => Self::Error,
            Self::Fault => Self::Fault,
        }
    }
}

/// A value on the stack. Borrows from the program, the facts and the documents.
#[derive(Debug, Clone)]
pub(crate) enum Value<'a> {
    Null,
    Bool(bool),
    Int(i64),
    Uint(u64),
    Float(f64),
    Str(Cow<'a, str>),
    List(List<'a>),
    Map(Map<'a>),
    /// A moment: nanoseconds since the Unix epoch.
    Time(i128),
    /// A stretch of time: nanoseconds.
    Span(i128),
    /// The name of a type.
    Type(&'static str),
    Unknown,
    Error,
    /// [`Truth::Fault`]
    Fault,
}

/// Lists in lists, at most: dropping and comparing them recurses.
const MAX_LIST_DEPTH: u8 = 64;

/// A list.
#[derive(Debug, Clone)]
pub(crate) enum List<'a> {
    /// An array of a document.
    Array(Node<'a>),
    /// Made by an expression. Its depth counts lists made inside lists made.
    Made(Rc<Vec<Value<'a>>>, u8),
}

impl<'a> List<'a> {
    /// A list of these values; an error when it nests too deeply.
    pub(crate) fn made(items: Vec<Value<'a>>) -> Value<'a> {
        match depth_around(items.iter()) {
            Some(depth) => Value::List(Self::Made(Rc::new(items), depth)),
            None => Value::Error,
        }
    }

    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Array(node) => node.len(),
            Self::Made(items, _) => items.len(),
        }
    }

    pub(crate) fn get(&self, index: usize) -> Option<Value<'a>> {
        match self {
            Self::Array(node) => node.elements().nth(index).map(Value::of_node),
            Self::Made(items, _) => items.get(index).cloned(),
        }
    }

    /// The elements in order.
    pub(crate) fn items(&self) -> Vec<Value<'a>> {
        match self {
            Self::Array(node) => node.elements().map(Value::of_node).collect(),
            Self::Made(items, _) => items.to_vec(),
        }
    }
}

/// The depth of a container that is made of these; `None`: too deep.
fn depth_around<'v, 'a: 'v>(items: impl Iterator<Item = &'v Value<'a>>) -> Option<u8> {
    let deepest = items.map(|item| match item {
        Value::List(List::Made(_, depth)) | Value::Map(Map::Made(_, depth)) => *depth,
        _ => 0,
    });
    let depth = deepest.max().unwrap_or(0).saturating_add(1);
    (depth <= MAX_LIST_DEPTH).then_some(depth)
}

/// A map.
#[derive(Debug, Clone)]
pub(crate) enum Map<'a> {
    /// An object of a document.
    Object(Node<'a>),
    /// Made by an expression, or of the facts below a name. Its depth counts as that of lists.
    Made(Rc<Vec<(Value<'a>, Value<'a>)>>, u8),
}

impl<'a> Map<'a> {
    /// A map of these entries, whose keys must differ; an error when it nests too deeply.
    pub(crate) fn made(entries: Vec<(Value<'a>, Value<'a>)>) -> Value<'a> {
        match depth_around(entries.iter().map(|(_, value)| value)) {
            Some(depth) => Value::Map(Self::Made(Rc::new(entries), depth)),
            None => Value::Error,
        }
    }

    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Object(node) => node.len(),
            Self::Made(entries, _) => entries.len(),
        }
    }

    /// The value of a key. Whole numbers of different types are one key.
    pub(crate) fn get(&self, key: &Value<'_>) -> Option<Value<'a>> {
        match (self, key) {
            (Self::Object(node), Value::Str(key)) => node.get(key).map(Value::of_node),
            (Self::Object(_), _) => None,
            (Self::Made(entries, _), key) => entries
                .iter()
                .find(|(known, _)| same_key(known, key))
                .map(|(_, value)| value.clone()),
        }
    }

    /// The entries: in document order, or as they were made.
    pub(crate) fn entries(&self) -> Vec<(Value<'a>, Value<'a>)> {
        match self {
            Self::Object(node) => node
                .members()
                .map(|(key, value)| (Value::Str(key), Value::of_node(value)))
                .collect(),
            Self::Made(entries, _) => entries.to_vec(),
        }
    }
}

/// Whether two values are one key of a map.
pub(crate) fn same_key(a: &Value<'_>, b: &Value<'_>) -> bool {
    match (a, b) {
        (Value::Str(a), Value::Str(b)) => a == b,
        (Value::Bool(a), Value::Bool(b)) => a == b,
        _ => match (a.number(), b.number()) {
            (Some(a), Some(b)) => a.order(b).is_some_and(Ordering::is_eq),
            _ => false,
        },
    }
}

impl<'a> Value<'a> {
    /// A JSON value. Whole numbers are integers however they are written, as upstream's adapter has it.
    pub(crate) fn of_node(node: Node<'a>) -> Self {
        match node.kind() {
            Kind::Null => Self::Null,
            Kind::Bool => node.as_bool().map_or(Self::Error, Self::Bool),
            Kind::String => node.as_str().map_or(Self::Error, Self::Str),
            Kind::Array => Self::List(List::Array(node)),
            Kind::Object => Self::Map(Map::Object(node)),
            Kind::Number => {
                let Some(number) = node.number() else {
                    return Self::Error;
                };
                let signed = number.as_i64().map(Self::Int);
                let unsigned = || number.as_u64().map(Self::Uint);
                let float = || number.as_f64().map(Self::of_float);
                signed.or_else(unsigned).or_else(float).unwrap_or(Self::Error)
            }
        }
    }

    /// A double of a fact or a document: whole ones are integers.
    pub(crate) fn of_float(value: f64) -> Self {
        #[expect(
            clippy::cast_possible_truncation,
            reason = "within 2^53 a whole double is an i64"
        )]
        if value.fract() == 0.0 && value.abs() <= EXACT {
            Self::Int(value as i64)
        } else {
            Self::Float(value)
        }
    }

    pub(crate) fn truth(&self) -> Truth {
        match self {
            Self::Bool(value) => (*value).into(),
            Self::Unknown => Truth::Unknown,
            Self::Fault => Truth::Fault,
            Self::Null
            | Self::Int(_)
            | Self::Uint(_)
            | Self::Float(_)
            | Self::Str(_)
            | Self::List(_)
            | Self::Map(_)
            | Self::Time(_)
            | Self::Span(_)
            | Self::Type(_)
            | Self::Error => Truth::Error,
        }
    }

    pub(crate) fn number(&self) -> Option<Number> {
        match self {
            Self::Int(value) => Some(Number::Int(i128::from(*value))),
            Self::Uint(value) => Some(Number::Int(i128::from(*value))),
            Self::Float(value) => Some(Number::Float(*value)),
            _ => None,
        }
    }
}

impl From<Truth> for Value<'_> {
    fn from(truth: Truth) -> Self {
        match truth {
            Truth::True => Self::Bool(true),
            Truth::False => Self::Bool(false),
            Truth::Unknown => Self::Unknown,
            Truth::Error => Self::Error,
            Truth::Fault => Self::Fault,
        }
    }
}

/// The greatest magnitude up to which every whole number is a double: 2^53.
pub(crate) const EXACT: f64 = 9_007_199_254_740_992.0;

/// A number of any type.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Number {
    Int(i128),
    Float(f64),
}

impl Number {
    /// The exact order of the two mathematical values; `None` only for a NaN.
    pub(crate) fn order(self, other: Self) -> Option<Ordering> {
        match (self, other) {
            (Self::Int(a), Self::Int(b)) => Some(a.cmp(&b)),
            (Self::Float(a), Self::Float(b)) => a.partial_cmp(&b),
            (Self::Int(a), Self::Float(b)) => int_float(a, b),
            (Self::Float(a), Self::Int(b)) => int_float(b, a).map(Ordering::reverse),
        }
    }
}

fn int_float(int: i128, float: f64) -> Option<Ordering> {
    if float.is_nan() {
        return None;
    }
    // Integers here have at most 64 bits, so a double beyond 2^65 is beyond them all.
    if float.abs() >= 36_893_488_147_419_103_232.0 {
        return Some(if float > 0.0 {
            Ordering::Less
        } else {
            Ordering::Greater
        });
    }
    #[expect(clippy::cast_possible_truncation, reason = "the magnitude is below 2^65")]
    let whole = float.trunc() as i128;
    let rest = float.fract();
    Some(int.cmp(&whole).then(if rest > 0.0 {
        Ordering::Less
    } else if rest < 0.0 {
        Ordering::Greater
    } else {
        Ordering::Equal
    }))
}
