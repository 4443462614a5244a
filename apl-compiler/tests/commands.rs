//! The commands of `aplc` beside `check` and `build`, as people run them.

#[path = "commands/cli.rs"]
mod cli;
#[path = "commands/sign.rs"]
mod sign;
