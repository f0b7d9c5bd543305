//! What concerns the library as a whole: versions, names, strings, the log.

use std::ffi::{CStr, CString, c_char};
use std::sync::LazyLock;

use super::{answer, numbers, text};
use crate::error::Code;
use crate::logging;

/// The version of the ABI, raised only by a break: compare it with SANDPORT_ABI_VERSION.
///
/// Thread-safe. Does not block. \since 0.1.0
#[unsafe(no_mangle)]
pub extern "C" fn sandport_abi_version() -> u32 {
    numbers::SANDPORT_ABI_VERSION
}

const VERSION: &CStr = match CStr::from_bytes_with_nul(concat!(env!("CARGO_PKG_VERSION"), "\0").as_bytes()) {
    Ok(version) => version,
    Err(_) => panic!("a version has no NUL"),
};

/// The library's version, such as "0.1.0".
///
/// \return A static string; do not release it.
///
/// Thread-safe. Does not block. \since 0.1.0
#[unsafe(no_mangle)]
pub extern "C" fn sandport_version() -> *const c_char {
    VERSION.as_ptr()
}

/// The words of all codes, with their NUL, one after the other.
static NAMES: LazyLock<Vec<(i32, CString)>> = LazyLock::new(|| {
    let word = |code: Code| (code as i32, CString::new(code.word()).unwrap_or_default());
    std::iter::once((numbers::SANDPORT_OK, c"ok".to_owned())).chain(Code::ALL.map(word)).collect()
});

/// The word of a status as it stands in JSON, such as "not_found".
///
/// \return A static string, "unknown" for a number that is no status; do not release it.
///
/// Thread-safe. Does not block. \since 0.1.0
#[unsafe(no_mangle)]
pub extern "C" fn sandport_status_name(status: i32) -> *const c_char {
    NAMES.iter().find(|(number, _)| *number == status).map_or(c"unknown".as_ptr(), |(_, name)| name.as_ptr())
}

/// Releases a string that a function of this library gave out.
///
/// \param string From a response_json parameter, not yet released; NULL is fine.
///
/// Thread-safe. Does not block. \since 0.1.0
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sandport_string_free(string: *mut c_char) {
    // SAFETY: the caller gives back what it was given, once. Freeing memory does not panic.
    unsafe { text::take_back(string) }
}

/// Turns the library's log on or off, for the whole process. It is off at first.
///
/// A line is one JSON object with time (Unix seconds), level, message, and where they are known call and phase. Values
/// of the environment and of headers are never in it. SANDPORT_LOG=debug with SANDPORT_LOG_FILE=PATH turn it on
/// without this call, when the first backend is opened.
///
/// \param request_json  Borrowed UTF-8: {"level": "off" | "error" | "warn" | "info" | "debug", "path" or "fd"}. A path is
///                      made with mode 0600 and appended to; an fd is duplicated and stays the caller's.
/// \param response_json Receives an owned string, on failure too; release it with sandport_string_free(). May be NULL.
///                      On success {}.
/// \return SANDPORT_OK, or the reason, which also stands in the response.
///
/// Thread-safe. Does not block. \since 0.1.0
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sandport_set_log(
    request_json: *const c_char,
    response_json: *mut *mut c_char,
) -> i32 {
    // SAFETY: the caller keeps the header's promises about both pointers.
    unsafe {
        answer(response_json, || {
            logging::set(&text::read("request_json", request_json, crate::json::LIMIT)?)?;
            Ok(serde_json::json!({}))
        })
    }
}
