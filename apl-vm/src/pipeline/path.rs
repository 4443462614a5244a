//! The path of a pipeline, with its texts looked up.

use apl_bytecode::PathSeg;
use apl_json::Step;

use crate::prepared::Prepared;

pub(super) fn keys<'p>(program: &'p Prepared, path: &[PathSeg]) -> Vec<Step<'p>> {
    let strings = &program.program().strings;
    path.iter()
        .map(|seg| match seg {
            PathSeg::Key(name) => Step::key(strings.get(name.at()).map_or("", String::as_str)),
            PathSeg::AnyDepth => Step::AnyDepth,
        })
        .collect()
}
