//! The host ports that this process has taken, backed by locks among processes.
//!
//! One set for the whole process, 64 ports a word with a summary above it, so that finding the next free one costs
//! the same however many are taken. Its lock is held for microseconds, never over a file or a socket or a fork, and
//! only ever tried: a fork can leave parking_lot's table of parked threads locked for good.

use std::collections::HashMap;
use std::net::{IpAddr, TcpListener};
use std::ops::{Deref, DerefMut};
use std::sync::Mutex as StdMutex;
use std::sync::PoisonError;

use parking_lot::{Mutex, MutexGuard};

use crate::error::{Code, Error, Result};
use crate::locks::{Locked, NoFork, PortLocks, without_fork};

const WORDS: usize = 1024;

struct Set {
    /// A set bit is a taken port.
    words: [u64; WORDS],
    /// A set bit is a word without a free port.
    full: [u64; WORDS / 64],
    /// Where the last create took one.
    last: u16,
}

static PORTS: Mutex<Set> = Mutex::new(Set { words: [0; WORDS], full: [0; WORDS / 64], last: 0 });

/// The set, while no fork can come between.
struct Held(MutexGuard<'static, Set>, #[allow(dead_code)] NoFork);

impl Deref for Held {
    type Target = Set;

    fn deref(&self) -> &Set {
        &self.0
    }
}

impl DerefMut for Held {
    fn deref_mut(&mut self) -> &mut Set {
        &mut self.0
    }
}

fn ports() -> Held {
    let whole = without_fork();
    loop {
        if let Some(guard) = PORTS.try_lock() {
            return Held(guard, whole);
        }
        std::thread::yield_now();
    }
}

impl Set {
    fn take(&mut self, port: u16) {
        let word = usize::from(port) / 64;
        self.words[word] |= 1 << (port % 64);
        if self.words[word] == u64::MAX {
            self.full[word / 64] |= 1 << (word % 64);
        }
    }

    fn free(&mut self, port: u16) {
        let word = usize::from(port) / 64;
        self.words[word] &= !(1 << (port % 64));
        self.full[word / 64] &= !(1 << (word % 64));
    }

    /// The lowest free port from `from` to `to`, both included.
    fn lowest(&self, from: u16, to: u16) -> Option<u16> {
        let mut word = usize::from(from) / 64;
        let mut free = !self.words[word] & (u64::MAX << (from % 64));
        while free == 0 {
            word += 1;
            let mut group = word / 64;
            if group >= self.full.len() {
                return None;
            }
            let mut open = !self.full[group] & (u64::MAX << (word % 64));
            while open == 0 {
                group += 1;
                open = !*self.full.get(group)?;
            }
            word = group * 64 + open.trailing_zeros() as usize;
            free = !self.words[word];
        }
        let port = word * 64 + free.trailing_zeros() as usize;
        u16::try_from(port).ok().filter(|port| *port <= to)
    }
}

/// A port that is taken; dropping it frees it.
#[derive(Debug)]
pub(crate) struct Guard {
    port: u16,
    lock: Option<Locked>,
}

impl Guard {
    /// Its number.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Gives the lock among processes back, since the engine holds the port now; this process keeps it taken.
    pub fn unlock(&mut self) {
        self.lock = None;
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        // Other processes first: once this process's set says free, its own threads must find the lock free too.
        self.lock = None;
        ports().free(self.port);
    }
}

/// Takes the next port after the last one that was taken so, wrapping within the range. `probe` is the address that
/// will be bound, `None` where this machine cannot tell (a remote engine); `skip` are ports known to be in use.
pub(crate) fn take_next(
    locks: &PortLocks,
    base: u16,
    count: u16,
    probe: Option<IpAddr>,
    skip: &[u16],
) -> Result<Guard> {
    let end = last_of(base, count);
    let last = ports().last;
    let first = if (base..end).contains(&last) { last + 1 } else { base };
    let mut taken = take(locks, first, end, probe, skip)?;
    if taken.is_none() && first > base {
        taken = take(locks, base, first - 1, probe, skip)?;
    }
    let guard = taken.ok_or_else(|| exhausted(base, end))?;
    ports().last = guard.port;
    Ok(guard)
}

/// Takes the lowest free port of a range.
pub(crate) fn take_lowest(locks: &PortLocks, base: u16, count: u16, probe: Option<IpAddr>) -> Result<Guard> {
    let end = last_of(base, count);
    take(locks, base, end, probe, &[])?.ok_or_else(|| exhausted(base, end))
}

/// Ports that were given to the caller, who gives them back by number.
static GIVEN: StdMutex<Option<HashMap<u16, Guard>>> = StdMutex::new(None);

/// Lets the caller have a port until [`take_back`].
pub(crate) fn give(guard: Guard) -> u16 {
    let port = guard.port;
    let _before = {
        let _whole = without_fork();
        GIVEN.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert_default().insert(port, guard)
    };
    port
}

/// Takes a port back; false where none was given.
pub(crate) fn take_back(port: u16) -> bool {
    let given = {
        let _whole = without_fork();
        GIVEN.lock().unwrap_or_else(PoisonError::into_inner).as_mut().and_then(|given| given.remove(&port))
    };
    // The port is freed here, where forks are let through again.
    given.is_some()
}

fn last_of(base: u16, count: u16) -> u16 {
    base.saturating_add(count.saturating_sub(1))
}

fn take(locks: &PortLocks, from: u16, to: u16, probe: Option<IpAddr>, skip: &[u16]) -> Result<Option<Guard>> {
    let mut next = from;
    while next <= to {
        let found = {
            let mut ports = ports();
            let found = ports.lowest(next, to);
            found.inspect(|port| ports.take(*port))
        };
        let Some(port) = found else { return Ok(None) };
        // From here on the guard gives it back, whatever happens.
        let mut guard = Guard { port, lock: None };
        if !skip.contains(&port) {
            guard.lock = locks.try_lock(port)?;
            if guard.lock.is_some() && is_free(port, probe)? {
                return Ok(Some(guard));
            }
        }
        let Some(after) = port.checked_add(1) else { return Ok(None) };
        next = after;
    }
    Ok(None)
}

/// Whether it can be bound now on the address where it will be.
fn is_free(port: u16, probe: Option<IpAddr>) -> Result<bool> {
    let Some(address) = probe else { return Ok(true) };
    match TcpListener::bind((address, port)) {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == std::io::ErrorKind::AddrNotAvailable => {
            Err(Error::invalid("bind_host: this machine has no such address")
                .with_hint("give an address of this machine, or leave bind_host out"))
        }
        Err(error) if matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE)) => {
            Err(Error::new(Code::Internal, "no port could be probed: too many files are open")
                .with_hint("raise `ulimit -n`")
                .retryable())
        }
        // In use, or below 1024 without the right to it: not ours either way.
        Err(_) => Ok(false),
    }
}

