//! Making and adopting.

use std::time::Instant;

use super::*;
use crate::runtime::{Refusal, State};
use crate::sandbox::label;

#[test]
fn what_is_made_bears_all_our_labels_and_is_adopted_by_the_next() {
    let rig = Rig::new(json!({}));
    let made = rig.backend.create(&Call::new(), &wanted("x")).unwrap();
    assert_eq!((made.created, made.spec_matches, made.leased), (Some(true), Some(true), Some(true)));
    assert_eq!(made.isolation, Some("isolated"));
    let labels = rig.engine.world().containers[0].labels.clone();
    for name in [label::ID, label::PREFIX, label::SPEC, label::DOMAIN, label::HOME, label::VERSION] {
        assert!(labels.contains_key(name), "{name}");
    }
    let other = CreateRequest { image: Some("other".into()), ..wanted("x") };
    let adopted = rig.backend.create(&Call::new(), &other).unwrap();
    assert_eq!(adopted.container_id, made.container_id);
    assert_eq!((adopted.created, adopted.spec_matches), (Some(false), Some(false)));
}

#[test]
fn a_refused_port_is_skipped_with_all_that_the_engine_publishes() {
    let rig = Rig::new(json!({"base_port": 27100, "port_count": 5}));
    let mut published = container("a", "somebody", State::Running, &[]);
    published.published.get_mut(&8080).unwrap()[0].port = 27101;
    rig.engine.world().containers.push(published);
    rig.engine.world().at_start.push_back(Refusal::PortInUse(refused("port")));
    let made = rig.backend.create(&Call::new(), &wanted("x")).unwrap();
    assert_eq!(made.sandbox_url, "http://127.0.0.1:27102");
    let world = rig.engine.world();
    assert_eq!(world.tried_ports, [27100, 27102]);
    assert_eq!((world.lists, world.removed.len()), (1, 1));
}

#[test]
fn ten_refused_ports_are_enough_and_nothing_stays() {
    let rig = Rig::new(json!({"base_port": 27200}));
    rig.engine.world().at_start.extend((0..20).map(|_| Refusal::PortInUse(refused("port"))));
    assert!(rig.backend.create(&Call::new(), &wanted("x")).is_err());
    let world = rig.engine.world();
    assert_eq!((world.tried_ports.len(), world.containers.len()), (10, 0));
    drop(world);
    assert_eq!(rig.lock_files(), Vec::<String>::new());
}

#[test]
fn a_missing_image_is_brought_once_with_nothing_held() {
    let rig = Rig::new(json!({}));
    rig.engine.world().at_create.push_back(Refusal::NoImage(Error::new(Code::ImageNotFound, "image")));
    assert!(rig.backend.create(&Call::new(), &wanted("x")).is_ok());
    assert_eq!(rig.engine.world().pulls, 1);
    let missing = || Refusal::NoImage(Error::new(Code::ImageNotFound, "image"));
    rig.engine.world().at_create.extend([missing(), missing()]);
    let error = rig.backend.create(&Call::new(), &wanted("y")).unwrap_err();
    assert_eq!(error.code(), Code::ImageNotFound);
    assert_eq!(rig.engine.world().pulls, 2);
}

#[test]
fn images_are_brought_each_time_or_never_as_the_config_says() {
    let always = Rig::new(json!({"pull": "always"}));
    always.backend.create(&Call::new(), &wanted("x")).unwrap();
    always.backend.create(&Call::new(), &wanted("x")).unwrap();
    assert_eq!(always.engine.world().pulls, 1, "adopting needs no image");
    let never = Rig::new(json!({"pull": "never"}));
    never.engine.world().at_create.push_back(Refusal::NoImage(Error::new(Code::ImageNotFound, "image")));
    assert_eq!(never.backend.create(&Call::new(), &wanted("x")).unwrap_err().code(), Code::ImageNotFound);
    assert_eq!(never.engine.world().pulls, 0);
}

#[test]
fn a_call_cancelled_while_the_engine_creates_leaves_nothing() {
    let rig = Rig::new(json!({}));
    let call = Call::new();
    rig.engine.world().cancel_at_create = Some(call.clone());
    let error = rig.backend.create(&call, &wanted("x")).unwrap_err();
    assert_eq!(error.code(), Code::Cancelled);
    assert!(rig.engine.world().containers.is_empty());
    assert_eq!(rig.lock_files(), Vec::<String>::new());
}

#[test]
fn a_container_that_vanishes_before_its_start_is_made_again() {
    let rig = Rig::new(json!({}));
    rig.engine.world().at_start.push_back(Refusal::Gone(refused("gone")));
    assert_eq!(rig.backend.create(&Call::new(), &wanted("x")).unwrap().created, Some(true));
    rig.engine.world().at_create.extend((0..50).map(|_| Refusal::Gone(refused("gone"))));
    assert!(rig.backend.create(&Call::new(), &wanted("y")).is_err());
    assert_eq!(rig.engine.world().at_create.len(), 39, "it looks again ten times");
}

