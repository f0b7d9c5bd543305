//! What the engine answers, as types: only the fields that are read, all of them optional, since Docker and Podman of
//! many versions leave out, null or add fields.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use serde::{Deserialize, Deserializer};

use crate::runtime::text::unix_seconds;
use crate::runtime::{Container, Published, State};

/// `null` reads as empty: Podman writes it where Docker writes `{}` or `[]`.
fn or_default<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(from: D) -> Result<T, D::Error> {
    Ok(Option::<T>::deserialize(from)?.unwrap_or_default())
}

/// A failure: Docker's `message`, beside Podman's `cause` and `response`.
#[derive(Deserialize)]
pub(super) struct Failure {
    #[serde(default, deserialize_with = "or_default")]
    pub message: String,
}

/// The answer of create.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Created {
    pub id: String,
    #[serde(default, deserialize_with = "or_default")]
    pub warnings: Vec<String>,
}

/// The answer of `/version`.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Version {
    pub version: Option<String>,
    #[serde(rename = "ApiVersion")]
    pub api_version: Option<String>,
    #[serde(default, deserialize_with = "or_default")]
    pub components: Vec<Component>,
}

/// One part of an engine, by whose name Podman is told from Docker.
#[derive(Deserialize)]
pub(super) struct Component {
    #[serde(rename = "Name", default, deserialize_with = "or_default")]
    pub name: String,
}

/// The answer of `/info`.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Info {
    pub docker_root_dir: Option<String>,
}

/// The answer of wait.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Waited {
    pub status_code: i64,
}

/// One event of a container.
#[derive(Deserialize)]
pub(super) struct Event {
    #[serde(rename = "Action", default, deserialize_with = "or_default")]
    pub action: String,
}

/// One network of the list of networks.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Network {
    #[serde(default, deserialize_with = "or_default")]
    pub name: String,
    pub id: String,
    #[serde(default, deserialize_with = "or_default")]
    pub driver: String,
    #[serde(default, deserialize_with = "or_default")]
    pub internal: bool,
    #[serde(default, deserialize_with = "or_default")]
    pub options: BTreeMap<String, String>,
}

/// One line of a pull.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct PullLine {
    #[serde(default, deserialize_with = "or_default")]
    pub status: String,
    #[serde(default, deserialize_with = "or_default")]
    pub id: String,
    #[serde(default, deserialize_with = "or_default")]
    pub progress_detail: PullDetail,
    pub error: Option<String>,
}

/// How far one layer is.
#[derive(Default, Deserialize)]
pub(super) struct PullDetail {
    pub current: Option<i64>,
    pub total: Option<i64>,
}

