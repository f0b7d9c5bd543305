//! Opening and closing a backend.

use std::ffi::c_char;
use std::sync::Arc;

use serde_json::Value;

use super::handles::{self, Entry, Kind};
use super::started::{OpenBackend, Roster};
use super::{answer, needed, plain, sandport_backend, text, write};
use crate::backend::Backend;
use crate::{json, logging};

/// Opens a backend: one configuration, which every call names.
///
/// It does not fail because no engine runs: the first call then says SANDPORT_RUNTIME_UNAVAILABLE. It fails for a
/// configuration that can never work. Open backends after a fork, not before: a child's handles are invalid.
///
/// \param config_json   Borrowed UTF-8, at most 1 MiB; NULL means {}, and every field is optional.
/// \param backend       Receives the handle, 0 on failure; close it with sandport_backend_close(). Must not be NULL.
/// \param response_json Receives an owned string, on failure too; release it with sandport_string_free(). May be NULL.
///                      On success {"runtime", "runtime_version", "endpoint", "features", "warnings", ...}.
/// \return SANDPORT_OK, or the reason, which also stands in the response.
///
/// Thread-safe. Blocks for a few milliseconds, and up to call_timeout_seconds where an engine hangs. \since 0.1.0
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sandport_backend_open(
    config_json: *const c_char,
    backend: *mut sandport_backend,
    response_json: *mut *mut c_char,
) -> i32 {
    // SAFETY: the caller keeps the header's promises about the pointers.
    unsafe {
        write(backend, 0);
        answer(response_json, || {
            needed("backend", backend)?;
            let log_warning = logging::from_environment();
            let (opened, mut found) = Backend::open(&text::read("config_json", config_json, json::LIMIT)?)?;
            if let (Some(warning), Some(Value::Array(warnings))) = (log_warning, found.get_mut("warnings")) {
                warnings.push(warning.into());
            }
            let open = Arc::new(OpenBackend { backend: opened, calls: Roster::new() });
            let (handle, ()) = handles::insert(Kind::Backend, |_| (Entry::Backend(open), ()))?;
            write(backend, handle);
            Ok(found)
        })
    }
}

/// Closes a backend: cancels its started calls and waits for nothing.
///
/// Blocking calls that run on other threads go on to their end. The sandboxes live on; what this backend used is in
/// use no longer once the last of its calls has ended.
///
/// \param backend From sandport_backend_open(); invalid from now on.
/// \return SANDPORT_OK or SANDPORT_INVALID_HANDLE.
///
/// Thread-safe. Does not block. \since 0.1.0
#[unsafe(no_mangle)]
pub extern "C" fn sandport_backend_close(backend: sandport_backend) -> i32 {
    plain(|| {
        for started in handles::take_backend(backend)?.calls.close() {
            started.cancel();
        }
        Ok(())
    })
}
