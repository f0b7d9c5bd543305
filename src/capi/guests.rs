//! What a WebAssembly host calls for its guests.

use std::ffi::c_char;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use super::handles::{self, Entry, Kind};
use super::numbers::sandport_guest;
use super::{answer, needed, plain, sandport_backend, text, write};
use crate::guest::{BAD_MEMORY, Guest, INTERNAL, UNKNOWN};
use crate::json;

/// Opens a guest: a WebAssembly module that may do what its policy says, and nothing else.
///
/// \param backend       From sandport_backend_open().
/// \param policy_json   Borrowed UTF-8; NULL opens a guest to which all is denied.
/// \param guest         Receives the handle, 0 on failure; close it with sandport_guest_close(). Must not be NULL.
/// \param response_json Receives an owned string, on failure too; release it with sandport_string_free(). May be NULL.
///                      On success {"namespace", "operations"}.
/// \return SANDPORT_OK, or the reason, which also stands in the response.
///
/// Thread-safe. Does not block. \since 0.1.0
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sandport_guest_open(
    backend: sandport_backend,
    policy_json: *const c_char,
    guest: *mut sandport_guest,
    response_json: *mut *mut c_char,
) -> i32 {
    // SAFETY: the caller keeps the header's promises about the pointers.
    unsafe {
        write(guest, 0);
        answer(response_json, || {
            needed("guest", guest)?;
            let open = handles::backend(backend)?;
            let policy = match policy_json.is_null() {
                true => None,
                false => Some(text::read("policy_json", policy_json, json::LIMIT)?),
            };
            let opened = Arc::new(Guest::open(open.backend.clone(), policy.as_deref())?);
            let told = opened.to_json();
            let (handle, ()) = handles::insert(Kind::Guest, |_| (Entry::Guest(opened), ()))?;
            write(guest, handle);
            Ok(told)
        })
    }
}

/// Closes a guest: cancels its call, and destroys what it made unless its policy says keep.
///
/// \param guest From sandport_guest_open(); invalid from now on.
/// \return SANDPORT_OK or SANDPORT_INVALID_HANDLE.
///
/// Thread-safe. Blocks until no call holds the guest's memory and its sandboxes are gone. \since 0.1.0
#[unsafe(no_mangle)]
pub extern "C" fn sandport_guest_close(guest: sandport_guest) -> i32 {
    plain(|| {
        handles::take_guest(guest)?.close();
        Ok(())
    })
}

/// One call of a guest over its linear memory. Both ranges are checked before anything happens.
///
/// \param guest      From sandport_guest_open().
/// \param operation  1 create, 2 destroy, 3 discover, 4 is_alive, 5 list, 6 request.
/// \param memory     The linear memory; held until the call returns.
/// \param memory_len Its bytes.
/// \param req        Where the request begins.
/// \param req_len    Its bytes.
/// \param out        Where the answer goes.
/// \param cap        How many bytes are free there.
/// \return The answer's length; it stands at `out` if it is at most `cap`, else fetch it by
///         sandport_guest_response_memory(). Below 0: -1 the offsets lie outside the memory, -2 request too large,
///         -4 unknown operation or guest, -5 internal, -6 the guest was closed, -7 it has a call already.
///
/// Thread-safe. Blocks as long as the policy allows. \since 0.1.0
#[allow(clippy::too_many_arguments)]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sandport_guest_call_memory(
    guest: sandport_guest,
    operation: u32,
    memory: *mut u8,
    memory_len: u64,
    req: u64,
    req_len: u64,
    out: u64,
    cap: u64,
) -> i32 {
    let (Some(from), Some(to)) =
        (place(memory, memory_len, req, req_len), place(memory, memory_len, out, cap))
    else {
        return BAD_MEMORY;
    };
    // SAFETY: both ranges lie inside the memory that the caller lends.
    unsafe { call(guest, operation, from, req_len, to, cap) }
}

/// Fetches the answer that did not fit, over linear memory; it stays until the guest's next call.
///
/// \param guest      From sandport_guest_open().
/// \param memory     The linear memory.
/// \param memory_len Its bytes.
/// \param out        Where the answer goes.
/// \param cap        How many bytes are free there.
/// \return As sandport_guest_call_memory(); -3 where no response waits.
///
/// Thread-safe. Does not block. \since 0.1.0
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sandport_guest_response_memory(
    guest: sandport_guest,
    memory: *mut u8,
    memory_len: u64,
    out: u64,
    cap: u64,
) -> i32 {
    let Some(to) = place(memory, memory_len, out, cap) else { return BAD_MEMORY };
    // SAFETY: the range lies inside the memory that the caller lends.
    unsafe { response(guest, to, cap) }
}

