//! Whether a container got the folders that were judged: an engine follows links when it starts a container, so a
//! link that its owner re-points between our check and that start would carry the mount elsewhere.
//!
//! What was judged is known by device and inode, taken without following any link, and compared with what the
//! container really has at the target, looked up inside its own root.

use std::path::Path;

use crate::locks::{Identity, identity_in_root, identity_without_links};
use crate::runtime::Mount;

/// The folders that were judged, by what they are and not by their names.
#[derive(Clone, Debug, Default)]
pub(crate) struct Held(Vec<(String, Identity)>);

impl Held {
    /// What these mounts lead to now. A source that cannot be looked at so is not compared later: the judged path
    /// itself has just lost its meaning, and the engine will say so.
    pub fn of(mounts: &[Mount]) -> Held {
        let look = |mount: &Mount| Some((mount.target.clone(), identity_without_links(&mount.source).ok()?));
        Held(mounts.iter().filter_map(look).collect())
    }

    /// The target under which the container of this process has something else. `None` also where its root cannot be
    /// looked at: another process namespace, or a user without the right to.
    pub fn differs(&self, process: u32) -> Option<&str> {
        let root = format!("/proc/{process}/root");
        let other = |(target, held): &&(String, Identity)| {
            identity_in_root(Path::new(&root), Path::new(target)).is_ok_and(|found| found != *held)
        };
        self.0.iter().find(other).map(|(target, _)| target.as_str())
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    fn mount(source: &Path, target: &str) -> Mount {
        Mount { source: source.to_owned(), target: target.to_owned(), read_only: false }
    }

    #[test]
    fn what_stands_at_the_target_is_compared_inside_the_containers_root() {
        let folder = std::env::temp_dir().join(format!("sandport-held-{}", std::process::id()));
        let (one, two) = (folder.join("one"), folder.join("two"));
        std::fs::create_dir_all(&one).unwrap();
        std::fs::create_dir_all(&two).unwrap();
        // This process stands for a container: its root is the machine's.
        let held = Held::of(&[mount(&one, one.to_str().unwrap())]);
        assert_eq!(held.differs(std::process::id()), None);
        let swapped = Held::of(&[mount(&two, one.to_str().unwrap())]);
        assert_eq!(swapped.differs(std::process::id()), one.to_str());
        std::fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn a_source_that_has_become_a_link_is_not_followed() {
        let folder = std::env::temp_dir().join(format!("sandport-held-link-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        std::os::unix::fs::symlink("/etc", folder.join("link")).unwrap();
        assert!(identity_without_links(&folder.join("link")).is_err());
        assert!(identity_without_links(&folder.join("link/ssl")).is_err());
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
