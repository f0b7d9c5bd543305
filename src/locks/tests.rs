//! What must hold among threads, processes and forks.

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use super::*;
use crate::call::Call;
use crate::error::Code;

static NUMBERS: AtomicU32 = AtomicU32::new(0);

/// A folder of the test's own, gone with it.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Scratch {
        let number = NUMBERS.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("sandport-locks-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Scratch(path)
    }

    fn state(&self) -> StateDir {
        StateDir::open(Some(&self.0.join("state"))).unwrap()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn soon() -> Call {
    Call::new().within(Duration::from_secs(20))
}

const CHILD: &str = "SANDPORT_LOCKS_CHILD";

/// Starts this test program again as another process that runs [`another_process`].
fn peer(role: &str, state: &StateDir) -> std::process::Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "locks::tests::another_process", "--nocapture"])
        .env(CHILD, role)
        .env("SANDPORT_STATE_DIR", state.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap()
}

/// Not a test of its own: what a [`peer`] does.
#[test]
fn another_process() {
    let Ok(role) = std::env::var(CHILD) else { return };
    let state = StateDir::open(None).unwrap();
    let home = state.home("engine").unwrap();
    match role.as_str() {
        "count" => count(&home, state.path()),
        "lease" => {
            home.lease(&soon(), "box").unwrap().mark_used().unwrap();
            let _lease = home.lease(&soon(), "box").unwrap();
            std::fs::write(state.path().join("ready"), "").unwrap();
            let _ = std::io::stdin().read_line(&mut String::new());
        }
        other => panic!("no such role: {other}"),
    }
}

/// Locks and unlinks one name for two seconds around a counter that two inside at once would break.
fn count(home: &Home, folder: &std::path::Path) {
    let counter = folder.join("counter");
    let end = Instant::now() + Duration::from_secs(2);
    while Instant::now() < end {
        let _name = home.hold_name(&soon(), "box").unwrap();
        let inside = folder.join("inside");
        let alone = std::fs::OpenOptions::new().write(true).create_new(true).open(&inside);
        let before: u64 = std::fs::read_to_string(&counter).unwrap().parse().unwrap();
        std::fs::write(&counter, (before + 1).to_string()).unwrap();
        assert!(alone.is_ok(), "two are inside");
        std::fs::remove_file(&inside).unwrap();
    }
}

#[test]
fn a_name_has_one_holder_among_six_processes_and_its_file_does_not_stay() {
    let scratch = Scratch::new();
    let state = scratch.state();
    let home = state.home("engine").unwrap();
    std::fs::write(state.path().join("counter"), "0").unwrap();
    let mut peers: Vec<_> = (0..6).map(|_| peer("count", &state)).collect();
    for peer in &mut peers {
        assert!(peer.wait().unwrap().success());
    }
    let entries: u64 = std::fs::read_to_string(state.path().join("counter")).unwrap().parse().unwrap();
    println!("{entries} entries by six processes");
    assert!(entries > 6);
    assert_eq!(std::fs::read_dir(home.place().join("names")).unwrap().count(), 0);
}

#[test]
fn a_killed_holders_lease_is_free_and_still_says_in_use() {
    let scratch = Scratch::new();
    let state = scratch.state();
    let home = state.home("engine").unwrap();
    let mut peer = peer("lease", &state);
    while !state.path().join("ready").exists() {
        assert!(peer.try_wait().unwrap().is_none());
        std::thread::yield_now();
    }
    assert!(home.lease_alone("box").unwrap().is_none());
    peer.kill().unwrap();
    peer.wait().unwrap();
    let mut alone = home.lease_alone("box").unwrap().expect("the kernel has freed it");
    assert_eq!(alone.idle(), None);
    alone.mark_idle().unwrap();
    assert!(alone.idle().unwrap() < Duration::from_secs(20));
    alone.unlink().unwrap();
    assert_eq!(home.leased_names().unwrap(), Vec::<String>::new());
}

#[test]
fn waiting_for_a_name_ends_with_the_call() {
    let scratch = Scratch::new();
    let home = scratch.state().home("engine").unwrap();
    let held = home.hold_name(&soon(), "box").unwrap();
    assert!(home.name_is_held("box").unwrap());
    assert!(home.try_name("box").unwrap().is_none());
    let brief = Call::new().within(Duration::from_millis(20));
    assert_eq!(home.hold_name(&brief, "box").unwrap_err().code(), Code::Timeout);
    let call = soon();
    std::thread::scope(|scope| {
        let waiter = scope.spawn(|| home.hold_name(&call, "box").map(drop));
        call.cancel();
        assert_eq!(waiter.join().unwrap().unwrap_err().code(), Code::Cancelled);
    });
    drop(held);
    assert!(!home.name_is_held("box").unwrap());
    assert!(home.try_name("box").unwrap().is_some());
}

