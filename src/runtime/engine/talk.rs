//! One conversation with an engine: the API version is negotiated when it is first needed, every request is bounded,
//! and what goes wrong on the way becomes a typed error with a hint.

use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::de::DeserializeOwned;

use super::failures::Said;
use super::wire;
use crate::call::Call;
use crate::error::{Code, Error, Phase, Result};
use crate::http::{Answer, Client, Failure, Outgoing, Stream};
use crate::runtime::{About, Kind};

/// Most bytes of an answer; a list may have [`LIST_BYTES`].
pub(super) const ANSWER_BYTES: u64 = 1 << 20;
/// Most bytes of a list.
pub(super) const LIST_BYTES: u64 = 64 << 20;

/// The oldest API with all that is needed; `wait?condition=next-exit` needs 1.30, but only watching does.
const OLDEST: (u16, u16) = (1, 24);
/// The newest API whose answers are known.
const NEWEST: (u16, u16) = (1, 47);

/// What negotiation has found out.
#[derive(Clone, Debug)]
pub(super) struct Met {
    /// `/v1.41`, or nothing where the engine's own default must do.
    prefix: String,
    /// The API that is spoken.
    pub api: (u16, u16),
    pub kind: Kind,
    pub about: About,
}

/// One engine's connection.
pub(super) struct Talk {
    client: Client,
    pub(super) endpoint: String,
    pub(super) call_timeout: Duration,
    asked_for: Option<Kind>,
    met: Mutex<Memory>,
}

/// What is known between requests.
struct Memory {
    /// Gone after a failure, since another engine may listen by then.
    met: Option<Met>,
    /// The kind that was seen last.
    kind: Kind,
}

/// One request.
#[derive(Clone, Copy)]
pub(super) struct Ask<'a> {
    pub phase: Phase,
    pub method: &'a str,
    /// Path and query without the version.
    pub path: &'a str,
    pub headers: &'a [(&'a str, &'a str)],
    pub body: Option<&'a [u8]>,
    pub limit: u64,
}

impl<'a> Ask<'a> {
    /// A request without a body.
    pub(super) fn new(phase: Phase, method: &'a str, path: &'a str) -> Self {
        Ask { phase, method, path, headers: &[], body: None, limit: ANSWER_BYTES }
    }

    /// With a JSON body.
    pub(super) fn json(self, body: &'a [u8]) -> Self {
        Ask { headers: &[("Content-Type", "application/json")], body: Some(body), ..self }
    }
}

impl Talk {
    pub(super) fn new(
        client: Client,
        endpoint: &str,
        asked_for: Option<Kind>,
        call_timeout: Duration,
    ) -> Self {
        let memory = Memory { met: None, kind: asked_for.unwrap_or(Kind::Docker) };
        Talk { client, endpoint: endpoint.to_owned(), call_timeout, asked_for, met: Mutex::new(memory) }
    }

    /// The kind as far as it is known.
    pub(super) fn kind(&self) -> Kind {
        self.memory().kind
    }

    /// What negotiation found out, now or before.
    pub(super) fn met(&self, call: &Call, phase: Phase) -> Result<Met> {
        let known = self.memory().met.clone();
        match known {
            Some(met) => Ok(met),
            None => self.meet(call, phase),
        }
    }

    /// Asks the engine who it is. `GET /_ping` has no version in its path, so every engine answers it.
    pub(super) fn meet(&self, call: &Call, phase: Phase) -> Result<Met> {
        let ask = Ask::new(phase, "GET", "/_ping");
        let answer = self.exchange(call, "", &ask, self.call_timeout)?;
        if answer.status != 200 {
            return Err(self.named(Said::new(answer.status, &answer.body).error(phase)));
        }
        let header = |name: &str| {
            answer.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
        };
        let server = header("server").unwrap_or_default();
        let mut about = About {
            version: server
                .split(['/', ' '])
                .nth(1)
                .filter(|_| server.contains('/'))
                .map(crate::runtime::text::clean),
            api_version: header("api-version").filter(|text| number(text).is_some()).map(str::to_owned),
        };
        let mut kind = self.asked_for;
        if header("libpod-api-version").is_some() || server.starts_with("Libpod/") {
            kind = Some(Kind::Podman);
        } else if server.starts_with("Docker/") {
            kind = Some(Kind::Docker);
        }
        let kind = match kind {
            Some(kind) if about.api_version.is_some() => kind,
            _ => self.look_closer(call, phase, &mut about)?,
        };
        let server_api = about.api_version.as_deref().and_then(number);
        let api = server_api.map_or(NEWEST, |theirs| theirs.min(NEWEST));
        if api < OLDEST {
            return Err(self
                .named(Error::new(Code::Unsupported, "the engine's API is older than 1.24").in_phase(phase))
                .with_hint("upgrade the engine"));
        }
        let prefix = server_api.map(|_| format!("/v{}.{}", api.0, api.1)).unwrap_or_default();
        let met = Met { prefix, api, kind, about };
        let mut memory = self.memory();
        memory.kind = kind;
        memory.met = Some(met.clone());
        Ok(met)
    }

