//! Detection against made-up surroundings.

use super::*;

fn around(variables: &'static [(&'static str, &'static str)]) -> Surroundings {
    let find =
        |name: &str| variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned());
    Surroundings { variables: Box::new(find), docker_folder: None, macos: false }
}

fn wish(kind: Option<Kind>) -> Wish {
    Wish { kind, endpoint: None, call_timeout: Duration::from_secs(1) }
}

fn endpoints(all: &[Candidate]) -> Vec<&str> {
    all.iter().map(|one| one.endpoint.as_str()).collect()
}

#[test]
fn docker_goes_before_podman_and_apple_before_both_on_macos() {
    let mut around = around(&[("HOME", "/h"), ("XDG_RUNTIME_DIR", "/x")]);
    let all = around.candidates(&wish(None)).unwrap();
    assert_eq!(
        endpoints(&all),
        [
            "unix:///var/run/docker.sock",
            "unix:///h/.docker/run/docker.sock",
            "unix:///x/docker.sock",
            "unix:///x/podman/podman.sock",
            "unix:///run/podman/podman.sock",
            "unix:///h/.local/share/containers/podman/machine/podman.sock",
        ]
    );
    around.macos = true;
    assert_eq!(around.candidates(&wish(None)).unwrap()[0].kind, Some(Kind::Apple));
}

#[test]
fn what_the_user_names_goes_before_the_surroundings() {
    let around = around(&[("DOCKER_HOST", "unix:///d"), ("CONTAINER_HOST", "unix:///c")]);
    assert_eq!(endpoints(&around.candidates(&wish(None)).unwrap()), ["unix:///d", "unix:///c"]);
    assert_eq!(endpoints(&around.candidates(&wish(Some(Kind::Podman))).unwrap()), ["unix:///c"]);
    let named = Wish { endpoint: Some("unix:///e".into()), ..wish(None) };
    assert_eq!(endpoints(&around.candidates(&named).unwrap()), ["unix:///e"]);
}

#[test]
fn a_host_of_podmans_that_is_not_spoken_does_not_spoil_docker() {
    let around = around(&[("CONTAINER_HOST", "ssh://core@localhost:1/run/podman.sock")]);
    assert_eq!(endpoints(&around.candidates(&wish(None)).unwrap()), ["unix:///var/run/docker.sock"]);
    let podman = around.candidates(&wish(Some(Kind::Podman))).unwrap();
    assert_eq!(parse(&podman[0].endpoint, None).unwrap_err().code(), Code::Unsupported);
}

