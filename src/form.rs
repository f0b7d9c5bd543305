//! What texts of certain kinds may look like: names, headers, paths, hosts. Form only; nothing is looked up.
//!
//! Each check says what is wrong, to go on after the field's name, and never what the text was.

use std::net::{IpAddr, Ipv6Addr};

/// What is wrong with a text.
pub(crate) type Wrong = &'static str;

/// The methods that a sandbox may be asked with.
pub(crate) const METHODS: [&str; 7] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];

/// Headers that say how a message travels, or where to: ours alone.
const OURS: [&str; 9] = [
    "host",
    "content-length",
    "transfer-encoding",
    "te",
    "trailer",
    "connection",
    "keep-alive",
    "upgrade",
    "expect",
];

const PATH_AT_MOST: usize = 8 << 10;
const HEADER_AT_MOST: usize = 8 << 10;

/// Whether a text is `[first][rest]*`.
pub(crate) fn is_made_of(text: &str, first: impl Fn(u8) -> bool, rest: impl Fn(u8) -> bool) -> bool {
    text.bytes().next().is_some_and(first) && text.bytes().skip(1).all(rest)
}

/// `[A-Za-z_][A-Za-z0-9_]*`.
pub(crate) fn is_variable(text: &str) -> bool {
    is_made_of(text, |b| b.is_ascii_alphabetic() || b == b'_', |b| b.is_ascii_alphanumeric() || b == b'_')
}

/// A variable of a sandbox's environment.
pub(crate) fn variable(name: &str) -> Result<(), Wrong> {
    match name.len() <= 256 && is_variable(name) {
        true => Ok(()),
        false => Err("is not the name of a variable: [A-Za-z_][A-Za-z0-9_]*"),
    }
}

/// `[A-Za-z0-9][A-Za-z0-9_.-]*`, as container prefixes, networks and profiles are called.
pub(crate) fn is_plain_name(text: &str) -> bool {
    is_made_of(
        text,
        |b| b.is_ascii_alphanumeric(),
        |b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-'),
    )
}

/// Whether a text can be a sandbox id: `[a-z0-9][a-z0-9_.-]*`.
pub(crate) fn is_sandbox_id(text: &str) -> bool {
    is_plain_name(text) && !text.bytes().any(|b| b.is_ascii_uppercase())
}

/// A label that a caller may set.
pub(crate) fn label(name: &str) -> Result<(), Wrong> {
    // Some engines read label names without regard to case.
    if name.to_ascii_lowercase().starts_with(crate::sandbox::label::OURS) {
        return Err("is the library's own label");
    }
    match !name.is_empty() && name.len() <= 256 && name.bytes().all(|b| b.is_ascii_graphic() && b != b'=') {
        true => Ok(()),
        false => Err("is not the name of a label: visible ASCII without `=`, at most 256 bytes"),
    }
}

/// An image reference, as far as it can be told without the engine.
pub(crate) fn image(text: &str) -> Result<(), Wrong> {
    let fits = !text.is_empty() && text.len() <= 512 && text.bytes().all(|b| b.is_ascii_graphic());
    // A command line would take a leading dash for an option.
    match fits && !text.starts_with('-') {
        true => Ok(()),
        false => Err("is not an image reference"),
    }
}

/// The path of an HTTP request, with its query.
pub(crate) fn http_path(text: &str) -> Result<(), Wrong> {
    if text.len() > PATH_AT_MOST {
        return Err("is longer than 8 KiB");
    }
    if !text.starts_with('/') || text.starts_with("//") {
        return Err("does not start with exactly one `/`");
    }
    match text.bytes().all(|b| (0x21..=0x7e).contains(&b) && b != b'\\' && b != b'#') {
        true => Ok(()),
        false => Err("has a character that no path may have: percent-encode it"),
    }
}

/// A header's name, any header's.
pub(crate) fn token(text: &str) -> Result<(), Wrong> {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
    match !text.is_empty() && text.len() <= 256 && text.bytes().all(plain) {
        true => Ok(()),
        false => Err("is not the name of a header"),
    }
}