/// One call of a guest for hosts that copy by themselves.
///
/// \param guest     From sandport_guest_open().
/// \param operation As sandport_guest_call_memory().
/// \param req       The request; NULL with req_len 0 means {}.
/// \param req_len   Its bytes.
/// \param out       Where the answer goes; may be NULL with cap 0.
/// \param cap       How many bytes are free there.
/// \return As sandport_guest_call_memory().
///
/// Thread-safe. Blocks as long as the policy allows. \since 0.1.0
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sandport_guest_call(
    guest: sandport_guest,
    operation: u32,
    req: *const u8,
    req_len: usize,
    out: *mut u8,
    cap: usize,
) -> i32 {
    if (req.is_null() && req_len > 0) || (out.is_null() && cap > 0) {
        return BAD_MEMORY;
    }
    // SAFETY: the caller keeps the header's promises about both ranges.
    unsafe { call(guest, operation, req, req_len as u64, out, cap as u64) }
}

/// Fetches the answer that did not fit; it stays until the guest's next call.
///
/// \param guest From sandport_guest_open().
/// \param out   Where the answer goes; may be NULL with cap 0.
/// \param cap   How many bytes are free there.
/// \return As sandport_guest_response_memory().
///
/// Thread-safe. Does not block. \since 0.1.0
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sandport_guest_response(guest: sandport_guest, out: *mut u8, cap: usize) -> i32 {
    if out.is_null() && cap > 0 {
        return BAD_MEMORY;
    }
    // SAFETY: the caller keeps the header's promises about the range.
    unsafe { response(guest, out, cap as u64) }
}

/// Where a range of a memory begins; `None` where it lies outside.
fn place(memory: *mut u8, memory_len: u64, at: u64, length: u64) -> Option<*mut u8> {
    let end = at.checked_add(length)?;
    if end > memory_len || (memory.is_null() && memory_len > 0) {
        return None;
    }
    Some(memory.wrapping_add(usize::try_from(at).ok()?))
}

/// # Safety
/// Both ranges may be read and written, or are empty.
unsafe fn call(guest: u64, operation: u32, from: *const u8, size: u64, to: *mut u8, cap: u64) -> i32 {
    guarded(guest, |guest| {
        let read = || {
            let mut bytes = vec![0; usize::try_from(size).unwrap_or(0)];
            if !bytes.is_empty() {
                // SAFETY: by this function's own condition; copied, as another thread may write there.
                unsafe { std::ptr::copy_nonoverlapping(from, bytes.as_mut_ptr(), bytes.len()) };
            }
            bytes
        };
        // SAFETY: by this function's own condition; the answer is at most `cap` bytes.
        guest.call(operation, size, read, cap, |text| unsafe { put(text, to) })
    })
}

/// # Safety
/// The range may be written, or is empty.
unsafe fn response(guest: u64, to: *mut u8, cap: u64) -> i32 {
    // SAFETY: by this function's own condition; the answer is at most `cap` bytes.
    guarded(guest, |guest| guest.response(cap, |text| unsafe { put(text, to) }))
}

/// # Safety
/// As many bytes may be written at `to`.
unsafe fn put(text: &[u8], to: *mut u8) {
    // SAFETY: by this function's own condition; the text is our own memory.
    unsafe { std::ptr::copy_nonoverlapping(text.as_ptr(), to, text.len()) };
}

fn guarded(handle: u64, body: impl FnOnce(&Guest) -> i32) -> i32 {
    let work = || handles::guest(handle).map_or(UNKNOWN, |guest| body(&guest));
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| {
        std::mem::forget(panic);
        INTERNAL
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_range_outside_of_the_memory_is_ever_touched() {
        let mut memory = [0u8; 64];
        let edges = [0, 1, 63, 64, 65, u64::from(u32::MAX), 1 << 32, u64::MAX - 1, u64::MAX];
        for at in edges {
            for length in edges {
                let inside = u128::from(at) + u128::from(length) <= 64;
                assert_eq!(place(memory.as_mut_ptr(), 64, at, length).is_some(), inside, "{at} {length}");
                // SAFETY: the memory is ours and as long as it is said to be.
                let said =
                    unsafe { sandport_guest_call_memory(0, 1, memory.as_mut_ptr(), 64, at, length, 0, 64) };
                assert_eq!(said, if inside { UNKNOWN } else { BAD_MEMORY });
            }
        }
        assert_eq!(memory, [0; 64]);
    }
}
