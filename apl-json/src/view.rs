//! One logical value that stands in several places.

use super::{Document, Node, NodeId};

/// One logical value that may stand in several places: `structuredContent` and its text twin.
///
/// Pipelines edit every part alike; readers take the first. A view without parts is an absent value.
#[derive(Debug)]
pub struct View<'a> {
    /// The places, the one that readers take first.
    pub parts: Vec<Part<'a>>,
}

/// One place of a [`View`].
#[derive(Debug)]
pub struct Part<'a> {
    /// The document.
    pub document: &'a mut Document,
    /// The value in it.
    pub node: NodeId,
}

impl<'a> View<'a> {
    /// A value that stands in one place.
    #[must_use]
    pub fn of(document: &'a mut Document, node: NodeId) -> Self {
        Self {
            parts: vec![Part { document, node }],
        }
    }

    /// The value as received, edits not seen: what predicates read. `None` without parts.
    #[must_use]
    pub fn received(&self) -> Option<Node<'_>> {
        self.parts.first().map(|part| part.document.received(part.node))
    }

    /// The value with the edits so far: what the next reader behind us will get. `None` without parts.
    #[must_use]
    pub fn current(&self) -> Option<Node<'_>> {
        self.parts.first().map(|part| part.document.node(part.node))
    }

    /// The same view for a shorter time.
    #[must_use]
    pub fn reborrow(&mut self) -> View<'_> {
        View {
            parts: self
                .parts
                .iter_mut()
                .map(|part| Part {
                    document: part.document,
                    node: part.node,
                })
                .collect(),
        }
    }
}
