//! What a hostile neighbour, image, request or local user tries, on the real engine: each attack fails.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::symlink;
use std::time::Duration;

use serde_json::{Value, json};

use crate::rig::{Backend, IMAGE, Rig, docker, docker_try, eventually, heavy, is_podman, port};

fn mount_error(backend: &Backend, host_path: &str) -> Value {
    let mounts = json!([{"host_path": host_path, "container_path": "/data"}]);
    backend.create(json!({"sandbox_id": "a", "extra_mounts": mounts})).unwrap_err()
}

#[test]
fn no_mount_reaches_the_hosts_places_of_power_by_name_link_ancestor_or_dots() {
    let rig = Rig::new();
    let backend = rig.open();
    let link = |name: &str, to: &str| {
        let path = rig.folder().join(name);
        symlink(to, &path).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let state = rig.state_dir().to_str().unwrap().to_owned();
    for path in [
        "/".to_owned(),
        "/proc".into(),
        "/proc/self".into(),
        "/sys".into(),
        "/dev".into(),
        "/var".into(),
        "/run".into(),
        "/var/run/docker.sock".into(),
        "/run/docker.sock".into(),
        "/var/lib/docker".into(),
        "/var/lib".into(),
        format!("{state}/ports"),
        state.clone(),
        rig.folder().to_str().unwrap().to_owned(),
        link("root", "/"),
        link("socket", "/run/docker.sock"),
        link("proc", "/proc"),
        link("state-link", &state),
    ] {
        let error = mount_error(&backend, &path);
        assert_eq!(error["code"], "denied", "{path}: {error}");
        assert!(
            !error["message"].as_str().unwrap().contains(&path) || path == "/",
            "a message repeats no value"
        );
    }
    for path in ["relative", "", "/no/such/place", "/srv/../proc", "/srv/./x"] {
        assert_eq!(mount_error(&backend, path)["code"], "invalid_argument", "{path}");
    }
    assert!(!std::path::Path::new("/no").exists(), "nothing is made on the host");
    rig.assert_clean();
}

#[test]
fn a_mount_nests_in_no_writable_one_and_targets_are_places_of_their_own() {
    let rig = Rig::new();
    let backend = rig.open();
    let (outer, inner) = (rig.folder().join("m"), rig.folder().join("m/inner"));
    std::fs::create_dir_all(&inner).unwrap();
    let refused = |mounts: Value| {
        let error = backend.create(json!({"sandbox_id": "a", "extra_mounts": mounts})).unwrap_err();
        assert_eq!(error["code"], "invalid_argument", "{error}");
    };
    refused(
        json!([{"host_path": outer, "container_path": "/a"}, {"host_path": inner, "container_path": "/b"}]),
    );
    refused(
        json!([{"host_path": inner, "container_path": "/a"}, {"host_path": inner, "container_path": "/a"}]),
    );
    for target in ["/", "/proc", "/sys", "/dev", "/a/../proc", "a", "/a//b", "/a/../.."] {
        refused(json!([{"host_path": inner, "container_path": target}]));
    }
    rig.assert_clean();
}

#[test]
fn one_sandbox_cannot_call_anothers_api_over_the_bridge() {
    if is_podman() {
        // Podman has no such switch, and says so.
        let rig = Rig::new();
        let info = rig.open().create(json!({"sandbox_id": "a"})).unwrap();
        assert_eq!(info["isolation"], "shared");
        return;
    }
    let rig = Rig::new();
    let backend = rig.open();
    for id in ["victim", "thief"] {
        assert_eq!(backend.create(json!({"sandbox_id": id})).unwrap()["isolation"], "isolated");
    }
    let address = docker(&[
        "inspect",
        "--format",
        "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}",
        &rig.name("victim"),
    ]);
    let call = |address: &str| {
        format!(
            "printf 'GET /v1/sandbox HTTP/1.0\\r\\n\\r\\n' | timeout 3 nc -w 2 {address} 8080 2>/dev/null || echo could not"
        )
    };
    assert_eq!(backend.shell("thief", &call(&address)), "could not");
    // On a network that allows it the same command works, so the test would notice.
    let shared = rig.open_with(json!({"network": "bridge"}));
    for id in ["open-victim", "open-thief"] {
        assert_eq!(shared.create(json!({"sandbox_id": id})).unwrap()["isolation"], "shared");
    }
    let address = docker(&[
        "inspect",
        "--format",
        "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}",
        &rig.name("open-victim"),
    ]);
    let read = shared.shell("open-thief", &call(&address));
    assert!(read.contains("success"), "{read}");
}

#[test]
fn an_image_that_carries_our_labels_proves_nothing() {
    let rig = Rig::new();
    let image = format!("{}-labelled:latest", rig.prefix);
    let prefix = format!("LABEL dev.sandport.prefix={} dev.sandport.id=x dev.sandport.domain=0", rig.prefix);
    let id = docker(&["create", IMAGE]);
    docker(&["commit", "--change", &prefix, &id, &image]);
    docker(&["rm", &id]);
    let publish = format!("127.0.0.1:{}:8080", rig.base_port + 30);
    docker(&["run", "-d", "--rm", "--name", &rig.name("y"), "-p", &publish, &image]);
    let backend = rig.open();
    assert!(backend.list().unwrap().is_empty(), "its labels name another sandbox than its name");
    assert_eq!(backend.create(json!({"sandbox_id": "y"})).unwrap_err()["code"], "name_conflict");
    assert!(
        backend.reap(json!({"idle_seconds": 0, "include_lost": true})).unwrap()["reaped"]
            .as_array()
            .unwrap()
            .is_empty()
    );
    let info = backend.create(json!({"sandbox_id": "z", "image": image})).unwrap();
    let label =
        docker(&["inspect", "--format", "{{index .Config.Labels \"dev.sandport.id\"}}", &rig.name("z")]);
    assert_eq!(label, "z", "ours stand over the image's");
    assert!(backend.destroy(json!({"sandbox": info})).unwrap());
    docker(&["rm", "-f", &rig.name("y")]);
    docker_try(&["rmi", "-f", &image]).ok();
}

#[test]
fn callers_may_not_set_our_labels() {
    let rig = Rig::new();
    let error =
        rig.open().create(json!({"sandbox_id": "a", "labels": {"dev.sandport.id": "b"}})).unwrap_err();
    assert_eq!(error["code"], "invalid_argument");
    rig.assert_clean();
}

#[test]
fn whoever_takes_a_dead_sandboxes_port_receives_no_byte() {
    let rig = Rig::new();
    let backend = rig.open();
    let info = backend.create(json!({"sandbox_id": "a"})).unwrap();
    let ask = json!({"sandbox": info, "path": "/echo", "headers": {"x-secret": "for the sandbox alone"}});
    assert_eq!(backend.request(ask.clone()).unwrap()["status"], 200);
    docker(&["rm", "-f", info["container_id"].as_str().unwrap()]);
    let number = port(&info);
    let mut listener = None;
    eventually("the port is free", || {
        listener = TcpListener::bind(("127.0.0.1", number)).ok();
        listener.is_some()
    });
    let listener = listener.unwrap();
    let newcomer = std::thread::spawn(move || {
        listener.set_nonblocking(true).unwrap();
        let mut heard = Vec::new();
        let end = std::time::Instant::now() + Duration::from_secs(3);
        while std::time::Instant::now() < end {
            if let Ok((mut stream, _)) = listener.accept() {
                stream.set_nonblocking(false).unwrap();
                stream.set_read_timeout(Some(Duration::from_secs(1))).unwrap();
                let mut bytes = [0; 1024];
                if let Ok(count) = stream.read(&mut bytes) {
                    heard.extend_from_slice(&bytes[..count]);
                }
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        heard
    });
    let error = backend.request(ask).unwrap_err();
    assert_eq!(error["code"], "sandbox_exited", "{error}");
    assert_eq!(newcomer.join().unwrap(), Vec::<u8>::new(), "the newcomer heard something");
    backend.destroy(json!({"sandbox_id": "a"})).unwrap();
}

#[test]
fn requests_that_try_to_reach_elsewhere_are_refused_or_stay_inside() {
    let rig = Rig::new();
    let backend = rig.open();
    backend.create(json!({"sandbox_id": "a"})).unwrap();
    let ask = |more: Value| {
        let mut request = json!({"sandbox_id": "a", "path": "/echo"});
        more.as_object().unwrap().iter().for_each(|(name, value)| request[name] = value.clone());
        backend.request(request)
    };
    for path in [
        "",
        "echo",
        "//evil/x",
        "@127.0.0.1:1/x",
        "/a b",
        "/a#b",
        "/a\\b",
        "/a\r\nX: y",
        "/ä",
        "http://evil/",
    ] {
        assert_eq!(ask(json!({"path": path})).unwrap_err()["code"], "invalid_argument", "{path:?}");
    }
    for name in [
        "Host",
        "content-length",
        "Transfer-Encoding",
        "TE",
        "Trailer",
        "Connection",
        "Keep-Alive",
        "Upgrade",
        "Expect",
        "Proxy-Authorization",
        "bad name",
        "x\r\ny",
    ] {
        assert_eq!(ask(json!({"headers": {name: "1"}})).unwrap_err()["code"], "invalid_argument", "{name:?}");
    }
    assert_eq!(ask(json!({"headers": {"x": "a\r\nb: c"}})).unwrap_err()["code"], "invalid_argument");
    for method in ["CONNECT", "TRACE", "get", "G ET", ""] {
        assert_eq!(ask(json!({"method": method})).unwrap_err()["code"], "invalid_argument", "{method:?}");
    }
    let redirected = ask(json!({"path": "/redirect"})).unwrap();
    assert_eq!(redirected["status"], 302, "no redirect is followed");
    let error = ask(json!({"path": "/bytes/1000000", "max_response_bytes": 1000})).unwrap_err();
    assert_eq!(error["code"], "quota_exceeded");
    backend.destroy(json!({"sandbox_id": "a"})).unwrap();
    rig.assert_clean();
}

#[test]
fn a_sandbox_with_a_key_answers_nobody_else_and_the_key_is_told_to_its_maker_alone() {
    let rig = Rig::new();
    let auth = json!({"auth": {"environment": "AIO_API_KEY", "header": "x-api-key", "prefix": ""}});
    let backend = rig.open_with(auth.clone());
    let info = backend.create(json!({"sandbox_id": "a"})).unwrap();
    let key = info["auth"]["value"].as_str().unwrap().to_owned();
    assert_eq!((info["auth"]["header"].clone(), key.len() >= 43), (json!("x-api-key"), true));
    // A web page or a local user that calls the port without it.
    let mut stream = TcpStream::connect(("127.0.0.1", port(&info))).unwrap();
    stream.write_all(b"GET /v1/sandbox HTTP/1.1\r\nhost: evil.example\r\nconnection: close\r\n\r\n").unwrap();
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"HTTP/1.1 401");
    assert_eq!(backend.request(json!({"sandbox_id": "a", "path": "/echo"})).unwrap()["status"], 200);
    let other = rig.open_with(auth);
    assert_eq!(other.discover(json!({"sandbox_id": "a"})).unwrap()["auth"]["value"], key.as_str());
    assert!(!json!(other.list().unwrap()).to_string().contains(&key), "never in a list");
    let own = json!({"sandbox_id": "a", "path": "/echo", "headers": {"X-Api-Key": "mine"}});
    assert_eq!(other.request(own).unwrap_err()["code"], "invalid_argument");
    let labels = docker(&["inspect", "--format", "{{json .Config.Labels}}", &rig.name("a")]);
    assert!(!labels.contains(&key));
    backend.destroy(json!({"sandbox_id": "a"})).unwrap();
}

#[test]
fn a_bind_beyond_loopback_without_a_key_is_a_warning() {
    let rig = Rig::new();
    let backend = rig.open_with(json!({"bind_host": "0.0.0.0"}));
    let info = backend.create(json!({"sandbox_id": "a"})).unwrap();
    assert!(!info["warnings"].as_array().unwrap().is_empty(), "{info}");
    backend.destroy(json!({"sandbox_id": "a"})).unwrap();
}

#[test]
fn no_value_of_the_environment_reaches_a_log_a_label_or_a_command_line() {
    let rig = Rig::new();
    let log = rig.folder().join("log");
    let secret = "hunter2-hunter2";
    let environment = [("SANDPORT_LOG", "debug"), ("SANDPORT_LOG_FILE", log.to_str().unwrap())];
    let mut peer =
        crate::child::Peer::start_with(&rig.config(json!({"environment": {"TOKEN": secret}})), &environment);
    peer.ask("create", &json!({"sandbox_id": "a", "environment": {"OTHER": "swordfish-9"}})).unwrap();
    peer.ask("request", &json!({"sandbox_id": "a", "path": "/echo"})).unwrap();
    let said =
        peer.ask("create", &json!({"sandbox_id": "a", "image": "bad image", "environment": {"X": secret}}));
    assert!(!said.unwrap_err().to_string().contains(secret));
    let labels = docker(&["inspect", "--format", "{{json .Config.Labels}}", &rig.name("a")]);
    assert!(!labels.contains(secret) && !labels.contains("swordfish-9"));
    let arguments: String = std::fs::read_dir("/proc")
        .unwrap()
        .flatten()
        .filter_map(|entry| std::fs::read_to_string(entry.path().join("cmdline")).ok())
        .collect();
    assert!(!arguments.contains(secret) && !arguments.contains("swordfish-9"));
    peer.ask("destroy", &json!({"sandbox_id": "a"})).unwrap();
    peer.end();
    let lines = std::fs::read_to_string(&log).unwrap();
    assert!(lines.contains("\"phase\":\"create\""), "the log tells the phases");
    assert!(!lines.contains(secret) && !lines.contains("swordfish-9"));
    for line in lines.lines() {
        serde_json::from_str::<Value>(line).expect("each line is JSON");
    }
}

#[test]
fn sixty_four_threads_use_one_backend_and_bad_input_leaves_nothing() {
    let _alone = heavy();
    let rig = Rig::new();
    let backend = rig.open();
    backend.create(json!({"sandbox_id": "a"})).unwrap();
    std::thread::scope(|scope| {
        for number in 0..64 {
            let backend = &backend;
            scope.spawn(move || match number % 4 {
                0 => assert!(backend.is_alive(json!({"sandbox_id": "a"})).unwrap()),
                1 => assert_eq!(backend.list().unwrap().len(), 1),
                2 => assert_eq!(
                    backend.request(json!({"sandbox_id": "a", "path": "/echo"})).unwrap()["status"],
                    200
                ),
                _ => assert_eq!(
                    backend.create(json!({"sandbox_id": "A B"})).unwrap_err()["code"],
                    "invalid_argument"
                ),
            });
        }
    });
    backend.destroy(json!({"sandbox_id": "a"})).unwrap();
    rig.assert_clean();
}
