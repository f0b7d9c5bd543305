//! The container runtimes behind one trait.
//!
//! A [`Runtime`] makes, starts, looks at, stops and removes containers and knows nothing of sandboxes: ids, labels,
//! locks, ports and adoption belong to `backend.rs`. `engine/` speaks the Docker Engine API (Docker and Podman),
//! `apple.rs` drives Apple's `container` command, `detect.rs` finds which one is there.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use crate::call::Call;
use crate::error::{Error, Result};

pub(crate) mod apple;
pub(crate) mod command;
pub(crate) mod detect;
pub(crate) mod engine;
pub(crate) mod text;

/// Which runtime it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Docker Engine and what speaks its API.
    Docker,
    /// Podman, through its Docker-compatible socket.
    Podman,
    /// Apple's `container`.
    Apple,
}

impl Kind {
    /// The runtime's word in config and JSON.
    pub const fn word(self) -> &'static str {
        match self {
            Kind::Docker => "docker",
            Kind::Podman => "podman",
            Kind::Apple => "container",
        }
    }
}

/// What an engine says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct About {
    pub version: Option<String>,
    pub api_version: Option<String>,
}

/// How a folder or volume of the host gets into a container; judged and made canonical already.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Mount {
    pub source: PathBuf,
    pub target: String,
    pub read_only: bool,
}

/// Where a container port is published. `port` 0 lets the engine choose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Published {
    pub address: IpAddr,
    pub port: u16,
}

/// Which network a container joins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Network {
    /// The bridge `sandport` without traffic between containers; `required`: that or an error.
    Isolated { required: bool },
    /// The engine's default network.
    Default,
    /// A network of the user's own.
    Named(String),
}

/// Limits of one container.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Limits {
    pub memory_bytes: Option<u64>,
    /// Swap equal to memory, that is none beside it.
    pub no_swap: bool,
    pub cpus: Option<f64>,
    pub pids: u64,
    pub shm_bytes: Option<u64>,
    pub log_bytes: u64,
}

/// Security settings of one container.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Confinement {
    pub seccomp: Seccomp,
    pub no_new_privileges: bool,
    pub cap_drop: Vec<String>,
    pub cap_add: Vec<String>,
    pub read_only_rootfs: bool,
    pub user: Option<String>,
    pub selinux_disabled: bool,
}

/// The system-call filter.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Seccomp {
    #[default]
    Unconfined,
    /// The engine's own.
    Default,
    /// The text of a profile, read from the file that the config names.
    Profile(String),
}

/// Everything that a container is made from.
#[derive(Clone, Debug)]
pub(crate) struct ContainerSpec {
    pub name: String,
    pub image: String,
    pub command: Vec<String>,
    pub environment: BTreeMap<String, String>,
    pub labels: BTreeMap<String, String>,
    pub mounts: Vec<Mount>,
    pub container_port: u16,
    pub publish: Published,
    pub network: Network,
    pub extra_hosts: Vec<String>,
    pub limits: Limits,
    pub confinement: Confinement,
    pub init: bool,
    pub stop_timeout: Duration,
}

/// A container that was made and is not started yet.
#[derive(Clone, Debug)]
pub(crate) struct Made {
    /// 64 hex digits (Apple: the name).
    pub id: String,
    /// Whether it stands on the network without traffic between containers.
    pub isolated: bool,
    pub warnings: Vec<String>,
}

/// Why a container could not be made or started.
#[derive(Debug)]
pub(crate) enum Refusal {
    /// The name is in use: look again.
    NameInUse(Error),
    /// The image is not here.
    NoImage(Error),
    /// The host port is taken.
    PortInUse(Error),
    /// The container vanished between create and start: look again.
    Gone(Error),
    /// Anything else fails at once.
    Failed(Error),
}

impl Refusal {
    /// The same refusal, of which more is told.
    pub fn map(self, tell: impl FnOnce(Error) -> Error) -> Refusal {
        match self {
            Refusal::NameInUse(error) => Refusal::NameInUse(tell(error)),
            Refusal::NoImage(error) => Refusal::NoImage(tell(error)),
            Refusal::PortInUse(error) => Refusal::PortInUse(tell(error)),
            Refusal::Gone(error) => Refusal::Gone(tell(error)),
            Refusal::Failed(error) => Refusal::Failed(tell(error)),
        }
    }

    /// The error that it is when nobody can cure it.
    pub fn into_error(self) -> Error {
        match self {
            Refusal::NameInUse(error)
            | Refusal::NoImage(error)
            | Refusal::PortInUse(error)
            | Refusal::Gone(error)
            | Refusal::Failed(error) => error,
        }
    }
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        Refusal::Failed(error)
    }
}

/// The state of a container as the engine says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Made, not started.
    Created,
    /// Running.
    Running,
    /// Running, frozen.
    Paused,
    /// Being stopped.
    Stopping,
    /// Ended.
    Exited,
    /// Being removed.
    Removing,
    /// Ended and could not be removed.
    Dead,
    /// None of the words above.
    Unknown,
}

