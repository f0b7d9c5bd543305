//! Whether a path of this process means the same to the engine: what `mount_paths: "auto"` decides.
//!
//! It does not where the engine is on another machine, and where this process runs in a container into which the
//! engine's socket was mounted: the socket is then a mount of its own, or the engine is outside our process namespace.

use std::path::{Path, PathBuf};

/// Whether this process's paths mean the same to the engine at this endpoint.
pub(super) fn are_shared(endpoint: &str, is_remote: bool) -> bool {
    if is_remote {
        return false;
    }
    let Some(socket) = endpoint.strip_prefix("unix://") else {
        return true;
    };
    let socket = std::fs::canonicalize(socket).unwrap_or_else(|_| PathBuf::from(socket));
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    !is_mount_point(&mounts, &socket) && crate::locks::peer_process(&socket) != Some(0)
}

/// Whether `mountinfo` names this very path as a mount point.
fn is_mount_point(mountinfo: &str, path: &Path) -> bool {
    mountinfo
        .lines()
        .filter_map(|line| line.split(' ').nth(4))
        .any(|point| Path::new(&unescape(point)) == path)
}

/// The kernel writes blank, tab, line feed and backslash as three octal digits.
fn unescape(text: &str) -> String {
    [("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")]
        .iter()
        .fold(text.to_owned(), |text, (code, plain)| text.replace(code, plain))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOUNTS: &str = "22 1 0:21 / /proc rw - proc proc rw\n\
                          87 1 0:24 /docker.sock /run/docker.sock rw - tmpfs tmpfs rw\n\
                          88 1 0:24 / /with\\040blank rw - tmpfs tmpfs rw\n";

    #[test]
    fn a_socket_that_is_a_mount_of_its_own_is_seen() {
        assert!(is_mount_point(MOUNTS, Path::new("/run/docker.sock")));
        assert!(is_mount_point(MOUNTS, Path::new("/with blank")));
        assert!(!is_mount_point(MOUNTS, Path::new("/run")));
    }

    #[test]
    fn paths_mean_nothing_to_an_engine_elsewhere() {
        assert!(!are_shared("tcp://elsewhere:2376", true));
        assert!(are_shared("tcp://127.0.0.1:2375", false));
    }

    #[test]
    fn a_socket_of_our_own_process_shares_our_paths() {
        let path = std::env::temp_dir().join(format!("sandport-paths-{}", std::process::id()));
        let _ = std::fs::remove_file(&path);
        let listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
        assert!(are_shared(&format!("unix://{}", path.display()), false));
        drop(listener);
        std::fs::remove_file(path).unwrap();
    }
}
