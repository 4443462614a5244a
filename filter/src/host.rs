//! The boundary to the host: the only place that knows the proxy-wasm ABI, and the only `unsafe` code.
//!
//! Calls out are functions that return a [`Result`] and never panic, whatever the host returns. Calls in
//! ([`exports`]) are total: see there, and `docs/panics.md` for why the SDK's dispatcher is not used.
//!
//! Calls about a stream act on the *effective* context: the one whose callback is running, or the one that was last made
//! effective with [`set_effective`].

#![expect(
    unsafe_code,
    reason = "calls through the ABI of the host pass raw addresses; each block says why it is sound"
)]

mod exports;
mod headers;
mod imports;
mod memory;
mod pairs;
mod runtime;
mod stream;

pub(crate) use headers::{HeaderMap, header, headers, remove_header, replace_header};
pub(crate) use pairs::Pair;
pub(crate) use runtime::{
    COUNTER, GAUGE, Level, count, define_metric, dequeue, enqueue, log, now_ms, plugin_configuration,
    property, random, record, register_queue, set_property, set_tick_ms,
};
pub(crate) use stream::{
    Body, Direction, body, http_call, http_call_body, replace_body, resume, send_local_reply, set_effective,
};

/// The status numbers that this layer tells apart.
mod status {
    /// Done.
    pub(super) const OK: u32 = 0;
    /// No such header, property, queue.
    pub(super) const NOT_FOUND: u32 = 1;
    /// Nothing in the buffer or the queue.
    pub(super) const EMPTY: u32 = 7;
    /// There is no host.
    #[cfg(not(target_arch = "wasm32"))]
    pub(super) const UNIMPLEMENTED: u32 = 12;
}

/// The host refused a call, with this status.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct HostError(pub(crate) u32);

fn check(status: u32) -> Result<(), HostError> {
    if status == status::OK {
        Ok(())
    } else {
        Err(HostError(status))
    }
}

/// Makes a call that hands a block over, and takes the block.
fn taken(call: impl FnOnce(*mut *mut u8, *mut usize) -> u32) -> Result<Vec<u8>, HostError> {
    let mut data = std::ptr::null_mut();
    let mut size = 0;
    let status = call(&mut data, &mut size);
    // SAFETY: the host writes the two only together, with a block that it asked `proxy_on_memory_allocate` for and of
    // that size; we passed null, so what is not null is new, and this is the only place that takes it. It is taken
    // whatever the status is, so that it is freed.
    let block = unsafe { memory::take(data, size) };
    check(status).map(|()| block)
}
