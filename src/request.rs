//! An HTTP request to a sandbox, and to no other host.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};
use ureq::Agent;

use crate::call::Call;
use crate::error::{Code, Error, Phase, Result};
use crate::http::{self, Answer, Endpoint, Failure, Outgoing};

/// Which sandbox, and where it is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SandboxAddress<'a> {
    /// The address to dial: a literal one where the sandbox is on this machine, else a name.
    pub host: &'a str,
    pub port: u16,
    /// What the `Host` header says: `sandbox_url` without its scheme.
    pub authority: &'a str,
    pub container_id: &'a str,
    /// When the container was started, in the engine's own words.
    pub started_at: &'a str,
}

/// The request as the caller gave it, its form checked already.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Parameters<'a> {
    pub method: &'a str,
    pub path: &'a str,
    pub headers: &'a [(String, String)],
    pub body: Option<&'a [u8]>,
    pub max_response_bytes: u64,
}

/// The idle connections to sandboxes; one per backend. Has no thread.
pub(crate) struct Connections(Agent);

impl Connections {
    /// Holds none yet.
    pub fn new() -> Connections {
        Connections(http::shared_agent())
    }
}

/// Sends the request within the call's time: `{status, headers, body | body_base64}`.
///
/// `verify` is called on each new connection after it stands and before a byte is sent: it asks the engine whether
/// the address still belongs to that container.
pub(crate) fn send(
    connections: &Connections,
    call: &Call,
    address: &SandboxAddress<'_>,
    parameters: &Parameters<'_>,
    auth: Option<(&str, &str)>,
    verify: &dyn Fn(&Call) -> Result<()>,
) -> Result<Value> {
    let endpoint = Endpoint::Tcp { host: address.host.to_owned(), port: address.port, tls: None };
    let mut headers = vec![("host", address.authority)];
    headers.extend(auth);
    headers.extend(parameters.headers.iter().map(|(name, value)| (name.as_str(), value.as_str())));
    let out = Outgoing {
        method: parameters.method,
        target: parameters.path,
        headers: &headers,
        body: parameters.body,
        limit: parameters.max_response_bytes,
    };
    match http::exchange(&connections.0, &origin(address), &endpoint, call, &out, verify) {
        Ok(answer) => Ok(told(answer)),
        Err(failure) => Err(error(call, failure).in_phase(Phase::Request)),
    }
}

/// What idle connections are kept under: one start of one container, so that its port's next owner never gets one.
fn origin(address: &SandboxAddress<'_>) -> String {
    let mut digest = Sha256::new();
    for part in [address.container_id, address.started_at, address.host, address.authority] {
        digest.update(part);
        digest.update([0]);
    }
    digest.update(address.port.to_be_bytes());
    format!("http://{:x}", digest.finalize())
}

fn told(answer: Answer) -> Value {
    let mut headers = Map::new();
    for (name, value) in answer.headers {
        if let Value::Array(values) = headers.entry(name).or_insert_with(|| json!([])) {
            values.push(value.into());
        }
    }
    let (field, body) = match String::from_utf8(answer.body) {
        Ok(text) => ("body", text),
        Err(bytes) => ("body_base64", STANDARD.encode(bytes.as_bytes())),
    };
    json!({"status": answer.status, "headers": headers, field: body})
}

fn error(call: &Call, failure: Failure) -> Error {
    match failure {
        Failure::Unreachable(reason) => {
            Error::new(Code::NotReady, "nothing listens at the sandbox's address")
                .with_hint("wait until the sandbox is ready, or look whether it is still alive")
                .with_detail("reason", reason.to_string())
                .retryable()
        }
        Failure::Broken { what, sent } => {
            let error = Error::new(Code::NotReady, "the sandbox gave no whole answer")
                .with_hint(match sent {
                    true => "the request may have had its effect; look before you send it again",
                    false => "nothing was sent; send it again",
                })
                .with_detail("reason", what);
            if sent { error } else { error.retryable() }
        }
        Failure::TooLarge { limit } => {
            Error::new(Code::QuotaExceeded, "the sandbox's answer has more bytes than max_response_bytes")
                .with_hint("raise max_response_bytes, or ask for less")
                .with_detail("max_response_bytes", limit)
        }
        // Not retryable: the sandbox may be working on it.
        Failure::TimedOut => Error::new(Code::Timeout, "the sandbox did not answer in time")
            .with_hint("raise timeout_seconds; the request may have had its effect"),
        Failure::Cancelled => call.cancelled(),
        Failure::Refused(error) => error,
    }
}

#[cfg(test)]
mod tests;
