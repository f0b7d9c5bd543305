//! The client against small servers that follow a script, on loopback and on Unix sockets.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::UnixListener;
use std::sync::mpsc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::*;
use crate::error::Code;

mod socket;
mod stream;
mod tls;

const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/// A port that nobody listens on and that no other test can get meanwhile: a client's end of a connection.
pub(crate) struct Nobody {
    pub port: u16,
    _kept: (TcpListener, TcpStream),
}

impl Nobody {
    pub fn new() -> Nobody {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        Nobody { port: stream.local_addr().unwrap().port(), _kept: (listener, stream) }
    }
}

/// Longer than any test may take; whoever waits for this has failed.
const FOREVER: Duration = Duration::from_secs(60);

/// A server that gives each connection, one after the other, to the script; how many is what the thread answers.
fn serve(script: impl Fn(TcpStream, usize) + Send + 'static, connections: usize) -> (Client, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let server = thread::spawn(move || {
        for number in 0..connections {
            script(listener.accept().unwrap().0, number);
        }
    });
    let endpoint = Endpoint::Tcp { host: "127.0.0.1".into(), port, tls: None };
    (Client::new(endpoint).unwrap(), server)
}

/// Reads one request's head and as much body as it claims; `None` where the connection has ended.
fn take_request(stream: &mut (impl Read + Write)) -> Option<String> {
    let mut reader = BufReader::with_capacity(1, stream);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if reader.read_line(&mut head).ok()? == 0 {
            return None;
        }
    }
    let length = head
        .to_ascii_lowercase()
        .split("content-length: ")
        .nth(1)
        .map(|rest| rest.split("\r\n").next().unwrap().parse::<usize>().unwrap());
    let mut body = vec![0; length.unwrap_or(0)];
    reader.read_exact(&mut body).ok()?;
    Some(head + &String::from_utf8(body).unwrap())
}

/// Stays until the client is gone.
fn hold(mut stream: TcpStream) {
    let _ = std::io::copy(&mut stream, &mut std::io::sink());
}

fn get(target: &str) -> Outgoing<'_> {
    Outgoing { method: "GET", target, headers: &[], body: None, limit: 1 << 20 }
}

fn call() -> Call {
    Call::new().within(FOREVER)
}

/// One connection that reads a request and answers with these bytes, then closes.
fn answered_with(bytes: &'static [u8]) -> Result<Answer, Failure> {
    let (client, server) = serve(
        move |mut stream, _| {
            take_request(&mut stream).unwrap();
            let _ = stream.write_all(bytes);
            let _ = stream.shutdown(std::net::Shutdown::Write);
            hold(stream);
        },
        1,
    );
    let answer = client.send(&call(), &get("/"));
    drop(client);
    server.join().unwrap();
    answer
}

#[test]
fn a_connection_is_used_again() {
    let (client, server) = serve(
        |mut stream, _| {
            for _ in 0..3 {
                take_request(&mut stream).unwrap();
                stream.write_all(OK).unwrap();
            }
        },
        1,
    );
    for _ in 0..3 {
        assert_eq!(client.send(&call(), &get("/")).unwrap().body, b"ok");
    }
    server.join().unwrap();
}

