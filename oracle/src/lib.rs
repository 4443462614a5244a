//! Nothing but the differential test in `tests/`. It is a crate of its own so that no other crate is built with the
//! reference engine and its dependencies.
