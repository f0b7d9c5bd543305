//! What a failure of the engine means: words and status codes of Docker and Podman, old and new, into [`Refusal`]s.
//!
//! Every phrase that is looked for stands in a test below, with the runtime and version that says it.

use super::wire;
use crate::error::{Code, Error, Phase};
use crate::runtime::Refusal;
use crate::runtime::text::clean;

/// What an engine said when it refused: its status, and its words made safe to show.
#[derive(Clone, Debug)]
pub(super) struct Said {
    pub status: u16,
    pub text: String,
    /// In lower case, for looking at.
    lower: String,
}

impl Said {
    pub(super) fn new(status: u16, body: &[u8]) -> Self {
        let text = match serde_json::from_slice::<wire::Failure>(body) {
            Ok(failure) if !failure.message.is_empty() => clean(&failure.message),
            _ => String::new(),
        };
        let text = if text.is_empty() { format!("HTTP status {status} without a reason") } else { text };
        Said { status, lower: text.to_lowercase(), text }
    }

    /// A failure inside a stream that began well.
    pub(super) fn of_text(text: &str) -> Self {
        let text = clean(text);
        Said { status: 500, lower: text.to_lowercase(), text }
    }

    fn has(&self, phrases: &[&str]) -> bool {
        phrases.iter().any(|phrase| self.lower.contains(phrase))
    }

    /// The error that it is when nothing better is known.
    pub(super) fn error(&self, phase: Phase) -> Error {
        let error =
            Error::new(Code::RuntimeFailed, format!("the engine refused: {}", self.text)).in_phase(phase);
        if self.network_trouble() {
            return error
                .with_hint("`network` names no network of this engine, or two: make it, or name another");
        }
        if self.has(&["permission denied", "cgroup"]) {
            return error.with_hint(
                "look at the engine's own log; rootless engines need cgroups v2 and its controllers",
            );
        }
        if self.status >= 500 { error.retryable() } else { error.with_hint("look at the engine's own log") }
    }

    /// The engine wants another API version than the one in the path.
    pub(super) fn wants_another_version(&self) -> bool {
        self.status == 400
            && self.lower.contains("client")
            && self.has(&[
                "is too old. minimum supported",
                "is too new. maximum supported",
                "newer than server",
            ])
    }

    /// Podman without `catatonit`.
    pub(super) fn lacks_init(&self) -> bool {
        self.status >= 500
            && self.has(&["container-init binary not found", "failed to locate init binary", "docker-init"])
    }

    /// A network that is not there, or one name for two.
    pub(super) fn network_trouble(&self) -> bool {
        self.lower.contains("network") && self.has(&["is ambiguous", "not found", "unable to find network"])
    }

    /// There is no such container (any more).
    pub(super) fn container_gone(&self) -> bool {
        (matches!(self.status, 404 | 500)
            && self.has(&["no such container", "no container with", "has already been removed"]))
            || (self.status == 409 && self.has(&["marked for removal", "is being removed"]))
    }

    /// A removal that another one is doing already, so it is under way.
    pub(super) fn removal_under_way(&self) -> bool {
        self.status == 409 && self.has(&["is already in progress", "marked for removal"])
    }

    fn name_in_use(&self) -> bool {
        self.status == 409
            || (self.status >= 500
                && self.has(&[
                    "that name is already in use",
                    "is in use: container already exists",
                    "is already in use by",
                ]))
    }

    fn no_image(&self) -> bool {
        self.status == 404 && self.has(&["no such image", "image not known"])
    }

    /// Podman says it at start, Docker at create.
    fn lacks_source(&self) -> bool {
        self.has(&["bind source path does not exist"])
            || (self.lower.contains("statfs") && self.has(&["no such file or directory"]))
    }

    fn port_in_use(&self) -> bool {
        self.has(&[
            "port is already allocated",
            "address already in use",
            "ports are not available",
            "proxy already running",
            "only one usage of each socket address",
        ])
    }
}

/// Why create was refused.
pub(super) fn create(said: &Said) -> Refusal {
    let phase = Phase::Create;
    if said.no_image() {
        let error = Error::new(Code::ImageNotFound, "the image is not on this engine").in_phase(phase);
        return Refusal::NoImage(error.with_hint("pull it, or let `pull` be \"missing\""));
    }
    if said.name_in_use() {
        let error = Error::new(Code::NameConflict, format!("the container name is in use: {}", said.text))
            .in_phase(phase);
        return Refusal::NameInUse(
            error.with_hint("remove or rename that container, or use another sandbox id"),
        );
    }
    if said.lacks_source() {
        return Refusal::Failed(source_error(phase));
    }
    if said.port_in_use() {
        return Refusal::PortInUse(port_error(said, phase));
    }
    Refusal::Failed(said.error(phase))
}

