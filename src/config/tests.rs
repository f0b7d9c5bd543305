//! Configs that are taken, and configs that are refused.

use std::ffi::OsString;

use serde_json::{Value, json};

use super::*;
use crate::error::{Code, Error};
use crate::runtime::Seccomp;

fn with(text: &str, variables: &[(&str, &str)]) -> Result<Config> {
    let lookup = |name: &str| {
        variables.iter().find(|(known, _)| *known == name).map(|(_, value)| OsString::from(value))
    };
    read::config(text, &lookup)
}

fn config(value: Value) -> Config {
    with(&value.to_string(), &[]).unwrap()
}

fn refusal(value: &Value) -> Error {
    with(&value.to_string(), &[]).unwrap_err()
}

#[test]
fn an_empty_config_has_the_defaults_of_the_contract() {
    let config = config(json!({}));
    let seconds = Duration::from_secs;
    assert_eq!(
        config,
        Config {
            image: "ghcr.io/agent-infra/sandbox:latest".into(),
            runtime: RuntimeChoice::Auto,
            endpoint: None,
            container_prefix: "sandport".into(),
            container_port: 8080,
            base_port: 8080,
            port_count: 1000,
            port_assignment: PortAssignment::Range,
            mounts: Vec::new(),
            mount_paths: MountPaths::Auto,
            environment: BTreeMap::new(),
            sandbox_host: "127.0.0.1".into(),
            bind_host: "127.0.0.1".parse().unwrap(),
            health: Health { path: "/v1/sandbox".into(), headers: Vec::new() },
            auth: None,
            ready_timeout: seconds(60),
            discover_timeout: seconds(5),
            stop_timeout: seconds(10),
            init: None,
            pull: Pull::Missing,
            resources: Limits { pids: 4096, log_bytes: 10 << 20, ..Limits::default() },
            security: Confinement::default(),
            network: Network::Isolated { required: false },
            extra_hosts: Vec::new(),
            labels: BTreeMap::new(),
            state_dir: None,
            call_timeout: seconds(30),
            warnings: Vec::new(),
        }
    );
    assert_eq!(config.security.seccomp, Seccomp::Unconfined);
    assert!(config.sandbox_is_local());
}

#[test]
fn every_field_is_read() {
    let config = config(json!({
        "image": "alpine:3", "runtime": "podman", "endpoint": "unix:///run/x.sock", "container_prefix": "a_b.C",
        "container_port": 80, "base_port": 9000, "port_count": 10, "port_assignment": "engine",
        "mounts": [{"host_path": "/a", "container_path": "/b", "read_only": true}], "mount_paths": "engine",
        "environment": {"A": "b"}, "sandbox_host": "host.docker.internal", "bind_host": "::1",
        "health": {"path": "/ok?x=1", "headers": {"X-A": "b"}},
        "auth": {"environment": "AIO_API_KEY", "header": "X-API-Key", "prefix": "Bearer "},
        "ready_timeout_seconds": 1.5, "discover_timeout_seconds": 0, "stop_timeout_seconds": 0, "init": false,
        "pull": "never", "resources": {"memory_bytes": 1048576, "cpus": 0.5, "pids": 9, "shm_bytes": 2, "log_bytes": 3},
        "security": {"seccomp": "default", "no_new_privileges": true, "cap_drop": ["ALL"], "cap_add": ["NET_ADMIN"],
            "read_only_rootfs": true, "user": "1000:_group", "selinux": "disable"},
        "network": "mine", "extra_hosts": ["db:10.0.0.1", "host.docker.internal:host-gateway", "six:::1"],
        "labels": {"team": "x"}, "state_dir": "/tmp/s/", "call_timeout_seconds": 2,
    }));
    assert_eq!(
        (config.runtime, config.endpoint.as_deref()),
        (RuntimeChoice::Podman, Some("unix:///run/x.sock"))
    );
    assert_eq!((config.container_port, config.base_port, config.port_count), (80, 9000, 10));
    assert_eq!((config.port_assignment, config.mount_paths), (PortAssignment::Engine, MountPaths::Engine));
    assert_eq!(
        (config.sandbox_host.as_str(), config.bind_host.to_string().as_str()),
        ("host.docker.internal", "::1")
    );
    assert_eq!(config.health, Health { path: "/ok?x=1".into(), headers: vec![("X-A".into(), "b".into())] });
    let auth = config.auth.unwrap();
    assert_eq!((auth.header.as_str(), auth.prefix.as_str()), ("x-api-key", "Bearer "));
    assert_eq!(
        (config.ready_timeout, config.discover_timeout),
        (Duration::from_millis(1500), Duration::ZERO)
    );
    assert_eq!(
        (config.init, config.pull, config.network),
        (Some(false), Pull::Never, Network::Named("mine".into()))
    );
    let limits = Limits {
        memory_bytes: Some(1 << 20),
        no_swap: false,
        cpus: Some(0.5),
        pids: 9,
        shm_bytes: Some(2),
        log_bytes: 3,
    };
    assert_eq!(config.resources, limits);
    let security = config.security;
    assert!(security.no_new_privileges && security.read_only_rootfs && security.selinux_disabled);
    assert_eq!((security.cap_drop, security.user.as_deref()), (vec!["ALL".to_owned()], Some("1000:_group")));
    assert_eq!(config.state_dir.unwrap(), std::path::Path::new("/tmp/s"));
    assert_eq!((config.mounts.len(), config.extra_hosts.len(), config.labels.len()), (1, 3, 1));
}

