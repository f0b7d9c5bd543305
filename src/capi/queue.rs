//! A queue of results with a descriptor that becomes readable when there is one, for a host's own event loop.

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex};

use super::started::{Outcome, Roster, Started, lock};
use crate::error::{Code, Error, Result};
use crate::locks::Descriptor;

/// One queue: the calls started on it, those that have ended, and our end of the socket pair.
pub(crate) struct Queue {
    pub calls: Roster,
    ended: Mutex<VecDeque<Arc<Started>>>,
    /// Absent once the queue is closed: the caller's end then reads as ended, though calls may still run.
    end: Mutex<Option<Descriptor>>,
}

impl Queue {
    /// A queue and the end of the pair that belongs to the caller.
    pub(crate) fn new() -> Result<(Queue, OwnedFd)> {
        let (end, theirs) = pair().map_err(|error| {
            Error::new(Code::Internal, format!("no socket pair could be had: {}", error.kind()))
                .with_hint(
                    "raise the limit on open files of this process, or close queues that are no longer used",
                )
                .retryable()
        })?;
        Ok((
            Queue { calls: Roster::new(), ended: Mutex::new(VecDeque::new()), end: Mutex::new(Some(end)) },
            theirs,
        ))
    }

    /// Adds a call that has ended and wakes the host. First the result, then the byte, so that a byte means a result.
    pub(crate) fn push(&self, started: Arc<Started>) {
        lock(&self.ended).push_back(started);
        if let Some(end) = &*lock(&self.end) {
            wake(end);
        }
    }

    /// The next result; calls that were closed meanwhile are passed over.
    pub(crate) fn next(&self) -> Option<(Arc<Started>, Outcome)> {
        loop {
            let started = lock(&self.ended).pop_front()?;
            if let Some(outcome) = started.take() {
                self.calls.leave(started.handle);
                return Some((started, outcome));
            }
        }
    }

    /// Closes our end; gives out the calls whose results nobody will take.
    pub(crate) fn close(&self) -> Vec<Arc<Started>> {
        let calls = self.calls.close();
        drop(lock(&self.end).take());
        lock(&self.ended).clear();
        calls
    }
}

/// Both ends, non-blocking and close-on-exec: ours, which no forked child keeps, and the caller's.
fn pair() -> io::Result<(Descriptor, OwnedFd)> {
    let mut theirs = None;
    let ours = Descriptor::make(|| {
        let (our_end, their_end) = UnixStream::pair()?;
        our_end.set_nonblocking(true)?;
        their_end.set_nonblocking(true)?;
        theirs = Some(their_end.into());
        Ok(our_end.into())
    })?;
    theirs.map(|theirs| (ours, theirs)).ok_or_else(|| io::ErrorKind::Other.into())
}

/// Makes the caller's end readable. A full pair is readable already, and a closed one interests nobody.
fn wake(end: &Descriptor) {
    // Apple's systems have no such flag; there the standard library has set SO_NOSIGPIPE on the socket.
    #[cfg(target_vendor = "apple")]
    const FLAGS: libc::c_int = 0;
    #[cfg(not(target_vendor = "apple"))]
    const FLAGS: libc::c_int = libc::MSG_NOSIGNAL;
    let byte = 1_u8;
    // SAFETY: the byte is readable; a descriptor that is not open makes the call fail.
    unsafe { libc::send(end.as_raw_fd(), (&raw const byte).cast(), 1, FLAGS) };
}