/// Why start was refused.
pub(super) fn start(said: &Said) -> Refusal {
    let phase = Phase::Start;
    if said.port_in_use() {
        return Refusal::PortInUse(port_error(said, phase));
    }
    if said.container_gone() {
        let error = Error::new(
            Code::RuntimeFailed,
            format!("the container vanished before its start: {}", said.text),
        );
        return Refusal::Gone(error.in_phase(phase).retryable());
    }
    if said.lacks_source() {
        return Refusal::Failed(source_error(phase));
    }
    let error = said.error(phase);
    Refusal::Failed(if said.has(&["cannot assign requested address"]) {
        error.with_hint("`bind_host` is no address of the machine that the engine runs on")
    } else if said.has(&["executable file not found", "no such file or directory", "exec format error"]) {
        error.with_hint(
            "the image has no such command, is for another kind of machine, or a mount's place is missing",
        )
    } else {
        error
    })
}

fn source_error(phase: Phase) -> Error {
    Error::new(Code::InvalidArgument, "a mount's source does not exist where the engine runs")
        .in_phase(phase)
        .with_hint(
            "make the folder first; if the engine sees another file system, set `mount_paths` to \"engine\"",
        )
}

fn port_error(said: &Said, phase: Phase) -> Error {
    Error::new(Code::PortExhausted, format!("the host port is taken: {}", said.text))
        .in_phase(phase)
        .with_hint("free the port, or give a wider port range")
        .retryable()
}

