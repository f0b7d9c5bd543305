//! Brings an image: one request whose answer is a line of JSON per step, ended by a stall, not by a length of time.

use std::collections::HashMap;

use super::credentials;
use super::failures::{self, Said};
use super::talk::{Ask, Talk, percent};
use super::wire::PullLine;
use crate::call::{Call, PullProgress};
use crate::error::{Code, Error, Phase, Result};
use crate::http::Failure;

/// Most bytes of one line.
const LINE_BYTES: usize = 1 << 20;
/// Most layers that are counted; an image has at most 127.
const LAYERS: usize = 4096;

/// Pulls an image; the call says how far it is.
pub(super) fn pull(talk: &Talk, call: &Call, image: &str) -> Result<()> {
    let reference = Reference::of(image);
    let login = credentials::login(call, reference.registry);
    call.report_pull(Some(PullProgress::default()));
    let ended = run(talk, call, &reference, login.as_ref());
    call.report_pull(None);
    // A registry's words can repeat what it was sent.
    ended.map_err(|error| match &login {
        Some(login) if login.secret.len() >= 4 => error.map_text(|text| text.replace(&login.secret, "***")),
        _ => error,
    })
}

fn run(
    talk: &Talk,
    call: &Call,
    reference: &Reference<'_>,
    login: Option<&credentials::Login>,
) -> Result<()> {
    let path = format!("/images/create?fromImage={}&tag={}", percent(reference.name), percent(reference.tag));
    let headers: Vec<_> = login.map(|login| ("X-Registry-Auth", login.header.as_str())).into_iter().collect();
    let ask = Ask { headers: &headers, ..Ask::new(Phase::Pull, "POST", &path) };
    let mut stream = talk.open(call, &ask).map_err(|error| stalled(call, error))?;
    let mut lines = Lines::default();
    let mut layers = Layers::default();
    let mut buffer = [0; 16 * 1024];
    loop {
        let slice = call.within(talk.call_timeout);
        let got = match stream.read(&slice, &mut buffer) {
            Ok(0) => break,
            Ok(got) => got,
            Err(failure) => {
                let hung = matches!(failure, Failure::TimedOut);
                let error = talk.failed(call, Phase::Pull, failure);
                return Err(if hung { stalled(call, error) } else { error });
            }
        };
        for line in lines.take(&buffer[..got]).map_err(|error| talk.named(error))? {
            // A refusal is one object without a status line, an answer is many.
            if stream.status >= 300 {
                continue;
            }
            let Ok(line) = serde_json::from_slice::<PullLine>(&line) else { continue };
            if let Some(error) = &line.error {
                return Err(talk.named(failures::pull(&Said::of_text(error))));
            }
            layers.see(&line);
        }
        call.report_pull(Some(layers.progress()));
    }
    if stream.status >= 300 {
        return Err(talk.named(failures::pull(&Said::new(stream.status, lines.whole()))));
    }
    // The last line may lack its line break.
    match serde_json::from_slice::<PullLine>(&lines.rest) {
        Ok(PullLine { error: Some(error), .. }) => Err(talk.named(failures::pull(&Said::of_text(&error)))),
        _ => Ok(()),
    }
}

/// Time over without a byte, where the call itself had more, is a stall of the pull.
fn stalled(call: &Call, error: Error) -> Error {
    if error.code() != Code::Timeout || call.is_over() {
        return error;
    }
    Error::new(Code::Timeout, "the pull stood still for longer than `call_timeout_seconds`")
        .with_hint("check the way from the engine to the registry, or set a larger `call_timeout_seconds`")
        .in_phase(Phase::Pull)
        .retryable()
}

/// An image's name, taken apart the way the engine's API wants it.
struct Reference<'a> {
    registry: &'a str,
    name: &'a str,
    /// A tag or a digest; never empty, since that would pull all tags.
    tag: &'a str,
}

impl<'a> Reference<'a> {
    fn of(image: &'a str) -> Self {
        let (named, digest) = match image.split_once('@') {
            Some((named, digest)) => (named, Some(digest)),
            None => (image, None),
        };
        // A colon before the last slash belongs to a registry's port.
        let last = named.rfind('/').map_or(0, |at| at + 1);
        let (name, tag) = match named[last..].rfind(':') {
            Some(at) => (&named[..last + at], Some(&named[last + at + 1..])),
            None => (named, None),
        };
        let first = name.split_once('/').map(|(first, _)| first);
        let registry = first.filter(|first| first.contains(['.', ':']) || *first == "localhost");
        let tag = digest.or(tag).filter(|tag| !tag.is_empty()).unwrap_or("latest");
        let registry = registry.filter(|registry| *registry != "index.docker.io").unwrap_or("docker.io");
        Reference { registry, name, tag }
    }
}

/// Bytes into lines of bounded length.
#[derive(Default)]
struct Lines {
    rest: Vec<u8>,
    first: Option<Vec<u8>>,
}

