//! The engine against scripted servers: each takes connections in turn and answers what the script says.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use super::*;
use crate::error::Code;
use crate::runtime::Published;

/// A server on a socket of its own that answers every request by a script.
struct Server {
    path: PathBuf,
    seen: Arc<Mutex<Vec<String>>>,
}

/// Method and target, body; gives the whole answer.
type Script = dyn Fn(&str, &str) -> Vec<u8> + Send + Sync;

impl Server {
    fn start(script: impl Fn(&str, &str) -> Vec<u8> + Send + Sync + 'static) -> Self {
        static NUMBERS: AtomicU32 = AtomicU32::new(0);
        let number = NUMBERS.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("sandport-engine-{}-{number}", std::process::id()));
        let _ = std::fs::remove_file(&path);
        let listener = UnixListener::bind(&path).unwrap();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let (script, log): (Arc<Script>, _) = (Arc::new(script), Arc::clone(&seen));
        std::thread::spawn(move || {
            for socket in listener.incoming().map_while(|socket| socket.ok()) {
                let (script, log) = (Arc::clone(&script), Arc::clone(&log));
                std::thread::spawn(move || serve(socket, &*script, &log));
            }
        });
        Server { path, seen }
    }

    fn engine(&self) -> Engine {
        self.patient(Duration::from_secs(5))
    }

    fn patient(&self, call_timeout: Duration) -> Engine {
        Engine::connect(None, &format!("unix://{}", self.path.display()), call_timeout).unwrap()
    }

    fn seen(&self) -> Vec<String> {
        self.seen.lock().unwrap().clone()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

fn serve(socket: UnixStream, script: &Script, log: &Mutex<Vec<String>>) {
    let mut reader = BufReader::new(socket);
    loop {
        let mut first = String::new();
        if reader.read_line(&mut first).unwrap_or(0) == 0 {
            return;
        }
        let mut length = 0;
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line).unwrap_or(0) == 0 {
                return;
            }
            let line = line.trim_end().to_ascii_lowercase();
            if let Some(value) = line.strip_prefix("content-length:") {
                length = value.trim().parse().unwrap();
            }
            if line.is_empty() {
                break;
            }
        }
        let mut body = vec![0; length];
        if reader.read_exact(&mut body).is_err() {
            return;
        }
        let request = first.rsplit_once(' ').unwrap().0.to_owned();
        log.lock().unwrap().push(request.clone());
        let answer = script(&request, &String::from_utf8_lossy(&body));
        let whole = answer.starts_with(b"HTTP/1.1")
            && answer.windows(15).any(|part| part.eq_ignore_ascii_case(b"content-length:"));
        if reader.get_mut().write_all(&answer).is_err() || !whole {
            return;
        }
    }
}

