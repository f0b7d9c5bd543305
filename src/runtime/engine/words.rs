//! Watches one container from before its start: how it ends, whether memory ran out, and what it printed last.
//!
//! A container that is removed when it ends leaves nothing to ask for, so three streams are opened while it is only
//! made: `attach` carries what it prints, `wait` says that it ended and with which code, `events` (Docker) says
//! whether the kernel killed for memory. They are polled and never waited for.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use serde_json::json;

use super::failures::Said;
use super::talk::{Ask, Talk, percent};
use super::wire::{Event, Waited};
use crate::call::Call;
use crate::error::{Code, Phase, Result};
use crate::http::Stream;
use crate::runtime::text::last_words;
use crate::runtime::{Ended, Kind, Watch};

/// From this API on `wait` knows `next-exit`.
const NEXT_EXIT: (u16, u16) = (1, 30);
/// Bytes of output that are kept; escaping makes at most 4 KiB of their end.
const TAIL_BYTES: usize = 16 * 1024;
/// Most bytes taken from one stream in one look, so that a container that floods its output holds nobody up.
const LOOK_BYTES: usize = 1 << 20;
/// Most bytes of `wait`'s answer and of one event.
const ANSWER_BYTES: usize = 64 * 1024;
/// How long the last output and events are awaited once the container has ended.
const GRACE: Duration = Duration::from_millis(300);

/// What watching gives.
pub(super) enum Watching {
    Stands(Box<dyn Watch>),
    /// The engine does not let us.
    Not,
    /// Podman prepares the container for attach as for start, so what it refuses there is what start would say; it
    /// may have removed the container by then.
    Refused(Said),
}

/// Watches a made container.
pub(super) fn watch(talk: &Talk, call: &Call, id: &str) -> Result<Watching> {
    let met = talk.met(call, Phase::Start)?;
    if met.api < NEXT_EXIT {
        return Ok(Watching::Not);
    }
    // Without the wait nothing is known; without the others less is.
    let Some(wait) = open(talk, call, "POST", &format!("/containers/{id}/wait?condition=next-exit"))?.ok()
    else {
        return Ok(Watching::Not);
    };
    let attach =
        match open(talk, call, "POST", &format!("/containers/{id}/attach?stream=1&stdout=1&stderr=1"))? {
            Ok(stream) => Some(stream),
            Err(Some(said)) if met.kind == Kind::Podman => return Ok(Watching::Refused(said)),
            Err(_) => None,
        };
    let events = match met.kind {
        // Podman tells no event when memory runs out.
        Kind::Podman => None,
        _ => {
            let filters = percent(&json!({ "container": [id], "event": ["oom", "die"] }).to_string());
            open(talk, call, "GET", &format!("/events?filters={filters}"))?.ok()
        }
    };
    Ok(Watching::Stands(Box::new(Words {
        wait: Some(wait),
        answer: Vec::new(),
        attach,
        frames: Frames::default(),
        events,
        lines: Vec::new(),
        oom: false,
        died: false,
        since: None,
        ended: None,
    })))
}

/// A stream that the engine opened, or what it said against it. What ends the call itself is an error.
fn open(talk: &Talk, call: &Call, method: &str, path: &str) -> Result<Result<Stream, Option<Said>>> {
    match talk.open(call, &Ask::new(Phase::Start, method, path)) {
        Ok(stream) if stream.status == 200 => Ok(Ok(stream)),
        Ok(stream) => Ok(Err(Some(said(talk, call, stream)))),
        Err(error) if matches!(error.code(), Code::Cancelled | Code::RuntimeUnavailable | Code::Timeout) => {
            Err(error)
        }
        Err(error) => {
            log::debug!(target: "sandport", call = call.number(); "watching goes without a stream: {}", error.message());
            Ok(Err(None))
        }
    }
}

/// The words of a refusal, as far as they come.
fn said(talk: &Talk, call: &Call, mut stream: Stream) -> Said {
    let call = call.within(talk.call_timeout);
    let (mut body, mut buffer) = (Vec::new(), [0; 4096]);
    while let Ok(got @ 1..) = stream.read(&call, &mut buffer) {
        keep(&mut body, &buffer[..got]);
        // A connection that attach has taken over may stay open behind its refusal.
        if body.len() >= ANSWER_BYTES || serde_json::from_slice::<super::wire::Failure>(&body).is_ok() {
            break;
        }
    }
    Said::new(stream.status, &body)
}

struct Words {
    wait: Option<Stream>,
    answer: Vec<u8>,
    attach: Option<Stream>,
    frames: Frames,
    events: Option<Stream>,
    lines: Vec<u8>,
    oom: bool,
    died: bool,
    /// Since when it is known that it ended, and with which code.
    since: Option<(Instant, i64)>,
    ended: Option<Ended>,
}

