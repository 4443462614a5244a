//! Assertions: headers that the proxy vouches for, because nobody else can set them.

use alloc::vec::Vec;

use super::{AttrId, StrId};

/// What a route asserts, layered already.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Assertions {
    /// Of the request, to the backend.
    pub request: Contract,
    /// Of the response, to the client.
    pub response: Contract,
}

/// The headers of one direction. Every header that is set or matches a pattern is first removed.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Contract {
    /// What is set.
    pub headers: Vec<Assertion>,
    /// Lower-case names or patterns (`*`, `?`) of headers that are removed.
    pub strip: Vec<StrId>,
}

/// One header.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Assertion {
    /// Lower-case.
    pub name: StrId,
    /// Where its value comes from.
    pub source: HeaderSource,
    /// How a value is written.
    pub encoding: Encoding,
    /// `on_missing: deny`: without a value the operation is denied, `auth.assertion_missing`. Otherwise the header is left out.
    pub required: bool,
}

/// Where a value comes from.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum HeaderSource {
    /// An attribute of a verified credential.
    Attr(AttrId),
    /// A JSON object of such attributes by key.
    Members(Vec<(StrId, AttrId)>),
    /// The environment variable of the VM with this name.
    Variable(StrId),
}

/// How a value is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Encoding {
    /// A single value, as it is.
    Plain,
    /// As JSON, in ASCII.
    Json,
    /// Members of a set, sorted, joined by commas; quoted as in RFC 4180 where one holds a comma or a quote.
    Csv,
}
