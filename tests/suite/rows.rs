//! The promises of the system that this grew from, row by row.

use std::net::TcpListener;

use serde_json::json;

use crate::rig::{Backend, Rig, docker, docker_try, eventually, heavy, is_podman, port, runtime};

#[test]
fn the_runtime_is_found_and_told() {
    let rig = Rig::new();
    let (_backend, opened) = Backend::open(&rig.config(json!({"runtime": "auto"}))).unwrap();
    assert_eq!(opened["runtime"], runtime().as_str());
    // Podman has no switch for traffic between containers.
    assert_eq!(opened["isolation"], if is_podman() { "shared" } else { "isolated" });
    assert_eq!(opened["runtime_version"], docker(&["version", "--format", "{{.Server.Version}}"]));
    let features = opened["features"].as_array().unwrap();
    assert!(features.contains(&json!("create")) && features.contains(&json!("call_start")));
}

#[test]
fn any_process_finds_a_sandbox_by_its_deterministic_name() {
    let rig = Rig::new();
    let backend = rig.open();
    let made = backend.create(json!({"sandbox_id": "a-box"})).unwrap();
    assert_eq!(made["container_name"], rig.name("a-box"));
    let mut peer = crate::child::Peer::start(&rig.config(json!({})));
    let found = peer.ask("discover", &json!({"sandbox_id": "a-box"})).unwrap();
    assert_eq!(found["sandbox"]["container_id"], made["container_id"]);
    assert_eq!(found["sandbox"]["created"], false);
    peer.end();
    assert!(backend.destroy(json!({"sandbox_id": "a-box"})).unwrap());
    rig.assert_clean();
}

#[test]
fn a_thread_has_one_sandbox_id_and_no_thread_a_random_one() {
    let rig = Rig::new();
    let backend = rig.open();
    let made =
        backend.create(json!({"thread_id": "t1", "user_id": "u1", "ready_timeout_seconds": 0})).unwrap();
    // printf u1:t1 | sha256sum
    let sum = std::process::Command::new("sh")
        .args(["-c", "printf u1:t1 | sha256sum | cut -c1-16"])
        .output()
        .unwrap();
    assert_eq!(made["sandbox_id"], String::from_utf8(sum.stdout).unwrap().trim());
    let one = backend.create(json!({"ready_timeout_seconds": 0})).unwrap();
    assert_ne!(one["sandbox_id"], made["sandbox_id"]);
    assert_eq!(one["sandbox_id"].as_str().unwrap().len(), 32);
}

#[test]
fn ports_are_taken_once_skipped_when_bound_and_free_again_after_a_destroy() {
    let rig = Rig::new();
    let _bound = TcpListener::bind(("127.0.0.1", rig.base_port)).unwrap();
    let backend = rig.open_with(json!({"port_count": 2}));
    let first = backend.create(json!({"sandbox_id": "a"})).unwrap();
    assert_eq!(port(&first), rig.base_port + 1);
    let error = backend.create(json!({"sandbox_id": "b"})).unwrap_err();
    assert_eq!(error["code"], "port_exhausted");
    assert!(backend.destroy(json!({"sandbox_id": "a"})).unwrap());
    let again = backend.create(json!({"sandbox_id": "b"})).unwrap();
    assert_eq!(port(&again), rig.base_port + 1);
    backend.destroy(json!({"sandbox_id": "b"})).unwrap();
    rig.assert_clean();
}

#[test]
fn a_sandbox_that_somebody_else_removed_or_that_died_frees_its_port() {
    let rig = Rig::new();
    let backend = rig.open_with(json!({"port_count": 1}));
    let info = backend.create(json!({"sandbox_id": "a"})).unwrap();
    docker(&["rm", "-f", info["container_id"].as_str().unwrap()]);
    backend.create(json!({"sandbox_id": "b"})).unwrap();
    docker(&["kill", &rig.name("b")]);
    eventually("it is gone", || !backend.is_alive(json!({"sandbox_id": "b"})).unwrap());
    eventually("its name is free", || docker_try(&["inspect", &rig.name("b")]).is_err());
    backend.create(json!({"sandbox_id": "c"})).unwrap();
    backend.destroy(json!({"sandbox_id": "c"})).unwrap();
    // Its leases of what went by itself are kept until it closes, and collected by whoever reaps next.
    drop(backend);
    rig.open().reap(json!({"idle_seconds": 0})).unwrap();
    rig.assert_clean();
}

