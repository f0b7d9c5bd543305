//! Pulls from a real registry on loopback: progress, a slow one that is cancelled, and what is not there.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::rig::{Rig, docker, docker_try, eventually, heavy};
use crate::started::{CREATE, Started};

/// Debian's docker-registry on a port of its own; ended with the value.
struct Registry {
    child: Child,
    port: u16,
}

impl Registry {
    fn start(folder: &Path) -> Registry {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let config = folder.join("registry.yml");
        let text = format!(
            "version: 0.1\nstorage:\n  filesystem:\n    rootdirectory: {}\nhttp:\n  addr: 127.0.0.1:{port}\n",
            folder.join("registry").display()
        );
        std::fs::write(&config, text).unwrap();
        let child = Command::new("docker-registry")
            .arg("serve")
            .arg(&config)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("docker-registry is there: run scripts/setup test");
        let registry = Registry { child, port };
        eventually("the registry listens", || TcpStream::connect(("127.0.0.1", port)).is_ok());
        registry
    }

    /// Brings an image with a layer that no engine has yet, and takes it out of the engine again.
    fn push(&self, rig: &Rig, tag: &str) -> String {
        let root = rig.folder().join("root");
        let script = format!(
            "cp -a {}/target/image/root {root} && dd if=/dev/urandom of={root}/ballast bs=1M count=4 2>/dev/null && \
             tar -C {root} -c . | docker import --change 'CMD [\"/bin/sandbox\"]' --change 'ENV PATH=/bin' - {image}",
            env!("CARGO_MANIFEST_DIR"),
            root = root.display(),
            image = self.image(tag),
        );
        let made = Command::new("sh").args(["-c", &script]).stdout(Stdio::null()).status().unwrap();
        assert!(made.success());
        docker(&["push", &self.image(tag)]);
        docker(&["rmi", &self.image(tag)]);
        self.image(tag)
    }

    fn image(&self, tag: &str) -> String {
        format!("localhost:{}/box:{tag}", self.port)
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// A door in front of a registry through which answers drip; its port.
fn slow_door(registry: u16, stop: Arc<AtomicBool>) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for client in listener.incoming().flatten() {
            if stop.load(Ordering::Relaxed) {
                return;
            }
            let server = TcpStream::connect(("127.0.0.1", registry)).unwrap();
            let (mut up_from, mut up_to) = (client.try_clone().unwrap(), server.try_clone().unwrap());
            std::thread::spawn(move || std::io::copy(&mut up_from, &mut up_to));
            let stop = stop.clone();
            std::thread::spawn(move || {
                let (mut from, mut to) = (server, client);
                let mut bytes = [0; 4096];
                while let Ok(count @ 1..) = from.read(&mut bytes) {
                    if to.write_all(&bytes[..count]).is_err() || stop.load(Ordering::Relaxed) {
                        return;
                    }
                    std::thread::sleep(Duration::from_millis(20)); // the pace of a slow line
                }
            });
        }
    });
    port
}

#[test]
fn a_pull_says_how_far_it_is_and_what_is_not_there_is_said() {
    let _alone = heavy();
    let rig = Rig::new();
    let registry = Registry::start(rig.folder());
    let image = registry.push(&rig, "one");
    let backend = rig.open();
    let never = rig.open_with(json!({"pull": "never"}));
    let ask = |image: &str| json!({"sandbox_id": "a", "image": image});
    assert_eq!(never.create(ask(&image)).unwrap_err()["code"], "image_not_found");
    assert_eq!(backend.create(ask(&registry.image("none"))).unwrap_err()["code"], "image_not_found");
    let info = backend.create(ask(&image)).unwrap();
    assert!(info["timings"]["pull"].as_f64().unwrap() > 0.0);
    assert!(backend.destroy(json!({"sandbox": info})).unwrap());
    // It is here now: the registry may go.
    drop(registry);
    let again = backend.create(ask(&image)).unwrap();
    assert_eq!(again["timings"]["pull"], 0.0);
    assert!(backend.destroy(json!({"sandbox": again})).unwrap());
    let always = rig.open_with(json!({"pull": "always"}));
    assert_eq!(always.create(ask(&image)).unwrap_err()["phase"], "pull");
    docker_try(&["rmi", "-f", &image]).ok();
    rig.assert_clean();
}

#[test]
fn a_pull_through_a_slow_line_shows_its_bytes_and_wakes_when_it_is_cancelled() {
    let _alone = heavy();
    let rig = Rig::new();
    let registry = Registry::start(rig.folder());
    registry.push(&rig, "slow");
    let stop = Arc::new(AtomicBool::new(false));
    let slow = format!("localhost:{}/box:slow", slow_door(registry.port, stop.clone()));
    let backend = rig.open();
    let call = Started::new(&backend, CREATE, &json!({"sandbox_id": "a", "image": slow}));
    let mut seen = Value::Null;
    eventually("bytes have come", || {
        seen = call.progress();
        seen["pull"]["bytes_done"].as_u64().is_some_and(|bytes| bytes > 0)
    });
    assert_eq!(seen["phase"], "pull");
    assert!(seen["pull"]["layers_total"].as_u64().unwrap() >= 1, "{seen}");
    let begun = Instant::now();
    call.cancel();
    assert_eq!(call.result().unwrap_err()["code"], "cancelled");
    println!("{}; it woke {:.1?} after its cancellation", seen["pull"], begun.elapsed());
    assert!(begun.elapsed() < Duration::from_secs(1), "100 ms is what is promised, tenfold is allowed");
    stop.store(true, Ordering::Relaxed);
    docker_try(&["rmi", "-f", &slow]).ok();
    drop((call, backend));
    rig.assert_clean();
}
