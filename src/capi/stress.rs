//! Many threads at every function at once: each result comes at most once, and everything ends.

use std::collections::HashSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use serde_json::json;

use super::numbers::*;
use super::queue::Queue;
use super::started::{Started, Waited, lock};
use super::tests::{alone, start};
use super::turns::Lane;
use super::{calls, handles};
use crate::call::Call;

const THREADS: usize = 8;
const ROUNDS: usize = 300;

/// Numbers that look random and are the same in every run.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (self.0 >> 33) % sides
    }
}

/// A call that ends by itself soon, or when it is cancelled.
fn short(lane: Lane, queue: Option<&Arc<Queue>>, time: u64) -> Arc<Started> {
    start(
        lane,
        queue,
        Box::new(move |call: &Call| call.sleep(Duration::from_micros(time)).map(|()| json!({}))),
    )
}

#[test]
fn whatever_threads_do_at_once_each_result_comes_once() {
    let _alone = alone();
    let (queue, _end) = Queue::new().unwrap();
    let queue = Arc::new(queue);
    let delivered = Mutex::new(HashSet::new());
    let (queued, closed) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let deliver = |handle| assert!(lock(&delivered).insert(handle), "delivered twice");
    thread::scope(|scope| {
        for seed in 0..THREADS {
            let (queue, deliver, queued, closed) = (&queue, &deliver, &queued, &closed);
            scope.spawn(move || {
                let mut dice = Dice(seed as u64);
                for _ in 0..ROUNDS {
                    let lane = if dice.roll(2) == 0 { Lane::Slow } else { Lane::Quick };
                    if dice.roll(2) == 0 {
                        let started = short(lane, Some(queue), dice.roll(500));
                        queued.fetch_add(1, Ordering::SeqCst);
                        match dice.roll(4) {
                            0 => started.cancel(),
                            // Closed before or after its end, but not once it was delivered.
                            1 if calls::sandport_call_close(started.handle) == SANDPORT_OK => {
                                closed.fetch_add(1, Ordering::SeqCst);
                            }
                            _ => {}
                        }
                    } else {
                        let started = short(lane, None, dice.roll(500));
                        let other = started.clone();
                        let canceller = thread::spawn(move || other.cancel());
                        match started.wait(None) {
                            Waited::Ended(outcome) => {
                                assert!([SANDPORT_OK, SANDPORT_CANCELLED].contains(&outcome.status));
                                deliver(started.handle);
                            }
                            other => panic!("{other:?}"),
                        }
                        canceller.join().unwrap();
                        assert!(handles::take_call(started.handle).is_ok());
                    }
                    while let Some((started, _)) = queue.next() {
                        // A close that comes between the two has nothing left to throw away.
                        if handles::take_call(started.handle).is_err() {
                            closed.fetch_sub(1, Ordering::SeqCst);
                        }
                        deliver(started.handle);
                        queued.fetch_sub(1, Ordering::SeqCst);
                    }
                }
            });
        }
    });
    let mut tries = 0;
    while queued.load(Ordering::SeqCst) > closed.load(Ordering::SeqCst) {
        while let Some((started, _)) = queue.next() {
            assert!(handles::take_call(started.handle).is_ok());
            deliver(started.handle);
            queued.fetch_sub(1, Ordering::SeqCst);
        }
        tries += 1;
        assert!(tries < 20_000, "a result never came");
        thread::sleep(Duration::from_millis(1));
    }
    assert_eq!(queued.load(Ordering::SeqCst), closed.load(Ordering::SeqCst));
    assert!(queue.calls.close().is_empty(), "everybody has left");
}
