//! The contract between compiler and proxy: program model, file format, verifier, listing.
