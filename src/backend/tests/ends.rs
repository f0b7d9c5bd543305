//! Ending, giving back and collecting.

use super::*;
use crate::runtime::{State, Which};
use crate::sandbox::label;

const NOW: ReapRequest = ReapRequest { idle: Duration::ZERO, dry_run: false, include_lost: false };

fn reasons(answer: &Value) -> Vec<&str> {
    answer["kept"].as_array().unwrap().iter().map(|kept| kept["reason"].as_str().unwrap()).collect()
}

fn destroy(rig: &Rig, target: Target) -> bool {
    rig.backend.destroy(&Call::new(), &DestroyRequest { target, stop_timeout: None }).unwrap()
}

#[test]
fn destroying_frees_the_port_and_leaves_no_file_even_with_a_peer() {
    let rig = Rig::new(json!({"base_port": 27300, "port_count": 1}));
    let peer = fake::backend(&rig.engine, &rig.folder, json!({"base_port": 27300, "port_count": 1}));
    rig.backend.create(&Call::new(), &wanted("x")).unwrap();
    peer.create(&Call::new(), &wanted("x")).unwrap();
    assert_eq!(rig.backend.create(&Call::new(), &wanted("y")).unwrap_err().code(), Code::PortExhausted);
    assert!(destroy(&rig, target("x")));
    assert!(!destroy(&rig, target("x")));
    assert_eq!(rig.lock_files(), ["sandport-x.lock"], "the peer's lease lives as long as the peer wants");
    drop(peer);
    assert_eq!(rig.lock_files(), Vec::<String>::new());
    assert!(rig.backend.create(&Call::new(), &wanted("y")).is_ok());
}

#[test]
fn ports_of_what_others_removed_are_found_before_the_range_is_called_full() {
    let rig = Rig::new(json!({"base_port": 27400, "port_count": 1}));
    rig.backend.create(&Call::new(), &wanted("x")).unwrap();
    rig.engine.world().containers.clear();
    let made = rig.backend.create(&Call::new(), &wanted("y")).unwrap();
    assert_eq!(made.sandbox_url, "http://127.0.0.1:27400");
    assert_eq!(rig.engine.world().lists, 1);
}

#[test]
fn an_old_container_id_never_means_its_successor() {
    let rig = Rig::new(json!({}));
    let old = rig.backend.create(&Call::new(), &wanted("x")).unwrap();
    rig.engine.world().containers.clear();
    let new = rig.backend.create(&Call::new(), &wanted("x")).unwrap();
    let of_old = Target { container_id: Some(old.container_id), ..target("x") };
    assert!(!destroy(&rig, of_old.clone()));
    assert!(!rig.backend.is_alive(&Call::new(), &of_old).unwrap());
    assert!(!rig.backend.release(&Call::new(), &of_old).unwrap());
    assert!(rig.backend.is_alive(&Call::new(), &target("x")).unwrap());
    let of_new = Target { container_id: Some(new.container_id), ..target("x") };
    assert!(rig.backend.release(&Call::new(), &of_new).unwrap());
    assert!(!rig.backend.release(&Call::new(), &of_new).unwrap());
}

#[test]
fn another_tools_container_is_stopped_and_not_removed() {
    let rig = Rig::new(json!({}));
    rig.engine.world().containers.push(container("a", "sandport-x", State::Running, &[]));
    assert!(destroy(&rig, target("x")));
    let world = rig.engine.world();
    assert_eq!((world.stopped.len(), world.removed.len()), (1, 0));
    assert_eq!(world.containers[0].state, State::Exited);
}

#[test]
fn a_container_named_by_id_must_bear_the_name() {
    let rig = Rig::new(json!({}));
    rig.engine.world().containers.push(container("a", "precious", State::Running, &[]));
    let renamed = Target { container_id: Some("a".repeat(64)), ..target("x") };
    assert!(!destroy(&rig, renamed.clone()));
    assert!(!rig.backend.is_alive(&Call::new(), &renamed).unwrap());
    assert_eq!(rig.engine.world().containers.len(), 1);
}

