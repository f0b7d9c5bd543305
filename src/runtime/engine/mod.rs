//! The Docker Engine API, as Docker and Podman speak it.

pub(crate) mod credentials;
mod failures;
mod network;
mod pull;
mod spec;
mod talk;
mod wire;
