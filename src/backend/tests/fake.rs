//! A container engine in memory: it does what it is told, refuses what a test wants refused, and writes down what it
//! was asked for.

use std::collections::{BTreeMap, VecDeque};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use serde_json::{Value, json};

use crate::backend::session::Session;
use crate::backend::{Backend, Inner};
use crate::call::Call;
use crate::config::Config;
use crate::error::{Code, Error, Result};
use crate::locks::StateDir;
use crate::runtime::*;

pub type Change = Box<dyn FnMut(&mut World) + Send>;

/// What the engine holds and has seen.
#[derive(Default)]
pub struct World {
    pub containers: Vec<Container>,
    /// What the next creates answer instead.
    pub at_create: VecDeque<Refusal>,
    /// What the next starts answer instead.
    pub at_start: VecDeque<Refusal>,
    /// What happens at each inspect, before it answers.
    pub at_inspect: VecDeque<Change>,
    /// The call that is cancelled as soon as a container is made.
    pub cancel_at_create: Option<Call>,
    pub tried_ports: Vec<u16>,
    pub removed: Vec<String>,
    pub stopped: Vec<String>,
    pub pulls: u32,
    pub lists: u32,
}

/// No two engines give one id: the ports of a process's containers are kept by it.
static MADE: AtomicU32 = AtomicU32::new(1);

#[derive(Default)]
pub struct Fake(Mutex<World>);

/// An engine in memory, a backend that has settled on it, and a state directory that goes with the rig.
pub struct Rig {
    pub backend: Backend,
    pub engine: Arc<Fake>,
    pub folder: PathBuf,
}

impl Drop for Rig {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

impl Rig {
    pub fn new(settings: Value) -> Rig {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let folder = std::env::temp_dir().join(format!("sandport-story-{}-{number}", std::process::id()));
        let engine = Arc::new(Fake::default());
        let backend = backend(&engine, &folder, settings);
        Rig { backend, engine, folder }
    }

    pub fn session(&self) -> Arc<Session> {
        self.backend.settled().expect("the rig has settled it")
    }

    /// Every lock file that is left.
    pub fn lock_files(&self) -> Vec<String> {
        let home = self.session().home().place().to_owned();
        ["names", "leases", "../ports"]
            .iter()
            .flat_map(|room| std::fs::read_dir(home.join(room)).expect("the room is there"))
            .map(|entry| entry.expect("it can be read").file_name().to_string_lossy().into_owned())
            .collect()
    }
}

/// One more backend on the same engine.
pub fn backend(engine: &Arc<Fake>, folder: &std::path::Path, settings: Value) -> Backend {
    let mut text = json!({"state_dir": folder, "base_port": 27000, "port_count": 90, "ready_timeout_seconds": 0, "pull": "missing"});
    text.as_object_mut().unwrap().extend(settings.as_object().expect("settings are an object").clone());
    let config = Arc::new(Config::from_json(&text.to_string()).expect("the config is valid"));
    let state = StateDir::open(config.state_dir.as_deref()).expect("the state directory opens");
    let session = Session::open(config.clone(), engine.clone(), state.clone()).expect("the session opens");
    Backend(Arc::new(Inner { config, state, session: Mutex::new(Some(Arc::new(session))) }))
}

pub fn refused(what: &str) -> Error {
    Error::new(Code::RuntimeFailed, what)
}

pub fn container(id: &str, name: &str, state: State, labels: &[(&str, &str)]) -> Container {
    Container {
        id: id.repeat(64)[..64].to_owned(),
        name: name.into(),
        state,
        labels: labels.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
        created_at: 1.0,
        started_at: Some("then".into()),
        published: BTreeMap::from([(8080, vec![Published { address: [127, 0, 0, 1].into(), port: 40999 }])]),
        auto_remove: false,
        environment: Some(Vec::new()),
        networks: vec!["sandport".into()],
        pid: None,
    }
}

impl Fake {
    pub fn world(&self) -> MutexGuard<'_, World> {
        self.0.lock().expect("no test panicked with it")
    }
}