#[test]
fn the_engine_picks_a_port_where_that_is_asked() {
    let rig = Rig::new();
    let backend = rig.open_with(json!({"port_assignment": "engine"}));
    let info = backend.create(json!({"sandbox_id": "a"})).unwrap();
    assert!(port(&info) >= 32768);
    backend.destroy(json!({"sandbox_id": "a"})).unwrap();
    rig.assert_clean();
}

#[test]
fn a_container_is_started_as_the_config_and_the_request_say() {
    let rig = Rig::new();
    let (config_folder, own_folder) = (rig.folder().join("config"), rig.folder().join("own"));
    for folder in [&config_folder, &own_folder] {
        std::fs::create_dir(folder).unwrap();
        std::fs::write(folder.join("note"), "hello").unwrap();
    }
    let backend = rig.open_with(json!({
        "mounts": [{"host_path": config_folder, "container_path": "/config", "read_only": true}],
        "environment": {"FROM_CONFIG": "$$literal", "BOTH": "config"},
    }));
    backend
        .create(json!({
            "sandbox_id": "a",
            "extra_mounts": [{"host_path": own_folder, "container_path": "/own"}],
            "environment": {"FROM_REQUEST": "$HOME", "BOTH": "request"},
        }))
        .unwrap();
    assert_eq!(backend.shell("a", "echo $FROM_CONFIG,$FROM_REQUEST,$BOTH"), "$literal,$HOME,request");
    assert_eq!(
        backend.shell("a", "cat /config/note; touch /config/x 2>/dev/null || echo read-only"),
        "helloread-only"
    );
    assert_eq!(backend.shell("a", "echo changed > /own/note; cat /own/note"), "changed");
    let inspect = |what: &str| docker(&["inspect", "--format", what, &rig.name("a")]);
    assert_eq!(inspect("{{.HostConfig.AutoRemove}} {{.HostConfig.Init}}"), "true true");
    assert_eq!(inspect("{{.HostConfig.SecurityOpt}}"), "[seccomp=unconfined]");
    assert_eq!(inspect("{{.HostConfig.PidsLimit}}"), "4096");
    // Podman's engine log has a limit of another form, which its Docker-compatible answer does not repeat.
    if !is_podman() {
        assert_eq!(inspect("{{index .HostConfig.LogConfig.Config \"max-size\"}}"), "10485760");
    }
    assert_eq!(inspect("{{(index (index .NetworkSettings.Ports \"8080/tcp\") 0).HostIp}}"), "127.0.0.1");
    for label in ["id", "prefix", "spec", "domain", "home", "version"] {
        let value = inspect(&format!("{{{{index .Config.Labels \"dev.sandport.{label}\"}}}}"));
        assert!(!value.is_empty(), "the label {label}");
    }
    backend.destroy(json!({"sandbox_id": "a"})).unwrap();
    rig.assert_clean();
}

#[test]
fn a_port_that_the_engine_refuses_is_passed_over() {
    let rig = Rig::new();
    // The engine holds it on another address of ours, where our own probe sees nothing.
    let published = format!("127.0.0.2:{}:8080", rig.base_port);
    docker(&["run", "-d", "--rm", "--name", &rig.name("holder"), "-p", &published, crate::rig::IMAGE]);
    let backend = rig.open_with(json!({"bind_host": "0.0.0.0", "sandbox_host": "127.0.0.1"}));
    let info = backend.create(json!({"sandbox_id": "a"})).unwrap();
    assert_ne!(port(&info), rig.base_port);
    backend.destroy(json!({"sandbox_id": "a"})).unwrap();
}

#[test]
fn a_name_in_use_is_adopted_when_it_answers_and_a_conflict_when_it_never_will() {
    let rig = Rig::new();
    let backend = rig.open();
    let published = format!("127.0.0.1:{}:8080", rig.base_port + 30);
    docker(&["run", "-d", "--rm", "--name", &rig.name("stranger"), "-p", &published, crate::rig::IMAGE]);
    let adopted = backend.create(json!({"sandbox_id": "stranger"})).unwrap();
    assert_eq!((adopted["created"].clone(), adopted["leased"].clone()), (json!(false), json!(false)));
    assert_eq!(port(&adopted), rig.base_port + 30);
    docker(&["create", "--name", &rig.name("stopped"), crate::rig::IMAGE]);
    let error = backend.create(json!({"sandbox_id": "stopped"})).unwrap_err();
    assert_eq!(error["code"], "name_conflict");
    assert!(rig.containers().contains(&rig.name("stopped")), "a stranger's container is never removed");
}