impl Lines {
    /// The lines that these bytes complete.
    fn take(&mut self, bytes: &[u8]) -> Result<Vec<Vec<u8>>> {
        self.rest.extend_from_slice(bytes);
        let mut lines = Vec::new();
        while let Some(at) = self.rest.iter().position(|byte| *byte == b'\n') {
            let after = self.rest.split_off(at + 1);
            let line = std::mem::replace(&mut self.rest, after);
            self.first.get_or_insert_with(|| line.clone());
            lines.push(line);
        }
        if self.rest.len() > LINE_BYTES {
            return Err(Error::new(Code::RuntimeFailed, "a line of the engine's answer has no end")
                .in_phase(Phase::Pull));
        }
        Ok(lines)
    }

    /// A refusal's one object, with its line break or without.
    fn whole(&self) -> &[u8] {
        self.first.as_deref().unwrap_or(&self.rest)
    }
}

/// What the lines have told of the layers so far.
#[derive(Default)]
struct Layers(HashMap<String, Layer>);

#[derive(Default)]
struct Layer {
    done: bool,
    current: u64,
    total: Option<u64>,
}

impl Layers {
    fn see(&mut self, line: &PullLine) {
        let status = line.status.as_str();
        // The first line bears the tag where the others bear a layer.
        if line.id.is_empty() || status.starts_with("Pulling from") {
            return;
        }
        if !self.0.contains_key(&line.id) && self.0.len() >= LAYERS {
            return;
        }
        let layer = self.0.entry(line.id.clone()).or_default();
        let number = |value: Option<i64>| value.and_then(|value| u64::try_from(value).ok());
        match status {
            "Downloading" => {
                layer.total = number(line.progress_detail.total).filter(|total| *total > 0).or(layer.total);
                layer.current = layer.current.max(number(line.progress_detail.current).unwrap_or(0));
            }
            "Download complete" | "Verifying Checksum" => {
                layer.current = layer.total.unwrap_or(layer.current)
            }
            "Pull complete" | "Already exists" => {
                layer.done = true;
                layer.current = layer.total.unwrap_or(layer.current);
                // A layer that was here already, or was too small for a line of its own, has no bytes to come.
                layer.total.get_or_insert(layer.current);
            }
            _ => {}
        }
    }

    fn progress(&self) -> PullProgress {
        let total: Option<u64> = self.0.values().map(|layer| layer.total).sum();
        PullProgress {
            layers_done: self.0.values().filter(|layer| layer.done).count() as u64,
            layers_total: self.0.len() as u64,
            bytes_done: self.0.values().map(|layer| layer.current).fold(0, u64::saturating_add),
            bytes_total: total.filter(|_| !self.0.is_empty()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_taken_apart_as_the_docker_command_does() {
        let parts = |image| {
            let reference = Reference::of(image);
            (reference.registry.to_owned(), reference.name.to_owned(), reference.tag.to_owned())
        };
        let owned = |a: &str, b: &str, c: &str| (a.to_owned(), b.to_owned(), c.to_owned());
        assert_eq!(parts("busybox"), owned("docker.io", "busybox", "latest"));
        assert_eq!(parts("a/b:1"), owned("docker.io", "a/b", "1"));
        assert_eq!(parts("localhost:5000/x"), owned("localhost:5000", "localhost:5000/x", "latest"));
        assert_eq!(parts("ghcr.io/a/b:1@sha256:ff"), owned("ghcr.io", "ghcr.io/a/b", "sha256:ff"));
    }

    #[test]
    fn layers_and_bytes_are_counted_and_the_total_waits_for_all_sizes() {
        let mut layers = Layers::default();
        let mut lines = Lines::default();
        let mut see = |layers: &mut Layers, text: &str| {
            for line in lines.take(format!("{text}\r\n").as_bytes()).unwrap() {
                layers.see(&serde_json::from_slice(&line).unwrap());
            }
        };
        see(&mut layers, r#"{"status":"Pulling from library/x","id":"latest"}"#);
        assert_eq!(layers.progress(), PullProgress::default());
        see(&mut layers, r#"{"status":"Pulling fs layer","progressDetail":{},"id":"a"}"#);
        see(&mut layers, r#"{"status":"Already exists","progressDetail":{},"id":"b"}"#);
        let early = PullProgress { layers_done: 1, layers_total: 2, bytes_done: 0, bytes_total: None };
        assert_eq!(layers.progress(), early);
        see(&mut layers, r#"{"status":"Downloading","progressDetail":{"current":10,"total":40},"id":"a"}"#);
        let half = PullProgress { layers_done: 1, layers_total: 2, bytes_done: 10, bytes_total: Some(40) };
        assert_eq!(layers.progress(), half);
        see(&mut layers, r#"{"status":"Pull complete","progressDetail":{},"id":"a"}"#);
        let done = PullProgress { layers_done: 2, layers_total: 2, bytes_done: 40, bytes_total: Some(40) };
        assert_eq!(layers.progress(), done);
    }

    #[test]
    fn a_line_that_never_ends_is_refused() {
        let mut lines = Lines::default();
        assert!(lines.take(&vec![b'x'; LINE_BYTES]).is_ok());
        assert_eq!(lines.take(b"xx").unwrap_err().code(), Code::RuntimeFailed);
    }
}
