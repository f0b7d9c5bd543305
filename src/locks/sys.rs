//! The system calls that the standard library does not have.

use std::ffi::{CStr, CString};
use std::io::{Error, Result};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

/// Who a file is: what tells it from another one that took its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Identity {
    device: u64,
    inode: u64,
}

/// What of a file's status matters here.
#[derive(Clone, Copy, Debug)]
pub(super) struct Status {
    pub identity: Identity,
    pub owner: u32,
    pub mode: u32,
}

pub(super) fn c(text: &str) -> Result<CString> {
    CString::new(text).map_err(|_| Error::from_raw_os_error(libc::EINVAL))
}

fn done(result: libc::c_int) -> Result<libc::c_int> {
    if result < 0 { Err(Error::last_os_error()) } else { Ok(result) }
}

/// `openat`, close-on-exec, following no link, tried again when a signal interrupts it.
pub(super) fn open_at(folder: BorrowedFd<'_>, name: &CStr, flags: libc::c_int, mode: u32) -> Result<OwnedFd> {
    loop {
        let flags = flags | libc::O_CLOEXEC | libc::O_NOFOLLOW;
        // SAFETY: a valid descriptor and a NUL-terminated name.
        let fd = unsafe { libc::openat(folder.as_raw_fd(), name.as_ptr(), flags, mode as libc::c_uint) };
        match done(fd) {
            // SAFETY: the call has just made this descriptor, and nobody else has it.
            Ok(fd) => return Ok(unsafe { OwnedFd::from_raw_fd(fd) }),
            Err(error) if error.raw_os_error() == Some(libc::EINTR) => {}
            Err(error) => return Err(error),
        }
    }
}

