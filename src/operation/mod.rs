//! What can be asked of a backend: the operations of the C ABI and their typed requests.
//!
//! [`Operation::parse`] checks a request's form, whatever needs no engine and no file; [`Ask::check`] what needs the
//! config beside it.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use crate::backend::Tenant;
use crate::config::{Config, Resources};
use crate::error::{Error, Result};
use crate::json::{Fields, LIMIT};
use crate::mounts::MountRequest;
use crate::sandbox;

mod read;
#[cfg(test)]
mod tests;

/// The operations; their numbers are the C ABI's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u32)]
pub enum Operation {
    /// Makes or adopts a sandbox.
    Create = 1,
    /// Stops and removes one.
    Destroy = 2,
    /// Finds one that answers.
    Discover = 3,
    /// Asks the engine whether one runs.
    IsAlive = 4,
    /// All that run.
    List = 5,
    /// An HTTP request to one.
    Request = 6,
    /// This backend no longer uses one.
    Release = 7,
    /// Removes those that nobody uses.
    Reap = 8,
    /// Waits until a URL answers.
    WaitReady = 9,
}

impl Operation {
    /// All of them, in the order of their numbers.
    pub const ALL: [Operation; 9] = [
        Operation::Create,
        Operation::Destroy,
        Operation::Discover,
        Operation::IsAlive,
        Operation::List,
        Operation::Request,
        Operation::Release,
        Operation::Reap,
        Operation::WaitReady,
    ];

    /// The operation of this number.
    pub fn from_number(number: u32) -> Option<Operation> {
        Operation::ALL.into_iter().find(|operation| *operation as u32 == number)
    }

    /// Its word, such as `"is_alive"`.
    pub const fn word(self) -> &'static str {
        match self {
            Operation::Create => "create",
            Operation::Destroy => "destroy",
            Operation::Discover => "discover",
            Operation::IsAlive => "is_alive",
            Operation::List => "list",
            Operation::Request => "request",
            Operation::Release => "release",
            Operation::Reap => "reap",
            Operation::WaitReady => "wait_ready",
        }
    }

    /// Most bytes of its request.
    pub const fn limit(self) -> usize {
        match self {
            Operation::Request => 32 << 20,
            _ => LIMIT,
        }
    }

    /// Reads a request and checks its form.
    pub(crate) fn parse(self, json: &str) -> Result<Ask> {
        let mut fields = Fields::parse(json, self.limit())?;
        let ask = match self {
            Operation::Create => Ask::Create(read::create(&mut fields)?),
            Operation::Destroy => Ask::Destroy(read::destroy(&mut fields)?),
            Operation::Discover => Ask::Discover(read::target(&mut fields)?),
            Operation::IsAlive => Ask::IsAlive(read::target(&mut fields)?),
            Operation::List => Ask::List,
            Operation::Request => Ask::Request(read::request(&mut fields)?),
            Operation::Release => Ask::Release(read::target(&mut fields)?),
            Operation::Reap => Ask::Reap(read::reap(&mut fields)?),
            Operation::WaitReady => Ask::WaitReady(read::wait_ready(&mut fields)?),
        };
        fields.finish()?;
        Ok(ask)
    }
}

/// A request of valid form.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Ask {
    Create(CreateRequest),
    Destroy(DestroyRequest),
    Discover(Target),
    IsAlive(Target),
    List,
    Request(SandboxRequest),
    Release(Target),
    Reap(ReapRequest),
    WaitReady(WaitReadyRequest),
}

impl Ask {
    /// Refuses what this config rules out: names, the auth header, the auth variable.
    pub fn check(&self, config: &Config) -> Result<()> {
        match self {
            Ask::Create(request) => request.check(config),
            Ask::Destroy(request) => request.target.check(&config.container_prefix),
            Ask::Request(request) => request.check(config),
            Ask::Discover(target) | Ask::IsAlive(target) | Ask::Release(target) => {
                target.check(&config.container_prefix)
            }
            Ask::List | Ask::Reap(_) | Ask::WaitReady(_) => Ok(()),
        }
    }
}

/// Which sandbox is meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Target {
    pub sandbox_id: String,
    /// That very container: 64 hex digits (Apple: the name).
    pub container_id: Option<String>,
    /// As a SandboxInfo had it; must be prefix + id.
    pub container_name: Option<String>,
}

