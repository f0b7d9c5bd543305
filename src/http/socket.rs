//! Connected sockets whose waits end when their call ends.
//!
//! Every descriptor is non-blocking. A wait is `poll(2)` in slices of at most 50 ms, with a look at the call between
//! two slices: std can neither connect, read nor write in a way that another thread may end.

#![allow(unsafe_code, reason = "std has no way to start a connect or to poll")]

use std::io::{self, Read, Write};
use std::mem;
use std::net::{IpAddr, SocketAddr, TcpStream, ToSocketAddrs};
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::mpsc;
use std::time::Duration;

use crate::call::Call;
use crate::process;

use super::Endpoint;

/// How long a wait may go on without a look at the call.
const SLICE: Duration = Duration::from_millis(50);

/// Why a wait ended without what was waited for.
#[derive(Debug)]
pub(super) enum Stop {
    Cancelled,
    TimedOut,
    Io(io::Error),
}

impl From<io::Error> for Stop {
    fn from(error: io::Error) -> Self {
        Stop::Io(error)
    }
}

/// A connected, non-blocking stream.
#[derive(Debug)]
pub(super) enum Socket {
    Unix(UnixStream),
    Tcp(TcpStream),
}

impl Socket {
    /// Connects within the call's time; a name is looked up first.
    pub fn connect(call: &Call, endpoint: &Endpoint) -> Result<Socket, Stop> {
        match endpoint {
            Endpoint::Unix(path) => connect_unix(call, path).map(Socket::Unix),
            Endpoint::Tcp { host, port, .. } => connect_tcp(call, host, *port).map(Socket::Tcp),
        }
    }

    /// Waits for bytes; 0 is the end.
    pub fn read(&self, call: &Call, buf: &mut [u8]) -> Result<usize, Stop> {
        loop {
            // Before each read too: a peer that drips bytes must not outlast the call.
            look(call)?;
            match self.read_now(buf) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.wait(call, libc::POLLIN)?,
                other => return Ok(other?),
            }
        }
    }

    /// Never waits: `WouldBlock` is nothing yet.
    pub fn read_now(&self, buf: &mut [u8]) -> io::Result<usize> {
        loop {
            let done = match self {
                Socket::Unix(stream) => (&mut &*stream).read(buf),
                Socket::Tcp(stream) => (&mut &*stream).read(buf),
            };
            if !matches!(&done, Err(error) if error.kind() == io::ErrorKind::Interrupted) {
                return done;
            }
        }
    }

    /// Waits until some of the bytes are taken, and says how many.
    pub fn write(&self, call: &Call, bytes: &[u8]) -> Result<usize, Stop> {
        loop {
            look(call)?;
            let done = match self {
                Socket::Unix(stream) => (&mut &*stream).write(bytes),
                Socket::Tcp(stream) => (&mut &*stream).write(bytes),
            };
            match done {
                Ok(0) => return Err(io::Error::from(io::ErrorKind::WriteZero).into()),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.wait(call, libc::POLLOUT)?,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                other => return Ok(other?),
            }
        }
    }

    /// Whether the peer has neither closed nor sent what nobody asked for.
    pub fn is_quiet(&self) -> bool {
        matches!(self.read_now(&mut [0]), Err(error) if error.kind() == io::ErrorKind::WouldBlock)
    }

    fn wait(&self, call: &Call, events: libc::c_short) -> Result<(), Stop> {
        match self {
            Socket::Unix(stream) => wait(stream, call, events),
            Socket::Tcp(stream) => wait(stream, call, events),
        }
    }
}

fn look(call: &Call) -> Result<(), Stop> {
    if call.is_cancelled() {
        Err(Stop::Cancelled)
    } else if call.is_over() {
        Err(Stop::TimedOut)
    } else {
        Ok(())
    }
}

