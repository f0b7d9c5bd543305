//! Mounts that are taken, and mounts that are refused.

use std::fs;
use std::os::unix::fs::symlink;
use std::sync::atomic::{AtomicU32, Ordering};

use super::*;
use crate::json::LIMIT;

/// A folder that goes when the test ends; its path is canonical.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Folder {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("sandport-mounts-{}-{number}", std::process::id()));
        fs::create_dir_all(path.join("a/b")).unwrap();
        fs::create_dir_all(path.join("state/inner")).unwrap();
        fs::create_dir_all(path.join("engine/data")).unwrap();
        Folder(path.canonicalize().unwrap())
    }

    fn at(&self, path: &str) -> String {
        self.0.join(path).to_str().unwrap().to_owned()
    }

    fn rules(&self) -> Rules {
        Rules {
            paths_are_ours: true,
            data_root: Some(self.0.join("engine/data")),
            state_dir: self.0.join("state"),
            sockets: vec![self.0.join("engine/engine.socket")],
        }
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn mount(source: &str, target: &str, read_only: bool) -> MountRequest {
    MountRequest { host_path: source.into(), container_path: target.into(), read_only }
}

fn extra(source: &str, rules: &Rules) -> Result<Vec<runtime::Mount>> {
    judge(&[], &[mount(source, "/t", true)], rules)
}

fn parsed(mounts: &str) -> Result<Vec<MountRequest>> {
    read(&mut Fields::parse(&format!("{{\"mounts\": {mounts}}}"), LIMIT)?, "mounts")
}

#[test]
fn a_mount_is_read_with_its_defaults() {
    let read = parsed(
        r#"[{"host_path": "/a/b/", "container_path": "/c"}, {"host_path": "/d", "container_path": "/e", "read_only": true}]"#,
    );
    assert_eq!(read.unwrap(), [mount("/a/b", "/c", false), mount("/d", "/e", true)]);
    assert!(parsed("[]").unwrap().is_empty());
}

#[test]
fn a_mount_of_bad_form_is_refused_by_its_field_and_never_by_its_value() {
    for (text, message) in [
        (r#"{"container_path": "/c"}"#, "`mounts[0].host_path` is missing"),
        (r#"{"host_path": "/a"}"#, "`mounts[0].container_path` is missing"),
        (
            r#"{"host_path": "secret", "container_path": "/c"}"#,
            "`mounts[0].host_path` is not an absolute path",
        ),
        (
            r#"{"host_path": "/secret/../x", "container_path": "/c"}"#,
            "`mounts[0].host_path` has an empty part, `.` or `..` in it",
        ),
        (
            r#"{"host_path": "/secret//x", "container_path": "/c"}"#,
            "`mounts[0].host_path` has an empty part, `.` or `..` in it",
        ),
        (r#"{"host_path": "/a\u0000", "container_path": "/c"}"#, "`mounts[0].host_path` has a NUL character"),
        (
            r#"{"host_path": "/a", "container_path": "c"}"#,
            "`mounts[0].container_path` is not an absolute path",
        ),
        (
            r#"{"host_path": "/a", "container_path": "/c/../d"}"#,
            "`mounts[0].container_path` has an empty part, `.` or `..` in it",
        ),
        (
            r#"{"host_path": "/a", "container_path": "//"}"#,
            "`mounts[0].container_path` has an empty part, `.` or `..` in it",
        ),
        (
            r#"{"host_path": "/a", "container_path": "/c", "read_only": 1}"#,
            "`mounts[0].read_only` is not true or false",
        ),
        (
            r#"{"host_path": "/a", "container_path": "/c", "readonly": true}"#,
            "`mounts[0].readonly` is an unknown field",
        ),
        (r#""/a:/b""#, "`mounts[0]` is not an object"),
    ] {
        let error = parsed(&format!("[{text}]")).unwrap_err();
        assert_eq!((error.code(), error.message()), (Code::InvalidArgument, message));
        assert!(!error.to_string().contains("secret"));
    }
    for target in ["/", "/proc", "/sys", "/dev", "/dev/"] {
        let error = parsed(&format!(r#"[{{"host_path": "/a", "container_path": "{target}"}}]"#)).unwrap_err();
        assert!(error.message().starts_with("`mounts[0].container_path` would hide"), "{target}");
    }
    let twice = parsed(
        r#"[{"host_path": "/a", "container_path": "/c"}, {"host_path": "/b", "container_path": "/c/"}]"#,
    );
    assert_eq!(twice.unwrap_err().message(), "`mounts[1].container_path` is another mount's too");
}

#[test]
fn sources_are_sent_as_what_they_really_are() {
    let folder = Folder::new();
    symlink(folder.at("a/b"), folder.at("link")).unwrap();
    let judged = extra(&folder.at("link"), &folder.rules()).unwrap();
    assert_eq!(
        judged,
        [runtime::Mount { source: folder.0.join("a/b"), target: "/t".into(), read_only: true }]
    );
}

#[test]
fn a_missing_source_is_refused_and_nothing_is_made() {
    let folder = Folder::new();
    symlink(folder.at("nowhere"), folder.at("dangling")).unwrap();
    for path in ["missing", "missing/deeper", "dangling"] {
        let error = judge(&[mount(&folder.at(path), "/t", false)], &[], &folder.rules()).unwrap_err();
        assert_eq!(
            (error.code(), error.message()),
            (Code::InvalidArgument, "`mounts[0].host_path` does not exist")
        );
        assert!(!error.to_string().contains("missing"));
    }
    assert!(!Path::new(&folder.at("missing")).exists());
}

#[test]
fn places_of_power_are_denied_to_requests_above_and_below() {
    let folder = Folder::new();
    let rules = folder.rules();
    let mut denied: Vec<String> = [
        "/",
        "/proc",
        "/proc/1",
        "/sys",
        "/sys/fs",
        "/dev",
        "/dev/null",
        "/var",
        "/var/lib",
        "/run",
        "/var/run/docker.sock",
    ]
    .map(str::to_owned)
    .into();
    denied.extend(
        ["/var/lib/docker", "/var/lib/docker/x", "/var/lib/containers/y", "/var/lib/containerd"]
            .map(str::to_owned),
    );
    denied.extend(
        ["", "state", "state/inner", "state/none", "engine", "engine/data", "engine/engine.socket"]
            .map(|path| folder.at(path)),
    );
    denied.push("/home/somebody/docker.sock".into());
    for path in &denied {
        let path = if path.len() > 1 { path.trim_end_matches('/') } else { path };
        let error = extra(path, &rules).unwrap_err();
        assert_eq!(
            (error.code(), error.message()),
            (Code::Denied, "`extra_mounts[0].host_path` is a place that no request may mount"),
            "{path}"
        );
        // By its text alone where the path is the engine's own.
        let elsewhere = Rules { paths_are_ours: false, ..rules.clone() };
        assert_eq!(extra(path, &elsewhere).unwrap_err().code(), Code::Denied, "{path}");
    }
    // What only begins with the same letters is another place.
    fs::create_dir(folder.at("state-of-mine")).unwrap();
    assert!(extra(&folder.at("state-of-mine"), &rules).is_ok());
}

#[test]
fn a_link_into_a_denied_place_is_denied() {
    let folder = Folder::new();
    for (name, to) in [
        ("l1", folder.at("state/inner")),
        ("l2", "/".into()),
        ("l3", "/proc/self".into()),
        ("l4", folder.at("")),
    ] {
        symlink(to.trim_end_matches('/').to_owned() + if to == "/" { "/" } else { "" }, folder.at(name))
            .unwrap();
        assert_eq!(extra(&folder.at(name), &folder.rules()).unwrap_err().code(), Code::Denied, "{name}");
    }
    // The denied place itself may be reached by a link.
    symlink(folder.at("state"), folder.at("other-name")).unwrap();
    let rules = Rules { state_dir: folder.0.join("other-name"), ..folder.rules() };
    assert_eq!(extra(&folder.at("state/inner"), &rules).unwrap_err().code(), Code::Denied);
}

#[test]
fn config_mounts_are_the_operators_word() {
    let folder = Folder::new();
    assert!(
        judge(
            &[mount(&folder.at("state"), "/s", true), mount("/proc/self", "/p", true)],
            &[],
            &folder.rules()
        )
        .is_ok()
    );
}

#[test]
fn sources_do_not_nest_under_a_writable_one() {
    let folder = Folder::new();
    let (outer, inner) = (folder.at("a"), folder.at("a/b"));
    for (first, second, fits) in [
        (mount(&outer, "/1", false), mount(&inner, "/2", true), false),
        (mount(&inner, "/1", true), mount(&outer, "/2", false), false),
        (mount(&outer, "/1", true), mount(&inner, "/2", false), true),
        (mount(&outer, "/1", false), mount(&outer, "/2", true), true),
    ] {
        for rules in [folder.rules(), Rules { paths_are_ours: false, ..folder.rules() }] {
            let both = [first.clone(), second.clone()];
            assert_eq!(judge(&both, &[], &rules).is_ok(), fits, "{both:?}");
            assert_eq!(judge(&both[..1], &both[1..], &rules).is_ok(), fits, "{both:?}");
        }
    }
    // A link does not hide the nesting.
    symlink(&inner, folder.at("link")).unwrap();
    let error =
        judge(&[mount(&outer, "/1", false)], &[mount(&folder.at("link"), "/2", true)], &folder.rules())
            .unwrap_err();
    assert!(error.message().starts_with("`extra_mounts[0].host_path` lies in or around"));
}

#[test]
fn a_request_cannot_take_a_config_mounts_target() {
    let folder = Folder::new();
    let error = judge(
        &[mount(&folder.at("a"), "/t", true)],
        &[mount(&folder.at("a/b"), "/t", true)],
        &folder.rules(),
    );
    assert_eq!(error.unwrap_err().message(), "`extra_mounts[0].container_path` is another mount's too");
}

#[test]
fn the_engines_own_paths_are_taken_by_their_text() {
    let folder = Folder::new();
    let rules = Rules { paths_are_ours: false, ..folder.rules() };
    let judged = extra("/not/here", &rules).unwrap();
    assert_eq!(judged[0].source, Path::new("/not/here"));
}
