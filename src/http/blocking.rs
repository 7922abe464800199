//! Work that keeps a thread busy for long.

use tokio::runtime::{Handle, RuntimeFlavor};

/// From so many bytes on a body takes longer to read than others should have to wait for: about a millisecond.
const HEAVY: usize = 256 << 10;

/// Runs `work` on `bytes` bytes. Where that takes long, other requests go on with other threads meanwhile.
pub fn heavy<T>(bytes: usize, work: impl FnOnce() -> T) -> T {
    let many_threads = Handle::try_current().is_ok_and(|handle| handle.runtime_flavor() == RuntimeFlavor::MultiThread);
    if bytes >= HEAVY && many_threads { tokio::task::block_in_place(work) } else { work() }
}