/// Waits until the descriptor is ready, in error or closed; the next system call on it then says which.
fn wait(descriptor: &impl AsFd, call: &Call, events: libc::c_short) -> Result<(), Stop> {
    let mut asked = libc::pollfd { fd: descriptor.as_fd().as_raw_fd(), events, revents: 0 };
    loop {
        look(call)?;
        let slice = call.remaining().map_or(SLICE, |left| left.min(SLICE));
        let milliseconds = slice.as_micros().div_ceil(1000) as libc::c_int;
        // SAFETY: one pollfd of ours, borrowed for the call, with a descriptor that `descriptor` keeps open.
        let ready = unsafe { libc::poll(&mut asked, 1, milliseconds) };
        if ready > 0 {
            return Ok(());
        }
        if ready < 0 {
            let error = io::Error::last_os_error();
            if error.kind() != io::ErrorKind::Interrupted {
                return Err(error.into());
            }
        }
    }
}

fn connect_unix(call: &Call, path: &Path) -> Result<UnixStream, Stop> {
    // SAFETY: sockaddr_un is plain numbers and bytes, for which zero is a value.
    let mut address: libc::sockaddr_un = unsafe { mem::zeroed() };
    let bytes = path.as_os_str().as_bytes();
    // The last byte stays zero: the kernel reads up to it.
    if bytes.is_empty() || bytes.len() >= address.sun_path.len() || bytes.contains(&0) {
        return Err(
            io::Error::new(io::ErrorKind::InvalidInput, "the socket's path is empty or too long").into()
        );
    }
    address.sun_family = libc::AF_UNIX as libc::sa_family_t;
    for (to, from) in address.sun_path.iter_mut().zip(bytes) {
        *to = *from as libc::c_char;
    }
    let mut pause = Duration::from_millis(1);
    loop {
        look(call)?;
        let stream = UnixStream::from(descriptor(libc::AF_UNIX)?);
        stream.set_nonblocking(true)?;
        match start_connect(&stream, &address) {
            Ok(()) => return Ok(stream),
            // The listener's queue is full, and no event will tell when it is not.
            Err(error) if error.raw_os_error() == Some(libc::EAGAIN) => {
                if call.sleep(pause).is_err() {
                    look(call)?;
                }
                pause = (pause * 2).min(SLICE);
            }
            Err(error) if is_under_way(&error) => {
                wait(&stream, call, libc::POLLOUT)?;
                return match stream.take_error()? {
                    None => Ok(stream),
                    Some(error) => Err(error.into()),
                };
            }
            Err(error) => return Err(error.into()),
        }
    }
}

fn connect_tcp(call: &Call, host: &str, port: u16) -> Result<TcpStream, Stop> {
    let addresses = look_up(call, host, port)?;
    let mut last = Stop::Io(io::Error::new(io::ErrorKind::NotFound, "the host name has no address"));
    for (index, address) in addresses.iter().enumerate() {
        look(call)?;
        // A silent address leaves time for those after it.
        let share = call.remaining().map(|left| left / (addresses.len() - index) as u32);
        let narrowed = share.map_or_else(|| call.clone(), |share| call.within(share));
        match connect_address(&narrowed, address) {
            Ok(stream) => return Ok(stream),
            Err(Stop::Cancelled) => return Err(Stop::Cancelled),
            Err(stop) => last = stop,
        }
    }
    Err(last)
}