/// The answer of inspect.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Inspected {
    pub id: String,
    #[serde(default, deserialize_with = "or_default")]
    name: String,
    #[serde(default, deserialize_with = "or_default")]
    created: String,
    #[serde(default, deserialize_with = "or_default")]
    state: InspectedState,
    #[serde(default, deserialize_with = "or_default")]
    config: InspectedConfig,
    #[serde(default, deserialize_with = "or_default")]
    host_config: InspectedHost,
    #[serde(default, deserialize_with = "or_default")]
    network_settings: InspectedNetworks,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct InspectedState {
    #[serde(deserialize_with = "or_default")]
    status: String,
    pid: Option<i64>,
    started_at: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct InspectedConfig {
    #[serde(deserialize_with = "or_default")]
    labels: BTreeMap<String, String>,
    #[serde(deserialize_with = "or_default")]
    env: Vec<String>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct InspectedHost {
    #[serde(deserialize_with = "or_default")]
    auto_remove: bool,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct InspectedNetworks {
    #[serde(deserialize_with = "or_default")]
    ports: BTreeMap<String, Option<Vec<Binding>>>,
    #[serde(deserialize_with = "or_default")]
    networks: BTreeMap<String, serde::de::IgnoredAny>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Binding {
    #[serde(default, deserialize_with = "or_default")]
    host_ip: String,
    #[serde(default, deserialize_with = "or_default")]
    host_port: String,
}

impl Inspected {
    pub(super) fn into_container(self) -> Container {
        let mut published = BTreeMap::<u16, Vec<Published>>::new();
        for (key, bindings) in &self.network_settings.ports {
            let Some(port) = key.strip_suffix("/tcp").and_then(|text| text.parse().ok()) else { continue };
            for binding in bindings.iter().flatten() {
                if let (Some(address), Ok(host)) = (address(&binding.host_ip), binding.host_port.parse()) {
                    add(&mut published, port, address, host);
                }
            }
        }
        Container {
            id: self.id,
            name: self.name.trim_start_matches('/').to_owned(),
            state: state(&self.state.status),
            labels: self.config.labels,
            created_at: unix_seconds(&self.created).unwrap_or(0.0),
            started_at: self.state.started_at.filter(|at| !at.is_empty() && !at.starts_with("0001-")),
            published,
            auto_remove: self.host_config.auto_remove,
            environment: Some(self.config.env),
            networks: self.network_settings.networks.into_keys().collect(),
            pid: self.state.pid.and_then(|pid| u32::try_from(pid).ok()),
        }
    }
}

/// One line of the list of containers.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Summary {
    pub id: String,
    #[serde(default, deserialize_with = "or_default")]
    names: Vec<String>,
    #[serde(default, deserialize_with = "or_default")]
    created: i64,
    #[serde(default, deserialize_with = "or_default")]
    state: String,
    #[serde(default, deserialize_with = "or_default")]
    labels: BTreeMap<String, String>,
    #[serde(default, deserialize_with = "or_default")]
    ports: Vec<SummaryPort>,
    #[serde(default, deserialize_with = "or_default")]
    network_settings: InspectedNetworks,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct SummaryPort {
    #[serde(rename = "IP", default, deserialize_with = "or_default")]
    ip: String,
    #[serde(default, deserialize_with = "or_default")]
    private_port: u16,
    #[serde(default, deserialize_with = "or_default")]
    public_port: u16,
    #[serde(rename = "Type", default, deserialize_with = "or_default")]
    protocol: String,
}

impl Summary {
    pub(super) fn into_container(self) -> Container {
        let mut published = BTreeMap::new();
        for port in self.ports.iter().filter(|port| port.protocol == "tcp" && port.public_port != 0) {
            if let Some(address) = address(&port.ip) {
                add(&mut published, port.private_port, address, port.public_port);
            }
        }
        // A container linked from another bears a second name such as `/other/alias`.
        let name =
            self.names.iter().map(|name| name.trim_start_matches('/')).find(|name| !name.contains('/'));
        Container {
            name: name.unwrap_or_default().to_owned(),
            id: self.id,
            state: state(&self.state),
            labels: self.labels,
            created_at: self.created as f64,
            started_at: None,
            published,
            auto_remove: false,
            environment: None,
            networks: self.network_settings.networks.into_keys().collect(),
            pid: None,
        }
    }
}

/// Adds a published address, IPv4 before IPv6, none twice.
fn add(published: &mut BTreeMap<u16, Vec<Published>>, container_port: u16, address: IpAddr, port: u16) {
    let all = published.entry(container_port).or_default();
    let new = Published { address, port };
    if !all.contains(&new) {
        all.push(new);
        all.sort_by_key(|one| one.address.is_ipv6());
    }
}

/// A host address; the empty one is every address.
fn address(text: &str) -> Option<IpAddr> {
    match text {
        "" => Some(Ipv4Addr::UNSPECIFIED.into()),
        "::" => Some(Ipv6Addr::UNSPECIFIED.into()),
        _ => text.parse().ok(),
    }
}

/// Docker's and Podman's words for states.
fn state(word: &str) -> State {
    match word.to_ascii_lowercase().as_str() {
        "created" | "configured" | "initialized" => State::Created,
        "running" | "restarting" => State::Running,
        "paused" => State::Paused,
        "stopping" => State::Stopping,
        "exited" | "stopped" => State::Exited,
        "removing" => State::Removing,
        "dead" => State::Dead,
        _ => State::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dockers_inspect_gives_port_state_and_times() {
        let container = serde_json::from_str::<Inspected>(include_str!("fixtures/docker-28-inspect.json"))
            .unwrap()
            .into_container();
        assert_eq!(container.name, "sandport-one");
        assert_eq!(container.state, State::Running);
        let all = &container.published[&8080];
        assert_eq!(all.len(), 2);
        assert_eq!(container.published_at(8080).unwrap().address, IpAddr::from([0, 0, 0, 0]));
        assert_eq!(container.published_at(8080).unwrap().port, 18111);
        assert_eq!(container.networks, ["sandport"]);
        assert_eq!(container.created_at, 1_785_585_600.5);
        assert!(container.auto_remove && container.started_at.is_some());
        assert_eq!(container.environment.unwrap(), ["A=b"]);
    }

    #[test]
    fn podmans_inspect_with_nulls_and_an_offset_is_read() {
        let container = serde_json::from_str::<Inspected>(include_str!("fixtures/podman-4.3-inspect.json"))
            .unwrap()
            .into_container();
        assert_eq!(container.name, "pp1");
        assert_eq!(container.state, State::Created);
        assert_eq!(container.started_at, None);
        assert_eq!(container.created_at, 1_785_585_600.25);
        assert!(container.published.is_empty() && container.labels.is_empty());
    }

    #[test]
    fn a_list_tells_names_ports_and_labels() {
        let text = r#"[{"Id":"a","Names":["/other/x","/sandport-one"],"State":"running","Created":1785585600,"Labels":{"k":"v"},
            "Ports":[{"IP":"127.0.0.1","PrivatePort":8080,"PublicPort":18111,"Type":"tcp"},{"PrivatePort":53,"Type":"udp"}],
            "NetworkSettings":{"Networks":{"sandport":{}}}},
            {"Id":"b","Names":["/y"],"State":"exited","Created":1,"Labels":null,"Ports":null}]"#;
        let all: Vec<Summary> = serde_json::from_str(text).unwrap();
        let all: Vec<Container> = all.into_iter().map(Summary::into_container).collect();
        assert_eq!(all[0].name, "sandport-one");
        assert_eq!(all[0].published_at(8080).unwrap().port, 18111);
        assert_eq!(all[0].networks, ["sandport"]);
        assert!(!all[1].state.is_alive() && all[1].published.is_empty());
    }
}
