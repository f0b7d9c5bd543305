//! The one recipe by which a lock file is locked, and unlinked.
//!
//! A lock file is unlinked only by somebody who holds it exclusively and has seen that the name still means the file
//! that is held. Whoever locks looks at the same thing afterwards, and starts over when it does not hold.

use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd, AsRawFd, FromRawFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::descriptor::Descriptor;
use super::sys;
use crate::call::Call;
use crate::error::{Code, Error, Phase, Result};

/// An opened folder of lock files.
#[derive(Debug)]
pub(super) struct Folder {
    pub descriptor: Descriptor,
    pub path: PathBuf,
}

/// How a file is locked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    Shared,
    Exclusive,
}

/// A lock that is held; dropping it gives it back.
#[derive(Debug)]
pub(crate) struct Locked {
    pub(super) descriptor: Descriptor,
    folder: Arc<Folder>,
    name: CString,
    unlinks: bool,
}

const FIRST_PAUSE: Duration = Duration::from_micros(500);
const LONGEST_PAUSE: Duration = Duration::from_millis(20);

impl Folder {
    pub fn make_in(parent: &Folder, name: &str) -> Result<Folder> {
        let path = parent.path.join(name);
        let text = sys::c(name).map_err(|error| trouble(&error, &path))?;
        let made = sys::make_folder_at(parent.descriptor.as_fd(), &text)
            .and_then(|()| {
                Descriptor::make(|| {
                    sys::open_at(parent.descriptor.as_fd(), &text, libc::O_RDONLY | libc::O_DIRECTORY, 0)
                })
            })
            .map_err(|error| trouble(&error, &path))?;
        Ok(Folder { descriptor: made, path })
    }

    /// Locks without waiting; `None` when somebody else holds it.
    pub fn try_lock(self: &Arc<Self>, name: &str, mode: Mode) -> Result<Option<Locked>> {
        let path = self.path.join(name);
        let name = sys::c(name).map_err(|error| trouble(&error, &path))?;
        self.attempt(&name, mode).map_err(|error| trouble(&error, &path))
    }

