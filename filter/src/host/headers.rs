//! Header maps.

use super::{HostError, Pair, imports, pairs, status, taken};

/// Which headers. The numbers are the ABI's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub(crate) enum HeaderMap {
    Request = 0,
    Response = 2,
    Callout = 6,
}

/// All headers of a map in one call. Also empty, without an error, when the host no longer holds them.
pub(crate) fn headers(map: HeaderMap) -> Result<Vec<Pair>, HostError> {
    // SAFETY: the two addresses are valid for the host to write to during the call.
    let block = taken(|data, size| unsafe { imports::proxy_get_header_map_pairs(map as u32, data, size) })?;
    pairs::decode(&block).ok_or(HostError(status::NOT_FOUND))
}

/// The first value of a header.
pub(crate) fn header(map: HeaderMap, name: &str) -> Result<Vec<u8>, HostError> {
    // SAFETY: name and result addresses are valid during the call, which does not keep them.
    taken(|data, size| unsafe {
        imports::proxy_get_header_map_value(map as u32, name.as_ptr(), name.len(), data, size)
    })
}

/// Makes `value` the only value of a header.
pub(crate) fn replace_header(map: HeaderMap, name: &str, value: &str) -> Result<(), HostError> {
    // Replacing keeps the first of several values apart in some hosts, and changes nothing in others when the header is
    // missing. Removing first gives one value in all of them. A pseudo-header is single and must not be missing meanwhile.
    if name.starts_with(':') {
        // SAFETY: name and value are valid during the call, which does not keep them.
        return super::check(unsafe {
            imports::proxy_replace_header_map_value(
                map as u32,
                name.as_ptr(),
                name.len(),
                value.as_ptr(),
                value.len(),
            )
        });
    }
    remove_header(map, name)?;
    // SAFETY: as above.
    super::check(unsafe {
        imports::proxy_add_header_map_value(
            map as u32,
            name.as_ptr(),
            name.len(),
            value.as_ptr(),
            value.len(),
        )
    })
}

/// Removes every value of a header; none is fine.
pub(crate) fn remove_header(map: HeaderMap, name: &str) -> Result<(), HostError> {
    // SAFETY: the name is valid during the call, which does not keep it.
    match unsafe { imports::proxy_remove_header_map_value(map as u32, name.as_ptr(), name.len()) } {
        status::OK | status::NOT_FOUND => Ok(()),
        other => Err(HostError(other)),
    }
}
