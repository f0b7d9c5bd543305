//! Descriptors that a fork must not carry into the child.
//!
//! A `flock` belongs to the open file, so a child's copy would keep the lock of a dead parent alive, and its unlock
//! would free the living parent's. Every descriptor that matters is made and closed under one registry's lock, which
//! a fork holds; the child closes them all and raises the epoch, so that a late drop there never closes a number that
//! is in new use.

use std::collections::BTreeSet;
use std::io::Result;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, IntoRawFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use super::sys;

static REGISTRY: Mutex<BTreeSet<RawFd>> = Mutex::new(BTreeSet::new());
static EPOCH: AtomicU64 = AtomicU64::new(0);

/// How many forks lie between this process and the one that loaded the library. What was made in another epoch
/// belongs to another process. The first question also sees to it that forks are noticed.
pub(crate) fn epoch() -> u64 {
    static NOTICED: OnceLock<bool> = OnceLock::new();
    NOTICED.get_or_init(|| sys::at_fork(before_fork, in_parent, in_child).is_ok());
    EPOCH.load(Ordering::SeqCst)
}

/// A descriptor that is closed in every forked child.
#[derive(Debug)]
pub(crate) struct Descriptor {
    fd: RawFd,
    epoch: u64,
}

impl Descriptor {
    /// Makes one; no fork comes between its making and its registration.
    pub fn make(make: impl FnOnce() -> Result<OwnedFd>) -> Result<Descriptor> {
        let epoch = epoch();
        let mut registry = registry();
        let fd = make()?.into_raw_fd();
        registry.insert(fd);
        Ok(Descriptor { fd, epoch })
    }

    /// Whether it is of this process; in a forked child it is closed.
    pub fn is_ours(&self) -> bool {
        self.epoch == epoch()
    }
}

impl AsFd for Descriptor {
    #[allow(unsafe_code)]
    fn as_fd(&self) -> BorrowedFd<'_> {
        // A forked child has closed it; a number that is never open makes every use there fail plainly.
        let fd = if self.is_ours() { self.fd } else { RawFd::MAX };
        // SAFETY: open as long as this value lives in its own epoch; the other number is never open.
        unsafe { BorrowedFd::borrow_raw(fd) }
    }
}

impl AsRawFd for Descriptor {
    fn as_raw_fd(&self) -> RawFd {
        self.as_fd().as_raw_fd()
    }
}

impl Drop for Descriptor {
    #[allow(unsafe_code)]
    fn drop(&mut self) {
        if self.is_ours() {
            let mut registry = registry();
            registry.remove(&self.fd);
            // SAFETY: it is ours and open, and this value was the only one to close it.
            drop(unsafe { OwnedFd::from_raw_fd(self.fd) });
        }
    }
}

/// Keeps forks waiting for a moment, so that a child never inherits a lock that is held or a table that is half
/// written. Nothing that makes or closes a [`Descriptor`] may happen meanwhile.
pub(crate) fn without_fork() -> NoFork {
    epoch();
    NoFork(registry())
}

/// While it lives, forks wait.
pub(crate) struct NoFork(#[allow(dead_code)] MutexGuard<'static, BTreeSet<RawFd>>);

fn registry() -> MutexGuard<'static, BTreeSet<RawFd>> {
    REGISTRY.lock().unwrap_or_else(PoisonError::into_inner)
}

thread_local! {
    // Only the forking thread takes and drops it, and that thread exists on both sides of a fork.
    static HELD: std::cell::Cell<Option<MutexGuard<'static, BTreeSet<RawFd>>>> = const { std::cell::Cell::new(None) };
}

extern "C" fn before_fork() {
    let guard = registry();
    let _ = HELD.try_with(|held| held.set(Some(guard)));
}

extern "C" fn in_parent() {
    let _ = HELD.try_with(|held| drop(held.take()));
}

#[allow(unsafe_code)]
extern "C" fn in_child() {
    EPOCH.fetch_add(1, Ordering::SeqCst);
    // A thread that forks while its locals are being destroyed leaves the child its descriptors, and nothing worse.
    let _ = HELD.try_with(|held| {
        if let Some(mut registry) = held.take() {
            while let Some(fd) = registry.pop_first() {
                // SAFETY: the parent's descriptor, whose copy here nobody uses any more: the epoch has passed.
                unsafe { libc::close(fd) };
            }
        }
    });
}
