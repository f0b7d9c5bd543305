//! All running sandboxes of one prefix, in one call to the engine whatever the count.

use super::look::Bond;
use super::session::Session;
use super::tenants;
use crate::call::Call;
use crate::error::{Phase, Result};
use crate::runtime::Container;
use crate::sandbox::{self, SandboxInfo};

/// The running sandboxes whose name is exactly prefix + id, and whose labels, where they stand, say the same.
pub(super) fn list(session: &Session, call: &Call) -> Result<Vec<SandboxInfo>> {
    call.enter(Phase::List);
    let running = tenants::end_expired(session, call, session.list(call, false)?);
    let mut all: Vec<_> = running.iter().filter_map(|found| as_sandbox(session, found)).collect();
    all.sort_by(|one, two| one.sandbox_id.cmp(&two.sandbox_id));
    Ok(all)
}

fn as_sandbox(session: &Session, found: &Container) -> Option<SandboxInfo> {
    let id = id_in(&found.name, &session.config().container_prefix)?;
    let bond = session.bond(found, id).ok()?;
    let mut info = session.describe(found, &bond, id);
    // Whether another tool's container could be leased is only known to who tries.
    info.leased = session.holds(&found.name, &found.id).then(|| bond == Bond::Ours).filter(|leased| *leased);
    Some(info)
}

/// The sandbox id in a container's name, where the name is prefix + id.
pub(super) fn id_in<'a>(name: &'a str, prefix: &str) -> Option<&'a str> {
    let id = name.strip_prefix(prefix)?.strip_prefix('-')?;
    sandbox::is_sandbox_id(id).then_some(id)
}
