//! A call that was started: its job, its fate, and who is told. Knows nothing of C.

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Instant;

use serde_json::Value;

use super::queue::Queue;
use super::turns::{self, Lane};
use super::{panicked, status_of, text};
use crate::backend::Backend;
use crate::call::Call;
use crate::error::Result;

/// The work of a call; it owns its share of the backend and drops it before the result is delivered.
pub(crate) type Job = Box<dyn FnOnce(&Call) -> Result<Value> + Send>;

/// How a call ended, ready to be handed over.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Outcome {
    pub status: i32,
    pub answer: String,
}

enum Fate {
    Running,
    Ended(Outcome),
    /// Delivered or discarded: nobody gets anything any more.
    Gone,
}

/// What a wait has shown.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Waited {
    Ended(Outcome),
    TimeOver,
    /// Somebody else got the result, or closed the call.
    Gone,
}

/// One started call.
pub(crate) struct Started {
    pub handle: u64,
    pub call: Call,
    pub lane: Lane,
    /// Its place in the lane's line, 0 while it is in none; changed only under the lanes' lock.
    pub place: AtomicU64,
    pub queue: Option<Arc<Queue>>,
    owner: Weak<OpenBackend>,
    job: Mutex<Option<Job>>,
    fate: Mutex<Fate>,
    ended: Condvar,
}

impl Started {
    pub(crate) fn new(
        handle: u64,
        lane: Lane,
        owner: Weak<OpenBackend>,
        queue: Option<Arc<Queue>>,
        job: Job,
    ) -> Self {
        Started {
            handle,
            call: Call::new(),
            lane,
            place: AtomicU64::new(0),
            queue,
            owner,
            job: Mutex::new(Some(job)),
            fate: Mutex::new(Fate::Running),
            ended: Condvar::new(),
        }
    }

    /// Does the work on this thread and delivers what comes of it.
    pub(crate) fn run(self: &Arc<Self>) {
        let job = lock(&self.job).take();
        let result = match job {
            Some(_) if self.call.is_cancelled() => Err(self.call.cancelled()),
            Some(job) => catch_unwind(AssertUnwindSafe(|| job(&self.call)))
                .unwrap_or_else(|panic| Err(panicked(panic))),
            None => return,
        };
        self.deliver(result);
    }

    /// Asks the call to end; one that waits for its turn ends here.
    pub(crate) fn cancel(self: &Arc<Self>) {
        self.call.cancel();
        if turns::withdraw(self) {
            self.give_up();
        }
    }

    /// Ends a call that never got its turn.
    pub(crate) fn give_up(self: &Arc<Self>) {
        drop(lock(&self.job).take());
        self.deliver(Err(self.call.cancelled()));
    }

    /// Cancels the call and throws away what comes of it.
    pub(crate) fn discard(self: &Arc<Self>) {
        *lock(&self.fate) = Fate::Gone;
        self.ended.notify_all();
        self.leave();
        self.cancel();
    }

    fn deliver(self: &Arc<Self>, result: Result<Value>) {
        let status = status_of(&result);
        let answer = result.map_or_else(|error| text::error(&error), |value| value.to_string());
        {
            let mut fate = lock(&self.fate);
            if !matches!(*fate, Fate::Running) {
                return;
            }
            *fate = Fate::Ended(Outcome { status, answer });
        }
        log::debug!(target: "sandport", call = self.call.number(), phase = self.call.phase().word(), status; "ends");
        self.ended.notify_all();
        if let Some(owner) = self.owner.upgrade() {
            owner.calls.leave(self.handle);
        }
        if let Some(queue) = &self.queue {
            queue.push(self.clone());
        }
    }

    /// Takes the result, once.
    pub(crate) fn take(&self) -> Option<Outcome> {
        let mut fate = lock(&self.fate);
        match std::mem::replace(&mut *fate, Fate::Gone) {
            Fate::Ended(outcome) => Some(outcome),
            other => {
                *fate = other;
                None
            }
        }
    }

    /// Waits for the result until `end`, for ever without one.
    pub(crate) fn wait(&self, end: Option<Instant>) -> Waited {
        let mut fate = lock(&self.fate);
        loop {
            match std::mem::replace(&mut *fate, Fate::Gone) {
                Fate::Ended(outcome) => return Waited::Ended(outcome),
                Fate::Gone => return Waited::Gone,
                Fate::Running => *fate = Fate::Running,
            }
            fate = match end.map(|end| end.saturating_duration_since(Instant::now())) {
                None => self.ended.wait(fate).unwrap_or_else(PoisonError::into_inner),
                Some(left) if left.is_zero() => return Waited::TimeOver,
                Some(left) => self.ended.wait_timeout(fate, left).unwrap_or_else(PoisonError::into_inner).0,
            };
        }
    }

    /// Leaves the rosters of its backend and its queue.
    pub(crate) fn leave(&self) {
        if let Some(owner) = self.owner.upgrade() {
            owner.calls.leave(self.handle);
        }
        if let Some(queue) = &self.queue {
            queue.calls.leave(self.handle);
        }
    }
}

/// An open backend and the calls started on it, which end when it is closed.
pub(crate) struct OpenBackend {
    pub backend: Backend,
    pub calls: Roster,
}

/// The started calls of one backend or one queue, until it is closed.
pub(crate) struct Roster(Mutex<Option<HashMap<u64, Weak<Started>>>>);

impl Roster {
    pub(crate) fn new() -> Self {
        Roster(Mutex::new(Some(HashMap::new())))
    }

    /// Notes a call; false when the roster is closed.
    pub(crate) fn admit(&self, started: &Arc<Started>) -> bool {
        match lock(&self.0).as_mut() {
            Some(calls) => {
                calls.insert(started.handle, Arc::downgrade(started));
                true
            }
            None => false,
        }
    }

    pub(crate) fn leave(&self, handle: u64) {
        if let Some(calls) = lock(&self.0).as_mut() {
            calls.remove(&handle);
        }
    }

    /// Closes the roster and gives out who stood on it.
    pub(crate) fn close(&self) -> Vec<Arc<Started>> {
        let calls = lock(&self.0).take();
        calls.into_iter().flatten().filter_map(|(_, call)| call.upgrade()).collect()
    }
}

/// Takes a lock whose data is whole even when a thread panicked under it.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
