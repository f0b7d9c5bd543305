//! What a sandbox goes through, from its making to its end: the story of the crate.
#![allow(dead_code)]

use serde_json::Value;

use crate::error::Result;

/// One opened configuration; clones are the same backend. The last one to be dropped gives back its leases.
#[derive(Clone)]
pub struct Backend(std::sync::Arc<()>);

impl Backend {
    /// Opens a backend from its config and says what was found: the answer of `sandport_backend_open`.
    pub fn open(_config: &str) -> Result<(Backend, Value)> {
        todo!()
    }

    /// Runs an operation whose form has been checked.
    pub(crate) fn run(&self, _call: &crate::call::Call, _ask: &crate::operation::Ask) -> Result<Value> {
        todo!()
    }
}

/// Takes a free host port out of the process-global set.
pub fn allocate_port(_request: &str) -> Result<Value> {
    todo!()
}

/// Gives a port back to the process-global set.
pub fn release_port(_request: &str) -> Result<Value> {
    todo!()
}
