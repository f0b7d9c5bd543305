//! Connecting: it ends with its call, whatever the listener does.

#![allow(unsafe_code, reason = "std cannot shorten a listener's queue")]

use std::net::IpAddr;
use std::os::fd::{AsFd, AsRawFd};

use super::super::socket::{Socket, Stop};
use super::*;

/// Connects until the listener takes no more, which a healthy one does not do either while it is busy.
fn fill(endpoint: &Endpoint, listener: &impl AsFd) -> Vec<Socket> {
    // SAFETY: a descriptor that the caller keeps open; only its queue gets shorter.
    assert_eq!(unsafe { libc::listen(listener.as_fd().as_raw_fd(), 1) }, 0);
    let mut queued = Vec::new();
    loop {
        match Socket::connect(&Call::new().within(Duration::from_millis(60)), endpoint) {
            Ok(socket) => queued.push(socket),
            Err(Stop::TimedOut) => return queued,
            Err(other) => panic!("{other:?}"),
        }
        assert!(queued.len() < 20, "the queue has no end");
    }
}

fn cancelling_ends_the_connect(endpoint: &Endpoint) {
    let call = Call::new();
    let other = call.clone();
    let canceller = thread::spawn(move || {
        other.sleep(Duration::from_millis(20)).unwrap();
        other.cancel();
        Instant::now()
    });
    assert!(matches!(Socket::connect(&call, endpoint), Err(Stop::Cancelled)));
    let late = canceller.join().unwrap().elapsed();
    assert!(late < Duration::from_millis(100), "{late:?}");
}

#[test]
fn a_busy_unix_listener_holds_nobody_beyond_the_call() {
    let path = std::env::temp_dir().join(format!("sandport-busy-{}.sock", std::process::id()));
    let listener = UnixListener::bind(&path).unwrap();
    let endpoint = Endpoint::Unix(path.clone());
    let queued = fill(&endpoint, &listener);
    cancelling_ends_the_connect(&endpoint);
    // Room again: who waits gets in.
    let waiting =
        thread::spawn(move || Socket::connect(&Call::new().within(Duration::from_secs(60)), &endpoint));
    for _ in 0..=queued.len() {
        listener.accept().unwrap();
    }
    assert!(waiting.join().unwrap().is_ok());
    std::fs::remove_file(path).unwrap();
}

#[test]
fn a_silent_address_holds_nobody_beyond_the_call() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let endpoint = Endpoint::Tcp { host: "127.0.0.1".into(), port, tls: None };
    let _queued = fill(&endpoint, &listener);
    cancelling_ends_the_connect(&endpoint);
}

#[test]
fn both_families_are_dialled() {
    for host in ["127.0.0.1", "::1", "[::1]"] {
        let bare = host.trim_matches(['[', ']']).parse::<IpAddr>().unwrap();
        let Ok(listener) = TcpListener::bind((bare, 0)) else {
            // A machine without this family says so when it is dialled.
            let endpoint = Endpoint::Tcp { host: host.into(), port: 9, tls: None };
            assert!(matches!(Socket::connect(&Call::new(), &endpoint), Err(Stop::Io(_))), "{host}");
            continue;
        };
        let port = listener.local_addr().unwrap().port();
        let endpoint = Endpoint::Tcp { host: host.into(), port, tls: None };
        let Socket::Tcp(stream) = Socket::connect(&Call::new(), &endpoint).unwrap() else { unreachable!() };
        assert_eq!(listener.accept().unwrap().1, stream.local_addr().unwrap());
    }
}

#[test]
fn a_path_that_no_socket_can_have_is_an_error() {
    for path in ["", &"x".repeat(200)] {
        match Socket::connect(&Call::new(), &Endpoint::Unix(path.into())) {
            Err(Stop::Io(error)) => assert_eq!(error.kind(), io::ErrorKind::InvalidInput),
            other => panic!("{other:?}"),
        }
    }
}
