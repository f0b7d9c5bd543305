//! What a sandbox is called, which labels it bears, and what is told of it.
#![allow(dead_code)]

use serde_json::Value;

use crate::error::Result;
use crate::runtime::{ContainerSpec, Kind, State};

/// Most bytes of a container name.
pub(crate) const NAME_AT_MOST: usize = 63;

/// The labels that every container of ours bears, and that no caller may set.
pub(crate) mod label {
    /// What all of them begin with.
    pub const OURS: &str = "dev.sandport.";
    /// The sandbox id.
    pub const ID: &str = "dev.sandport.id";
    /// The container prefix.
    pub const PREFIX: &str = "dev.sandport.prefix";
    /// The keyed hash of what it was made from.
    pub const SPEC: &str = "dev.sandport.spec";
    /// The random name of its state directory.
    pub const DOMAIN: &str = "dev.sandport.domain";
    /// The folder of that state directory where its leases are.
    pub const HOME: &str = "dev.sandport.home";
    /// The version of the library that made it.
    pub const VERSION: &str = "dev.sandport.version";
}

/// Whether a text can be a sandbox id: `[a-z0-9][a-z0-9_.-]*`.
pub fn is_sandbox_id(_text: &str) -> bool {
    todo!()
}

/// `{prefix}-{id}`; [`check_name`] says whether it may be one.
pub(crate) fn container_name(prefix: &str, id: &str) -> String {
    format!("{prefix}-{id}")
}

/// Refuses an id that is none, or whose container name would be too long.
pub(crate) fn check_name(_prefix: &str, _id: &str) -> Result<()> {
    todo!()
}

/// Whether a text is a whole container id: 64 hex digits.
pub(crate) fn is_container_id(_text: &str) -> bool {
    todo!()
}

/// Hex HMAC-SHA-256 of what a sandbox is made from: image, command, mounts, environment, security, resources, network
/// and container port.
pub(crate) fn spec_hash(_key: &[u8; 32], _spec: &ContainerSpec) -> String {
    todo!()
}

/// How long the steps of a create took, in seconds.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Timings {
    /// Waiting for the name.
    pub lock: f64,
    /// Bringing the image.
    pub pull: f64,
    /// Making the container.
    pub create: f64,
    /// Starting it.
    pub start: f64,
    /// Waiting until it answered.
    pub ready: f64,
}

/// The header that opens a sandbox.
#[derive(Clone, PartialEq, Eq)]
pub struct Auth {
    /// Its name.
    pub header: String,
    /// Its value, the sandbox's key.
    pub value: String,
}

/// What is told of a sandbox; in a list, what one summary does not tell is `None`.
#[derive(Clone, Debug, PartialEq)]
pub struct SandboxInfo {
    /// The caller's name for it.
    pub sandbox_id: String,
    /// `http://HOST:PORT`; empty where its port is not published.
    pub sandbox_url: String,
    /// `{container_prefix}-{sandbox_id}`.
    pub container_name: String,
    /// 64 hex digits (Apple: the name).
    pub container_id: String,
    /// Unix seconds.
    pub created_at: f64,
    /// What runs it.
    pub runtime: Kind,
    /// What the engine says.
    pub state: State,
    /// False where an existing one was adopted.
    pub created: Option<bool>,
    /// Whether it was made from what this request asks for.
    pub spec_matches: Option<bool>,
    /// Whether every reaper can see that we use it.
    pub leased: Option<bool>,
    /// "isolated" or "shared".
    pub isolation: Option<&'static str>,
    /// How long the steps took.
    pub timings: Option<Timings>,
    /// What opens it.
    pub auth: Option<Auth>,
    /// What its user should know.
    pub warnings: Vec<String>,
}

impl SandboxInfo {
    /// The JSON object of the answers.
    pub fn to_json(&self) -> Value {
        todo!()
    }

    /// Reads such an object back; fields that it does not know are ignored, missing ones count as unknown.
    pub fn from_json(_value: &Value) -> Result<SandboxInfo> {
        todo!()
    }
}

impl std::fmt::Debug for Auth {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Auth").field("header", &self.header).finish_non_exhaustive()
    }
}
