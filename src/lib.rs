//! Sandbox containers for any program, on the machine it runs on.
//!
//! A [`Backend`] is one opened configuration. It makes sandboxes, finds those that any process made, sends them HTTP
//! requests and ends them; each call takes a [`Call`], which another thread can cancel and ask how far it is. Requests
//! and answers are the JSON of `docs/api.md`; an [`Error`] has a stable [`Code`] and says what to do next. Every
//! function may be called from any thread and blocks until it is done.
//!
//! C programs use the functions of [`capi`] through `include/sandport.h`.
//!
//! # Where to read
//! Start with `backend/`, which reads like the story of the mission: create, discover, request, release, reap, destroy.
//! It stands on `locks/` and `ports.rs` (what processes share), `runtime/` (Docker, Podman, Apple's `container` behind
//! one trait), `readiness.rs` and `request.rs` (talking to a sandbox) and `http/` (the one client). `config/`,
//! `operation/`, `sandbox/` and `mounts/` turn JSON into checked types. `guest/` and `capi/` stand on the backend;
//! nothing imports `capi`.
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
