//! The functions of the proxy-wasm ABI 0.2.1 (module `env`) and of WASI preview 1 that this module imports.
//!
//! Every one returns its status as a plain number: a host may return a status that no enum of ours lists, and reading
//! that as an enum would be undefined behaviour. `usize` is 32 bits wide on the one target that links these.
//!
//! Source: proxy-wasm/spec, `abi-versions/v0.2.1`; WASI `wasi_snapshot_preview1`.

macro_rules! imports {
    ($(fn $name:ident($($arg:ident: $ty:ty),* $(,)?);)*) => {
        #[cfg(target_arch = "wasm32")]
        #[link(wasm_import_module = "env")]
        unsafe extern "C" {
            $(pub(super) fn $name($($arg: $ty),*) -> u32;)*
        }

        // Away from wasm32 there is no host: every call says so. It keeps this crate's pure parts testable natively.
        $(
            #[cfg(not(target_arch = "wasm32"))]
            #[allow(clippy::too_many_arguments, reason = "the ABI has them")]
            pub(super) unsafe fn $name($(_: $ty),*) -> u32 {
                super::status::UNIMPLEMENTED
            }
        )*
    };
}

imports! {
    fn proxy_log(level: u32, message: *const u8, message_size: usize);
    fn proxy_get_current_time_nanoseconds(return_time: *mut u64);
    fn proxy_set_tick_period_milliseconds(period: u32);
    fn proxy_get_buffer_bytes(kind: u32, start: usize, max_size: usize, return_data: *mut *mut u8, return_size: *mut usize);
    fn proxy_set_buffer_bytes(kind: u32, start: usize, size: usize, data: *const u8, data_size: usize);
    fn proxy_get_header_map_pairs(map: u32, return_data: *mut *mut u8, return_size: *mut usize);
    fn proxy_get_header_map_value(map: u32, key: *const u8, key_size: usize, return_data: *mut *mut u8, return_size: *mut usize);
    fn proxy_replace_header_map_value(map: u32, key: *const u8, key_size: usize, value: *const u8, value_size: usize);
    fn proxy_add_header_map_value(map: u32, key: *const u8, key_size: usize, value: *const u8, value_size: usize);
    fn proxy_remove_header_map_value(map: u32, key: *const u8, key_size: usize);
    fn proxy_get_property(path: *const u8, path_size: usize, return_data: *mut *mut u8, return_size: *mut usize);
    fn proxy_set_property(path: *const u8, path_size: usize, value: *const u8, value_size: usize);
    fn proxy_continue_stream(stream: u32);
    fn proxy_send_local_response(
        status: u32, details: *const u8, details_size: usize, body: *const u8, body_size: usize,
        headers: *const u8, headers_size: usize, grpc_status: i32,
    );
    fn proxy_http_call(
        cluster: *const u8, cluster_size: usize, headers: *const u8, headers_size: usize, body: *const u8, body_size: usize,
        trailers: *const u8, trailers_size: usize, timeout_ms: u32, return_token: *mut u32,
    );
    fn proxy_set_effective_context(context: u32);
    fn proxy_define_metric(kind: u32, name: *const u8, name_size: usize, return_id: *mut u32);
    fn proxy_increment_metric(metric: u32, by: i64);
    fn proxy_record_metric(metric: u32, value: u64);
    fn proxy_register_shared_queue(name: *const u8, name_size: usize, return_id: *mut u32);
    fn proxy_enqueue_shared_queue(queue: u32, value: *const u8, value_size: usize);
    fn proxy_dequeue_shared_queue(queue: u32, return_data: *mut *mut u8, return_size: *mut usize);
}

#[cfg(target_arch = "wasm32")]
#[link(wasm_import_module = "wasi_snapshot_preview1")]
unsafe extern "C" {
    /// Returns a WASI `errno`; 0 is success.
    pub(super) fn random_get(buffer: *mut u8, size: usize) -> u32;
}

/// As above: no host, no randomness.
#[cfg(not(target_arch = "wasm32"))]
pub(super) unsafe fn random_get(_: *mut u8, _: usize) -> u32 {
    super::status::UNIMPLEMENTED
}

#[cfg(target_os = "wasi")]
unsafe extern "C" {
    /// The linker's: runs the constructors of C and Rust statics. Referring to it makes the module a reactor; otherwise
    /// the linker would wrap every export in a run of the constructors.
    pub(super) fn __wasm_call_ctors();
}
