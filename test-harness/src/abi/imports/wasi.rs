//! `wasi_snapshot_preview1`: random numbers, environment, clock, standard error; no files.

use wasmtime::Linker;

use super::{C, INVALID_MEMORY, OK, ok_or};
use crate::abi::{
    guest::{read, write},
    state::State,
};

pub(super) fn link(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    const WASI: &str = "wasi_snapshot_preview1";
    const ERRNO_BADF: u32 = 8;
    linker.func_wrap(WASI, "random_get", |mut c: C<'_>, at: u32, size: u32| {
        // Reproducible: a test that fails, fails again.
        let bytes: Vec<u8> = (0..size)
            .map(|_| {
                let state = c.data_mut();
                state.random = state
                    .random
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1_442_695_040_888_963_407);
                state.random.to_be_bytes()[0]
            })
            .collect();
        ok_or(write(&mut c, at, &bytes))
    })?;
    linker.func_wrap(
        WASI,
        "environ_sizes_get",
        |mut c: C<'_>, count: u32, size: u32| {
            let total: usize = c
                .data()
                .env
                .iter()
                .map(|(name, value)| name.len() + value.len() + 2)
                .sum();
            let number = c.data().env.len();
            let (number, total) = (
                u32::try_from(number).unwrap_or(0),
                u32::try_from(total).unwrap_or(0),
            );
            ok_or(
                write(&mut c, count, &number.to_le_bytes())
                    .and_then(|()| write(&mut c, size, &total.to_le_bytes())),
            )
        },
    )?;
    linker.func_wrap(WASI, "environ_get", |mut c: C<'_>, table: u32, text: u32| {
        let mut at = text;
        for (index, (name, value)) in c.data().env.clone().into_iter().enumerate() {
            let entry = format!("{name}={value}\0");
            let slot = table + 4 * u32::try_from(index).unwrap_or(0);
            if write(&mut c, slot, &at.to_le_bytes())
                .and_then(|()| write(&mut c, at, entry.as_bytes()))
                .is_none()
            {
                return INVALID_MEMORY;
            }
            at += u32::try_from(entry.len()).unwrap_or(0);
        }
        OK
    })?;
    linker.func_wrap(
        WASI,
        "clock_time_get",
        |mut c: C<'_>, _clock: u32, _precision: u64, at: u32| {
            let now = c.data().now_ns;
            ok_or(write(&mut c, at, &now.to_le_bytes()))
        },
    )?;
    linker.func_wrap(
        WASI,
        "fd_write",
        |mut c: C<'_>, _fd: u32, vectors: u32, count: u32, written: u32| {
            let mut total = 0_u32;
            for vector in 0..count {
                let Some(entry) = read(&mut c, vectors + vector * 8, 8) else {
                    return INVALID_MEMORY;
                };
                let word =
                    |at: usize| u32::from_le_bytes([entry[at], entry[at + 1], entry[at + 2], entry[at + 3]]);
                let Some(text) = read(&mut c, word(0), word(4)) else {
                    return INVALID_MEMORY;
                };
                total += word(4);
                let text = String::from_utf8_lossy(&text).into_owned();
                c.data_mut().logs.push(text);
            }
            ok_or(write(&mut c, written, &total.to_le_bytes()))
        },
    )?;
    linker.func_wrap(WASI, "proc_exit", |code: u32| -> wasmtime::Result<()> {
        Err(wasmtime::Error::msg(format!("the module exited with {code}")))
    })?;
    linker.func_wrap(WASI, "sched_yield", || OK)?;
    linker.func_wrap(WASI, "fd_close", |_fd: u32| ERRNO_BADF)?;
    linker.func_wrap(WASI, "fd_fdstat_get", |_fd: u32, _at: u32| ERRNO_BADF)?;
    linker.func_wrap(WASI, "fd_prestat_get", |_fd: u32, _at: u32| ERRNO_BADF)?;
    linker.func_wrap(WASI, "fd_prestat_dir_name", |_fd: u32, _at: u32, _size: u32| {
        ERRNO_BADF
    })?;
    linker.func_wrap(WASI, "fd_seek", |_fd: u32, _to: i64, _whence: u32, _at: u32| {
        ERRNO_BADF
    })?;
    linker.func_wrap(WASI, "fd_read", |_fd: u32, _at: u32, _count: u32, _read: u32| {
        ERRNO_BADF
    })?;
    Ok(())
}
