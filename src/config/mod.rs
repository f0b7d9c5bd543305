//! The config of a backend: strict JSON to one typed struct, validated once.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use crate::error::Result;
use crate::form;
use crate::mounts::MountRequest;
use crate::runtime::{Confinement, Limits, Network};

mod parts;
mod read;
mod resources;
#[cfg(test)]
mod tests;

pub(crate) use crate::form::is_loopback;
pub(crate) use parts::{headers, labels, ports};
pub(crate) use read::{bind_host_of_environment, literal_environment, state_dir};
pub(crate) use resources::Resources;

/// Which runtime the config asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RuntimeChoice {
    Auto,
    Docker,
    Podman,
    Apple,
}

/// Who chooses host ports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PortAssignment {
    /// We do, from `base_port` on.
    Range,
    /// The engine does, and we read it back.
    Engine,
}

/// Whose paths the sources of mounts are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MountPaths {
    /// The engine's own where it lives elsewhere, else this process's.
    Auto,
    /// This process's.
    Local,
    /// The engine's, checked by their text only.
    Engine,
}

/// When images are brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pull {
    Missing,
    Never,
    Always,
}

/// How a sandbox is asked whether it is well.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Health {
    pub path: String,
    pub headers: Vec<(String, String)>,
}

/// How a sandbox gets its key, and how the key is shown to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct AuthConfig {
    /// The variable that hands the key in.
    pub environment: String,
    /// In lower case.
    pub header: String,
    /// What stands before the key in the header.
    pub prefix: String,
}

/// A valid config.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Config {
    pub image: String,
    pub runtime: RuntimeChoice,
    /// As the config names it; `None`: the environment's or a well-known one.
    pub endpoint: Option<String>,
    pub container_prefix: String,
    pub container_port: u16,
    pub base_port: u16,
    /// `base_port + port_count - 1` is a port.
    pub port_count: u16,
    pub port_assignment: PortAssignment,
    pub mounts: Vec<MountRequest>,
    pub mount_paths: MountPaths,
    /// Host variables are filled in.
    pub environment: BTreeMap<String, String>,
    /// An address (IPv6 without brackets) or a host name.
    pub sandbox_host: String,
    pub bind_host: IpAddr,
    pub health: Health,
    pub auth: Option<AuthConfig>,
    pub ready_timeout: Duration,
    pub discover_timeout: Duration,
    pub stop_timeout: Duration,
    /// `None`: where the runtime has one.
    pub init: Option<bool>,
    pub pull: Pull,
    pub resources: Limits,
    pub security: Confinement,
    pub network: Network,
    pub extra_hosts: Vec<String>,
    pub labels: BTreeMap<String, String>,
    /// As the config names it; `None`: the environment's or the usual one.
    pub state_dir: Option<PathBuf>,
    pub call_timeout: Duration,
    /// What the user should know of this config.
    pub warnings: Vec<String>,
}

impl Config {
    /// Reads and checks a config; looks into the environment and reads the seccomp profile.
    pub fn from_json(text: &str) -> Result<Config> {
        read::config(text, &|name| std::env::var_os(name))
    }

    /// Whether sandboxes are reached on this very machine.
    pub fn sandbox_is_local(&self) -> bool {
        form::is_loopback(&self.sandbox_host)
    }
}
