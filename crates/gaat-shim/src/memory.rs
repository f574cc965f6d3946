//! What the allocator of the process does with memory that is freed.
//!
//! glibc maps every block over 32 MiB again and gives back the end of its heap; the page faults cost up to a sixth of a training
//! step. Nothing is done where the allocator is not glibc's.

use std::sync::{Mutex, PoisonError};

/// Keeps freed tensor memory in the process instead of returning it to the system after each use, to the end of the process. Call
/// once, before the first tensor. Peak memory stays allocated.
pub fn keep_freed_memory() {
    set(Policy::Keep);
}

/// Keeps freed memory as [`keep_freed_memory`] does, for as long as one of these lives: for work in a process that belongs to
/// somebody else. Afterwards the allocator gives memory back as it does once a program has freed large blocks.
#[derive(Debug)]
#[must_use = "ends when it is dropped"]
pub struct KeptMemory(());

/// How many live.
static KEEPERS: Mutex<usize> = Mutex::new(0);

impl KeptMemory {
    /// Begins it.
    #[allow(clippy::new_without_default, reason = "that it changes the process should be seen")]
    pub fn new() -> Self {
        let mut keepers = KEEPERS.lock().unwrap_or_else(PoisonError::into_inner);
        if *keepers == 0 {
            set(Policy::Keep);
        }
        *keepers += 1;
        Self(())
    }
}

impl Drop for KeptMemory {
    fn drop(&mut self) {
        let mut keepers = KEEPERS.lock().unwrap_or_else(PoisonError::into_inner);
        *keepers -= 1;
        if *keepers == 0 {
            set(Policy::Return);
        }
    }
}

#[derive(Clone, Copy)]
enum Policy {
    Keep,
    Return,
}

#[cfg(all(target_os = "linux", target_env = "gnu"))]
fn set(policy: Policy) {
    const MIB: i32 = 1 << 20;
    // Those to return to are glibc's own, the thresholds as it moves them itself when a block of 32 MiB is freed.
    let numbers = match policy {
        Policy::Keep => [(libc::M_MMAP_MAX, 0), (libc::M_TRIM_THRESHOLD, -1), (libc::M_TOP_PAD, 64 * MIB)],
        Policy::Return => {
            [(libc::M_MMAP_MAX, 1 << 16), (libc::M_TRIM_THRESHOLD, 64 * MIB), (libc::M_TOP_PAD, MIB / 8)]
        }
    };
    for (parameter, number) in numbers {
        // SAFETY: only sets tuning parameters of the allocator.
        let _ = unsafe { libc::mallopt(parameter, number) };
    }
    if matches!(policy, Policy::Return) {
        // SAFETY: as above.
        let _ = unsafe { libc::mallopt(libc::M_MMAP_THRESHOLD, 32 * MIB) };
    }
}

#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
fn set(_policy: Policy) {}

#[cfg(all(test, target_os = "linux", target_env = "gnu"))]
mod tests {
    use super::*;

    /// Whether a block of 40 MiB is mapped on its own, as what is to be given back is. (64 MiB and more are so in every thread but the first.)
    /// `held` others are held meanwhile, which take what is free in the heap.
    fn is_mapped(held: usize) -> bool {
        // SAFETY: numbers of the allocator are read; each block is freed by its own pointer.
        unsafe {
            let mut blocks: Vec<_> = (0..held).map(|_| libc::malloc(40 << 20)).collect();
            let before = libc::mallinfo2().hblks;
            blocks.push(libc::malloc(40 << 20));
            let is_more = libc::mallinfo2().hblks > before;
            for block in blocks {
                libc::free(std::hint::black_box(block));
            }
            is_more
        }
    }

    #[test]
    fn memory_is_kept_while_anybody_wants_it_so() {
        assert!(is_mapped(0));
        let one = KeptMemory::new();
        let other = KeptMemory::new();
        assert!(!is_mapped(0));
        drop(one);
        assert!(!is_mapped(0));
        drop(other);
        assert!(is_mapped(1));
    }
}
