//! Which folders of the host a sandbox may see, and under which of its paths.
//!
//! Config mounts are the operator's word; what a request adds comes from users, so places that give power over the
//! host are denied to it. Sources are made canonical here and sent so: the engine follows links when it starts a
//! container, and a link can be turned elsewhere meanwhile.

mod held;

use std::path::{Path, PathBuf};

use crate::error::{Code, Error, Phase, Result};
use crate::form;
use crate::json::{Fields, wrong};
use crate::runtime;

#[cfg(test)]
mod tests;

/// Places of the system; with them go all that is above them and below them.
const DENIED: [&str; 6] =
    ["/proc", "/sys", "/dev", "/var/lib/docker", "/var/lib/containers", "/var/lib/containerd"];
/// Sockets that engines and their parts use without being asked.
const SOCKETS: [&str; 6] = [
    "/var/run/docker.sock",
    "/run/docker.sock",
    "/run/podman",
    "/var/run/podman",
    "/run/containerd",
    "/run/crio",
];
/// Names of such sockets wherever they stand, as under a user's runtime folder.
const SOCKET_NAMES: [&str; 4] = ["docker.sock", "podman.sock", "containerd.sock", "crio.sock"];
/// Targets that would hide what every process needs.
const NO_TARGETS: [&str; 4] = ["/", "/proc", "/sys", "/dev"];

/// A mount as a config or request asks for it; its form is checked, the host is not asked yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MountRequest {
    /// Absolute.
    pub host_path: String,
    /// Absolute, without `..` and empty parts.
    pub container_path: String,
    /// Whether the sandbox may only read.
    pub read_only: bool,
}

/// Reads a list of mounts and checks their form.
pub(crate) fn read(fields: &mut Fields, name: &str) -> Result<Vec<MountRequest>> {
    let all =
        fields.objects(name)?.unwrap_or_default().into_iter().map(read_one).collect::<Result<Vec<_>>>()?;
    for (at, mount) in all.iter().enumerate() {
        if all[..at].iter().any(|other| other.container_path == mount.container_path) {
            return Err(same_target(&format!("{}[{at}]", fields.field(name))));
        }
    }
    Ok(all)
}

fn read_one(mut fields: Fields) -> Result<MountRequest> {
    let source = fields.string("host_path")?;
    let source = fields.required("host_path", source)?;
    let target = fields.string("container_path")?;
    let target = fields.required("container_path", target)?;
    let host_path = form::absolute(&source).map_err(|what| fields.wrong("host_path", what))?;
    let container_path = form::absolute(&target).map_err(|what| fields.wrong("container_path", what))?;
    if NO_TARGETS.contains(&container_path) {
        return Err(
            fields.wrong("container_path", "would hide `/`, `/proc`, `/sys` or `/dev` of the sandbox")
        );
    }
    let mount = MountRequest {
        host_path: host_path.to_owned(),
        container_path: container_path.to_owned(),
        read_only: fields.boolean("read_only")?.unwrap_or(false),
    };
    fields.finish()?;
    Ok(mount)
}

/// What mounts are judged by.
#[derive(Clone, Debug, Default)]
pub(crate) struct Rules {
    /// Whether this process's paths mean the same to the engine.
    pub paths_are_ours: bool,
    pub data_root: Option<PathBuf>,
    pub state_dir: PathBuf,
    /// The engines' sockets.
    pub sockets: Vec<PathBuf>,
}

pub(crate) use held::Held;

