//! Many processes, one machine: nothing raced, nothing leaked, nothing killed that lives.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::child::Peer;
use crate::rig::{IMAGE, Rig, docker, docker_try, eventually, heavy, port};

fn kept(answer: &Value) -> Vec<(String, String)> {
    let word = |one: &Value, name: &str| one[name].as_str().unwrap_or_default().to_owned();
    answer["kept"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| (word(one, "sandbox_id"), word(one, "reason")))
        .collect()
}

#[test]
fn sixteen_creators_of_one_id_in_threads_and_processes_make_one_container() {
    let _alone = heavy();
    let rig = Rig::new();
    let mut peers: Vec<Peer> = (0..4).map(|_| Peer::start(&rig.config(json!({})))).collect();
    let backend = rig.open();
    let mut answers: Vec<Value> = std::thread::scope(|scope| {
        let threads: Vec<_> =
            (0..12).map(|_| scope.spawn(|| backend.create(json!({"sandbox_id": "one"})).unwrap())).collect();
        for peer in &mut peers {
            peer.tell("create", &json!({"sandbox_id": "one"}));
        }
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    answers.extend(peers.iter_mut().map(|peer| peer.hear().unwrap()));
    let ids: HashSet<_> = answers.iter().map(|answer| answer["container_id"].to_string()).collect();
    let made = answers.iter().filter(|answer| answer["created"] == true).count();
    println!("16 creators of one id: {} container, made {made} time", ids.len());
    assert_eq!((ids.len(), made), (1, 1));
    peers.into_iter().for_each(Peer::end);
    backend.destroy(json!({"sandbox_id": "one"})).unwrap();
    rig.assert_clean();
}

#[test]
fn processes_that_create_from_one_base_port_never_share_a_port() {
    let _alone = heavy();
    let rig = Rig::new();
    // `make soak` sets how many each process creates, and has twice the processes.
    let many = std::env::var("SANDPORT_TEST_CREATES").ok().map(|each| each.parse().expect("a number"));
    let (processes, each) = many.map_or((4, 5), |each| (8, each));
    let mut peers: Vec<Peer> = (0..processes).map(|_| Peer::start(&rig.config(json!({})))).collect();
    let backend = rig.open();
    let (mut ports, mut made) = (HashSet::new(), 0);
    for round in 0..each {
        for (number, peer) in peers.iter_mut().enumerate() {
            peer.tell(
                "create",
                &json!({"sandbox_id": format!("p{number}-{round}"), "ready_timeout_seconds": 0}),
            );
        }
        for peer in &mut peers {
            assert!(ports.insert(port(&peer.hear().unwrap())), "two have one port");
            made += 1;
        }
        // Before the ports are used up, they are given back, and used again.
        if ports.len() + processes > 24 || round + 1 == each {
            for one in backend.list().unwrap() {
                assert!(backend.destroy(json!({"sandbox": one})).unwrap());
            }
            ports.clear();
        }
    }
    println!("{processes} processes x {each} creates: 0 failures, {made} made, no port twice at once");
    // The makers still hold the leases of what is gone; they end with them.
    peers.into_iter().for_each(Peer::end);
    backend.reap(json!({"idle_seconds": 0})).unwrap();
    rig.assert_clean();
}

#[test]
fn a_sandbox_that_a_peer_of_another_state_directory_uses_is_never_reaped() {
    let rig = Rig::new();
    let maker = rig.open();
    let other_state = rig.folder().join("other-state");
    maker.create(json!({"sandbox_id": "a"})).unwrap();
    let mut user = Peer::start(&rig.config(json!({"state_dir": other_state})));
    let found = user.ask("discover", &json!({"sandbox_id": "a"})).unwrap();
    assert_eq!(found["sandbox"]["leased"], true);
    assert!(maker.release(json!({"sandbox_id": "a"})).unwrap());
    let answer = maker.reap(json!({"idle_seconds": 0})).unwrap();
    assert_eq!(kept(&answer), [("a".to_owned(), "in use".to_owned())]);
    user.kill();
    let answer = maker.reap(json!({"idle_seconds": 0})).unwrap();
    assert_eq!(answer["reaped"], json!(["a"]));
    rig.assert_clean();
}

#[test]
fn an_adopter_whose_lease_the_makers_reaper_cannot_see_is_told() {
    let rig = Rig::new();
    let maker = rig.open();
    maker.create(json!({"sandbox_id": "a"})).unwrap();
    let home =
        docker(&["inspect", "--format", "{{index .Config.Labels \"dev.sandport.home\"}}", &rig.name("a")]);
    // Somebody else's folder cannot be made here as root; one that holds another domain is as unreachable.
    let hidden = format!("{home}-hidden");
    std::fs::rename(&home, &hidden).unwrap();
    let other = rig.open_with(json!({"state_dir": rig.folder().join("other-state")}));
    let found = other.discover(json!({"sandbox_id": "a"})).unwrap();
    assert_eq!(found["leased"], false);
    assert!(
        found["warnings"]
            .as_array()
            .unwrap()
            .iter()
            .any(|one| one.as_str().unwrap().contains("state directory"))
    );
    let listed = other.reap(json!({"idle_seconds": 0})).unwrap();
    assert_eq!(kept(&listed), [("a".to_owned(), "foreign".to_owned())]);
    std::fs::rename(&hidden, &home).unwrap();
    maker.destroy(json!({"sandbox_id": "a"})).unwrap();
}

#[test]
fn a_container_that_an_unseen_peer_is_starting_is_awaited_and_adopted() {
    let rig = Rig::new();
    let publish = format!("127.0.0.1:{}:8080", rig.base_port + 39);
    let label = |name: &str, value: &str| format!("dev.sandport.{name}={value}");
    let id = docker(&[
        "create",
        "--rm",
        "--name",
        &rig.name("a"),
        "-p",
        &publish,
        "--label",
        &label("id", "a"),
        "--label",
        &label("prefix", &rig.prefix),
        "--label",
        &label("domain", "0123456789abcdef0123456789abcdef"),
        "--label",
        &label("home", "/no/such/home"),
        IMAGE,
    ]);
    let backend = rig.open();
    let answer = std::thread::scope(|scope| {
        let create = scope.spawn(|| backend.create(json!({"sandbox_id": "a"})));
        std::thread::sleep(Duration::from_millis(300)); // the length of the peer's pause, not a wait for something
        docker(&["start", &id]);
        create.join().unwrap().unwrap()
    });
    assert_eq!(answer["container_id"], id);
    assert_eq!((answer["created"].clone(), answer["leased"].clone()), (json!(false), json!(false)));
}

#[test]
fn after_a_creator_was_killed_anywhere_the_next_create_works_and_nothing_is_left() {
    let rig = Rig::new();
    for pause in [1, 3, 20, 100, 250] {
        let mut victim = Peer::start(&rig.config(json!({})));
        victim.tell("create", &json!({"sandbox_id": "a"}));
        std::thread::sleep(Duration::from_millis(pause)); // when it is killed, not a wait for something
        victim.kill();
        let backend = rig.open();
        let begun = Instant::now();
        backend.create(json!({"sandbox_id": "a"})).unwrap();
        println!("killed after {pause} ms: the next create took {:.0?}", begun.elapsed());
        assert!(begun.elapsed() < Duration::from_secs(20), "2 s is what is asked, tenfold is allowed");
        assert_eq!(rig.containers().len(), 1);
        assert!(backend.destroy(json!({"sandbox_id": "a"})).unwrap());
        drop(backend);
        rig.assert_clean();
    }
}

#[test]
fn a_killed_owners_sandbox_gets_its_idle_time_whatever_the_files_times_say() {
    let rig = Rig::new();
    let mut owner = Peer::start(&rig.config(json!({})));
    owner.ask("create", &json!({"sandbox_id": "a"})).unwrap();
    let backend = rig.open();
    let reap = |idle: u32, dry: bool| backend.reap(json!({"idle_seconds": idle, "dry_run": dry})).unwrap();
    assert_eq!(kept(&reap(0, false)), [("a".to_owned(), "in use".to_owned())]);
    owner.kill();
    for file in rig.lock_files() {
        let status = std::process::Command::new("touch")
            .args(["-d", "3 hours ago"])
            .arg(rig.state_dir().join(file))
            .status();
        assert!(status.unwrap().success());
    }
    for dry in [true, false, false] {
        assert!(reap(600, dry)["reaped"].as_array().unwrap().is_empty());
    }
    assert!(backend.is_alive(json!({"sandbox_id": "a"})).unwrap());
    assert_eq!(reap(0, true)["reaped"], json!(["a"]));
    assert!(backend.is_alive(json!({"sandbox_id": "a"})).unwrap(), "a dry run changes nothing");
    assert_eq!(reap(0, false)["reaped"], json!(["a"]));
    rig.assert_clean();
}

#[test]
fn each_creator_waits_on_its_own_budget_and_what_a_peer_uses_survives() {
    let rig = Rig::new();
    let slow = json!({"SANDBOX_START_DELAY_MS": "3000"});
    let mut patient = Peer::start(&rig.config(json!({})));
    patient.tell("create", &json!({"sandbox_id": "a", "environment": slow, "ready_timeout_seconds": 20}));
    eventually("the patient one has started it", || rig.containers() == [rig.name("a")]);
    let hasty = rig.open();
    let begun = Instant::now();
    let error = hasty
        .create(json!({"sandbox_id": "a", "environment": slow, "ready_timeout_seconds": 0.5}))
        .unwrap_err();
    assert_eq!(error["code"], "not_ready");
    println!("the hasty one gave up after {:.0?}", begun.elapsed());
    assert_eq!(patient.hear().unwrap()["created"], true);
    assert!(hasty.is_alive(json!({"sandbox_id": "a"})).unwrap());
    patient.ask("destroy", &json!({"sandbox_id": "a"})).unwrap();

    // The other way round: the maker gives up first, and the adopter keeps it.
    let mut maker = Peer::start(&rig.config(json!({})));
    maker.tell("create", &json!({"sandbox_id": "b", "environment": slow, "ready_timeout_seconds": 1.5}));
    eventually("the maker has started it", || rig.containers().contains(&rig.name("b")));
    let adopted = hasty.create(json!({"sandbox_id": "b", "environment": slow, "ready_timeout_seconds": 20}));
    assert_eq!(maker.hear().unwrap_err()["code"], "not_ready");
    assert_eq!(adopted.unwrap()["created"], false);
    assert!(hasty.destroy(json!({"sandbox_id": "b"})).unwrap());
    patient.end();
    maker.end();
    rig.assert_clean();
}

#[test]
fn a_container_that_was_just_killed_never_stands_in_the_way() {
    let rig = Rig::new();
    let backend = rig.open();
    let mut seen = HashSet::new();
    for _ in 0..6 {
        let info = backend.create(json!({"sandbox_id": "a"})).unwrap();
        assert!(seen.insert(info["container_id"].to_string()), "a new one each time");
        docker_try(&["kill", info["container_id"].as_str().unwrap()]).ok();
        let new = backend.create(json!({"sandbox_id": "a"})).unwrap();
        assert_ne!(new["container_id"], info["container_id"]);
        assert!(
            !backend.destroy(json!({"sandbox": info})).unwrap(),
            "the old info does not mean the new one"
        );
        assert!(backend.is_alive(json!({"sandbox_id": "a"})).unwrap());
        assert!(backend.destroy(json!({"sandbox": new})).unwrap());
    }
    rig.assert_clean();
}

#[test]
fn residue_of_a_killed_creator_is_reaped_and_made_anew() {
    let rig = Rig::new();
    let backend = rig.open();
    backend.create(json!({"sandbox_id": "a"})).unwrap();
    let inspect = |what: &str| docker(&["inspect", "--format", what, &rig.name("a")]);
    let labels: Vec<String> = ["id", "prefix", "domain", "home", "spec", "version"]
        .iter()
        .map(|name| {
            let value = inspect(&format!("{{{{index .Config.Labels \"dev.sandport.{name}\"}}}}"));
            format!("dev.sandport.{name}={}", if *name == "id" { "left" } else { &value })
        })
        .collect();
    let mut arguments = vec!["create".to_owned(), "--name".into(), rig.name("left")];
    labels.iter().for_each(|label| arguments.extend(["--label".to_owned(), label.clone()]));
    arguments.push(IMAGE.into());
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    docker(&arguments);
    let answer = backend.reap(json!({"idle_seconds": 3600})).unwrap();
    assert_eq!(answer["reaped"], json!(["left"]));
    docker(&arguments);
    assert_eq!(backend.create(json!({"sandbox_id": "left"})).unwrap()["created"], true);
    for id in ["a", "left"] {
        assert!(backend.destroy(json!({"sandbox_id": id})).unwrap());
    }
    rig.assert_clean();
}
