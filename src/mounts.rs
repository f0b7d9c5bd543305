//! Which folders of the host a sandbox may see, and under which of its paths.
#![allow(dead_code)]

use std::path::PathBuf;

use crate::error::Result;
use crate::runtime;

/// A mount as a config or request asks for it; its form is checked, the host is not asked yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MountRequest {
    /// Absolute.
    pub host_path: String,
    /// Absolute, without `..` and empty parts.
    pub container_path: String,
    /// Whether the sandbox may only read.
    pub read_only: bool,
}

/// What mounts are judged by.
#[derive(Clone, Debug, Default)]
pub(crate) struct Rules {
    /// Whether this process's paths mean the same to the engine.
    pub paths_are_ours: bool,
    pub data_root: Option<PathBuf>,
    pub state_dir: PathBuf,
    /// The engines' sockets.
    pub sockets: Vec<PathBuf>,
}

/// Judges a sandbox's mounts, config mounts first; sources come back canonical where paths are ours.
pub(crate) fn judge(_config: &[MountRequest], _extra: &[MountRequest], _rules: &Rules) -> Result<Vec<runtime::Mount>> {
    todo!()
}
