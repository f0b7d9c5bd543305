//! What a fork leaves of us: a child finds whole tables and invalid handles.
//!
//! The parent holds our locks across the fork, so that the child never inherits one that a vanished thread held. The
//! child drops nothing and ends nothing of the parent's. Our queue ends are closed there by `locks`, which also counts
//! the forks; the callers' ends are left alone.

use std::cell::Cell;
use std::sync::{MutexGuard, Once};

use super::handles::{self, Table};
use super::turns::{self, LaneState};
use crate::locks;

type Held = (MutexGuard<'static, Table>, MutexGuard<'static, [LaneState; 2]>);

thread_local! {
    /// Between the two sides of a fork: the forking thread is the only one in the child.
    static HELD: Cell<Option<Held>> = const { Cell::new(None) };
}

static ARMED: Once = Once::new();

/// Sets up the handlers, once in a process and its children.
pub(super) fn arm() {
    ARMED.call_once(|| {
        // First theirs: handlers run last to first before a fork, and nobody who holds theirs waits for ours.
        locks::epoch();
        // SAFETY: the three functions live as long as the process: the library is never unloaded.
        unsafe { libc::pthread_atfork(Some(before), Some(in_parent), Some(in_child)) };
    });
}

extern "C" fn before() {
    let held = (handles::table(), turns::lanes());
    // A thread whose locals are gone already forks without our care.
    let _ = HELD.try_with(|place| place.set(Some(held)));
}

extern "C" fn in_parent() {
    let _ = HELD.try_with(Cell::take);
}

extern "C" fn in_child() {
    if let Ok(Some((_table, mut lanes))) = HELD.try_with(Cell::take) {
        turns::forget_all(&mut lanes);
    }
}
