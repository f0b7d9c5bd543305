//! The calls that do not block: start one, wait for it or cancel it, ask how far it is.

use std::ffi::c_char;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::json;

use super::handles::{self, Entry, Kind};
use super::started::{Started, Waited};
use super::turns::{self, Lane};
use super::{
    NOT_ENDED, answer, deliver, needed, plain, sandport_backend, sandport_call, sandport_queue, text, write,
};
use crate::error::{Code, Error, Result};
use crate::operation::Operation;

/// Starts an operation and returns at once; the work runs on a thread of the library.
///
/// The form of the request is checked here; whatever needs the engine or a file belongs to the call. At most 32 of
/// create, request, wait_ready and reap run at once, and 8 of the others beside them; more wait for their turn. The
/// result is delivered once: by sandport_queue_next(), or by sandport_call_wait() where queue is 0. Then the handle is
/// invalid. A result may come before this function has returned.
///
/// \param backend       From sandport_backend_open().
/// \param queue         From sandport_queue_open(), or 0.
/// \param operation     A SANDPORT_OP_... number.
/// \param request_json  Borrowed UTF-8, as the blocking function of that name takes it.
/// \param call          Receives the handle, 0 on failure. Must not be NULL.
/// \param response_json Receives an owned string, on failure too; release it with sandport_string_free(). May be NULL.
///                      On success {}: the operation's own answer comes with its result.
/// \return SANDPORT_OK when it was started, or the reason, which also stands in the response.
///
/// Thread-safe. Does not block. \since 0.1.0
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sandport_call_start(
    backend: sandport_backend,
    queue: sandport_queue,
    operation: u32,
    request_json: *const c_char,
    call: *mut sandport_call,
    response_json: *mut *mut c_char,
) -> i32 {
    // SAFETY: the caller keeps the header's promises about the pointers.
    unsafe {
        write(call, 0);
        answer(response_json, || {
            needed("call", call)?;
            let started = prepare(backend, queue, operation, request_json)?;
            // Before it begins, so that whoever gets the result can compare the numbers.
            write(call, started.handle);
            if let Err(error) = turns::begin(&started) {
                write(call, 0);
                abandon(&started);
                return Err(error);
            }
            Ok(json!({}))
        })
    }
}

/// # Safety
/// `request_json` is NULL or a NUL-terminated string.
unsafe fn prepare(
    backend: sandport_backend,
    queue: sandport_queue,
    operation: u32,
    request_json: *const c_char,
) -> Result<Arc<Started>> {
    let open = handles::backend(backend)?;
    let queue = if queue == 0 { None } else { Some(handles::queue(queue)?) };
    let operation = Operation::from_number(operation).ok_or_else(|| {
        Error::invalid("operation is no number of an operation")
            .with_hint("pass one of the SANDPORT_OP_ numbers")
    })?;
    // SAFETY: by this function's own condition.
    let ask = operation.parse(&unsafe { text::read("request_json", request_json, operation.limit()) }?)?;
    let lane = lane(operation);
    let share = open.backend.clone();
    let owner = Arc::downgrade(&open);
    let (_, started) = handles::insert(Kind::Call, |handle| {
        let job = Box::new(move |call: &crate::call::Call| share.run(call, &ask));
        let started = Arc::new(Started::new(handle, lane, owner, queue, job));
        (Entry::Call(started.clone()), started)
    })?;
    // Either may have been closed since it was looked up; then nobody would ever cancel this call.
    if !open.calls.admit(&started) {
        abandon(&started);
        return Err(handles::unknown(Kind::Backend));
    }
    if started.queue.as_ref().is_some_and(|queue| !queue.calls.admit(&started)) {
        abandon(&started);
        return Err(handles::unknown(Kind::Queue));
    }
    Ok(started)
}

/// Takes back a call that never began.
fn abandon(started: &Arc<Started>) {
    started.discard();
    let _ = handles::take_call(started.handle);
}

fn lane(operation: Operation) -> Lane {
    match operation {
        Operation::Create | Operation::Request | Operation::WaitReady | Operation::Reap => Lane::Slow,
        Operation::Destroy
        | Operation::Discover
        | Operation::IsAlive
        | Operation::List
        | Operation::Release => Lane::Quick,
    }
}

