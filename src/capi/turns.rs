//! Whose turn it is: two lanes, each with as many threads as calls run in it, and a line of calls that wait.
//!
//! Slow calls and quick ones have a lane each, so that a destroy never waits behind creates. A call that waits costs
//! no thread, and a thread ends when nobody waits.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard};

use super::started::{Started, lock};
use crate::error::Result;
use crate::process;

/// Which calls run beside which.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lane {
    /// create, request, wait_ready and reap: what may take as long as a sandbox does.
    Slow,
    /// The rest, each one or two short questions to the engine.
    Quick,
}

impl Lane {
    const fn limit(self) -> usize {
        match self {
            Lane::Slow => 32,
            Lane::Quick => 8,
        }
    }
}

/// Nobody waits while fewer than the limit run; so whoever finds room may start at once.
pub(crate) struct LaneState {
    running: usize,
    last_place: u64,
    waiting: BTreeMap<u64, Arc<Started>>,
}

impl LaneState {
    const fn new() -> Self {
        LaneState { running: 0, last_place: 0, waiting: BTreeMap::new() }
    }
}

static LANES: Mutex<[LaneState; 2]> = Mutex::new([LaneState::new(), LaneState::new()]);

/// The lanes; a fork holds them, so that the child finds them whole.
pub(super) fn lanes() -> MutexGuard<'static, [LaneState; 2]> {
    lock(&LANES)
}

/// Forgets all calls: in the child of a fork no thread of ours lives, and its calls belong to the parent.
pub(super) fn forget_all(lanes: &mut [LaneState; 2]) {
    for lane in lanes {
        std::mem::forget(std::mem::replace(lane, LaneState::new()));
    }
}

/// Runs the call now on a thread of its own, or puts it in line.
pub(crate) fn begin(started: &Arc<Started>) -> Result<()> {
    let mut lanes = lanes();
    let lane = &mut lanes[started.lane as usize];
    if lane.running == started.lane.limit() {
        // A cancellation raises its flag before it looks at the line, so one of the two is always seen.
        if started.call.is_cancelled() {
            drop(lanes);
            started.give_up();
            return Ok(());
        }
        lane.last_place += 1;
        started.place.store(lane.last_place, Ordering::Relaxed);
        lane.waiting.insert(lane.last_place, started.clone());
        return Ok(());
    }
    let first = started.clone();
    // Under the lock, so that a thread that cannot be had leaves nobody waiting for it.
    process::spawn("sandport-call", move || work(first))?;
    lane.running += 1;
    Ok(())
}

/// Takes a call out of the line; false when it is not in it.
pub(crate) fn withdraw(started: &Arc<Started>) -> bool {
    let mut lanes = lanes();
    let place = started.place.swap(0, Ordering::Relaxed);
    place != 0 && lanes[started.lane as usize].waiting.remove(&place).is_some()
}

fn work(first: Arc<Started>) {
    let lane = first.lane;
    let mut turn = Some(first);
    while let Some(started) = turn {
        started.run();
        drop(started);
        let mut lanes = lanes();
        let state = &mut lanes[lane as usize];
        turn = state.waiting.pop_first().map(|(_, next)| next);
        match &turn {
            Some(next) => next.place.store(0, Ordering::Relaxed),
            None => state.running -= 1,
        }
    }
}
