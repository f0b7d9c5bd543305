//! What Apple's `container` prints: JSON, versions and the wordings of its failures, as read in its sources (1.x).

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde::Deserialize;

use crate::error::{Code, Error, Result};
use crate::runtime::text::unix_seconds;
use crate::runtime::{Container, Published, State};

/// Why a command failed, by what it printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Why {
    /// The services of `container` do not run.
    Down,
    /// There is no such container.
    Missing,
    NameInUse,
    PortInUse,
    /// The command or an option is unknown to this version.
    Unknown,
    Other,
}

/// Tells failures apart. The exit code said that it is one; the text only says which.
pub(super) fn why(text: &str) -> Why {
    let text = text.to_ascii_lowercase();
    let has = |part: &str| text.contains(part);
    if has("xpc connection error") || has("container system start") {
        Why::Down
    } else if has("unknown option") || has("plugin 'container-") || has("unexpected argument") {
        Why::Unknown
    } else if has("address already in use") {
        Why::PortInUse
    } else if has("already exists") || has("hostname(s) already exist") {
        Why::NameInUse
    } else if has("container not found") || (has("container with id") && has("not found")) {
        Why::Missing
    } else {
        Why::Other
    }
}

/// The version in `container CLI version 1.0.0 (build: release, commit: abcdef)`.
pub(super) fn version(text: &str) -> Option<&str> {
    text.split_whitespace().find(|word| major(word).is_some() && word.contains('.'))
}

/// The first number of a version.
pub(super) fn major(version: &str) -> Option<u32> {
    version.split('.').next()?.parse().ok()
}

