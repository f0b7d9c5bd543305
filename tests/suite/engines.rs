//! Two engines on one machine and one state directory: names and leases are each engine's own, ports are shared.

use serde_json::json;

use crate::rig::{Backend, Rig, port};

/// Ends what a failed test leaves on the engine that the rig does not look at.
struct Ended<'a>(&'a Backend);

impl Drop for Ended<'_> {
    fn drop(&mut self) {
        self.0.destroy(json!({"sandbox_id": "a"})).ok();
    }
}

#[test]
fn two_engines_of_one_state_directory_share_ports_and_neither_names_nor_leases() {
    let rig = Rig::new();
    let socket = concat!("unix://", env!("CARGO_MANIFEST_DIR"), "/target/podman/podman.sock");
    let one = rig.open_with(json!({"runtime": "docker", "endpoint": null}));
    let two = rig.open_with(json!({"runtime": "podman", "endpoint": socket}));
    let _ended = Ended(&two);
    let first = one.create(json!({"sandbox_id": "a"})).unwrap();
    let second = two.create(json!({"sandbox_id": "a"})).unwrap();
    assert_eq!((first["created"].clone(), second["created"].clone()), (json!(true), json!(true)));
    assert_ne!(first["container_id"], second["container_id"]);
    assert_ne!(port(&first), port(&second), "one machine, one set of ports");

    assert!(one.release(json!({"sandbox_id": "a"})).unwrap());
    assert_eq!(two.reap(json!({"idle_seconds": 0})).unwrap()["kept"][0]["reason"], "in use");
    assert_eq!(one.reap(json!({"idle_seconds": 0})).unwrap()["reaped"], json!(["a"]));
    assert!(two.is_alive(json!({"sandbox": second})).unwrap(), "the other engine's is another");
    assert!(!one.is_alive(json!({"sandbox": first})).unwrap());
    assert!(two.destroy(json!({"sandbox_id": "a"})).unwrap());
    rig.assert_clean();
}
