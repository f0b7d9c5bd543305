//! From a [`ContainerSpec`] to the body of a create request.

use serde_json::{Map, Value, json};

use crate::error::{Code, Error, Phase, Result};
use crate::runtime::{ContainerSpec, Kind, Mount, Seccomp};

/// From this API on a read-only mount can be made so through all its submounts.
const FORCE_RECURSIVE: (u16, u16) = (1, 44);

/// What the body depends on beside the spec.
pub(super) struct Target<'a> {
    pub api: (u16, u16),
    pub kind: Kind,
    /// A network's name or id; `None` is the engine's default.
    pub network: Option<&'a str>,
    pub init: bool,
}

/// The body of `POST /containers/create`.
pub(super) fn body(spec: &ContainerSpec, target: &Target<'_>) -> Result<Value> {
    let port = format!("{}/tcp", spec.container_port);
    let mut body = json!({
        "Image": spec.image,
        "Env": spec.environment.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>(),
        "Labels": spec.labels,
        // Bindings alone publish nothing.
        "ExposedPorts": { port.as_str(): {} },
        "StopTimeout": whole_seconds(spec.stop_timeout),
        "HostConfig": host(spec, target, &port)?,
    });
    if !spec.command.is_empty() {
        body["Cmd"] = json!(spec.command);
    }
    if let Some(user) = &spec.confinement.user {
        body["User"] = json!(user);
    }
    Ok(body)
}

/// Whole seconds, rounded up: an engine takes no fractions.
pub(super) fn whole_seconds(time: std::time::Duration) -> u64 {
    time.as_secs() + u64::from(time.subsec_nanos() > 0)
}

fn host(spec: &ContainerSpec, target: &Target<'_>, port: &str) -> Result<Value> {
    let published = spec.publish;
    let host_port = if published.port == 0 { String::new() } else { published.port.to_string() };
    let mounts = spec.mounts.iter().map(|one| mount(one, target)).collect::<Result<Vec<_>>>()?;
    let confinement = &spec.confinement;
    let mut host = Map::new();
    let mut set = |name: &str, value: Value| host.insert(name.to_owned(), value);
    set("AutoRemove", json!(true));
    set("PortBindings", json!({ port: [{ "HostIp": published.address, "HostPort": host_port }] }));
    set("Mounts", json!(mounts));
    set("LogConfig", log(spec.limits.log_bytes, target.kind));
    set("ReadonlyRootfs", json!(confinement.read_only_rootfs));
    set("SecurityOpt", json!(security(spec, target.kind)?));
    if target.init {
        set("Init", json!(true));
    }
    if let Some(network) = target.network {
        set("NetworkMode", json!(network));
    }
    for (name, list) in [
        ("CapDrop", &confinement.cap_drop),
        ("CapAdd", &confinement.cap_add),
        ("ExtraHosts", &spec.extra_hosts),
    ] {
        if !list.is_empty() {
            set(name, json!(list));
        }
    }
    let limits = &spec.limits;
    if limits.pids > 0 {
        set("PidsLimit", json!(limits.pids));
    }
    if let Some(memory) = limits.memory_bytes {
        set("Memory", json!(memory));
        if limits.no_swap {
            set("MemorySwap", json!(memory));
        }
    }
    if let Some(cpus) = limits.cpus {
        set("NanoCpus", json!((cpus * 1e9).round() as i64));
    }
    if let Some(bytes) = limits.shm_bytes {
        set("ShmSize", json!(bytes));
    }
    Ok(Value::Object(host))
}

/// A bind mount that neither side's later mounts pass through, and whose submounts cannot be written around it.
fn mount(mount: &Mount, target: &Target<'_>) -> Result<Value> {
    let source = mount.source.to_str().ok_or_else(|| Error::invalid("a mount's host_path is not UTF-8"))?;
    // Podman makes one comma-separated line of a mount, where a comma would start an option of its own.
    if target.kind == Kind::Podman
        && [source, &mount.target].iter().any(|path| path.contains([',', '"', '\n']))
    {
        return Err(Error::new(
            Code::Unsupported,
            "Podman takes no comma, quote or line break in a mount's path",
        )
        .with_hint("rename the folder, or mount the one above it")
        .in_phase(Phase::Create));
    }
    let mut options = json!({ "Propagation": "rprivate" });
    if mount.read_only {
        let safe = if target.api < FORCE_RECURSIVE { "NonRecursive" } else { "ReadOnlyForceRecursive" };
        options[safe] = json!(true);
    }
    Ok(json!({
        "Type": "bind",
        "Source": source,
        "Target": mount.target,
        "ReadOnly": mount.read_only,
        "BindOptions": options,
    }))
}

/// One file of bounded size. Podman's driver knows only the size and cuts the file there.
fn log(bytes: u64, kind: Kind) -> Value {
    match (bytes, kind) {
        (0, _) => json!({ "Type": "none" }),
        (_, Kind::Podman) => json!({ "Type": "k8s-file", "Config": { "max-size": bytes.to_string() } }),
        _ => json!({ "Type": "json-file", "Config": { "max-size": bytes.to_string(), "max-file": "1" } }),
    }
}

