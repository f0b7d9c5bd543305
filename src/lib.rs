//! Sandbox containers for any program, on the machine it runs on.
#![deny(unsafe_op_in_unsafe_fn)]
#![warn(missing_docs)]

pub mod call;
pub mod error;

mod backend;
#[allow(unsafe_code)]
pub mod capi;
mod config;
mod form;
#[cfg(test)]
mod fuzz;
mod guest;
mod http;
mod json;
mod locks;
mod logging;
mod mounts;
mod operation;
mod ports;
mod process;
mod readiness;
mod request;
mod runtime;
mod sandbox;

pub use backend::{Backend, allocate_port, release_port};
pub use call::{Call, Progress, PullProgress};
pub use error::{Code, Error, Phase, Result};
pub use operation::Operation;
pub use runtime::{Kind, State};
pub use sandbox::{Auth, SandboxInfo, Timings};

/// The documents' Rust is compiled, and run where it can be, with the tests.
#[cfg(doctest)]
mod documents {
    #[doc = include_str!("../README.md")]
    struct Readme;
    #[doc = include_str!("../docs/rust.md")]
    struct Rust;
}
