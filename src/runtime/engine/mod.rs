//! The Docker Engine API, as Docker and Podman speak it.
//!
//! This file is the [`Runtime`] itself, one request per question. `talk.rs` carries the requests, `spec.rs` writes
//! the body of create and `wire.rs` reads the answers, `failures.rs` tells what a refusal means, `network.rs` keeps
//! the isolated bridge, `pull.rs` and `credentials.rs` bring images, `words.rs` hears how a container ends.

pub(crate) mod credentials;
mod failures;
#[cfg(test)]
mod fuzzed;
mod network;
mod pull;
mod spec;
mod talk;
#[cfg(test)]
mod tests;
mod wire;
mod words;

use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use failures::Said;
use network::{Isolated, Settled};
use talk::{Ask, LIST_BYTES, Talk};
use words::Watching;

use crate::call::Call;
use crate::error::{Error, Phase, Result};
use crate::http::{Client, Endpoint, Tls};
use crate::runtime::{
    About, Container, ContainerSpec, Kind, Made, Network, NetworkLock, Refusal, Runtime, Watch, Which, detect,
};

/// One engine behind one endpoint.
pub(crate) struct Engine {
    talk: Talk,
    identity: String,
    remote: bool,
    isolated: Isolated,
    data_root: Mutex<Option<PathBuf>>,
    /// What Podman said against containers that were watched and not started yet.
    early: Mutex<Vec<(String, Said)>>,
}

/// Most early refusals that are kept.
const EARLY: usize = 64;

impl Engine {
    /// Names an engine; nothing is sent yet. `kind` is what the user said, and the engine's own word outweighs it.
    pub fn connect(kind: Option<Kind>, endpoint: &str, call_timeout: Duration) -> Result<Engine> {
        Engine::with_tls(kind, endpoint, detect::tls_from_environment(), call_timeout)
    }

    /// The same, with TLS files from elsewhere than the environment.
    pub fn with_tls(
        kind: Option<Kind>,
        endpoint: &str,
        tls: Option<Tls>,
        call_timeout: Duration,
    ) -> Result<Engine> {
        let parsed = detect::parse(endpoint, tls)?;
        let remote = detect::is_remote(&parsed);
        let identity = match &parsed {
            Endpoint::Unix(path) => real_path(path),
            Endpoint::Tcp { host, port, .. } => format!("tcp://{host}:{port}"),
        };
        let client = Client::new(parsed)?;
        Ok(Engine {
            talk: Talk::new(client, endpoint, kind, call_timeout),
            identity,
            remote,
            isolated: Isolated::default(),
            data_root: Mutex::new(None),
            early: Mutex::new(Vec::new()),
        })
    }

    fn early(&self) -> MutexGuard<'_, Vec<(String, Said)>> {
        self.early.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Where a container would stand, and a warning where that is not what was asked for.
    fn network(&self, call: &Call, spec: &ContainerSpec, lock: &dyn NetworkLock) -> Result<Place> {
        let required = match &spec.network {
            Network::Default => return Ok(Place::default()),
            Network::Named(name) => return Ok(Place { network: Some(name.clone()), ..Place::default() }),
            Network::Isolated { required } => *required,
        };
        match self.isolated.settle(&self.talk, call, lock)? {
            Settled::Id(id) => Ok(Place { network: Some(id), isolated: true, warning: None }),
            Settled::Cannot(error) if required => Err(self.talk.named(error.in_phase(Phase::Create))),
            Settled::Cannot(error) => {
                let warning =
                    format!("sandboxes can reach each other: {} ({})", error.message(), error.hint());
                Ok(Place { warning: Some(warning), ..Place::default() })
            }
        }
    }

    /// One create request with the engine's answer.
    fn ask_create(
        &self,
        call: &Call,
        spec: &ContainerSpec,
        place: &Place,
        init: bool,
    ) -> Result<Result<Made, Said>> {
        let met = self.talk.met(call, Phase::Create)?;
        let target = spec::Target { api: met.api, kind: met.kind, network: place.network.as_deref(), init };
        let body = spec::body(spec, &target)?.to_string();
        let path = format!("/containers/create?name={}", talk::percent(&spec.name));
        let answer = self.talk.send(call, &Ask::new(Phase::Create, "POST", &path).json(body.as_bytes()))?;
        if answer.status >= 300 {
            return Ok(Err(Said::new(answer.status, &answer.body)));
        }
        let created: wire::Created = self.talk.parse(Phase::Create, &answer.body)?;
        check_id(&created.id)?;
        let warnings = created.warnings.iter().map(|text| crate::runtime::text::clean(text));
        let warnings = warnings.chain(place.warning.clone()).collect();
        Ok(Ok(Made { id: created.id, isolated: place.isolated, warnings }))
    }

