//! Names, hashes and what is told of a sandbox.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::time::Duration;

use super::*;
use crate::runtime::{Confinement, ContainerSpec, Limits, Mount, Network, Published, Seccomp};

fn spec() -> ContainerSpec {
    ContainerSpec {
        name: "sandport-a".into(),
        image: "alpine".into(),
        command: vec!["sleep".into(), "9".into()],
        environment: BTreeMap::from([("A".into(), "1".into()), ("B".into(), "2".into())]),
        labels: BTreeMap::new(),
        mounts: vec![
            Mount { source: "/x".into(), target: "/1".into(), read_only: false },
            Mount { source: "/y".into(), target: "/2".into(), read_only: true },
        ],
        container_port: 8080,
        publish: Published { address: Ipv4Addr::LOCALHOST.into(), port: 0 },
        network: Network::Isolated { required: false },
        extra_hosts: Vec::new(),
        limits: Limits { pids: 4096, log_bytes: 10 << 20, ..Limits::default() },
        confinement: Confinement { cap_drop: vec!["A".into(), "B".into()], ..Confinement::default() },
        init: true,
        stop_timeout: Duration::from_secs(10),
    }
}

#[test]
fn a_name_has_at_most_63_bytes() {
    assert_eq!(container_name("a", "b-c"), "a-b-c");
    assert!(check_name("sandport", &"x".repeat(54)).is_ok());
    let error = check_name("sandport", &"x".repeat(55)).unwrap_err();
    assert_eq!(
        (error.code(), error.hint()),
        (Code::InvalidArgument, "use at most 54 bytes with this prefix")
    );
    assert!(!is_sandbox_id(&"x".repeat(62)));
}

#[test]
fn only_a_whole_id_names_a_container() {
    assert!(is_container_id(&"0123456789abcdef".repeat(4)));
    for bad in [
        "",
        "d3",
        &"a".repeat(63),
        &"a".repeat(65),
        &"A".repeat(64),
        &"g".repeat(64),
        &format!("{}/", "a".repeat(63)),
    ] {
        assert!(!is_container_id(bad), "{bad}");
    }
}

#[test]
fn the_id_of_a_thread_is_the_same_everywhere() {
    // As `printf u:t | sha256sum` says.
    assert_eq!(id_of_thread("u", "t"), "50f438d7b441d038");
    assert_eq!(id_of_thread("", "abc"), "6e850a0e91c14c7d");
    assert_ne!(id_of_thread("a", "b"), id_of_thread("", "b"));
    assert!(is_sandbox_id(&id_of_thread("u", "t")));
}

#[test]
fn random_ids_differ() {
    let all: BTreeSet<_> = (0..100).map(|_| random_id().unwrap()).collect();
    assert_eq!(all.len(), 100);
    assert!(all.iter().all(|id| id.len() == 32 && is_sandbox_id(id)));
}

#[test]
fn the_hash_changes_with_every_part_that_a_sandbox_is_made_from() {
    let changes: [fn(&mut ContainerSpec); 20] = [
        |_| (),
        |spec| spec.image.push('x'),
        |spec| spec.command = vec!["sleep 9".into()],
        |spec| spec.mounts[0].source = "/z".into(),
        |spec| spec.mounts[0].target = "/3".into(),
        |spec| spec.mounts[0].read_only = true,
        |spec| drop(spec.environment.insert("A".into(), "12".into())),
        |spec| spec.environment = BTreeMap::from([("A".into(), "1\",\"B\":\"2".into())]),
        |spec| spec.container_port = 80,
        |spec| spec.network = Network::Default,
        |spec| spec.network = Network::Named("isolated".into()),
        |spec| spec.limits.memory_bytes = Some(1),
        |spec| spec.limits.cpus = Some(1.0),
        |spec| spec.limits.pids = 1,
        |spec| spec.confinement.seccomp = Seccomp::Default,
        |spec| spec.confinement.seccomp = Seccomp::Profile("default".into()),
        |spec| spec.confinement.no_new_privileges = true,
        |spec| spec.confinement.cap_drop = Vec::new(),
        |spec| spec.confinement.user = Some("1000".into()),
        |spec| spec.confinement.read_only_rootfs = true,
    ];
    let hashes: BTreeSet<_> = changes
        .iter()
        .map(|change| {
            let mut changed = spec();
            change(&mut changed);
            spec_hash(&[7; 32], &changed)
        })
        .collect();
    assert_eq!(hashes.len(), changes.len());
    assert!(hashes.iter().all(|hash| is_container_id(hash)));
}

