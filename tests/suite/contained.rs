//! The host itself in a container that has the engine's socket mounted.

use std::io::Write;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::rig::{IMAGE, Rig};

/// Runs this program as a peer in a container of the engine, with these calls; its answers, the open answer first.
fn contained(rig: &Rig, config: &Value, shared: bool, calls: &[Value]) -> Vec<Value> {
    let mut mounts = vec!["/run/docker.sock:/run/docker.sock".to_owned()];
    mounts.push(format!("{}:/suite:ro", std::env::current_exe().unwrap().display()));
    mounts.extend(["/lib", "/lib64", "/usr/lib"].map(|folder| format!("{folder}:{folder}:ro")));
    if shared {
        mounts.push(format!("{0}:{0}", rig.state_dir().display()));
    }
    let mut child = Command::new("docker")
        .args(["run", "-i", "--rm", "--network", "host", "--name", &rig.name("the-host")])
        .args(mounts.iter().flat_map(|mount| ["-v", mount]))
        .args(["-e", &format!("SANDPORT_TEST_CHILD={config}"), IMAGE])
        .args(["/suite", "--exact", "child::the_other_process", "--nocapture", "--test-threads=1"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    calls.iter().for_each(|call| writeln!(stdin, "{call}").unwrap());
    drop(stdin);
    let output = child.wait_with_output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{text}");
    text.lines()
        .filter_map(|line| line.split_once("peer> "))
        .map(|(_, answer)| serde_json::from_str(answer).unwrap())
        .collect()
}

#[test]
fn a_host_in_a_container_makes_sandboxes_whose_mounts_are_the_engines() {
    for shared in [true, false] {
        let rig = Rig::new();
        let data = rig.folder().join("data");
        std::fs::create_dir_all(&data).unwrap();
        std::fs::create_dir_all(rig.state_dir()).unwrap();
        std::fs::set_permissions(rig.state_dir(), std::os::unix::fs::PermissionsExt::from_mode(0o700))
            .unwrap();
        std::fs::write(data.join("note"), "hello").unwrap();
        let state = if shared { rig.state_dir() } else { "/tmp/sandport-of-its-own".into() };
        let more = json!({"runtime": "docker", "endpoint": "unix:///run/docker.sock", "mount_paths": "auto"});
        let mut config = rig.config(more.clone());
        config["state_dir"] = json!(state);
        // The folder is the engine's; in the host's own container there is none of this name.
        let mounts = json!([{"host_path": data, "container_path": "/data"}]);
        let create = json!(["create", {"sandbox_id": "a", "extra_mounts": mounts}]);
        let answers = contained(&rig, &config, shared, &[create]);
        assert_eq!(answers[1]["ok"]["created"], true, "{answers:?}");

        let outside = rig.open_with(more);
        let found = outside.discover(json!({"sandbox_id": "a"})).unwrap();
        assert_eq!(found["container_id"], answers[1]["ok"]["container_id"]);
        assert_eq!(found["leased"], shared, "leases are shared with the state directory: {found}");
        assert_eq!(outside.shell("a", "cat /data/note"), "hello");
        assert!(outside.destroy(json!({"sandbox_id": "a"})).unwrap());
        drop(outside);
        rig.open().reap(json!({"idle_seconds": 0})).unwrap();
        rig.assert_clean();
    }
}