    fn refused(&self, refusal: Refusal) -> Refusal {
        match refusal {
            Refusal::NameInUse(error) => Refusal::NameInUse(self.talk.named(error)),
            Refusal::NoImage(error) => Refusal::NoImage(self.talk.named(error)),
            Refusal::PortInUse(error) => Refusal::PortInUse(self.talk.named(error)),
            Refusal::Gone(error) => Refusal::Gone(self.talk.named(error)),
            Refusal::Failed(error) => Refusal::Failed(self.talk.named(error)),
        }
    }

    fn refusal(&self, phase: Phase, said: &Said) -> Error {
        self.talk.named(said.error(phase))
    }
}

/// The network of one container to be.
#[derive(Default)]
struct Place {
    network: Option<String>,
    isolated: bool,
    warning: Option<String>,
}

impl Runtime for Engine {
    fn kind(&self) -> Kind {
        self.talk.kind()
    }

    fn endpoint(&self) -> &str {
        &self.talk.endpoint
    }

    fn identity(&self) -> String {
        self.identity.clone()
    }

    fn is_remote(&self) -> bool {
        self.remote
    }

    fn ping(&self, call: &Call) -> Result<About> {
        Ok(self.talk.meet(call, Phase::Inspect)?.about)
    }

    fn create(&self, call: &Call, spec: &ContainerSpec, lock: &dyn NetworkLock) -> Result<Made, Refusal> {
        call.check()?;
        let mut init = spec.init;
        let mut retried = false;
        loop {
            let place = self.network(call, spec, lock)?;
            // Sent, it runs to its end: only then is it known what there is to undo.
            let sheltered = call.sheltered(self.talk.call_timeout);
            let said = match self.ask_create(&sheltered, spec, &place, init)? {
                Ok(mut made) => {
                    if spec.init && !init {
                        made.warnings.push(NO_INIT.to_owned());
                    }
                    return Ok(made);
                }
                Err(said) => said,
            };
            if init && said.lacks_init() {
                init = false;
            } else if !retried && self.isolated.forget(&said) {
                retried = true;
            } else {
                return Err(self.refused(failures::create(&said)));
            }
        }
    }

    fn start(&self, call: &Call, id: &str) -> Result<(), Refusal> {
        call.check()?;
        check_id(id)?;
        let early = {
            let mut early = self.early();
            early.iter().position(|(known, _)| known == id).map(|at| early.remove(at).1)
        };
        if let Some(said) = early {
            return Err(self.refused(failures::start(&said)));
        }
        let path = format!("/containers/{id}/start");
        let sheltered = call.sheltered(self.talk.call_timeout);
        let answer = self.talk.send(&sheltered, &Ask::new(Phase::Start, "POST", &path))?;
        if matches!(answer.status, 200..=299 | 304) {
            return Ok(());
        }
        let said = Said::new(answer.status, &answer.body);
        if self.isolated.forget(&said) {
            // The container went with its failed start; made again it stands on a network settled anew.
            return Err(self.refused(Refusal::Gone(said.error(Phase::Start).retryable())));
        }
        Err(self.refused(failures::start(&said)))
    }

    fn watch(&self, call: &Call, id: &str) -> Result<Option<Box<dyn Watch>>> {
        check_id(id)?;
        match words::watch(&self.talk, call, id)? {
            Watching::Stands(watch) => Ok(Some(watch)),
            Watching::Not => Ok(None),
            Watching::Refused(said) => {
                let mut early = self.early();
                // Whoever watches starts next; more than this were left behind by callers that gave up.
                let excess = early.len().saturating_sub(EARLY - 1);
                early.drain(..excess);
                early.push((id.to_owned(), said));
                Ok(None)
            }
        }
    }