#[test]
fn a_second_create_adopts_the_first_ones_and_tells_whether_it_is_the_same() {
    let rig = Rig::new();
    let backend = rig.open();
    let made = backend.create(json!({"sandbox_id": "a"})).unwrap();
    assert_eq!((made["created"].clone(), made["leased"].clone()), (json!(true), json!(true)));
    let same = backend.create(json!({"sandbox_id": "a"})).unwrap();
    assert_eq!((same["created"].clone(), same["spec_matches"].clone()), (json!(false), json!(true)));
    let other = backend.create(json!({"sandbox_id": "a", "environment": {"X": "1"}})).unwrap();
    assert_eq!(
        (other["container_id"].clone(), other["spec_matches"].clone()),
        (made["container_id"].clone(), json!(false))
    );
    backend.destroy(json!({"sandbox": made})).unwrap();
    rig.assert_clean();
}

#[test]
fn destroying_what_is_gone_is_no_error_and_is_alive_tells_dead_from_unknown() {
    let rig = Rig::new();
    let backend = rig.open();
    assert!(!backend.destroy(json!({"sandbox_id": "a"})).unwrap());
    backend.create(json!({"sandbox_id": "a"})).unwrap();
    assert!(backend.is_alive(json!({"sandbox_id": "a"})).unwrap());
    docker(&["pause", &rig.name("a")]);
    assert!(backend.is_alive(json!({"sandbox_id": "a"})).unwrap(), "paused is alive");
    docker(&["unpause", &rig.name("a")]);
    assert!(backend.destroy(json!({"sandbox_id": "a"})).unwrap());
    assert!(!backend.is_alive(json!({"sandbox_id": "a"})).unwrap());
    let deaf = rig.open_with(json!({"endpoint": "unix:///no/such/engine.sock"}));
    assert_eq!(deaf.is_alive(json!({"sandbox_id": "a"})).unwrap_err()["code"], "runtime_unavailable");
    rig.assert_clean();
}

#[test]
fn a_sandbox_that_ignores_sigterm_still_stops_at_once() {
    let rig = Rig::new();
    let backend = rig.open_with(json!({"stop_timeout_seconds": 2}));
    backend.create(json!({"sandbox_id": "a", "environment": {"SANDBOX_IGNORE_TERM": "1"}})).unwrap();
    assert!(backend.destroy(json!({"sandbox_id": "a"})).unwrap());
    rig.assert_clean();
}

#[test]
fn discover_wants_an_answer_and_null_means_that_the_engine_has_said_so() {
    let rig = Rig::new();
    let backend = rig.open_with(json!({"discover_timeout_seconds": 0.3}));
    assert!(backend.discover(json!({"sandbox_id": "a"})).unwrap().is_null());
    let late =
        json!({"sandbox_id": "a", "environment": {"SANDBOX_NEVER_ANSWER": "1"}, "ready_timeout_seconds": 0});
    backend.create(late).unwrap();
    assert!(backend.discover(json!({"sandbox_id": "a"})).unwrap().is_null());
    assert!(backend.is_alive(json!({"sandbox_id": "a"})).unwrap());
    backend.destroy(json!({"sandbox_id": "a"})).unwrap();
    rig.assert_clean();
}

#[test]
fn a_list_is_of_the_exact_prefix_and_has_those_without_a_port_too() {
    let _alone = heavy();
    let rig = Rig::new();
    let backend = rig.open();
    for id in ["a", "b"] {
        backend.create(json!({"sandbox_id": id, "ready_timeout_seconds": 0})).unwrap();
    }
    let longer = rig.open_with(json!({"container_prefix": format!("{}-more", rig.prefix)}));
    longer.create(json!({"sandbox_id": "c", "ready_timeout_seconds": 0})).unwrap();
    docker(&["run", "-d", "--rm", "--name", &rig.name("portless"), crate::rig::IMAGE]);
    let mut listed = backend.list().unwrap();
    listed.sort_by_key(|one| one["sandbox_id"].to_string());
    let ids: Vec<_> = listed.iter().map(|one| one["sandbox_id"].as_str().unwrap()).collect();
    assert_eq!(ids, ["a", "b", "portless"]);
    assert_eq!(listed[2]["sandbox_url"], "");
    assert!(listed[0]["created_at"].as_f64().unwrap() > 1.7e9);
    assert_eq!(longer.list().unwrap().len(), 1);
    longer.destroy(json!({"sandbox_id": "c"})).unwrap();
}

