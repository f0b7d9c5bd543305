//! What a guest can do on the real engine: what its policy says, and nothing beside it.

use std::ffi::CString;
use std::ptr;

use sandport::capi::guests::{
    sandport_guest_call, sandport_guest_close, sandport_guest_open, sandport_guest_response,
};
use serde_json::{Value, json};

use crate::rig::{Backend, IMAGE, Rig, docker, eventually, outcome};

struct Guest(u64);

impl Guest {
    fn open(backend: &Backend, policy: &Value) -> Guest {
        let (mut guest, mut response) = (0, ptr::null_mut());
        let text = CString::new(policy.to_string()).unwrap();
        // SAFETY: valid pointers for the time of the call.
        let status =
            unsafe { sandport_guest_open(backend.0, text.as_ptr(), &raw mut guest, &raw mut response) };
        outcome(status, response).expect("the guest opens");
        Guest(guest)
    }

    fn call(&self, operation: u32, request: Value) -> Value {
        let (text, mut out) = (request.to_string(), vec![0; 1 << 16]);
        // SAFETY: both ranges are as long as they are said to be.
        let length = unsafe {
            sandport_guest_call(self.0, operation, text.as_ptr(), text.len(), out.as_mut_ptr(), out.len())
        };
        serde_json::from_slice(&out[..usize::try_from(length).expect("an answer")]).unwrap()
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        sandport_guest_close(self.0);
    }
}

fn policy(limits: Value) -> Value {
    json!({"namespace": "a", "images": [IMAGE], "limits": limits, "environment": {"allow": ["APP_*"]},
        "operations": ["create", "destroy", "discover", "is_alive", "list", "request"]})
}

#[test]
fn a_guest_has_its_own_sandbox_and_nothing_of_the_configs_and_closing_leaves_nothing() {
    let rig = Rig::new();
    let backend = rig.open_with(json!({"environment": {"SECRET": "config-word"}}));
    let guest = Guest::open(&backend, &policy(json!({})));
    let made = guest.call(1, json!({"sandbox_id": "x", "environment": {"APP_A": "1"}}));
    assert_eq!((&made["sandbox_id"], &made["created"]), (&json!("x"), &json!(true)), "{made}");
    for hidden in ["container_id", "container_name", "sandbox_url", "auth"] {
        assert!(made.get(hidden).is_none(), "{hidden}");
    }
    let seen = docker(&["inspect", &rig.containers()[0]]);
    assert!(!seen.contains("config-word") && seen.contains("APP_A=1"));
    assert_eq!(guest.call(4, json!({"sandbox_id": "x"})), json!({"alive": true}));
    assert_eq!(guest.call(5, json!({}))["sandboxes"].as_array().unwrap().len(), 1);
    assert_eq!(guest.call(6, json!({"sandbox_id": "x", "path": "/v1/sandbox"}))["status"], 200);

    let mut foreign = policy(json!({}));
    foreign["namespace"] = json!("b");
    let other = Guest::open(&backend, &foreign);
    for (operation, more) in [(2, json!({})), (3, json!({})), (4, json!({})), (6, json!({"path": "/"}))] {
        let ask = |id: &str| {
            let mut request = more.clone();
            request["sandbox_id"] = json!(id);
            other.call(operation, request)
        };
        assert_eq!(ask("x"), ask("nobody"));
    }
    drop((guest, other));
    rig.assert_clean();
}

#[test]
fn every_limit_refuses_with_its_own_error() {
    let rig = Rig::new();
    let backend = rig.open();
    let limit = |limits: Value, request: Value| {
        Guest::open(&backend, &policy(limits)).call(1, request)["error"].clone()
    };
    assert_eq!(limit(json!({"sandboxes": 0}), json!({}))["details"]["limit"], "sandboxes");
    assert_eq!(limit(json!({"calls_per_minute": 0}), json!({}))["details"]["limit"], "calls_per_minute");
    for request in [
        json!({"image": "alpine"}),
        json!({"environment": {"LD_PRELOAD": "x"}}),
        json!({"mounts": {"none": "/data"}}),
    ] {
        assert_eq!(limit(json!({}), request)["code"], "denied");
    }
    for unknown in ["privileged", "labels", "extra_mounts"] {
        assert_eq!(limit(json!({}), json!({unknown: {}}))["code"], "invalid_argument");
    }
    let small = Guest::open(&backend, &policy(json!({"request_bytes": 8})));
    // SAFETY: the request is as long as it is said to be, and no answer is wanted.
    unsafe {
        assert_eq!(sandport_guest_call(small.0, 1, b"{\"a\": 123}".as_ptr(), 10, ptr::null_mut(), 0), -2);
        assert_eq!(sandport_guest_response(small.0, ptr::null_mut(), 0), -3);
        assert_eq!(sandport_guest_call(small.0, 7, ptr::null(), 0, ptr::null_mut(), 0), -4);
    }
    rig.assert_clean();
}

#[test]
fn of_two_guests_that_race_for_the_last_place_one_gets_it() {
    let rig = Rig::new();
    let backend = rig.open();
    let guests = [0, 1].map(|_| Guest::open(&backend, &policy(json!({"sandboxes": 1}))));
    let answers: Vec<Value> = std::thread::scope(|scope| {
        let all: Vec<_> = guests.iter().map(|guest| scope.spawn(|| guest.call(1, json!({})))).collect();
        all.into_iter().map(|one| one.join().unwrap()).collect()
    });
    let refused: Vec<_> = answers.iter().filter(|answer| answer.get("error").is_some()).collect();
    assert!(refused.len() == 1 && refused[0]["error"]["details"]["limit"] == "sandboxes", "{answers:?}");
    drop(guests);
    rig.assert_clean();
}

#[test]
fn a_sandbox_ends_when_its_lifetime_does() {
    let rig = Rig::new();
    let backend = rig.open();
    let guest = Guest::open(&backend, &policy(json!({"lifetime_seconds": 3})));
    assert_eq!(guest.call(1, json!({"sandbox_id": "x"}))["created"], true);
    eventually("the timer ends it", || rig.containers().is_empty());
    assert_eq!(guest.call(4, json!({"sandbox_id": "x"})), json!({"alive": false}));
    drop(guest);
    rig.assert_clean();
}
