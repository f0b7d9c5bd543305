//! Every status code, reached by something that really goes wrong; what the caller is told, and that nothing is left.

use std::io::Write;
use std::net::TcpListener;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::rig::{Backend, IMAGE, Rig, docker, eventually};
use crate::started::{CREATE, Started};

const DYING: &str = "SANDPORT_TEST_NO_THREAD";

/// Something in an engine's place that treats each connection in its own way, until the test's process ends.
fn pretended(rig: &Rig, name: &str, treat: fn(std::os::unix::net::UnixStream)) -> String {
    let path: PathBuf = rig.folder().join(name);
    let listener = UnixListener::bind(&path).unwrap();
    std::thread::spawn(move || listener.incoming().flatten().for_each(treat));
    format!("unix://{}", path.display())
}

fn word(error: &Value) -> &str {
    error["code"].as_str().unwrap()
}

#[test]
fn a_request_that_is_wrong_is_an_invalid_argument_that_names_the_field_alone() {
    let rig = Rig::new();
    let backend = rig.open();
    let error = backend.create(json!({"sandbox_id": "a", "sandbox_idd": "s3cret-typo"})).unwrap_err();
    assert_eq!((word(&error), error["phase"].clone()), ("invalid_argument", json!("validate")));
    let text = error.to_string();
    assert!(text.contains("sandbox_idd") && !text.contains("s3cret-typo"), "{text}");
    let missing = rig.folder().join("missing");
    let mount = json!([{"host_path": missing, "container_path": "/m"}]);
    let error = backend.create(json!({"sandbox_id": "a", "extra_mounts": mount})).unwrap_err();
    assert_eq!(word(&error), "invalid_argument");
    assert!(!missing.exists(), "nothing is made on the host");
    rig.assert_clean();
}

#[test]
fn a_closed_backend_is_an_invalid_handle() {
    let rig = Rig::new();
    let backend = rig.open();
    let number = backend.0;
    drop(backend);
    let closed = Backend(number);
    assert_eq!(word(&closed.list().unwrap_err()), "invalid_handle");
}

#[test]
fn a_request_to_no_sandbox_is_not_found_and_one_to_a_dead_container_says_that_it_exited() {
    let rig = Rig::new();
    let backend = rig.open();
    let ask = |target: &str, value: &Value| backend.request(json!({target: value, "path": "/v1/sandbox"}));
    assert_eq!(word(&ask("sandbox_id", &json!("a")).unwrap_err()), "not_found");
    let info = backend.create(json!({"sandbox_id": "a"})).unwrap();
    assert_eq!(ask("sandbox", &info).unwrap()["status"], 200);
    assert!(backend.destroy(json!({"sandbox_id": "a"})).unwrap());
    assert_eq!(word(&ask("sandbox", &info).unwrap_err()), "sandbox_exited");
    rig.assert_clean();
}

#[test]
fn an_engine_that_is_not_there_hangs_or_talks_nonsense_is_told_apart() {
    let rig = Rig::new();
    let code = |endpoint: &str| {
        let backend = rig.open_with(json!({"endpoint": endpoint, "call_timeout_seconds": 0.5}));
        let begun = Instant::now();
        let error = backend.create(json!({"sandbox_id": "a"})).unwrap_err();
        assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
        assert!(!error["hint"].as_str().unwrap().is_empty(), "{error}");
        word(&error).to_owned()
    };
    let absent = format!("unix://{}", rig.folder().join("absent.sock").display());
    assert_eq!(code(&absent), "runtime_unavailable");
    let silent = pretended(&rig, "silent.sock", |stream| {
        std::thread::spawn(move || {
            std::thread::sleep(Duration::from_secs(60)); // how long it keeps silent
            drop(stream);
        });
    });
    assert_eq!(code(&silent), "timeout");
    let garbage = pretended(&rig, "garbage.sock", |mut stream| {
        stream.write_all(b"220 mail.example.org ESMTP\r\n").ok();
    });
    assert_eq!(code(&garbage), "runtime_failed");
}

#[test]
fn what_the_engine_cannot_do_has_failed_and_leaves_nothing() {
    let rig = Rig::new();
    let backend = rig.open_with(json!({"network": format!("{}-no-such-network", rig.prefix)}));
    let error = backend.create(json!({"sandbox_id": "a"})).unwrap_err();
    assert_eq!((word(&error), error["runtime"].clone()), ("runtime_failed", json!("docker")));
    rig.assert_clean();
}