/// Opens a folder by its path, following no link at its end.
pub(super) fn open_folder(path: &CStr) -> Result<OwnedFd> {
    let flags = libc::O_RDONLY | libc::O_DIRECTORY | libc::O_CLOEXEC | libc::O_NOFOLLOW;
    // SAFETY: a NUL-terminated path.
    let fd = done(unsafe { libc::open(path.as_ptr(), flags) })?;
    // SAFETY: the call has just made this descriptor, and nobody else has it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// `flock` without waiting; false when somebody else holds it.
pub(super) fn flock(fd: BorrowedFd<'_>, exclusive: bool) -> Result<bool> {
    let mode = if exclusive { libc::LOCK_EX } else { libc::LOCK_SH };
    loop {
        // SAFETY: a valid descriptor.
        match done(unsafe { libc::flock(fd.as_raw_fd(), mode | libc::LOCK_NB) }) {
            Ok(_) => return Ok(true),
            Err(error) => match error.raw_os_error() {
                Some(libc::EWOULDBLOCK) => return Ok(false),
                Some(libc::EINTR) => {}
                _ => return Err(error),
            },
        }
    }
}

fn told(result: libc::c_int, status: &std::mem::MaybeUninit<libc::stat>) -> Result<Status> {
    done(result)?;
    // SAFETY: the call succeeded and so has filled it in.
    let status = unsafe { status.assume_init_ref() };
    #[allow(clippy::unnecessary_cast)] // the types differ among systems
    Ok(Status {
        identity: Identity { device: status.st_dev as u64, inode: status.st_ino as u64 },
        owner: status.st_uid,
        mode: status.st_mode as u32,
    })
}

/// `fstat`.
pub(super) fn status(fd: BorrowedFd<'_>) -> Result<Status> {
    let mut status = std::mem::MaybeUninit::uninit();
    // SAFETY: a valid descriptor, and room for the answer.
    let result = unsafe { libc::fstat(fd.as_raw_fd(), status.as_mut_ptr()) };
    told(result, &status)
}

/// `fstatat`, following no link.
pub(super) fn status_at(folder: BorrowedFd<'_>, name: &CStr) -> Result<Status> {
    let mut status = std::mem::MaybeUninit::uninit();
    let flags = libc::AT_SYMLINK_NOFOLLOW;
    // SAFETY: a valid descriptor, a NUL-terminated name, and room for the answer.
    let result = unsafe { libc::fstatat(folder.as_raw_fd(), name.as_ptr(), status.as_mut_ptr(), flags) };
    told(result, &status)
}

/// `unlinkat`.
pub(super) fn unlink_at(folder: BorrowedFd<'_>, name: &CStr) -> Result<()> {
    // SAFETY: a valid descriptor and a NUL-terminated name.
    done(unsafe { libc::unlinkat(folder.as_raw_fd(), name.as_ptr(), 0) }).map(drop)
}

/// `mkdirat` with mode 0700; there already is fine.
pub(super) fn make_folder_at(folder: BorrowedFd<'_>, name: &CStr) -> Result<()> {
    // SAFETY: a valid descriptor and a NUL-terminated name.
    match done(unsafe { libc::mkdirat(folder.as_raw_fd(), name.as_ptr(), 0o700) }) {
        Err(error) if error.raw_os_error() != Some(libc::EEXIST) => Err(error),
        _ => Ok(()),
    }
}

/// `linkat` within one folder; false when the new name is taken.
pub(super) fn link_at(folder: BorrowedFd<'_>, old: &CStr, new: &CStr) -> Result<bool> {
    let fd = folder.as_raw_fd();
    // SAFETY: a valid descriptor and NUL-terminated names.
    match done(unsafe { libc::linkat(fd, old.as_ptr(), fd, new.as_ptr(), 0) }) {
        Ok(_) => Ok(true),
        Err(error) if error.raw_os_error() == Some(libc::EEXIST) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Who we are to the file system.
pub(super) fn user() -> u32 {
    // SAFETY: it has no arguments and cannot fail.
    unsafe { libc::geteuid() }
}

/// Time since the machine started, sleep included; on macOS the nearest that there is.
pub(super) fn since_boot() -> Duration {
    #[cfg(target_os = "macos")]
    const CLOCK: libc::clockid_t = libc::CLOCK_MONOTONIC_RAW;
    #[cfg(not(target_os = "macos"))]
    const CLOCK: libc::clockid_t = libc::CLOCK_BOOTTIME;
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: room for the answer; these clocks exist on every system that we run on.
    unsafe { libc::clock_gettime(CLOCK, &raw mut time) };
    #[allow(clippy::unnecessary_cast)] // the types differ among systems
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// What tells this start of the machine from any other; empty where the system does not say.
pub(super) fn boot() -> String {
    #[cfg(target_os = "macos")]
    {
        let mut text = [0u8; 64];
        let mut length = text.len();
        // SAFETY: a NUL-terminated name, and a buffer of the length that is given.
        let result = unsafe {
            libc::sysctlbyname(
                c"kern.bootsessionuuid".as_ptr(),
                text.as_mut_ptr().cast(),
                &raw mut length,
                std::ptr::null_mut(),
                0,
            )
        };
        if result != 0 {
            return String::new();
        }
        String::from_utf8_lossy(&text[..length]).trim_matches(['\0', '\n']).to_owned()
    }
    #[cfg(not(target_os = "macos"))]
    std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default().trim().to_owned()
}

/// Has three functions called around every fork of this process.
pub(super) fn at_fork(
    prepare: extern "C" fn(),
    parent: extern "C" fn(),
    child: extern "C" fn(),
) -> Result<()> {
    // SAFETY: the functions live as long as the process: the library is never unloaded (`-z nodelete`).
    match unsafe { libc::pthread_atfork(Some(prepare), Some(parent), Some(child)) } {
        0 => Ok(()),
        number => Err(Error::from_raw_os_error(number)),
    }
}

/// What a path leads to when no part of it may be a link.
pub(crate) fn identity_without_links(path: &Path) -> Result<Identity> {
    resolve(None, path, Resolve::WithoutLinks)
}

/// What a path leads to inside another root: links of its own stay inside.
pub(crate) fn identity_in_root(root: &Path, path: &Path) -> Result<Identity> {
    let root = std::fs::File::open(root)?;
    resolve(Some(root.as_fd()), path, Resolve::InRoot)
}

enum Resolve {
    WithoutLinks,
    InRoot,
}

#[cfg(target_os = "linux")]
fn resolve(folder: Option<BorrowedFd<'_>>, path: &Path, how: Resolve) -> Result<Identity> {
    use std::os::unix::ffi::OsStrExt;
    let path = CString::new(path.as_os_str().as_bytes())?;
    // SAFETY: all zeros are a valid value of this plain structure.
    let mut open: libc::open_how = unsafe { std::mem::zeroed() };
    open.flags = (libc::O_PATH | libc::O_CLOEXEC) as u64;
    open.resolve = match how {
        Resolve::WithoutLinks => libc::RESOLVE_NO_SYMLINKS,
        Resolve::InRoot => libc::RESOLVE_IN_ROOT,
    };
    let folder = folder.map_or(libc::AT_FDCWD, |folder| folder.as_raw_fd());
    // SAFETY: a NUL-terminated path, and the structure with its size.
    let fd = unsafe {
        libc::syscall(libc::SYS_openat2, folder, path.as_ptr(), &raw const open, size_of::<libc::open_how>())
    };
    let fd = done(fd as libc::c_int)?;
    // SAFETY: the call has just made this descriptor, and nobody else has it.
    let fd = unsafe { OwnedFd::from_raw_fd(fd) };
    Ok(status(fd.as_fd())?.identity)
}

#[cfg(not(target_os = "linux"))]
fn resolve(_folder: Option<BorrowedFd<'_>>, _path: &Path, _how: Resolve) -> Result<Identity> {
    Err(std::io::ErrorKind::Unsupported.into())
}

/// The process id at the other end of a Unix socket: 0 when it is outside our process namespace, `None` when unknown.
pub(crate) fn peer_process(socket: &Path) -> Option<i32> {
    let stream = UnixStream::connect(socket).ok()?;
    peer_of(&stream)
}

#[cfg(target_os = "linux")]
fn peer_of(stream: &UnixStream) -> Option<i32> {
    let mut peer = libc::ucred { pid: -1, uid: 0, gid: 0 };
    let mut length = size_of::<libc::ucred>() as libc::socklen_t;
    // SAFETY: a valid socket, and room of the length that is given.
    let result = unsafe {
        libc::getsockopt(
            stream.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_PEERCRED,
            (&raw mut peer).cast(),
            &raw mut length,
        )
    };
    (result == 0).then_some(peer.pid)
}

#[cfg(not(target_os = "linux"))]
fn peer_of(_stream: &UnixStream) -> Option<i32> {
    None
}
