//! Another process: this very test program, started again, that does what it is told line by line.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use serde_json::{Value, json};

use crate::rig::Backend;

const TOLD: &str = "SANDPORT_TEST_CHILD";

/// A process that holds one backend.
pub struct Peer {
    child: Child,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
}

impl Peer {
    pub fn start(config: &Value) -> Peer {
        Peer::start_with(config, &[])
    }

    pub fn start_with(config: &Value, environment: &[(&str, &str)]) -> Peer {
        let mut child = Command::new(std::env::current_exe().expect("this program"))
            .args(["--exact", "child::the_other_process", "--nocapture", "--test-threads=1"])
            .env(TOLD, config.to_string())
            .envs(environment.iter().copied())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("this program starts again");
        let (stdin, stdout) = (child.stdin.take().expect("piped"), child.stdout.take().expect("piped"));
        let mut peer = Peer { child, stdin, stdout: BufReader::new(stdout) };
        peer.hear().expect("the peer opens its backend");
        peer
    }

    /// Tells it to do something, without waiting for the answer.
    pub fn tell(&mut self, call: &str, request: &Value) {
        writeln!(self.stdin, "{}", json!([call, request])).expect("the peer listens");
    }

    /// Its next answer.
    pub fn hear(&mut self) -> Result<Value, Value> {
        let mut line = String::new();
        loop {
            line.clear();
            assert_ne!(self.stdout.read_line(&mut line).expect("the peer speaks"), 0, "the peer ended");
            // The test harness prints lines of its own, even before the first of ours.
            if let Some((_, text)) = line.split_once("peer> ") {
                let mut answer: Value = serde_json::from_str(text).expect("JSON");
                return if answer["ok"].is_null() {
                    Err(answer["error"].take())
                } else {
                    Ok(answer["ok"].take())
                };
            }
        }
    }

    pub fn ask(&mut self, call: &str, request: &Value) -> Result<Value, Value> {
        self.tell(call, request);
        self.hear()
    }

    /// SIGKILL, and waits until it is gone.
    pub fn kill(mut self) {
        self.child.kill().expect("our own child");
        self.child.wait().expect("our own child");
    }

    /// Lets it end by itself.
    pub fn end(mut self) {
        drop(self.stdin);
        assert!(self.child.wait().expect("our own child").success());
    }
}

/// Not a test of its own: what a [`Peer`] runs. It does nothing unless it was started as one.
#[test]
fn the_other_process() {
    let Ok(config) = std::env::var(TOLD) else { return };
    let say = |outcome: Result<Value, Value>| {
        let line = match outcome {
            Ok(answer) => json!({"ok": answer}),
            Err(error) => json!({"ok": null, "error": error}),
        };
        println!("peer> {line}");
    };
    let (backend, opened) = Backend::open(&serde_json::from_str(&config).expect("JSON")).expect("it opens");
    say(Ok(opened));
    for line in std::io::stdin().lines() {
        let Ok((call, request)) = serde_json::from_str::<(String, Value)>(&line.expect("text")) else {
            continue;
        };
        say(perform(&backend, &call, request));
    }
}

/// Makes the call of this name.
pub fn perform(backend: &Backend, call: &str, request: Value) -> Result<Value, Value> {
    match call {
        "create" => backend.create(request),
        "destroy" => backend.destroy(request).map(Value::from),
        "discover" => backend.discover(request).map(|sandbox| json!({"sandbox": sandbox})),
        "is_alive" => backend.is_alive(request).map(Value::from),
        "list" => backend.list().map(Value::from),
        "release" => backend.release(request).map(Value::from),
        "request" => backend.request(request),
        "reap" => backend.reap(request),
        other => panic!("a peer does not know {other}"),
    }
}
