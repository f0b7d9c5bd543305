//! An HTTP request to a sandbox, and to no other host.
#![allow(dead_code)]

use serde_json::Value;

use crate::call::Call;
use crate::error::Result;

/// Which sandbox, and where it is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SandboxAddress<'a> {
    /// The address to dial: a literal one where the sandbox is on this machine, else a name.
    pub host: &'a str,
    pub port: u16,
    /// What the `Host` header says: `sandbox_url` without its scheme.
    pub authority: &'a str,
    pub container_id: &'a str,
    /// When the container was started, in the engine's own words.
    pub started_at: &'a str,
}

/// The request as the caller gave it, its form checked already.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Parameters<'a> {
    pub method: &'a str,
    pub path: &'a str,
    pub headers: &'a [(String, String)],
    pub body: Option<&'a [u8]>,
    pub max_response_bytes: u64,
}

/// The idle connections to sandboxes; one per backend.
pub(crate) struct Connections(());

impl Connections {
    /// Holds none yet.
    pub fn new() -> Result<Connections> {
        todo!()
    }
}

/// Sends the request within the call's time: `{status, headers, body | body_base64}`.
///
/// `verify` is called on each new connection after it stands and before a byte is sent: it asks the engine whether
/// the address still belongs to that container.
pub(crate) fn send(
    _connections: &Connections,
    _call: &Call,
    _address: &SandboxAddress<'_>,
    _parameters: &Parameters<'_>,
    _auth: Option<(&str, &str)>,
    _verify: &dyn Fn(&Call) -> Result<()>,
) -> Result<Value> {
    todo!()
}
