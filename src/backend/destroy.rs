//! The end of a sandbox: stopped and removed by its id under its name's lock, its port freed once it is gone.

use std::time::Duration;

use super::containers::GOING;
use super::look::Bond;
use super::session::Session;
use super::trial::checkpoint;
use crate::call::Call;
use crate::error::{Phase, Result};
use crate::operation::Target;
use crate::runtime::Container;

/// Ends a sandbox, although peers may use it. False where there was none.
pub(super) fn destroy(
    session: &Session,
    call: &Call,
    target: &Target,
    stop_timeout: Duration,
) -> Result<bool> {
    let name = session.name_of(target);
    call.enter(Phase::Lock);
    let _name = session.home().hold_name(&session.bounded(call), &name)?;
    call.enter(Phase::Stop);
    let Some(found) = session.find(call, &name, target.container_id.as_deref())? else {
        // A successor may bear the name by now, and then the lease file is its own.
        match &target.container_id {
            Some(id) if session.find(call, &name, None)?.is_some() => drop(session.give_up(&name, Some(id))),
            _ => session.end_lease(&name, None),
        }
        return Ok(false);
    };
    let bond = session.bond(&found, &target.sandbox_id)?;
    checkpoint("destroy:found");
    let destroyed = match bond {
        Bond::Stranger => stop_stranger(session, call, &found, stop_timeout),
        Bond::Ours | Bond::Foreign { .. } => end(session, call, &found, stop_timeout),
    }
    .map_err(|error| error.in_phase(Phase::Stop))?;
    checkpoint("destroy:gone");
    session.forget_port(&found.id);
    session.sweep_ports(&found);
    session.end_lease(&name, Some(&found.id));
    Ok(destroyed)
}

/// Stops and removes a container of this library's making.
fn end(session: &Session, call: &Call, found: &Container, stop_timeout: Duration) -> Result<bool> {
    let runtime = session.runtime();
    let gracefully = found.state.is_alive() && !stop_timeout.is_zero();
    if gracefully {
        runtime.stop(call, &found.id, stop_timeout)?;
    }
    if !gracefully || !found.auto_remove {
        runtime.remove(call, &found.id)?;
    }
    session.wait_gone(call, &found.id, stop_timeout + GOING)?;
    Ok(true)
}

/// Stops a container that another tool made; whether it is removed is that tool's own choice.
fn stop_stranger(session: &Session, call: &Call, found: &Container, stop_timeout: Duration) -> Result<bool> {
    if !found.state.is_alive() {
        return Ok(false);
    }
    let stopped = session.runtime().stop(call, &found.id, stop_timeout)?;
    if found.auto_remove {
        session.wait_gone(call, &found.id, stop_timeout + GOING)?;
    }
    Ok(stopped)
}
