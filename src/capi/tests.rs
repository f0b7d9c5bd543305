//! The life of a started call, with jobs of the tests' own: no engine, no backend, and no waiting for luck.

use std::io::Read;
use std::os::unix::net::UnixStream;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, Weak};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::handles::{self, Entry, Kind};
use super::numbers::*;
use super::queue::Queue;
use super::started::{Job, Outcome, Started, Waited, lock};
use super::turns::{self, Lane};
use super::*;
use crate::call::Call;

/// The lanes belong to the process; so whoever counts in them is alone.
static ALONE: Mutex<()> = Mutex::new(());

pub(super) fn alone() -> MutexGuard<'static, ()> {
    lock(&ALONE)
}

pub(super) fn start(lane: Lane, queue: Option<&Arc<Queue>>, job: Job) -> Arc<Started> {
    let (_, started) = handles::insert(Kind::Call, |handle| {
        let started = Arc::new(Started::new(handle, lane, Weak::new(), queue.cloned(), job));
        (Entry::Call(started.clone()), started)
    })
    .unwrap();
    if let Some(queue) = queue {
        assert!(queue.calls.admit(&started));
    }
    turns::begin(&started).unwrap();
    started
}

fn ends_with(value: Value) -> Job {
    Box::new(move |_| Ok(value))
}

/// A job that says when it runs and ends when it is told to, or cancelled.
fn held() -> (Job, Receiver<()>, Sender<()>) {
    let ((runs, running), (release, released)) = (channel(), channel());
    let job = Box::new(move |call: &Call| {
        runs.send(()).unwrap();
        loop {
            call.check()?;
            match released.recv_timeout(Duration::from_millis(5)) {
                Err(std::sync::mpsc::RecvTimeoutError::Timeout) => {}
                _ => return Ok(json!({"held": true})),
            }
        }
    });
    (job, running, release)
}

fn outcome(started: &Started) -> Outcome {
    match started.wait(Some(Instant::now() + Duration::from_secs(20))) {
        Waited::Ended(outcome) => outcome,
        other => panic!("the call did not end: {other:?}"),
    }
}

/// Waits for a byte on a queue's descriptor, as a host's loop does.
fn readable(end: &mut UnixStream) {
    end.set_nonblocking(false).unwrap();
    end.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    assert_eq!(end.read(&mut [0]).unwrap(), 1);
}