#[test]
fn bad_values_are_refused_by_the_field_and_never_repeated() {
    for (field, bads) in [
        ("image", json!(["", "-secret", "sec ret", "secret\n", 5, ["secret"]])),
        ("endpoint", json!(["", "unix:///a b", "x\ny", 1])),
        ("container_prefix", json!(["", "-secret", "sec/ret", "secret:", "\u{e9}", "s".repeat(62)])),
        ("container_port", json!([0, 65536, -1, 1.5, "8080", 1e300])),
        ("base_port", json!([0, 65536, "secret"])),
        ("port_count", json!([0, 65536, 60000, -3])),
        ("port_assignment", json!(["secret", 1, ""])),
        ("mounts", json!([{}, "secret", ["secret"], [{"host_path": "secret", "container_path": "/x"}]])),
        ("mount_paths", json!(["secret", true])),
        (
            "environment",
            json!([[], {"A=B": "secret"}, {"1A": "secret"}, {"A": 5}, {"A": "sec\u{0}ret"}, {"A": "$NOT_SET_ANYWHERE"}]),
        ),
        ("sandbox_host", json!(["", "http://secret", "secret/x", "user@secret", "secret:80", "127.1"])),
        ("bind_host", json!(["", "secret", "127.0.0.1:80", "1.2.3", 7])),
        (
            "health",
            json!(["/secret", {"path": "secret"}, {"path": "//secret"}, {"path": "/sec ret"}, {"headers": {"Host": "secret"}},
            {"headers": {"A": "sec\r\nret"}}, {"headers": {"A": "secret", "a": "secret"}}, {"headers": ["secret"]}, {"pth": "/secret"}]),
        ),
        (
            "auth",
            json!(["secret", {}, {"environment": "A"}, {"header": "a"}, {"environment": "1", "header": "a"},
            {"environment": "A", "header": "host"}, {"environment": "A", "header": "a b"},
            {"environment": "A", "header": "a", "prefix": "sec\nret"}, {"environment": "A", "header": "a", "key": "secret"}]),
        ),
        ("ready_timeout_seconds", json!([-1, 31536001, "5", 1e300, true])),
        ("discover_timeout_seconds", json!([-0.1, []])),
        ("stop_timeout_seconds", json!([1e17, {}])),
        ("call_timeout_seconds", json!([0, -1, "secret"])),
        ("init", json!([1, "true"])),
        ("pull", json!(["secret", false])),
        (
            "resources",
            json!(["secret", {"memory_bytes": 0}, {"memory_bytes": -1}, {"memory_bytes": 1.5}, {"memory_bytes": 1e300},
            {"memory_bytes": "secret"}, {"cpus": 0}, {"cpus": -1}, {"cpus": 1e9}, {"cpus": "secret"}, {"pids": 0}, {"pids": -1},
            {"shm_bytes": 0}, {"log_bytes": 0}, {"disk_bytes": 5}]),
        ),
        (
            "security",
            json!([true, {"seccomp": "secret"}, {"seccomp": "/nonexistent/secret"}, {"seccomp": "/dev/null"}, {"seccomp": "/"},
            {"no_new_privileges": 1}, {"cap_drop": "ALL"}, {"cap_add": ["sec ret"]}, {"cap_add": [""]}, {"user": ""}, {"user": "a:b:c"},
            {"user": "a:"}, {"user": "-secret"}, {"selinux": "secret"}, {"privileged": true}]),
        ),
        ("network", json!(["host", "none", "container:secret", "ns:/secret", "", "-secret", "sec ret", 1])),
        ("extra_hosts", json!(["secret", ["secret"], ["a:secret"], [":1.2.3.4"], ["a b:1.2.3.4"], [5]])),
        (
            "labels",
            json!([["secret"], {"dev.sandport.id": "secret"}, {"DEV.sandport.X": "secret"}, {"": "secret"}, {"a": 5}, {"a=b": "secret"}]),
        ),
        ("state_dir", json!(["", "secret", "/", "/a/../secret", "/a//b", 5])),
        ("imagee", json!(["secret", 1, null, {}])),
        ("sec\u{1b}ret", json!([1])),
    ] {
        for bad in bads.as_array().unwrap() {
            let error = refusal(&json!({field: bad}));
            assert_eq!(error.code(), Code::InvalidArgument, "{field} {bad}");
            let said = format!("{error:?}");
            let name = field.replace(['\u{1b}'], "?");
            assert!(error.message().starts_with(&format!("`{name}")), "{field} {bad}: {said}");
            if name == field {
                assert!(!said.replace("/absolute", "").contains("secret"), "{field} {bad}: {said}");
            }
        }
    }
}

