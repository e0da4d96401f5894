//! How the process's allocator behaves.

/// Tables from this size on, in bytes, have pages of their own.
#[cfg(target_env = "gnu")]
const TABLE: libc::c_int = 128 * 1024;

/// Has the allocator keep little in reserve. To be called before other threads start; without effect on C libraries other
/// than glibc.
///
/// All threads share one arena. By default each has its own, and what a window's end frees in one is not there for the
/// next, which costs an agent of 10,000 peers 15 MB. The probe thread doesn't allocate, and the others allocate too little
/// to be slowed by one lock.
///
/// Large tables keep to pages of their own: these grow without a copy and go back to the system when they are freed. By
/// default glibc gives that up for sizes that were freed once, and the gaps that growing tables leave stay.
pub fn keep_little_in_reserve() {
    #[cfg(target_env = "gnu")]
    // SAFETY: mallopt takes two integers and touches nothing but the allocator's own settings.
    unsafe {
        libc::mallopt(libc::M_ARENA_MAX, 1);
        libc::mallopt(libc::M_MMAP_THRESHOLD, TABLE);
    }
}