impl Target {
    /// Refuses a name that is not this prefix + id, or too long.
    pub fn check(&self, prefix: &str) -> Result<()> {
        sandbox::check_name(prefix, &self.sandbox_id)?;
        let name = sandbox::container_name(prefix, &self.sandbox_id);
        if self.container_name.as_ref().is_some_and(|said| *said != name) {
            return Err(Error::invalid(
                "`sandbox.container_name` is not this backend's prefix and the sandbox id",
            )
            .with_hint("use a backend with the `container_prefix` that made this sandbox"));
        }
        // Apple's containers have no id but their name.
        let fits = |id: &String| sandbox::is_container_id(id) || *id == name;
        if self.container_id.as_ref().is_some_and(|id| !fits(id)) {
            return Err(Error::invalid("`container_id` is not 64 hex digits")
                .with_hint("pass the `container_id` of a SandboxInfo, in full"));
        }
        Ok(())
    }
}

/// What to make.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct CreateRequest {
    pub sandbox_id: Option<String>,
    pub thread_id: Option<String>,
    pub user_id: Option<String>,
    pub image: Option<String>,
    pub command: Option<Vec<String>>,
    pub extra_mounts: Vec<MountRequest>,
    /// Literal.
    pub environment: BTreeMap<String, String>,
    pub labels: BTreeMap<String, String>,
    pub resources: Option<Resources>,
    pub ready_timeout: Option<Duration>,
    /// The guest that it is for; no C caller's request has one.
    pub tenant: Option<Box<Tenant>>,
}

impl CreateRequest {
    /// The sandbox id: the given one, else of the thread's, else random (another one each time).
    pub fn id(&self) -> Result<String> {
        match (&self.sandbox_id, &self.thread_id) {
            (Some(id), _) => Ok(id.clone()),
            (None, Some(thread)) => {
                Ok(sandbox::id_of_thread(self.user_id.as_deref().unwrap_or_default(), thread))
            }
            (None, None) => sandbox::random_id(),
        }
    }

    /// Refuses what this config rules out.
    pub fn check(&self, config: &Config) -> Result<()> {
        // Ids that we make have at most 32 digits.
        let longest = "0".repeat(32);
        sandbox::check_name(&config.container_prefix, self.sandbox_id.as_ref().unwrap_or(&longest))?;
        match &config.auth {
            Some(auth) if self.environment.contains_key(&auth.environment) => Err(crate::json::wrong(
                &format!("environment.{}", auth.environment),
                "is the variable of `auth`",
            )
            .with_hint("leave it out: the library makes a key for each sandbox")),
            _ => Ok(()),
        }
    }
}

/// What to destroy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct DestroyRequest {
    pub target: Target,
    pub stop_timeout: Option<Duration>,
}

/// An HTTP request to a sandbox.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SandboxRequest {
    pub target: Target,
    pub method: String,
    pub path: String,
    pub headers: Vec<(String, String)>,
    pub body: Option<Vec<u8>>,
    pub timeout: Duration,
    pub max_response_bytes: u64,
}

impl SandboxRequest {
    /// Refuses what this config rules out.
    pub fn check(&self, config: &Config) -> Result<()> {
        self.target.check(&config.container_prefix)?;
        let Some(auth) = &config.auth else { return Ok(()) };
        match self.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case(&auth.header)) {
            true => Err(Error::invalid("`headers` has the header of `auth`")
                .with_hint("leave it out: the library sends each sandbox its key")),
            false => Ok(()),
        }
    }
}

/// Which sandboxes to reap.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ReapRequest {
    pub idle: Duration,
    pub dry_run: bool,
    pub include_lost: bool,
}

/// What to wait for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct WaitReadyRequest {
    /// An address (IPv6 without brackets) or a host name.
    pub host: String,
    pub port: u16,
    /// `HOST:PORT` as the URL has it.
    pub authority: String,
    pub timeout: Duration,
}

/// Which port to take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct AllocatePort {
    pub start_port: u16,
    /// `start_port + count - 1` is a port.
    pub count: u16,
    pub bind_host: IpAddr,
    pub state_dir: Option<PathBuf>,
}

impl AllocatePort {
    /// Reads a request and checks its form.
    pub fn parse(json: &str) -> Result<AllocatePort> {
        let mut fields = Fields::parse(json, LIMIT)?;
        let request = read::allocate_port(&mut fields)?;
        fields.finish()?;
        Ok(request)
    }
}

/// Which port to give back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ReleasePort {
    pub port: u16,
}

impl ReleasePort {
    /// Reads a request and checks its form.
    pub fn parse(json: &str) -> Result<ReleasePort> {
        let mut fields = Fields::parse(json, LIMIT)?;
        let port = fields.port("port")?;
        let port = fields.required("port", port)?;
        fields.finish()?;
        Ok(ReleasePort { port })
    }
}