/// A header that a caller may set.
pub(crate) fn header(name: &str, value: &str) -> Result<(), Wrong> {
    header_name(name)?;
    header_value(value)
}

/// The name of a header that a caller may set.
pub(crate) fn header_name(name: &str) -> Result<(), Wrong> {
    token(name)?;
    let name = name.to_ascii_lowercase();
    match OURS.contains(&name.as_str()) || name.starts_with("proxy-") {
        true => Err("is a header that the library sets itself"),
        false => Ok(()),
    }
}

/// A header's value: no control characters, so that it stays one line.
pub(crate) fn header_value(value: &str) -> Result<(), Wrong> {
    if value.len() > HEADER_AT_MOST {
        return Err("is longer than 8 KiB");
    }
    match value.bytes().all(|b| b == b'\t' || (0x20..=0x7e).contains(&b)) {
        true => Ok(()),
        false => Err("has a character that no header may have: visible ASCII, spaces and tabs"),
    }
}

/// Whether a header stands twice, as names do not heed case.
pub(crate) fn header_stands_twice(headers: &[(String, String)]) -> Option<&str> {
    let twice =
        |at: usize, name: &str| headers[..at].iter().any(|(other, _)| other.eq_ignore_ascii_case(name));
    headers.iter().enumerate().find(|(at, (name, _))| twice(*at, name)).map(|(_, (name, _))| name.as_str())
}

/// An address or host name without scheme, port and path; IPv6 loses its brackets.
pub(crate) fn host(text: &str) -> Result<String, Wrong> {
    if let Some(inner) = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        return inner
            .parse::<Ipv6Addr>()
            .map(|address| address.to_string())
            .map_err(|_| "is not an IPv6 address");
    }
    if let Ok(address) = text.parse::<IpAddr>() {
        return Ok(address.to_string());
    }
    const NO: Wrong = "is not an address or a host name: no scheme, no port, no path";
    let part = |part: &str| {
        let inner = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
        part.len() <= 63
            && is_made_of(part, |b| b.is_ascii_alphanumeric() || b == b'_', inner)
            && !part.ends_with('-')
    };
    let mut parts = text.split('.').rev();
    // What ends in a number is an address to some and a name to others (`127.1`, `0x7f.1`): nothing for us.
    let numeric = parts.next().is_none_or(|last| last.bytes().next().is_none_or(|b| b.is_ascii_digit()));
    match !text.is_empty() && text.len() <= 253 && !numeric && text.split('.').all(part) {
        true => Ok(text.to_ascii_lowercase()),
        false => Err(NO),
    }
}

/// Whether a host is this very machine: `localhost`, 127/8, `::1`.
pub(crate) fn is_loopback(host: &str) -> bool {
    match host.parse::<IpAddr>() {
        Ok(address) => address.to_canonical().is_loopback(),
        Err(_) => host.eq_ignore_ascii_case("localhost"),
    }
}

