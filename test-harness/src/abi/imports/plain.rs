//! What is neither a message nor a stream: log, clock, contexts, metrics.

use wasmtime::Linker;

use super::{BAD_ARGUMENT, C, INVALID_MEMORY, NOT_FOUND, OK, ok_or};
use crate::abi::{
    guest::{read, write},
    state::State,
};

pub(super) fn link(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    linker.func_wrap(
        "env",
        "proxy_log",
        |mut c: C<'_>, level: u32, at: u32, size: u32| {
            let Some(text) = read(&mut c, at, size) else {
                return INVALID_MEMORY;
            };
            let text = format!("{level} {}", String::from_utf8_lossy(&text));
            c.data_mut().logs.push(text);
            OK
        },
    )?;
    linker.func_wrap(
        "env",
        "proxy_get_current_time_nanoseconds",
        |mut c: C<'_>, at: u32| {
            let now = c.data().now_ns;
            ok_or(write(&mut c, at, &now.to_le_bytes()))
        },
    )?;
    linker.func_wrap(
        "env",
        "proxy_set_tick_period_milliseconds",
        |mut c: C<'_>, period: u32| {
            let root = c.data().acting();
            c.data_mut().tick_ms.insert(root, period);
            OK
        },
    )?;
    linker.func_wrap(
        "env",
        "proxy_set_effective_context",
        |mut c: C<'_>, context: u32| {
            let state = c.data_mut();
            if !state.places.contains_key(&context) && !state.roots.contains_key(&context) {
                return BAD_ARGUMENT;
            }
            state.effective = Some(context);
            OK
        },
    )?;
    linker.func_wrap(
        "env",
        "proxy_define_metric",
        |mut c: C<'_>, _kind: u32, at: u32, size: u32, id: u32| {
            let Some(name) = read(&mut c, at, size) else {
                return INVALID_MEMORY;
            };
            let metrics = &mut c.data_mut().metrics;
            metrics.push((String::from_utf8_lossy(&name).into_owned(), 0));
            let number = u32::try_from(metrics.len() - 1).unwrap_or(u32::MAX);
            ok_or(write(&mut c, id, &number.to_le_bytes()))
        },
    )?;
    linker.func_wrap(
        "env",
        "proxy_record_metric",
        |mut c: C<'_>, id: u32, value: u64| match c.data_mut().metrics.get_mut(id as usize) {
            Some((_, known)) => {
                *known = i64::try_from(value).unwrap_or(i64::MAX);
                OK
            }
            None => BAD_ARGUMENT,
        },
    )?;
    linker.func_wrap(
        "env",
        "proxy_increment_metric",
        |mut c: C<'_>, id: u32, by: i64| match c.data_mut().metrics.get_mut(id as usize) {
            Some((_, value)) if by > 0 => {
                *value += by;
                OK
            }
            Some(_) => BAD_ARGUMENT,
            None => NOT_FOUND,
        },
    )?;
    Ok(())
}