fn exhausted(from: u16, to: u16) -> Error {
    Error::new(Code::PortExhausted, format!("no host port from {from} to {to} is free"))
        .with_hint("destroy sandboxes that are no longer needed, or widen base_port and port_count")
        .retryable()
        .with_detail("first_port", from)
        .with_detail("last_port", to)
}

#[cfg(test)]
impl Set {
    fn is_taken(&self, port: u16) -> bool {
        self.words[usize::from(port) / 64] >> (port % 64) & 1 == 1
    }

    fn new() -> Box<Set> {
        Box::new(Set { words: [0; WORDS], full: [0; WORDS / 64], last: 0 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::locks::StateDir;
    use std::net::Ipv4Addr;

    const LOOPBACK: Option<IpAddr> = Some(IpAddr::V4(Ipv4Addr::LOCALHOST));

    /// A state directory of the test's own, gone with it.
    struct Scratch(StateDir);

    impl Deref for Scratch {
        type Target = StateDir;

        fn deref(&self) -> &StateDir {
            &self.0
        }
    }

    impl Drop for Scratch {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(self.path());
        }
    }

    fn state(name: &str) -> Scratch {
        let path = std::env::temp_dir().join(format!("sandport-ports-{name}-{}", std::process::id()));
        Scratch(StateDir::open(Some(&path)).unwrap())
    }

    #[test]
    fn the_lowest_free_one_is_found_whatever_is_taken() {
        let mut set = Set::new();
        for port in 0..=u16::MAX {
            assert_eq!(set.lowest(0, u16::MAX), Some(port));
            set.take(port);
        }
        assert_eq!(set.lowest(0, u16::MAX), None);
        for port in [0, 63, 64, 4095, 4096, 65535] {
            set.free(port);
            assert!(!set.is_taken(port));
            assert_eq!(set.lowest(port, u16::MAX), Some(port));
            assert_eq!(set.lowest(0, port), Some(port));
            set.take(port);
        }
    }

    #[test]
    fn sixty_four_threads_never_get_the_same_port() {
        let state = state("threads");
        let guards: Vec<Guard> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..64)
                .map(|_| {
                    scope.spawn(|| {
                        (0..8)
                            .map(|_| take_next(state.ports(), 40000, 2000, None, &[]).unwrap())
                            .collect::<Vec<_>>()
                    })
                })
                .collect();
            threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
        });
        let mut numbers: Vec<_> = guards.iter().map(Guard::port).collect();
        numbers.sort_unstable();
        numbers.dedup();
        assert_eq!(numbers.len(), 512);
        drop(guards);
        assert_eq!(std::fs::read_dir(state.path().join("ports")).unwrap().count(), 0, "lock files are left");
    }

    #[test]
    fn bound_locked_and_refused_ports_are_passed_over() {
        let state = state("busy");
        let bound = TcpListener::bind("127.0.0.1:42100").unwrap();
        let _locked = state.ports().try_lock(42101).unwrap().unwrap();
        let guard = take_next(state.ports(), 42100, 10, LOOPBACK, &[42102]).unwrap();
        assert_eq!(guard.port(), 42103);
        let lowest = take_lowest(state.ports(), 42100, 10, LOOPBACK).unwrap();
        assert_eq!(lowest.port(), 42102);
        drop(bound);
        assert_eq!(take_lowest(state.ports(), 42100, 10, LOOPBACK).unwrap().port(), 42100);
    }

    #[test]
    fn a_range_without_a_free_one_says_so_and_keeps_none() {
        let state = state("full");
        let all: Vec<_> = (0..4).map(|_| take_next(state.ports(), 42200, 4, None, &[]).unwrap()).collect();
        assert_eq!(take_next(state.ports(), 42200, 4, None, &[]).unwrap_err().code(), Code::PortExhausted);
        drop(all);
        assert!(take_next(state.ports(), 42200, 4, None, &[]).is_ok());
    }

    #[test]
    fn a_given_port_is_taken_back_once() {
        let state = state("given");
        let port = give(take_lowest(state.ports(), 42300, 4, LOOPBACK).unwrap());
        assert_ne!(take_lowest(state.ports(), 42300, 4, LOOPBACK).unwrap().port(), port);
        assert!(take_back(port));
        assert!(!take_back(port));
        assert_eq!(take_lowest(state.ports(), 42300, 4, LOOPBACK).unwrap().port(), port);
    }

    #[test]
    #[allow(unsafe_code)]
    fn a_child_that_is_forked_amid_traffic_finds_every_lock_free() {
        let busy = std::sync::atomic::AtomicBool::new(true);
        std::thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    while busy.load(std::sync::atomic::Ordering::Relaxed) {
                        assert!(!take_back(1));
                    }
                });
            }
            let mut ends = Vec::new();
            for _ in 0..100 {
                // SAFETY: the child takes and frees our locks and ends; where it hangs the alarm ends it.
                match unsafe { libc::fork() } {
                    0 => unsafe {
                        libc::alarm(5);
                        let free = ports().lowest(1, u16::MAX).is_some() && !take_back(1);
                        libc::_exit(i32::from(!free));
                    },
                    child => {
                        let mut status = -1;
                        // SAFETY: a system call on our child.
                        ends.push((unsafe { libc::waitpid(child, &raw mut status, 0) } == child, status));
                        if status != 0 {
                            break;
                        }
                    }
                }
            }
            busy.store(false, std::sync::atomic::Ordering::Relaxed);
            assert_eq!(ends, [(true, 0); 100], "a child hung or found no port");
        });
    }
}