#[test]
fn an_ended_one_is_waited_for_and_our_residue_is_cleared_away() {
    let rig = Rig::new(json!({}));
    let mut leaving = container("a", "sandport-x", State::Exited, &[]);
    leaving.auto_remove = true;
    rig.engine.world().containers.push(leaving);
    rig.engine.world().at_inspect.extend([
        Box::new(|_: &mut fake::World| {}) as fake::Change,
        Box::new(|_| {}),
        Box::new(|world| world.containers.clear()),
    ]);
    assert_eq!(rig.backend.create(&Call::new(), &wanted("x")).unwrap().created, Some(true));
    assert!(rig.engine.world().removed.is_empty());

    let session = rig.session();
    let ours = [(label::ID, "y"), (label::PREFIX, "sandport"), (label::DOMAIN, session.home().domain())];
    rig.engine.world().containers.push(container("b", "sandport-y", State::Created, &ours));
    assert_eq!(rig.backend.create(&Call::new(), &wanted("y")).unwrap().created, Some(true));
    assert_eq!(rig.engine.world().removed, ["b".repeat(64)]);
}

#[test]
fn what_a_peer_has_made_and_not_started_is_waited_for_and_adopted() {
    let rig = Rig::new(json!({}));
    let theirs =
        [(label::ID, "x"), (label::PREFIX, "sandport"), (label::DOMAIN, "d"), (label::HOME, "/nowhere")];
    rig.engine.world().containers.push(container("a", "sandport-x", State::Created, &theirs));
    rig.engine.world().at_inspect.extend([
        Box::new(|_: &mut fake::World| {}) as fake::Change,
        Box::new(|_| {}),
        Box::new(|world| world.containers[0].state = State::Running),
    ]);
    let adopted = rig.backend.create(&Call::new(), &wanted("x")).unwrap();
    assert_eq!((adopted.created, adopted.leased), (Some(false), Some(false)));
    assert_eq!(adopted.spec_matches, None, "another state directory's key is not known");
    assert_eq!(adopted.warnings.len(), 1);
    assert!(rig.engine.world().removed.is_empty());
}

#[test]
fn what_is_not_ours_is_never_removed() {
    let rig = Rig::new(json!({}));
    let labels = [(label::ID, "b-c"), (label::PREFIX, "a")];
    for (state, labels) in [(State::Exited, &[][..]), (State::Created, &[]), (State::Running, &labels)] {
        rig.engine.world().containers = vec![container("a", "sandport-x", state, labels)];
        let error = rig.backend.create(&Call::new(), &wanted("x")).unwrap_err();
        assert_eq!(error.code(), Code::NameConflict);
    }
    let mut portless = container("a", "sandport-x", State::Running, &[]);
    portless.published.clear();
    rig.engine.world().containers = vec![portless];
    let error = rig.backend.create(&Call::new(), &wanted("x")).unwrap_err();
    assert_eq!((error.code(), error.phase()), (Code::NameConflict, Some(crate::Phase::Ready)));
    assert!(rig.engine.world().removed.is_empty() && rig.engine.world().stopped.is_empty());
    assert_eq!(rig.lock_files(), Vec::<String>::new());
}

#[test]
fn a_name_that_somebody_holds_is_waited_for_no_longer_than_the_limit() {
    let rig = Rig::new(json!({"call_timeout_seconds": 0.05}));
    let session = rig.session();
    let held = session.home().hold_name(&Call::new(), "sandport-x").unwrap();
    let begun = Instant::now();
    let error = rig.backend.create(&Call::new(), &wanted("x")).unwrap_err();
    assert_eq!((error.code(), error.is_retryable()), (Code::Timeout, true));
    assert!(begun.elapsed() < Duration::from_secs(2));
    drop(held);
    assert!(rig.backend.create(&Call::new(), &wanted("x")).is_ok());
}

#[test]
fn an_error_of_the_engine_never_repeats_a_value_of_the_environment() {
    let rig = Rig::new(json!({"environment": {"TOKEN": "of-the-config"}}));
    let said = "runc: TOKEN=of-the-config PASSWORD=of-the-request";
    rig.engine.world().at_start.push_back(Refusal::Failed(refused(said)));
    let environment = [("PASSWORD".to_owned(), "of-the-request".to_owned())].into();
    let error = rig.backend.create(&Call::new(), &CreateRequest { environment, ..wanted("x") }).unwrap_err();
    assert_eq!(error.message(), "runc: TOKEN=[redacted] PASSWORD=[redacted]");
}
