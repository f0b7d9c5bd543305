//! The part of a state directory that belongs to one engine: names, leases, the domain and the key.

use std::ffi::CStr;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use sha2::{Digest, Sha256};

use super::descriptor::Descriptor;
use super::file::{Folder, Locked, Mode, trouble};
use super::lease::{Alone, Lease};
use super::state::{PortLocks, StateDir, check_owner};
use super::sys;
use crate::call::Call;
use crate::error::{Code, Error, Result};

/// How long to wait for a child of ours to run its program before the next try.
const GHOSTLY: Duration = Duration::from_micros(500);

/// One engine's part of a state directory.
#[derive(Debug)]
pub(crate) struct Home {
    /// `None` for another state directory's part, of which only the leases matter.
    state: Option<StateDir>,
    root: Arc<Folder>,
    names: Arc<Folder>,
    leases: Arc<Folder>,
    domain: String,
    key: [u8; 32],
}

impl Home {
    pub(super) fn open(state: &StateDir, root: &Folder, identity: &str) -> Result<Home> {
        let digest = Sha256::digest(identity.as_bytes());
        let folder = Folder::make_in(root, &hex(&digest[..8]))?;
        let mut home = Home::within(folder, Some(state.clone()))?;
        home.domain = hex(&kept(&home.root, c"domain")?[..16]);
        home.key = kept(&home.root, c"key")?;
        Ok(home)
    }

    fn within(root: Folder, state: Option<StateDir>) -> Result<Home> {
        let names = Arc::new(Folder::make_in(&root, "names")?);
        let leases = Arc::new(Folder::make_in(&root, "leases")?);
        Ok(Home { state, root: Arc::new(root), names, leases, domain: String::new(), key: [0; 32] })
    }

    /// The part of another state directory of the same user, if it still is what a label says.
    pub fn foreign(place: &str, domain: &str) -> Option<Home> {
        let path = PathBuf::from(place);
        let root = open_existing(&path).ok().filter(|root| check_owner(&root.descriptor, &path).is_ok())?;
        if domain_of(&root) != Some(domain.to_owned()) {
            return None;
        }
        let mut home = Home::within(root, None).ok()?;
        home.domain = domain.to_owned();
        Some(home)
    }

    /// Whether the directory that a label names is no more, or holds another domain. "Could not find out" is no.
    pub fn is_lost(place: &Path, domain: &str) -> bool {
        match open_existing(place) {
            Ok(root) => domain_of(&root).is_some_and(|found| found != domain),
            Err(error) => matches!(error.raw_os_error(), Some(libc::ENOENT | libc::ENOTDIR)),
        }
    }

    /// The random name of this part; containers bear it.
    pub fn domain(&self) -> &str {
        &self.domain
    }

    /// The key of the spec hash.
    pub fn key(&self) -> &[u8; 32] {
        &self.key
    }

    /// Where it is; containers bear this too.
    pub fn place(&self) -> &Path {
        &self.root.path
    }

    /// The locks of host ports. `None` for another state directory's part.
    pub fn ports(&self) -> Option<&PortLocks> {
        self.state.as_ref().map(StateDir::ports)
    }

    /// Takes a container name's lock exclusively, waiting as long as the call has.
    pub fn hold_name(&self, call: &Call, name: &str) -> Result<Locked> {
        Ok(self.names.lock(call, &lock_file(name), Mode::Exclusive)?.unlinking())
    }

    /// The same without waiting; `None` when somebody else has it.
    pub fn try_name(&self, name: &str) -> Result<Option<Locked>> {
        Ok(self.names.try_lock(&lock_file(name), Mode::Exclusive)?.map(Locked::unlinking))
    }

    /// Unlinks the name locks that killed processes have left.
    pub fn sweep_names(&self) -> Result<()> {
        self.names.sweep()
    }

    /// Whether somebody holds the name now.
    pub fn name_is_held(&self, name: &str) -> Result<bool> {
        self.names.is_held(&lock_file(name))
    }

