//! The record in a lease file: whether the sandbox is in use, or since when it has been idle.
//!
//! 64 bytes, written at once: `u` (in use), `i` (idle since) or `g` (its container is gone), the time since the machine
//! started, and which start that was. Whatever does not read like that counts as unknown. File times are never looked
//! at: they say nothing about use.

use std::time::Duration;

use super::file::Locked;
use super::sys;
use crate::error::Result;

const LENGTH: usize = 64;

/// A shared lease: "this process uses the sandbox". The kernel ends it when the process dies.
#[derive(Debug)]
pub(crate) struct Lease(pub(super) Locked);

/// A lease that is held exclusively: nobody uses the sandbox.
#[derive(Debug)]
pub(crate) struct Alone(pub(super) Locked);

impl Lease {
    /// Writes down that the sandbox is in use: a call is about to return it.
    pub fn mark_used(&mut self) -> Result<()> {
        self.0.write(&record(b'u', sys::since_boot()))
    }

    /// Writes down that the container is gone, so that the last one to let go removes the file. The caller holds the
    /// name: a successor's `u` comes later.
    pub fn mark_gone(&mut self) -> Result<()> {
        self.0.write(&record(b'g', sys::since_boot()))
    }
}

impl Alone {
    /// How long it has been idle; `None` where nobody has written down since when.
    pub fn idle(&self) -> Option<Duration> {
        let mut bytes = [0; LENGTH];
        let count = self.0.read(&mut bytes).ok()?;
        let since = idle_since(&bytes[..count], &sys::boot())?;
        sys::since_boot().checked_sub(since)
    }

    /// Whether its container is gone, and nothing has borne the name since.
    pub fn is_gone(&self) -> bool {
        let mut bytes = [0; 2];
        self.0.read(&mut bytes).is_ok_and(|count| bytes[..count] == *b"g ")
    }

    /// Writes down that it is idle from now.
    pub fn mark_idle(&mut self) -> Result<()> {
        self.0.write(&record(b'i', sys::since_boot()))
    }

    /// Removes the file: its container is gone.
    pub fn unlink(self) -> Result<()> {
        drop(self.0.unlinking());
        Ok(())
    }
}

fn record(kind: u8, at: Duration) -> [u8; LENGTH] {
    let mut bytes = [b' '; LENGTH];
    let text = format!("{} {:020} {}", char::from(kind), at.as_nanos(), sys::boot());
    let length = text.len().min(LENGTH - 1);
    bytes[..length].copy_from_slice(&text.as_bytes()[..length]);
    bytes[LENGTH - 1] = b'\n';
    bytes
}

/// The time since boot that an idle record of this boot holds.
fn idle_since(bytes: &[u8], boot: &str) -> Option<Duration> {
    let text = std::str::from_utf8(bytes).ok().filter(|text| text.len() == LENGTH)?;
    let mut words = text.split_whitespace();
    if boot.is_empty() || words.next()? != "i" {
        return None;
    }
    let nanos = words.next()?.parse().ok()?;
    (words.next()? == boot && words.next().is_none()).then(|| Duration::from_nanos(nanos))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_idle_record_reads_as_it_was_written() {
        let bytes = record(b'i', Duration::from_nanos(12345));
        assert_eq!(idle_since(&bytes, &sys::boot()), Some(Duration::from_nanos(12345)));
    }

    #[test]
    fn anything_else_is_unknown() {
        let boot = sys::boot();
        assert_eq!(idle_since(&record(b'u', Duration::ZERO), &boot), None);
        assert_eq!(idle_since(&record(b'i', Duration::ZERO), "another-boot"), None);
        assert_eq!(idle_since(b"", &boot), None);
        assert_eq!(idle_since(&record(b'i', Duration::ZERO)[..40], &boot), None);
        assert_eq!(idle_since(&[0xff; LENGTH], &boot), None);
        assert_eq!(idle_since(&[b'i'; LENGTH], &boot), None);
    }
}
