//! The calls that block: they run on the caller's thread and end with their answer.

use std::ffi::c_char;

use serde_json::Value;

use super::{answer, handles, sandport_backend, text};
use crate::call::Call;
use crate::error::Result;
use crate::json;
use crate::operation::Operation;

/// Makes a sandbox, or adopts the one that already bears its name, and waits until it answers.
///
/// \param backend       From sandport_backend_open().
/// \param request_json  Borrowed UTF-8: {"sandbox_id"?, "thread_id"?, "user_id"?, "image"?, "command"?,
///                      "extra_mounts"?, "environment"?, "labels"?, "resources"?, "ready_timeout_seconds"?}.
///                      Without sandbox_id it is derived from the thread, or random.
/// \param response_json Receives an owned string, on failure too; release it with sandport_string_free(). May be
///                      NULL. On success SandboxInfo: {"sandbox_id", "sandbox_url", "created", "timings", ...}.
/// \return SANDPORT_OK, or the reason, which also stands in the response.
///
/// Thread-safe. Blocks while the image is pulled and up to ready_timeout_seconds after that. \since 0.1.0
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sandport_create(
    backend: sandport_backend,
    request_json: *const c_char,
    response_json: *mut *mut c_char,
) -> i32 {
    // SAFETY: the caller keeps the header's promises about both pointers.
    unsafe { answer(response_json, || run(backend, Operation::Create, request_json)) }
}

/// Stops and removes a sandbox, whoever made it. One that is already gone is no error.
///
/// \param backend       From sandport_backend_open().
/// \param request_json  Borrowed UTF-8: {"sandbox_id", "container_id"?, "stop_timeout_seconds"?} or {"sandbox":
///                      SandboxInfo}.
/// \param response_json Receives an owned string, on failure too; release it with sandport_string_free(). May be
///                      NULL. On success {"destroyed"}: false where there was none.
/// \return SANDPORT_OK, or the reason, which also stands in the response.
///
/// Thread-safe. Blocks up to the stop time and call_timeout_seconds. \since 0.1.0
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sandport_destroy(
    backend: sandport_backend,
    request_json: *const c_char,
    response_json: *mut *mut c_char,
) -> i32 {
    // SAFETY: the caller keeps the header's promises about both pointers.
    unsafe { answer(response_json, || run(backend, Operation::Destroy, request_json)) }
}

/// Asks the engine whether a sandbox runs. A check that fails is an error, never "dead".
///
/// \param backend       From sandport_backend_open().
/// \param request_json  Borrowed UTF-8: {"sandbox_id", "container_id"?} or {"sandbox": SandboxInfo}.
/// \param response_json Receives an owned string, on failure too; release it with sandport_string_free(). May be
///                      NULL. On success {"alive"}.
/// \return SANDPORT_OK, or the reason, which also stands in the response.
///
/// Thread-safe. Blocks up to 5 s or call_timeout_seconds, the smaller. \since 0.1.0
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sandport_is_alive(
    backend: sandport_backend,
    request_json: *const c_char,
    response_json: *mut *mut c_char,
) -> i32 {
    // SAFETY: the caller keeps the header's promises about both pointers.
    unsafe { answer(response_json, || run(backend, Operation::IsAlive, request_json)) }
}

/// Finds a sandbox that any process started, by its id.
///
/// \param backend       From sandport_backend_open().
/// \param request_json  Borrowed UTF-8: {"sandbox_id", "container_id"?} or {"sandbox": SandboxInfo}.
/// \param response_json Receives an owned string, on failure too; release it with sandport_string_free(). May be
///                      NULL. On success {"sandbox": SandboxInfo or null}: null when the engine knows none that
///                      answers.
/// \return SANDPORT_OK, or the reason, which also stands in the response.
///
/// Thread-safe. Blocks up to discover_timeout_seconds. \since 0.1.0
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sandport_discover(
    backend: sandport_backend,
    request_json: *const c_char,
    response_json: *mut *mut c_char,
) -> i32 {
    // SAFETY: the caller keeps the header's promises about both pointers.
    unsafe { answer(response_json, || run(backend, Operation::Discover, request_json)) }
}

/// Lists the running sandboxes of this backend's container_prefix, with one question to the engine.
///
/// \param backend       From sandport_backend_open().
/// \param request_json  Borrowed UTF-8: {} or NULL.
/// \param response_json Receives an owned string, on failure too; release it with sandport_string_free(). May be
///                      NULL. On success {"sandboxes": [SandboxInfo]}; what one summary does not tell is null.
/// \return SANDPORT_OK, or the reason, which also stands in the response.
///
/// Thread-safe. Blocks up to call_timeout_seconds. \since 0.1.0
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sandport_list(
    backend: sandport_backend,
    request_json: *const c_char,
    response_json: *mut *mut c_char,
) -> i32 {
    // SAFETY: the caller keeps the header's promises about both pointers.
    unsafe { answer(response_json, || run(backend, Operation::List, request_json)) }
}

/// Sends an HTTP request to a sandbox, and to no other host.
///
/// \param backend       From sandport_backend_open().
/// \param request_json  Borrowed UTF-8: {"sandbox_id" or "sandbox", "method"?, "path", "headers"?, "body"? or
///                      "body_base64"?, "timeout_seconds"?, "max_response_bytes"?}, at most 32 MiB.
/// \param response_json Receives an owned string, on failure too; release it with sandport_string_free(). May be
///                      NULL. On success {"status", "headers": {name: [values]}, "body" or "body_base64"}, whatever
///                      the HTTP status.
/// \return SANDPORT_OK, or the reason, which also stands in the response.
///
/// Thread-safe. Blocks up to timeout_seconds (60). \since 0.1.0
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sandport_request(
    backend: sandport_backend,
    request_json: *const c_char,
    response_json: *mut *mut c_char,
) -> i32 {
    // SAFETY: the caller keeps the header's promises about both pointers.
    unsafe { answer(response_json, || run(backend, Operation::Request, request_json)) }
}