    /// Takes a shared lease. Waits only while a reaper looks at it.
    pub fn lease(&self, call: &Call, name: &str) -> Result<Lease> {
        self.leases.lock(call, &lock_file(name), Mode::Shared).map(Lease)
    }

    /// Takes a lease exclusively without waiting; `None` when somebody uses the sandbox.
    pub fn lease_alone(&self, name: &str) -> Result<Option<Alone>> {
        Ok(self.leases.try_lock(&lock_file(name), Mode::Exclusive)?.map(Alone))
    }

    /// The same right after a lease of our own was closed. A child that this process is just starting has a copy of
    /// every descriptor until it runs its program, so the first refusals may be our own ghost's and not a peer's.
    pub fn lease_alone_within(&self, name: &str, patience: Duration) -> Result<Option<Alone>> {
        let end = Instant::now() + patience;
        loop {
            match self.lease_alone(name)? {
                None if Instant::now() < end => std::thread::sleep(GHOSTLY),
                outcome => return Ok(outcome),
            }
        }
    }

    /// The container names that have a lease file.
    pub fn leased_names(&self) -> Result<Vec<String>> {
        self.leases.names()
    }

    /// Takes the lock under which the engine's network is made.
    pub fn network(&self, call: &Call) -> Result<Locked> {
        Ok(self.root.lock(call, "network.lock", Mode::Exclusive)?.unlinking())
    }
}

fn lock_file(name: &str) -> String {
    format!("{name}.lock")
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn open_existing(path: &Path) -> io::Result<Folder> {
    let text = sys::c(path.to_str().ok_or(io::ErrorKind::InvalidInput)?)?;
    let descriptor = Descriptor::make(|| sys::open_folder(&text))?;
    Ok(Folder { descriptor, path: path.to_owned() })
}

fn domain_of(root: &Folder) -> Option<String> {
    read(root.descriptor.as_fd(), c"domain").ok().flatten().map(|bytes| hex(&bytes[..16]))
}

/// 32 random bytes that are made once, whoever comes first, and are the same for everybody afterwards.
fn kept(root: &Folder, name: &CStr) -> Result<[u8; 32]> {
    let folder = root.descriptor.as_fd();
    let failed = |error: io::Error| trouble(&error, &root.path);
    loop {
        if let Some(bytes) = read(folder, name).map_err(failed)? {
            return Ok(bytes);
        }
        let mut random = [0; 32];
        getrandom::fill(&mut random)
            .map_err(|_| Error::new(Code::Internal, "the system gives no random bytes").retryable())?;
        // A file without the name yet: it gets it whole or not at all.
        let unique = sys::c(&format!("new-{}", hex(&random[..8]))).map_err(failed)?;
        let file = sys::open_at(folder, &unique, libc::O_RDWR | libc::O_CREAT | libc::O_EXCL, 0o600)
            .map_err(failed)?;
        let written = io::Write::write_all(&mut std::fs::File::from(file), hex(&random).as_bytes())
            .and_then(|()| sys::link_at(folder, &unique, name));
        let _ = sys::unlink_at(folder, &unique);
        written.map_err(failed)?;
    }
}

/// What [`kept`] has written; `None` where there is no file.
fn read(folder: BorrowedFd<'_>, name: &CStr) -> io::Result<Option<[u8; 32]>> {
    let file = match sys::open_at(folder, name, libc::O_RDONLY | libc::O_NONBLOCK, 0) {
        Err(error) if error.raw_os_error() == Some(libc::ENOENT) => return Ok(None),
        opened => std::fs::File::from(opened?),
    };
    let mut text = String::new();
    io::Read::read_to_string(&mut io::Read::take(file, 65), &mut text)?;
    let mut bytes = [0; 32];
    let pairs = text.as_bytes().chunks_exact(2);
    if text.len() != 64 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "a file of it is garbled; remove the folder"));
    }
    for (byte, pair) in bytes.iter_mut().zip(pairs) {
        let pair = std::str::from_utf8(pair).unwrap_or_default();
        *byte = u8::from_str_radix(pair, 16).unwrap_or_default();
    }
    Ok(Some(bytes))
}
