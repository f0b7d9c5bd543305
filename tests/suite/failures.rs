//! Engines that misbehave: a proxy before the real one that answers in its place, or is cut off in the middle of a call.
//! Each call must end in time with a typed error, tell no lie, and work again once the engine is back.

use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::rig::{Backend, Rig, engine_socket};

/// What happens to a request.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Way {
    /// The real engine answers it.
    Pass,
    /// The head of an answer, then silence.
    Hang,
    Garbage,
    /// Half of an answer.
    EarlyClose,
    Redirect,
    /// A body without an end.
    Endless,
    DeepJson,
    /// As if the engine were dead.
    Cut,
}

const ILL: [Way; 7] =
    [Way::Hang, Way::Garbage, Way::EarlyClose, Way::Redirect, Way::Endless, Way::DeepJson, Way::Cut];

struct State {
    way: Mutex<Way>,
    /// Requests that still pass before the cut; negative: no cut is set.
    left: AtomicI64,
    open: Mutex<Vec<UnixStream>>,
    engine: PathBuf,
}

struct Proxy {
    state: Arc<State>,
    endpoint: String,
}

impl Proxy {
    fn new(rig: &Rig) -> Proxy {
        let path = rig.folder().join("proxy.sock");
        let listener = UnixListener::bind(&path).unwrap();
        let state = Arc::new(State {
            way: Mutex::new(Way::Pass),
            left: AtomicI64::new(-1),
            open: Mutex::new(Vec::new()),
            engine: engine_socket(),
        });
        let shared = Arc::clone(&state);
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let state = Arc::clone(&shared);
                std::thread::spawn(move || state.serve(client));
            }
        });
        Proxy { state, endpoint: format!("unix://{}", path.display()) }
    }

    fn set(&self, way: Way) {
        self.state.left.store(-1, Ordering::SeqCst);
        self.state.set(way);
    }

    /// The engine dies with the request after so many more: it gets the request, but its answer is lost.
    fn cut_after(&self, requests: i64) {
        self.state.set(Way::Pass);
        self.state.left.store(requests, Ordering::SeqCst);
    }

    /// Whether the cut that was set came.
    fn was_cut(&self) -> bool {
        *self.state.way.lock().unwrap() == Way::Cut
    }
}

impl State {
    fn set(&self, way: Way) {
        *self.way.lock().unwrap() = way;
        if way == Way::Cut {
            for stream in self.open.lock().unwrap().drain(..) {
                stream.shutdown(Shutdown::Both).ok();
            }
        }
    }

    fn serve(&self, mut client: UnixStream) {
        if *self.way.lock().unwrap() == Way::Cut {
            return;
        }
        let Ok(mut engine) = UnixStream::connect(&self.engine) else { return };
        self.open.lock().unwrap().push(client.try_clone().unwrap());
        let (mut from, mut to) = (engine.try_clone().unwrap(), client.try_clone().unwrap());
        let back = std::thread::spawn(move || {
            std::io::copy(&mut from, &mut to).ok();
            to.shutdown(Shutdown::Both).ok();
        });
        let mut buffer = [0; 64 * 1024];
        while let Ok(got @ 1..) = client.read(&mut buffer) {
            let request = [&b"GET "[..], b"POST ", b"DELETE ", b"HEAD "];
            if request.iter().any(|method| buffer[..got].starts_with(method))
                && self.left.load(Ordering::SeqCst) >= 0
                && self.left.fetch_sub(1, Ordering::SeqCst) == 0
            {
                // The client is cut off first, so that no answer can win.
                self.set(Way::Cut);
                engine.write_all(&buffer[..got]).ok();
                break;
            }
            let way = *self.way.lock().unwrap();
            if way == Way::Pass {
                if engine.write_all(&buffer[..got]).is_err() {
                    break;
                }
                continue;
            }
            misbehave(way, &mut client);
            break;
        }
        // What was asked is carried out, as by an engine that dies just after.
        engine.shutdown(Shutdown::Write).ok();
        client.shutdown(Shutdown::Both).ok();
        back.join().ok();
    }
}

