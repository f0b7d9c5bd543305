//! Text that crosses the border: what a caller lends us, and what we give away.

use std::borrow::Cow;
use std::ffi::{CString, c_char};

use serde_json::json;

use crate::error::{Error, Result};

/// Reads what a caller lends: NULL means `{}`; no more than `limit` bytes and the NUL are looked at.
///
/// # Safety
/// `text` is NULL or points to a string that ends with a NUL and that nobody changes while `'a` lasts.
pub(crate) unsafe fn read<'a>(name: &str, text: *const c_char, limit: usize) -> Result<Cow<'a, str>> {
    if text.is_null() {
        return Ok(Cow::Borrowed("{}"));
    }
    // SAFETY: strnlen stops at the NUL that the caller promises, or at one byte past the limit.
    let length = unsafe { libc::strnlen(text, limit + 1) };
    if length > limit {
        return Err(Error::invalid(format!("{name} is larger than {} MiB", limit >> 20))
            .with_hint("send less at once"));
    }
    // SAFETY: strnlen has just seen that many bytes before the NUL.
    let bytes = unsafe { std::slice::from_raw_parts(text.cast::<u8>(), length) };
    match std::str::from_utf8(bytes) {
        Ok(text) => Ok(Cow::Borrowed(text)),
        Err(error) => {
            Err(Error::invalid(format!("{name} is not UTF-8, from byte {} on", error.valid_up_to()))
                .with_hint("encode the request as UTF-8"))
        }
    }
}

/// The text of a failure: `{"error": {…}}`.
pub(crate) fn error(error: &Error) -> String {
    json!({ "error": error.to_json() }).to_string()
}

/// Gives a string away; `sandport_string_free` takes it back.
pub(crate) fn give(text: String) -> *mut c_char {
    // JSON escapes every control character, so there is no NUL; were there one, an empty object is still JSON.
    CString::new(text).unwrap_or_else(|_| c"{}".to_owned()).into_raw()
}

/// Takes back what [`give`] gave.
///
/// # Safety
/// `text` is NULL or came from [`give`] and was not taken back yet.
pub(crate) unsafe fn take_back(text: *mut c_char) {
    if !text.is_null() {
        // SAFETY: it came from CString::into_raw, by this function's own condition.
        drop(unsafe { CString::from_raw(text) });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Code;

    fn read_bytes(bytes: &[u8], limit: usize) -> Result<String> {
        let text = CString::new(bytes).unwrap();
        // SAFETY: `text` is a C string that outlives the call.
        unsafe { read("request_json", text.as_ptr(), limit) }.map(Cow::into_owned)
    }

    #[test]
    fn null_means_an_empty_object() {
        // SAFETY: NULL is allowed.
        assert_eq!(unsafe { read("request_json", std::ptr::null(), 4) }.unwrap(), "{}");
    }

    #[test]
    fn a_request_may_be_as_large_as_the_limit_and_no_larger() {
        assert_eq!(read_bytes(&[b'x'; 8], 8).unwrap().len(), 8);
        assert_eq!(read_bytes(&[b'x'; 9], 8).unwrap_err().code(), Code::InvalidArgument);
    }

    #[test]
    fn bytes_that_are_no_utf8_are_refused_by_place() {
        let error = read_bytes(b"{\"\xff", 8).unwrap_err();
        assert_eq!(error.code(), Code::InvalidArgument);
        assert!(error.message().contains("byte 2"), "{error}");
    }

    #[test]
    fn a_given_string_carries_the_whole_answer() {
        let given = give(json!({"a": "\u{0}b"}).to_string());
        // SAFETY: `given` was just given and is taken back once.
        unsafe {
            assert_eq!(std::ffi::CStr::from_ptr(given).to_str().unwrap(), r#"{"a":"\u0000b"}"#);
            take_back(given);
        }
    }
}