fn connect_address(call: &Call, address: &SocketAddr) -> Result<TcpStream, Stop> {
    let family = if address.is_ipv4() { libc::AF_INET } else { libc::AF_INET6 };
    let stream = TcpStream::from(descriptor(family)?);
    stream.set_nonblocking(true)?;
    let started = match address {
        SocketAddr::V4(v4) => {
            // SAFETY: sockaddr_in is plain numbers, for which zero is a value.
            let mut raw: libc::sockaddr_in = unsafe { mem::zeroed() };
            raw.sin_family = libc::AF_INET as libc::sa_family_t;
            raw.sin_port = v4.port().to_be();
            raw.sin_addr.s_addr = u32::from_ne_bytes(v4.ip().octets());
            start_connect(&stream, &raw)
        }
        SocketAddr::V6(v6) => {
            // SAFETY: sockaddr_in6 is plain numbers, for which zero is a value.
            let mut raw: libc::sockaddr_in6 = unsafe { mem::zeroed() };
            raw.sin6_family = libc::AF_INET6 as libc::sa_family_t;
            raw.sin6_port = v6.port().to_be();
            raw.sin6_addr.s6_addr = v6.ip().octets();
            raw.sin6_scope_id = v6.scope_id();
            start_connect(&stream, &raw)
        }
    };
    match started {
        Ok(()) => {}
        Err(error) if is_under_way(&error) => {
            wait(&stream, call, libc::POLLOUT)?;
            if let Some(error) = stream.take_error()? {
                return Err(error.into());
            }
        }
        Err(error) => return Err(error.into()),
    }
    // A connect to a free port of the ephemeral range can meet itself, and would then read what it wrote.
    if stream.local_addr()? == stream.peer_addr()? {
        return Err(io::Error::from(io::ErrorKind::ConnectionRefused).into());
    }
    stream.set_nodelay(true)?;
    Ok(stream)
}

fn is_under_way(error: &io::Error) -> bool {
    // An interrupted connect goes on by itself.
    matches!(error.raw_os_error(), Some(libc::EINPROGRESS | libc::EINTR))
}

/// A fresh stream socket that no program started meanwhile inherits.
fn descriptor(family: libc::c_int) -> io::Result<OwnedFd> {
    #[cfg(not(target_vendor = "apple"))]
    let kind = libc::SOCK_STREAM | libc::SOCK_CLOEXEC;
    #[cfg(target_vendor = "apple")]
    let kind = libc::SOCK_STREAM;
    // SAFETY: takes numbers only; the answer is checked.
    let number = unsafe { libc::socket(family, kind, 0) };
    if number < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the number was just given to us and belongs to nobody else.
    let owned = unsafe { OwnedFd::from_raw_fd(number) };
    #[cfg(target_vendor = "apple")]
    {
        let on: libc::c_int = 1;
        // SAFETY: a descriptor that `owned` keeps open, and an int that outlives the call with its size.
        let failed = unsafe {
            libc::fcntl(number, libc::F_SETFD, libc::FD_CLOEXEC) < 0
                || libc::setsockopt(
                    number,
                    libc::SOL_SOCKET,
                    libc::SO_NOSIGPIPE,
                    (&raw const on).cast(),
                    size_of::<libc::c_int>() as libc::socklen_t,
                ) < 0
        };
        if failed {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(owned)
}

/// One `connect(2)`; `Address` is one of the kernel's `sockaddr_*`.
fn start_connect<Address>(descriptor: &impl AsFd, address: &Address) -> io::Result<()> {
    let number = descriptor.as_fd().as_raw_fd();
    let length = size_of::<Address>() as libc::socklen_t;
    // SAFETY: the pointer is to `length` initialised bytes that outlive the call.
    match unsafe { libc::connect(number, std::ptr::from_ref(address).cast(), length) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// The addresses of a host. A literal one is taken as it is; a name is looked up on a thread of its own, since nothing
/// can end a lookup: the call goes on without it.
fn look_up(call: &Call, host: &str, port: u16) -> Result<Vec<SocketAddr>, Stop> {
    let bare = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host);
    if let Ok(address) = bare.parse::<IpAddr>() {
        return Ok(vec![SocketAddr::new(address, port)]);
    }
    let (answer, asked) = mpsc::channel();
    let name = bare.to_owned();
    process::spawn("sandport-lookup", move || {
        let found = (name.as_str(), port).to_socket_addrs().map(Vec::from_iter);
        let _ = answer.send(found);
    })
    .map_err(|error| io::Error::other(error.message().to_owned()))?;
    loop {
        look(call)?;
        let slice = call.remaining().map_or(SLICE, |left| left.min(SLICE));
        match asked.recv_timeout(slice) {
            Ok(found) => return Ok(found?),
            Err(mpsc::RecvTimeoutError::Timeout) => {}
            Err(mpsc::RecvTimeoutError::Disconnected) => {
                return Err(io::Error::other("the host name could not be looked up").into());
            }
        }
    }
}
