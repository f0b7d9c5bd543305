//! An HTTP request to a sandbox: to that very container, leased while it runs.

use serde_json::Value;

use super::discover::not_found;
use super::session::Session;
use super::tenure::Tenure;
use crate::call::Call;
use crate::error::{Code, Error, Phase, Result};
use crate::operation::SandboxRequest;
use crate::request::{self, Parameters, SandboxAddress};
use crate::runtime::{Container, State, Which};

/// Sends a request to a sandbox and tells its answer.
pub(super) fn request(session: &Session, call: &Call, asked: &SandboxRequest) -> Result<Value> {
    call.enter(Phase::Request);
    let call = call.within(asked.timeout);
    let name = session.name_of(&asked.target);
    // A backend that leases the sandbox already needs no second lease.
    let mut lease = match session.leases_name(&name) {
        true => None,
        false => Some(Tenure::take(session, &call, &name)?),
    };
    let answer = send(session, &call, asked, &name, lease.as_mut());
    match (lease, &answer) {
        (Some(lease), Err(error)) if matches!(error.code(), Code::NotFound | Code::SandboxExited) => {
            lease.forget()
        }
        (Some(lease), _) => lease.release(),
        (None, _) => {}
    }
    answer
}

fn send(
    session: &Session,
    call: &Call,
    asked: &SandboxRequest,
    name: &str,
    lease: Option<&mut Tenure<'_>>,
) -> Result<Value> {
    let id = asked.target.container_id.as_deref();
    let Some(found) = session.find(call, name, id)?.filter(|found| found.state == State::Running) else {
        return Err(if id.is_some() { gone() } else { not_found() }.in_phase(Phase::Request));
    };
    let bond = session.bond(&found, &asked.target.sandbox_id)?;
    if let Some(lease) = lease.filter(|lease| !lease.covers(&bond)) {
        lease.reach(&bond);
    }
    let Some(address) = session.address_of(&found) else {
        let message = "the sandbox's port is not published";
        return Err(Error::new(Code::NotReady, message).in_phase(Phase::Request));
    };
    let key = session.key_of(&found);
    let auth = session.auth(key.as_deref());
    let place = SandboxAddress {
        host: &address.host,
        port: address.port,
        authority: &address.authority,
        container_id: &found.id,
        started_at: found.started_at.as_deref().unwrap_or_default(),
    };
    let parameters = Parameters {
        method: &asked.method,
        path: &asked.path,
        headers: &asked.headers,
        body: asked.body.as_deref(),
        max_response_bytes: asked.max_response_bytes,
    };
    let auth = auth.as_ref().map(|auth| (auth.header.as_str(), auth.value.as_str()));
    // Another container can hold a dead one's port within a third of a second: who answers is asked anew for each
    // connection, once it stands and before a byte is sent.
    let verify = |call: &Call| still_there(session, call, &found);
    request::send(&session.connections, call, &place, &parameters, auth, &verify)
}

/// Whether the address still belongs to that container in that life of it.
fn still_there(session: &Session, call: &Call, before: &Container) -> Result<()> {
    let now = session.inspect(call, Which::Id(&before.id))?;
    let same = now.is_some_and(|now| {
        now.state == State::Running
            && now.started_at == before.started_at
            && session.address_of(&now) == session.address_of(before)
    });
    if same { Ok(()) } else { Err(gone().in_phase(Phase::Request)) }
}

fn gone() -> Error {
    Error::new(Code::SandboxExited, "that container of the sandbox is not running any more")
        .with_hint("create the sandbox again, or discover its successor")
}
