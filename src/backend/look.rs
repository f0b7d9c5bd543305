//! What a container that bears a sandbox's name is to us: ours, a peer's of another state directory, or a stranger.

use std::path::{Path, PathBuf};

use crate::error::{Code, Error, Phase, Result};
use crate::runtime::{Container, State};
use crate::sandbox::label;

/// Whose container it is, as its labels say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Bond {
    /// Made with our state directory.
    Ours,
    /// Made by this library with another state directory, which it names.
    Foreign { home: Option<PathBuf>, domain: Option<String> },
    /// Made by something else: it bears the name and none of our labels.
    Stranger,
}

/// Judges a container that bears the name of this prefix and id; `NAME_CONFLICT` when its labels say otherwise.
pub(super) fn bond(found: &Container, prefix: &str, id: &str, domain: &str) -> Result<Bond> {
    let said = |name: &str| found.labels.get(name).map(String::as_str);
    let (its_prefix, its_id, its_domain) = (said(label::PREFIX), said(label::ID), said(label::DOMAIN));
    if its_prefix.is_none() && its_id.is_none() && its_domain.is_none() {
        return Ok(Bond::Stranger);
    }
    if its_prefix != Some(prefix) || its_id != Some(id) {
        return Err(conflict(
            Phase::Inspect,
            "the container's name is that of a sandbox with another prefix or id",
        ));
    }
    if its_domain == Some(domain) {
        return Ok(Bond::Ours);
    }
    Ok(Bond::Foreign {
        home: said(label::HOME).map(Path::new).filter(|home| home.is_absolute()).map(Path::to_owned),
        domain: its_domain.map(str::to_owned),
    })
}

/// `NAME_CONFLICT`, with what to do about it.
pub(super) fn conflict(phase: Phase, message: &str) -> Error {
    Error::new(Code::NameConflict, message)
        .with_hint("use another sandbox_id or container_prefix, or remove the container of that name")
        .in_phase(phase)
}

/// What a create that finds this container does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Finding {
    /// It lives: adopt it.
    Alive,
    /// It is about to vanish: wait for that.
    Leaving,
    /// It never lived, or ended, and is ours to clear away.
    Residue,
    /// A peer that we cannot see may be about to start it: wait for that.
    PeerStarting,
    /// It stands in the way, and is not ours to remove.
    InTheWay,
}

/// Judges the state of a container of our name, in the light of whose it is.
pub(super) fn finding(found: &Container, bond: &Bond) -> Finding {
    match found.state {
        State::Running | State::Paused => Finding::Alive,
        State::Stopping | State::Removing => Finding::Leaving,
        State::Exited | State::Dead if found.auto_remove => Finding::Leaving,
        State::Dead => Finding::Leaving,
        State::Created | State::Exited | State::Unknown => match bond {
            Bond::Ours => Finding::Residue,
            Bond::Foreign { .. } if found.state == State::Created => Finding::PeerStarting,
            // An ended one of a peer that the engine does not remove is nobody's work any more than our own would be,
            // but only its own state directory can tell.
            Bond::Foreign { .. } | Bond::Stranger => Finding::InTheWay,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn container(state: State, labels: &[(&str, &str)]) -> Container {
        Container {
            id: "a".repeat(64),
            name: "p-x".into(),
            state,
            labels: labels.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect(),
            created_at: 0.0,
            started_at: None,
            published: Default::default(),
            auto_remove: false,
            environment: None,
            networks: Vec::new(),
            pid: None,
        }
    }

    #[test]
    fn labels_of_another_prefix_or_id_are_a_name_conflict() {
        for labels in [
            &[(label::PREFIX, "a"), (label::ID, "b-c")][..],
            &[(label::PREFIX, "a-b"), (label::ID, "d")],
            &[(label::ID, "c")],
            &[(label::DOMAIN, "d")],
        ] {
            let error = bond(&container(State::Running, labels), "a-b", "c", "d").unwrap_err();
            assert_eq!(error.code(), Code::NameConflict, "{labels:?}");
        }
    }

    #[test]
    fn a_container_is_ours_foreign_or_a_strangers() {
        let of = |labels: &[(&str, &str)]| bond(&container(State::Running, labels), "p", "x", "d").unwrap();
        let ours = [(label::PREFIX, "p"), (label::ID, "x"), (label::DOMAIN, "d")];
        assert_eq!(of(&ours), Bond::Ours);
        assert_eq!(of(&[]), Bond::Stranger);
        let foreign =
            [(label::PREFIX, "p"), (label::ID, "x"), (label::DOMAIN, "e"), (label::HOME, "not/absolute")];
        assert_eq!(of(&foreign), Bond::Foreign { home: None, domain: Some("e".into()) });
    }

    #[test]
    fn only_our_own_residue_is_cleared_away() {
        let foreign = Bond::Foreign { home: None, domain: None };
        let judge = |state, bond: &Bond| finding(&container(state, &[]), bond);
        assert_eq!(judge(State::Created, &Bond::Ours), Finding::Residue);
        assert_eq!(judge(State::Created, &foreign), Finding::PeerStarting);
        assert_eq!(judge(State::Created, &Bond::Stranger), Finding::InTheWay);
        assert_eq!(judge(State::Exited, &foreign), Finding::InTheWay);
        assert_eq!(judge(State::Paused, &Bond::Stranger), Finding::Alive);
        let mut leaving = container(State::Exited, &[]);
        leaving.auto_remove = true;
        assert_eq!(finding(&leaving, &Bond::Stranger), Finding::Leaving);
    }
}