#[test]
fn null_is_a_field_that_was_left_out() {
    let empty = config(json!({}));
    for field in [
        "image",
        "runtime",
        "mounts",
        "environment",
        "auth",
        "health",
        "security",
        "network",
        "state_dir",
        "init",
        "labels",
    ] {
        assert_eq!(config(json!({field: null})), empty, "{field}");
    }
}

#[test]
fn another_runtime_is_unsupported() {
    for word in ["kubernetes", "", "Docker", "nerdctl"] {
        let error = refusal(&json!({"runtime": word}));
        assert_eq!(error.code(), Code::Unsupported);
        assert!(word.is_empty() || !error.message().contains(word));
    }
    assert_eq!(config(json!({"runtime": "container"})).runtime, RuntimeChoice::Apple);
}

#[test]
fn a_whole_value_takes_the_hosts_variable_and_other_dollars_are_literal() {
    let text = json!({"environment": {
        "A": "$TOKEN", "B": "$$TOKEN", "C": "x$TOKEN", "D": "$TOKEN ", "E": "$", "F": "$1", "G": "$$", "H": "${TOKEN}", "I": "$EMPTY", "J": "$$$A",
    }});
    let config = with(&text.to_string(), &[("TOKEN", "$s3cret$"), ("EMPTY", "")]).unwrap();
    let values: Vec<_> = config.environment.values().map(String::as_str).collect();
    assert_eq!(values, ["$s3cret$", "$TOKEN", "x$TOKEN", "$TOKEN ", "$", "$1", "$", "${TOKEN}", "", "$$A"]);
}

#[test]
fn a_variable_that_is_not_set_is_named_by_the_field_that_wants_it() {
    let error = refusal(&json!({"environment": {"A": "$NOT_SET"}}));
    assert_eq!(error.message(), "`environment.A` takes a variable of the host that is not set");
    assert!(!format!("{error:?}").contains("NOT_SET"));
}

