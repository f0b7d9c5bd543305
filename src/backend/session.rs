//! What a backend holds once it knows its engine: the runtime, the state directory, the leases and the ports in use.

use std::any::Any;
use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::address::Address;
use super::auth;
use super::containers::GOING;
use super::harbour;
use super::look::Bond;
use super::paths;
use super::secrets::Secrets;
use super::tenure::{self, Held};
use crate::call::Call;
use crate::config::{Config, MountPaths};
use crate::error::{Error, Result};
use crate::locks::{Home, StateDir};
use crate::mounts;
use crate::operation::Target;
use crate::request::Connections;
use crate::runtime::{Container, Network, NetworkLock, Runtime};
use crate::sandbox::{self, Auth, SandboxInfo};

/// The bridge without traffic between containers.
const ISOLATED_NETWORK: &str = "sandport";

static NUMBERS: AtomicU64 = AtomicU64::new(1);

/// A backend that has settled on an engine.
pub(super) struct Session {
    config: Arc<Config>,
    runtime: Arc<dyn Runtime>,
    state: StateDir,
    home: Home,
    secrets: Secrets,
    /// Whether this process's paths mean the same to the engine.
    pub paths_are_shared: bool,
    pub connections: Connections,
    /// By container name.
    leases: Mutex<HashMap<String, Held>>,
    /// Tells this process's sessions apart.
    pub number: u64,
}

impl Session {
    /// Opens this engine's part of the state directory.
    pub fn open(config: Arc<Config>, runtime: Arc<dyn Runtime>, state: StateDir) -> Result<Session> {
        let home = state.home(&runtime.identity())?;
        let paths_are_shared = match config.mount_paths {
            MountPaths::Local => true,
            MountPaths::Engine => false,
            MountPaths::Auto => paths::are_shared(runtime.endpoint(), runtime.is_remote()),
        };
        Ok(Session {
            secrets: Secrets::of(config.environment.values().map(String::as_str)),
            connections: Connections::new(),
            leases: Mutex::default(),
            number: NUMBERS.fetch_add(1, Ordering::Relaxed),
            paths_are_shared,
            config,
            runtime,
            state,
            home,
        })
    }

    /// What the mounts of a sandbox are judged by.
    pub fn mount_rules(&self, call: &Call) -> Result<mounts::Rules> {
        Ok(mounts::Rules {
            paths_are_ours: self.paths_are_shared,
            data_root: self.runtime.data_root(call)?,
            state_dir: self.state.path().to_owned(),
            sockets: self.runtime.endpoint().strip_prefix("unix://").map(PathBuf::from).into_iter().collect(),
        })
    }

    /// The state directory.
    pub fn state(&self) -> &StateDir {
        &self.state
    }

    pub fn config(&self) -> &Config {
        &self.config
    }

    pub fn runtime(&self) -> &dyn Runtime {
        &*self.runtime
    }

    pub fn home(&self) -> &Home {
        &self.home
    }

    /// The call with at most the time of one request to the engine: for locks, and what must not take longer.
    pub fn bounded(&self, call: &Call) -> Call {
        call.within(self.config.call_timeout)
    }

    /// The call, deaf to cancellation, for taking back what was made.
    pub fn sheltered(&self, call: &Call) -> Call {
        call.sheltered(self.config.call_timeout + GOING)
    }

    /// The container name of a sandbox.
    pub fn name_of(&self, target: &Target) -> String {
        sandbox::container_name(&self.config.container_prefix, &target.sandbox_id)
    }

    /// An error without any environment value of the config.
    pub fn clean(&self, error: Error) -> Error {
        self.secrets.clean(error)
    }

    // --- leases ---

    fn leases(&self) -> MutexGuard<'_, HashMap<String, Held>> {
        self.leases.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps what a call has leased; what this backend holds already is kept once.
    pub fn hold(&self, name: String, held: Held) {
        match self.leases().entry(name) {
            std::collections::hash_map::Entry::Occupied(mut kept) => kept.get_mut().join(held),
            std::collections::hash_map::Entry::Vacant(place) => drop(place.insert(held)),
        }
    }

    /// Whether this backend leases that very container.
    pub fn holds(&self, name: &str, id: &str) -> bool {
        self.leases().get(name).is_some_and(|held| held.id == id)
    }