/// Says that this backend no longer uses a sandbox. It lives on, until a reaper finds it idle.
///
/// \param backend       From sandport_backend_open().
/// \param request_json  Borrowed UTF-8: {"sandbox_id", "container_id"?} or {"sandbox": SandboxInfo}.
/// \param response_json Receives an owned string, on failure too; release it with sandport_string_free(). May be
///                      NULL. On success {"released"}: false where it was not in use.
/// \return SANDPORT_OK, or the reason, which also stands in the response.
///
/// Thread-safe. Blocks for a few milliseconds. \since 0.1.0
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sandport_release(
    backend: sandport_backend,
    request_json: *const c_char,
    response_json: *mut *mut c_char,
) -> i32 {
    // SAFETY: the caller keeps the header's promises about both pointers.
    unsafe { answer(response_json, || run(backend, Operation::Release, request_json)) }
}

/// Removes the sandboxes of this state directory that no process has used for a while.
///
/// \param backend       From sandport_backend_open().
/// \param request_json  Borrowed UTF-8: {"idle_seconds", "dry_run"?, "include_lost"?}.
/// \param response_json Receives an owned string, on failure too; release it with sandport_string_free(). May be
///                      NULL. On success {"reaped": [...], "kept": [{"sandbox_id", "reason"}]}.
/// \return SANDPORT_OK, or the reason, which also stands in the response.
///
/// Thread-safe. Blocks while they are removed, each at most a stop time and call_timeout_seconds. \since 0.1.0
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sandport_reap(
    backend: sandport_backend,
    request_json: *const c_char,
    response_json: *mut *mut c_char,
) -> i32 {
    // SAFETY: the caller keeps the header's promises about both pointers.
    unsafe { answer(response_json, || run(backend, Operation::Reap, request_json)) }
}

/// Waits until a sandbox answers at its health path. Needs no engine.
///
/// \param backend       From sandport_backend_open().
/// \param request_json  Borrowed UTF-8: {"sandbox_url", "timeout_seconds"}; the health path is added to the URL.
/// \param response_json Receives an owned string, on failure too; release it with sandport_string_free(). May be
///                      NULL. On success {"ready", "waited_seconds"}: time over is SANDPORT_OK with ready false.
/// \return SANDPORT_OK, or the reason, which also stands in the response.
///
/// Thread-safe. Blocks up to timeout_seconds. \since 0.1.0
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sandport_wait_ready(
    backend: sandport_backend,
    request_json: *const c_char,
    response_json: *mut *mut c_char,
) -> i32 {
    // SAFETY: the caller keeps the header's promises about both pointers.
    unsafe { answer(response_json, || run(backend, Operation::WaitReady, request_json)) }
}

/// Takes the lowest free host port and keeps it from every other caller and process, until it is released or the
/// process ends.
///
/// \param request_json  Borrowed UTF-8: {"start_port"?, "count"?, "bind_host"?, "state_dir"?}.
/// \param response_json Receives an owned string, on failure too; release it with sandport_string_free(). May be
///                      NULL. On success {"port"}.
/// \return SANDPORT_OK, or the reason, which also stands in the response.
///
/// Thread-safe. Blocks for a few milliseconds. \since 0.1.0
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sandport_allocate_port(
    request_json: *const c_char,
    response_json: *mut *mut c_char,
) -> i32 {
    // SAFETY: the caller keeps the header's promises about both pointers.
    unsafe { answer(response_json, || ports(crate::backend::allocate_port, request_json)) }
}

/// Gives back a port of sandport_allocate_port().
///
/// \param request_json  Borrowed UTF-8: {"port"}.
/// \param response_json Receives an owned string, on failure too; release it with sandport_string_free(). May be
///                      NULL. On success {"released"}: false where it was not taken.
/// \return SANDPORT_OK, or the reason, which also stands in the response.
///
/// Thread-safe. Blocks for a few milliseconds. \since 0.1.0
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sandport_release_port(
    request_json: *const c_char,
    response_json: *mut *mut c_char,
) -> i32 {
    // SAFETY: the caller keeps the header's promises about both pointers.
    unsafe { answer(response_json, || ports(crate::backend::release_port, request_json)) }
}

/// One operation from its text to its answer, on a share of the backend of its own.
///
/// # Safety
/// `request_json` is NULL or a NUL-terminated string.
unsafe fn run(handle: sandport_backend, operation: Operation, request_json: *const c_char) -> Result<Value> {
    let open = handles::backend(handle)?;
    // SAFETY: by this function's own condition.
    let ask = operation.parse(&unsafe { text::read("request_json", request_json, operation.limit()) }?)?;
    let backend = open.backend.clone();
    drop(open);
    backend.run(&Call::new(), &ask)
}

/// # Safety
/// `request_json` is NULL or a NUL-terminated string.
unsafe fn ports(work: fn(&str) -> Result<Value>, request_json: *const c_char) -> Result<Value> {
    // SAFETY: by this function's own condition.
    work(&unsafe { text::read("request_json", request_json, json::LIMIT) }?)
}