#[test]
fn a_list_holds_exactly_the_prefix_in_one_question() {
    let rig = Rig::new(json!({"container_prefix": "a-b"}));
    let mut portless = container("b", "a-b-y", State::Running, &[]);
    portless.published.clear();
    rig.engine.world().containers.extend([
        container("a", "a-b-c", State::Running, &[(label::ID, "b-c"), (label::PREFIX, "a")]),
        portless,
        container("c", "a-bc", State::Running, &[]),
        container("d", "xa-b-z", State::Running, &[]),
        container("e", "a-b-x", State::Running, &[(label::ID, "x"), (label::PREFIX, "a-b")]),
    ]);
    let all = rig.backend.list(&Call::new()).unwrap();
    let told: Vec<_> = all.iter().map(|info| (info.sandbox_id.as_str(), info.sandbox_url.as_str())).collect();
    assert_eq!(told, [("x", "http://127.0.0.1:40999"), ("y", "")]);
    assert_eq!(rig.engine.world().lists, 1);
    assert!(all.iter().all(|info| info.auth.is_none()));
}

#[test]
fn what_is_in_use_is_kept_and_idle_time_begins_when_a_reaper_first_sees_it() {
    let rig = Rig::new(json!({}));
    let call = Call::new();
    rig.backend.create(&call, &wanted("x")).unwrap();
    assert_eq!(reasons(&rig.backend.reap(&call, &NOW).unwrap()), ["in use"]);

    // An owner that was killed leaves a free lease that says "in use".
    let session = rig.session();
    rig.backend.release(&call, &target("x")).unwrap();
    let mut lease = session.home().lease(&call, "sandport-x").unwrap();
    lease.mark_used().unwrap();
    drop(lease);
    let hour = ReapRequest { idle: Duration::from_secs(3600), ..NOW };
    let dry = ReapRequest { dry_run: true, ..hour.clone() };
    for asked in [&dry, &dry, &hour] {
        assert_eq!(reasons(&rig.backend.reap(&call, asked).unwrap()), ["owner gone, idle clock started"]);
    }
    assert_eq!(reasons(&rig.backend.reap(&call, &hour).unwrap()), ["not idle long enough"]);
    let answer = rig.backend.reap(&call, &ReapRequest { dry_run: true, ..NOW }).unwrap();
    assert_eq!((answer["reaped"][0].as_str(), rig.engine.world().containers.len()), (Some("x"), 1));
    assert_eq!(rig.backend.reap(&call, &NOW).unwrap()["reaped"][0], "x");
    assert!(rig.engine.world().containers.is_empty());
    assert_eq!(rig.lock_files(), Vec::<String>::new());
}

#[test]
fn a_reaper_leaves_what_is_foreign_renamed_or_busy_and_takes_what_was_never_started() {
    let rig = Rig::new(json!({}));
    let session = rig.session();
    let domain = session.home().domain();
    let labels = |id, domain| [(label::ID, id), (label::PREFIX, "sandport"), (label::DOMAIN, domain)];
    let lost = [
        (label::ID, "lost"),
        (label::PREFIX, "sandport"),
        (label::DOMAIN, "d"),
        (label::HOME, "/no/such/home"),
    ];
    rig.engine.world().containers.extend([
        container("a", "sandport-f", State::Running, &labels("f", "another")),
        container("b", "renamed", State::Running, &labels("r", domain)),
        container("c", "sandport-b", State::Running, &labels("b", domain)),
        container("d", "sandport-n", State::Created, &labels("n", domain)),
        container("e", "sandport-lost", State::Running, &lost),
        container("f", "sandport-else", State::Running, &[]),
    ]);
    let _busy = session.home().hold_name(&Call::new(), "sandport-b").unwrap();
    let answer =
        rig.backend.reap(&Call::new(), &ReapRequest { idle: Duration::from_secs(60), ..NOW }).unwrap();
    assert_eq!(reasons(&answer), ["foreign", "renamed", "busy", "foreign"]);
    assert_eq!(answer["reaped"], json!(["n"]));
    let answer = rig.backend.reap(&Call::new(), &ReapRequest { include_lost: true, ..NOW }).unwrap();
    assert_eq!(answer["reaped"], json!(["lost"]));
    assert_eq!(rig.engine.world().containers.len(), 4);
}

