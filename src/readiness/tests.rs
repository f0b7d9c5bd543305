//! Waiting for small servers that follow a script.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;

use super::*;
use crate::error::{Code, Error};
use crate::http::tests::Nobody;

const FOREVER: Duration = Duration::from_secs(60);

fn check(port: u16) -> Check<'static> {
    Check { host: "127.0.0.1", port, authority: "sandbox.test:1", path: "/v1/sandbox", headers: &[] }
}

fn listener() -> (TcpListener, u16) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    (listener, port)
}

fn head_of(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).unwrap() == 1 {
        head.push(byte[0]);
    }
    String::from_utf8(head).unwrap()
}

fn answer(listener: &TcpListener, status: &str) -> String {
    let mut stream = listener.accept().unwrap().0;
    let head = head_of(&mut stream);
    stream.write_all(format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n").as_bytes()).unwrap();
    head
}

fn nothing_known(_: &Call) -> Result<Option<Ended>> {
    Ok(None)
}

/// Ends at the given look.
struct EndsAt(u32);

impl Watch for EndsAt {
    fn ended(&mut self) -> Option<Ended> {
        self.0 = self.0.saturating_sub(1);
        (self.0 == 0).then(|| Ended { exit_code: Some(3), oom_killed: Some(false), log: "bye".into() })
    }
}

#[test]
fn it_is_asked_until_it_is_healthy() {
    let (listener, port) = listener();
    let server = thread::spawn(move || {
        drop(listener.accept().unwrap());
        answer(&listener, "503 Busy");
        answer(&listener, "302 Found");
        answer(&listener, "204 Fine")
    });
    let headers = [("x-api-key".to_owned(), "k".to_owned())];
    let check = Check { headers: &headers, ..check(port) };
    let call = Call::new().within(FOREVER);
    assert_eq!(wait_until_ready(&call, &check, None, &mut nothing_known).unwrap(), Outcome::Ready);
    let head = server.join().unwrap().to_ascii_lowercase();
    assert!(head.starts_with("get /v1/sandbox http/1.1\r\n"), "{head}");
    assert_eq!(head.matches("host:").count(), 1, "{head}");
    assert!(head.contains("\r\nhost: sandbox.test:1\r\n") && head.contains("\r\nx-api-key: k\r\n"), "{head}");
}

#[test]
fn one_try_tells_what_it_saw() {
    let (listener, port) = listener();
    let server = thread::spawn(move || {
        answer(&listener, "200 OK");
        answer(&listener, "404 No");
    });
    let call = Call::new().within(FOREVER);
    assert_eq!(probe_once(&call, &check(port), FOREVER).unwrap(), Answered::Yes);
    assert_eq!(probe_once(&call, &check(port), FOREVER).unwrap(), Answered::Status(404));
    server.join().unwrap();
    let nobody = Nobody::new();
    assert_eq!(probe_once(&call, &check(nobody.port), FOREVER).unwrap(), Answered::No);
}

#[test]
fn a_server_that_never_answers_ends_with_the_time() {
    let (listener, port) = listener();
    let call = Call::new().within(Duration::from_millis(60));
    let outcome = wait_until_ready(&call, &check(port), None, &mut nothing_known).unwrap();
    assert_eq!(outcome, Outcome::TimeOver(Answered::No));
    drop(listener);
}

#[test]
fn a_server_that_never_answers_does_not_eat_the_whole_time() {
    let (listener, port) = listener();
    let server = thread::spawn(move || {
        let _silent = listener.accept().unwrap();
        answer(&listener, "200 OK");
    });
    let call = Call::new().within(FOREVER);
    assert_eq!(wait_until_ready(&call, &check(port), None, &mut nothing_known).unwrap(), Outcome::Ready);
    server.join().unwrap();
}

#[test]
fn a_server_that_is_slow_is_given_more_time() {
    let (listener, port) = listener();
    let server = thread::spawn(move || {
        let mut lasted = Vec::new();
        for _ in 0..2 {
            let mut stream = listener.accept().unwrap().0;
            let accepted = Instant::now();
            head_of(&mut stream);
            assert_eq!(stream.read(&mut [0]).unwrap(), 0);
            lasted.push(accepted.elapsed());
        }
        answer(&listener, "200 OK");
        lasted
    });
    let call = Call::new().within(FOREVER);
    assert_eq!(wait_until_ready(&call, &check(port), None, &mut nothing_known).unwrap(), Outcome::Ready);
    let lasted = server.join().unwrap();
    assert!(lasted[1] > FIRST_PATIENCE * 3 / 2, "{lasted:?}");
}

#[test]
fn a_container_that_ended_is_seen_by_its_watch() {
    let nobody = Nobody::new();
    let call = Call::new().within(FOREVER);
    let outcome =
        wait_until_ready(&call, &check(nobody.port), Some(&mut EndsAt(5)), &mut nothing_known).unwrap();
    match outcome {
        Outcome::Died(ended) => assert_eq!((ended.exit_code, &ended.log[..]), (Some(3), "bye")),
        other => panic!("{other:?}"),
    }
}

#[test]
fn without_a_watch_the_engine_is_asked_and_its_failures_do_not_end_the_wait() {
    let nobody = Nobody::new();
    let mut questions = 0;
    let mut died = |_: &Call| {
        questions += 1;
        match questions {
            1 => Err(Error::new(Code::RuntimeUnavailable, "away")),
            2 => Ok(None),
            _ => Ok(Some(Ended::default())),
        }
    };
    let call = Call::new().within(FOREVER);
    assert_eq!(
        wait_until_ready(&call, &check(nobody.port), None, &mut died).unwrap(),
        Outcome::Died(Ended::default())
    );
    assert_eq!(questions, 3);
}

#[test]
fn a_cancelled_wait_ends_with_cancelled() {
    let (listener, port) = listener();
    let call = Call::new().within(FOREVER);
    let other = call.clone();
    let canceller = thread::spawn(move || {
        let silent = listener.accept().unwrap();
        other.cancel();
        silent
    });
    let began = Instant::now();
    let error = wait_until_ready(&call, &check(port), None, &mut nothing_known).unwrap_err();
    assert_eq!(error.code(), Code::Cancelled);
    assert!(began.elapsed() < FIRST_PATIENCE, "{:?}", began.elapsed());
    canceller.join().unwrap();
}