#[test]
fn hosts_come_from_the_config_then_from_the_environment_then_from_each_other() {
    let both = |text: &str, variables: &[(&str, &str)]| {
        let config = with(text, variables).unwrap();
        (config.sandbox_host, config.bind_host.to_string())
    };
    let pair = |host: &str, bind: &str| (host.to_owned(), bind.to_owned());
    let (ours, theirs) = (("SANDPORT_SANDBOX_HOST", "10.0.0.1"), ("DEER_FLOW_SANDBOX_HOST", "10.0.0.2"));
    let (our_bind, their_bind) =
        (("SANDPORT_BIND_HOST", "10.0.0.3"), ("DEER_FLOW_SANDBOX_BIND_HOST", "10.0.0.4"));
    assert_eq!(both("{}", &[ours, theirs]), pair("10.0.0.1", "0.0.0.0"));
    assert_eq!(both("{}", &[theirs]), pair("10.0.0.2", "0.0.0.0"));
    assert_eq!(both("{}", &[("SANDPORT_SANDBOX_HOST", ""), theirs]), pair("10.0.0.2", "0.0.0.0"));
    assert_eq!(both("{}", &[our_bind, their_bind]), pair("127.0.0.1", "10.0.0.3"));
    assert_eq!(both("{}", &[their_bind]), pair("127.0.0.1", "10.0.0.4"));
    assert_eq!(both(r#"{"sandbox_host": "a", "bind_host": "[::]"}"#, &[ours, our_bind]), pair("a", "::"));
    for (host, bind) in [
        ("::1", "::1"),
        ("[::1]", "::1"),
        ("localhost", "127.0.0.1"),
        ("127.0.0.2", "127.0.0.2"),
        ("10.1.1.1", "0.0.0.0"),
        ("box", "0.0.0.0"),
    ] {
        assert_eq!(
            with(&json!({"sandbox_host": host}).to_string(), &[]).unwrap().bind_host.to_string(),
            bind,
            "{host}"
        );
    }
    let error = with("{}", &[("DEER_FLOW_SANDBOX_HOST", "http://secret")]).unwrap_err();
    assert!(error.message().starts_with("`DEER_FLOW_SANDBOX_HOST` is not an address"));
    assert!(
        with("{}", &[("SANDPORT_BIND_HOST", "secret")])
            .unwrap_err()
            .message()
            .starts_with("`SANDPORT_BIND_HOST` is not an IP")
    );
}

#[test]
fn publishing_beyond_this_machine_without_a_key_is_a_warning() {
    assert_eq!(config(json!({"bind_host": "0.0.0.0"})).warnings.len(), 1);
    assert!(
        config(json!({"bind_host": "0.0.0.0", "auth": {"environment": "A", "header": "a"}}))
            .warnings
            .is_empty()
    );
    assert!(config(json!({"bind_host": "127.0.0.9"})).warnings.is_empty());
}

#[test]
fn ports_never_reach_beyond_the_last_one() {
    let range = |value: Value| {
        let config = config(value);
        (config.base_port, config.port_count)
    };
    assert_eq!(range(json!({"base_port": 65535})), (65535, 1));
    assert_eq!(range(json!({"base_port": 65000})), (65000, 536));
    assert_eq!(range(json!({"base_port": 1, "port_count": 65535})), (1, 65535));
    let error = refusal(&json!({"base_port": 65000, "port_count": 537}));
    assert_eq!(error.message(), "`port_count` reaches beyond port 65535");
}

#[test]
fn what_the_key_is_for_cannot_be_set_by_hand_too() {
    let auth = json!({"environment": "KEY", "header": "X-Key"});
    let error = refusal(&json!({"auth": auth, "environment": {"KEY": "secret"}}));
    assert_eq!(error.message(), "`environment.KEY` is the variable of `auth`");
    let error = refusal(&json!({"auth": auth, "health": {"headers": {"x-KEY": "secret"}}}));
    assert_eq!(error.message(), "`health.headers` has the header of `auth`");
}

#[test]
fn a_seccomp_profile_is_read_from_its_file() {
    let path = std::env::temp_dir().join(format!("sandport-seccomp-{}.json", std::process::id()));
    let seccomp = |text: &[u8]| {
        std::fs::write(&path, text).unwrap();
        with(&json!({"security": {"seccomp": path}}).to_string(), &[]).map(|config| config.security.seccomp)
    };
    let profile = r#"{"defaultAction": "SCMP_ACT_ALLOW"}"#;
    let good = seccomp(profile.as_bytes());
    let bad: Vec<_> = [&b"[]"[..], b"", b"{", b"\xff{}", &[b' '; (1 << 20) + 1]].map(seccomp).into();
    std::fs::remove_file(&path).unwrap();
    assert_eq!(good.unwrap(), Seccomp::Profile(profile.into()));
    for error in bad {
        assert!(error.unwrap_err().message().starts_with("`security.seccomp` is no "));
    }
}

/// Every prefix of a good config, and every config with one byte changed, is taken or refused, and no value is told.
#[test]
fn no_damage_makes_it_panic_or_tell_a_value() {
    let good = r#"{"image":"hush1","environment":{"A":"hush2"},"mounts":[{"host_path":"/hush3","container_path":"/c"}],"auth":{"environment":"K","header":"k","prefix":"hush4 "},"ready_timeout_seconds":1.5,"labels":{"l":"hush5"},"health":{"path":"/hush6","headers":{"X":"hush7"}},"base_port":8080}"#;
    assert!(with(good, &[]).is_ok());
    let values_are_kept = |text: &str| {
        if let Err(error) = with(text, &[]) {
            let said = format!("{error:?}");
            // A damaged text may turn a value into a name, and names are told; whole values are not.
            let told = (1..=7).find(|number| said.contains(&format!("hush{number}")));
            assert!(told.is_none() || error.message().starts_with('`'), "{text}: {said}");
            assert!(matches!(error.code(), Code::InvalidArgument | Code::Unsupported), "{text}");
        }
    };
    for end in 0..good.len() {
        values_are_kept(&good[..end]);
    }
    for at in 0..good.len() {
        for byte in
            ["\"", "{", "[", "}", "]", ",", ":", "\\", "\\u0000", "0", "-", "e", " ", "/", "..", "$", "null"]
        {
            values_are_kept(&format!("{}{byte}{}", &good[..at], &good[at + 1..]));
            values_are_kept(&format!("{}{byte}{}", &good[..at], &good[at..]));
        }
    }
}
