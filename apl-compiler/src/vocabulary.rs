//! The one table of words: keys of every section, attributes, stages, steps. Parser messages, documentation and lints draw
//! from it.

mod attributes;
mod keys;
mod nearest;
mod schema;
mod stages;

pub use attributes::{Attribute, NAMESPACES, Shape};
pub use keys::{Key, Section, Treatment};
pub use nearest::nearest;
pub use schema::json_schema;
pub use stages::{DIALECTS, ELICITATIONS, STAGES, STEP_CALLS, StageWord};
