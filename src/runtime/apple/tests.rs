//! Drives the stand-in `tests/apple/container`, which prints what the real one's sources print.

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Instant;

use super::*;
use crate::runtime::{Confinement, Limits, Network, Published, State};

struct NoLock;

impl NetworkLock for NoLock {
    fn hold(&self, _: &Call) -> Result<Box<dyn std::any::Any>> {
        Ok(Box::new(()))
    }
}

/// A stand-in with a state of its own; what it runs ends with it.
struct Stand {
    folder: PathBuf,
    apple: Apple,
}

impl Stand {
    fn new() -> Stand {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let folder = std::env::temp_dir().join(format!("sandport-standin-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join("images"), "sandbox:1\n").unwrap();
        let program = folder.join("container");
        let real = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/apple/container");
        std::os::unix::fs::symlink(real, &program).unwrap();
        Stand { folder, apple: Apple { program, call_timeout: Duration::from_secs(30) } }
    }

    fn make(&self, spec: &ContainerSpec) -> Result<Made, Refusal> {
        self.apple.create(&Call::new(), spec, &NoLock)
    }

    fn state(&self, name: &str) -> Option<State> {
        self.apple.inspect(&Call::new(), Which::Name(name)).unwrap().map(|one| one.state)
    }
}

impl Drop for Stand {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// A spec on a port that was free a moment ago.
fn spec(name: &str) -> ContainerSpec {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    ContainerSpec {
        name: name.to_owned(),
        image: "sandbox:1".to_owned(),
        command: Vec::new(),
        environment: BTreeMap::from([("TOKEN".to_owned(), "a very secret value".to_owned())]),
        labels: BTreeMap::from([(label::ID.to_owned(), "a".to_owned())]),
        mounts: Vec::new(),
        container_port: 8080,
        publish: Published { address: "127.0.0.1".parse().unwrap(), port },
        network: Network::Default,
        extra_hosts: Vec::new(),
        limits: Limits::default(),
        confinement: Confinement::default(),
        init: true,
        stop_timeout: Duration::from_secs(5),
    }
}

#[test]
fn a_container_lives_from_create_to_stop() {
    let stand = Stand::new();
    let call = Call::new();
    assert_eq!(stand.apple.ping(&call).unwrap().version.as_deref(), Some("1.0.0"));
    let spec = spec("sandport-a");
    let made = stand.make(&spec).unwrap();
    assert_eq!((made.id.as_str(), made.isolated), ("sandport-a", false));
    assert_eq!(stand.state("sandport-a"), Some(State::Created));
    stand.apple.start(&call, &made.id).unwrap();
    let one = stand.apple.inspect(&call, Which::Id(&made.id)).unwrap().unwrap();
    assert_eq!((one.state, one.published_at(8080)), (State::Running, Some(spec.publish)));
    assert_eq!(one.environment.as_deref(), Some(&["TOKEN=a very secret value".to_owned()][..]));
    let list = stand.apple.list(&call, false).unwrap();
    assert_eq!((list.len(), &list[0].environment), (1, &None));
    assert!(stand.apple.stop(&call, &made.id, Duration::from_secs(5)).unwrap());
    assert_eq!(stand.state("sandport-a"), None);
    assert!(!stand.apple.stop(&call, &made.id, Duration::ZERO).unwrap());
    assert!(!stand.apple.remove(&call, &made.id).unwrap());
}

#[test]
fn no_value_of_the_environment_stands_in_argv() {
    let stand = Stand::new();
    stand.make(&spec("sandport-a")).unwrap();
    let calls = std::fs::read_to_string(stand.folder.join("calls")).unwrap();
    assert!(calls.contains("\"--env\", \"TOKEN\""), "{calls}");
    assert!(!calls.contains("secret"), "{calls}");
}

#[test]
fn a_name_or_port_in_use_is_told_as_such() {
    let stand = Stand::new();
    let call = Call::new();
    let spec_a = spec("sandport-a");
    stand.make(&spec_a).unwrap();
    assert!(matches!(stand.make(&spec_a).unwrap_err(), Refusal::NameInUse(_)));
    let _holder = TcpListener::bind((spec_a.publish.address, spec_a.publish.port)).unwrap();
    assert!(matches!(stand.apple.start(&call, "sandport-a").unwrap_err(), Refusal::PortInUse(_)));
    // The name is free again, as with an engine that removes by itself.
    assert_eq!(stand.state("sandport-a"), None);
    assert!(matches!(stand.apple.start(&call, "sandport-a").unwrap_err(), Refusal::Gone(_)));
}

#[test]
fn an_image_is_pulled_only_when_it_is_asked_for() {
    let stand = Stand::new();
    let mut spec = spec("sandport-a");
    spec.image = "other:2".to_owned();
    assert!(matches!(stand.make(&spec).unwrap_err(), Refusal::NoImage(_)));
    stand.apple.pull(&Call::new(), "other:2").unwrap();
    stand.make(&spec).unwrap();
    let error = stand.apple.pull(&Call::new(), "missing:1").unwrap_err();
    assert_eq!(error.code(), Code::ImageNotFound);
}

#[test]
fn a_cancelled_pull_ends_at_once() {
    let stand = Stand::new();
    let call = Call::new();
    let (ended, waited) = std::thread::scope(|scope| {
        let pull = scope.spawn(|| stand.apple.pull(&call, "slow:1"));
        // Once it is in the list of calls the tool is running.
        while !std::fs::read_to_string(stand.folder.join("calls")).is_ok_and(|text| text.contains("slow:1")) {
            std::thread::sleep(Duration::from_millis(2));
        }
        let began = Instant::now();
        call.cancel();
        (pull.join().unwrap(), began.elapsed())
    });
    assert_eq!(ended.unwrap_err().code(), Code::Cancelled);
    assert!(waited < Duration::from_secs(1), "{waited:?}");
}

#[test]
fn services_that_are_down_are_named_with_the_fix() {
    let stand = Stand::new();
    std::fs::write(stand.folder.join("down"), "").unwrap();
    let call = Call::new();
    for error in [
        stand.apple.ping(&call).unwrap_err(),
        stand.apple.list(&call, true).unwrap_err(),
        stand.apple.inspect(&call, Which::Name("sandport-a")).unwrap_err(),
        stand.make(&spec("sandport-a")).unwrap_err().into_error(),
    ] {
        assert_eq!(error.code(), Code::RuntimeUnavailable);
        assert!(error.hint().contains("container system start"), "{error}");
    }
}

#[test]
fn a_version_before_1_is_refused_with_the_fix() {
    let stand = Stand::new();
    std::fs::write(stand.folder.join("version"), "0.12.3").unwrap();
    let error = stand.apple.ping(&Call::new()).unwrap_err();
    assert_eq!(error.code(), Code::Unsupported);
    assert!(error.hint().contains("upgrade"));
}

#[test]
fn an_option_that_it_does_not_know_is_unsupported() {
    let stand = Stand::new();
    let mut spec = spec("sandport-a");
    spec.confinement.cap_drop.push("ALL".to_owned());
    assert_eq!(stand.make(&spec).unwrap_err().into_error().code(), Code::Unsupported);
    assert_eq!(stand.state("sandport-a"), None);
}

#[test]
fn what_is_not_ours_is_stopped_and_stays() {
    let stand = Stand::new();
    let call = Call::new();
    let mut spec = spec("other-tool");
    spec.labels.clear();
    stand.make(&spec).unwrap();
    stand.apple.start(&call, "other-tool").unwrap();
    assert!(stand.apple.stop(&call, "other-tool", Duration::from_secs(5)).unwrap());
    assert_eq!(stand.state("other-tool"), Some(State::Exited));
    assert!(stand.apple.remove(&call, "other-tool").unwrap());
    assert_eq!(stand.state("other-tool"), None);
}

#[test]
fn a_sandbox_that_ends_is_seen_with_its_last_words() {
    let stand = Stand::new();
    std::fs::write(stand.folder.join("images"), "crash:1\n").unwrap();
    let call = Call::new();
    let mut spec = spec("sandport-a");
    spec.image = "crash:1".to_owned();
    stand.make(&spec).unwrap();
    let mut watch = stand.apple.watch(&call, "sandport-a").unwrap().unwrap();
    assert_eq!(watch.ended(), None);
    stand.apple.start(&call, "sandport-a").unwrap();
    let limit = Instant::now() + Duration::from_secs(20);
    let ended = loop {
        if let Some(ended) = watch.ended() {
            break ended;
        }
        assert!(Instant::now() < limit, "its end was not seen");
        std::thread::sleep(Duration::from_millis(5));
    };
    assert_eq!(ended.log, "could not start");
}

#[test]
fn nothing_that_the_tool_prints_makes_a_reader_panic() {
    crate::fuzz::hammer("apple", |bytes| {
        let _ = super::wire::containers(bytes);
        let text = String::from_utf8_lossy(bytes);
        let _ = super::wire::why(&text);
        let _ = super::wire::version(&text).and_then(super::wire::major);
    });
}