#[test]
#[allow(unsafe_code)]
fn a_forked_child_neither_keeps_nor_frees_its_parents_lease() {
    let scratch = Scratch::new();
    let home = scratch.state().home("engine").unwrap();
    let lease = home.lease(&soon(), "box").unwrap();
    let name = home.hold_name(&soon(), "box").unwrap();
    // SAFETY: the child only drops what it has, waits for a byte and ends without running anything else of ours.
    let mut pipe = [0; 2];
    assert_eq!(unsafe { libc::pipe(pipe.as_mut_ptr()) }, 0);
    match unsafe { libc::fork() } {
        0 => {
            drop((lease, name));
            let mut byte = 0u8;
            unsafe {
                libc::close(pipe[1]);
                libc::read(pipe[0], (&raw mut byte).cast(), 1);
                libc::_exit(0);
            }
        }
        child => {
            assert!(child > 0);
            // The child's drops have touched neither the lock nor the file.
            assert!(home.lease_alone("box").unwrap().is_none());
            assert!(home.name_is_held("box").unwrap());
            // While the child lives, what the parent gives up is free: the child has no copy of it.
            // (A program that another test is starting right now may have one for the moment before its exec.)
            drop((lease, name));
            let end = Instant::now() + Duration::from_secs(20);
            while home.lease_alone("box").unwrap().is_none() || home.try_name("box").unwrap().is_none() {
                assert!(Instant::now() < end, "the child keeps a lock of its parent");
                std::thread::yield_now();
            }
            let mut status = 0;
            unsafe {
                libc::close(pipe[1]);
                libc::waitpid(child, &raw mut status, 0);
                libc::close(pipe[0]);
            }
            assert_eq!(status, 0);
        }
    }
}

#[test]
fn one_state_directory_has_one_domain_and_key_and_another_has_others() {
    let (one, two) = (Scratch::new(), Scratch::new());
    let first = one.state().home("engine").unwrap();
    let again = one.state().home("engine").unwrap();
    assert_eq!((first.domain(), first.key()), (again.domain(), again.key()));
    assert_eq!(first.domain().len(), 32);
    assert_ne!(first.domain(), one.state().home("another engine").unwrap().domain());
    assert_ne!(first.domain(), two.state().home("engine").unwrap().domain());
}

#[test]
fn another_state_directorys_lease_is_reached_by_its_label_or_not_at_all() {
    let scratch = Scratch::new();
    let home = scratch.state().home("engine").unwrap();
    let place = home.place().to_str().unwrap().to_owned();
    let foreign = Home::foreign(&place, home.domain()).expect("the same user's");
    let _lease = foreign.lease(&soon(), "box").unwrap();
    assert!(home.lease_alone("box").unwrap().is_none());
    assert!(Home::foreign(&place, "0123").is_none());
    assert!(Home::is_lost(home.place(), "0123"));
    assert!(!Home::is_lost(home.place(), home.domain()));
    assert!(Home::is_lost(std::path::Path::new("/no/such/place"), home.domain()));
}

#[test]
fn a_directory_that_is_not_ours_alone_is_refused_with_the_fix() {
    use std::os::unix::fs::{PermissionsExt, symlink};
    let scratch = Scratch::new();
    let open = scratch.0.join("open");
    std::fs::create_dir(&open).unwrap();
    std::fs::set_permissions(&open, std::fs::Permissions::from_mode(0o755)).unwrap();
    let error = StateDir::open(Some(&open)).unwrap_err();
    assert_eq!(error.code(), Code::InvalidArgument);
    assert!(error.hint().contains("chmod 700"), "{error}");

    let link = scratch.0.join("link");
    symlink(scratch.state().path(), &link).unwrap();
    assert_eq!(StateDir::open(Some(&link)).unwrap_err().code(), Code::InvalidArgument);

    let file = scratch.0.join("file");
    std::fs::write(&file, "").unwrap();
    assert_eq!(StateDir::open(Some(&file)).unwrap_err().code(), Code::InvalidArgument);
    assert!(!StateDir::open(Some(std::path::Path::new("/proc/sandport"))).unwrap_err().hint().is_empty());
}