    /// Locks, waiting at most as long as the call has.
    pub fn lock(self: &Arc<Self>, call: &Call, name: &str, mode: Mode) -> Result<Locked> {
        let mut pause = FIRST_PAUSE;
        loop {
            if let Some(locked) = self.try_lock(name, mode)? {
                return Ok(locked);
            }
            call.sleep(jittered(pause)).map_err(|error| match error.code() {
                Code::Timeout => {
                    Error::new(Code::Timeout, "another process has held this sandbox's lock all the time")
                        .with_hint(
                            "it is making or removing the sandbox; try again, or raise call_timeout_seconds",
                        )
                        .in_phase(Phase::Lock)
                        .retryable()
                }
                _ => error.in_phase(Phase::Lock),
            })?;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    fn attempt(self: &Arc<Self>, name: &CString, mode: Mode) -> io::Result<Option<Locked>> {
        loop {
            let folder = self.descriptor.as_fd();
            let descriptor =
                Descriptor::make(|| sys::open_at(folder, name, libc::O_RDWR | libc::O_CREAT, 0o600))?;
            if !sys::flock(descriptor.as_fd(), mode == Mode::Exclusive)? {
                return Ok(None);
            }
            let held = sys::status(descriptor.as_fd())?.identity;
            match sys::status_at(folder, name) {
                Ok(named) if named.identity == held => {
                    return Ok(Some(Locked {
                        descriptor,
                        folder: self.clone(),
                        name: name.clone(),
                        unlinks: false,
                    }));
                }
                // Its last holder unlinked it between our open and our lock.
                Ok(_) => {}
                Err(error) if error.raw_os_error() == Some(libc::ENOENT) => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Whether somebody holds it exclusively now. Makes no file.
    pub fn is_held(&self, name: &str) -> Result<bool> {
        let path = self.path.join(name);
        let probe = || {
            let name = sys::c(name)?;
            match Descriptor::make(|| sys::open_at(self.descriptor.as_fd(), &name, libc::O_RDWR, 0)) {
                Ok(descriptor) => sys::flock(descriptor.as_fd(), false).map(|free| !free),
                Err(error) if error.raw_os_error() == Some(libc::ENOENT) => Ok(false),
                Err(error) => Err(error),
            }
        };
        probe().map_err(|error| trouble(&error, &path))
    }

    /// Unlinks the files that killed processes have left; those that are locked are in use. Not for leases, whose
    /// files say something.
    pub fn sweep(self: &Arc<Self>) -> Result<()> {
        for name in self.names()? {
            drop(self.try_lock(&format!("{name}.lock"), Mode::Exclusive)?.map(Locked::unlinking));
        }
        Ok(())
    }

    /// The names of the lock files that are there, without `.lock`.
    pub fn names(&self) -> Result<Vec<String>> {
        let entries = std::fs::read_dir(&self.path).map_err(|error| trouble(&error, &self.path))?;
        let mut names = Vec::new();
        for entry in entries {
            let entry = entry.map_err(|error| trouble(&error, &self.path))?;
            if let Some(name) = entry.file_name().to_str().and_then(|name| name.strip_suffix(".lock")) {
                names.push(name.to_owned());
            }
        }
        Ok(names)
    }
}

impl Locked {
    /// The same lock, whose file goes with it. Only for one that is held exclusively.
    pub(super) fn unlinking(mut self) -> Locked {
        self.unlinks = true;
        self
    }

    /// Reads the file's first bytes.
    pub(super) fn read(&self, room: &mut [u8]) -> io::Result<usize> {
        self.with_file(|file| std::os::unix::fs::FileExt::read_at(file, room, 0))
    }

    /// Writes at the file's start, in one go.
    pub(super) fn write(&self, bytes: &[u8]) -> Result<()> {
        self.with_file(|file| std::os::unix::fs::FileExt::write_all_at(file, bytes, 0))
            .map_err(|error| trouble(&error, &self.folder.path))
    }

    #[allow(unsafe_code)]
    fn with_file<T>(&self, work: impl FnOnce(&std::fs::File) -> T) -> T {
        // SAFETY: the descriptor outlives the file made of it here, which is never dropped and so never closes it.
        let file =
            std::mem::ManuallyDrop::new(unsafe { std::fs::File::from_raw_fd(self.descriptor.as_raw_fd()) });
        work(&file)
    }
}

impl Drop for Locked {
    fn drop(&mut self) {
        // A forked child's copy is closed already, and the file is the parent's.
        if self.unlinks && self.descriptor.is_ours() {
            // Held exclusively and seen to be the file of this name; nobody can have put another one there since.
            let _ = sys::unlink_at(self.folder.descriptor.as_fd(), &self.name);
        }
    }
}

/// Half to one and a half of the pause, so that waiters do not march in step.
fn jittered(pause: Duration) -> Duration {
    let mut random = [0; 2];
    let _ = getrandom::fill(&mut random);
    pause.mul_f64(0.5 + f64::from(u16::from_ne_bytes(random)) / f64::from(u16::MAX))
}

/// What goes wrong with a file of a state directory.
pub(super) fn trouble(error: &io::Error, path: &Path) -> Error {
    let hint = match error.raw_os_error() {
        Some(libc::ENOSPC | libc::EDQUOT) => "its disk is full: make room, or set state_dir elsewhere",
        Some(libc::EMFILE | libc::ENFILE) => "the process has too many files open: raise `ulimit -n`",
        Some(libc::EROFS | libc::EACCES | libc::EPERM) => {
            "set state_dir to a folder that this user may write to"
        }
        Some(libc::ENOENT) => "the state directory was removed while in use: open the backend again",
        Some(libc::ELOOP | libc::ENOTDIR) => {
            "something that is no folder stands there: set state_dir elsewhere"
        }
        Some(libc::ENOLCK | libc::ENOTSUP | libc::EINVAL) => {
            "its file system has no working locks: set state_dir to a local one"
        }
        _ => "look at the folder, or set state_dir elsewhere",
    };
    let code = match error.raw_os_error() {
        Some(libc::EROFS | libc::EACCES | libc::EPERM | libc::ELOOP | libc::ENOTDIR | libc::ENOLCK) => {
            Code::InvalidArgument
        }
        _ => Code::Internal,
    };
    // The kernel's words, but not the number behind them.
    let words = error.to_string();
    let words = words.split(" (os error").next().unwrap_or_default().to_lowercase();
    let told = Error::new(code, format!("{} in the state directory: {words}", path.display()))
        .with_hint(hint)
        .in_phase(Phase::Lock);
    if code == Code::Internal { told.retryable() } else { told }
}
