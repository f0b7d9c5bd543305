//! A state directory: ours alone, opened without following links, on a file system whose locks work.

use std::collections::HashMap;
use std::os::fd::AsFd;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use super::descriptor::{Descriptor, epoch, without_fork};
use super::file::{Folder, Locked, Mode, trouble};
use super::home::Home;
use super::sys;
use crate::error::{Error, Result};

/// An opened state directory; clones are the same one.
#[derive(Clone, Debug)]
pub(crate) struct StateDir(Arc<Inner>);

#[derive(Debug)]
pub(super) struct Inner {
    /// Also holds a shared lock on the folder itself, which keeps cleaners of temporary folders out.
    root: Folder,
    ports: PortLocks,
}

/// The locks of host ports: one file per port, for all engines.
#[derive(Clone, Debug)]
pub(crate) struct PortLocks(Arc<Folder>);

impl PortLocks {
    /// Takes a port's lock without waiting; `None` when another process has it.
    pub fn try_lock(&self, port: u16) -> Result<Option<Locked>> {
        Ok(self.0.try_lock(&format!("{port}.lock"), Mode::Exclusive)?.map(Locked::unlinking))
    }

    /// Unlinks the files that killed processes have left; those that are locked are in use.
    pub fn sweep(&self) -> Result<()> {
        self.0.sweep()
    }
}

/// Directories that are open in this process, so that the same one is opened and tested once.
static OPEN: Mutex<Option<(u64, Known)>> = Mutex::new(None);
pub(super) type Known = HashMap<PathBuf, Weak<Inner>>;

/// Looks at the open directories for a moment in which no fork comes; a child starts with none.
pub(super) fn with_open<T>(look: impl FnOnce(&mut Known) -> T) -> T {
    let now = epoch();
    let _whole = without_fork();
    let mut open = OPEN.lock().unwrap_or_else(PoisonError::into_inner);
    let (of, known) = open.get_or_insert_with(|| (now, HashMap::new()));
    if *of != now {
        (*of, *known) = (now, HashMap::new());
    }
    look(known)
}

impl StateDir {
    /// Opens the configured one, else that of the environment.
    pub fn open(configured: Option<&Path>) -> Result<StateDir> {
        let path = configured.map_or_else(default_path, Path::to_path_buf);
        let path = std::path::absolute(&path).map_err(|error| trouble(&error, &path))?;
        let known = with_open(|open| open.get(&path).and_then(Weak::upgrade));
        if let Some(inner) = known.filter(|inner| inner.is_at(&path)) {
            return Ok(StateDir(inner));
        }
        // Two that open it at once have one each, which lock the same files.
        let inner = Arc::new(Inner::open(&path)?);
        with_open(|open| {
            open.retain(|_, inner| inner.strong_count() > 0);
            open.insert(path, Arc::downgrade(&inner));
        });
        Ok(StateDir(inner))
    }

    /// The part of one engine.
    pub fn home(&self, identity: &str) -> Result<Home> {
        Home::open(self, &self.0.root, identity)
    }

    /// The locks of host ports.
    pub fn ports(&self) -> &PortLocks {
        &self.0.ports
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0.root.path
    }
}

impl Inner {
    fn open(path: &Path) -> Result<Inner> {
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(path)
            .or_else(|error| if path.symlink_metadata().is_ok() { Ok(()) } else { Err(error) })
            .map_err(|error| trouble(&error, path))?;
        let text = path
            .to_str()
            .ok_or_else(|| Error::invalid("state_dir: not UTF-8"))
            .and_then(|text| sys::c(text).map_err(|error| trouble(&error, path)))?;
        let descriptor =
            Descriptor::make(|| sys::open_folder(&text)).map_err(|error| trouble(&error, path))?;
        check_owner(&descriptor, path)?;
        // The real path is what other processes are told: a link on the way may be re-pointed.
        let path = std::fs::canonicalize(path).map_err(|error| trouble(&error, path))?;
        sys::flock(descriptor.as_fd(), false).map_err(|error| trouble(&error, &path))?;
        let root = Folder { descriptor, path };
        let ports = Arc::new(Folder::make_in(&root, "ports")?);
        test_locks(&ports)?;
        let ports = PortLocks(ports);
        ports.sweep()?;
        Ok(Inner { root, ports })
    }

    fn is_at(&self, path: &Path) -> bool {
        use std::os::unix::ffi::OsStrExt;
        let named = std::ffi::CString::new(path.as_os_str().as_bytes()).ok().and_then(|text| {
            let folder = Descriptor::make(|| sys::open_folder(&text)).ok()?;
            sys::status(folder.as_fd()).ok()
        });
        let held = sys::status(self.root.descriptor.as_fd()).ok();
        matches!((named, held), (Some(named), Some(held)) if named.identity == held.identity)
    }
}

/// Ours, and closed to everybody else.
pub(super) fn check_owner(descriptor: &Descriptor, path: &Path) -> Result<()> {
    let status = sys::status(descriptor.as_fd()).map_err(|error| trouble(&error, path))?;
    if status.owner != sys::user() {
        return Err(Error::invalid(format!("state_dir: {} belongs to another user", path.display()))
            .with_hint("set state_dir, or SANDPORT_STATE_DIR, to a folder of your own"));
    }
    if status.mode & 0o077 != 0 {
        return Err(Error::invalid(format!("state_dir: {} is open to other users", path.display()))
            .with_hint(
                "if it holds nothing else, `chmod 700` it; otherwise set state_dir to a folder of its own",
            ));
    }
    Ok(())
}

/// Two opens of one file must exclude each other here, or no promise of this module holds.
fn test_locks(folder: &Arc<Folder>) -> Result<()> {
    let name =
        format!("test-{}-{:?}", std::process::id(), std::thread::current().id()).replace(['(', ')'], "-");
    let Some(first) = folder.try_lock(&name, Mode::Exclusive)?.map(Locked::unlinking) else {
        return Ok(()); // somebody holds it, so locks do exclude
    };
    let second = folder.try_lock(&name, Mode::Exclusive)?;
    drop(first);
    if second.is_some() {
        return Err(Error::invalid(format!(
            "state_dir: the file system of {} has no working locks",
            folder.path.display()
        ))
        .with_hint("set state_dir, or SANDPORT_STATE_DIR, to a folder on a local file system"));
    }
    Ok(())
}

fn default_path() -> PathBuf {
    if let Some(path) = std::env::var_os("SANDPORT_STATE_DIR").filter(|path| !path.is_empty()) {
        return path.into();
    }
    let ours = |path: &PathBuf| {
        use std::os::unix::fs::MetadataExt;
        path.is_absolute()
            && path.symlink_metadata().is_ok_and(|meta| meta.is_dir() && meta.uid() == sys::user())
    };
    match std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from).filter(ours) {
        Some(path) => path.join("sandport"),
        None => PathBuf::from(format!("/tmp/sandport-{}", sys::user())),
    }
}
