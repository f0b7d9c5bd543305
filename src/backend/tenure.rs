//! One call's claim to a sandbox: its lease, and the one in another state directory where a peer made the sandbox.

use std::sync::Arc;
use std::time::Duration;

use super::look::Bond;
use super::session::Session;
use crate::call::Call;
use crate::error::Result;
use crate::locks::{Alone, Home, Lease};

/// How long a lease is waited for to be marked or to be ours alone: only a reaper that looks at it, or a child that
/// this process is just starting, is ever in the way for a moment.
const PATIENCE: Duration = Duration::from_millis(200);
/// The same where a peer may well be in the way, and where only a file would stay for a reaper to find.
const BRIEFLY: Duration = Duration::from_millis(20);

/// The leases that one call has taken on one name. Dropping it closes them, which leaves the idle clock alone.
pub(super) struct Tenure<'a> {
    session: &'a Session,
    call: Call,
    name: String,
    own: Lease,
    /// The home directories of peers that were tried, and the lease there where it could be had.
    abroad: Vec<(Bond, Option<Abroad>)>,
}

/// A lease in another state directory.
type Abroad = (Arc<Home>, Lease);

/// The leases that a backend keeps for one name until it releases it or closes.
pub(super) struct Held {
    own: Lease,
    abroad: Vec<Abroad>,
    /// The container that was meant when it was taken.
    pub id: String,
}

impl<'a> Tenure<'a> {
    /// Leases a name, before anybody looks whether there is a container of it.
    pub fn take(session: &'a Session, call: &Call, name: &str) -> Result<Tenure<'a>> {
        let own = session.home().lease(&session.bounded(call), name)?;
        Ok(Tenure { session, call: call.clone(), name: name.to_owned(), own, abroad: Vec::new() })
    }

    /// The name that is leased.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether every reaper that may touch such a container has had its chance to see us.
    pub fn covers(&self, bond: &Bond) -> bool {
        !matches!(bond, Bond::Foreign { .. }) || self.abroad.iter().any(|(tried, _)| tried == bond)
    }

    /// Leases the name where the container's maker keeps its leases, if that is a place of our own user.
    pub fn reach(&mut self, bond: &Bond) {
        let Bond::Foreign { home: Some(place), domain: Some(domain) } = bond else {
            self.abroad.push((bond.clone(), None));
            return;
        };
        let lease =
            place.to_str().and_then(|place| Home::foreign(place, domain)).map(Arc::new).and_then(|home| {
                let lease = home.lease(&self.session.bounded(&self.call), &self.name).ok()?;
                Some((home, lease))
            });
        self.abroad.push((bond.clone(), lease));
    }

    /// Whether the reaper of the one who made it sees that we use it.
    pub fn is_seen_by(&self, bond: &Bond) -> bool {
        match bond {
            Bond::Ours => true,
            Bond::Stranger => false,
            Bond::Foreign { .. } => self.abroad.iter().any(|(tried, lease)| tried == bond && lease.is_some()),
        }
    }

    /// Writes down that the sandbox is in use: the call is about to return it.
    pub fn mark_used(&mut self) -> Result<()> {
        self.own.mark_used()?;
        for (_, lease) in self.abroad.iter_mut().filter_map(|(_, lease)| lease.as_mut()) {
            lease.mark_used()?;
        }
        Ok(())
    }

    /// Hands the leases to the backend, which keeps them until it releases the sandbox or closes.
    pub fn keep(self, id: &str) {
        let abroad = self.abroad.into_iter().filter_map(|(_, lease)| lease).collect();
        self.session.hold(self.name, Held { own: self.own, abroad, id: id.to_owned() });
    }

    /// Closes the leases of something that was not found: its idle clock goes on, and no file stays without one.
    pub fn forget(self) {
        let Tenure { session, name, own, abroad, .. } = self;
        drop(own);
        tidy(session.home(), &name);
        for (home, lease) in abroad.into_iter().filter_map(|(_, lease)| lease) {
            drop(lease);
            tidy(&home, &name);
        }
    }

    /// Closes the leases of something that lives on: idle from now, unless others use it.
    pub fn release(self) {
        let abroad = self.abroad.into_iter().filter_map(|(_, lease)| lease).collect();
        Held { own: self.own, abroad, id: String::new() }.release(self.session, &self.name);
    }

    /// Closes our lease and takes it exclusively; `None` when a peer uses the sandbox.
    pub fn become_alone(self) -> Result<Option<Alone>> {
        let Tenure { session, name, own, abroad, .. } = self;
        drop((own, abroad));
        session.home().lease_alone_within(&name, PATIENCE)
    }
}

impl Held {
    /// Takes over what a later call of the same backend has leased beside it.
    pub fn join(&mut self, later: Held) {
        self.id = later.id;
        for (home, lease) in later.abroad {
            if !self.abroad.iter().any(|(held, _)| held.place() == home.place()) {
                self.abroad.push((home, lease));
            }
        }
    }

    /// Gives the sandbox back: idle from now, unless others use it.
    pub fn release(self, session: &Session, name: &str) {
        drop(self.own);
        start_idle_clock(session.home(), name);
        for (home, lease) in self.abroad {
            drop(lease);
            start_idle_clock(&home, name);
        }
    }

    /// Closes the leases of a container that is gone, and unlinks their files where nobody else holds them.
    pub fn end(self, session: &Session, name: &str) {
        drop(self.own);
        unlink(session.home(), name);
        for (home, lease) in self.abroad {
            drop(lease);
            unlink(&home, name);
        }
    }
}

/// Writes `i now` where nobody holds the lease any more.
fn start_idle_clock(home: &Home, name: &str) {
    said(
        "the idle clock of a sandbox could not be started",
        home.lease_alone(name).and_then(|alone| match alone {
            Some(alone) if alone.is_gone() => alone.unlink(),
            Some(mut alone) => alone.mark_idle(),
            None => Ok(()),
        }),
    );
}

/// Unlinks a lease file that holds no idle time and that nobody holds.
fn tidy(home: &Home, name: &str) {
    said(
        "a lease file could not be removed",
        home.lease_alone_within(name, BRIEFLY).and_then(|alone| match alone {
            Some(alone) if alone.idle().is_none() => alone.unlink(),
            _ => Ok(()),
        }),
    );
}

/// Unlinks the lease file of a container that is gone; where others hold it the last of them does. The caller holds
/// the name.
pub(super) fn unlink(home: &Home, name: &str) {
    let unlinked = home.lease_alone_within(name, BRIEFLY).and_then(|alone| match alone {
        Some(alone) => alone.unlink(),
        None => home.lease(&Call::new().within(PATIENCE), name)?.mark_gone(),
    });
    said("a lease file could not be removed", unlinked);
}

/// What goes wrong while a lease is given back harms nobody: a reaper sees the lock itself.
fn said(what: &str, done: Result<()>) {
    if let Err(error) = done {
        log::warn!(target: "sandport", "{what}: {error}");
    }
}
