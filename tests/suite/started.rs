//! Calls that do not block, on the real engine: each answer is the true outcome, or `CANCELLED` with nothing left.

use std::ffi::{CString, c_char};
use std::ptr;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::rig::{Backend, IMAGE, Rig, capi, docker, eventually, heavy, outcome};

pub const CREATE: u32 = 1;
const DESTROY: u32 = 2;
const TIMEOUT: i32 = 11;

/// A call that was started without a queue; closed when it is dropped.
pub struct Started(u64);

impl Started {
    pub fn new(backend: &Backend, operation: u32, request: &Value) -> Started {
        Started::begin(backend, operation, request).unwrap()
    }

    /// The same, where even the start may fail.
    pub fn begin(backend: &Backend, operation: u32, request: &Value) -> Result<Started, Value> {
        let text = CString::new(request.to_string()).unwrap();
        let (mut call, mut response) = (0, ptr::null_mut());
        // SAFETY: valid pointers for the time of the call.
        let status = unsafe {
            capi::sandport_call_start(
                backend.0,
                0,
                operation,
                text.as_ptr(),
                &raw mut call,
                &raw mut response,
            )
        };
        outcome(status, response).map(|_| Started(call))
    }

    pub fn cancel(&self) {
        assert_eq!(capi::sandport_call_cancel(self.0), 0);
    }

    pub fn progress(&self) -> Value {
        let mut response = ptr::null_mut();
        // SAFETY: valid pointers for the time of the call.
        let status = unsafe { capi::sandport_call_progress(self.0, &raw mut response) };
        outcome(status, response).unwrap()
    }

    /// `None` when it has not ended within the time.
    fn wait(&self, milliseconds: i64) -> Option<Result<Value, Value>> {
        let (mut status, mut response): (i32, *mut c_char) = (0, ptr::null_mut());
        // SAFETY: valid pointers for the time of the call.
        let returned =
            unsafe { capi::sandport_call_wait(self.0, milliseconds, &raw mut status, &raw mut response) };
        if returned == TIMEOUT {
            crate::rig::take(response);
            return None;
        }
        assert_eq!(returned, 0);
        Some(outcome(status, response))
    }

    pub fn result(&self) -> Result<Value, Value> {
        self.wait(60_000).expect("it ends within a minute")
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        capi::sandport_call_close(self.0);
    }
}

fn threads() -> usize {
    std::fs::read_dir("/proc/self/task").unwrap().count()
}

#[test]
fn a_create_that_is_cancelled_at_any_time_tells_the_truth_and_leaves_nothing() {
    let _alone = heavy();
    let rig = Rig::new();
    let times: u32 =
        std::env::var("SANDPORT_TEST_TIMES").ok().and_then(|times| times.parse().ok()).unwrap_or(3);
    for pause in [0, 1, 5, 20, 50, 100, 200, 400] {
        let (mut made, mut cancelled) = (0, 0);
        for _ in 0..times {
            let backend = rig.open();
            let call = Started::new(&backend, CREATE, &json!({"sandbox_id": "a"}));
            std::thread::sleep(Duration::from_millis(pause)); // when it is cancelled, not a wait for something
            call.cancel();
            match call.result() {
                Ok(info) => {
                    made += 1;
                    assert!(backend.is_alive(json!({"sandbox": info})).unwrap(), "what was told is true");
                    assert!(backend.destroy(json!({"sandbox": info})).unwrap());
                }
                Err(error) => {
                    cancelled += 1;
                    assert_eq!(error["code"], "cancelled", "{error}");
                    assert!(error["details"]["residue"].is_null(), "{error}");
                    assert_eq!(
                        rig.containers(),
                        Vec::<String>::new(),
                        "nothing of it is left when it is told"
                    );
                }
            }
            drop(backend);
            rig.assert_clean();
        }
        println!(
            "cancelled after {pause} ms, {times} times: {made} made, {cancelled} taken back, nothing left"
        );
    }
    let backend = rig.open();
    assert_eq!(backend.create(json!({"sandbox_id": "a"})).unwrap()["created"], true);
    assert!(backend.destroy(json!({"sandbox_id": "a"})).unwrap());
}

