//! Looking at containers and waiting for their end, for every part of the story.

use std::time::{Duration, Instant};

use super::look::{self, Bond};
use super::session::Session;
use crate::call::Call;
use crate::error::{Code, Error, Phase, Result};
use crate::readiness;
use crate::runtime::{Container, Ended, Watch, Which};

/// How long a container may take to vanish once it was told to.
pub(super) const GOING: Duration = Duration::from_secs(10);

impl Session {
    /// One container, or `None` when the engine has said that there is none; its port is then free again.
    pub fn inspect(&self, call: &Call, which: Which<'_>) -> Result<Option<Container>> {
        let found = self.runtime().inspect(call, which).map_err(|error| error.in_phase(Phase::Inspect))?;
        match (&found, which) {
            (None, Which::Id(id)) => self.forget_port(id),
            // An engine may take a name for the beginning of an id.
            (Some(container), Which::Name(name)) if container.name != name => return Ok(None),
            _ => {}
        }
        Ok(found)
    }

    /// The container that is meant: that very one where its id is known, else whatever bears the name now.
    pub fn find(&self, call: &Call, name: &str, id: Option<&str>) -> Result<Option<Container>> {
        let found = self.inspect(call, id.map_or(Which::Name(name), Which::Id))?;
        // A container that was renamed is not this sandbox any more.
        Ok(found.filter(|container| container.name == name))
    }

    /// Whose container it is; `NAME_CONFLICT` where its labels name another sandbox.
    pub fn bond(&self, found: &Container, sandbox_id: &str) -> Result<Bond> {
        look::bond(found, &self.config().container_prefix, sandbox_id, self.home().domain())
            .map_err(|error| error.on_runtime(self.runtime().kind().word()))
    }

    /// Waits until the engine has forgotten this very container.
    pub fn wait_gone(&self, call: &Call, id: &str, limit: Duration) -> Result<()> {
        let begun = Instant::now();
        let mut pause = Duration::from_millis(5);
        while self.inspect(call, Which::Id(id))?.is_some() {
            if begun.elapsed() >= limit {
                return Err(Error::new(Code::Timeout, "a container that was told to end is still there")
                    .with_hint("look at the container engine: it may be overloaded or stuck")
                    .in_phase(Phase::Stop)
                    .on_runtime(self.runtime().kind().word())
                    .retryable());
            }
            call.sleep(pause)?;
            pause = (pause * 3 / 2).min(Duration::from_millis(50));
        }
        Ok(())
    }

    /// Removes a container of ours and waits until nothing of it is left.
    pub fn remove_wholly(&self, call: &Call, id: &str) -> Result<()> {
        call.enter(Phase::Stop);
        self.runtime().remove(call, id).map_err(|error| error.in_phase(Phase::Stop))?;
        self.wait_gone(call, id, GOING)
    }

    /// The end of a container that the engine has forgotten already, as its watch saw it.
    pub fn last_words(&self, call: &Call, watch: Option<&mut (dyn Watch + '_)>) -> Ended {
        let mut watch = watch;
        let watch = watch.as_mut().map(|watch| &mut **watch as &mut dyn Watch);
        readiness::last_words(call, watch).unwrap_or_default()
    }

    /// All containers in one call, running ones only unless `all`; the ports of those that are gone are free again.
    pub fn list(&self, call: &Call, all: bool) -> Result<Vec<Container>> {
        // A container that is started while the engine answers is no reason to free its port.
        let owners = self.port_owners();
        let found = self.runtime().list(call, all).map_err(|error| error.in_phase(Phase::List))?;
        self.keep_ports_of(owners, &found);
        Ok(found)
    }
}
