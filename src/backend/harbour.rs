//! The host ports of the containers that this process has made: taken before the start, free when the container is
//! gone, whichever of the process's backends sees that first.

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::plan::Plan;
use super::session::Session;
use crate::call::Call;
use crate::config::PortAssignment;
use crate::error::{Code, Result};
use crate::locks::without_fork;
use crate::ports;
use crate::runtime::Container;

/// A port that is kept for a container.
struct Berth {
    /// The engine's part of the state directory: one engine knows nothing of another's containers.
    engine: PathBuf,
    /// The number of the session that keeps it.
    session: u64,
    _port: ports::Guard,
}

/// By container id.
static BERTHS: Mutex<Option<HashMap<String, Berth>>> = Mutex::new(None);

fn berths() -> MutexGuard<'static, Option<HashMap<String, Berth>>> {
    BERTHS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Takes berths out of the map; their ports are free when the answer is dropped, outside the map's lock.
fn clear(leaves: impl Fn(&str, &Berth) -> bool) -> Vec<(String, Berth)> {
    let _whole = without_fork();
    berths().as_mut().map(|all| all.extract_if(|id, berth| leaves(id, berth)).collect()).unwrap_or_default()
}

/// Frees the ports that a session keeps: it closes, and probing tells which are in use.
pub(super) fn leave(session: u64) {
    drop(clear(|_, berth| berth.session == session));
}

impl Session {
    /// A host port for a new container; `None` where the engine picks one itself.
    pub fn take_port(&self, call: &Call, plan: &Plan, skip: &[u16]) -> Result<Option<ports::Guard>> {
        let config = self.config();
        if config.port_assignment == PortAssignment::Engine {
            return Ok(None);
        }
        let take = || {
            let probe = (!self.runtime().is_remote()).then_some(plan.spec.publish.address);
            ports::take_next(self.state().ports(), config.base_port, config.port_count, probe, skip)
        };
        match take() {
            // What others removed behind our back has left its ports in the set: one look at the engine frees them all.
            Err(error) if error.code() == Code::PortExhausted && self.keeps_ports() => {
                self.list(call, true)?;
                take().map(Some)
            }
            taken => taken.map(Some),
        }
    }

    /// Keeps a port as long as the container lives; its lock is given back, for the engine holds the port now.
    pub fn keep_port(&self, id: &str, mut port: ports::Guard) {
        port.unlock();
        let berth = Berth { engine: self.home().place().to_owned(), session: self.number, _port: port };
        // What it replaces is dropped where forks are let through again.
        let _before = {
            let _whole = without_fork();
            berths().get_or_insert_default().insert(id.to_owned(), berth)
        };
    }

    /// The container is gone, so its port is free.
    pub fn forget_port(&self, id: &str) {
        let _port = {
            let _whole = without_fork();
            berths().as_mut().and_then(|all| all.remove(id))
        };
    }

    /// Unlinks the port locks that a killed maker of a container has left, now that the container is gone.
    pub fn sweep_ports(&self, gone: &Container) {
        for published in gone.published.values().flatten() {
            // A lock that was had is unlinked when it is dropped; one that is busy has a living owner.
            drop(self.state().ports().try_lock(published.port));
        }
    }

    fn keeps_ports(&self) -> bool {
        !self.port_owners().is_empty()
    }

    /// The containers of this engine whose ports are kept.
    pub fn port_owners(&self) -> HashSet<String> {
        let here = |berth: &Berth| berth.engine == self.home().place();
        let _whole = without_fork();
        let all = berths();
        all.iter().flatten().filter(|(_, berth)| here(berth)).map(|(id, _)| id.clone()).collect()
    }

    /// Frees the ports of those among `owners` that the engine does not know any more.
    pub fn keep_ports_of(&self, owners: HashSet<String>, found: &[Container]) {
        let alive: HashSet<&str> = found.iter().map(|container| container.id.as_str()).collect();
        owners.iter().filter(|id| !alive.contains(id.as_str())).for_each(|id| self.forget_port(id));
    }

    /// Every host port that the engine has published.
    pub fn published_ports(&self, call: &Call) -> Result<Vec<u16>> {
        let running = self.list(call, false)?;
        Ok(running
            .iter()
            .flat_map(|container| container.published.values().flatten())
            .map(|at| at.port)
            .collect())
    }
}