    /// The dearer question, for engines and proxies whose ping tells too little.
    fn look_closer(&self, call: &Call, phase: Phase, about: &mut About) -> Result<Kind> {
        let answer = self.exchange(call, "", &Ask::new(phase, "GET", "/version"), self.call_timeout)?;
        let Some(version) =
            serde_json::from_slice::<wire::Version>(&answer.body).ok().filter(|_| answer.status == 200)
        else {
            return Err(self.no_answer(phase, "what answers there is no container engine"));
        };
        about.version = about.version.take().or(version.version.as_deref().map(crate::runtime::text::clean));
        about.api_version =
            about.api_version.take().or(version.api_version.filter(|text| number(text).is_some()));
        let podman = version.components.iter().any(|part| part.name.contains("Podman"));
        Ok(if podman { Kind::Podman } else { Kind::Docker })
    }

    /// Sends a request under the negotiated version and takes the answer, whatever its status.
    pub(super) fn send(&self, call: &Call, ask: &Ask<'_>) -> Result<Answer> {
        self.send_within(call, ask, self.call_timeout)
    }

    /// The same, for a question that may take longer than others.
    pub(super) fn send_within(&self, call: &Call, ask: &Ask<'_>, limit: Duration) -> Result<Answer> {
        let met = self.met(call, ask.phase)?;
        let answer = self.exchange(call, &met.prefix, ask, limit)?;
        if !Said::new(answer.status, &answer.body).wants_another_version() {
            return Ok(answer);
        }
        // The engine was changed under us, or speaks none of ours: its own default is the best left.
        if let Some(met) = &mut self.memory().met {
            met.prefix.clear();
        }
        self.exchange(call, "", ask, limit)
    }

    /// Sends a request and reads a JSON answer; `None` for 404.
    pub(super) fn read<T: DeserializeOwned>(&self, call: &Call, ask: &Ask<'_>) -> Result<Option<T>> {
        let answer = self.send(call, ask)?;
        match answer.status {
            200..=299 => self.parse(ask.phase, &answer.body).map(Some),
            404 => Ok(None),
            status => Err(self.named(Said::new(status, &answer.body).error(ask.phase))),
        }
    }

    /// Reads a JSON answer. serde's own words are left out, since they quote what stood there.
    pub(super) fn parse<T: DeserializeOwned>(&self, phase: Phase, body: &[u8]) -> Result<T> {
        serde_json::from_slice(body).map_err(|_| self.no_answer(phase, "the engine's answer cannot be read"))
    }

    /// Opens an answer that is read piece by piece, whatever its status.
    pub(super) fn open(&self, call: &Call, ask: &Ask<'_>) -> Result<Stream> {
        let met = self.met(call, ask.phase)?;
        let target = format!("{}{}", met.prefix, ask.path);
        let call = call.within(self.call_timeout);
        let stream = self
            .client
            .open(&call, &outgoing(ask, &target))
            .map_err(|failure| self.failed(&call, ask.phase, failure))?;
        self.no_redirect(ask.phase, stream.status)?;
        Ok(stream)
    }

    fn exchange(&self, call: &Call, prefix: &str, ask: &Ask<'_>, limit: Duration) -> Result<Answer> {
        let target = format!("{prefix}{}", ask.path);
        let call = call.within(limit);
        let out = outgoing(ask, &target);
        let mut answer = self.client.send(&call, &out);
        // An idle connection that the engine has closed meanwhile. What only asks, stops or removes may be sent twice.
        let harmless = ask.method == "GET" || ask.phase == Phase::Stop;
        if matches!(answer, Err(Failure::Broken { sent, .. }) if harmless || !sent) {
            answer = self.client.send(&call, &out);
        }
        let answer = answer.map_err(|failure| self.failed(&call, ask.phase, failure))?;
        self.no_redirect(ask.phase, answer.status)?;
        Ok(answer)
    }