impl Runtime for Fake {
    fn kind(&self) -> Kind {
        Kind::Docker
    }

    fn endpoint(&self) -> &str {
        "fake"
    }

    fn identity(&self) -> String {
        "fake".into()
    }

    fn is_remote(&self) -> bool {
        false
    }

    fn ping(&self, _call: &Call) -> Result<About> {
        Ok(About::default())
    }

    fn create(&self, _call: &Call, spec: &ContainerSpec, _lock: &dyn NetworkLock) -> Result<Made, Refusal> {
        let mut world = self.world();
        if let Some(refusal) = world.at_create.pop_front() {
            return Err(refusal);
        }
        if world.containers.iter().any(|other| other.name == spec.name) {
            return Err(Refusal::NameInUse(refused("name")));
        }
        let mut made = container("0", &spec.name, State::Created, &[]);
        made.id = format!("{:064x}", MADE.fetch_add(1, Ordering::Relaxed));
        made.labels = spec.labels.clone();
        made.environment =
            Some(spec.environment.iter().map(|(name, value)| format!("{name}={value}")).collect());
        made.published = BTreeMap::from([(spec.container_port, vec![spec.publish])]);
        made.auto_remove = true;
        let id = made.id.clone();
        world.containers.push(made);
        if let Some(call) = world.cancel_at_create.take() {
            call.cancel();
        }
        Ok(Made { id, isolated: true, warnings: Vec::new() })
    }

    fn start(&self, _call: &Call, id: &str) -> Result<(), Refusal> {
        let mut world = self.world();
        let refusal = world.at_start.pop_front();
        let found = world.containers.iter_mut().find(|found| found.id == id);
        let found = found.ok_or_else(|| Refusal::Gone(refused("gone")))?;
        let port = found.published.values().flatten().next().expect("a port is published").port;
        if refusal.is_none() {
            found.state = State::Running;
        }
        world.tried_ports.push(port);
        refusal.map_or(Ok(()), Err)
    }

    fn watch(&self, _call: &Call, _id: &str) -> Result<Option<Box<dyn Watch>>> {
        Ok(None)
    }

    fn inspect(&self, _call: &Call, which: Which<'_>) -> Result<Option<Container>> {
        let mut world = self.world();
        if let Some(mut change) = world.at_inspect.pop_front() {
            change(&mut world);
        }
        Ok(world
            .containers
            .iter()
            .find(|found| match which {
                Which::Id(id) => found.id == id,
                Which::Name(name) => found.name == name,
            })
            .cloned())
    }

    fn list(&self, _call: &Call, all: bool) -> Result<Vec<Container>> {
        let mut world = self.world();
        world.lists += 1;
        Ok(world.containers.iter().filter(|found| all || found.state == State::Running).cloned().collect())
    }

    fn stop(&self, _call: &Call, id: &str, _timeout: Duration) -> Result<bool> {
        let mut world = self.world();
        world.stopped.push(id.to_owned());
        let Some(at) = world.containers.iter().position(|found| found.id == id) else { return Ok(false) };
        if world.containers[at].auto_remove {
            world.containers.remove(at);
        } else {
            world.containers[at].state = State::Exited;
        }
        Ok(true)
    }

    fn remove(&self, _call: &Call, id: &str) -> Result<bool> {
        let mut world = self.world();
        world.removed.push(id.to_owned());
        let before = world.containers.len();
        world.containers.retain(|found| found.id != id);
        Ok(world.containers.len() < before)
    }

    fn pull(&self, _call: &Call, _image: &str) -> Result<()> {
        self.world().pulls += 1;
        Ok(())
    }

    fn data_root(&self, _call: &Call) -> Result<Option<PathBuf>> {
        Ok(None)
    }
}
