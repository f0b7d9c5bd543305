//! What the library does inside a host's process: its own threads, and writes that never kill the host.
//!
//! The host's signal handlers are left alone: a thread of ours blocks every signal, so the kernel picks one of the
//! host's threads for it, and a write to a pipe that nobody reads leaves no SIGPIPE behind.

#![allow(unsafe_code)]

use std::fs::File;
use std::io::{self, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, FromRawFd};
use std::thread;

use crate::error::{Code, Error, Result};

/// Enough for every call; a host that starts forty of them pays for forty of these at most.
const STACK: usize = 1024 * 1024;

/// Starts a thread of the library: named, 1 MiB of stack, all signals blocked. It ends with `work`.
pub(crate) fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> Result<()> {
    // The new thread inherits the mask, so there is no instant in which it takes a signal.
    let mask = Mask::block(every_signal());
    let started = thread::Builder::new().name(name.to_owned()).stack_size(STACK).spawn(work);
    drop(mask);
    match started {
        Ok(_) => Ok(()),
        Err(error) => {
            Err(Error::new(Code::Internal, format!("no thread could be started: {}", error.kind()))
                .with_hint("raise the limit on threads or memory of this process, or run fewer calls at once")
                .retryable())
        }
    }
}

/// Writes once; a reader that has gone is an error and never a SIGPIPE for the host.
pub(crate) fn write_quietly(file: &File, bytes: &[u8]) -> io::Result<usize> {
    let mask = Mask::block(broken_pipe());
    let already = mask.has_pending_pipe();
    let written = (&*file).write(bytes);
    if matches!(&written, Err(error) if error.kind() == io::ErrorKind::BrokenPipe) && !already {
        mask.take_pending_pipe();
    }
    written
}

/// Whether a write of a page's length would not wait.
pub(crate) fn takes_more(file: &File) -> bool {
    let mut ask = libc::pollfd { fd: file.as_raw_fd(), events: libc::POLLOUT, revents: 0 };
    // SAFETY: one valid entry, and no wait.
    unsafe { libc::poll(&raw mut ask, 1, 0) == 1 && ask.revents & libc::POLLOUT != 0 }
}

/// A close-on-exec copy of somebody else's descriptor, an error where there is none of that number.
pub(crate) fn duplicate(fd: i32) -> io::Result<File> {
    // SAFETY: fcntl with F_DUPFD_CLOEXEC touches no memory, and fails for a number that is not open.
    let copy = unsafe { libc::fcntl(fd, libc::F_DUPFD_CLOEXEC, 3) };
    if copy < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the copy was just made and is nobody else's.
    Ok(unsafe { File::from_raw_fd(copy) })
}

fn every_signal() -> libc::sigset_t {
    let mut set = MaybeUninit::uninit();
    // SAFETY: sigfillset initialises the set it is given.
    unsafe {
        libc::sigfillset(set.as_mut_ptr());
        set.assume_init()
    }
}

fn broken_pipe() -> libc::sigset_t {
    let mut set = MaybeUninit::uninit();
    // SAFETY: sigemptyset initialises the set it is given, and SIGPIPE is a signal.
    unsafe {
        libc::sigemptyset(set.as_mut_ptr());
        libc::sigaddset(set.as_mut_ptr(), libc::SIGPIPE);
        set.assume_init()
    }
}

/// This thread's signal mask, put back on drop.
struct Mask {
    before: libc::sigset_t,
}

impl Mask {
    fn block(signals: libc::sigset_t) -> Mask {
        let mut before = MaybeUninit::uninit();
        // SAFETY: both sets are valid; with a valid `how` the call cannot fail and fills `before`.
        unsafe {
            libc::pthread_sigmask(libc::SIG_BLOCK, &signals, before.as_mut_ptr());
            Mask { before: before.assume_init() }
        }
    }

    fn has_pending_pipe(&self) -> bool {
        let mut pending = MaybeUninit::uninit();
        // SAFETY: sigpending fills the set, and SIGPIPE is a signal.
        unsafe {
            libc::sigpending(pending.as_mut_ptr()) == 0
                && libc::sigismember(pending.as_ptr(), libc::SIGPIPE) == 1
        }
    }

    fn take_pending_pipe(&self) {
        if self.has_pending_pipe() {
            let set = broken_pipe();
            let mut taken = 0;
            // SAFETY: the signal is blocked here and pending, so sigwait returns at once.
            unsafe { libc::sigwait(&set, &mut taken) };
        }
    }
}

impl Drop for Mask {
    fn drop(&mut self) {
        // SAFETY: `before` came from pthread_sigmask.
        unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &self.before, std::ptr::null_mut()) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::OwnedFd;
    use std::sync::mpsc;

    #[test]
    fn a_thread_of_the_library_takes_no_signal() {
        let (send, receive) = mpsc::channel();
        spawn("sandport-test", move || {
            let mut mask = MaybeUninit::uninit();
            // SAFETY: a null set asks for the mask only.
            let blocked = unsafe {
                libc::pthread_sigmask(libc::SIG_BLOCK, std::ptr::null(), mask.as_mut_ptr());
                [libc::SIGINT, libc::SIGTERM, libc::SIGPIPE, libc::SIGCHLD]
                    .map(|signal| libc::sigismember(mask.as_ptr(), signal))
            };
            send.send((thread::current().name().map(str::to_owned), blocked)).unwrap();
        })
        .unwrap();
        assert_eq!(receive.recv().unwrap(), (Some("sandport-test".to_owned()), [1; 4]));
    }

    #[test]
    fn the_starter_keeps_its_own_mask() {
        spawn("sandport-test", || {}).unwrap();
        let mut mask = MaybeUninit::uninit();
        // SAFETY: a null set asks for the mask only.
        let blocked = unsafe {
            libc::pthread_sigmask(libc::SIG_BLOCK, std::ptr::null(), mask.as_mut_ptr());
            libc::sigismember(mask.as_ptr(), libc::SIGTERM)
        };
        assert_eq!(blocked, 0);
    }

    #[test]
    fn a_reader_that_has_gone_is_an_error_and_no_signal() {
        let (reader, writer) = io::pipe().unwrap();
        drop(reader);
        let file = File::from(OwnedFd::from(writer));
        assert_eq!(write_quietly(&file, b"line\n").unwrap_err().kind(), io::ErrorKind::BrokenPipe);
        assert!(!Mask::block(broken_pipe()).has_pending_pipe());
    }
}
