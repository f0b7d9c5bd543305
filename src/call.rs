//! One running operation: how long it may take, whether it was cancelled, how far it is.
//!
//! Every wait in the crate takes a [`Call`]. Clones are the same call, so another thread can cancel it or ask how far
//! it is. [`Call::within`] narrows the time for one step; [`Call::sheltered`] is for cleaning up after a cancellation.

use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::error::{Code, Error, Phase, Result};

static NUMBERS: AtomicU64 = AtomicU64::new(1);

/// One running operation; clones are the same operation.
#[derive(Clone, Debug)]
pub struct Call {
    shared: Arc<Shared>,
    deadline: Option<Instant>,
    sheltered: bool,
}

#[derive(Debug)]
struct Shared {
    number: u64,
    started: Instant,
    cancelled: AtomicBool,
    phase: AtomicU8,
    pull: Mutex<Option<PullProgress>>,
    sleepers: Condvar,
}

/// How far the pull of an image is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PullProgress {
    /// Layers that are here.
    pub layers_done: u64,
    /// Layers that the engine has named so far.
    pub layers_total: u64,
    /// Bytes received.
    pub bytes_done: u64,
    /// Bytes of all layers named so far, once the engine has said their sizes.
    pub bytes_total: Option<u64>,
}

/// How far a call is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Progress {
    /// The step it is in.
    pub phase: Phase,
    /// Time since the call was made.
    pub elapsed: Duration,
    /// Whether it was cancelled and is about to end.
    pub cancelling: bool,
    /// The pull, while there is one.
    pub pull: Option<PullProgress>,
}

impl Progress {
    /// The progress object of the JSON answers.
    pub fn to_json(&self) -> Value {
        json!({
            "phase": self.phase.word(),
            "elapsed_seconds": self.elapsed.as_secs_f64(),
            "cancelling": self.cancelling,
            "pull": self.pull.map(|pull| json!({
                "layers_done": pull.layers_done,
                "layers_total": pull.layers_total,
                "bytes_done": pull.bytes_done,
                "bytes_total": pull.bytes_total,
            })),
        })
    }
}

impl Default for Call {
    fn default() -> Self {
        Call::new()
    }
}

impl Call {
    /// A call without a time limit of its own.
    pub fn new() -> Self {
        Call {
            shared: Arc::new(Shared {
                number: NUMBERS.fetch_add(1, Ordering::Relaxed),
                started: Instant::now(),
                cancelled: AtomicBool::new(false),
                phase: AtomicU8::new(Phase::Validate as u8),
                pull: Mutex::new(None),
                sleepers: Condvar::new(),
            }),
            deadline: None,
            sheltered: false,
        }
    }

    /// The same call with at most this much time from now; never more than it had.
    pub fn within(&self, limit: Duration) -> Call {
        let end = Instant::now().checked_add(limit);
        let deadline = match (self.deadline, end) {
            (Some(now), Some(end)) => Some(now.min(end)),
            (now, end) => now.or(end),
        };
        Call { deadline, ..self.clone() }
    }

    /// The same call, deaf to cancellation and with this much time from now: for taking back what was made.
    pub fn sheltered(&self, limit: Duration) -> Call {
        Call { deadline: Instant::now().checked_add(limit), sheltered: true, ..self.clone() }
    }

    /// The number that joins this call's log lines.
    pub fn number(&self) -> u64 {
        self.shared.number
    }

    /// Asks the call to end. Sticky, never blocks, harmless when it has ended.
    pub fn cancel(&self) {
        // The lock makes sure that no sleeper is between its look at the flag and its sleep.
        let guard = self.pull();
        self.shared.cancelled.store(true, Ordering::SeqCst);
        drop(guard);
        self.shared.sleepers.notify_all();
    }

    /// Whether somebody asked it to end, and this part of it listens.
    pub fn is_cancelled(&self) -> bool {
        !self.sheltered && self.shared.cancelled.load(Ordering::SeqCst)
    }

    /// When this part of the call must end.
    pub fn deadline(&self) -> Option<Instant> {
        self.deadline
    }

    /// Time left, zero when it is over, `None` without a limit.
    pub fn remaining(&self) -> Option<Duration> {
        self.deadline.map(|end| end.saturating_duration_since(Instant::now()))
    }

    /// Whether the time is over.
    pub fn is_over(&self) -> bool {
        self.remaining() == Some(Duration::ZERO)
    }

    /// `CANCELLED` when it was cancelled, `TIMEOUT` when its time is over.
    pub fn check(&self) -> Result<()> {
        if self.is_cancelled() {
            return Err(self.cancelled());
        }
        if self.is_over() {
            return Err(Error::new(Code::Timeout, "the call's time is over")
                .with_hint("give the call more time, or look in its log what it waited for")
                .in_phase(self.phase())
                .retryable());
        }
        Ok(())
    }

    /// The error that a cancelled call ends with.
    pub fn cancelled(&self) -> Error {
        Error::new(Code::Cancelled, "the call was cancelled").in_phase(self.phase())
    }

    /// Sleeps; ends early with an error when the call is cancelled or its time is over.
    pub fn sleep(&self, time: Duration) -> Result<()> {
        let wake = Instant::now() + time;
        let end = self.deadline.map_or(wake, |deadline| deadline.min(wake));
        let mut guard = self.pull();
        loop {
            if self.is_cancelled() {
                return Err(self.cancelled());
            }
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                drop(guard);
                return if end < wake { self.check() } else { Ok(()) };
            }
            guard = self.shared.sleepers.wait_timeout(guard, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Says which step begins.
    pub fn enter(&self, phase: Phase) {
        self.shared.phase.store(phase as u8, Ordering::Relaxed);
        log::debug!(target: "sandport", call = self.shared.number, phase = phase.word(); "begins");
    }

    /// The step it is in.
    pub fn phase(&self) -> Phase {
        Phase::ALL[usize::from(self.shared.phase.load(Ordering::Relaxed))]
    }

    /// Says how far the pull is; `None` when it has ended.
    pub fn report_pull(&self, pull: Option<PullProgress>) {
        *self.pull() = pull;
    }

    /// How far the call is.
    pub fn progress(&self) -> Progress {
        Progress {
            phase: self.phase(),
            elapsed: self.shared.started.elapsed(),
            cancelling: self.shared.cancelled.load(Ordering::SeqCst),
            pull: *self.pull(),
        }
    }

    fn pull(&self) -> MutexGuard<'_, Option<PullProgress>> {
        self.shared.pull.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sleeper_wakes_when_another_thread_cancels() {
        let call = Call::new();
        let other = call.clone();
        let sleeper = std::thread::spawn(move || other.sleep(Duration::from_secs(3600)));
        call.cancel();
        assert_eq!(sleeper.join().unwrap().unwrap_err().code(), Code::Cancelled);
    }

    #[test]
    fn a_narrower_limit_never_gives_more_time() {
        let call = Call::new().within(Duration::ZERO).within(Duration::from_secs(60));
        assert_eq!(call.sleep(Duration::from_secs(5)).unwrap_err().code(), Code::Timeout);
    }

    #[test]
    fn cleaning_up_goes_on_after_a_cancellation() {
        let call = Call::new();
        call.cancel();
        assert!(call.check().is_err());
        assert!(call.sheltered(Duration::from_secs(5)).check().is_ok());
        assert!(call.progress().cancelling);
    }
}