#[derive(Deserialize)]
struct Entry {
    configuration: Configuration,
    #[serde(default)]
    status: Status,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Configuration {
    id: String,
    #[serde(default)]
    creation_date: Option<String>,
    #[serde(default)]
    init_process: InitProcess,
    #[serde(default)]
    labels: BTreeMap<String, String>,
    #[serde(default)]
    networks: Vec<Attached>,
    #[serde(default)]
    published_ports: Vec<Port>,
}

#[derive(Default, Deserialize)]
struct InitProcess {
    #[serde(default)]
    environment: Vec<String>,
}

#[derive(Deserialize)]
struct Attached {
    network: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Port {
    container_port: u16,
    host_port: u16,
    host_address: String,
    #[serde(default = "one")]
    count: u16,
    #[serde(default = "tcp")]
    proto: String,
}

fn one() -> u16 {
    1
}

fn tcp() -> String {
    "tcp".to_owned()
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Status {
    #[serde(default)]
    state: String,
    #[serde(default)]
    started_date: Option<String>,
}

/// The containers in the array that `inspect` and `list --format json` print.
pub(super) fn containers(text: &[u8]) -> Result<Vec<Container>> {
    let entries: Vec<Entry> = serde_json::from_slice(text).map_err(|error| {
        // serde's own words may quote values; the place is enough.
        let place = format!("line {}, column {}", error.line(), error.column());
        Error::new(
            Code::RuntimeFailed,
            format!("container printed no list of containers that is understood ({place})"),
        )
        .with_hint("this library knows container 1.x; compare what `container list --format json` prints")
    })?;
    Ok(entries.into_iter().map(container).collect())
}

fn container(entry: Entry) -> Container {
    let Entry { configuration, status } = entry;
    let mut published: BTreeMap<u16, Vec<Published>> = BTreeMap::new();
    for port in configuration.published_ports.iter().filter(|port| port.proto.eq_ignore_ascii_case("tcp")) {
        let Ok(address) = port.host_address.parse::<IpAddr>() else { continue };
        for step in 0..port.count {
            let (Some(inside), Some(outside)) =
                (port.container_port.checked_add(step), port.host_port.checked_add(step))
            else {
                break;
            };
            published.entry(inside).or_default().push(Published { address, port: outside });
        }
    }
    for places in published.values_mut() {
        places.sort_by_key(|place| place.address.is_ipv6());
    }
    Container {
        name: configuration.id.clone(),
        id: configuration.id,
        state: state(&status),
        labels: configuration.labels,
        created_at: configuration.creation_date.as_deref().and_then(unix_seconds).unwrap_or(0.0),
        started_at: status.started_date,
        published,
        // Nothing is removed by itself: what ended is residue, which the next create clears away.
        auto_remove: false,
        environment: Some(configuration.init_process.environment),
        networks: configuration.networks.into_iter().map(|one| one.network).collect(),
        pid: None,
    }
}

/// Its states are unknown, stopped, running and stopping; one that never ran has no start date.
fn state(status: &Status) -> State {
    match status.state.as_str() {
        "running" => State::Running,
        "stopping" => State::Stopping,
        "stopped" if status.started_date.is_none() => State::Created,
        "stopped" => State::Exited,
        _ => State::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_recorded_inspect_of_1_x_is_understood() {
        let all = containers(include_bytes!("../../../tests/apple/inspect-1.x.json")).unwrap();
        let [one] = all.as_slice() else { panic!("{} containers", all.len()) };
        assert_eq!(
            (one.id.as_str(), one.name.as_str(), one.state),
            ("sandport-demo", "sandport-demo", State::Running)
        );
        let address = "127.0.0.1".parse().unwrap();
        assert_eq!(one.published_at(8080), Some(Published { address, port: 8099 }));
        assert_eq!(one.created_at, 1_783_887_915.0);
        assert_eq!(one.started_at.as_deref(), Some("2026-07-12T20:25:16Z"));
        assert_eq!(one.environment.as_deref(), Some(&["K=V".to_owned()][..]));
        assert_eq!(one.networks, ["default"]);
    }

    #[test]
    fn what_never_ran_is_created_and_what_ended_is_exited() {
        let json = |rest: &str| {
            format!(r#"[{{"configuration":{{"id":"a"}},"status":{{"state":"stopped"{rest}}}}}]"#)
        };
        assert_eq!(containers(json("").as_bytes()).unwrap()[0].state, State::Created);
        let ended = json(r#","startedDate":"2026-07-12T20:25:16Z""#);
        assert_eq!(containers(ended.as_bytes()).unwrap()[0].state, State::Exited);
        assert!(containers(b"[]").unwrap().is_empty());
    }

    #[test]
    fn a_range_of_ports_never_runs_over_the_last_port() {
        let json = br#"[{"configuration":{"id":"a","publishedPorts":[
            {"containerPort":65534,"hostPort":9000,"hostAddress":"127.0.0.1","count":9,"proto":"tcp"},
            {"containerPort":53,"hostPort":53,"hostAddress":"127.0.0.1","count":1,"proto":"udp"}]}}]"#;
        let ports: Vec<u16> = containers(json).unwrap()[0].published.keys().copied().collect();
        assert_eq!(ports, [65534, 65535]);
    }

    #[test]
    fn what_is_no_list_is_a_failure_that_quotes_nothing() {
        let error = containers(br#"{"secret":"value"}"#).unwrap_err();
        assert_eq!(error.code(), Code::RuntimeFailed);
        assert!(!error.to_string().contains("value\""), "{error}");
    }

    #[test]
    fn failures_are_told_apart_by_their_wording() {
        for (text, expected) in [
            ("Error: notFound: \"container not found: x\"", Why::Missing),
            (
                "Error: internalError: \"failed to stop\" (cause: \"container with ID x not found\")",
                Why::Missing,
            ),
            ("Error: exists: \"container with id x already exists\"", Why::NameInUse),
            ("Error: container already exists: x", Why::NameInUse),
            ("Error: hostname(s) already exist: [\"x\"]", Why::NameInUse),
            ("Error: bind(descriptor:ptr:bytes:): Address already in use (errno: 48)", Why::PortInUse),
            ("Error: interrupted: \"XPC connection error: Connection invalid\"", Why::Down),
            ("Ensure the service runs with `container system start`", Why::Down),
            ("Error: Plugin 'container-port' not found.", Why::Unknown),
            ("Error: Unknown option '--cap-drop'", Why::Unknown),
            ("Error: something else not found", Why::Other),
        ] {
            assert_eq!(why(text), expected, "{text}");
        }
    }

    #[test]
    fn versions_are_found_in_the_sentence() {
        assert_eq!(version("container CLI version 1.2.0 (build: release, commit: abc)\n"), Some("1.2.0"));
        assert_eq!(version("container CLI version 0.12.3"), Some("0.12.3"));
        assert_eq!(version("something else entirely"), None);
        assert_eq!(major("0.12.3"), Some(0));
    }
}
