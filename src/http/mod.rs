//! The one HTTP client: requests over Unix sockets, TCP and TLS that end when their call ends.
//!
//! No proxy, no redirect, no decompression; head and body are capped; nothing is allocated by a claimed length; the
//! call's deadline is the one time limit. `socket.rs` has the descriptors and their waits, `agent.rs` is what ureq
//! sees of them, this file joins the two.

use std::io::{self, Read};
use std::path::PathBuf;
use std::rc::Rc;

use ureq::http::{HeaderMap, Method, Request, Response, Uri};
use ureq::{Agent, Body, BodyReader};

use crate::call::Call;
use crate::error::{Error, Result};

use agent::Context;
use socket::{Socket, Stop};

mod agent;
mod socket;
#[cfg(test)]
pub(crate) mod tests;
mod tls;

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
pub(crate) struct Client {
    endpoint: Endpoint,
    /// Scheme and authority of what is sent there.
    origin: String,
    pooled: Agent,
    /// Keeps no connection: for answers that are read piece by piece.
    single: Agent,
}

impl Client {
    /// Reads the TLS files; connects nowhere yet.
    pub fn new(endpoint: Endpoint) -> Result<Client> {
        let (origin, tls) = match &endpoint {
            Endpoint::Unix(_) => ("http://localhost".to_owned(), None),
            Endpoint::Tcp { host, port, tls } => {
                let scheme = if tls.is_some() { "https" } else { "http" };
                (
                    format!("{scheme}://{}", authority(host, *port)),
                    tls.as_ref().map(tls::settings).transpose()?,
                )
            }
        };
        if origin.parse::<Uri>().is_err() {
            return Err(Error::invalid("the endpoint's host is no host name or address"));
        }
        // As many idle connections as calls that may run at once in earnest.
        let pooled = agent::agent(16, 16, tls.clone());
        Ok(Client { endpoint, origin, pooled, single: agent::agent(0, 0, tls) })
    }

    /// Sends a request and takes the whole answer.
    pub fn send(&self, call: &Call, out: &Outgoing<'_>) -> Result<Answer, Failure> {
        exchange(&self.pooled, &self.origin, &self.endpoint, call, out, &|_| Ok(()))
    }

    /// Sends a request on a connection of its own and leaves the body to be read; `limit` is not looked at.
    pub fn open(&self, call: &Call, out: &Outgoing<'_>) -> Result<Stream, Failure> {
        let socket = Some(connect(call, &self.endpoint)?);
        let (_, response) =
            begin(&self.single, &self.origin, &self.endpoint, call, out, &|_| Ok(()), socket)?;
        Ok(Stream { status: response.status().as_u16(), reader: response.into_body().into_reader() })
    }
}

/// An answer whose body is read piece by piece.
pub(crate) struct Stream {
    pub status: u16,
    reader: BodyReader<'static>,
}

impl Stream {
    /// Waits for more; 0 is the end.
    pub fn read(&mut self, call: &Call, buf: &mut [u8]) -> Result<usize, Failure> {
        let context = Context::new(Some(call.clone()), None);
        context.run(|| self.reader.read(buf)).map_err(|error| broken(&context, &error, true))
    }

    /// Never waits: `None` is nothing yet, `Some(0)` the end.
    pub fn try_read(&mut self, buf: &mut [u8]) -> Result<Option<usize>, Failure> {
        let context = Context::new(None, None);
        match context.run(|| self.reader.read(buf)) {
            Ok(amount) => Ok(Some(amount)),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
            Err(error) => Err(broken(&context, &error, true)),
        }
    }
}

/// Host and port as they stand in a URL.
pub(crate) fn authority(host: &str, port: u16) -> String {
    if host.contains(':') && !host.starts_with('[') {
        format!("[{host}]:{port}")
    } else {
        format!("{host}:{port}")
    }
}

/// An agent for many servers, told apart by the origin that [`exchange`] is given.
pub(crate) fn shared_agent() -> Agent {
    agent::agent(16, 4, None)
}

/// Sends a request and takes the whole answer. Idle connections are kept under `origin`, whatever the address;
/// `check` is asked on each new connection, after it stands and before a byte is sent.
pub(crate) fn exchange(
    agent: &Agent,
    origin: &str,
    endpoint: &Endpoint,
    call: &Call,
    out: &Outgoing<'_>,
    check: &dyn Fn(&Call) -> Result<()>,
) -> Result<Answer, Failure> {
    let (context, response) = begin(agent, origin, endpoint, call, out, check, None)?;
    let (status, headers) = (response.status().as_u16(), plain(response.headers()));
    let mut body = Vec::new();
    // One byte more than is wanted tells "all of it" from "too much", and lets the connection go back to the pool.
    let mut reader = response.into_body().into_reader().take(out.limit.saturating_add(1));
    context.run(|| reader.read_to_end(&mut body)).map_err(|error| broken(&context, &error, true))?;
    if body.len() as u64 > out.limit {
        return Err(Failure::TooLarge { limit: out.limit });
    }
    Ok(Answer { status, headers, body })
}