fn security(spec: &ContainerSpec, kind: Kind) -> Result<Vec<String>> {
    let confinement = &spec.confinement;
    let mut all = Vec::new();
    match &confinement.seccomp {
        Seccomp::Unconfined => all.push("seccomp=unconfined".to_owned()),
        Seccomp::Default => {}
        // Podman takes a path of the engine's machine where Docker takes the profile itself.
        Seccomp::Profile(_) if kind == Kind::Podman => {
            return Err(Error::new(
                Code::Unsupported,
                "Podman takes no seccomp profile through its Docker API",
            )
            .with_hint(
                "use \"default\" or \"unconfined\", or set `seccomp_profile` in Podman's containers.conf",
            )
            .in_phase(Phase::Create));
        }
        Seccomp::Profile(text) => all.push(format!("seccomp={text}")),
    }
    if confinement.no_new_privileges {
        all.push("no-new-privileges".to_owned());
    }
    if confinement.selinux_disabled {
        all.push("label=disable".to_owned());
    }
    Ok(all)
}

#[cfg(test)]
pub(super) mod tests {
    use std::net::IpAddr;
    use std::time::Duration;

    use super::*;
    use crate::runtime::{Confinement, Limits, Network, Published};

    pub(in crate::runtime::engine) fn spec() -> ContainerSpec {
        ContainerSpec {
            name: "sandport-one".into(),
            image: "busybox".into(),
            command: vec!["sleep".into(), "60".into()],
            environment: [("A".to_owned(), "b=c".to_owned())].into(),
            labels: [("dev.sandport.id".to_owned(), "one".to_owned())].into(),
            mounts: vec![
                Mount { source: "/srv/a,b".into(), target: "/a".into(), read_only: true },
                Mount { source: "/srv/c".into(), target: "/c".into(), read_only: false },
            ],
            container_port: 8080,
            publish: Published { address: IpAddr::from([127, 0, 0, 1]), port: 18111 },
            network: Network::Default,
            extra_hosts: Vec::new(),
            limits: Limits {
                memory_bytes: Some(1 << 28),
                no_swap: true,
                cpus: Some(1.5),
                pids: 4096,
                shm_bytes: None,
                log_bytes: 10 << 20,
            },
            confinement: Confinement { no_new_privileges: true, ..Confinement::default() },
            init: true,
            stop_timeout: Duration::from_millis(1500),
        }
    }

    fn docker(api: (u16, u16)) -> Target<'static> {
        Target { api, kind: Kind::Docker, network: None, init: true }
    }

    #[test]
    fn a_port_is_exposed_and_bound_to_its_literal_address() {
        let body = body(&spec(), &docker((1, 41))).unwrap();
        assert_eq!(body["ExposedPorts"], json!({ "8080/tcp": {} }));
        let bindings = &body["HostConfig"]["PortBindings"]["8080/tcp"];
        assert_eq!(bindings, &json!([{ "HostIp": "127.0.0.1", "HostPort": "18111" }]));
        assert_eq!(body["StopTimeout"], 2);
        assert_eq!(body["Env"], json!(["A=b=c"]));
    }

    #[test]
    fn an_engine_that_picks_the_port_gets_an_empty_one() {
        let mut spec = spec();
        spec.publish.port = 0;
        let body = body(&spec, &docker((1, 41))).unwrap();
        assert_eq!(body["HostConfig"]["PortBindings"]["8080/tcp"][0]["HostPort"], "");
    }

    #[test]
    fn a_read_only_mount_is_so_through_its_submounts_on_every_version() {
        let old = body(&spec(), &docker((1, 43))).unwrap();
        let new = body(&spec(), &docker((1, 44))).unwrap();
        let options = |body: &Value, at: usize| body["HostConfig"]["Mounts"][at]["BindOptions"].clone();
        assert_eq!(options(&old, 0), json!({ "Propagation": "rprivate", "NonRecursive": true }));
        assert_eq!(options(&new, 0), json!({ "Propagation": "rprivate", "ReadOnlyForceRecursive": true }));
        assert_eq!(options(&new, 1), json!({ "Propagation": "rprivate" }));
    }

    #[test]
    fn limits_and_confinement_reach_the_engine() {
        let host = body(&spec(), &docker((1, 41))).unwrap()["HostConfig"].clone();
        assert_eq!(host["Memory"], host["MemorySwap"]);
        assert_eq!(host["NanoCpus"], 1_500_000_000_i64);
        assert_eq!(host["PidsLimit"], 4096);
        assert_eq!(host["SecurityOpt"], json!(["seccomp=unconfined", "no-new-privileges"]));
        assert_eq!(host["LogConfig"]["Config"], json!({ "max-size": "10485760", "max-file": "1" }));
        assert_eq!(host["AutoRemove"], true);
    }

    #[test]
    fn podman_is_given_no_path_that_could_add_an_option() {
        let podman = Target { api: (1, 41), kind: Kind::Podman, network: None, init: false };
        assert_eq!(body(&spec(), &podman).unwrap_err().code(), Code::Unsupported);
        let mut spec = spec();
        spec.mounts.remove(0);
        let body = body(&spec, &podman).unwrap();
        assert_eq!(body["HostConfig"]["LogConfig"]["Type"], "k8s-file");
        assert_eq!(body["HostConfig"].get("Init"), None);
    }
}