#[test]
fn the_hash_heeds_the_key_and_no_order_or_place() {
    let hash = spec_hash(&[7; 32], &spec());
    assert_ne!(hash, spec_hash(&[8; 32], &spec()));
    let mut same = spec();
    same.mounts.reverse();
    same.confinement.cap_drop.reverse();
    same.publish.port = 9;
    same.name.push('x');
    same.network = Network::Isolated { required: true };
    same.labels.insert("a".into(), "b".into());
    assert_eq!(hash, spec_hash(&[7; 32], &same));
}

fn info() -> SandboxInfo {
    SandboxInfo {
        sandbox_id: "demo".into(),
        sandbox_url: "http://127.0.0.1:8080".into(),
        container_name: "sandport-demo".into(),
        container_id: "ab".repeat(32),
        created_at: 1_783_887_915.5,
        runtime: Kind::Podman,
        state: State::Paused,
        created: Some(true),
        spec_matches: Some(false),
        leased: Some(true),
        isolation: Some("isolated"),
        timings: Some(Timings { lock: 0.5, pull: 1.0, create: 2.0, start: 3.0, ready: 4.0 }),
        auth: Some(Auth { header: "x-api-key".into(), value: "secret".into() }),
        warnings: vec!["careful".into()],
    }
}

#[test]
fn what_is_told_of_a_sandbox_reads_back_the_same() {
    assert_eq!(SandboxInfo::from_json(&info().to_json()).unwrap(), info());
    let unknown = SandboxInfo {
        created: None,
        spec_matches: None,
        leased: None,
        isolation: None,
        timings: None,
        auth: None,
        warnings: Vec::new(),
        ..info()
    };
    assert_eq!(SandboxInfo::from_json(&unknown.to_json()).unwrap(), unknown);
}

#[test]
fn the_json_has_exactly_the_fields_of_the_contract() {
    let json = info().to_json();
    let mut names: Vec<_> = json.as_object().unwrap().keys().map(String::as_str).collect();
    let contract = "sandbox_id sandbox_url container_name container_id created_at runtime state created spec_matches \
                    leased isolation timings auth warnings";
    let mut wanted: Vec<_> = contract.split_whitespace().collect();
    names.sort_unstable();
    wanted.sort_unstable();
    assert_eq!(names, wanted);
    assert_eq!(json["auth"], json!({"header": "x-api-key", "value": "secret"}));
    assert_eq!((json["runtime"].as_str(), json["state"].as_str()), (Some("podman"), Some("paused")));
}

#[test]
fn a_newer_librarys_info_can_be_read() {
    let mut json = info().to_json();
    json["novelty"] = json!({"deep": [1]});
    json["state"] = json!("dreaming");
    json["isolation"] = json!("levitating");
    json["timings"] = json!("fast");
    let read = SandboxInfo::from_json(&json).unwrap();
    assert_eq!((read.state, read.isolation, read.timings), (State::Unknown, None, None));
}

#[test]
fn what_is_no_info_is_refused() {
    for bad in [json!({}), json!([]), json!(null), json!({"sandbox_id": "A"}), json!({"sandbox_id": 5})] {
        assert_eq!(SandboxInfo::from_json(&bad).unwrap_err().code(), Code::InvalidArgument);
    }
    let error = SandboxInfo::from_json(&json!({"sandbox_id": "a", "runtime": "kubernetes"})).unwrap_err();
    assert_eq!(error.code(), Code::Unsupported);
}

#[test]
fn a_key_is_not_shown_by_debug() {
    assert!(!format!("{:?}", info()).contains("secret"));
}
