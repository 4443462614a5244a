//! Bodies, the fate of a stream, callouts.

use super::{HostError, check, imports, pairs, status, taken};

/// A direction of a stream. The numbers are the ABI's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u32)]
pub(crate) enum Direction {
    Request = 0,
    Response = 1,
}

/// Which buffer. The numbers are the ABI's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub(crate) enum Body {
    Request = 0,
    Response = 1,
    Callout = 4,
    PluginConfiguration = 7,
}

/// Reads a buffer whole. An empty buffer is no bytes; one that cannot be reached now is an error.
pub(crate) fn body(kind: Body) -> Result<Vec<u8>, HostError> {
    // SAFETY: the two addresses are valid for the host to write to during the call.
    match taken(|data, size| unsafe {
        imports::proxy_get_buffer_bytes(kind as u32, 0, i32::MAX as usize, data, size)
    }) {
        Err(HostError(status::EMPTY)) => Ok(Vec::new()),
        other => other,
    }
}

/// Replaces all that is in a buffer.
pub(crate) fn replace_body(kind: Body, bytes: &[u8]) -> Result<(), HostError> {
    // SAFETY: the bytes are valid during the call, which copies them.
    check(unsafe {
        imports::proxy_set_buffer_bytes(kind as u32, 0, i32::MAX as usize, bytes.as_ptr(), bytes.len())
    })
}

/// Lets a held direction of the effective context go on, once the running callback has returned.
pub(crate) fn resume(direction: Direction) -> Result<(), HostError> {
    // SAFETY: passes a number.
    check(unsafe { imports::proxy_continue_stream(direction as u32) })
}

/// Answers the client in the effective context.
pub(crate) fn send_local_reply(
    status: u16,
    headers: &[(String, String)],
    body: &[u8],
    details: &str,
) -> Result<(), HostError> {
    // Not a gRPC status: the host then derives one from the HTTP status for gRPC clients.
    const NO_GRPC_STATUS: i32 = -1;
    let headers = pairs::encode(headers);
    // SAFETY: all blocks are valid during the call, which copies them.
    check(unsafe {
        imports::proxy_send_local_response(
            u32::from(status),
            details.as_ptr(),
            details.len(),
            body.as_ptr(),
            body.len(),
            headers.as_ptr(),
            headers.len(),
            NO_GRPC_STATUS,
        )
    })
}

/// Dispatches an HTTP request to a cluster. The answer comes in a callback with the number that this returns.
pub(crate) fn http_call(
    cluster: &str,
    headers: &[(String, String)],
    body: &[u8],
    timeout_ms: u32,
) -> Result<u32, HostError> {
    let headers = pairs::encode(headers);
    let trailers = pairs::encode(&[]);
    let mut token = 0;
    // SAFETY: all blocks and the result's address are valid during the call, which copies what it keeps.
    check(unsafe {
        imports::proxy_http_call(
            cluster.as_ptr(),
            cluster.len(),
            headers.as_ptr(),
            headers.len(),
            body.as_ptr(),
            body.len(),
            trailers.as_ptr(),
            trailers.len(),
            timeout_ms,
            &raw mut token,
        )
    })?;
    Ok(token)
}

/// The body of the callout whose answer is being delivered.
pub(crate) fn http_call_body() -> Result<Vec<u8>, HostError> {
    body(Body::Callout)
}

/// Makes another context the one that calls act on, until the running callback returns.
pub(crate) fn set_effective(context: u32) -> Result<(), HostError> {
    // SAFETY: passes a number.
    check(unsafe { imports::proxy_set_effective_context(context) })
}
