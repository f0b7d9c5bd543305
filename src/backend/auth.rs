//! The key of one sandbox: 256 random bits that go in by an environment variable and out by a header.

use crate::error::{Code, Error, Result};

/// A key that nobody has seen yet, in 64 hex digits.
pub(crate) fn fresh_key() -> Result<String> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes)
        .map_err(|_| Error::new(Code::Internal, "the operating system gave no random bytes").retryable())?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// The value of a variable in a container's environment, as inspect shows it.
pub(crate) fn read_back<'a>(environment: &'a [String], variable: &str) -> Option<&'a str> {
    environment.iter().rev().find_map(|entry| {
        let (name, value) = entry.split_once('=')?;
        (name == variable && !value.is_empty()).then_some(value)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_keys_differ_and_have_256_bits() {
        let (one, two) = (fresh_key().unwrap(), fresh_key().unwrap());
        assert!(one.len() == 64 && one != two && one.bytes().all(|byte| byte.is_ascii_hexdigit()));
    }

    #[test]
    fn the_key_is_the_last_value_of_exactly_that_variable() {
        let environment = ["AIO_API_KEY_OLD=x", "AIO_API_KEY=a=b", "PATH=/bin"].map(str::to_owned);
        assert_eq!(read_back(&environment, "AIO_API_KEY"), Some("a=b"));
        assert_eq!(read_back(&environment, "AIO_API"), None);
    }
}