/// An agent that keeps no connection, for [`status`].
pub(crate) fn fleeting_agent() -> Agent {
    agent::agent(0, 0, None)
}

/// Asks for the status alone and leaves the rest of the answer unread.
pub(crate) fn status(
    agent: &Agent,
    endpoint: &Endpoint,
    call: &Call,
    out: &Outgoing<'_>,
) -> Result<u16, Failure> {
    let (_, response) = begin(agent, "http://localhost", endpoint, call, out, &|_| Ok(()), None)?;
    Ok(response.status().as_u16())
}

/// Sends a request and takes the head of its answer: on an idle connection, else on `socket`, else on a new one.
fn begin(
    agent: &Agent,
    origin: &str,
    endpoint: &Endpoint,
    call: &Call,
    out: &Outgoing<'_>,
    check: &dyn Fn(&Call) -> Result<()>,
    mut socket: Option<Socket>,
) -> Result<(Rc<Context>, Response<Body>), Failure> {
    loop {
        let (request, body) = request(origin, out)?;
        let context = Context::new(Some(call.clone()), socket.take());
        let answered = context.run(|| match body {
            Some(bytes) => agent.run(request.map(|()| bytes)),
            None => agent.run(request),
        });
        let error = match answered {
            Ok(response) => return Ok((context, response)),
            Err(error) => error.into_io(),
        };
        socket = context.unused_socket();
        if !context.wants_socket() {
            let failure = broken(&context, &error, context.has_sent());
            // An idle connection that died before it took a byte says nothing of the server: another one is tried.
            if !context.used_idle() || !matches!(failure, Failure::Broken { sent: false, .. }) {
                return Err(failure);
            }
        }
        if socket.is_none() {
            socket = Some(connect(call, endpoint)?);
            check(call).map_err(|error| refused(call, error))?;
        }
    }
}

fn connect(call: &Call, endpoint: &Endpoint) -> Result<Socket, Failure> {
    Socket::connect(call, endpoint).map_err(|stop| match stop {
        Stop::Cancelled => Failure::Cancelled,
        Stop::TimedOut => Failure::TimedOut,
        Stop::Io(error) => Failure::Unreachable(error),
    })
}

fn request<'a>(origin: &str, out: &Outgoing<'a>) -> Result<(Request<()>, Option<&'a [u8]>), Failure> {
    let wrong = |what: &str| {
        Failure::Refused(Error::invalid(format!("the request's {what} cannot be sent over HTTP")))
    };
    // Set on a parsed URI: behind a text, `@host/` would be another host.
    let mut parts = origin.parse::<Uri>().map_err(|_| wrong("origin"))?.into_parts();
    parts.path_and_query = Some(out.target.parse().map_err(|_| wrong("path"))?);
    let uri = Uri::from_parts(parts).map_err(|_| wrong("path"))?;
    let method = Method::from_bytes(out.method.as_bytes()).map_err(|_| wrong("method"))?;
    let mut builder = Request::builder().method(&method).uri(uri);
    for (name, value) in out.headers {
        builder = builder.header(*name, *value);
    }
    // These three have a body, if an empty one: without its length a server waits or refuses.
    let has_body = [Method::POST, Method::PUT, Method::PATCH].contains(&method);
    let body = out.body.or(has_body.then_some(&[]));
    Ok((builder.body(()).map_err(|_| wrong("headers"))?, body))
}

fn broken(context: &Context, error: &io::Error, sent: bool) -> Failure {
    match context.take_stop() {
        Some(Stop::Cancelled) => Failure::Cancelled,
        Some(Stop::TimedOut) => Failure::TimedOut,
        Some(Stop::Io(error)) => Failure::Broken { what: error.to_string(), sent },
        None if context.has_ended() => {
            Failure::Broken { what: "the connection was closed before the answer was whole".into(), sent }
        }
        None => Failure::Broken { what: error.to_string(), sent },
    }
}

/// What a check says, unless it was the call that ended.
fn refused(call: &Call, error: Error) -> Failure {
    if call.is_cancelled() { Failure::Cancelled } else { Failure::Refused(error) }
}

fn plain(headers: &HeaderMap) -> Vec<(String, String)> {
    let text = |value: &[u8]| String::from_utf8_lossy(value).into_owned();
    headers.iter().map(|(name, value)| (name.as_str().to_owned(), text(value.as_bytes()))).collect()
}
