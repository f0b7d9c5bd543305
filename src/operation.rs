//! What can be asked of a backend: the operations of the C ABI and their typed requests.
//!
//! [`Operation::parse`] checks a request's form, whatever needs no engine and no file; [`Ask::check`] what needs the
//! config beside it.
#![allow(dead_code)]

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use crate::config::{Config, Resources};
use crate::error::Result;
use crate::mounts::MountRequest;

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
    pub fn from_number(_number: u32) -> Option<Operation> {
        todo!()
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
            _ => crate::json::LIMIT,
        }
    }

    /// Reads a request and checks its form.
    pub(crate) fn parse(self, _json: &str) -> Result<Ask> {
        todo!()
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
    /// Which operation it is.
    pub fn operation(&self) -> Operation {
        todo!()
    }

    /// Refuses what this config rules out: names, the auth header, the auth variable.
    pub fn check(&self, _config: &Config) -> Result<()> {
        todo!()
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
    pub fn check(&self, _prefix: &str) -> Result<()> {
        todo!()
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
}

impl CreateRequest {
    /// The sandbox id: the given one, else of the thread's, else random (another one each time).
    pub fn id(&self) -> Result<String> {
        todo!()
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
    pub fn parse(_json: &str) -> Result<AllocatePort> {
        todo!()
    }
}

/// Which port to give back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ReleasePort {
    pub port: u16,
}

impl ReleasePort {
    /// Reads a request and checks its form.
    pub fn parse(_json: &str) -> Result<ReleasePort> {
        todo!()
    }
}
