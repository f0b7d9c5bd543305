//! A process that is killed at each place where it matters: what the next one finds, and that nothing is left.

use serde_json::json;

use crate::child::Peer;
use crate::rig::{Rig, eventually};

/// Starts a process that stops at this place of the library, lets it get there and kills it.
fn killed_at(rig: &Rig, place: &str, call: &str) {
    let file = rig.folder().join("reached");
    std::fs::remove_file(&file).ok();
    let environment = [("SANDPORT_TRIAL_STOP", place), ("SANDPORT_TRIAL_FILE", file.to_str().unwrap())];
    let mut victim = Peer::start_with(&rig.config(json!({})), &environment);
    victim.tell(call, &json!({"sandbox_id": "a"}));
    eventually("the victim gets there", || std::fs::read_to_string(&file).is_ok_and(|said| said == place));
    victim.kill();
}

#[test]
fn a_creator_killed_at_any_place_stands_in_nobodys_way_and_leaves_nothing() {
    let rig = Rig::new();
    // Before the container, with one that was never started, with one that runs, with the lock given back, and ready.
    for (place, adopted) in [
        ("create:locked", false),
        ("create:made", false),
        ("create:started", true),
        ("create:unlocked", true),
        ("create:ready", true),
    ] {
        killed_at(&rig, place, "create");
        let backend = rig.open();
        let info = backend.create(json!({"sandbox_id": "a"})).unwrap();
        assert_eq!(info["created"], !adopted, "{place}");
        assert_eq!(rig.containers(), [rig.name("a")], "{place}");
        assert!(backend.destroy(json!({"sandbox_id": "a"})).unwrap());
        drop(backend);
        assert_eq!(rig.lock_files(), Vec::<String>::new(), "{place}");
    }
    rig.assert_clean();
}

#[test]
fn what_a_killed_creator_left_behind_is_reaped_with_all_its_files() {
    let rig = Rig::new();
    for place in ["create:locked", "create:made", "create:started", "create:unlocked", "create:ready"] {
        killed_at(&rig, place, "create");
        let backend = rig.open();
        let reaped = backend.reap(json!({"idle_seconds": 0})).unwrap();
        let expected = if place == "create:locked" { json!([]) } else { json!(["a"]) };
        assert_eq!(reaped["reaped"], expected, "{place}: {reaped}");
        drop(backend);
        assert_eq!((rig.containers(), rig.lock_files()), (vec![], vec![]), "{place}");
    }
}

#[test]
fn a_destroyer_killed_at_any_place_leaves_what_the_next_can_end() {
    let rig = Rig::new();
    for (place, gone) in [("destroy:found", false), ("destroy:gone", true)] {
        let backend = rig.open();
        backend.create(json!({"sandbox_id": "a"})).unwrap();
        killed_at(&rig, place, "destroy");
        assert_eq!(backend.is_alive(json!({"sandbox_id": "a"})).unwrap(), !gone, "{place}");
        assert_eq!(backend.destroy(json!({"sandbox_id": "a"})).unwrap(), !gone, "{place}");
        drop(backend);
        assert_eq!(rig.lock_files(), Vec::<String>::new(), "{place}");
    }
    rig.assert_clean();
}
