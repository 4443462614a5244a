//! Memory that crosses the boundary.
//!
//! The host asks for a block with `proxy_on_memory_allocate`, writes into it, and hands its address and size over as
//! the result of one of our calls. From then on it is ours, and [`take`] is the one place that takes it over.

use std::alloc::Layout;

/// A block of exactly `size` bytes, or null, which the host reports as the failure of the call that it wanted the block for.
pub(super) fn allocate(size: usize) -> *mut u8 {
    match Layout::array::<u8>(size) {
        // SAFETY: the layout is not of size zero, as the guard says. Zeroed, because the host may hand the block back
        // without having written all of it.
        Ok(layout) if size > 0 => unsafe { std::alloc::alloc_zeroed(layout) },
        Ok(_) | Err(_) => std::ptr::null_mut(),
    }
}

/// Takes over a block that the host handed back.
///
/// # Safety
///
/// `data` is null, or came from [`allocate`] with this very `size` and was not taken before.
pub(super) unsafe fn take(data: *mut u8, size: usize) -> Vec<u8> {
    if data.is_null() || size == 0 {
        return Vec::new();
    }
    // SAFETY: by the caller's promise the block was allocated with the global allocator, alignment 1 and capacity
    // `size`, all of it initialised, and nobody else owns it.
    unsafe { Vec::from_raw_parts(data, size, size) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_is_taken_whole() {
        let data = allocate(5);
        assert!(!data.is_null());
        // SAFETY: allocated above with the same size, taken once.
        let bytes = unsafe { take(data, 5) };
        assert_eq!(bytes, [0; 5]);
    }

    #[test]
    fn impossible_sizes_give_null() {
        assert!(allocate(0).is_null());
        assert!(allocate(usize::MAX).is_null());
    }
}
