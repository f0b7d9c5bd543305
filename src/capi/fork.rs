//! What a fork leaves of us: a child finds whole tables, invalid handles, and none of our queue ends.
//!
//! The parent holds our locks across the fork, so that the child never inherits one that a vanished thread held. The
//! child closes our ends of the queues' socket pairs, else a parent's queue would never be seen to end. It drops
//! nothing and unlocks nothing of the parent's; the callers' ends are left alone.

use std::cell::Cell;
use std::collections::HashSet;
#[cfg(target_vendor = "apple")]
use std::io::Write;
use std::os::fd::{AsRawFd, IntoRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;
use std::sync::{Mutex, MutexGuard, Once};

use super::handles::{self, Table};
use super::started::lock;
use super::turns::{self, LaneState};
use crate::error::{Code, Error, Result};

/// The numbers of our open queue ends; a pair is made and an end is closed only under this lock.
static ENDS: Mutex<Option<HashSet<RawFd>>> = Mutex::new(None);

type Ends = MutexGuard<'static, Option<HashSet<RawFd>>>;
type Held = (MutexGuard<'static, Table>, MutexGuard<'static, [LaneState; 2]>, Ends);

thread_local! {
    /// Between the two sides of a fork: the forking thread is the only one in the child.
    static HELD: Cell<Option<Held>> = const { Cell::new(None) };
}

static ARMED: Once = Once::new();

/// Sets up the handlers, once in a process and its children.
pub(super) fn arm() {
    ARMED.call_once(|| {
        // SAFETY: the three functions live as long as the process: the library is never unloaded.
        unsafe { libc::pthread_atfork(Some(before), Some(in_parent), Some(in_child)) };
    });
}

extern "C" fn before() {
    let held = (handles::table(), turns::lanes(), lock(&ENDS));
    // A thread whose locals are gone already forks without our care.
    let _ = HELD.try_with(|place| place.set(Some(held)));
}

extern "C" fn in_parent() {
    let _ = HELD.try_with(Cell::take);
}

extern "C" fn in_child() {
    handles::raise_epoch();
    if let Ok(Some((_table, mut lanes, mut ends))) = HELD.try_with(Cell::take) {
        turns::forget_all(&mut lanes);
        for end in ends.take().into_iter().flatten() {
            // SAFETY: a registered number is one of our ends; whoever held it is of an older epoch and never closes it.
            unsafe { libc::close(end) };
        }
    }
}

/// Our end of a queue's socket pair.
pub(super) struct QueueEnd {
    end: Option<UnixStream>,
    epoch: u32,
}

impl QueueEnd {
    /// Both ends, non-blocking and close-on-exec; the second one is the caller's.
    pub(super) fn pair() -> Result<(QueueEnd, OwnedFd)> {
        arm();
        let mut ends = lock(&ENDS);
        let (ours, theirs) = UnixStream::pair()
            .and_then(|(ours, theirs)| {
                ours.set_nonblocking(true)?;
                theirs.set_nonblocking(true)?;
                Ok((ours, theirs))
            })
            .map_err(|error| {
                Error::new(Code::Internal, format!("no socket pair could be had: {}", error.kind()))
                    .with_hint("raise the limit on open files of this process, or close queues that are no longer used")
                    .retryable()
            })?;
        ends.get_or_insert_with(HashSet::new).insert(ours.as_raw_fd());
        Ok((QueueEnd { end: Some(ours), epoch: handles::epoch() }, theirs.into()))
    }

    /// Makes the caller's end readable. A full pair is readable already, and a closed one interests nobody.
    pub(super) fn wake(&self) {
        if let Some(end) = &self.end {
            let _ = send_byte(end);
        }
    }
}

impl Drop for QueueEnd {
    fn drop(&mut self) {
        let Some(end) = self.end.take() else { return };
        let mut ends = lock(&ENDS);
        if self.epoch == handles::epoch() {
            if let Some(numbers) = ends.as_mut() {
                numbers.remove(&end.as_raw_fd());
            }
            drop(end);
        } else {
            // Closed by the fork's child already; the number may be somebody else's by now.
            let _ = end.into_raw_fd();
        }
    }
}

#[cfg(target_vendor = "apple")]
fn send_byte(mut end: &UnixStream) -> std::io::Result<usize> {
    // The standard library sets SO_NOSIGPIPE on every socket that it makes there.
    end.write(&[1])
}

#[cfg(not(target_vendor = "apple"))]
fn send_byte(end: &UnixStream) -> std::io::Result<usize> {
    let byte = 1_u8;
    // SAFETY: the descriptor is open and the byte is readable.
    let sent = unsafe { libc::send(end.as_raw_fd(), (&raw const byte).cast(), 1, libc::MSG_NOSIGNAL) };
    usize::try_from(sent).map_err(|_| std::io::Error::last_os_error())
}
