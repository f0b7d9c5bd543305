//! The one timer that ends guests' sandboxes on time; its thread lives while there is something to end.

use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

use crate::backend::{Backend, now};
use crate::call::Call;
use crate::locks::epoch;
use crate::process;

struct Clock {
    /// The fork count of the process whose thread runs; 0 is none.
    runs_in: Option<u64>,
    due: Vec<(u64, Backend)>,
}

static CLOCK: Mutex<Clock> = Mutex::new(Clock { runs_in: None, due: Vec::new() });
static WOUND: Condvar = Condvar::new();

/// Sets the timer for a backend's sandboxes.
pub(super) fn wind(backend: &Backend, expires: u64) {
    let mut clock = CLOCK.lock().unwrap_or_else(PoisonError::into_inner);
    clock.due.push((expires, backend.clone()));
    if clock.runs_in != Some(epoch()) && process::spawn("sandport-guests", run).is_ok() {
        clock.runs_in = Some(epoch());
    }
    WOUND.notify_all();
}

fn run() {
    let mut clock = CLOCK.lock().unwrap_or_else(PoisonError::into_inner);
    loop {
        let Some(at) = (0..clock.due.len()).min_by_key(|at| clock.due[*at].0) else {
            clock.runs_in = None;
            return;
        };
        let left = clock.due[at].0.saturating_sub(now());
        if left > 0 {
            let wait = Duration::from_secs(left.min(60));
            clock = WOUND.wait_timeout(clock, wait).unwrap_or_else(PoisonError::into_inner).0;
            continue;
        }
        let (_, backend) = clock.due.swap_remove(at);
        drop(clock);
        if let Err(error) = backend.end_expired(&Call::new().within(Duration::from_secs(60))) {
            log::warn!(target: "sandport", "guests' sandboxes could not be ended: {error}");
        }
        drop(backend);
        clock = CLOCK.lock().unwrap_or_else(PoisonError::into_inner);
    }
}
