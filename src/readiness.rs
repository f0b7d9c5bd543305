//! Waits until a sandbox answers, or says why it never will.
#![allow(dead_code)]

use std::time::Duration;

use crate::call::Call;
use crate::error::Result;
use crate::runtime::{Ended, Watch};

/// The health check of one sandbox. Any 2xx is healthy; no proxy is ever asked.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Check<'a> {
    /// The address to dial: a literal one where the sandbox is on this machine, else a name.
    pub host: &'a str,
    pub port: u16,
    /// What the `Host` header says: `sandbox_url` without its scheme.
    pub authority: &'a str,
    /// The health path.
    pub path: &'a str,
    /// The configured headers, the auth header among them.
    pub headers: &'a [(String, String)],
}

/// What one try has shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answered {
    /// It is healthy.
    Yes,
    /// It answered with a status that is no 2xx.
    Status(u16),
    /// It did not answer.
    No,
}

/// How the wait ended.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Ready,
    /// The container ended, so nothing will ever answer.
    Died(Ended),
    /// The call's time was over; the last try showed this.
    TimeOver(Answered),
}

/// Asks once, within this much time. An error only when the call was cancelled.
pub(crate) fn probe_once(_call: &Call, _check: &Check<'_>, _timeout: Duration) -> Result<Answered> {
    todo!()
}

/// Asks again and again until the call's time is over. `died` is asked where the watch knows nothing, seldom.
pub(crate) fn wait_until_ready(
    _call: &Call,
    _check: &Check<'_>,
    _watch: Option<&mut dyn Watch>,
    _died: &mut dyn FnMut(&Call) -> Result<Option<Ended>>,
) -> Result<Outcome> {
    todo!()
}
