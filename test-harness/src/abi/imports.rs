//! The functions that the module imports: `env` (proxy-wasm 0.2.1) and `wasi_snapshot_preview1`.

mod maps;
mod plain;
mod shared;
mod streams;
mod wasi;

use wasmtime::{Caller, Linker};

use super::state::State;

const OK: u32 = 0;
const NOT_FOUND: u32 = 1;
const BAD_ARGUMENT: u32 = 2;
const INVALID_MEMORY: u32 = 6;
const EMPTY: u32 = 7;
const INTERNAL: u32 = 10;

type C<'a> = Caller<'a, State>;

fn fault(caller: &C<'_>, name: &str) -> Option<u32> {
    caller.data().faults.get(name).copied()
}

fn ok_or(found: Option<()>) -> u32 {
    if found.is_some() { OK } else { INVALID_MEMORY }
}

pub(super) fn link(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    plain::link(linker)?;
    shared::link(linker)?;
    maps::link(linker)?;
    streams::link(linker)?;
    wasi::link(linker)
}
