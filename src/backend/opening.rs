//! Opening a backend: settling on an engine, and telling what was found.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use super::Backend;
use super::session::Session;
use crate::call::Call;
use crate::config::{Config, RuntimeChoice};
use crate::error::{Code, Error, Result};
use crate::locks::StateDir;
use crate::operation::{AllocatePort, ReleasePort};
use crate::ports;
use crate::runtime::{About, Kind, Network, detect};

/// How long opening waits for an engine; a silent one is no failure, the first call asks again.
const PATIENCE: Duration = Duration::from_secs(5);

/// What this build can do, by the names of the exported functions.
const FEATURES: [&str; 14] = [
    "create",
    "destroy",
    "discover",
    "is_alive",
    "list",
    "request",
    "release",
    "reap",
    "wait_ready",
    "allocate_port",
    "call_start",
    "queue",
    "set_log",
    "guest",
];

/// Refuses engines of another machine where sandboxes are said to be reached on this one.
pub(super) fn check_reach(config: &Config) -> Result<()> {
    let candidates = detect::candidates(config)?;
    if !config.sandbox_is_local() || candidates.iter().any(|candidate| !candidate.is_remote()) {
        return Ok(());
    }
    Err(out_of_reach())
}

fn out_of_reach() -> Error {
    Error::invalid("sandbox_host is this machine's loopback, and the engine runs on another machine")
        .with_hint("set sandbox_host to a name or address by which this machine reaches the engine's machine")
}

/// Finds the engine that the config means and opens its part of the state directory.
pub(super) fn settle(config: &Arc<Config>, state: StateDir, call: &Call) -> Result<Session> {
    let runtime = detect::open(config, call)?;
    if runtime.is_remote() && config.sandbox_is_local() {
        return Err(out_of_reach());
    }
    Session::open(config.clone(), runtime, state)
}

/// The answer of `sandport_backend_open`. Fails only for what can never work.
pub(super) fn answer(backend: &Backend) -> Result<Value> {
    let config = &backend.0.config;
    let call = Call::new().within(PATIENCE.min(config.call_timeout));
    let found = backend.session(&call).and_then(|session| {
        let about = session.runtime().ping(&call)?;
        Ok((session, about))
    });
    let (session, about) = match found {
        Ok((session, about)) => (Some(session), about),
        Err(error) if matches!(error.code(), Code::InvalidArgument | Code::Unsupported | Code::Denied) => {
            return Err(error);
        }
        Err(error) => {
            log::info!(target: "sandport", "no engine has answered yet: {error}");
            (backend.settled(), About::default())
        }
    };
    let runtime = session.as_ref().map(|session| session.runtime());
    let kind = runtime.map(|runtime| runtime.kind());
    Ok(json!({
        "runtime": kind.map(Kind::word).or(chosen(config)),
        "runtime_version": about.version,
        "api_version": about.api_version,
        "endpoint": runtime.map(|runtime| runtime.endpoint()).or(config.endpoint.as_deref()),
        "isolation": kind.map(|kind| isolation(kind, &config.network)),
        "warnings": config.warnings,
        "features": FEATURES,
    }))
}

/// The runtime that the config names, before an engine has answered.
fn chosen(config: &Config) -> Option<&'static str> {
    match config.runtime {
        RuntimeChoice::Auto => None,
        RuntimeChoice::Docker => Some(Kind::Docker.word()),
        RuntimeChoice::Podman => Some(Kind::Podman.word()),
        RuntimeChoice::Apple => Some(Kind::Apple.word()),
    }
}

/// What a sandbox's network will be, as far as it can be told before there is one.
fn isolation(kind: Kind, network: &Network) -> &'static str {
    match (kind, network) {
        (Kind::Docker, Network::Isolated { .. }) => "isolated",
        _ => "shared",
    }
}

/// Takes the lowest free host port of a range, until it is given back or the process ends: `{port}`.
pub fn allocate_port(request: &str) -> Result<Value> {
    let asked = AllocatePort::parse(request)?;
    let state = StateDir::open(asked.state_dir.as_deref())?;
    let port = ports::take_lowest(state.ports(), asked.start_port, asked.count, Some(asked.bind_host))?;
    Ok(json!({"port": ports::give(port)}))
}

/// Gives back a port that [`allocate_port`] took: `{released}`.
pub fn release_port(request: &str) -> Result<Value> {
    let asked = ReleasePort::parse(request)?;
    Ok(json!({"released": ports::take_back(asked.port)}))
}
