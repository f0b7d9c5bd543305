//! What processes share: a state directory whose files are locked with `flock`, so that a `kill -9` frees everything.
//!
//! `descriptor.rs` keeps every descriptor that a fork must not carry into the child, `file.rs` is the one recipe by
//! which a lock file is locked and unlinked, `state.rs` opens a state directory, `home.rs` is the part of it that
//! belongs to one engine (names, leases, domain, key), and `lease.rs` is the record in a lease. `sys.rs` holds the
//! system calls. Order of locks: names, then leases, then ports; ports and a reaper's locks are only ever tried.

pub(crate) mod descriptor;
mod file;
mod home;
mod lease;
mod state;
#[allow(unsafe_code)]
mod sys;

pub(crate) use descriptor::{Descriptor, NoFork, epoch, without_fork};
pub(crate) use file::Locked;
pub(crate) use home::Home;
pub(crate) use lease::{Alone, Lease};
pub(crate) use state::{PortLocks, StateDir};
pub(crate) use sys::{Identity, identity_in_root, identity_without_links, peer_process};

#[cfg(test)]
mod tests;
