//! What ureq sees of us: a connector that hands out a socket which was connected beforehand, and a transport whose
//! waits look at the call.
//!
//! ureq hands nothing of a request to its transport, so what belongs to one request is a [`Context`] that stands in a
//! thread-local while ureq works for it. All that ureq calls its unversioned API is in this file.

use std::cell::{Cell, RefCell};
use std::io;
use std::rc::Rc;
use std::time::Duration;

use ureq::Agent;
use ureq::config::{AutoHeaderValue, Config};
use ureq::http::Uri;
use ureq::tls::TlsConfig;
use ureq::unversioned::resolver::{ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{
    Buffers, ConnectionDetails, Connector, LazyBuffers, NextTimeout, RustlsConnector, Transport,
};

use crate::call::Call;

use super::socket::{Socket, Stop};

/// The longest head of an answer.
pub(super) const HEAD_LIMIT: usize = 32 * 1024;

/// What belongs to one request while ureq works for it.
pub(super) struct Context {
    /// `None`: never wait.
    call: Option<Call>,
    /// Connected beforehand; taken when the pool has none.
    socket: RefCell<Option<Socket>>,
    /// The pool had none, and neither had we.
    wanted: Cell<bool>,
    /// The connection is the one that was given, not an idle one.
    fresh: Cell<bool>,
    /// ureq has begun to send.
    begun: Cell<bool>,
    /// TLS is being agreed on, so that bytes on the wire are none of the request's.
    greeting: Cell<bool>,
    sent: Cell<bool>,
    ended: Cell<bool>,
    stop: RefCell<Option<Stop>>,
}

impl Context {
    pub fn new(call: Option<Call>, socket: Option<Socket>) -> Rc<Context> {
        Rc::new(Context {
            call,
            socket: RefCell::new(socket),
            wanted: Cell::new(false),
            fresh: Cell::new(false),
            begun: Cell::new(false),
            greeting: Cell::new(false),
            sent: Cell::new(false),
            ended: Cell::new(false),
            stop: RefCell::new(None),
        })
    }

    /// Lets ureq work for this request.
    pub fn run<T>(self: &Rc<Self>, work: impl FnOnce() -> T) -> T {
        struct Restore(Option<Rc<Context>>);
        impl Drop for Restore {
            fn drop(&mut self) {
                let _ = CURRENT.try_with(|current| current.replace(self.0.take()));
            }
        }
        let _restore = Restore(CURRENT.with(|current| current.replace(Some(Rc::clone(self)))));
        work()
    }

    pub fn wants_socket(&self) -> bool {
        self.wanted.get()
    }

    /// The socket that was given and not needed.
    pub fn unused_socket(&self) -> Option<Socket> {
        self.socket.take()
    }

    /// Whether an idle connection of the pool was to take the request.
    pub fn used_idle(&self) -> bool {
        self.begun.get() && !self.fresh.get()
    }

    /// Whether a byte of the request left.
    pub fn has_sent(&self) -> bool {
        self.sent.get()
    }

    /// Whether the peer closed the connection.
    pub fn has_ended(&self) -> bool {
        self.ended.get()
    }

    pub fn take_stop(&self) -> Option<Stop> {
        self.stop.take()
    }

    /// Keeps the reason, which ureq would only carry as text.
    fn stopped(&self, stop: Stop) -> ureq::Error {
        self.stop.replace(Some(stop));
        // Not the socket's own error: a reset would pass for the end of a body that ends with its connection.
        ureq::Error::Io(io::Error::other("stopped"))
    }
}

thread_local! {
    static CURRENT: RefCell<Option<Rc<Context>>> = const { RefCell::new(None) };
}

fn current() -> Result<Rc<Context>, ureq::Error> {
    CURRENT
        .with_borrow(Clone::clone)
        .ok_or_else(|| ureq::Error::Io(io::Error::other("no request is under way")))
}

/// An agent that keeps at most this many idle connections.
pub(super) fn agent(idle: usize, idle_per_host: usize, tls: Option<TlsConfig>) -> Agent {
    let mut config = Config::builder()
        .proxy(None)
        .http_status_as_error(false)
        .max_redirects(0)
        .max_redirects_will_error(false)
        .user_agent(concat!("sandport/", env!("CARGO_PKG_VERSION")))
        .accept_encoding(AutoHeaderValue::None)
        .max_response_header_size(HEAD_LIMIT)
        .input_buffer_size(HEAD_LIMIT + 1024)
        .output_buffer_size(16 * 1024)
        .max_idle_connections(idle)
        .max_idle_connections_per_host(idle_per_host)
        .max_idle_age(Duration::from_secs(60));
    if let Some(tls) = tls {
        config = config.tls_config(tls);
    }
    let connector = Handed.chain(RustlsConnector::default()).chain(Greeted);
    Agent::with_parts(config.build(), connector, Nowhere)
}

/// Hands out the socket of the context.
#[derive(Debug)]
struct Handed;

impl Connector for Handed {
    type Out = Line;

    fn connect(&self, details: &ConnectionDetails, _: Option<()>) -> Result<Option<Line>, ureq::Error> {
        let context = current()?;
        let Some(socket) = context.socket.take() else {
            context.wanted.set(true);
            return Err(ureq::Error::ConnectionFailed);
        };
        context.fresh.set(true);
        context.greeting.set(true);
        let buffers =
            LazyBuffers::new(details.config.input_buffer_size(), details.config.output_buffer_size());
        Ok(Some(Line { socket, buffers, process: std::process::id() }))
    }
}

/// Stands behind TLS: from here on, bytes are the request's.
#[derive(Debug)]
struct Greeted;

impl<In: Transport> Connector<In> for Greeted {
    type Out = In;

    fn connect(&self, _: &ConnectionDetails, chained: Option<In>) -> Result<Option<In>, ureq::Error> {
        current()?.greeting.set(false);
        Ok(chained)
    }
}

/// One connection.
#[derive(Debug)]
struct Line {
    socket: Socket,
    buffers: LazyBuffers,
    /// Who connected it: a forked child must not speak on its parent's connections.
    process: u32,
}

impl Transport for Line {
    fn buffers(&mut self) -> &mut dyn Buffers {
        &mut self.buffers
    }

    fn transmit_output(&mut self, amount: usize, _: NextTimeout) -> Result<(), ureq::Error> {
        let context = current()?;
        let Some(call) = &context.call else {
            return Err(io::Error::from(io::ErrorKind::WouldBlock).into());
        };
        context.begun.set(true);
        let mut rest = &self.buffers.output()[..amount];
        while !rest.is_empty() {
            let taken = self.socket.write(call, rest).map_err(|stop| context.stopped(stop))?;
            if !context.greeting.get() {
                context.sent.set(true);
            }
            rest = &rest[taken..];
        }
        Ok(())
    }

    fn await_input(&mut self, _: NextTimeout) -> Result<bool, ureq::Error> {
        let context = current()?;
        let space = self.buffers.input_append_buf();
        if space.is_empty() {
            // Reading nothing would pass for the end.
            return Err(ureq::Error::Io(io::Error::other("one line of the answer is too long")));
        }
        let amount = match &context.call {
            Some(call) => self.socket.read(call, space).map_err(|stop| context.stopped(stop))?,
            None => match self.socket.read_now(space) {
                Err(error) if error.kind() != io::ErrorKind::WouldBlock => {
                    return Err(context.stopped(error.into()));
                }
                done => done?,
            },
        };
        if amount == 0 {
            context.ended.set(true);
        }
        self.buffers.input_appended(amount);
        Ok(amount > 0)
    }

    fn is_open(&mut self) -> bool {
        self.process == std::process::id() && self.socket.is_quiet()
    }
}

/// ureq wants an address before it asks for a connection; ours is connected by then.
#[derive(Debug)]
struct Nowhere;

impl Resolver for Nowhere {
    fn resolve(&self, _: &Uri, _: &Config, _: NextTimeout) -> Result<ResolvedSocketAddrs, ureq::Error> {
        let mut one = self.empty();
        one.push(([0, 0, 0, 0], 0).into());
        Ok(one)
    }
}
