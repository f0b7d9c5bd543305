//! Requests to small servers that stand for sandboxes.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use super::*;
use crate::http::tests::Nobody;

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

fn take_head(stream: &mut TcpStream) -> Option<String> {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        if stream.read(&mut byte).ok()? == 0 {
            return None;
        }
        head.push(byte[0]);
    }
    Some(String::from_utf8(head).unwrap().to_ascii_lowercase())
}

/// Answers one request per connection with each of these bytes, then waits for the client to go.
fn sandbox(answers: Vec<Vec<u8>>) -> (u16, JoinHandle<Vec<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let server = thread::spawn(move || {
        let mut heads = Vec::new();
        for answer in answers {
            let mut stream = listener.accept().unwrap().0;
            heads.push(take_head(&mut stream).unwrap_or_default());
            let _ = stream.write_all(&answer);
        }
        heads
    });
    (port, server)
}

fn address(port: u16) -> SandboxAddress<'static> {
    SandboxAddress {
        host: "127.0.0.1",
        port,
        authority: "my.host:8080",
        container_id: "c1",
        started_at: "t1",
    }
}

fn get(path: &str) -> Parameters<'_> {
    Parameters { method: "GET", path, headers: &[], body: None, max_response_bytes: 1024 }
}

fn ask(port: u16, parameters: &Parameters<'_>) -> Result<Value> {
    let call = Call::new().within(Duration::from_secs(60));
    send(&Connections::new(), &call, &address(port), parameters, Some(("x-api-key", "secret")), &|_| Ok(()))
}

#[test]
fn an_answer_has_status_headers_and_text() {
    let (port, server) = sandbox(vec![
        b"HTTP/1.1 418 Tea\r\nX-A: 1\r\nx-a: 2\r\nContent-Length: 5\r\n\r\nh\xc3\xa9ya".to_vec(),
    ]);
    let headers = [("accept".to_owned(), "text/plain".to_owned())];
    let parameters = Parameters { headers: &headers, ..get("/v1/x?y=@z") };
    let answer = ask(port, &parameters).unwrap();
    assert_eq!(
        answer,
        json!({
            "status": 418, "headers": {"x-a": ["1", "2"], "content-length": ["5"]}, "body": "héya",
        })
    );
    let head = &server.join().unwrap()[0];
    assert!(head.starts_with("get /v1/x?y=@z http/1.1\r\n"), "{head}");
    for line in ["\r\nhost: my.host:8080\r\n", "\r\nx-api-key: secret\r\n", "\r\naccept: text/plain\r\n"] {
        assert!(head.contains(line), "{head}");
    }
    assert!(!head.contains("accept-encoding"), "{head}");
}

#[test]
fn bytes_that_are_no_text_come_as_base64() {
    let (port, server) = sandbox(vec![b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n\xff\x00".to_vec()]);
    let answer = ask(port, &get("/")).unwrap();
    assert_eq!(answer["body_base64"], "/wA=");
    assert_eq!(answer.get("body"), None);
    server.join().unwrap();
}

#[test]
fn answers_without_a_body_end_at_their_head() {
    let cases = [
        ("HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n"),
        ("GET", "HTTP/1.1 204 No\r\n\r\n"),
        ("GET", "HTTP/1.1 304 Same\r\nContent-Length: 99\r\n\r\n"),
    ];
    for (method, bytes) in cases {
        let (port, server) = sandbox(vec![bytes.into()]);
        let answer = ask(port, &Parameters { method, ..get("/") }).unwrap();
        assert_eq!(answer["body"], "");
        server.join().unwrap();
    }
}

#[test]
fn what_cannot_be_had_is_an_error_that_says_whether_to_try_again() {
    let too_large =
        b"HTTP/1.1 200 OK\r\nContent-Length: 1025\r\n\r\n".iter().copied().chain([b'x'; 1025]).collect();
    let cases: [(Vec<u8>, Code, bool); 2] =
        [(too_large, Code::QuotaExceeded, false), (b"nonsense".to_vec(), Code::NotReady, false)];
    for (bytes, code, retryable) in cases {
        let (port, server) = sandbox(vec![bytes]);
        let error = ask(port, &get("/")).unwrap_err();
        assert_eq!(
            (error.code(), error.is_retryable(), error.phase()),
            (code, retryable, Some(Phase::Request))
        );
        server.join().unwrap();
    }
    let nobody = Nobody::new();
    let error = ask(nobody.port, &get("/")).unwrap_err();
    assert_eq!((error.code(), error.is_retryable()), (Code::NotReady, true));
}

#[test]
fn a_sandbox_that_does_not_answer_is_a_timeout_that_is_not_to_be_repeated() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let call = Call::new().within(Duration::from_millis(50));
    let port = listener.local_addr().unwrap().port();
    let error = send(&Connections::new(), &call, &address(port), &get("/"), None, &|_| Ok(())).unwrap_err();
    assert_eq!((error.code(), error.is_retryable()), (Code::Timeout, false));
}

#[test]
fn an_idle_connection_belongs_to_one_start_of_one_container() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let first = address(listener.local_addr().unwrap().port());
    let server = thread::spawn(move || {
        let mut kept = Vec::new();
        for requests in [2, 1, 1] {
            let mut stream = listener.accept().unwrap().0;
            for _ in 0..requests {
                take_head(&mut stream).unwrap();
                stream.write_all(OK.as_bytes()).unwrap();
            }
            kept.push(stream);
        }
    });
    let connections = Connections::new();
    let call = Call::new().within(Duration::from_secs(60));
    let verified = std::cell::Cell::new(0);
    let verify = |_: &Call| {
        verified.set(verified.get() + 1);
        Ok(())
    };
    let again = SandboxAddress { started_at: "t2", ..first };
    let other = SandboxAddress { container_id: "c2", ..first };
    for (address, expected) in [(first, 1), (first, 1), (again, 2), (other, 3)] {
        send(&connections, &call, &address, &get("/"), None, &verify).unwrap();
        assert_eq!(verified.get(), expected);
    }
    server.join().unwrap();
}

#[test]
fn a_stranger_at_the_address_receives_nothing() {
    let (port, server) = sandbox(vec![Vec::new()]);
    let call = Call::new().within(Duration::from_secs(60));
    let gone = |_: &Call| Err(Error::new(Code::SandboxExited, "the sandbox's container is gone"));
    let error = send(&Connections::new(), &call, &address(port), &get("/"), None, &gone).unwrap_err();
    assert_eq!((error.code(), error.phase()), (Code::SandboxExited, Some(Phase::Request)));
    assert_eq!(server.join().unwrap(), [""]);
}