    fn inspect(&self, call: &Call, which: Which<'_>) -> Result<Option<Container>> {
        match which {
            Which::Id(id) => check_id(id)?,
            Which::Name(name) => check_name(name)?,
        }
        let path = format!("/containers/{}/json", which.text());
        let ask = Ask::new(Phase::Inspect, "GET", &path);
        let answer = self.talk.send(call, &ask)?;
        let said = Said::new(answer.status, &answer.body);
        match answer.status {
            200..=299 => {}
            // A 404 that speaks of something else is no answer to this question.
            404 | 500 if said.container_gone() => return Ok(None),
            _ => return Err(self.refusal(Phase::Inspect, &said)),
        }
        let inspected: wire::Inspected = self.talk.parse(Phase::Inspect, &answer.body)?;
        check_id(&inspected.id)?;
        let container = inspected.into_container();
        // An engine also answers to the beginning of an id.
        let meant = match which {
            Which::Id(id) => container.id == id,
            Which::Name(name) => container.name == name,
        };
        Ok(meant.then_some(container))
    }

    fn list(&self, call: &Call, all: bool) -> Result<Vec<Container>> {
        let path = if all { "/containers/json?all=1" } else { "/containers/json" };
        let ask = Ask { limit: LIST_BYTES, ..Ask::new(Phase::List, "GET", path) };
        let answer = self.talk.send(call, &ask)?;
        if answer.status != 200 {
            return Err(self.refusal(Phase::List, &Said::new(answer.status, &answer.body)));
        }
        let summaries: Vec<wire::Summary> = self.talk.parse(Phase::List, &answer.body)?;
        summaries.iter().try_for_each(|summary| check_id(&summary.id))?;
        Ok(summaries.into_iter().map(wire::Summary::into_container).collect())
    }

    fn stop(&self, call: &Call, id: &str, timeout: Duration) -> Result<bool> {
        check_id(id)?;
        let path = format!("/containers/{id}/stop?t={}", spec::whole_seconds(timeout));
        let limit = self.talk.call_timeout.saturating_add(Duration::from_secs(spec::whole_seconds(timeout)));
        let answer = self.talk.send_within(call, &Ask::new(Phase::Stop, "POST", &path), limit)?;
        self.ended(answer.status, &answer.body)
    }

    fn remove(&self, call: &Call, id: &str) -> Result<bool> {
        check_id(id)?;
        let path = format!("/containers/{id}?v=true&force=true");
        let answer = self.talk.send(call, &Ask::new(Phase::Stop, "DELETE", &path))?;
        self.ended(answer.status, &answer.body)
    }

    fn pull(&self, call: &Call, image: &str) -> Result<()> {
        pull::pull(&self.talk, call, image)
    }

    fn data_root(&self, call: &Call) -> Result<Option<PathBuf>> {
        let known = self.data_root.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if known.is_some() {
            return Ok(known);
        }
        let info: Option<wire::Info> = self.talk.read(call, &Ask::new(Phase::Validate, "GET", "/info"))?;
        let root =
            info.and_then(|info| info.docker_root_dir).map(PathBuf::from).filter(|root| root.is_absolute());
        self.data_root.lock().unwrap_or_else(PoisonError::into_inner).clone_from(&root);
        Ok(root)
    }
}

impl Engine {
    /// What stop and remove have found: true where there was a container.
    fn ended(&self, status: u16, body: &[u8]) -> Result<bool> {
        let said = Said::new(status, body);
        match status {
            200..=299 | 304 => Ok(true),
            404 | 500 if said.container_gone() => Ok(false),
            _ if said.removal_under_way() => Ok(true),
            _ => Err(self.refusal(Phase::Stop, &said)),
        }
    }
}

/// The warning where Podman has no init to give.
const NO_INIT: &str = "this engine has no init (on Debian: the package catatonit), so a sandbox that ignores SIGTERM takes its whole stop time";

/// A container id stands in paths, so it is 64 hex digits or nothing is sent.
fn check_id(id: &str) -> Result<()> {
    if id.len() == 64 && id.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte)) {
        return Ok(());
    }
    Err(Error::invalid("a container id is not 64 hex digits"))
}

/// A container name stands in paths; these characters mean only themselves there.
fn check_name(name: &str) -> Result<()> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
    if name.bytes().next().is_some_and(|first| first.is_ascii_alphanumeric()) && name.bytes().all(plain) {
        return Ok(());
    }
    Err(Error::invalid("a container name has characters that engines do not take"))
}

/// The real folder and the socket's own name: what tells engines of one machine apart, even while the socket is away.
fn real_path(path: &Path) -> String {
    let parent = path.parent().and_then(|parent| parent.canonicalize().ok());
    let real = match (parent, path.file_name()) {
        (Some(parent), Some(name)) => parent.join(name),
        _ => path.to_owned(),
    };
    real.to_string_lossy().into_owned()
}