#[test]
fn a_result_is_delivered_once() {
    let _alone = alone();
    let started = start(Lane::Quick, None, ends_with(json!({"n": 1})));
    assert_eq!(outcome(&started), Outcome { status: SANDPORT_OK, answer: r#"{"n":1}"#.to_owned() });
    assert_eq!(started.wait(None), Waited::Gone);
}

#[test]
fn a_wait_whose_time_is_over_leaves_the_call_as_it_is() {
    let _alone = alone();
    let (job, running, release) = held();
    let started = start(Lane::Quick, None, job);
    running.recv().unwrap();
    assert_eq!(started.wait(Some(Instant::now())), Waited::TimeOver);
    release.send(()).unwrap();
    assert_eq!(outcome(&started).status, SANDPORT_OK);
}

#[test]
fn a_panic_is_an_internal_error_and_the_next_call_still_runs() {
    let _alone = alone();
    let started = start(Lane::Quick, None, Box::new(|_| panic!("on purpose")));
    assert_eq!(outcome(&started).status, SANDPORT_INTERNAL);
    assert_eq!(outcome(&start(Lane::Quick, None, ends_with(json!({})))).status, SANDPORT_OK);
}

#[test]
fn the_ninth_quick_call_waits_its_turn_and_can_be_cancelled_there() {
    let _alone = alone();
    let jobs: Vec<_> = (0..8).map(|_| held()).collect();
    let mut running = Vec::new();
    for (job, runs, release) in jobs {
        running.push((start(Lane::Quick, None, job), release));
        runs.recv().unwrap();
    }
    let (job, ninth_runs, _ninth_release) = held();
    let ninth = start(Lane::Quick, None, job);
    let (job, tenth_runs, tenth_release) = held();
    let tenth = start(Lane::Quick, None, job);
    // A slow call passes by.
    assert_eq!(outcome(&start(Lane::Slow, None, ends_with(json!({})))).status, SANDPORT_OK);

    ninth.cancel();
    assert_eq!(outcome(&ninth).status, SANDPORT_CANCELLED);
    assert!(ninth_runs.try_recv().is_err(), "it never ran");
    assert!(tenth_runs.try_recv().is_err(), "it still waits");

    running[3].1.send(()).unwrap();
    tenth_runs.recv_timeout(Duration::from_secs(20)).unwrap();
    tenth_release.send(()).unwrap();
    assert_eq!(outcome(&tenth).status, SANDPORT_OK);
    for (started, _) in &running {
        started.cancel();
        started.wait(None);
    }
}

#[test]
fn thirty_two_slow_calls_run_at_once_and_all_the_others_after_them() {
    let _alone = alone();
    let (entered, entries) = channel();
    let gate = Arc::new((Mutex::new(false), std::sync::Condvar::new()));
    let calls: Vec<_> = (0..100)
        .map(|_| {
            let (entered, gate) = (entered.clone(), gate.clone());
            start(
                Lane::Slow,
                None,
                Box::new(move |_| {
                    entered.send(()).unwrap();
                    drop(gate.1.wait_while(gate.0.lock().unwrap(), |open| !*open).unwrap());
                    Ok(json!({}))
                }),
            )
        })
        .collect();
    for _ in 0..32 {
        entries.recv_timeout(Duration::from_secs(20)).unwrap();
    }
    assert!(entries.try_recv().is_err(), "the thirty-third waits");
    *gate.0.lock().unwrap() = true;
    gate.1.notify_all();
    for call in &calls {
        assert_eq!(outcome(call).status, SANDPORT_OK);
    }
}

#[test]
fn a_queue_gives_each_result_once_and_wakes_its_reader() {
    let _alone = alone();
    let (queue, end) = Queue::new().unwrap();
    let (queue, mut end) = (Arc::new(queue), UnixStream::from(end));
    assert!(queue.next().is_none());
    let mut calls: Vec<_> =
        (0..5).map(|n| start(Lane::Quick, Some(&queue), ends_with(json!(n))).handle).collect();
    let mut seen = Vec::new();
    while seen.len() < calls.len() {
        readable(&mut end);
        while let Some((started, outcome)) = queue.next() {
            assert_eq!(
                outcome.answer,
                calls.iter().position(|call| *call == started.handle).unwrap().to_string()
            );
            seen.push(started.handle);
        }
    }
    // A number that was freed is given out again with another generation; so the order of numbers says nothing.
    seen.sort_unstable();
    calls.sort_unstable();
    assert_eq!(seen, calls);
    assert!(queue.next().is_none());
}

#[test]
fn a_full_socket_pair_loses_no_result() {
    let _alone = alone();
    let (queue, end) = Queue::new().unwrap();
    let queue = Arc::new(queue);
    // Far more than the bytes that a socket pair takes, and nobody drains it.
    for n in 0..3000 {
        let job = ends_with(json!(n));
        let (_, started) = handles::insert(Kind::Call, |handle| {
            let started = Arc::new(Started::new(handle, Lane::Quick, Weak::new(), Some(queue.clone()), job));
            (Entry::Call(started.clone()), started)
        })
        .unwrap();
        started.run();
    }
    for n in 0..3000 {
        assert_eq!(queue.next().unwrap().1.answer, n.to_string());
    }
    drop(end);
}

#[test]
fn a_closed_reader_does_no_harm() {
    let _alone = alone();
    let (queue, end) = Queue::new().unwrap();
    let queue = Arc::new(queue);
    drop(end);
    let started = start(Lane::Quick, Some(&queue), ends_with(json!(7)));
    let end = Instant::now() + Duration::from_secs(20);
    let answer = loop {
        if let Some((_, outcome)) = queue.next() {
            break outcome.answer;
        }
        assert!(Instant::now() < end, "no result came");
        std::thread::yield_now();
    };
    assert_eq!((answer.as_str(), started.take()), ("7", None));
}

#[test]
fn a_closed_queue_cancels_its_calls_and_its_descriptor_ends() {
    let _alone = alone();
    let (queue, end) = Queue::new().unwrap();
    let (queue, mut end) = (Arc::new(queue), UnixStream::from(end));
    let (job, running, _release) = held();
    let started = start(Lane::Quick, Some(&queue), job);
    running.recv().unwrap();
    for call in queue.close() {
        call.discard();
    }
    assert!(started.call.is_cancelled());
    end.set_nonblocking(false).unwrap();
    assert_eq!(end.read(&mut [0]).unwrap(), 0);
    assert!(!queue.calls.admit(&started), "a closed queue takes no call");
}

#[test]
fn a_closed_call_wakes_whoever_waits_for_it() {
    let _alone = alone();
    let (job, running, _release) = held();
    let started = start(Lane::Quick, None, job);
    running.recv().unwrap();
    let waiter = std::thread::spawn({
        let started = started.clone();
        move || started.wait(None)
    });
    assert_eq!(sandport_call_close_of(&started), SANDPORT_OK);
    assert_eq!(waiter.join().unwrap(), Waited::Gone);
    assert_eq!(sandport_call_close_of(&started), SANDPORT_INVALID_HANDLE);
}

fn sandport_call_close_of(started: &Started) -> i32 {
    calls::sandport_call_close(started.handle)
}

#[test]
fn a_handle_is_of_one_kind_and_is_never_used_again() {
    let _alone = alone();
    let mut seen = std::collections::HashSet::new();
    for _ in 0..200 {
        let started = start(Lane::Quick, None, ends_with(json!({})));
        let handle = started.handle;
        assert!(handle < 1 << 53 && seen.insert(handle));
        assert_eq!(backends::sandport_backend_close(handle), SANDPORT_INVALID_HANDLE);
        assert_eq!(queues::sandport_queue_close(handle), SANDPORT_INVALID_HANDLE);
        assert_eq!(calls::sandport_call_close(handle), SANDPORT_OK);
    }
    for handle in seen {
        assert_eq!(calls::sandport_call_cancel(handle), SANDPORT_INVALID_HANDLE);
    }
    for invented in [0, 1, u64::MAX, 1 << 52, (1 << 53) - 1] {
        assert_eq!(calls::sandport_call_cancel(invented), SANDPORT_INVALID_HANDLE);
    }
}

#[test]
fn every_number_of_a_status_is_the_code_s_and_has_its_word() {
    for code in Code::ALL {
        // SAFETY: a static string.
        let name = unsafe { std::ffi::CStr::from_ptr(library::sandport_status_name(code as i32)) };
        assert_eq!(name.to_str().unwrap(), code.word());
    }
    // SAFETY: static strings.
    let other =
        [-1, 17, i32::MAX].map(|n| unsafe { std::ffi::CStr::from_ptr(library::sandport_status_name(n)) });
    assert_eq!(other, [c"unknown"; 3]);
}

#[test]
fn a_panic_under_the_border_is_an_answer() {
    let mut response = std::ptr::null_mut();
    // SAFETY: the response is a variable of ours, and is freed once.
    unsafe {
        assert_eq!(answer(&raw mut response, || panic!("on purpose")), SANDPORT_INTERNAL);
        let text = std::ffi::CStr::from_ptr(response).to_str().unwrap().to_owned();
        assert_eq!(serde_json::from_str::<Value>(&text).unwrap()["error"]["code"], "internal");
        library::sandport_string_free(response);
    }
    assert_eq!(plain(|| panic!("on purpose")), SANDPORT_INTERNAL);
}
