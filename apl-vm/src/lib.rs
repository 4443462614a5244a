//! Runs one verified program against one operation, without I/O, clock or host.