fn misbehave(way: Way, client: &mut UnixStream) {
    let json = |body: &str| {
        let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n";
        format!("{head}Content-Length: {}\r\n\r\n{body}", body.len())
    };
    let answer = match way {
        Way::Pass | Way::Cut => return,
        Way::Hang => "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{\"Id\":".to_owned(),
        Way::Garbage => "\u{1}\u{2}garbage\u{1b}[31m\r\n\r\n{{{{".to_owned(),
        Way::EarlyClose => "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{\"Id\":".to_owned(),
        Way::Redirect => {
            "HTTP/1.1 307 Temporary Redirect\r\nLocation: http://192.0.2.1/\r\nContent-Length: 0\r\n\r\n"
                .to_owned()
        }
        Way::Endless => "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n[".to_owned(),
        Way::DeepJson => json(&"[".repeat(200_000)),
    };
    client.write_all(answer.as_bytes()).ok();
    match way {
        // Until the other side gives up.
        Way::Hang => drop(client.read(&mut [0; 1])),
        Way::Endless => while client.write_all(&[b' '; 64 * 1024]).is_ok() {},
        _ => {}
    }
}

/// An error of the kinds that mean: the engine, not the sandbox.
fn assert_typed(what: &str, error: &Value) {
    let code = error["code"].as_str().expect("a code");
    assert!(["timeout", "runtime_failed", "runtime_unavailable"].contains(&code), "{what}: {error}");
    assert!(!error["hint"].as_str().unwrap_or("").is_empty(), "{what} says what to do: {error}");
    assert!(!error.to_string().contains('\u{1b}'), "{what}: {error}");
}

const SECONDS: u64 = 2;

/// One call of a backend.
type Asking<'a> = &'a dyn Fn(&Backend) -> Result<Value, Value>;

