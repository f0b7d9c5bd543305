//! The one HTTP client: requests over Unix sockets, TCP and TLS that end when their call ends.
//!
//! No proxy, no redirect, no decompression; head and body are capped; nothing is allocated by a claimed length; the
//! call's deadline is the one time limit. `socket.rs` has the descriptors and their waits, `agent.rs` is what ureq
//! sees of them, this file joins the two.
#![allow(dead_code)]

use std::path::PathBuf;

use crate::call::Call;
use crate::error::{Error, Result};

/// Where a server listens.
#[derive(Clone, Debug)]
pub(crate) enum Endpoint {
    Unix(PathBuf),
    Tcp { host: String, port: u16, tls: Option<Tls> },
}

/// The files (PEM) of a TLS connection.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tls {
    /// Who may sign the server's certificate; without it nobody is trusted.
    pub ca: Option<PathBuf>,
    /// Our certificate and key, where the server asks for one.
    pub cert: Option<PathBuf>,
    pub key: Option<PathBuf>,
    /// False only where the user has said so: the server's certificate is not looked at.
    pub verify: bool,
}

/// A request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Outgoing<'a> {
    pub method: &'a str,
    /// Path and query.
    pub target: &'a str,
    pub headers: &'a [(&'a str, &'a str)],
    pub body: Option<&'a [u8]>,
    /// How many bytes of body are taken at most; one more is [`Failure::TooLarge`].
    pub limit: u64,
}

/// A whole answer. Redirects are answers like any other.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub status: u16,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

/// Why there is no answer.
#[derive(Debug)]
pub(crate) enum Failure {
    /// Nobody listens there.
    Unreachable(std::io::Error),
    /// The call's time was over.
    TimedOut,
    /// The call was cancelled.
    Cancelled,
    /// The connection ended early, or what came is no HTTP. `sent`: whether a byte of the request had left.
    Broken { what: String, sent: bool },
    /// The body has more bytes than were asked for.
    TooLarge { limit: u64 },
    /// What looked before sending said no; nothing was sent.
    Refused(Error),
}

/// A client of one endpoint with its pool of idle connections. Has no thread.
pub(crate) struct Client(());

impl Client {
    /// Reads the TLS files; connects nowhere yet.
    pub fn new(_endpoint: Endpoint) -> Result<Client> {
        todo!()
    }

    /// Sends a request and takes the whole answer.
    pub fn send(&self, _call: &Call, _out: &Outgoing<'_>) -> Result<Answer, Failure> {
        todo!()
    }

    /// Sends a request on a connection of its own and leaves the body to be read; `limit` is not looked at.
    pub fn open(&self, _call: &Call, _out: &Outgoing<'_>) -> Result<Stream, Failure> {
        todo!()
    }
}

/// An answer whose body is read piece by piece.
pub(crate) struct Stream {
    pub status: u16,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
}

impl Stream {
    /// Waits for more; 0 is the end.
    pub fn read(&mut self, _call: &Call, _buf: &mut [u8]) -> Result<usize, Failure> {
        todo!()
    }

    /// Never waits: `None` is nothing yet, `Some(0)` the end.
    pub fn try_read(&mut self, _buf: &mut [u8]) -> Result<Option<usize>, Failure> {
        todo!()
    }
}
