//! What a sandbox goes through, from its making to its end: the story of the crate.
//!
//! A [`Backend`] is one opened configuration. It settles on the first engine that answers, and from then on has a
//! session: that engine, a state directory that it shares with other processes, the leases that say which sandboxes
//! it uses, and the ports of what it made. Read on in the order of a sandbox's life: `create.rs` makes it or adopts
//! what is there (`look.rs` judges that, `ready.rs` waits for it), `discover.rs` and `list.rs` find it, `ask.rs`
//! speaks with it, `destroy.rs` ends it, and `reap.rs` collects what its owners have left behind.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::{Value, json};

mod address;
mod ask;
mod auth;
mod containers;
mod create;
mod destroy;
mod discover;
mod harbour;
mod list;
mod look;
mod opening;
mod paths;
mod plan;
mod ready;
mod reap;
mod secrets;
mod session;
mod tenants;
mod tenure;
#[cfg(test)]
mod tests;
mod trial;

use crate::call::Call;
use crate::config::Config;
use crate::error::{Phase, Result};
use crate::locks::StateDir;
use crate::operation::{
    Ask, CreateRequest, DestroyRequest, Operation, ReapRequest, SandboxRequest, Target, WaitReadyRequest,
};
use crate::sandbox::SandboxInfo;
use session::Session;

pub(crate) use tenants::{Tenant, now, used_up};

pub use opening::{allocate_port, release_port};

/// One opened configuration; clones are the same backend. The last one to be dropped gives back its leases.
#[derive(Clone)]
pub struct Backend(Arc<Inner>);

struct Inner {
    config: Arc<Config>,
    state: StateDir,
    /// Empty until an engine has answered.
    session: Mutex<Option<Arc<Session>>>,
}

impl Backend {
    /// Opens a backend from its config, and says what was found. It does not fail because an engine is down: the
    /// first call then says so.
    pub fn open(config: &str) -> Result<(Backend, Value)> {
        let config = Config::from_json(config)?;
        opening::check_reach(&config)?;
        let state = StateDir::open(config.state_dir.as_deref())?;
        let backend = Backend(Arc::new(Inner { config: Arc::new(config), state, session: Mutex::new(None) }));
        let answer = opening::answer(&backend)?;
        Ok((backend, answer))
    }

    /// Runs an operation on a request in JSON.
    pub fn ask(&self, call: &Call, operation: Operation, request: &str) -> Result<Value> {
        self.run(call, &operation.parse(request)?)
    }

    /// Runs an operation whose form has been checked.
    pub(crate) fn run(&self, call: &Call, ask: &Ask) -> Result<Value> {
        ask.check(&self.0.config)?;
        Ok(match ask {
            Ask::Create(request) => self.create(call, request)?.to_json(),
            Ask::Destroy(request) => json!({"destroyed": self.destroy(call, request)?}),
            Ask::Discover(target) => {
                json!({"sandbox": self.discover(call, target)?.map(|info| info.to_json())})
            }
            Ask::IsAlive(target) => json!({"alive": self.is_alive(call, target)?}),
            Ask::List => {
                let all = self.list(call)?;
                json!({"sandboxes": all.iter().map(SandboxInfo::to_json).collect::<Vec<_>>()})
            }
            Ask::Request(request) => self.request(call, request)?,
            Ask::Release(target) => json!({"released": self.release(call, target)?}),
            Ask::Reap(request) => self.reap(call, request)?,
            Ask::WaitReady(request) => self.wait_ready(call, request)?,
        })
    }

    /// Makes sure that a sandbox runs and answers: adopts the one of that name, or makes it. The backend uses it
    /// from then on, until it releases it or closes.
    pub(crate) fn create(&self, call: &Call, request: &CreateRequest) -> Result<SandboxInfo> {
        self.with(call, |session| {
            tenants::sweep(session, call)?;
            let plan = plan::Plan::new(session, call, request)?;
            create::ensure(session, call, &plan).map_err(|error| plan.secrets.clean(error))
        })
    }

    /// Stops and removes a sandbox, although others may use it. False where there was none.
    pub(crate) fn destroy(&self, call: &Call, request: &DestroyRequest) -> Result<bool> {
        let stop_timeout = request.stop_timeout.unwrap_or(self.0.config.stop_timeout);
        self.with(call, |session| destroy::destroy(session, call, &request.target, stop_timeout))
    }

    /// Finds a sandbox that any process made: `None` unless it runs and answers. The backend uses it from then on.
    pub(crate) fn discover(&self, call: &Call, target: &Target) -> Result<Option<SandboxInfo>> {
        self.with(call, |session| discover::discover(session, call, target, self.0.config.discover_timeout))
    }

    /// Whether a sandbox runs, as the engine says it.
    pub(crate) fn is_alive(&self, call: &Call, target: &Target) -> Result<bool> {
        let call = call.within(self.0.config.call_timeout.min(Duration::from_secs(5)));
        self.with(&call, |session| discover::is_alive(session, &call, target))
    }

    /// All running sandboxes of the config's prefix.
    pub(crate) fn list(&self, call: &Call) -> Result<Vec<SandboxInfo>> {
        self.with(call, |session| list::list(session, call))
    }

    /// Sends an HTTP request to a sandbox.
    pub(crate) fn request(&self, call: &Call, request: &SandboxRequest) -> Result<Value> {
        self.with(call, |session| ask::request(session, call, request))
    }

    /// Says that this backend no longer uses a sandbox, which lives on. False where it did not use it.
    pub(crate) fn release(&self, call: &Call, target: &Target) -> Result<bool> {
        self.with(call, |session| {
            Ok(session.give_up(&session.name_of(target), target.container_id.as_deref()))
        })
    }

    /// Removes sandboxes that nobody has used for a time: `{reaped, kept}`.
    pub(crate) fn reap(&self, call: &Call, request: &ReapRequest) -> Result<Value> {
        self.with(call, |session| reap::reap(session, call, request))
    }

    /// Waits until the health check at a URL succeeds: `{ready, waited_seconds}`.
    pub(crate) fn wait_ready(&self, call: &Call, request: &WaitReadyRequest) -> Result<Value> {
        ready::wait_ready(call, &self.0.config, request)
    }

    /// Runs a part of the story with the session, and takes secrets out of what goes wrong in it.
    fn with<T>(&self, call: &Call, part: impl FnOnce(&Session) -> Result<T>) -> Result<T> {
        let session = self.session(call)?;
        part(&session).map_err(|error| session.clean(error.on_runtime(session.runtime().kind().word())))
    }

    /// The session; the first call to find an engine that answers settles it.
    fn session(&self, call: &Call) -> Result<Arc<Session>> {
        if let Some(session) = self.settled() {
            return Ok(session);
        }
        call.enter(Phase::Inspect);
        // Outside the lock: an engine that hangs must not keep other calls from being cancelled.
        let session = Arc::new(opening::settle(&self.0.config, self.0.state.clone(), call)?);
        let mut place = self.0.session.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(place.get_or_insert(session).clone())
    }

    fn settled(&self) -> Option<Arc<Session>> {
        self.0.session.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
