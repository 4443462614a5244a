//! The commands of `aplc` beside `check` and `build`, as people run them.

#[path = "commands/cli.rs"]
mod cli;
#[path = "commands/diff.rs"]
mod diff;
#[path = "commands/emit.rs"]
mod emit;
#[path = "commands/everywhere.rs"]
mod everywhere;
#[path = "commands/graph.rs"]
mod graph;
#[path = "commands/inspect.rs"]
mod inspect;
#[path = "commands/mermaid.rs"]
mod mermaid;
#[path = "commands/pins.rs"]
mod pins;
#[path = "commands/rewrite.rs"]
mod rewrite;
#[path = "commands/sign.rs"]
mod sign;
#[expect(
    dead_code,
    unreachable_pub,
    reason = "the harness's, where all of it is public and used"
)]
#[path = "../../test-harness/src/tools.rs"]
mod tools;
