//! The C ABI: every function of `include/sandport.h`, and nothing that the rest of the crate needs.
//!
//! Read `blocking` first: one guard, one answer, one operation. Then `calls` and `queues`, which start the same work
//! on a thread of the library; `started`, `turns` and `queue` are how that works, without a word of C. `handles` is
//! the table behind every number, `fork` what a forked child sees of it, `text` the strings that cross the border.
//!
//! Each exported function runs inside `respond` or `plain`: a panic becomes `INTERNAL`, the answer is written on
//! every path. Its other out-parameters are written before anything can fail.
// The exported functions' comments are the header's: they speak of pointers and JSON as C programmers read them.
#![allow(clippy::missing_safety_doc, rustdoc::broken_intra_doc_links)]

use std::any::Any;
use std::ffi::c_char;
use std::panic::{AssertUnwindSafe, catch_unwind};

use serde_json::Value;

use self::numbers::{sandport_backend, sandport_call, sandport_queue};
use self::started::Outcome;
use crate::error::{Code, Error, Result};

pub mod backends;
pub mod blocking;
pub mod calls;
mod fork;
pub mod guests;
mod handles;
pub mod library;
pub mod numbers;
mod queue;
pub mod queues;
mod started;
#[cfg(test)]
mod stress;
#[cfg(test)]
mod tests;
mod text;
mod turns;

/// The status of an operation that has not ended.
const NOT_ENDED: i32 = -1;

/// The status of a result.
fn status_of<T>(result: &Result<T>) -> i32 {
    match result {
        Ok(_) => numbers::SANDPORT_OK,
        Err(error) => error.code() as i32,
    }
}

/// What a panic becomes. Its message went to the host's stderr already, and its payload may panic when dropped.
fn panicked(payload: Box<dyn Any + Send>) -> Error {
    std::mem::forget(payload);
    Error::new(Code::Internal, "the library panicked; this is a bug of sandport")
        .with_hint("report it with the panic's message, which stands in the program's error output")
}

/// Runs the body of an exported function and writes the text of its answer.
///
/// # Safety
/// `response_json` is NULL or may be written to.
unsafe fn respond(response_json: *mut *mut c_char, body: impl FnOnce() -> Result<String>) -> i32 {
    // SAFETY: by this function's own condition.
    unsafe { write(response_json, std::ptr::null_mut()) };
    let result = catch_unwind(AssertUnwindSafe(body)).unwrap_or_else(|panic| Err(panicked(panic)));
    let status = status_of(&result);
    if !response_json.is_null() {
        let text = result.unwrap_or_else(|error| text::error(&error));
        // SAFETY: by this function's own condition.
        unsafe { write(response_json, text::give(text)) };
    }
    status
}

/// [`respond`] for a body that ends with a result object.
///
/// # Safety
/// `response_json` is NULL or may be written to.
unsafe fn answer(response_json: *mut *mut c_char, body: impl FnOnce() -> Result<Value>) -> i32 {
    // SAFETY: by this function's own condition.
    unsafe { respond(response_json, || body().map(|value| value.to_string())) }
}

/// [`respond`] for a body that hands over how a call ended, with its status.
///
/// # Safety
/// Both pointers are NULL or may be written to.
unsafe fn deliver(
    status: *mut i32,
    response_json: *mut *mut c_char,
    body: impl FnOnce() -> Result<Outcome>,
) -> i32 {
    // SAFETY: by this function's own condition.
    unsafe {
        write(status, NOT_ENDED);
        respond(response_json, || {
            let outcome = body()?;
            write(status, outcome.status);
            Ok(outcome.answer)
        })
    }
}

/// Runs the body of an exported function that answers with its status only.
fn plain(body: impl FnOnce() -> Result<()>) -> i32 {
    status_of(&catch_unwind(AssertUnwindSafe(body)).unwrap_or_else(|panic| Err(panicked(panic))))
}

/// Writes an out-parameter, unless the caller does not want it.
///
/// # Safety
/// `out` is NULL or may be written to.
unsafe fn write<T>(out: *mut T, value: T) {
    if !out.is_null() {
        // SAFETY: by this function's own condition.
        unsafe { out.write(value) };
    }
}

/// Refuses a missing out-parameter without which the caller could not go on.
fn needed<T>(name: &str, out: *mut T) -> Result<()> {
    if out.is_null() {
        return Err(Error::invalid(format!("{name} is NULL"))
            .with_hint(format!("pass the address of a variable as {name}")));
    }
    Ok(())
}
