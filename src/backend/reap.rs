//! Collecting sandboxes that nobody uses any more, and the lease files of those that are gone.
//!
//! A process that dies does not take its user's work with it: idle time starts when a reaper first sees that the
//! owner is gone. Locks are only tried, so reaping never stands in anybody's way.

use std::path::Path;

use serde_json::{Value, json};

use super::containers::GOING;
use super::list;
use super::session::Session;
use super::tenants;
use super::trial::checkpoint;
use crate::call::Call;
use crate::error::{Phase, Result};
use crate::locks::{Home, PortLocks};
use crate::operation::ReapRequest;
use crate::runtime::{Container, State, Which};
use crate::sandbox::label;

/// What became of one container.
enum Fate {
    Reaped,
    Kept(&'static str),
    /// It went by itself meanwhile.
    Gone,
}

/// Removes what has been idle long enough: `{reaped, kept}`.
pub(super) fn reap(session: &Session, call: &Call, request: &ReapRequest) -> Result<Value> {
    call.enter(Phase::List);
    let mut all = session.list(call, true)?;
    if !request.dry_run {
        all = tenants::end_expired(session, call, all);
    }
    let (mut reaped, mut kept) = (Vec::new(), Vec::new());
    for container in all.iter().filter(|found| is_of_prefix(found, session)) {
        call.check()?;
        let id = container.labels.get(label::ID).map_or("", String::as_str);
        match judge(session, call, container, request) {
            Ok(Fate::Reaped) => reaped.push(Value::from(id)),
            Ok(Fate::Kept(reason)) => kept.push(json!({"sandbox_id": id, "reason": reason})),
            Ok(Fate::Gone) => {}
            Err(error) if call.is_cancelled() => return Err(error),
            Err(error) => {
                kept.push(json!({
                "sandbox_id": id, "reason": "could not be removed", "error": session.clean(error).to_json()}))
            }
        }
    }
    if !request.dry_run {
        sweep(session, call, &all)?;
    }
    Ok(json!({"reaped": reaped, "kept": kept}))
}

/// Whether a container's labels say that it is of our prefix: nothing else is a reaper's business.
fn is_of_prefix(found: &Container, session: &Session) -> bool {
    found.labels.get(label::PREFIX) == Some(&session.config().container_prefix)
        && found.labels.contains_key(label::ID)
}

fn judge(session: &Session, call: &Call, seen: &Container, request: &ReapRequest) -> Result<Fate> {
    let home = session.home();
    let ours = seen.labels.get(label::DOMAIN).is_some_and(|domain| domain == home.domain());
    let lost = request.include_lost && is_lost(seen);
    if !(ours || lost) {
        return Ok(Fate::Kept("foreign"));
    }
    let id = seen.labels.get(label::ID).map_or("", String::as_str);
    if list::id_in(&seen.name, &session.config().container_prefix) != Some(id) {
        return Ok(Fate::Kept("renamed"));
    }
    let Some(_name) = home.try_name(&seen.name)? else {
        return Ok(Fate::Kept("busy"));
    };
    let Some(mut lease) = home.lease_alone(&seen.name)? else {
        return Ok(Fate::Kept("in use"));
    };
    // What never ran is nobody's work: its maker was killed, for the name is free.
    if seen.state != State::Created && !request.idle.is_zero() {
        match lease.idle() {
            None => {
                if !request.dry_run {
                    lease.mark_idle()?;
                }
                return Ok(Fate::Kept("owner gone, idle clock started"));
            }
            Some(idle) if idle < request.idle => return Ok(Fate::Kept("not idle long enough")),
            Some(_) => {}
        }
    }
    // The list is old by now: what we hold the name of is looked at again, by its id.
    let Some(found) = session.find(call, &seen.name, Some(&seen.id))? else {
        if !request.dry_run && lease.idle().is_none() {
            lease.unlink()?;
        }
        return Ok(Fate::Gone);
    };
    if found.state != seen.state && seen.state == State::Created {
        return Ok(Fate::Kept("busy"));
    }
    if request.dry_run {
        return Ok(Fate::Reaped);
    }
    checkpoint("reap:removing");
    session.runtime().remove(call, &found.id).map_err(|error| error.in_phase(Phase::Stop))?;
    session.wait_gone(call, &found.id, GOING)?;
    session.forget_port(&found.id);
    session.sweep_ports(&found);
    lease.unlink()?;
    Ok(Fate::Reaped)
}

/// Whether the state directory that a container names is no more, or another one stands in its place.
fn is_lost(seen: &Container) -> bool {
    let (Some(home), Some(domain)) = (seen.labels.get(label::HOME), seen.labels.get(label::DOMAIN)) else {
        return false;
    };
    Home::is_lost(Path::new(home), domain)
}

/// Unlinks the leases of containers that are gone, and the locks that killed processes have left.
fn sweep(session: &Session, call: &Call, all: &[Container]) -> Result<()> {
    let home = session.home();
    home.ports().map_or(Ok(()), PortLocks::sweep)?;
    home.sweep_names()?;
    for name in home.leased_names()? {
        if all.iter().any(|container| container.name == name) {
            continue;
        }
        call.check()?;
        let (Some(_name), Some(lease)) = (home.try_name(&name)?, home.lease_alone(&name)?) else {
            continue;
        };
        if session.inspect(call, Which::Name(&name))?.is_none() {
            lease.unlink()?;
        }
    }
    Ok(())
}
