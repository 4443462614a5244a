//! Which values a path names.
//!
//! Arrays on the way are fanned out: `items.ssn` names the `ssn` of every element, at any nesting of arrays. A segment of
//! digits names an array's element when it meets an array, and a key when it meets an object. `**` names the value itself
//! and everything below it. An array at the end of the path is one value.

use apl_bytecode::sort_by;

use super::{Key, Kind, Node, NodeId};

const MAX_DEPTH: u16 = 128;
const MAX_TARGETS: usize = 100_000;
const MAX_STATES: u32 = 100_000;

/// One segment.
#[derive(Debug, Clone, Copy)]
pub enum Step<'p> {
    /// A key; if it is of digits, also the element of that number.
    Key(Key<'p>, Option<usize>),
    /// `**`.
    AnyDepth,
}

/// What a path names.
#[derive(Debug, Clone)]
pub struct Found {
    /// In document order, each once. Replaced values are named by their replacements.
    pub nodes: Vec<NodeId>,
    /// Somewhere on the way a key or an element was missing.
    pub absent: bool,
}

impl<'p> Step<'p> {
    /// The segment of this text.
    #[must_use]
    pub fn key(text: &'p str) -> Self {
        let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        let index = digits.then(|| text.parse().unwrap_or(usize::MAX));
        Self::Key(Key::new(text), index)
    }
}

/// Follows a path; `None` when that exceeds a limit. `folded`: keys are compared without case.
pub fn resolve(root: Node<'_>, path: &[Step<'_>], folded: bool) -> Option<Found> {
    let any_depth = path.iter().any(|step| matches!(step, Step::AnyDepth));
    let mut found = Found {
        nodes: Vec::new(),
        absent: false,
    };
    let mut states = 0_u32;
    // A value, the number of segments behind us, and how deep it is.
    let mut stack = vec![(root, 0_usize, 0_u16)];
    while let Some((node, done, depth)) = stack.pop() {
        states = states.saturating_add(1);
        if depth > MAX_DEPTH || (any_depth && states > MAX_STATES) {
            return None;
        }
        let below = depth.saturating_add(1);
        match path.get(done) {
            None => {
                if found.nodes.len() >= MAX_TARGETS {
                    return None;
                }
                found.nodes.push(node.id());
            }
            Some(Step::AnyDepth) => {
                stack.extend(node.elements().map(|child| (child, done, below)));
                stack.extend(node.entries().map(|(_, child)| (child, done, below)));
                // An array would only fan out to the elements that were just put there.
                let next = done.saturating_add(1);
                let fans_out =
                    node.kind() == Kind::Array && matches!(path.get(next), Some(Step::Key(_, None)));
                if !fans_out {
                    stack.push((node, next, depth));
                }
            }
            Some(Step::Key(key, index)) => match node.kind() {
                Kind::Object => {
                    let before = stack.len();
                    let next = done.saturating_add(1);
                    let same = node.like(*key).filter(|(name, _)| {
                        if folded {
                            key.is_folded(*name)
                        } else {
                            key.is(*name)
                        }
                    });
                    stack.extend(same.map(|(_, child)| (child, next, below)));
                    found.absent |= stack.len() == before;
                }
                Kind::Array => match index {
                    Some(index) => match node.elements().nth(*index) {
                        Some(child) => stack.push((child, done.saturating_add(1), below)),
                        None => found.absent = true,
                    },
                    None => {
                        for child in node.elements() {
                            match child.kind() {
                                Kind::Object | Kind::Array => stack.push((child, done, below)),
                                Kind::Null | Kind::Bool | Kind::Number | Kind::String => found.absent = true,
                            }
                        }
                    }
                },
                Kind::Null | Kind::Bool | Kind::Number | Kind::String => found.absent = true,
            },
        }
        if stack.len() > MAX_TARGETS.saturating_mul(4) {
            return None;
        }
    }
    // With `**` most ways end in nothing; what counts is whether one ended in something.
    found.absent &= !any_depth;
    // The last child is the first that is looked at, so a walk without `**` finds them backwards.
    found.nodes.reverse();
    if !found.nodes.is_sorted() {
        sort_by(&mut found.nodes, Ord::cmp);
    }
    found.nodes.dedup();
    Some(found)
}

/// Whether an object on the way of a path, arrays fanned out, has a key that is the path's but for case.
///
/// Documents are depth-limited, so the recursion is.
#[must_use]
pub fn has_twin(node: Node<'_>, path: &[Key<'_>]) -> bool {
    let Some((key, rest)) = path.split_first() else {
        return false;
    };
    match node.kind() {
        Kind::Object => node.like(*key).any(|(name, child)| {
            if key.is(name) {
                has_twin(child, rest)
            } else {
                key.is_folded(name)
            }
        }),
        Kind::Array => node.elements().any(|element| match element.kind() {
            Kind::Object | Kind::Array => has_twin(element, path),
            Kind::Null | Kind::Bool | Kind::Number | Kind::String => false,
        }),
        Kind::Null | Kind::Bool | Kind::Number | Kind::String => false,
    }
}