#[test]
fn a_cancelled_wait_for_readiness_wakes_at_once_and_what_was_adopted_is_not_touched() {
    let rig = Rig::new();
    let backend = rig.open();
    let silent =
        json!({"sandbox_id": "a", "environment": {"SANDBOX_NEVER_ANSWER": "1"}, "ready_timeout_seconds": 0});
    let info = backend.create(silent).unwrap();
    let adopting = Started::new(&backend, CREATE, &json!({"sandbox_id": "a"}));
    eventually("it waits for readiness", || adopting.progress()["phase"] == "ready");
    let begun = Instant::now();
    adopting.cancel();
    assert_eq!(adopting.result().unwrap_err()["code"], "cancelled");
    println!("it woke {:.1?} after its cancellation", begun.elapsed());
    assert!(begun.elapsed() < Duration::from_secs(1), "100 ms is what is promised, tenfold is allowed");
    assert!(backend.is_alive(json!({"sandbox": info})).unwrap());
    assert!(backend.destroy(json!({"sandbox": info})).unwrap());
    rig.assert_clean();
}

#[test]
fn a_cancelled_wait_for_a_peers_name_lock_wakes_at_once() {
    let rig = Rig::new();
    let mut peer = crate::child::Peer::start(&rig.config(json!({})));
    // The name is held as long as the engine starts it: a stopped engine's answer is what takes long here.
    peer.tell("create", &json!({"sandbox_id": "a"}));
    let backend = rig.open();
    let waiting = Started::new(&backend, CREATE, &json!({"sandbox_id": "a"}));
    waiting.cancel();
    let mine = waiting.result();
    let theirs = peer.hear().unwrap();
    assert_eq!(theirs["created"], true);
    assert!(mine.is_ok() || mine.as_ref().unwrap_err()["code"] == "cancelled", "{mine:?}");
    assert!(backend.is_alive(json!({"sandbox": theirs})).unwrap(), "the peer's sandbox is not touched");
    assert!(peer.ask("destroy", &json!({"sandbox": theirs})).unwrap() == true);
    peer.end();
    drop(backend);
    rig.assert_clean();
}

#[test]
fn a_create_says_its_phases_and_its_result_comes_once() {
    let rig = Rig::new();
    let backend = rig.open();
    let begun = Instant::now();
    let call = Started::new(
        &backend,
        CREATE,
        &json!({"sandbox_id": "a", "environment": {"SANDBOX_START_DELAY_MS": "300"}}),
    );
    let started = begun.elapsed();
    println!("call_start returned after {started:.0?}");
    assert!(started < Duration::from_millis(10), "1 ms is what is asked, tenfold is allowed");
    assert!(call.wait(0).is_none(), "it has not ended yet");
    eventually("it waits for readiness", || call.progress()["phase"] == "ready");
    assert!(call.progress()["elapsed_seconds"].as_f64().unwrap() > 0.0);
    assert_eq!(call.result().unwrap()["created"], true);
    let (mut status, mut response) = (0, ptr::null_mut());
    // SAFETY: valid pointers for the time of the call.
    let again = unsafe { capi::sandport_call_wait(call.0, 0, &raw mut status, &raw mut response) };
    assert_eq!(outcome(again, response).unwrap_err()["code"], "invalid_handle");
    assert!(backend.destroy(json!({"sandbox_id": "a"})).unwrap());
    rig.assert_clean();
}

