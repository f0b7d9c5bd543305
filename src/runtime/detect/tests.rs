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
