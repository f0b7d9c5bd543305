//! The whole library on Apple's `container`, as far as its stand-in `apple/container` can show it.
//!
//! The library finds `container` on the PATH, so each test runs in a process of its own whose PATH begins with a
//! folder that holds the stand-in; that folder is also its state.

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use sandport::{Backend, Call, Code, Error, Operation};
use serde_json::{Value, json};

/// Names the folder of the stand-in to the process that a test runs in.
const FOLDER: &str = "SANDPORT_TEST_FOLDER";

/// Runs the test of this name in a process of its own.
fn alone(test: &str, body: impl FnOnce(&Stand)) {
    if let Some(folder) = std::env::var_os(FOLDER) {
        return body(&Stand { folder: folder.into() });
    }
    let folder = std::env::temp_dir().join(format!("sandport-apple-{test}-{}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("images"), "sandbox:1\ncrash:1\n").unwrap();
    let stand_in = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/apple/container");
    std::os::unix::fs::symlink(stand_in, folder.join("container")).unwrap();
    let path = std::env::var("PATH").unwrap();
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture"])
        .env(FOLDER, &folder)
        .env("PATH", format!("{}:{path}", folder.display()))
        .output()
        .unwrap();
    // The sandboxes of the stand-in end when its state goes.
    fs::remove_dir_all(&folder).unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    assert!(text.contains("1 passed"), "{text}");
}

struct Stand {
    folder: PathBuf,
}

impl Stand {
    /// A config with ports that were free a moment ago, and what else is given.
    fn config(&self, more: Value) -> String {
        let (_, port) = hold_port();
        let mut config = json!({
            "runtime": "container", "image": "sandbox:1", "container_prefix": "apple", "base_port": port,
            "port_count": 20, "state_dir": self.folder.join("state"),
        });
        config.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        config.to_string()
    }

    fn open(&self, more: Value) -> Backend {
        Backend::open(&self.config(more)).unwrap().0
    }
}

/// Holds a port that has twenty more behind it.
fn hold_port() -> (TcpListener, u16) {
    loop {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        if port < 65_500 {
            return (listener, port);
        }
    }
}

fn ask(backend: &Backend, operation: Operation, request: Value) -> Result<Value, Error> {
    backend.ask(&Call::new(), operation, &request.to_string())
}

#[test]
fn a_sandbox_goes_through_its_whole_life() {
    alone("a_sandbox_goes_through_its_whole_life", |stand| {
        let (backend, opened) = Backend::open(&stand.config(json!({}))).unwrap();
        assert_eq!((&opened["runtime"], &opened["runtime_version"]), (&json!("container"), &json!("1.0.0")));

        let info = ask(&backend, Operation::Create, json!({"sandbox_id": "one"})).unwrap();
        assert_eq!((&info["created"], &info["state"]), (&json!(true), &json!("running")));
        assert_eq!(info["container_name"], "apple-one");
        assert_eq!(info["isolation"], "shared");

        let again = ask(&backend, Operation::Create, json!({"sandbox_id": "one"})).unwrap();
        assert_eq!((&again["created"], &again["sandbox_url"]), (&json!(false), &info["sandbox_url"]));
        let found = ask(&backend, Operation::Discover, json!({"sandbox_id": "one"})).unwrap();
        assert_eq!(found["sandbox"]["sandbox_url"], info["sandbox_url"]);
        let alive = ask(&backend, Operation::IsAlive, json!({"sandbox": info})).unwrap();
        assert_eq!(alive, json!({"alive": true}));
        let list = ask(&backend, Operation::List, json!({})).unwrap();
        assert_eq!(list["sandboxes"].as_array().unwrap().len(), 1);

        let answer =
            ask(&backend, Operation::Request, json!({"sandbox": info, "path": "/v1/sandbox"})).unwrap();
        assert_eq!(answer["status"], 200);
        assert!(answer["body"].as_str().unwrap().contains("home_dir"));

        let ended = ask(&backend, Operation::Destroy, json!({"sandbox": info})).unwrap();
        assert_eq!(ended, json!({"destroyed": true}));
        let ended = ask(&backend, Operation::Destroy, json!({"sandbox_id": "one"})).unwrap();
        assert_eq!(ended, json!({"destroyed": false}));
        let found = ask(&backend, Operation::Discover, json!({"sandbox_id": "one"})).unwrap();
        assert_eq!(found["sandbox"], Value::Null);
    });
}

#[test]
fn environment_and_key_reach_the_sandbox_and_no_argument() {
    alone("environment_and_key_reach_the_sandbox_and_no_argument", |stand| {
        let auth = json!({"environment": "AIO_API_KEY", "header": "x-api-key", "prefix": ""});
        let backend = stand.open(json!({"auth": auth, "environment": {"MODE": "a very secret value"}}));
        let info = ask(&backend, Operation::Create, json!({"sandbox_id": "one"})).unwrap();
        let key = info["auth"]["value"].as_str().unwrap();
        let answer = ask(&backend, Operation::Request, json!({"sandbox_id": "one", "path": "/env"})).unwrap();
        let inside: Value = serde_json::from_str(answer["body"].as_str().unwrap()).unwrap();
        assert_eq!(
            (&inside["MODE"], inside["AIO_API_KEY"].as_str()),
            (&json!("a very secret value"), Some(key))
        );
        let calls = fs::read_to_string(stand.folder.join("calls")).unwrap();
        assert!(!calls.contains("secret value") && !calls.contains(key), "{calls}");
        // Another backend reads the key back.
        let other = stand.open(json!({"auth": auth}));
        let found = ask(&other, Operation::Discover, json!({"sandbox_id": "one"})).unwrap();
        assert_eq!(found["sandbox"]["auth"]["value"].as_str(), Some(key));
        ask(&backend, Operation::Destroy, json!({"sandbox_id": "one"})).unwrap();
    });
}

#[test]
fn a_sandbox_that_ends_at_once_is_reported_at_once_and_removed() {
    alone("a_sandbox_that_ends_at_once_is_reported_at_once_and_removed", |stand| {
        let backend = stand.open(json!({"image": "crash:1"}));
        let began = Instant::now();
        let error = ask(&backend, Operation::Create, json!({"sandbox_id": "one"})).unwrap_err();
        assert_eq!(error.code(), Code::SandboxExited, "{error}");
        assert!(began.elapsed() < Duration::from_secs(20));
        assert!(!stand.folder.join("apple-one.json").exists());
    });
}

#[test]
fn a_taken_port_is_skipped() {
    alone("a_taken_port_is_skipped", |stand| {
        let (_holder, base) = hold_port();
        let backend = stand.open(json!({"base_port": base}));
        let info = ask(&backend, Operation::Create, json!({"sandbox_id": "one"})).unwrap();
        assert_ne!(info["sandbox_url"], format!("http://127.0.0.1:{base}"));
        ask(&backend, Operation::Destroy, json!({"sandbox_id": "one"})).unwrap();
    });
}

#[test]
fn an_image_is_pulled_where_it_is_missing() {
    alone("an_image_is_pulled_where_it_is_missing", |stand| {
        let backend = stand.open(json!({"image": "new:1"}));
        ask(&backend, Operation::Create, json!({"sandbox_id": "one"})).unwrap();
        ask(&backend, Operation::Destroy, json!({"sandbox_id": "one"})).unwrap();
        let backend = stand.open(json!({"image": "missing:1"}));
        let error = ask(&backend, Operation::Create, json!({"sandbox_id": "one"})).unwrap_err();
        assert_eq!(error.code(), Code::ImageNotFound, "{error}");
        let backend = stand.open(json!({"image": "never:1", "pull": "never"}));
        let error = ask(&backend, Operation::Create, json!({"sandbox_id": "one"})).unwrap_err();
        assert_eq!(error.code(), Code::ImageNotFound, "{error}");
    });
}

#[test]
fn services_that_are_down_say_how_to_start_them() {
    alone("services_that_are_down_say_how_to_start_them", |stand| {
        fs::write(stand.folder.join("down"), "").unwrap();
        let backend = stand.open(json!({}));
        let error = ask(&backend, Operation::List, json!({})).unwrap_err();
        assert_eq!(error.code(), Code::RuntimeUnavailable, "{error}");
        assert!(error.hint().contains("container system start"), "{error}");
        fs::remove_file(stand.folder.join("down")).unwrap();
        assert_eq!(ask(&backend, Operation::List, json!({})).unwrap(), json!({"sandboxes": []}));
    });
}

#[test]
fn an_old_version_is_refused_with_the_fix() {
    alone("an_old_version_is_refused_with_the_fix", |stand| {
        fs::write(stand.folder.join("version"), "0.9.0").unwrap();
        let error = match Backend::open(&stand.config(json!({}))) {
            Err(error) => error,
            Ok((backend, _)) => ask(&backend, Operation::List, json!({})).unwrap_err(),
        };
        assert_eq!(error.code(), Code::Unsupported, "{error}");
        assert!(error.hint().contains("upgrade"), "{error}");
    });
}

#[test]
fn what_nobody_uses_is_reaped() {
    alone("what_nobody_uses_is_reaped", |stand| {
        let backend = stand.open(json!({}));
        ask(&backend, Operation::Create, json!({"sandbox_id": "one"})).unwrap();
        let reaped = ask(&backend, Operation::Reap, json!({"idle_seconds": 0})).unwrap();
        assert_eq!(reaped["reaped"], json!([]));
        ask(&backend, Operation::Release, json!({"sandbox_id": "one"})).unwrap();
        let reaped = ask(&backend, Operation::Reap, json!({"idle_seconds": 0})).unwrap();
        assert_eq!(reaped["reaped"], json!(["one"]));
        assert!(!stand.folder.join("apple-one.json").exists());
    });
}

#[test]
fn creators_that_cannot_see_each_other_make_one_container() {
    alone("creators_that_cannot_see_each_other_make_one_container", |stand| {
        // A state directory each: only the tool itself decides who gets the name.
        let backends = ["a", "b", "c"].map(|name| stand.open(json!({"state_dir": stand.folder.join(name)})));
        let infos: Vec<Value> = std::thread::scope(|scope| {
            let creators = backends.each_ref().map(|backend| {
                scope.spawn(|| ask(backend, Operation::Create, json!({"sandbox_id": "one"})).unwrap())
            });
            creators.into_iter().map(|creator| creator.join().unwrap()).collect()
        });
        let made = infos.iter().filter(|info| info["created"] == true).count();
        assert_eq!(made, 1, "{infos:#?}");
        assert!(infos.iter().all(|info| info["sandbox_url"] == infos[0]["sandbox_url"]));
        ask(&backends[0], Operation::Destroy, json!({"sandbox_id": "one"})).unwrap();
    });
}