#[test]
fn a_hundred_calls_through_one_queue_keep_to_the_bound_of_threads() {
    let _alone = heavy();
    let rig = Rig::new();
    let backend = rig.open();
    let before = threads();
    let (mut queue, mut fd, mut response) = (0, -1, ptr::null_mut());
    // SAFETY: valid pointers for the time of the call.
    let status = unsafe { capi::sandport_queue_open(&raw mut queue, &raw mut fd, &raw mut response) };
    outcome(status, response).unwrap();
    let text = CString::new(json!({"sandbox_url": "http://127.0.0.1:9", "timeout_seconds": 0.3}).to_string())
        .unwrap();
    for _ in 0..100 {
        let (mut call, mut response) = (0, ptr::null_mut());
        // SAFETY: valid pointers for the time of the call.
        let status = unsafe {
            capi::sandport_call_start(backend.0, queue, 9, text.as_ptr(), &raw mut call, &raw mut response)
        };
        outcome(status, response).unwrap();
    }
    // One of the eight places beside them: it does not wait behind the hundred.
    let destroy = Started::new(&backend, DESTROY, &json!({"sandbox_id": "none"}));
    assert_eq!(destroy.result().unwrap()["destroyed"], false);
    let mut most = threads();
    let mut delivered = 0;
    eventually("all hundred are delivered", || {
        most = most.max(threads());
        let (mut call, mut status, mut response) = (0, 0, ptr::null_mut());
        // SAFETY: valid pointers for the time of the call.
        let returned =
            unsafe { capi::sandport_queue_next(queue, &raw mut call, &raw mut status, &raw mut response) };
        let answer = crate::rig::take(response);
        if returned == 0 {
            delivered += 1;
            assert_eq!(answer["ready"], false);
        }
        delivered == 100
    });
    println!("100 calls in flight: {} threads more at most", most.saturating_sub(before));
    // Other tests of this program start threads too; the bound itself is 32 + 8.
    assert!(most <= before + 40 + 24, "{most} threads, {before} before");
    // SAFETY: any number may be closed; the descriptor is ours.
    unsafe {
        capi::sandport_queue_close(queue);
        assert_eq!(libc::close(fd), 0);
    }
}

#[test]
fn a_backend_that_closes_cancels_what_it_runs_and_leaves_nothing() {
    let rig = Rig::new();
    let backend = rig.open();
    let silent = json!({"sandbox_id": "a", "environment": {"SANDBOX_NEVER_ANSWER": "1"}});
    let call = Started::new(&backend, CREATE, &silent);
    eventually("it waits for readiness", || call.progress()["phase"] == "ready");
    drop(backend);
    assert_eq!(call.result().unwrap_err()["code"], "cancelled");
    drop(call);
    rig.assert_clean();
}

#[test]
fn a_call_that_is_closed_goes_on_only_to_take_back_what_it_made() {
    let rig = Rig::new();
    let backend = rig.open();
    let silent = json!({"sandbox_id": "a", "environment": {"SANDBOX_NEVER_ANSWER": "1"}});
    let call = Started::new(&backend, CREATE, &silent);
    eventually("it waits for readiness", || call.progress()["phase"] == "ready");
    drop(call);
    eventually("it is taken back", || rig.containers().is_empty());
    drop(backend);
    eventually("no lock file is left", || rig.lock_files().is_empty());
}

#[test]
fn an_image_that_cannot_be_pulled_is_said_and_the_name_is_free_afterwards() {
    let rig = Rig::new();
    let backend = rig.open();
    // Nothing listens there, so that no registry is asked.
    let error = backend.create(json!({"sandbox_id": "a", "image": "localhost:9/none:none"})).unwrap_err();
    assert!(["image_not_found", "runtime_failed"].contains(&error["code"].as_str().unwrap()), "{error}");
    assert_eq!(error["phase"], "pull");
    let never = rig.open_with(json!({"pull": "never"}));
    let error = never.create(json!({"sandbox_id": "a", "image": "localhost:9/none:none"})).unwrap_err();
    assert_eq!(error["code"], "image_not_found");
    assert!(docker(&["images", "-q", IMAGE]).len() > 6);
    assert_eq!(backend.create(json!({"sandbox_id": "a"})).unwrap()["created"], true);
    assert!(backend.destroy(json!({"sandbox_id": "a"})).unwrap());
    drop((backend, never));
    rig.assert_clean();
}
