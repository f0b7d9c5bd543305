//! What every test stands on: a backend with a prefix, ports and a state directory of the test's own, the engine seen
//! by another eye (the `docker` command), and a look at the end that nothing is left.

use std::ffi::{CStr, CString, c_char};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::ptr;
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

/// The exported functions, whatever file they stand in.
pub mod capi {
    pub use sandport::capi::{backends::*, blocking::*, calls::*, library::*, queues::*};
}

use serde_json::{Map, Value, json};

pub const IMAGE: &str = "sandport-test:latest";

static NUMBERS: AtomicU16 = AtomicU16::new(0);
static HEAVY: Mutex<()> = Mutex::new(());

/// Where this process's ports begin. Suites of several checkouts may run at once; each holds a port that says which
/// part of the range is its own, until it ends.
fn first_port() -> u16 {
    static CLAIM: OnceLock<(TcpListener, u16)> = OnceLock::new();
    let claim = || {
        let mut parts =
            (0..3).map(|part| (TcpListener::bind(("127.0.0.1", 20990 + part)), 21000 + part * 3900));
        let (claim, first) = parts.find(|(claim, _)| claim.is_ok()).expect("three suites at once are enough");
        (claim.expect("it was looked at"), first)
    };
    CLAIM.get_or_init(claim).1
}

/// Held by a test that makes many containers at once, so that one such test runs at a time.
pub fn heavy() -> MutexGuard<'static, ()> {
    HEAVY.lock().unwrap_or_else(PoisonError::into_inner)
}

pub type Function = unsafe extern "C" fn(u64, *const c_char, *mut *mut c_char) -> i32;

/// Takes an owned answer.
pub fn take(response: *mut c_char) -> Value {
    assert!(!response.is_null(), "an answer is always written");
    // SAFETY: the library's own string, freed once.
    let text = unsafe { CStr::from_ptr(response) }.to_str().expect("answers are UTF-8").to_owned();
    unsafe { capi::sandport_string_free(response) };
    serde_json::from_str(&text).expect("answers are JSON")
}

/// The answer, or the error object; the status must say the same as the answer.
pub fn outcome(status: i32, response: *mut c_char) -> Result<Value, Value> {
    let answer = take(response);
    let error = answer.get("error").cloned();
    assert_eq!(status == 0, error.is_none(), "the status and the answer disagree: {status} {answer}");
    match error {
        None => Ok(answer),
        Some(error) => {
            // SAFETY: a static string.
            let word = unsafe { CStr::from_ptr(capi::sandport_status_name(status)) };
            assert_eq!(error["code"], word.to_str().expect("a word"));
            Err(error)
        }
    }
}

/// One opened backend; closed when it is dropped.
pub struct Backend(pub u64);

impl Backend {
    pub fn open(config: &Value) -> Result<(Backend, Value), Value> {
        let (mut backend, mut response) = (0, ptr::null_mut());
        let text = CString::new(config.to_string()).expect("JSON has no NUL");
        // SAFETY: valid pointers for the time of the call.
        let status =
            unsafe { capi::sandport_backend_open(text.as_ptr(), &raw mut backend, &raw mut response) };
        outcome(status, response).map(|answer| (Backend(backend), answer))
    }

    pub fn call(&self, function: Function, request: &Value) -> Result<Value, Value> {
        let text = CString::new(request.to_string()).expect("JSON has no NUL");
        let mut response = ptr::null_mut();
        // SAFETY: valid pointers for the time of the call.
        let status = unsafe { function(self.0, text.as_ptr(), &raw mut response) };
        outcome(status, response)
    }

    pub fn create(&self, request: Value) -> Result<Value, Value> {
        self.call(capi::sandport_create, &request)
    }

    pub fn destroy(&self, request: Value) -> Result<bool, Value> {
        self.call(capi::sandport_destroy, &request).map(|answer| answer["destroyed"] == true)
    }

    pub fn is_alive(&self, request: Value) -> Result<bool, Value> {
        self.call(capi::sandport_is_alive, &request).map(|answer| answer["alive"] == true)
    }

    pub fn discover(&self, request: Value) -> Result<Value, Value> {
        self.call(capi::sandport_discover, &request).map(|mut answer| answer["sandbox"].take())
    }

    pub fn list(&self) -> Result<Vec<Value>, Value> {
        self.call(capi::sandport_list, &json!({}))
            .map(|answer| answer["sandboxes"].as_array().expect("a list").clone())
    }

    pub fn request(&self, request: Value) -> Result<Value, Value> {
        self.call(capi::sandport_request, &request)
    }

    pub fn release(&self, request: Value) -> Result<bool, Value> {
        self.call(capi::sandport_release, &request).map(|answer| answer["released"] == true)
    }

    pub fn reap(&self, request: Value) -> Result<Value, Value> {
        self.call(capi::sandport_reap, &request)
    }

    /// Runs a command in the sandbox; what it printed.
    pub fn shell(&self, id: &str, command: &str) -> String {
        let answer = self
            .request(json!({
                "sandbox_id": id, "method": "POST", "path": "/v1/shell/exec",
                "body": json!({"command": command}).to_string(),
            }))
            .expect("the sandbox answers");
        let body: Value = serde_json::from_str(answer["body"].as_str().expect("text")).expect("JSON");
        body["data"]["output"].as_str().expect("an output").trim_end().to_owned()
    }
}

