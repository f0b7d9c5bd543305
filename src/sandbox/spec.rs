//! The keyed hash of what a sandbox is made from, by which a later request tells whether it would make the same.
//!
//! Without a key the hash would give away short secrets of the environment: whoever reads labels could try them all.

use hmac::{Hmac, Mac};
use serde_json::{Value, json};
use sha2::Sha256;

use super::hex;
use crate::runtime::{ContainerSpec, Network, Seccomp};

/// Hex HMAC-SHA-256 of what a sandbox is made from: image, command, mounts, environment, security, resources, network
/// and container port.
pub(crate) fn spec_hash(key: &[u8; 32], spec: &ContainerSpec) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of every length");
    mac.update(canonical(spec).to_string().as_bytes());
    hex(&mac.finalize().into_bytes())
}

/// JSON keeps the parts apart whatever is in them, and its objects are in the order of their names.
fn canonical(spec: &ContainerSpec) -> Value {
    let mut mounts: Vec<_> = spec.mounts.iter().collect();
    mounts.sort_by(|one, two| one.target.cmp(&two.target));
    let mounts = mounts.into_iter();
    let mounts: Vec<_> =
        mounts.map(|mount| json!([mount.source.to_string_lossy(), mount.target, mount.read_only])).collect();
    let confinement = &spec.confinement;
    let limits = &spec.limits;
    json!({
        "image": spec.image,
        "command": spec.command,
        "mounts": mounts,
        "environment": spec.environment,
        "security": {
            "seccomp": match &confinement.seccomp {
                Seccomp::Unconfined => json!("unconfined"),
                Seccomp::Default => json!("default"),
                Seccomp::Profile(text) => json!({"profile": text}),
            },
            "no_new_privileges": confinement.no_new_privileges,
            "cap_drop": sorted(&confinement.cap_drop),
            "cap_add": sorted(&confinement.cap_add),
            "read_only_rootfs": confinement.read_only_rootfs,
            "user": confinement.user,
            "selinux_disabled": confinement.selinux_disabled,
        },
        "resources": {
            "memory_bytes": limits.memory_bytes,
            "no_swap": limits.no_swap,
            "cpus": limits.cpus,
            "pids": limits.pids,
            "shm_bytes": limits.shm_bytes,
            "log_bytes": limits.log_bytes,
        },
        "network": match &spec.network {
            // Whether anything else would do is no matter of what was made.
            Network::Isolated { .. } => json!("isolated"),
            Network::Default => json!("bridge"),
            Network::Named(name) => json!({"named": name}),
        },
        "container_port": spec.container_port,
    })
}

fn sorted(names: &[String]) -> Vec<&str> {
    let mut all: Vec<_> = names.iter().map(String::as_str).collect();
    all.sort_unstable();
    all
}
