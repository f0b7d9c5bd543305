//! The arguments of `container create`, and what of a spec it cannot do.
//!
//! Values of the environment never stand here: `--env NAME` takes the value from the tool's own environment.

use std::net::IpAddr;

use crate::error::{Code, Error, Result};
use crate::runtime::{ContainerSpec, Mount, Network, Seccomp};

/// The least memory that `container` gives.
const LEAST_MEMORY: u64 = 200 << 20;

/// Variables that would change the tool itself, which runs on the host with the host's rights.
const OF_THE_TOOL: [&str; 6] = ["PATH", "HOME", "USER", "LOGNAME", "SHELL", "TMPDIR"];
const OF_THE_TOOL_PREFIXES: [&str; 13] = [
    "DYLD_",
    "LD_",
    "CONTAINER_",
    "XPC_",
    "OS_",
    "OBJC_",
    "SWIFT_",
    "LIBDISPATCH_",
    "Malloc",
    "MALLOC_",
    "NS",
    "CF",
    "__",
];

/// The arguments, and warnings about what is left out.
pub(super) fn create(spec: &ContainerSpec) -> Result<(Vec<String>, Vec<String>)> {
    let mut warnings = Vec::new();
    let mut args = vec!["create".to_owned(), "--name".to_owned(), spec.name.clone()];
    let mut add = |option: &str, value: String| args.extend([option.to_owned(), value]);

    for (name, value) in &spec.labels {
        // The tool splits a label at every `=`.
        if value.contains('=') {
            return Err(Error::invalid(format!(
                "the value of label {name} has a =, which container cannot keep"
            )));
        }
        add("--label", format!("{name}={value}"));
    }
    for name in spec.environment.keys() {
        if OF_THE_TOOL.contains(&name.as_str())
            || OF_THE_TOOL_PREFIXES.iter().any(|prefix| name.starts_with(prefix))
        {
            return Err(unsupported(format!(
                "environment.{name}: this variable would change Apple's tool itself"
            ))
            .with_hint("set it inside the image, or in the command that the sandbox runs"));
        }
        add("--env", name.clone());
    }
    for mount in &spec.mounts {
        add("--mount", bind(mount)?);
    }
    if spec.publish.port == 0 {
        return Err(unsupported("container cannot choose the port itself")
            .with_hint("set port_assignment to \"range\""));
    }
    let address = match spec.publish.address {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => format!("[{address}]"),
    };
    add("--publish", format!("{address}:{}:{}/tcp", spec.publish.port, spec.container_port));

    match &spec.network {
        Network::Isolated { required: true } => {
            return Err(unsupported("container has no network without traffic between containers")
                .with_hint("leave network out, or make one of your own and name it"));
        }
        Network::Isolated { required: false } => {
            warnings.push("sandboxes on this runtime can reach each other over its network".to_owned());
        }
        Network::Default => {}
        Network::Named(name) => add("--network", name.clone()),
    }

    if let Some(bytes) = spec.limits.memory_bytes {
        if bytes < LEAST_MEMORY {
            return Err(Error::invalid(
                "resources.memory_bytes: container gives a sandbox no less than 200 MiB",
            )
            .with_hint(format!("ask for {LEAST_MEMORY} or more")));
        }
        add("--memory", format!("{}M", bytes.div_ceil(1 << 20)));
    }
    if let Some(cpus) = spec.limits.cpus {
        let whole = cpus.ceil().max(1.0);
        if whole != cpus {
            warnings.push("resources.cpus: container gives whole processors only; rounded up".to_owned());
        }
        add("--cpus", format!("{whole:.0}"));
    }
    if spec.limits.shm_bytes.is_some() {
        warnings.push("resources.shm_bytes: not done by this runtime".to_owned());
    }
    if !spec.extra_hosts.is_empty() {
        warnings.push("extra_hosts: not done by this runtime".to_owned());
    }

    let confinement = &spec.confinement;
    match confinement.seccomp {
        Seccomp::Unconfined => {}
        Seccomp::Default => {
            warnings.push(
                "security.seccomp: no filter on this runtime; each sandbox has a kernel of its own"
                    .to_owned(),
            );
        }
        Seccomp::Profile(_) => return Err(unsupported("security.seccomp: this runtime takes no profile")),
    }
    if confinement.no_new_privileges {
        return Err(unsupported("security.no_new_privileges: not done by this runtime"));
    }
    for name in &confinement.cap_drop {
        add("--cap-drop", name.clone());
    }
    for name in &confinement.cap_add {
        add("--cap-add", name.clone());
    }
    if let Some(user) = &confinement.user {
        add("--user", user.clone());
    }
    if confinement.read_only_rootfs {
        args.push("--read-only".to_owned());
    }

    // What follows the image belongs to the sandbox, whatever it looks like; the image itself must be no option.
    if spec.image.starts_with('-') {
        return Err(Error::invalid("image: no image is named like this"));
    }
    args.push(spec.image.clone());
    args.extend(spec.command.iter().cloned());
    Ok((args, warnings))
}