#[test]
fn the_current_context_names_host_and_certificates() {
    let folder = env::temp_dir().join(format!("sandport-context-{}", std::process::id()));
    // SHA-256 of "remote".
    let digest: String = Sha256::digest(b"remote").iter().map(|byte| format!("{byte:02x}")).collect();
    let meta = folder.join("contexts/meta").join(&digest);
    let files = folder.join("contexts/tls").join(&digest).join("docker");
    std::fs::create_dir_all(&meta).unwrap();
    std::fs::create_dir_all(&files).unwrap();
    std::fs::write(files.join("ca.pem"), "").unwrap();
    std::fs::write(folder.join("config.json"), r#"{"currentContext":"remote"}"#).unwrap();
    let text = r#"{"Name":"remote","Metadata":{},"Endpoints":{"docker":{"Host":"tcp://h.example:2376","SkipTLSVerify":false}}}"#;
    std::fs::write(meta.join("meta.json"), text).unwrap();

    let around = Surroundings { docker_folder: Some(folder.clone()), ..around(&[]) };
    let all = around.candidates(&wish(Some(Kind::Docker))).unwrap();
    assert_eq!(endpoints(&all), ["tcp://h.example:2376"]);
    let tls = all[0].tls.clone().unwrap();
    assert!(tls.verify && tls.ca == Some(files.join("ca.pem")) && tls.cert.is_none());
    assert!(is_remote(&parse(&all[0].endpoint, Some(tls)).unwrap()));

    let host =
        Surroundings { docker_folder: Some(folder.clone()), ..self::around(&[("DOCKER_HOST", "unix:///d")]) };
    assert_eq!(endpoints(&host.candidates(&wish(Some(Kind::Docker))).unwrap()), ["unix:///d"]);
    let default = Surroundings {
        docker_folder: Some(folder.clone()),
        ..self::around(&[("DOCKER_CONTEXT", "default")])
    };
    assert_eq!(
        endpoints(&default.candidates(&wish(Some(Kind::Docker))).unwrap()),
        ["unix:///var/run/docker.sock"]
    );
    let lost =
        Surroundings { docker_folder: Some(folder.clone()), ..self::around(&[("DOCKER_CONTEXT", "lost")]) };
    assert_eq!(lost.candidates(&wish(Some(Kind::Docker))).unwrap_err().code(), Code::InvalidArgument);
    std::fs::remove_dir_all(folder).unwrap();
}

#[test]
fn an_endpoint_that_can_never_work_is_refused_with_a_hint() {
    let verified = || Some(Tls { verify: true, ..Tls::default() });
    let blind = || Some(Tls::default());
    for (text, tls, code) in [
        ("ssh://me@host", None, Code::Unsupported),
        ("npipe:////./pipe/docker_engine", None, Code::Unsupported),
        ("tcp://10.0.0.1:2375", None, Code::InvalidArgument),
        ("tcp://h.example:2376", blind(), Code::InvalidArgument),
        ("http://10.0.0.1:2375", verified(), Code::InvalidArgument),
        ("tcp://", None, Code::InvalidArgument),
        ("tcp://127.0.0.1:99999", None, Code::InvalidArgument),
        ("tcp://127.0.0.1@evil:1", verified(), Code::InvalidArgument),
        ("unix://relative", None, Code::InvalidArgument),
        ("/var/run/docker.sock", None, Code::InvalidArgument),
        ("gopher://x", None, Code::InvalidArgument),
    ] {
        let error = parse(text, tls).unwrap_err();
        assert_eq!(error.code(), code, "{text}");
        assert!(!error.hint().is_empty(), "{text}");
    }
}

#[test]
fn hosts_and_ports_are_read_in_every_form() {
    for (text, host, port) in [
        ("tcp://127.0.0.1:2375", "127.0.0.1", 2375),
        ("tcp://localhost", "localhost", 2375),
        ("tcp://[::1]:99/", "::1", 99),
        ("tcp://[::1]", "::1", 2375),
        ("tcp://[0:0:0:0:0:0:0:1]", "0:0:0:0:0:0:0:1", 2375),
    ] {
        match parse(text, None).unwrap() {
            Endpoint::Tcp { host: read, port: at, tls: None } => {
                assert_eq!((read.as_str(), at), (host, port))
            }
            other => panic!("{other:?}"),
        }
    }
    assert!(!is_remote(&parse("tcp://localhost:1", None).unwrap()));
}

/// Sockets in a folder of their own.
struct Sockets(PathBuf);

impl Sockets {
    fn new(name: &str) -> Self {
        let folder = env::temp_dir().join(format!("sandport-detect-{}-{name}", std::process::id()));
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir_all(&folder).unwrap();
        Sockets(folder)
    }

    fn candidate(&self, name: &str) -> Candidate {
        Candidate::socket(None, &self.0.join(name))
    }

    /// An engine that answers one ping.
    fn engine(&self, name: &str, server: &'static str) {
        use std::io::{Read, Write};
        let listener = std::os::unix::net::UnixListener::bind(self.0.join(name)).unwrap();
        std::thread::spawn(move || {
            let (mut socket, _) = listener.accept().unwrap();
            let mut seen = Vec::new();
            while !seen.ends_with(b"\r\n\r\n") {
                let mut byte = [0];
                socket.read_exact(&mut byte).unwrap();
                seen.push(byte[0]);
            }
            let head = format!(
                "HTTP/1.1 200 OK\r\nServer: {server}\r\nApi-Version: 1.41\r\nContent-Length: 2\r\n\r\nOK"
            );
            socket.write_all(head.as_bytes()).unwrap();
        });
    }
}

impl Drop for Sockets {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[test]
fn the_first_engine_that_answers_is_taken_and_says_what_it_is() {
    let sockets = Sockets::new("first");
    sockets.engine("podman", "Libpod/4.3.1 (linux)");
    sockets.engine("docker", "Docker/20.10.24 (linux)");
    let all = [sockets.candidate("nobody"), sockets.candidate("podman"), sockets.candidate("docker")];
    let runtime = first_that_answers(&all, Duration::from_secs(5), &Call::new()).unwrap();
    assert_eq!(runtime.kind(), Kind::Podman);
    assert_eq!(runtime.endpoint(), all[1].endpoint);
}

#[test]
fn where_none_answers_the_error_says_where_it_looked_and_what_to_do() {
    let sockets = Sockets::new("none");
    let all = [sockets.candidate("a"), sockets.candidate("b")];
    let error = first_that_answers(&all, Duration::from_secs(5), &Call::new()).err().unwrap();
    assert_eq!(error.code(), Code::RuntimeUnavailable);
    assert!(error.message().contains(&all[0].endpoint) && error.message().contains(&all[1].endpoint));
    assert!(error.hint().contains("start Docker") && error.is_retryable());
}

#[test]
fn one_that_is_there_and_hangs_says_more_than_those_that_are_not() {
    let sockets = Sockets::new("hang");
    let _silent = std::os::unix::net::UnixListener::bind(sockets.0.join("b")).unwrap();
    let all = [sockets.candidate("a"), sockets.candidate("b"), sockets.candidate("c")];
    let error = first_that_answers(&all, Duration::from_millis(50), &Call::new()).err().unwrap();
    assert_eq!(error.code(), Code::Timeout);
}
