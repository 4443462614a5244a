//! MCP over Streamable HTTP: what a message asks for, and what an answer holds.

pub(crate) mod batch;
pub(crate) mod cursor;
pub(crate) mod list;
pub(crate) mod request;
pub(crate) mod response;
pub(crate) mod revision;