fn bind(mount: &Mount) -> Result<String> {
    let source = mount.source.to_str().unwrap_or(",");
    // The tool splits at commas and at `=`, without a way to quote them.
    if [source, &mount.target].iter().any(|path| path.contains([',', '='])) {
        return Err(Error::invalid(
            "mounts: container takes no path with a comma, a = or bytes that are not UTF-8",
        ));
    }
    let end = if mount.read_only { ",readonly" } else { "" };
    Ok(format!("type=bind,source={source},target={}{end}", mount.target))
}

fn unsupported(message: impl Into<String>) -> Error {
    Error::new(Code::Unsupported, message)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::time::Duration;

    use super::*;
    use crate::runtime::{Confinement, Limits, Published};

    fn spec() -> ContainerSpec {
        ContainerSpec {
            name: "sandport-a".to_owned(),
            image: "sandbox:1".to_owned(),
            command: vec!["--serve".to_owned()],
            environment: BTreeMap::from([("TOKEN".to_owned(), "very secret".to_owned())]),
            labels: BTreeMap::from([("dev.sandport.id".to_owned(), "a".to_owned())]),
            mounts: vec![Mount { source: "/data".into(), target: "/in".to_owned(), read_only: true }],
            container_port: 8080,
            publish: Published { address: "127.0.0.1".parse().unwrap(), port: 8099 },
            network: Network::Default,
            extra_hosts: Vec::new(),
            limits: Limits::default(),
            confinement: Confinement::default(),
            init: true,
            stop_timeout: Duration::from_secs(10),
        }
    }

    fn code(spec: &ContainerSpec) -> Code {
        create(spec).unwrap_err().code()
    }

    #[test]
    fn everything_stands_in_its_place_and_no_value_does() {
        let (args, warnings) = create(&spec()).unwrap();
        let expected = "create --name sandport-a --label dev.sandport.id=a --env TOKEN --mount \
            type=bind,source=/data,target=/in,readonly --publish 127.0.0.1:8099:8080/tcp sandbox:1 --serve";
        assert_eq!(args.join(" "), expected);
        assert!(warnings.is_empty());
    }

    #[test]
    fn ipv6_addresses_stand_in_brackets() {
        let mut spec = spec();
        spec.publish.address = "::1".parse().unwrap();
        assert!(create(&spec).unwrap().0.contains(&"[::1]:8099:8080/tcp".to_owned()));
    }

    #[test]
    fn limits_are_rounded_up_to_what_it_gives() {
        let mut spec = spec();
        spec.limits.memory_bytes = Some((200 << 20) + 1);
        spec.limits.cpus = Some(1.5);
        let (args, warnings) = create(&spec).unwrap();
        let args = args.join(" ");
        assert!(args.contains("--memory 201M") && args.contains("--cpus 2"), "{args}");
        assert!(warnings[0].starts_with("resources.cpus"));
        spec.limits.memory_bytes = Some((200 << 20) - 1);
        assert_eq!(code(&spec), Code::InvalidArgument);
    }

    #[test]
    fn a_variable_that_would_change_the_tool_is_refused() {
        for name in ["PATH", "HOME", "DYLD_INSERT_LIBRARIES", "LD_PRELOAD", "CONTAINER_DEBUG"] {
            let mut spec = spec();
            spec.environment.insert(name.to_owned(), "value".to_owned());
            assert_eq!(code(&spec), Code::Unsupported, "{name}");
        }
    }

    #[test]
    fn what_the_tool_would_split_is_refused() {
        for path in ["/a,readonly", "/a=b"] {
            let mut spec = spec();
            spec.mounts[0].source = path.into();
            assert_eq!(code(&spec), Code::InvalidArgument, "{path}");
        }
        let mut spec = spec();
        spec.labels.insert("mine".to_owned(), "a=b".to_owned());
        assert_eq!(code(&spec), Code::InvalidArgument);
    }

    #[test]
    fn security_that_it_cannot_give_is_never_dropped_silently() {
        let changes: [fn(&mut ContainerSpec); 4] = [
            |spec| spec.network = Network::Isolated { required: true },
            |spec| spec.confinement.seccomp = Seccomp::Profile("{}".to_owned()),
            |spec| spec.confinement.no_new_privileges = true,
            |spec| spec.publish.port = 0,
        ];
        for change in changes {
            let mut spec = spec();
            change(&mut spec);
            assert_eq!(code(&spec), Code::Unsupported);
        }
        let mut spec = spec();
        spec.network = Network::Isolated { required: false };
        spec.confinement.seccomp = Seccomp::Default;
        assert_eq!(create(&spec).unwrap().1.len(), 2);
    }
}