#[test]
fn a_reaper_sweeps_the_leases_of_what_is_gone() {
    let rig = Rig::new(json!({}));
    rig.backend.create(&Call::new(), &wanted("x")).unwrap();
    rig.backend.release(&Call::new(), &target("x")).unwrap();
    rig.engine.world().containers.clear();
    assert_eq!(rig.lock_files(), ["sandport-x.lock"]);
    rig.backend.reap(&Call::new(), &ReapRequest { dry_run: true, ..NOW }).unwrap();
    assert_eq!(rig.lock_files(), ["sandport-x.lock"], "a dry run changes nothing");
    rig.backend.reap(&Call::new(), &NOW).unwrap();
    assert_eq!(rig.lock_files(), Vec::<String>::new());
}

#[test]
fn a_discover_that_finds_nothing_leaves_no_file_and_keeps_the_idle_clock() {
    let rig = Rig::new(json!({"discover_timeout_seconds": 0}));
    let call = Call::new();
    assert!(rig.backend.discover(&call, &target("x")).unwrap().is_none());
    assert_eq!(rig.lock_files(), Vec::<String>::new());
    rig.backend.create(&call, &wanted("x")).unwrap();
    rig.backend.release(&call, &target("x")).unwrap();
    let idle = || rig.session().home().lease_alone("sandport-x").unwrap().unwrap().idle();
    assert!(idle().is_some());
    // Nothing listens on its port.
    assert!(rig.backend.discover(&call, &target("x")).unwrap().is_none());
    assert!(idle().is_some(), "the clock goes on");
    assert!(rig.session().inspect(&call, Which::Name("sandport-x")).unwrap().is_some());
}

#[test]
fn a_home_that_can_be_reached_is_leased_too_and_its_reaper_sees_it() {
    let rig = Rig::new(json!({}));
    let call = Call::new();
    rig.backend.create(&call, &wanted("x")).unwrap();
    rig.backend.release(&call, &target("x")).unwrap();
    let elsewhere = rig.folder.with_extension("elsewhere");
    let peer = fake::backend(&rig.engine, &elsewhere, json!({}));
    let adopted = peer.create(&call, &wanted("x")).unwrap();
    assert_eq!((adopted.created, adopted.leased), (Some(false), Some(true)));
    assert_eq!(reasons(&rig.backend.reap(&call, &NOW).unwrap()), ["in use"]);
    assert_eq!(reasons(&peer.reap(&call, &NOW).unwrap()), ["foreign"]);
    drop(peer);
    assert_eq!(rig.backend.reap(&call, &NOW).unwrap()["reaped"], json!(["x"]));
    std::fs::remove_dir_all(elsewhere).unwrap();
}

#[test]
fn a_port_is_free_again_whichever_backend_of_the_process_ended_its_sandbox() {
    let settings = json!({"base_port": 27500, "port_count": 1});
    let rig = Rig::new(settings.clone());
    let other = fake::backend(&rig.engine, &rig.folder, settings);
    rig.backend.create(&Call::new(), &wanted("x")).unwrap();
    assert!(
        other.destroy(&Call::new(), &DestroyRequest { target: target("x"), stop_timeout: None }).unwrap()
    );
    assert!(other.create(&Call::new(), &wanted("y")).is_ok());
    rig.engine.world().containers.clear();
    assert!(
        rig.backend.create(&Call::new(), &wanted("z")).is_ok(),
        "what another backend made is seen to be gone"
    );
}
