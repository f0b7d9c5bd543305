//! Finding a sandbox that any process made: leased before the look, and returned only when it answers. And the
//! cheaper question whether it is alive.

use std::time::{Duration, Instant};

use super::look::Bond;
use super::ready::Ready;
use super::session::Session;
use super::tenure::Tenure;
use super::trial::checkpoint;
use crate::call::Call;
use crate::error::{Code, Error, Phase, Result};
use crate::operation::Target;
use crate::runtime::{Container, State};
use crate::sandbox::{SandboxInfo, Timings};

/// The sandbox if it runs, its port is known and it answers; `None` only when the engine has answered.
pub(super) fn discover(
    session: &Session,
    call: &Call,
    target: &Target,
    limit: Duration,
) -> Result<Option<SandboxInfo>> {
    let begun = Instant::now();
    let name = session.name_of(target);
    call.enter(Phase::Lock);
    // The lease comes before the look, so that no reaper removes what we are about to find.
    let mut tenure = Tenure::take(session, call, &name)?;
    let found = match look(session, call, target, &mut tenure, begun, limit) {
        Ok(Some(found)) => found,
        other => {
            tenure.forget();
            return other.map(|_| None);
        }
    };
    let (container, bond) = found;
    checkpoint("discover:found");
    call.enter(Phase::Ready);
    let key = session.key_of(&container);
    let asked = Instant::now();
    let left = limit.saturating_sub(begun.elapsed());
    // Zero means one try only where it was asked for.
    let left = if limit.is_zero() { left } else { left.max(Duration::from_millis(1)) };
    match session.wait_until_ready(call, &container, key.as_deref(), left, None) {
        Ok(Ready::Yes) => {}
        other => {
            tenure.forget();
            return other.map(|_| None);
        }
    }
    if let Err(error) = tenure.mark_used() {
        tenure.forget();
        return Err(error);
    }
    let mut info = session.describe(&container, &bond, &target.sandbox_id);
    info.auth = session.auth(key.as_deref());
    info.leased = Some(tenure.is_seen_by(&bond));
    info.created = Some(false);
    info.timings = Some(Timings { ready: asked.elapsed().as_secs_f64(), ..Timings::default() });
    info.warnings = session.warnings(&info, &bond);
    tenure.keep(&container.id);
    Ok(Some(info))
}

/// The running container, once whoever makes or ends one of that name has let go of the name.
fn look(
    session: &Session,
    call: &Call,
    target: &Target,
    tenure: &mut Tenure<'_>,
    begun: Instant,
    limit: Duration,
) -> Result<Option<(Container, Bond)>> {
    call.enter(Phase::Inspect);
    let mut pause = Duration::from_millis(1);
    loop {
        let busy = session.home().name_is_held(tenure.name())?;
        let found = session.find(call, tenure.name(), target.container_id.as_deref())?;
        // What we see while somebody holds the name may be about to change; readers never hold it, they only ask.
        if busy && begun.elapsed() < limit {
            call.sleep(pause)?;
            pause = (pause * 2).min(Duration::from_millis(20));
            continue;
        }
        let Some(found) = found else { return Ok(None) };
        let bond = session.bond(&found, &target.sandbox_id)?;
        if found.state != State::Running || session.address_of(&found).is_none() || busy {
            return Ok(None);
        }
        if tenure.covers(&bond) {
            return Ok(Some((found, bond)));
        }
        // Its own state directory's reaper must see us too, and then we look again.
        tenure.reach(&bond);
    }
}

/// `NOT_FOUND`, for calls that need a sandbox which is there.
pub(super) fn not_found() -> Error {
    Error::new(Code::NotFound, "there is no such sandbox running")
        .with_hint("create it first, or ask sandport_list which ones are there")
}

/// Whether the engine says that the sandbox runs: one inspect, no HTTP.
pub(super) fn is_alive(session: &Session, call: &Call, target: &Target) -> Result<bool> {
    call.enter(Phase::Inspect);
    let found = session.find(call, &session.name_of(target), target.container_id.as_deref())?;
    found.map_or(Ok(false), |found| {
        session.bond(&found, &target.sandbox_id)?;
        Ok(found.state.is_alive())
    })
}