impl Drop for Backend {
    fn drop(&mut self) {
        capi::sandport_backend_close(self.0);
    }
}

/// One test's own corner of the engine.
pub struct Rig {
    pub prefix: String,
    pub base_port: u16,
    folder: PathBuf,
    config: Map<String, Value>,
}

impl Rig {
    pub fn new() -> Rig {
        let number = NUMBERS.fetch_add(1, Ordering::Relaxed);
        let prefix = format!("t{}n{number}", std::process::id());
        let folder = std::env::temp_dir().join(format!("sandport-{prefix}"));
        std::fs::create_dir_all(&folder).expect("a folder of the test's own");
        let base_port = first_port() + number * 40;
        let config = json!({
            "image": IMAGE, "container_prefix": prefix, "base_port": base_port, "port_count": 40,
            "state_dir": folder.join("state"), "stop_timeout_seconds": 1, "runtime": runtime(),
        });
        let mut config = config;
        if let Some(endpoint) = endpoint() {
            config["endpoint"] = endpoint.into();
        }
        let Value::Object(config) = config else { unreachable!("an object was written") };
        Rig { prefix, base_port, folder, config }
    }

    /// The config with more or other fields; null takes one away.
    pub fn config(&self, more: Value) -> Value {
        let mut config = self.config.clone();
        for (name, value) in more.as_object().expect("an object") {
            match value {
                Value::Null => config.remove(name),
                _ => config.insert(name.clone(), value.clone()),
            };
        }
        Value::Object(config)
    }

    pub fn open(&self) -> Backend {
        self.open_with(json!({}))
    }

    pub fn open_with(&self, more: Value) -> Backend {
        Backend::open(&self.config(more)).expect("the backend opens").0
    }

    /// A folder of the test's own.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    pub fn state_dir(&self) -> PathBuf {
        self.folder.join("state")
    }

    pub fn name(&self, id: &str) -> String {
        format!("{}-{id}", self.prefix)
    }

    /// The names of all containers of this test, running or not, as the engine's own command says.
    pub fn containers(&self) -> Vec<String> {
        docker(&["ps", "-a", "--filter", &format!("name=^/?{}", self.prefix), "--format", "{{.Names}}"])
            .lines()
            .map(str::to_owned)
            .collect()
    }

    /// Lock files of names and ports that are there now.
    pub fn lock_files(&self) -> Vec<String> {
        let mut found = Vec::new();
        let mut folders = vec![self.state_dir()];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
                match entry.path() {
                    path if path.is_dir() => folders.push(path),
                    path if path.extension().is_some_and(|end| end == "lock") => {
                        found.push(path.strip_prefix(self.state_dir()).expect("below").display().to_string());
                    }
                    _ => {}
                }
            }
        }
        found
    }

    /// Nothing of the test is left: no container, and no lock file.
    pub fn assert_clean(&self) {
        eventually("the containers are gone", || self.containers().is_empty());
        assert_eq!(self.lock_files(), Vec::<String>::new(), "lock files are left");
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        for name in self.containers() {
            // It may be going by itself just now.
            docker_try(&["rm", "-fv", &name]).ok();
        }
        std::fs::remove_dir_all(&self.folder).ok();
    }
}

/// Waits, for half a minute at most, until it is so.
pub fn eventually(what: &str, mut so: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(30);
    while !so() {
        assert!(Instant::now() < end, "it never came to be that {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// The runtime under test: Docker, or what `SANDPORT_TEST_RUNTIME` says, at `SANDPORT_TEST_ENDPOINT`.
pub fn runtime() -> String {
    std::env::var("SANDPORT_TEST_RUNTIME").unwrap_or_else(|_| "docker".to_owned())
}

pub fn is_podman() -> bool {
    runtime() == "podman"
}

fn endpoint() -> Option<String> {
    std::env::var("SANDPORT_TEST_ENDPOINT").ok()
}

/// The socket of the engine under test.
pub fn engine_socket() -> PathBuf {
    let endpoint = endpoint().or_else(|| std::env::var("DOCKER_HOST").ok());
    let endpoint = endpoint.unwrap_or_else(|| "unix:///var/run/docker.sock".to_owned());
    endpoint.strip_prefix("unix://").expect("these tests stand between an engine's Unix socket and us").into()
}

/// The `docker` command on the engine under test, as the test's other eye: Podman's socket speaks with it too.
pub fn docker(arguments: &[&str]) -> String {
    docker_try(arguments)
        .unwrap_or_else(|error| panic!("docker {arguments:?}: {error}; run scripts/setup test"))
}

pub fn docker_try(arguments: &[&str]) -> Result<String, String> {
    let out = Command::new("docker")
        .args(endpoint().map(|endpoint| format!("--host={endpoint}")))
        .args(arguments)
        .output()
        .map_err(|error| error.to_string())?;
    match out.status.success() {
        true => Ok(String::from_utf8_lossy(&out.stdout).trim_end().to_owned()),
        false => Err(String::from_utf8_lossy(&out.stderr).trim_end().to_owned()),
    }
}

/// The host port of an answer's sandbox_url.
pub fn port(info: &Value) -> u16 {
    let url = info["sandbox_url"].as_str().expect("a URL");
    url.rsplit(':').next().and_then(|port| port.parse().ok()).expect("a port")
}
