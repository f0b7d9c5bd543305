//! The bridge `sandport`, on which containers cannot reach each other: made once, and of duplicates the lowest id kept.
//!
//! An engine allows two networks of one name, and refuses to start a container on such a name. So the network is made
//! under a lock, and named by its id, which no duplicate makes ambiguous.

use std::sync::{Mutex, PoisonError};

use serde_json::json;

use super::failures::Said;
use super::talk::{ANSWER_BYTES, Ask, Talk, percent};
use super::wire;
use crate::call::Call;
use crate::error::{Code, Error, Phase, Result};
use crate::runtime::{Kind, NetworkLock};

/// The network's name.
const NAME: &str = "sandport";
/// The option of Docker's bridge driver that forbids traffic between containers.
const ICC: &str = "com.docker.network.bridge.enable_icc";

/// What is known of the network: its id once it is settled.
#[derive(Default)]
pub(super) struct Isolated(Mutex<Option<String>>);

/// Whether a container can stand there.
pub(super) enum Settled {
    Id(String),
    /// Why it cannot; with what to answer where it is required.
    Cannot(Error),
}

impl Isolated {
    /// Forgets it where the engine's words are about it; true if they are.
    pub(super) fn forget(&self, said: &Said) -> bool {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let lost = said.network_trouble() && known.as_ref().is_some_and(|id| said.text.contains(id.as_str()));
        if lost {
            *known = None;
        }
        lost
    }

    /// The network's id, made where it is absent. No question to the engine once it is known.
    pub(super) fn settle(&self, talk: &Talk, call: &Call, lock: &dyn NetworkLock) -> Result<Settled> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(id) = known {
            return Ok(Settled::Id(id));
        }
        if talk.met(call, Phase::Create)?.kind == Kind::Podman {
            let error =
                Error::new(Code::Unsupported, "Podman has no network without traffic between containers");
            return Ok(Settled::Cannot(
                error.with_hint("use Docker where sandboxes must not reach each other"),
            ));
        }
        let mut found = find(talk, call)?;
        if found.len() != 1 {
            let _held = lock.hold(call)?;
            found = find(talk, call)?;
            if found.is_empty() {
                if let Some(said) = make(talk, call)? {
                    let error = said.error(Phase::Create);
                    return Ok(Settled::Cannot(hinted(error)));
                }
                found = find(talk, call)?;
            }
            drop_duplicates(talk, call, &found)?;
        }
        let Some(network) = found.first() else {
            let error =
                Error::new(Code::RuntimeFailed, "the network `sandport` was removed while it was made");
            return Ok(Settled::Cannot(hinted(error.in_phase(Phase::Create).retryable())));
        };
        if !is_ours(network) {
            let error =
                Error::new(Code::RuntimeFailed, "the network `sandport` allows traffic between containers")
                    .in_phase(Phase::Create);
            return Ok(Settled::Cannot(hinted(error)));
        }
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(network.id.clone());
        Ok(Settled::Id(network.id.clone()))
    }
}

fn hinted(error: Error) -> Error {
    error.with_hint("remove the network `sandport` so that it is made anew, or set `network` to \"bridge\" or to one of your own")
}

/// All networks of exactly this name, lowest id first; those that are ours before others.
fn find(talk: &Talk, call: &Call) -> Result<Vec<wire::Network>> {
    // The engine's filter matches parts of names.
    let filters = percent(&json!({ "name": [NAME] }).to_string());
    let path = format!("/networks?filters={filters}");
    let ask = Ask { limit: ANSWER_BYTES, ..Ask::new(Phase::Create, "GET", &path) };
    let mut all: Vec<wire::Network> = talk.read(call, &ask)?.unwrap_or_default();
    all.retain(|network| network.name == NAME && is_hex(&network.id));
    all.sort_by(|one, other| (!is_ours(one), &one.id).cmp(&(!is_ours(other), &other.id)));
    Ok(all)
}

fn is_ours(network: &wire::Network) -> bool {
    let off = network
        .options
        .get(ICC)
        .is_some_and(|value| matches!(value.as_str(), "false" | "False" | "FALSE" | "0" | "f" | "F"));
    network.driver == "bridge" && !network.internal && off
}

fn is_hex(id: &str) -> bool {
    id.len() == 64 && id.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// Makes the network; what the engine said where it will not.
fn make(talk: &Talk, call: &Call) -> Result<Option<Said>> {
    let body = json!({
        "Name": NAME,
        "Driver": "bridge",
        "CheckDuplicate": true,
        "Options": { ICC: "false" },
        "Labels": { "dev.sandport.version": env!("CARGO_PKG_VERSION") },
    })
    .to_string();
    let ask = Ask::new(Phase::Create, "POST", "/networks/create").json(body.as_bytes());
    let answer = talk.send(call, &ask)?;
    // 409: somebody without our lock was quicker; the next look finds theirs.
    let made = matches!(answer.status, 200..=299 | 409);
    Ok((!made).then(|| Said::new(answer.status, &answer.body)))
}

/// Of several of ours the lowest id stays. One in use cannot go, and does not matter, since ids are used; one that is
/// not ours is not ours to remove.
fn drop_duplicates(talk: &Talk, call: &Call, found: &[wire::Network]) -> Result<()> {
    for network in found.iter().skip(1).filter(|network| is_ours(network)) {
        let path = format!("/networks/{}", network.id);
        talk.send(call, &Ask::new(Phase::Create, "DELETE", &path))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn network(options: &str) -> wire::Network {
        let text = format!(
            r#"{{"Name":"sandport","Id":"{}","Driver":"bridge","Options":{options}}}"#,
            "a".repeat(64)
        );
        serde_json::from_str(&text).unwrap()
    }

    #[test]
    fn only_a_bridge_without_traffic_counts() {
        assert!(is_ours(&network(r#"{"com.docker.network.bridge.enable_icc":"false"}"#)));
        assert!(!is_ours(&network(r#"{"com.docker.network.bridge.enable_icc":"true"}"#)));
        assert!(!is_ours(&network("{}")) && !is_ours(&network("null")));
    }
}