/// Judges a sandbox's mounts, config mounts first; sources come back canonical where paths are ours.
pub(crate) fn judge(
    config: &[MountRequest],
    extra: &[MountRequest],
    rules: &Rules,
) -> Result<Vec<runtime::Mount>> {
    let mut all: Vec<runtime::Mount> = Vec::with_capacity(config.len() + extra.len());
    let denied = if extra.is_empty() { Vec::new() } else { rules.denied() };
    for (mounts, list, is_extra) in [(config, "mounts", false), (extra, "extra_mounts", true)] {
        for (at, mount) in mounts.iter().enumerate() {
            let field = format!("{list}[{at}]");
            let named = PathBuf::from(&mount.host_path);
            // First by its name, so that nobody learns by our answers what is in a denied place.
            if is_extra && is_denied(&named, &denied) {
                return Err(denial(&field));
            }
            let source = if rules.paths_are_ours { canonical(&named, &field)? } else { named };
            if is_extra && is_denied(&source, &denied) {
                return Err(denial(&field));
            }
            if all.iter().any(|other| other.target == mount.container_path) {
                return Err(same_target(&field));
            }
            all.push(runtime::Mount {
                source,
                target: mount.container_path.clone(),
                read_only: mount.read_only,
            });
            check_nesting(&all, &field)?;
        }
    }
    Ok(all)
}

impl Rules {
    /// Every denied place, by its name and by what it really is.
    fn denied(&self) -> Vec<PathBuf> {
        let fixed = DENIED.iter().chain(&SOCKETS).map(PathBuf::from);
        let own = self.data_root.iter().chain(&self.sockets).chain([&self.state_dir]);
        let mut all: Vec<PathBuf> = fixed.chain(own.cloned()).filter(|place| place.is_absolute()).collect();
        if self.paths_are_ours {
            let real: Vec<_> = all.iter().map(|place| real(place)).collect();
            all.extend(real);
        }
        all
    }
}

/// What a path is once links are followed, as far as it exists.
fn real(path: &Path) -> PathBuf {
    for base in path.ancestors() {
        if let Ok(found) = base.canonicalize() {
            let rest = path.strip_prefix(base).unwrap_or(Path::new(""));
            return if rest.as_os_str().is_empty() { found } else { found.join(rest) };
        }
    }
    path.to_owned()
}

/// Whether it is a denied place, above one, or below one. `starts_with` compares whole parts.
fn is_denied(source: &Path, denied: &[PathBuf]) -> bool {
    if source.file_name().is_some_and(|name| SOCKET_NAMES.iter().any(|socket| name == *socket)) {
        return true;
    }
    denied.iter().any(|place| {
        let above = place.starts_with(source);
        // Below `/` is everything.
        let below = place.parent().is_some() && source.starts_with(place);
        above || below
    })
}

fn canonical(path: &Path, field: &str) -> Result<PathBuf> {
    let found = path.canonicalize().map_err(|cause| {
        let what = match cause.kind() {
            std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory => "does not exist",
            _ => "cannot be looked at",
        };
        wrong(&format!("{field}.host_path"), what).with_hint(
            "make the folder first, as nothing is made on the host; if the path is the engine's own, set `mount_paths` \
             to \"engine\"",
        )
    })?;
    match found.to_str() {
        Some(_) => Ok(found),
        None => Err(wrong(&format!("{field}.host_path"), "leads to a path that is not UTF-8")),
    }
}

/// A writable outer folder would let one sandbox move what another's mount goes through.
fn check_nesting(all: &[runtime::Mount], field: &str) -> Result<()> {
    let Some((last, before)) = all.split_last() else { return Ok(()) };
    let nests = |inner: &runtime::Mount, outer: &runtime::Mount| {
        !outer.read_only && inner.source != outer.source && inner.source.starts_with(&outer.source)
    };
    if before.iter().any(|other| nests(last, other) || nests(other, last)) {
        let what = "lies in or around another mount's, and the outer one is writable";
        return Err(wrong(&format!("{field}.host_path"), what)
            .with_hint("mount the outer folder only, or make it read-only"));
    }
    Ok(())
}

fn same_target(field: &str) -> Error {
    wrong(&format!("{field}.container_path"), "is another mount's too")
        .with_hint("give each mount a path of its own")
}

fn denial(field: &str) -> Error {
    Error::new(Code::Denied, format!("`{field}.host_path` is a place that no request may mount"))
        .with_hint(
            "mount a folder of your own; what the operator wants mounted belongs in the config's `mounts`",
        )
        .in_phase(Phase::Validate)
}
