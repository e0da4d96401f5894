//! What a reader takes of memory.

/// Calls `read`, which may take at most `fixed` bytes at a time and `each` for each byte of an input of `length`.
///
/// # Panics
/// Where it takes more.
pub(crate) fn bounded<T>(length: usize, fixed: usize, each: usize, read: impl FnOnce() -> T) -> T {
    let mut result = None;
    let taken = allocation_counter::measure(|| result = Some(read()));
    let most = (fixed + each * length) as u64;
    assert!(
        taken.bytes_max <= most,
        "an input of {length} bytes took {} bytes of memory at a time; allowed: {most}",
        taken.bytes_max
    );
    result.unwrap()
}

/// Calls `read`, which may not allocate at all.
///
/// # Panics
/// Where it does.
pub(crate) fn none<T>(read: impl FnOnce() -> T) -> T {
    let mut result = None;
    let taken = allocation_counter::measure(|| result = Some(read()));
    assert_eq!(taken.count_total, 0, "something was allocated for a packet");
    result.unwrap()
}