impl State {
    /// The state's word in JSON.
    pub const fn word(self) -> &'static str {
        match self {
            State::Created => "created",
            State::Running => "running",
            State::Paused => "paused",
            State::Stopping => "stopping",
            State::Exited => "exited",
            State::Removing => "removing",
            State::Dead => "dead",
            State::Unknown => "unknown",
        }
    }

    /// Whether its processes exist.
    pub fn is_alive(self) -> bool {
        matches!(self, State::Running | State::Paused | State::Stopping)
    }
}

/// A container as inspect shows it; in a list, what a summary does not tell is `None` or empty.
#[derive(Clone, Debug)]
pub(crate) struct Container {
    /// 64 hex digits (Apple: the name).
    pub id: String,
    /// Without the leading slash.
    pub name: String,
    pub state: State,
    pub labels: BTreeMap<String, String>,
    /// Unix seconds.
    pub created_at: f64,
    /// When it was started, in the engine's own words: changes with every start.
    pub started_at: Option<String>,
    /// Published host addresses by container port (TCP only), IPv4 first.
    pub published: BTreeMap<u16, Vec<Published>>,
    /// Whether the engine removes it when it ends.
    pub auto_remove: bool,
    /// `None` in a list.
    pub environment: Option<Vec<String>>,
    /// The names of its networks.
    pub networks: Vec<String>,
    /// The process id of its first process as the engine sees it; 0 or `None` when there is none.
    pub pid: Option<u32>,
}

impl Container {
    /// Where the host reaches this container port.
    pub fn published_at(&self, container_port: u16) -> Option<Published> {
        self.published.get(&container_port).and_then(|all| all.first().copied())
    }
}

/// How a container ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Ended {
    pub exit_code: Option<i64>,
    pub oom_killed: Option<bool>,
    /// The last lines it printed: at most 20 lines and 4 KiB, control characters escaped.
    pub log: String,
}

/// Watches one container that is about to be started; dropping it stops watching.
pub(crate) trait Watch: Send {
    /// Never blocks. `None` while it runs, or as long as nothing is known.
    fn ended(&mut self) -> Option<Ended>;
}

/// How a container is named in a question: by its whole id or by its exact name, never by part of either.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Which<'a> {
    Id(&'a str),
    Name(&'a str),
}

impl<'a> Which<'a> {
    /// The text that stands for it.
    pub fn text(self) -> &'a str {
        match self {
            Which::Id(text) | Which::Name(text) => text,
        }
    }
}

/// A container runtime. Every function blocks for at most the call's time and `call_timeout_seconds`, may be called
/// from any thread, and ends with `CANCELLED` within 100 ms of a cancellation, but for [`Runtime::create`] and
/// [`Runtime::start`], which run to their end once they are sent, so that it is known what they did.
pub(crate) trait Runtime: Send + Sync {
    /// Which one it is.
    fn kind(&self) -> Kind;

    /// The endpoint as the config would name it; empty where there is none (Apple).
    fn endpoint(&self) -> &str;

    /// What tells engines of one machine apart: real parent folder + socket name, or the URL, or the runtime's name.
    fn identity(&self) -> String;

    /// Whether it runs on another machine, so that local ports and paths mean nothing.
    fn is_remote(&self) -> bool;

    /// One cheap question that proves that it answers; also negotiates the API version.
    fn ping(&self, call: &Call) -> Result<About>;

    /// Makes a container, detached and removed when it ends; makes the isolated network when it is asked for and
    /// absent (`lock` guards that across processes). Does not pull.
    fn create(&self, call: &Call, spec: &ContainerSpec, lock: &dyn NetworkLock) -> Result<Made, Refusal>;

    /// Starts a made container.
    fn start(&self, call: &Call, id: &str) -> Result<(), Refusal>;

    /// Watches a container from before its start; `None` where the runtime cannot.
    fn watch(&self, call: &Call, id: &str) -> Result<Option<Box<dyn Watch>>>;

    /// One container; `None` only when the engine has said that there is none.
    fn inspect(&self, call: &Call, which: Which<'_>) -> Result<Option<Container>>;

    /// All containers in one call, running ones only unless `all`.
    fn list(&self, call: &Call, all: bool) -> Result<Vec<Container>>;

    /// Stops by id; false where there was none. A container that is removed when it ends may still be there on return.
    fn stop(&self, call: &Call, id: &str, timeout: Duration) -> Result<bool>;

    /// Kills and removes by id with its anonymous volumes; false where there was none. "Already in progress" is true.
    fn remove(&self, call: &Call, id: &str) -> Result<bool>;

    /// Brings an image, saying how far it is through [`Call::report_pull`].
    fn pull(&self, call: &Call, image: &str) -> Result<()>;

    /// The folder in which the engine keeps its data, where it tells.
    fn data_root(&self, call: &Call) -> Result<Option<PathBuf>>;
}

/// Guards the making of the isolated network: the state directory's `E/network.lock`.
pub(crate) trait NetworkLock {
    /// Takes the lock within the call's time; dropping the answer gives it back.
    fn hold(&self, call: &Call) -> Result<Box<dyn std::any::Any>>;
}
