//! The one table of words: keys of every section, attributes, stages, steps. Parser messages, documentation and lints draw
//! from it.

mod attributes;
mod keys;
mod nearest;
mod stages;

pub use attributes::{Attribute, NAMESPACES, Shape};
pub use keys::{Key, Section, Treatment};
pub use nearest::nearest;
pub use stages::{DIALECTS, ELICITATIONS, STAGES, STEP_CALLS, StageWord};