/// Waits for the result of a call that was started with queue 0.
///
/// \param call          From sandport_call_start(); invalid once its result was delivered.
/// \param timeout_ms    Milliseconds; -1 waits for ever, 0 only looks.
/// \param status        Receives how the operation ended, -1 while it has not. May be NULL.
/// \param response_json Receives an owned string, on failure too; release it with sandport_string_free(). May be NULL.
///                      It is the operation's own answer when this function returns SANDPORT_OK.
/// \return SANDPORT_OK when the result was delivered; SANDPORT_TIMEOUT when the time is over, and the call goes on;
///         SANDPORT_INVALID_ARGUMENT for a call of a queue; SANDPORT_INVALID_HANDLE.
///
/// Thread-safe. Blocks up to timeout_ms. \since 0.1.0
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sandport_call_wait(
    call: sandport_call,
    timeout_ms: i64,
    status: *mut i32,
    response_json: *mut *mut c_char,
) -> i32 {
    // SAFETY: the caller keeps the header's promises about the pointers.
    unsafe {
        write(status, NOT_ENDED);
        deliver(status, response_json, || {
            let started = handles::call(call)?;
            if started.queue.is_some() {
                return Err(Error::invalid("the call delivers to its queue")
                    .with_hint("take its result from sandport_queue_next()"));
            }
            let end = match timeout_ms {
                -1 => None,
                0.. => Instant::now().checked_add(Duration::from_millis(timeout_ms.unsigned_abs())),
                _ => {
                    return Err(
                        Error::invalid("timeout_ms is negative").with_hint("pass -1 to wait for ever")
                    );
                }
            };
            match started.wait(end) {
                Waited::Ended(outcome) => {
                    let _ = handles::take_call(call);
                    Ok(outcome)
                }
                Waited::Gone => Err(handles::unknown(Kind::Call)),
                Waited::TimeOver => Err(Error::new(Code::Timeout, "the call has not ended yet")
                    .with_hint("wait again; the call goes on")
                    .in_phase(started.call.phase())
                    .retryable()),
            }
        })
    }
}

/// Asks a call to end. Sticky; harmless when it has ended.
///
/// The call then ends as it would have, or as SANDPORT_CANCELLED, which promises that nothing it made remains. Its
/// result is delivered like any other.
///
/// \param call From sandport_call_start(), its result not delivered yet.
/// \return SANDPORT_OK or SANDPORT_INVALID_HANDLE.
///
/// Thread-safe. Does not block. \since 0.1.0
#[unsafe(no_mangle)]
pub extern "C" fn sandport_call_cancel(call: sandport_call) -> i32 {
    plain(|| {
        handles::call(call)?.cancel();
        Ok(())
    })
}

/// Says how far a call is.
///
/// \param call          From sandport_call_start(), its result not delivered yet.
/// \param response_json Receives an owned string, on failure too; release it with sandport_string_free(). May be NULL.
///                      On success {"phase", "elapsed_seconds", "cancelling", "pull": {"layers_done", "layers_total",
///                      "bytes_done", "bytes_total"} or null}.
/// \return SANDPORT_OK or SANDPORT_INVALID_HANDLE.
///
/// Thread-safe. Does not block. \since 0.1.0
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sandport_call_progress(call: sandport_call, response_json: *mut *mut c_char) -> i32 {
    // SAFETY: the caller keeps the header's promise about the pointer.
    unsafe { answer(response_json, || Ok(handles::call(call)?.call.progress().to_json())) }
}

/// Cancels a call and throws away its result.
///
/// \param call From sandport_call_start(), its result not delivered yet; invalid from now on.
/// \return SANDPORT_OK or SANDPORT_INVALID_HANDLE.
///
/// Thread-safe. Does not block. \since 0.1.0
#[unsafe(no_mangle)]
pub extern "C" fn sandport_call_close(call: sandport_call) -> i32 {
    plain(|| {
        handles::take_call(call)?.discard();
        Ok(())
    })
}