#[test]
fn an_engine_that_answers_ill_ends_every_call_in_time_and_is_never_believed() {
    let rig = Rig::new();
    let proxy = Proxy::new(&rig);
    let backend = rig.open_with(json!({"endpoint": proxy.endpoint, "call_timeout_seconds": SECONDS}));
    let info = backend.create(json!({"sandbox_id": "a"})).unwrap();
    for way in ILL {
        proxy.set(way);
        let calls: [(&str, Asking<'_>); 5] = [
            ("is_alive", &|backend| backend.is_alive(json!({"sandbox": info})).map(Value::from)),
            ("discover", &|backend| backend.discover(json!({"sandbox_id": "a"}))),
            ("list", &|backend| backend.list().map(Value::from)),
            ("destroy", &|backend| backend.destroy(json!({"sandbox_id": "a"})).map(Value::from)),
            ("create", &|backend| backend.create(json!({"sandbox_id": "b"}))),
        ];
        for (name, call) in calls {
            let what = format!("{name} with {way:?}");
            let begun = Instant::now();
            let error = call(&backend).expect_err(&what);
            let took = begun.elapsed();
            assert_typed(&what, &error);
            let limit = Duration::from_secs(3 * SECONDS + 4);
            assert!(took < limit, "{what} took {took:?}");
            if way == Way::Hang && name != "destroy" && name != "create" {
                assert_eq!(error["code"], "timeout", "{what}: {error}");
                assert!(took < Duration::from_secs(SECONDS + 1), "{what} took {took:?}");
            }
        }
        proxy.set(Way::Pass);
        assert!(backend.is_alive(json!({"sandbox": info})).unwrap(), "the next call works after {way:?}");
    }
    assert!(backend.destroy(json!({"sandbox_id": "a"})).unwrap());
    rig.assert_clean();
}

#[test]
fn an_engine_that_answers_ill_from_the_start_does_not_open() {
    let rig = Rig::new();
    let proxy = Proxy::new(&rig);
    let config = rig.config(json!({"endpoint": proxy.endpoint, "call_timeout_seconds": 1}));
    for way in ILL {
        proxy.set(way);
        let begun = Instant::now();
        let outcome = Backend::open(&config).and_then(|(backend, _)| backend.list());
        assert_typed(&format!("open with {way:?}"), &outcome.unwrap_err());
        assert!(begun.elapsed() < Duration::from_secs(4), "{way:?} took {:?}", begun.elapsed());
    }
    proxy.set(Way::Pass);
    assert_eq!(Backend::open(&config).unwrap().0.list().unwrap(), Vec::<Value>::new());
}

/// Runs the call with the engine dying at its first request, its second, and so on, until it gets through; how many
/// cuts there were.
fn cut_at_every_request(
    proxy: &Proxy,
    what: &str,
    call: &dyn Fn() -> Result<Value, Value>,
    once_back: &dyn Fn(),
) -> i64 {
    for requests in 0..20 {
        proxy.cut_after(requests);
        let outcome = call();
        let cut = proxy.was_cut();
        proxy.set(Way::Pass);
        match outcome {
            Err(error) => {
                assert!(cut, "{what} failed without a cut: {error}");
                assert_typed(&format!("{what}, cut at request {requests}"), &error);
            }
            Ok(_) if !cut => return requests,
            Ok(_) => {}
        }
        once_back();
    }
    panic!("{what} asks the engine without end");
}

#[test]
fn an_engine_that_dies_in_the_middle_of_any_call_is_told_and_the_next_call_works_once_it_is_back() {
    let rig = Rig::new();
    let proxy = Proxy::new(&rig);
    let backend = rig.open_with(json!({"endpoint": proxy.endpoint, "call_timeout_seconds": 5}));
    let info = backend.create(json!({"sandbox_id": "a"})).unwrap();
    let alive =
        || assert!(backend.is_alive(json!({"sandbox": info})).unwrap(), "it lives, and is seen again");
    let is_alive = || {
        let answer = backend.is_alive(json!({"sandbox": info}));
        assert_ne!(answer, Ok(false), "an engine that is gone does not make a sandbox dead");
        answer.map(Value::from)
    };
    let mut cuts = vec![("is_alive", cut_at_every_request(&proxy, "is_alive", &is_alive, &alive))];
    let discover = || {
        let answer = backend.discover(json!({"sandbox_id": "a"}));
        assert_ne!(answer, Ok(Value::Null), "an engine that is gone does not make a sandbox vanish");
        answer
    };
    cuts.push(("discover", cut_at_every_request(&proxy, "discover", &discover, &alive)));
    let list = || {
        backend.list().map(|list| {
            assert_eq!(list.len(), 1, "a list is whole or an error");
            Value::from(list)
        })
    };
    cuts.push(("list", cut_at_every_request(&proxy, "list", &list, &alive)));
    let create = || backend.create(json!({"sandbox_id": "b"}));
    let tidy = || {
        backend.create(json!({"sandbox_id": "b"})).expect("the next create works");
        assert!(backend.destroy(json!({"sandbox_id": "b"})).unwrap());
    };
    cuts.push(("create", cut_at_every_request(&proxy, "create", &create, &tidy)));
    assert!(backend.destroy(json!({"sandbox_id": "b"})).unwrap());
    let destroy = || backend.destroy(json!({"sandbox_id": "a"})).map(Value::from);
    let again = || {
        backend.destroy(json!({"sandbox_id": "a"})).expect("the next destroy works");
        backend.create(json!({"sandbox_id": "a"})).expect("the name is free");
    };
    cuts.push(("destroy", cut_at_every_request(&proxy, "destroy", &destroy, &again)));
    println!("requests at which the engine died, for each call: {cuts:?}");
    assert!(cuts.iter().all(|(_, cuts)| *cuts > 0), "each was cut at least once: {cuts:?}");
    rig.assert_clean();
}
