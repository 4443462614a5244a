//! What will differ for a policy that was written for another implementation.
//!
//! [`table`] holds every deliberate difference that a policy's text can show; this file finds the places where this very
//! policy shows one.

mod places;
mod table;

use crate::diagnostics::{Code, Reports, note};
use crate::document::Document;
use crate::options::Dialect;
use crate::source::Source;
use crate::yaml::Node;

/// Reports every place at which the policy will behave differently from what it did there.
pub(super) fn check(
    document: &Document,
    root: &Node,
    sources: &[Source],
    from: Dialect,
    reports: &mut Reports,
) {
    let places = places::Places::collect(document, root, sources);
    for difference in table::TABLE {
        if !difference.of.contains(&from) {
            continue;
        }
        for span in (difference.find)(&places) {
            reports.push(
                note(
                    Code::Differs,
                    span,
                    format!("{}: {}", from.name(), difference.there),
                )
                .help(format!("here {}", difference.here)),
            );
        }
    }
}
