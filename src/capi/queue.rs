//! A queue of results with a descriptor that becomes readable when there is one, for a host's own event loop.

use std::collections::VecDeque;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex};

use super::fork::QueueEnd;
use super::started::{Outcome, Roster, Started, lock};
use crate::error::Result;

/// One queue: the calls started on it, those that have ended, and our end of the socket pair.
pub(crate) struct Queue {
    pub calls: Roster,
    ended: Mutex<VecDeque<Arc<Started>>>,
    /// Absent once the queue is closed: the caller's end then reads as ended, though calls may still run.
    end: Mutex<Option<QueueEnd>>,
}

impl Queue {
    /// A queue and the end of the pair that belongs to the caller.
    pub(crate) fn new() -> Result<(Queue, OwnedFd)> {
        let (end, theirs) = QueueEnd::pair()?;
        Ok((
            Queue { calls: Roster::new(), ended: Mutex::new(VecDeque::new()), end: Mutex::new(Some(end)) },
            theirs,
        ))
    }

    /// Adds a call that has ended and wakes the host. First the result, then the byte, so that a byte means a result.
    pub(crate) fn push(&self, started: Arc<Started>) {
        lock(&self.ended).push_back(started);
        if let Some(end) = &*lock(&self.end) {
            end.wake();
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
