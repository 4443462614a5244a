//! What the host calls. Every function is total: an unknown context, a call that comes while another one is running, a
//! number that means nothing, each has an answer, and none is a trap. Where the answer decides over traffic, it holds it.
//!
//! The SDK's dispatcher is not used because it panics where a host can reach it; `docs/panics.md` has the list.

use crate::vm::{self, Phase};

/// What `proxy_on_*_headers`, `_body` and `_trailers` return.
const CONTINUE: u32 = 0;
const PAUSE: u32 = 1;

const fn action(hold: bool) -> u32 {
    if hold { PAUSE } else { CONTINUE }
}

#[unsafe(no_mangle)]
extern "C" fn _initialize() {
    // SAFETY: the host calls this once, before anything else.
    #[cfg(target_os = "wasi")]
    unsafe {
        super::imports::__wasm_call_ctors();
    }
}

/// Marks the version of the ABI. With it a change of request headers makes Envoy choose the route again.
#[unsafe(no_mangle)]
extern "C" fn proxy_abi_version_0_2_1() {}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_memory_allocate(size: usize) -> *mut u8 {
    super::memory::allocate(size)
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_context_create(context: u32, root: u32) {
    vm::with((), |vm| vm.on_create(context, root));
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_vm_start(_root: u32, _configuration_size: usize) -> u32 {
    1
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_configure(root: u32, _configuration_size: usize) -> u32 {
    vm::with(0, |vm| u32::from(vm.on_configure(root)))
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_tick(root: u32) {
    vm::with((), |vm| vm.on_tick(root));
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_queue_ready(_root: u32, queue: u32) {
    vm::with((), |vm| vm.on_queue_ready(queue));
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_request_headers(context: u32, _count: usize, end: u32) -> u32 {
    action(vm::with(true, |vm| {
        vm.on_stream(context, Phase::RequestHead { end: end != 0 })
    }))
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_request_body(context: u32, size: usize, end: u32) -> u32 {
    action(vm::with(true, |vm| {
        vm.on_stream(context, Phase::RequestBody { size, end: end != 0 })
    }))
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_request_trailers(context: u32, _count: usize) -> u32 {
    action(vm::with(true, |vm| vm.on_stream(context, Phase::RequestTrailers)))
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_response_headers(context: u32, _count: usize, end: u32) -> u32 {
    action(vm::with(true, |vm| {
        vm.on_stream(context, Phase::ResponseHead { end: end != 0 })
    }))
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_response_body(context: u32, size: usize, end: u32) -> u32 {
    action(vm::with(true, |vm| {
        vm.on_stream(context, Phase::ResponseBody { size, end: end != 0 })
    }))
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_response_trailers(context: u32, _count: usize) -> u32 {
    action(vm::with(true, |vm| {
        vm.on_stream(context, Phase::ResponseTrailers)
    }))
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_http_call_response(
    root: u32,
    call: u32,
    headers: usize,
    body_size: usize,
    _trailers: usize,
) {
    vm::with((), |vm| vm.on_call_answer(root, call, headers, body_size));
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_done(context: u32) -> u32 {
    // Nothing ever waits for us: what is in flight when a stream ends is dropped.
    vm::with((), |vm| vm.on_done(context));
    1
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_delete(context: u32) {
    vm::with((), |vm| vm.on_delete(context));
}
