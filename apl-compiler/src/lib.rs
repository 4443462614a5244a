//! APL text to verified bytecode: parser, resolver, lowering, diagnostics, and the aplc tool.
