//! The numbers that bound a program. A program beyond one of them is refused, by [`decode`](crate::decode) or
//! [`verify`](crate::verify); none of them is configurable, so that every filter accepts the same programs.

/// Bytes of a `.aplb` file.
pub const MAX_FILE_BYTES: usize = 8 * 1024 * 1024;
/// Entries of any one table: 10,000 routes with 20 steps each are 200,000 denials. The bytes of the file bound what all
/// tables together can hold.
pub const MAX_TABLE: usize = 1_048_576;
/// Bytes of one text.
pub const MAX_STRING_BYTES: usize = 256 * 1024;
/// Bytes of the static attributes.
pub const MAX_DATA_BYTES: usize = 1024 * 1024;
/// Bytes of one compiled pattern.
pub const MAX_DFA_BYTES: usize = 4 * 1024 * 1024;
/// Instructions of one block.
pub const MAX_CODE: usize = 16_384;
/// Values on the stack of one block.
pub const MAX_STACK: usize = 1_024;
/// Comprehensions inside one another.
pub const MAX_NESTING: u8 = 8;
/// Segments of one attribute path or field path.
pub const MAX_SEGMENTS: usize = 64;
/// Segments that resolving one attribute path looks at, those of the paths that it interpolates included.
pub const MAX_RESOLUTION: u32 = 256;
/// Stages of one pipeline.
pub const MAX_STAGES: usize = 64;
/// Members of any list inside an entry: enumerations, permissions, audiences, headers, reactions, detectors.
pub const MAX_LIST: usize = 4_096;