    /// Whether this backend leases a sandbox of this name.
    pub fn leases_name(&self, name: &str) -> bool {
        self.leases().contains_key(name)
    }

    /// Gives a sandbox back; false where this backend did not use it.
    pub fn give_up(&self, name: &str, id: Option<&str>) -> bool {
        let held = self.take_lease(name, id);
        held.map(|held| held.release(self, name)).is_some()
    }

    /// Closes the lease of a container that is gone; the caller holds its name.
    pub fn end_lease(&self, name: &str, id: Option<&str>) {
        match self.take_lease(name, id) {
            Some(held) => held.end(self, name),
            None => tenure::unlink(&self.home, name),
        }
    }

    fn take_lease(&self, name: &str, id: Option<&str>) -> Option<Held> {
        let mut leases = self.leases();
        let meant = leases.get(name).is_some_and(|held| id.is_none_or(|id| held.id == id));
        if meant { leases.remove(name) } else { None }
    }

    // --- what is told of a sandbox ---

    /// Where a sandbox is reached; `None` where its port is not published.
    pub fn address_of(&self, container: &Container) -> Option<Address> {
        let published =
            container.published_at(self.config.container_port).filter(|published| published.port != 0)?;
        Some(Address::of(published, &self.config.sandbox_host))
    }

    /// The key of a sandbox that has one, as its environment shows it.
    pub fn key_of(&self, container: &Container) -> Option<String> {
        let auth = self.config.auth.as_ref()?;
        auth::read_back(container.environment.as_deref()?, &auth.environment).map(str::to_owned)
    }

    /// The header that opens a sandbox with this key.
    pub fn auth(&self, key: Option<&str>) -> Option<Auth> {
        let auth = self.config.auth.as_ref()?;
        Some(Auth { header: auth.header.clone(), value: format!("{}{}", auth.prefix, key?) })
    }

    /// What inspect or list tells of a sandbox.
    pub fn describe(&self, container: &Container, bond: &Bond, sandbox_id: &str) -> SandboxInfo {
        SandboxInfo {
            sandbox_id: sandbox_id.to_owned(),
            sandbox_url: self.address_of(container).map(|address| address.url()).unwrap_or_default(),
            container_name: container.name.clone(),
            container_id: container.id.clone(),
            created_at: container.created_at,
            runtime: self.runtime.kind(),
            state: container.state,
            created: None,
            spec_matches: None,
            leased: None,
            isolation: isolation(container, bond),
            timings: None,
            auth: None,
            warnings: Vec::new(),
        }
    }

    fn wants_isolation(&self) -> bool {
        matches!(self.config.network, Network::Isolated { .. })
    }

    /// What its user should know of a sandbox.
    pub fn warnings(&self, info: &SandboxInfo, bond: &Bond) -> Vec<String> {
        let mut warnings = self.config.warnings.clone();
        if info.created == Some(false) && info.isolation == Some("shared") && self.wants_isolation() {
            warnings.push("other containers of the engine can reach this sandbox by its network".to_owned());
        }
        if info.leased == Some(false) {
            warnings.push(match bond {
                Bond::Stranger => "another tool made this container, and may remove it while it is in use".to_owned(),
                _ => "this container belongs to another state directory that cannot be reached: its reaper does not \
                      see that it is in use"
                    .to_owned(),
            });
        }
        warnings
    }
}

impl NetworkLock for Session {
    fn hold(&self, call: &Call) -> Result<Box<dyn Any>> {
        Ok(Box::new(self.home.network(&self.bounded(call))?))
    }
}

impl Drop for Session {
    /// Nobody uses the backend any more: what it leased is idle from now, unless others use it.
    fn drop(&mut self) {
        let leases: Vec<_> = self.leases().drain().collect();
        for (name, held) in leases {
            held.release(self, &name);
        }
        harbour::leave(self.number);
    }
}

/// Whether other sandboxes can reach it by the engine's network.
fn isolation(container: &Container, bond: &Bond) -> Option<&'static str> {
    let isolated = *bond != Bond::Stranger && container.networks == [ISOLATED_NETWORK];
    (!container.networks.is_empty()).then_some(if isolated { "isolated" } else { "shared" })
}