    fn no_redirect(&self, phase: Phase, status: u16) -> Result<()> {
        match status {
            // 304 is an answer of start and stop.
            300..=303 | 305..=399 => Err(self.no_answer(phase, "the engine answered with a redirect")),
            100..=199 => Err(self.no_answer(phase, "the engine answered with something that is no answer")),
            _ => Ok(()),
        }
    }

    fn no_answer(&self, phase: Phase, what: &str) -> Error {
        self.named(Error::new(Code::RuntimeFailed, what).in_phase(phase))
            .with_hint("check that the endpoint is a container engine's")
    }

    /// What a failure on the way means. The engine may be another one when it comes back.
    pub(super) fn failed(&self, call: &Call, phase: Phase, failure: Failure) -> Error {
        if matches!(failure, Failure::Unreachable(_) | Failure::Broken { .. }) {
            self.memory().met = None;
        }
        let error = match failure {
            Failure::Cancelled => return self.named(call.cancelled()),
            Failure::Refused(error) => error,
            Failure::Unreachable(cause) => self.unreachable(&cause),
            Failure::TimedOut => Error::new(Code::Timeout, "the engine did not answer in time")
                .with_hint("look whether the engine hangs; a busy one needs a larger `call_timeout_seconds`")
                .retryable(),
            Failure::Broken { what, .. } => {
                let what = crate::runtime::text::clean(&what);
                Error::new(
                    Code::RuntimeFailed,
                    format!("the engine's answer broke off or is no HTTP: {what}"),
                )
                .with_hint("look at the engine's own log")
                .retryable()
            }
            Failure::TooLarge { limit } => {
                Error::new(Code::RuntimeFailed, format!("the engine's answer is larger than {limit} bytes"))
                    .with_hint("check that the endpoint is a container engine's")
            }
        };
        self.named(error.in_phase(phase))
    }

    fn unreachable(&self, cause: &io::Error) -> Error {
        let podman = self.kind() == Kind::Podman;
        let hint = match cause.kind() {
            io::ErrorKind::PermissionDenied if podman => {
                "this user may not open Podman's socket: use the user's own (systemctl --user start podman.socket)"
            }
            io::ErrorKind::PermissionDenied => {
                "this user may not open Docker's socket: add the user to the group docker and log in anew, or use a rootless engine"
            }
            _ if podman => "start Podman's service (systemctl --user start podman.socket), or set `endpoint`",
            _ => "start Docker (systemctl start docker, or Docker Desktop), or set `endpoint`",
        };
        let reason = match cause.kind() {
            io::ErrorKind::NotFound => "there is no socket".to_owned(),
            io::ErrorKind::ConnectionRefused => "nobody listens".to_owned(),
            io::ErrorKind::PermissionDenied => "permission denied".to_owned(),
            _ => cause.to_string(),
        };
        Error::new(
            Code::RuntimeUnavailable,
            format!("the engine at {} cannot be reached: {reason}", self.endpoint),
        )
        .with_hint(hint)
        .retryable()
    }

    /// Says which runtime it was.
    pub(super) fn named(&self, error: Error) -> Error {
        error.on_runtime(self.kind().word())
    }

    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.met.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn outgoing<'a>(ask: &Ask<'a>, target: &'a str) -> Outgoing<'a> {
    Outgoing { method: ask.method, target, headers: ask.headers, body: ask.body, limit: ask.limit }
}

/// `1.41` as numbers.
fn number(text: &str) -> Option<(u16, u16)> {
    let (major, minor) = text.trim().split_once('.')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}

/// Text for a place in a query or path: everything but plain letters, digits, `-_.~` is percent-coded.
pub(super) fn percent(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_compared_as_numbers() {
        assert!(number("1.9").unwrap() < number("1.41").unwrap());
        assert_eq!(number("1.x"), None);
    }

    #[test]
    fn nothing_in_a_query_can_start_a_new_field() {
        assert_eq!(percent("a/b:c&d=%é"), "a%2Fb%3Ac%26d%3D%25%C3%A9");
    }
}