#[test]
fn a_container_of_two_possible_prefixes_belongs_to_its_labels() {
    let rig = Rig::new();
    let inner = rig.open_with(json!({"container_prefix": format!("{}-x", rig.prefix)}));
    let made = inner.create(json!({"sandbox_id": "y"})).unwrap();
    let outer = rig.open();
    let error = outer.create(json!({"sandbox_id": "x-y"})).unwrap_err();
    assert_eq!(error["code"], "name_conflict");
    assert_eq!(outer.discover(json!({"sandbox_id": "x-y"})).unwrap_err()["code"], "name_conflict");
    assert!(outer.list().unwrap().is_empty());
    assert!(inner.destroy(json!({"sandbox": made})).unwrap());
    rig.assert_clean();
}

#[test]
fn a_sandbox_that_dies_says_so_at_once_with_its_last_words() {
    let rig = Rig::new();
    let backend = rig.open();
    // Within its start, and while its answer is awaited.
    for pause in ["", "sleep 0.3;"] {
        let script = format!("{pause} printf 'no \\033[31mway\\n'; exit 7");
        let error = backend.create(json!({"sandbox_id": "a", "command": ["sh", "-c", script]})).unwrap_err();
        assert_eq!(error["code"], "sandbox_exited");
        assert_eq!(error["details"]["exit_code"], 7);
        // Podman tells no event when memory runs out, so it is not known there.
        assert_eq!(error["details"]["oom_killed"], if is_podman() { json!(null) } else { json!(false) });
        let log = error["details"]["log"].as_str().unwrap();
        assert!(log.contains("no ") && log.contains("way") && !log.contains('\u{1b}'), "{log}");
    }
    rig.assert_clean();
}

#[test]
fn a_sandbox_that_never_answers_is_removed_and_not_ready() {
    let rig = Rig::new();
    let backend = rig.open();
    let request = json!({"sandbox_id": "a", "environment": {"SANDBOX_NEVER_ANSWER": "1"}, "ready_timeout_seconds": 0.3});
    let error = backend.create(request).unwrap_err();
    assert_eq!(error["code"], "not_ready");
    assert_eq!(error["phase"], "ready");
    rig.assert_clean();
}

#[test]
fn values_of_the_environment_reach_no_error() {
    let rig = Rig::new();
    let backend = rig.open_with(json!({"environment": {"TOKEN": "s3cr3t-value"}}));
    let script = "echo my token is $TOKEN and $MORE; exit 1";
    let request =
        json!({"sandbox_id": "a", "command": ["sh", "-c", script], "environment": {"MORE": "0ther-secret"}});
    let error = backend.create(request).unwrap_err().to_string();
    assert!(error.contains("my token is"), "{error}");
    assert!(!error.contains("s3cr3t-value") && !error.contains("0ther-secret"), "{error}");
    rig.assert_clean();
}

#[test]
fn a_source_that_is_swapped_for_another_between_check_and_start_is_denied() {
    let rig = Rig::new();
    let (own, secret) = (rig.folder().join("own"), rig.folder().join("secret"));
    std::fs::create_dir_all(own.join("data")).unwrap();
    std::fs::create_dir_all(&secret).unwrap();
    let pause = rig.folder().join("pause");
    let trial = [("SANDPORT_TRIAL_STOP", "create:made"), ("SANDPORT_TRIAL_FILE", pause.to_str().unwrap())];
    let mut peer = crate::child::Peer::start_with(&rig.config(json!({})), &trial);
    let mounts = json!([{"host_path": own.join("data"), "container_path": "/data"}]);
    peer.tell("create", &json!({"sandbox_id": "a", "extra_mounts": mounts}));
    eventually("it is made and not started", || pause.exists());
    std::fs::remove_dir(own.join("data")).unwrap();
    std::os::unix::fs::symlink(&secret, own.join("data")).unwrap();
    std::fs::remove_file(&pause).unwrap();
    let error = peer.hear().unwrap_err();
    assert_eq!((error["code"].clone(), error["phase"].clone()), (json!("denied"), json!("start")), "{error}");
    peer.end();
    rig.assert_clean();
}
