//! Waits until a sandbox answers, or says why it never will.

use std::time::{Duration, Instant};

use ureq::Agent;

use crate::call::Call;
use crate::error::Result;
use crate::http::{self, Endpoint, Failure, Outgoing};
use crate::runtime::{Ended, Watch};

/// The first pause between two tries; each is half as long again as the one before.
const FIRST_PAUSE: Duration = Duration::from_millis(2);
const LONGEST_PAUSE: Duration = Duration::from_millis(100);

/// How often the watch is looked at during a pause.
const GLANCE: Duration = Duration::from_millis(10);

/// How long the first try may take; doubled by each try that takes all of it. A server that accepts and never answers
/// must not eat the whole time, and one that is slow must not be left too soon again and again.
const FIRST_PATIENCE: Duration = Duration::from_millis(500);
const LONGEST_PATIENCE: Duration = Duration::from_secs(8);

/// How often the engine is asked whether the container still runs: without a watch, and beside one.
const ASK_UNWATCHED: Duration = Duration::from_millis(100);
const ASK_WATCHED: Duration = Duration::from_secs(1);

/// How long a watch may take to learn how a container ended that is known to have ended.
const LAST_WORDS: Duration = Duration::from_secs(3);

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

/// Asks once, within this much time. An error when the call was cancelled or the check cannot be sent.
pub(crate) fn probe_once(call: &Call, check: &Check<'_>, timeout: Duration) -> Result<Answered> {
    probe(&http::fleeting_agent(), call, check, timeout)
}

/// Asks again and again until the call's time is over. `died` asks the engine, seldom; where it cannot find out, the
/// wait goes on.
pub(crate) fn wait_until_ready(
    call: &Call,
    check: &Check<'_>,
    mut watch: Option<&mut dyn Watch>,
    died: &mut dyn FnMut(&Call) -> Result<Option<Ended>>,
) -> Result<Outcome> {
    let agent = http::fleeting_agent();
    let every = if watch.is_some() { ASK_WATCHED } else { ASK_UNWATCHED };
    let mut next_question = Instant::now() + every;
    let (mut pause, mut patience) = (FIRST_PAUSE, FIRST_PATIENCE);
    loop {
        let began = Instant::now();
        let answered = probe(&agent, call, check, patience)?;
        if answered == Answered::Yes {
            return Ok(Outcome::Ready);
        }
        let now = Instant::now();
        if now - began >= patience {
            patience = (patience * 2).min(LONGEST_PATIENCE);
        }
        let wake = now + pause;
        loop {
            if let Some(ended) = watch.as_mut().and_then(|watch| watch.ended()) {
                return Ok(Outcome::Died(ended));
            }
            if call.is_cancelled() {
                return Err(call.cancelled());
            }
            if call.is_over() {
                return Ok(Outcome::TimeOver(answered));
            }
            let left = wake.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            // Why it ends early is seen above.
            let _ = call.sleep(left.min(GLANCE));
        }
        if Instant::now() >= next_question {
            if let Ok(Some(ended)) = died(call) {
                // The watch knows more, and learns it within moments of the end.
                return Ok(Outcome::Died(last_words(call, watch).unwrap_or(ended)));
            }
            next_question = Instant::now() + every;
        }
        pause = pause.mul_f64(1.5).min(LONGEST_PAUSE);
    }
}

/// How a container that has ended did so, as its watch sees it.
pub(crate) fn last_words(call: &Call, watch: Option<&mut dyn Watch>) -> Option<Ended> {
    let watch = watch?;
    let call = call.sheltered(LAST_WORDS);
    loop {
        if let Some(ended) = watch.ended() {
            return Some(ended);
        }
        call.sleep(Duration::from_millis(5)).ok()?;
    }
}

fn probe(agent: &Agent, call: &Call, check: &Check<'_>, timeout: Duration) -> Result<Answered> {
    let endpoint = Endpoint::Tcp { host: check.host.to_owned(), port: check.port, tls: None };
    let mut headers = vec![("host", check.authority)];
    headers.extend(check.headers.iter().map(|(name, value)| (name.as_str(), value.as_str())));
    let out = Outgoing { method: "GET", target: check.path, headers: &headers, body: None, limit: 0 };
    match http::status(agent, &endpoint, &call.within(timeout), &out) {
        Ok(200..=299) => Ok(Answered::Yes),
        Ok(status) => Ok(Answered::Status(status)),
        Err(Failure::Cancelled) => Err(call.cancelled()),
        Err(Failure::Refused(error)) => Err(error),
        Err(_) => Ok(Answered::No),
    }
}

#[cfg(test)]
mod tests;