/// Why a pull failed.
pub(super) fn pull(said: &Said) -> Error {
    let phase = Phase::Pull;
    let missing = said.status == 404
        || said.has(&[
            "not found",
            "manifest unknown",
            "repository does not exist",
            "name unknown",
            "no such image",
        ]);
    let refused = said.has(&[
        "unauthorized",
        "access denied",
        "access forbidden",
        "requested access to the resource",
        "authentication required",
    ]) || matches!(said.status, 401 | 403);
    if refused {
        return Error::new(Code::ImageNotFound, format!("the registry refuses the image: {}", said.text))
            .in_phase(phase)
            .with_hint("check the image's name, and log in to its registry (docker login) as this user");
    }
    if missing {
        return Error::new(Code::ImageNotFound, format!("the image cannot be pulled: {}", said.text))
            .in_phase(phase)
            .with_hint("check the image's name and tag");
    }
    if said.status == 400 {
        return Error::new(
            Code::InvalidArgument,
            format!("the engine cannot read the image's name: {}", said.text),
        )
        .in_phase(phase)
        .with_hint("write it as `docker pull` takes it, in lower case");
    }
    Error::new(Code::RuntimeFailed, format!("the image cannot be pulled: {}", said.text))
        .in_phase(phase)
        .with_hint(
            "check that the engine reaches the registry, or load the image and set `pull` to \"never\"",
        )
        .retryable()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(status: u16, message: &str) -> Said {
        Said::new(status, serde_json::json!({ "message": message }).to_string().as_bytes())
    }

    #[test]
    fn a_name_in_use_is_told_by_every_version() {
        let hex = "a".repeat(64);
        let all = [
            // Docker 20.10 to 28.
            (
                409,
                format!(
                    "Conflict. The container name \"/N\" is already in use by container \"{hex}\". You have to remove (or rename) that container to be able to reuse that name."
                ),
            ),
            // Podman 4.3.
            (
                500,
                format!(
                    "container create: creating container storage: the container name \"pp1\" is already in use by {hex}. You have to remove that container to be able to reuse that name: that name is already in use"
                ),
            ),
            // Podman 5.
            (
                409,
                format!(
                    "container create: creating container storage: the container name \"pp1\" is already in use by {hex}. You have to remove that container to be able to reuse that name, or use --replace to instruct Podman to do so.: that name is already in use"
                ),
            ),
            // Podman, racing.
            (500, "adding container x to state: name \"x\" is in use: container already exists".to_owned()),
        ];
        for (status, message) in all {
            assert!(matches!(create(&said(status, &message)), Refusal::NameInUse(_)), "{message}");
        }
    }

    #[test]
    fn a_missing_image_is_told_by_every_version() {
        // Docker 20.10 to 28, Podman 4 and 5.
        for message in ["No such image: x:latest", "no such image: x: image not known"] {
            assert!(matches!(create(&said(404, message)), Refusal::NoImage(_)), "{message}");
        }
        // A network that is missing is a 404 too.
        let network = said(404, "network sandport not found");
        assert!(network.network_trouble() && matches!(create(&network), Refusal::Failed(_)));
        // Docker, two networks of one name.
        assert!(said(400, "network sandport is ambiguous (2 matches found on name)").network_trouble());
    }

    #[test]
    fn a_taken_port_is_told_by_every_version() {
        for message in [
            // Docker 20.10.
            "driver failed programming external connectivity on endpoint N (id): Bind for 127.0.0.1:18111 failed: port is already allocated",
            // Docker 28.
            "failed to set up container networking: driver failed programming external connectivity on endpoint N (id): failed to bind host port 0.0.0.0:18111/tcp: address already in use",
            // Docker Desktop.
            "Ports are not available: exposing port TCP 127.0.0.1:18111 -> 127.0.0.1:0: listen tcp: bind: address already in use",
            // Podman 4.3, root and rootless, and its machine on macOS.
            "cannot listen on the TCP port: listen tcp4 127.0.0.1:18111: bind: address already in use",
            "rootlessport listen tcp 127.0.0.1:18111: bind: address already in use",
            "something went wrong with the request: \"proxy already running\\n\"",
        ] {
            assert!(matches!(start(&said(500, message)), Refusal::PortInUse(_)), "{message}");
        }
        assert!(matches!(
            start(&said(500, "listen tcp 10.9.9.9:1: bind: cannot assign requested address")),
            Refusal::Failed(_)
        ));
    }

    #[test]
    fn a_vanished_container_is_not_a_failure_of_its_own() {
        for (status, message) in [
            (404, "No such container: N"),
            (404, "no container with name or ID \"nope\" found: no such container"),
            // Podman 4.3, removed while it was asked.
            (500, "container dd does not exist in database: no such container"),
            (409, "container is marked for removal and cannot be started"),
        ] {
            assert!(matches!(start(&said(status, message)), Refusal::Gone(_)), "{message}");
        }
        assert!(said(409, "removal of container N is already in progress").removal_under_way());
    }

    #[test]
    fn podman_without_an_init_and_refused_versions_are_told() {
        let init = "container-init binary not found on the host: stat /usr/libexec/podman/catatonit: no such file or directory";
        assert!(said(500, init).lacks_init());
        for message in [
            "client version 1.24 is too old. Minimum supported API version is 1.44, please upgrade your client to a newer version",
            "client version 1.47 is too new. Maximum supported API version is 1.41",
        ] {
            assert!(said(400, message).wants_another_version(), "{message}");
        }
        assert!(!said(400, "invalid reference format").wants_another_version());
    }

    #[test]
    fn a_missing_mount_source_is_the_callers_to_mend_and_not_repeated() {
        for message in [
            // Docker 20.10 to 28.
            "invalid mount config for type \"bind\": bind source path does not exist: /srv/secret",
            // Podman 4.3.
            "statfs /srv/secret: no such file or directory",
        ] {
            let error = create(&said(400, message)).into_error();
            assert_eq!(error.code(), Code::InvalidArgument);
            assert!(!error.message().contains("secret"));
        }
    }

    #[test]
    fn a_pull_that_fails_says_whether_trying_again_can_help() {
        for (status, message) in [
            (404, "manifest for localhost:5000/x:y not found: manifest unknown: manifest unknown"),
            (404, "pull access denied for nope, repository does not exist or may require 'docker login'"),
            (500, "unauthorized: authentication required"),
        ] {
            let error = pull(&said(status, message));
            assert_eq!(error.code(), Code::ImageNotFound, "{message}");
            assert!(!error.is_retryable());
        }
        let error = pull(&said(
            500,
            "Get \"http://localhost:5000/v2/\": dial tcp 127.0.0.1:5000: connect: connection refused",
        ));
        assert_eq!(error.code(), Code::RuntimeFailed);
        assert!(error.is_retryable());
    }

    #[test]
    fn an_answer_that_is_no_json_still_makes_an_error() {
        let error = Said::new(502, b"<html>\x1b[2J</html>").error(Phase::Inspect);
        assert_eq!(error.message(), "the engine refused: HTTP status 502 without a reason");
    }
}