impl Watch for Words {
    fn ended(&mut self) -> Option<Ended> {
        if self.ended.is_none() {
            self.look();
        }
        self.ended.clone()
    }
}

impl Words {
    fn look(&mut self) {
        let frames = &mut self.frames;
        poll(&mut self.attach, |bytes| frames.take(bytes));
        let lines = &mut self.lines;
        poll(&mut self.events, |bytes| keep(lines, bytes));
        self.read_events();
        if self.since.is_none() {
            let answer = &mut self.answer;
            poll(&mut self.wait, |bytes| keep(answer, bytes));
            if let Ok(waited) = serde_json::from_slice::<Waited>(&self.answer) {
                self.since = Some((Instant::now(), waited.status_code));
                self.wait = None;
            }
        }
        let Some((since, code)) = self.since else { return };
        let complete = self.attach.is_none() && (self.events.is_none() || self.died);
        if complete || since.elapsed() >= GRACE {
            let known = self.oom || self.died;
            let log = last_words(self.frames.tail.make_contiguous());
            self.ended = Some(Ended { exit_code: Some(code), oom_killed: known.then_some(self.oom), log });
            (self.attach, self.events) = (None, None);
        }
    }

    fn read_events(&mut self) {
        while let Some(at) = self.lines.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = self.lines.drain(..=at).collect();
            if let Ok(event) = serde_json::from_slice::<Event>(&line) {
                self.oom |= event.action == "oom";
                self.died |= event.action == "die";
            }
        }
    }
}

/// Takes what is there, and drops the stream at its end.
fn poll(stream: &mut Option<Stream>, mut take: impl FnMut(&[u8])) {
    let mut buffer = [0; 16 * 1024];
    let mut taken = 0;
    while let Some(open) = stream {
        match open.try_read(&mut buffer) {
            Ok(None) => return,
            Ok(Some(0)) | Err(_) => *stream = None,
            Ok(Some(got)) => {
                take(&buffer[..got]);
                taken += got;
                if taken >= LOOK_BYTES {
                    return;
                }
            }
        }
    }
}

/// Adds bytes up to the cap; an answer that is longer is none.
fn keep(kept: &mut Vec<u8>, bytes: &[u8]) {
    let room = ANSWER_BYTES.saturating_sub(kept.len());
    kept.extend_from_slice(&bytes[..bytes.len().min(room)]);
}

/// Takes the engine's frames apart: 8 bytes of head, of which the last four are the length, then that many bytes.
/// Nothing is allocated by a claimed length: only the tail of what really comes is kept.
#[derive(Default)]
pub(super) struct Frames {
    head: Vec<u8>,
    left: usize,
    tail: VecDeque<u8>,
}

impl Frames {
    #[cfg(test)]
    pub(super) fn kept(&self) -> usize {
        self.tail.len()
    }

    pub(super) fn take(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            if self.left == 0 {
                let need = 8 - self.head.len();
                let (head, rest) = bytes.split_at(need.min(bytes.len()));
                self.head.extend_from_slice(head);
                bytes = rest;
                if let [_, _, _, _, a, b, c, d] = self.head[..] {
                    self.left = u32::from_be_bytes([a, b, c, d]) as usize;
                    self.head.clear();
                }
                continue;
            }
            let (words, rest) = bytes.split_at(self.left.min(bytes.len()));
            self.left -= words.len();
            bytes = rest;
            self.tail.extend(&words[words.len().saturating_sub(TAIL_BYTES)..]);
            let excess = self.tail.len().saturating_sub(TAIL_BYTES);
            self.tail.drain(..excess);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(words: &[u8]) -> Vec<u8> {
        let mut bytes = vec![1, 0, 0, 0];
        bytes.extend((words.len() as u32).to_be_bytes());
        bytes.extend(words);
        bytes
    }

    #[test]
    fn frames_cut_anywhere_give_the_same_words() {
        let bytes = [frame(b"one\n"), frame(b""), frame(b"two\n")].concat();
        for size in 1..bytes.len() {
            let mut frames = Frames::default();
            bytes.chunks(size).for_each(|chunk| frames.take(chunk));
            assert_eq!(last_words(frames.tail.make_contiguous()), "one\ntwo");
        }
    }

    #[test]
    fn a_claimed_length_costs_no_memory() {
        let mut frames = Frames::default();
        frames.take(&[1, 0, 0, 0, 255, 255, 255, 255]);
        for _ in 0..100 {
            frames.take(&[b'x'; 4096]);
        }
        assert!(frames.tail.capacity() <= 4 * TAIL_BYTES);
    }
}