#[test]
fn an_image_that_is_nowhere_is_not_found() {
    let rig = Rig::new();
    let backend = rig.open_with(json!({"pull": "never", "image": "sandport-test:of-no-such-tag"}));
    let error = backend.create(json!({"sandbox_id": "a"})).unwrap_err();
    assert_eq!(word(&error), "image_not_found");
    rig.assert_clean();
}

#[test]
fn a_range_without_a_free_port_is_exhausted() {
    let rig = Rig::new();
    let _bound = TcpListener::bind(("127.0.0.1", rig.base_port)).unwrap();
    let backend = rig.open_with(json!({"port_count": 1}));
    let error = backend.create(json!({"sandbox_id": "a"})).unwrap_err();
    assert_eq!(word(&error), "port_exhausted");
    rig.assert_clean();
}

#[test]
fn a_name_that_is_somebody_elses_is_a_conflict_and_stays_theirs() {
    let rig = Rig::new();
    docker(&[
        "run",
        "-d",
        "--rm",
        "--name",
        &rig.name("a"),
        "--label",
        "dev.sandport.prefix=other",
        "--label",
        "dev.sandport.id=a",
        IMAGE,
    ]);
    let backend = rig.open();
    let target = || json!({"sandbox_id": "a"});
    assert_eq!(word(&backend.create(target()).unwrap_err()), "name_conflict");
    assert_eq!(word(&backend.discover(target()).unwrap_err()), "name_conflict");
    assert_eq!(word(&backend.destroy(target()).unwrap_err()), "name_conflict");
    assert_eq!(rig.containers(), [rig.name("a")]);
}

#[test]
fn a_sandbox_whose_port_is_deaf_is_not_ready_for_requests() {
    let rig = Rig::new();
    let backend = rig.open();
    let environment = json!({"SANDBOX_PORT": "9"});
    backend
        .create(json!({"sandbox_id": "a", "environment": environment, "ready_timeout_seconds": 0}))
        .unwrap();
    let error = backend.request(json!({"sandbox_id": "a", "path": "/", "timeout_seconds": 5})).unwrap_err();
    assert_eq!(word(&error), "not_ready");
    assert!(backend.destroy(json!({"sandbox_id": "a"})).unwrap());
    rig.assert_clean();
}

#[test]
fn a_request_that_takes_longer_than_it_may_is_a_timeout_and_one_that_is_too_big_over_its_quota() {
    let rig = Rig::new();
    let backend = rig.open();
    backend.create(json!({"sandbox_id": "a"})).unwrap();
    for path in ["/slow/30000", "/drip"] {
        let begun = Instant::now();
        let error =
            backend.request(json!({"sandbox_id": "a", "path": path, "timeout_seconds": 0.3})).unwrap_err();
        assert_eq!(word(&error), "timeout", "{path}");
        assert!(begun.elapsed() < Duration::from_secs(2), "{path}: {:?}", begun.elapsed());
    }
    let sized = |limit: u32| {
        backend.request(json!({"sandbox_id": "a", "path": "/bytes/5000", "max_response_bytes": limit}))
    };
    assert_eq!(word(&sized(4999).unwrap_err()), "quota_exceeded");
    assert_eq!(sized(5000).unwrap()["body"].as_str().unwrap().len(), 5000);
    assert!(backend.destroy(json!({"sandbox_id": "a"})).unwrap());
    rig.assert_clean();
}

#[test]
fn a_cancelled_create_ends_at_once_and_leaves_nothing() {
    let rig = Rig::new();
    let backend = rig.open();
    let request = json!({"sandbox_id": "a", "environment": {"SANDBOX_NEVER_ANSWER": "1"}});
    let call = Started::new(&backend, CREATE, &request);
    eventually("it waits for the sandbox's answer", || call.progress()["phase"] == "ready");
    assert_eq!(rig.containers(), [rig.name("a")]);
    call.cancel();
    let error = call.result().unwrap_err();
    assert_eq!((word(&error), error["phase"].clone()), ("cancelled", json!("ready")));
    assert!(rig.containers().is_empty(), "nothing that it made remains");
    rig.assert_clean();
}

