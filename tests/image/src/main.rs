//! The test sandbox: a small static server that speaks the part of the AIO sandbox's API that people use first, and
//! does what a test asks for by environment variables:
//! `SANDBOX_START_DELAY_MS` listens late, `SANDBOX_FAIL_FIRST_MS` answers 500 for a while, `SANDBOX_NEVER_ANSWER`
//! accepts and stays silent, `SANDBOX_EXIT_CODE` prints `SANDBOX_EXIT_PRINT` and ends (after `SANDBOX_EXIT_DELAY_MS`),
//! `SANDBOX_IGNORE_TERM` ignores SIGTERM, `AIO_API_KEY` wants that key in `x-api-key`, `SANDBOX_PORT` is not 8080.

use std::env;
use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

mod api;
mod wire;

static BEGUN: OnceLock<Instant> = OnceLock::new();

fn main() {
    BEGUN.get_or_init(Instant::now);
    if env::var_os("SANDBOX_IGNORE_TERM").is_some() {
        api::ignore_term();
    }
    if let Some(code) = number("SANDBOX_EXIT_CODE") {
        wait("SANDBOX_EXIT_DELAY_MS");
        println!("{}", env::var("SANDBOX_EXIT_PRINT").unwrap_or_default());
        std::io::stdout().flush().ok();
        std::process::exit(code as i32);
    }
    wait("SANDBOX_START_DELAY_MS");
    let port = number("SANDBOX_PORT").unwrap_or(8080) as u16;
    let listener = TcpListener::bind(("0.0.0.0", port)).expect("the port is free in a container of its own");
    println!("listening on {port}");
    for stream in listener.incoming().flatten() {
        std::thread::spawn(move || serve(stream));
    }
}

fn serve(mut stream: TcpStream) {
    if env::var_os("SANDBOX_NEVER_ANSWER").is_some() {
        std::thread::sleep(Duration::from_secs(3600));
        return;
    }
    stream.set_nodelay(true).ok();
    let mut unread = Vec::new();
    while let Some(request) = wire::read(&mut stream, &mut unread) {
        let answer = answer(&request);
        if wire::write(&mut stream, &request, &answer).is_err() || answer.close {
            return;
        }
    }
}

fn answer(request: &wire::Request) -> wire::Answer {
    let failing = number("SANDBOX_FAIL_FIRST_MS").map(Duration::from_millis);
    if failing.is_some_and(|time| BEGUN.get().is_some_and(|begun| begun.elapsed() < time)) {
        return wire::Answer::text(500, "not yet");
    }
    if env::var("AIO_API_KEY").is_ok_and(|key| request.header("x-api-key") != Some(&key)) {
        return wire::Answer::text(401, "who are you?");
    }
    api::answer(request)
}

fn number(name: &str) -> Option<u64> {
    env::var(name).ok()?.parse().ok()
}

fn wait(name: &str) {
    if let Some(time) = number(name) {
        std::thread::sleep(Duration::from_millis(time));
    }
}