/// An absolute path without `.`, `..` and empty parts; one slash at the end is taken away.
pub(crate) fn absolute(text: &str) -> Result<&str, Wrong> {
    let text = if text.len() > 2 { text.strip_suffix('/').unwrap_or(text) } else { text };
    let Some(parts) = text.strip_prefix('/') else { return Err("is not an absolute path") };
    if text.len() > 4096 {
        return Err("is longer than 4096 bytes");
    }
    if text != "/" && parts.split('/').any(|part| matches!(part, "" | "." | "..")) {
        return Err("has an empty part, `.` or `..` in it");
    }
    match text.bytes().any(|b| b.is_ascii_control()) {
        true => Err("has a control character"),
        false => Ok(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_stays_one_path_of_one_server() {
        for good in ["/", "/v1/sandbox", "/a?b=c&d=/e", "/@x:1", "/a//b", "/%00"] {
            assert_eq!(http_path(good), Ok(()), "{good}");
        }
        for bad in [
            "",
            "a",
            "@127.0.0.1:1/x",
            "//host/x",
            "/a b",
            "/a\\b",
            "/a#b",
            "/a\r\nHost: x",
            "/\u{e9}",
            "/\u{7f}",
            "http://x/",
            " /",
        ] {
            assert!(http_path(bad).is_err(), "{bad}");
        }
        assert!(http_path(&format!("/{}", "a".repeat(8191))).is_ok());
        assert!(http_path(&format!("/{}", "a".repeat(8192))).is_err());
    }

    #[test]
    fn a_header_that_is_ours_is_refused_whatever_its_case() {
        for bad in [
            "Host",
            "content-LENGTH",
            "Transfer-Encoding",
            "TE",
            "Trailer",
            "Connection",
            "Keep-Alive",
            "Upgrade",
            "Expect",
            "Proxy-Authorization",
            "proxy-x",
            "",
            "a b",
            "a:",
            "a\r",
            "\u{e9}",
        ] {
            assert!(header(bad, "x").is_err(), "{bad}");
        }
        assert_eq!(header("Content-Type", "application/json; charset=\"x\"\t"), Ok(()));
        for bad in ["a\r\nX: y", "a\n", "\0", "\u{e9}", "\u{7f}"] {
            assert!(header("X-A", bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_host_is_an_address_or_a_name_and_nothing_else() {
        for (good, read) in [
            ("127.0.0.1", "127.0.0.1"),
            ("[::1]", "::1"),
            ("::1", "::1"),
            ("0:0:0:0:0:0:0:1", "::1"),
            ("Host.Docker.Internal", "host.docker.internal"),
            ("my_host", "my_host"),
            ("a-b.c1", "a-b.c1"),
        ] {
            assert_eq!(host(good).as_deref(), Ok(read));
        }
        for bad in [
            "",
            "http://a",
            "a/b",
            "a:80",
            "a@b",
            "127.1",
            "0x7f.1",
            "0177.0.0.1",
            "2130706433",
            "256.1.1.1",
            "a..b",
            ".a",
            "a.",
            "-a",
            "a-",
            "a b",
            "[::1",
            "[127.0.0.1]",
            "fe80::1%eth0",
            "\u{e9}",
            "a\0",
            "[::1]:80",
            "127.0.0.1 ",
        ] {
            assert!(host(bad).is_err(), "{bad}");
        }
        for (text, is) in [
            ("localhost", true),
            ("LOCALHOST", true),
            ("127.9.9.9", true),
            ("::1", true),
            ("::ffff:127.0.0.1", true),
            ("10.0.0.1", false),
            ("localhost.example", false),
            ("0.0.0.0", false),
        ] {
            assert_eq!(is_loopback(text), is, "{text}");
        }
    }

    #[test]
    fn names_are_made_of_their_letters_only() {
        for bad in ["", "1A", "A-B", "A=B", "A B", "\u{c9}", "A.B"] {
            assert!(variable(bad).is_err(), "{bad}");
        }
        assert_eq!(variable("_a1"), Ok(()));
        for bad in ["", "-a", ".a", "_a", "A", "a/b", "a b", "a:b", "\u{e9}", "a\n"] {
            assert!(!is_sandbox_id(bad), "{bad}");
        }
        for bad in ["dev.sandport.id", "DEV.Sandport.x", "dev.sandport.", "", "a=b", "a b", "a\n"] {
            assert!(label(bad).is_err(), "{bad}");
        }
        assert_eq!(label("dev.sandportal"), Ok(()));
        for bad in ["", "-v", "a b", "a\n", "\u{e9}"] {
            assert!(image(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn an_absolute_path_cannot_climb() {
        assert_eq!(absolute("/"), Ok("/"));
        assert_eq!(absolute("/a/b/"), Ok("/a/b"));
        for bad in [
            "", "a", "./a", "//", "//a", "/a//b", "/a/../b", "/..", "/a/.", "/a/./b", "/a//", "/a\nb", "/a\0",
        ] {
            assert!(absolute(bad).is_err(), "{bad:?}");
        }
    }
}