#[test]
fn a_directory_that_is_removed_while_in_use_is_said_and_opened_anew() {
    let scratch = Scratch::new();
    let state = scratch.state();
    let home = state.home("engine").unwrap();
    let domain = home.domain().to_owned();
    std::fs::remove_dir_all(state.path()).unwrap();
    let error = home.hold_name(&soon(), "box").unwrap_err();
    assert!(error.hint().contains("removed while in use"), "{error}");
    assert_ne!(scratch.state().home("engine").unwrap().domain(), domain);
}

#[test]
fn a_child_that_is_just_being_started_is_not_taken_for_a_peer() {
    let scratch = Scratch::new();
    let home = scratch.state().home("engine").unwrap();
    let stop = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    assert!(Command::new("true").status().unwrap().success());
                }
            });
        }
        // Four of ten are refused at the first try.
        for _ in 0..200 {
            drop(home.lease(&soon(), "box").unwrap());
            let alone = home.lease_alone_within("box", Duration::from_secs(20)).unwrap();
            if alone.is_none() {
                stop.store(true, Ordering::Relaxed);
            }
            alone.expect("nobody else has it").unlink().unwrap();
        }
        stop.store(true, Ordering::Relaxed);
    });
    let _lease = home.lease(&soon(), "box").unwrap();
    assert!(home.lease_alone_within("box", Duration::from_millis(5)).unwrap().is_none());
}

/// A small file system of the test's own; gone with it. Needs root, as the whole test run does.
struct Mounted(PathBuf);

impl Mounted {
    fn new(scratch: &Scratch, options: &str) -> Mounted {
        let path = scratch.0.join("mounted");
        std::fs::create_dir_all(&path).unwrap();
        let mount = ["-t", "tmpfs", "-o", options, "tmpfs", path.to_str().unwrap()];
        assert!(Command::new("mount").args(mount).status().unwrap().success(), "mounting needs root");
        Mounted(path)
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

#[test]
fn a_full_disk_is_said_with_the_fix_and_never_taken_for_a_free_lock() {
    let scratch = Scratch::new();
    // Room for the directory's own files and no more.
    let mounted = Mounted::new(&scratch, "size=1m,nr_inodes=16,mode=0700");
    let state = StateDir::open(Some(&mounted.0.join("state"))).unwrap();
    let home = state.home("engine").unwrap();
    let mut fillers = 0;
    while std::fs::write(mounted.0.join(format!("filler{fillers}")), "").is_ok() {
        fillers += 1;
    }
    for error in [home.hold_name(&soon(), "box").unwrap_err(), home.lease(&soon(), "box").unwrap_err()] {
        assert!(error.hint().contains("disk is full"), "{error}");
        assert!(error.is_retryable());
    }
    assert!(state.ports().try_lock(1234).is_err(), "it is not known to be free");
    for filler in 0..fillers {
        std::fs::remove_file(mounted.0.join(format!("filler{filler}"))).unwrap();
    }
    assert!(home.hold_name(&soon(), "box").is_ok(), "and it works again by itself");
}

#[test]
fn a_read_only_place_and_another_users_are_refused_with_the_fix() {
    let scratch = Scratch::new();
    let mounted = Mounted::new(&scratch, "size=64k,ro");
    let error = StateDir::open(Some(&mounted.0.join("state"))).unwrap_err();
    assert_eq!(error.code(), Code::InvalidArgument);
    assert!(error.hint().contains("may write"), "{error}");

    let theirs = scratch.0.join("theirs");
    std::fs::create_dir(&theirs).unwrap();
    std::os::unix::fs::chown(&theirs, Some(65534), None).unwrap();
    let error = StateDir::open(Some(&theirs)).unwrap_err();
    assert_eq!(error.code(), Code::InvalidArgument);
    assert!(error.message().contains("another user"), "{error}");
}

#[test]
#[allow(unsafe_code)]
fn a_child_that_is_forked_while_directories_are_opened_can_open_its_own() {
    let scratch = Scratch::new();
    let path = scratch.state().path().to_owned();
    let busy = std::sync::atomic::AtomicBool::new(true);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while busy.load(Ordering::Relaxed) {
                    drop(StateDir::open(Some(&path)).unwrap());
                }
            });
        }
        let mut ends = Vec::new();
        for _ in 0..100 {
            // SAFETY: the child looks at the table of open directories and ends; where it hangs the alarm ends it.
            match unsafe { libc::fork() } {
                0 => unsafe {
                    libc::alarm(5);
                    let none = state::with_open(|open| open.is_empty());
                    libc::_exit(i32::from(!none));
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
        busy.store(false, Ordering::Relaxed);
        assert_eq!(ends, [(true, 0); 100], "a child hung, or found a directory of its parent's");
    });
}
