//! Queues of results, for hosts that wait in a loop of their own.

use std::ffi::{c_char, c_int};
use std::os::fd::IntoRawFd;
use std::sync::Arc;

use serde_json::json;

use super::handles::{self, Entry, Kind};
use super::queue::Queue;
use super::{NOT_ENDED, answer, deliver, needed, plain, sandport_call, sandport_queue, write};
use crate::error::{Code, Error};

/// Opens a queue of results, and a descriptor that is readable when there may be one.
///
/// Readable means: read until it would block, then call sandport_queue_next() until it says SANDPORT_NOT_READY.
///
/// \param queue         Receives the handle, 0 on failure; close it with sandport_queue_close(). Must not be NULL.
/// \param fd            Receives the descriptor, -1 on failure: one end of a socket pair, non-blocking and
///                      close-on-exec. It is the caller's to close, at any time. Must not be NULL.
/// \param response_json Receives an owned string, on failure too; release it with sandport_string_free(). May be NULL.
///                      On success {}.
/// \return SANDPORT_OK, or the reason, which also stands in the response.
///
/// Thread-safe. Does not block. \since 0.1.0
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sandport_queue_open(
    queue: *mut sandport_queue,
    fd: *mut c_int,
    response_json: *mut *mut c_char,
) -> i32 {
    // SAFETY: the caller keeps the header's promises about the pointers.
    unsafe {
        write(queue, 0);
        write(fd, -1);
        answer(response_json, || {
            needed("queue", queue)?;
            needed("fd", fd)?;
            let (made, theirs) = Queue::new()?;
            let made = Arc::new(made);
            let (handle, ()) = handles::insert(Kind::Queue, |_| (Entry::Queue(made.clone()), ()))?;
            write(queue, handle);
            write(fd, theirs.into_raw_fd());
            Ok(json!({}))
        })
    }
}

/// Takes the next result.
///
/// \param queue         From sandport_queue_open().
/// \param call          Receives the call's handle, which is invalid from now on; 0 when there is none. Must not be
///                      NULL.
/// \param status        Receives how the operation ended, -1 when there is no result. May be NULL.
/// \param response_json Receives an owned string, on failure too; release it with sandport_string_free(). May be NULL.
///                      It is the operation's own answer when this function returns SANDPORT_OK.
/// \return SANDPORT_OK when a result was delivered; SANDPORT_NOT_READY when there is none; SANDPORT_INVALID_HANDLE.
///
/// Thread-safe. Does not block. \since 0.1.0
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sandport_queue_next(
    queue: sandport_queue,
    call: *mut sandport_call,
    status: *mut i32,
    response_json: *mut *mut c_char,
) -> i32 {
    // SAFETY: the caller keeps the header's promises about the pointers.
    unsafe {
        write(call, 0);
        write(status, NOT_ENDED);
        deliver(status, response_json, || {
            let queue = handles::queue(queue)?;
            needed("call", call)?;
            let (started, outcome) = queue.next().ok_or_else(|| {
                Error::new(Code::NotReady, "the queue is empty")
                    .with_hint("wait until its descriptor is readable")
                    .retryable()
            })?;
            let _ = handles::take_call(started.handle);
            write(call, started.handle);
            Ok(outcome)
        })
    }
}

/// Closes a queue: cancels its calls and throws away their results. The descriptor stays the caller's and reads as
/// ended.
///
/// \param queue From sandport_queue_open(); invalid from now on.
/// \return SANDPORT_OK or SANDPORT_INVALID_HANDLE.
///
/// Thread-safe. Does not block. \since 0.1.0
#[unsafe(no_mangle)]
pub extern "C" fn sandport_queue_close(queue: sandport_queue) -> i32 {
    plain(|| {
        let queue = handles::take_queue(queue)?;
        for started in queue.close() {
            let _ = handles::take_call(started.handle);
            started.discard();
        }
        Ok(())
    })
}