#[test]
fn the_hosts_places_of_power_are_denied() {
    let rig = Rig::new();
    let backend = rig.open();
    let state = rig.state_dir();
    for place in
        ["/", "/proc", "/var/run/docker.sock", "/var/lib/docker", state.to_str().unwrap()].map(Path::new)
    {
        let mount = json!([{"host_path": place, "container_path": "/host"}]);
        let error = backend.create(json!({"sandbox_id": "a", "extra_mounts": mount})).unwrap_err();
        assert_eq!(word(&error), "denied", "{place:?}");
    }
    rig.assert_clean();
}

#[test]
fn what_no_runtime_here_can_do_is_unsupported() {
    let rig = Rig::new();
    for config in [json!({"runtime": "kubernetes"}), json!({"endpoint": "ssh://somebody@example.org"})] {
        let error = Backend::open(&rig.config(config)).err().unwrap();
        assert_eq!(word(&error), "unsupported");
    }
}

#[test]
fn a_thread_that_cannot_be_had_is_internal_and_may_be_had_later() {
    let status = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "codes::the_process_without_threads", "--test-threads=1", "--nocapture"])
        .env(DYING, "1")
        .output()
        .unwrap();
    let said =
        String::from_utf8_lossy(&status.stdout).into_owned() + &String::from_utf8_lossy(&status.stderr);
    assert!(status.status.success() && said.contains("no thread, as it should be"), "{said}");
}

/// Not a test of its own: what the one above runs, since a limit is for a whole process.
#[test]
fn the_process_without_threads() {
    if std::env::var_os(DYING).is_none() {
        return;
    }
    let rig = Rig::new();
    let backend = rig.open();
    let list = |limit: Option<u64>| {
        if let Some(limit) = limit {
            limit_memory(limit);
        }
        let started = Started::begin(&backend, 5, &json!({}));
        limit_memory(libc::RLIM_INFINITY);
        started
    };
    // Less than one stack more than there is now.
    let pages: u64 =
        std::fs::read_to_string("/proc/self/statm").unwrap().split(' ').next().unwrap().parse().unwrap();
    let error = list(Some(pages * 4096 + 512 * 1024)).err().expect("no thread fits");
    assert_eq!((word(&error), error["retryable"].clone()), ("internal", json!(true)));
    assert_eq!(list(None).unwrap().result().unwrap()["sandboxes"], json!([]));
    println!("no thread, as it should be");
}

fn limit_memory(bytes: u64) {
    let limit = libc::rlimit { rlim_cur: bytes, rlim_max: libc::RLIM_INFINITY };
    // SAFETY: a valid limit for this process.
    assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_AS, &raw const limit) }, 0);
}

/// A small file system, unmounted with the value. Needs root, as the whole test run does.
struct Mounted(PathBuf);

impl Drop for Mounted {
    fn drop(&mut self) {
        Command::new("umount").arg("-l").arg(&self.0).status().ok();
    }
}

#[test]
fn a_create_whose_lease_cannot_be_written_takes_back_what_it_made() {
    let rig = Rig::new();
    let place = Mounted(rig.folder().join("small"));
    std::fs::create_dir(&place.0).unwrap();
    let mount = ["-t", "tmpfs", "-o", "size=64k,mode=0700", "tmpfs", place.0.to_str().unwrap()];
    assert!(Command::new("mount").args(mount).status().unwrap().success(), "mounting needs root");
    let backend = rig.open_with(json!({"state_dir": place.0.join("state")}));
    backend.list().unwrap(); // the directory's own files are made by now
    // Files can still be made on the full disk, and not written.
    let mut filler = std::fs::File::create(place.0.join("filler")).unwrap();
    while filler.write_all(&[0; 1024]).is_ok() {}
    let error = backend.create(json!({"sandbox_id": "a"})).unwrap_err();
    assert_eq!(
        (error["code"].as_str(), error["retryable"].as_bool()),
        (Some("internal"), Some(true)),
        "{error}"
    );
    assert!(error["hint"].as_str().unwrap().contains("disk is full"), "{error}");
    assert_eq!(rig.containers(), Vec::<String>::new(), "nothing of it is left when it is told");
    drop(filler);
    std::fs::remove_file(place.0.join("filler")).unwrap();
    assert_eq!(backend.create(json!({"sandbox_id": "a"})).unwrap()["created"], true);
    assert!(backend.destroy(json!({"sandbox_id": "a"})).unwrap());
    drop(backend);
    rig.assert_clean();
}