#[test]
fn a_unix_socket_is_spoken_to_like_any_other() {
    let folder = std::env::temp_dir().join(format!("sandport-http-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let path = folder.join("engine.sock");
    let listener = UnixListener::bind(&path).unwrap();
    let server = thread::spawn(move || {
        let mut stream = listener.accept().unwrap().0;
        let request = take_request(&mut stream).unwrap();
        stream.write_all(b"HTTP/1.1 201 Made\r\nX-One: a\r\nX-One: b\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n").unwrap();
        let second = take_request(&mut stream).unwrap();
        stream.write_all(OK).unwrap();
        (request, second)
    });
    let client = Client::new(Endpoint::Unix(path)).unwrap();
    let headers = [("content-type", "application/json")];
    let out = Outgoing { method: "POST", headers: &headers, body: Some(b"{}"), ..get("/v1/make?name=x") };
    let answer = client.send(&call(), &out).unwrap();
    assert_eq!((answer.status, &answer.body[..]), (201, &b"hello"[..]));
    let ones: Vec<_> =
        answer.headers.iter().filter(|(name, _)| name == "x-one").map(|(_, value)| &value[..]).collect();
    assert_eq!(ones, ["a", "b"]);
    client.send(&call(), &Outgoing { method: "POST", ..get("/empty") }).unwrap();
    let (first, second) = server.join().unwrap();
    assert!(
        first.starts_with("POST /v1/make?name=x HTTP/1.1\r\n") && first.ends_with("\r\n\r\n{}"),
        "{first}"
    );
    assert!(first.to_ascii_lowercase().contains("\r\nhost: localhost\r\n"), "{first}");
    assert!(second.to_ascii_lowercase().contains("\r\ncontent-length: 0\r\n"), "{second}");
    std::fs::remove_dir_all(folder).unwrap();
}

#[test]
fn a_body_may_end_with_its_connection() {
    let answer = answered_with(b"HTTP/1.1 200 OK\r\n\r\nall of it").unwrap();
    assert_eq!(answer.body, b"all of it");
}

#[test]
fn redirects_are_answers() {
    let answer =
        answered_with(b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n")
            .unwrap();
    assert_eq!(answer.status, 302);
}

#[test]
fn garbage_and_early_ends_are_broken_answers() {
    let bad: [&[u8]; 7] = [
        b"",
        b"nonsense\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Le",
        b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nshort",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nhello\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\nhello\r\n",
    ];
    for bytes in bad {
        match answered_with(bytes) {
            Err(Failure::Broken { sent: true, .. }) => {}
            other => panic!("{}: {other:?}", String::from_utf8_lossy(bytes)),
        }
    }
}

#[test]
fn a_head_without_end_is_broken() {
    let (client, server) = serve(
        |mut stream, _| {
            take_request(&mut stream).unwrap();
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n");
            while stream
                .write_all(b"X-Filler: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n")
                .is_ok()
            {}
        },
        1,
    );
    assert!(matches!(client.send(&call(), &get("/")), Err(Failure::Broken { sent: true, .. })));
    server.join().unwrap();
}

#[test]
fn a_body_is_taken_up_to_its_limit_and_not_one_byte_more() {
    let whole = answered_with(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nfour").unwrap();
    assert_eq!(whole.body, b"four");
    let (client, server) = serve(
        |mut stream, _| {
            take_request(&mut stream).unwrap();
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
            while stream.write_all(b"4\r\nfour\r\n").is_ok() {}
        },
        1,
    );
    let out = Outgoing { limit: 1000, ..get("/") };
    assert!(matches!(client.send(&call(), &out), Err(Failure::TooLarge { limit: 1000 })));
    server.join().unwrap();
}

#[test]
fn a_claimed_length_allocates_nothing() {
    let answer = answered_with(b"HTTP/1.1 200 OK\r\nContent-Length: 999999999999999\r\n\r\nx");
    assert!(matches!(answer, Err(Failure::Broken { sent: true, .. })));
}

/// Sends to a server of which nothing whole ever comes, ended by the call; how long after its end the client came back.
fn outlasting(script: fn(TcpStream), end: fn(&Call) -> Call) -> (Failure, Duration) {
    let (told, reached) = mpsc::channel();
    let (client, server) = serve(
        move |mut stream, _| {
            take_request(&mut stream).unwrap();
            told.send(()).unwrap();
            script(stream);
        },
        1,
    );
    let whole = call();
    let part = end(&whole);
    let canceller = thread::spawn(move || {
        reached.recv().unwrap();
        whole.cancel();
        Instant::now()
    });
    let failure = client.send(&part, &get("/")).unwrap_err();
    let now = Instant::now();
    let ended = part.deadline().filter(|end| *end < now).unwrap_or(canceller.join().unwrap());
    drop(client);
    server.join().unwrap();
    (failure, now.saturating_duration_since(ended))
}

fn drip_head(mut stream: TcpStream) {
    let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nX-Slow: ");
    while stream.write_all(b"a").is_ok() {
        thread::sleep(Duration::from_millis(2));
    }
}

fn drip_body(mut stream: TcpStream) {
    let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n");
    while stream.write_all(b"a").is_ok() {
        thread::sleep(Duration::from_millis(2));
    }
}

#[test]
fn a_cancelled_call_leaves_a_server_that_never_answers() {
    for script in [hold, drip_head, drip_body] {
        let (failure, late) = outlasting(script, Call::clone);
        assert!(matches!(failure, Failure::Cancelled), "{failure:?}");
        assert!(late < Duration::from_millis(100), "{late:?}");
    }
}

#[test]
fn the_deadline_counts_for_head_and_body_together() {
    // Deaf to the cancellation, so that only the deadline can end it.
    for script in [hold, drip_head, drip_body] {
        let (failure, late) = outlasting(script, |call| call.sheltered(Duration::from_millis(120)));
        assert!(matches!(failure, Failure::TimedOut), "{failure:?}");
        assert!(late < Duration::from_millis(100), "{late:?}");
    }
}

#[test]
fn a_call_that_is_over_sends_nothing() {
    let (client, server) = serve(|stream, _| hold(stream), 0);
    server.join().unwrap();
    let over = Call::new().within(Duration::ZERO);
    assert!(matches!(client.send(&over, &get("/")), Err(Failure::TimedOut)));
    let cancelled = call();
    cancelled.cancel();
    assert!(matches!(client.send(&cancelled, &get("/")), Err(Failure::Cancelled)));
}

#[test]
fn where_nobody_listens_nobody_is_reached() {
    let nobody = Nobody::new();
    let endpoint = Endpoint::Tcp { host: "127.0.0.1".into(), port: nobody.port, tls: None };
    let client = Client::new(endpoint).unwrap();
    assert!(matches!(client.send(&call(), &get("/")), Err(Failure::Unreachable(_))));
    let nowhere = Client::new(Endpoint::Unix("/nonexistent/engine.sock".into())).unwrap();
    match nowhere.send(&call(), &get("/")) {
        Err(Failure::Unreachable(error)) => assert_eq!(error.kind(), io::ErrorKind::NotFound),
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_idle_connection_that_was_closed_is_not_used() {
    let (closed, seen) = mpsc::channel();
    let (client, server) = serve(
        move |mut stream, _| {
            take_request(&mut stream).unwrap();
            stream.write_all(OK).unwrap();
            drop(stream);
            closed.send(()).unwrap();
        },
        2,
    );
    for _ in 0..2 {
        assert_eq!(client.send(&call(), &get("/")).unwrap().status, 200);
        seen.recv().unwrap();
    }
    server.join().unwrap();
}

#[test]
fn a_request_whose_bytes_left_is_never_sent_again() {
    let (client, server) = serve(
        |mut stream, _| {
            take_request(&mut stream).unwrap();
            stream.write_all(OK).unwrap();
            take_request(&mut stream).unwrap();
        },
        1,
    );
    client.send(&call(), &get("/")).unwrap();
    let out = Outgoing { method: "DELETE", ..get("/once") };
    assert!(matches!(client.send(&call(), &out), Err(Failure::Broken { sent: true, .. })));
    server.join().unwrap();
}

#[test]
fn what_http_cannot_carry_is_refused_before_sending() {
    let (client, server) = serve(|stream, _| hold(stream), 0);
    server.join().unwrap();
    let split = [("x-a", "b\r\nx-c: d")];
    for out in [
        get("no-slash here"),
        Outgoing { headers: &split, ..get("/") },
        Outgoing { method: "G T", ..get("/") },
    ] {
        match client.send(&call(), &out) {
            Err(Failure::Refused(error)) => assert_eq!(error.code(), Code::InvalidArgument),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_check_is_asked_on_new_connections_only_and_can_refuse() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint =
        Endpoint::Tcp { host: "127.0.0.1".into(), port: listener.local_addr().unwrap().port(), tls: None };
    let server = thread::spawn(move || {
        let mut stream = listener.accept().unwrap().0;
        for _ in 0..2 {
            take_request(&mut stream).unwrap();
            stream.write_all(OK).unwrap();
        }
        let mut refused = listener.accept().unwrap().0;
        take_request(&mut refused)
    });
    let agent = shared_agent();
    let asked = std::cell::Cell::new(0);
    let yes = |_: &Call| {
        asked.set(asked.get() + 1);
        Ok(())
    };
    for _ in 0..2 {
        exchange(&agent, "http://one", &endpoint, &call(), &get("/"), &yes).unwrap();
    }
    assert_eq!(asked.get(), 1);
    let no = |_: &Call| Err(Error::new(Code::SandboxExited, "gone"));
    match exchange(&agent, "http://two", &endpoint, &call(), &get("/"), &no) {
        Err(Failure::Refused(error)) => assert_eq!(error.code(), Code::SandboxExited),
        other => panic!("{other:?}"),
    }
    assert_eq!(server.join().unwrap(), None, "nothing may be sent after a refusal");
}

#[test]
fn proxies_of_the_environment_are_never_asked() {
    let mut child = std::process::Command::new(std::env::current_exe().unwrap());
    for name in ["http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"] {
        child.env(name, "http://127.0.0.1:1");
    }
    child.env_remove("no_proxy").env_remove("NO_PROXY");
    let done = child.args(["--exact", "http::tests::a_connection_is_used_again"]).output().unwrap();
    let text = String::from_utf8_lossy(&done.stdout);
    assert!(done.status.success() && text.contains("1 passed"), "{text}");
}

#[test]
fn a_host_name_is_looked_up() {
    let (client, server) = serve(
        |mut stream, _| {
            take_request(&mut stream).unwrap();
            stream.write_all(OK).unwrap();
        },
        1,
    );
    let Endpoint::Tcp { port, .. } = client.endpoint else { unreachable!() };
    let named = Client::new(Endpoint::Tcp { host: "localhost".into(), port, tls: None }).unwrap();
    assert_eq!(named.send(&call(), &get("/")).unwrap().status, 200);
    server.join().unwrap();
    let unknown =
        Client::new(Endpoint::Tcp { host: "no-such-host.invalid".into(), port, tls: None }).unwrap();
    assert!(matches!(unknown.send(&call(), &get("/")), Err(Failure::Unreachable(_))));
}