fn answer(status: u16, body: &str) -> Vec<u8> {
    format!(
        "HTTP/1.1 {status} X\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

fn ping(server: &str, api: &str) -> Vec<u8> {
    format!("HTTP/1.1 200 OK\r\nServer: {server}\r\nApi-Version: {api}\r\nContent-Length: 2\r\n\r\nOK")
        .into_bytes()
}

/// Docker 28, but for what the script takes over.
fn docker(script: impl Fn(&str, &str) -> Vec<u8> + Send + Sync + 'static) -> Server {
    Server::start(move |request, body| match request {
        "GET /_ping" => ping("Docker/28.2.2 (linux)", "1.50"),
        _ => script(request, body),
    })
}

struct NoLock;

impl NetworkLock for NoLock {
    fn hold(&self, _: &Call) -> Result<Box<dyn std::any::Any>> {
        Ok(Box::new(()))
    }
}

fn id(digit: char) -> String {
    digit.to_string().repeat(64)
}

#[test]
fn the_version_is_negotiated_once_and_the_newest_both_know() {
    let server = docker(|_, _| answer(200, "[]"));
    let engine = server.engine();
    let call = Call::new();
    assert!(engine.list(&call, false).unwrap().is_empty());
    assert!(engine.list(&call, true).unwrap().is_empty());
    assert_eq!(
        server.seen(),
        ["GET /_ping", "GET /v1.47/containers/json", "GET /v1.47/containers/json?all=1"]
    );
    assert_eq!(engine.kind(), Kind::Docker);
    assert_eq!(engine.ping(&call).unwrap().version.as_deref(), Some("28.2.2"));
}

#[test]
fn an_old_engine_is_spoken_to_in_its_own_version() {
    let server = Server::start(|request, _| match request {
        "GET /_ping" => ping("Docker/20.10.24 (linux)", "1.41"),
        _ => answer(200, "[]"),
    });
    server.engine().list(&Call::new(), false).unwrap();
    assert_eq!(server.seen()[1], "GET /v1.41/containers/json");
}

#[test]
fn an_engine_that_refuses_the_version_is_asked_without_one() {
    let server = docker(|request, _| match request {
        "GET /containers/json" => answer(200, "[]"),
        _ => answer(
            400,
            r#"{"message":"client version 1.47 is too old. Minimum supported API version is 1.49, please upgrade"}"#,
        ),
    });
    let engine = server.engine();
    engine.list(&Call::new(), false).unwrap();
    engine.list(&Call::new(), false).unwrap();
    assert_eq!(server.seen().len(), 4, "the refusal is remembered");
}

#[test]
fn podman_is_told_by_its_ping_or_its_version() {
    let by_ping = Server::start(|_, _| {
        b"HTTP/1.1 200 OK\r\nServer: Libpod/4.3.1 (linux)\r\nLibpod-Api-Version: 4.3.1\r\nApi-Version: 1.41\r\nContent-Length: 2\r\n\r\nOK".to_vec()
    });
    let engine = by_ping.engine();
    assert_eq!(engine.ping(&Call::new()).unwrap().version.as_deref(), Some("4.3.1"));
    assert_eq!(engine.kind(), Kind::Podman);
    let by_version = Server::start(|request, _| match request {
        "GET /_ping" => answer(200, "OK"),
        _ => answer(
            200,
            r#"{"Version":"4.3.1","ApiVersion":"1.41","Components":[{"Name":"Podman Engine","Version":"4.3.1"}]}"#,
        ),
    });
    let engine = by_version.engine();
    assert_eq!(engine.ping(&Call::new()).unwrap().api_version.as_deref(), Some("1.41"));
    assert_eq!(engine.kind(), Kind::Podman);
}

#[test]
fn a_missing_socket_a_hang_and_garbage_are_three_failures() {
    let call = Call::new();
    let nobody = Engine::connect(None, "unix:///nonexistent/engine.sock", Duration::from_secs(1)).unwrap();
    let error = nobody.ping(&call).unwrap_err();
    assert_eq!(error.code(), Code::RuntimeUnavailable);
    assert!(error.hint().contains("start Docker") && error.is_retryable());

    let silent = Server::start(|_, _| {
        std::thread::park();
        Vec::new()
    });
    let error = silent.patient(Duration::from_millis(50)).ping(&call).unwrap_err();
    assert_eq!(error.code(), Code::Timeout);

    let garbage = Server::start(|_, _| b"SSH-2.0-x\r\n".to_vec());
    assert_eq!(garbage.engine().ping(&call).unwrap_err().code(), Code::RuntimeFailed);
    let early = Server::start(|_, _| Vec::new());
    assert_eq!(early.engine().ping(&call).unwrap_err().code(), Code::RuntimeFailed);
    let redirect =
        Server::start(|_, _| b"HTTP/1.1 301 X\r\nLocation: /x\r\nContent-Length: 0\r\n\r\n".to_vec());
    assert_eq!(redirect.engine().ping(&call).unwrap_err().code(), Code::RuntimeFailed);
}

#[test]
fn a_cancelled_question_ends_at_once() {
    let silent = Server::start(|_, _| {
        std::thread::park();
        Vec::new()
    });
    let engine = silent.patient(Duration::from_secs(60));
    let call = Call::new();
    let other = call.clone();
    let began = Instant::now();
    std::thread::scope(|scope| {
        let asked = scope.spawn(|| engine.ping(&call));
        while silent.seen().is_empty() {
            std::thread::yield_now();
        }
        other.cancel();
        assert_eq!(asked.join().unwrap().unwrap_err().code(), Code::Cancelled);
    });
    assert!(began.elapsed() < Duration::from_secs(30));
}

#[test]
fn an_engines_text_and_ids_are_not_trusted() {
    let server = docker(|request, _| match request {
        "GET /v1.47/containers/json" => answer(200, r#"[{"Id":"../../x","Names":["/x"]}]"#),
        "GET /v1.47/containers/one/json" => answer(500, "{\"message\":\"\\u001b[2Jboo\"}"),
        _ => answer(200, &"[".repeat(100_000)),
    });
    let engine = server.engine();
    let call = Call::new();
    assert!(engine.list(&call, false).is_err());
    let error = engine.inspect(&call, Which::Name("one")).unwrap_err();
    assert_eq!(error.message(), "the engine refused: \\u{1b}[2Jboo");
    assert_eq!(engine.list(&call, true).unwrap_err().code(), Code::RuntimeFailed);
    let asked = server.seen().len();
    for bad in ["../x", "x?force=1", "", ".", "a/b"] {
        assert!(engine.inspect(&call, Which::Name(bad)).is_err());
        assert!(engine.remove(&call, bad).is_err());
    }
    assert!(engine.stop(&call, "d3", Duration::ZERO).is_err());
    assert_eq!(server.seen().len(), asked, "nothing was sent for them");
}

#[test]
fn a_beginning_of_an_id_finds_nothing() {
    let body = format!(r#"{{"Id":"{}","Name":"/sandport-one"}}"#, id('a'));
    let server = docker(move |_, _| answer(200, &body));
    let engine = server.engine();
    let call = Call::new();
    assert!(engine.inspect(&call, Which::Name("aaaa")).unwrap().is_none());
    assert!(engine.inspect(&call, Which::Id(&id('b'))).unwrap().is_none());
    assert!(engine.inspect(&call, Which::Name("sandport-one")).unwrap().is_some());
}

#[test]
fn stop_and_remove_say_whether_there_was_one() {
    for (status, message, found) in [
        (204, "", Some(true)),
        (304, "", Some(true)),
        (404, "No such container: x", Some(false)),
        (409, "removal of container x is already in progress", Some(true)),
        // Podman 4.3, while the container is being removed.
        (500, "container x does not exist in database: no such container", Some(false)),
        (500, "boo", None),
        (404, "page not found", None),
    ] {
        let body = format!(r#"{{"message":"{message}"}}"#);
        let server = docker(move |_, _| match status {
            204 | 304 => format!("HTTP/1.1 {status} X\r\nContent-Length: 0\r\n\r\n").into_bytes(),
            _ => answer(status, &body),
        });
        let engine = server.engine();
        assert_eq!(engine.remove(&Call::new(), &id('a')).ok(), found, "{status} {message}");
        assert_eq!(engine.stop(&Call::new(), &id('a'), Duration::ZERO).ok(), found, "{status} {message}");
    }
}

#[test]
fn the_isolated_network_is_made_once_and_named_by_its_id() {
    let made = Arc::new(Mutex::new(false));
    let (low, high) = (id('1'), id('2'));
    let bridge = |id: &str| {
        format!(
            r#"{{"Name":"sandport","Id":"{id}","Driver":"bridge","Options":{{"com.docker.network.bridge.enable_icc":"false"}}}}"#
        )
    };
    // Somebody else makes a duplicate at the same moment.
    let list = format!("[{},{}]", bridge(&high), bridge(&low));
    let server = docker(move |request, body| match request {
        _ if request.starts_with("GET /v1.47/networks") => {
            answer(200, if *made.lock().unwrap() { &list } else { "[]" })
        }
        "POST /v1.47/networks/create" => {
            *made.lock().unwrap() = true;
            answer(201, "{}")
        }
        _ if request.starts_with("DELETE /v1.47/networks/22") => answer(204, ""),
        _ if request.starts_with("POST /v1.47/containers/create") => {
            assert!(body.contains(&format!("\"NetworkMode\":\"{}\"", id('1'))));
            answer(201, &format!(r#"{{"Id":"{}","Warnings":null}}"#, id('c')))
        }
        other => panic!("{other}"),
    });
    let engine = server.engine();
    let spec = ContainerSpec { network: Network::Isolated { required: true }, ..spec::tests::spec() };
    assert!(engine.create(&Call::new(), &spec, &NoLock).unwrap().isolated);
    let asked = server.seen().len();
    assert!(engine.create(&Call::new(), &spec, &NoLock).unwrap().isolated);
    assert_eq!(server.seen().len(), asked + 1, "a settled network costs no question");
}

#[test]
fn a_network_that_is_not_isolated_is_a_warning_or_an_error() {
    let server = docker(|request, body| {
        if request.starts_with("GET /v1.47/networks") {
            return answer(
                200,
                &format!(r#"[{{"Name":"sandport","Id":"{}","Driver":"bridge","Options":{{}}}}]"#, id('1')),
            );
        }
        assert!(!body.contains("NetworkMode"));
        answer(201, &format!(r#"{{"Id":"{}","Warnings":["w"]}}"#, id('c')))
    });
    let mut spec = ContainerSpec { network: Network::Isolated { required: false }, ..spec::tests::spec() };
    let made = server.engine().create(&Call::new(), &spec, &NoLock).unwrap();
    assert!(!made.isolated);
    assert_eq!(made.warnings.len(), 2);
    spec.network = Network::Isolated { required: true };
    let error = server.engine().create(&Call::new(), &spec, &NoLock).unwrap_err().into_error();
    assert_eq!(error.code(), Code::RuntimeFailed);
}

#[test]
fn podman_without_an_init_makes_the_container_without_one() {
    let server = Server::start(|request, body| match request {
        "GET /_ping" => ping("Libpod/4.3.1 (linux)", "1.41"),
        _ if body.contains("\"Init\":true") => answer(
            500,
            r#"{"cause":"x","message":"container-init binary not found on the host: stat /usr/libexec/podman/catatonit: no such file or directory","response":500}"#,
        ),
        _ => answer(201, &format!(r#"{{"Id":"{}","Warnings":[]}}"#, id('c'))),
    });
    let mut spec = spec::tests::spec();
    spec.mounts.clear();
    spec.publish = Published { port: 0, ..spec.publish };
    let made = server.engine().create(&Call::new(), &spec, &NoLock).unwrap();
    assert!(made.warnings[0].contains("catatonit"));
}

#[test]
fn a_start_on_a_lost_network_settles_it_anew_but_not_one_of_the_users() {
    let list = format!(
        r#"[{{"Name":"sandport","Id":"{}","Driver":"bridge","Options":{{"com.docker.network.bridge.enable_icc":"false"}}}}]"#,
        id('1')
    );
    let server = docker(move |request, _| match request {
        _ if request.starts_with("GET /v1.47/networks") => answer(200, &list),
        _ if request.contains("/start") => {
            answer(404, &format!(r#"{{"message":"network {} not found"}}"#, id('1')))
        }
        _ => answer(201, &format!(r#"{{"Id":"{}"}}"#, id('c'))),
    });
    let (engine, call) = (server.engine(), Call::new());
    // Nothing is settled yet, so the lost network is somebody's own.
    assert!(matches!(engine.start(&call, &id('c')), Err(Refusal::Failed(_))));
    let spec = ContainerSpec { network: Network::Isolated { required: true }, ..spec::tests::spec() };
    for _ in 0..2 {
        engine.create(&call, &spec, &NoLock).unwrap();
        assert!(matches!(engine.start(&call, &id('c')), Err(Refusal::Gone(_))));
    }
    assert_eq!(server.seen().iter().filter(|one| one.contains("/networks?")).count(), 2);
}

#[test]
fn a_pull_tells_its_error_and_ends_when_it_stands_still() {
    let failing = docker(|_, _| {
        b"HTTP/1.1 200 OK\r\n\r\n{\"status\":\"Pulling from x\",\"id\":\"y\"}\r\n{\"errorDetail\":{},\"error\":\"manifest unknown\"}\r\n".to_vec()
    });
    assert_eq!(failing.engine().pull(&Call::new(), "x:y").unwrap_err().code(), Code::ImageNotFound);
    assert!(failing.seen()[1].ends_with("/images/create?fromImage=x&tag=y"));
    let missing = docker(|_, _| answer(404, r#"{"message":"manifest for x:y not found: manifest unknown"}"#));
    assert_eq!(missing.engine().pull(&Call::new(), "x:y").unwrap_err().code(), Code::ImageNotFound);
    let silent = docker(|_, _| {
        std::thread::park();
        Vec::new()
    });
    let error = silent.patient(Duration::from_millis(100)).pull(&Call::new(), "x:y").unwrap_err();
    assert_eq!(error.code(), Code::Timeout);
    assert!(error.message().contains("stood still"));
}

#[test]
fn a_watch_tells_how_a_container_ended_and_what_it_said() {
    let server = docker(|request, _| {
        let path = request.split(' ').nth(1).unwrap();
        if path.contains("/attach") {
            let mut bytes =
                b"HTTP/1.1 200 OK\r\nContent-Type: application/vnd.docker.raw-stream\r\n\r\n".to_vec();
            bytes.extend([1, 0, 0, 0, 0, 0, 0, 5]);
            bytes.extend(b"bye\x1b\n");
            return bytes;
        }
        if path.contains("/wait") {
            return answer(200, "{\"StatusCode\":137}");
        }
        b"HTTP/1.1 200 OK\r\n\r\n{\"Action\":\"oom\",\"status\":\"oom\"}\n{\"Action\":\"die\",\"status\":\"die\"}\n".to_vec()
    });
    let mut watch = server.engine().watch(&Call::new(), &id('a')).unwrap().unwrap();
    let began = Instant::now();
    let ended = loop {
        match watch.ended() {
            Some(ended) => break ended,
            None => assert!(began.elapsed() < Duration::from_secs(10)),
        }
        std::thread::yield_now();
    };
    assert_eq!(ended.exit_code, Some(137));
    assert_eq!(ended.oom_killed, Some(true));
    assert_eq!(ended.log, "bye\\u{1b}");
}

#[test]
fn what_podman_refuses_at_attach_is_what_its_start_says() {
    let server = Server::start(|request, _| match request {
        "GET /_ping" => ping("Libpod/4.3.1 (linux)", "1.41"),
        _ if request.contains("/wait") => b"HTTP/1.1 200 OK\r\n\r\n".to_vec(),
        _ if request.contains("/attach") => answer(
            500,
            r#"{"message":"preparing container cc for attach: cannot listen on the TCP port: listen tcp4 127.0.0.1:18931: bind: address already in use"}"#,
        ),
        // The container went with the failed attach.
        _ => answer(500, r#"{"message":"container cc does not exist in database: no such container"}"#),
    });
    let (engine, call) = (server.engine(), Call::new());
    assert!(engine.watch(&call, &id('c')).unwrap().is_none());
    assert!(matches!(engine.start(&call, &id('c')), Err(Refusal::PortInUse(_))));
    assert!(matches!(engine.start(&call, &id('c')), Err(Refusal::Gone(_))));
}

#[test]
fn podmans_words_about_a_container_that_just_went_are_no_failure() {
    let gone = r#"{"message":"container aa does not exist in database: no such container","response":500}"#;
    let server = docker(move |_, _| answer(500, gone));
    assert!(server.engine().inspect(&Call::new(), Which::Id(&id('a'))).unwrap().is_none());
    let failing = docker(|_, _| answer(500, r#"{"message":"database is locked"}"#));
    assert!(failing.engine().inspect(&Call::new(), Which::Id(&id('a'))).is_err());
}
