//! What can go wrong, in words a program can act on: [`Error`] and its stable [`Code`]s.
//!
//! An error says what happened (`message`), what to do next (`hint`), in which step (`phase`) and whether the
//! same call may succeed later (`retryable`). A message names a field and never repeats its value.

use std::fmt;

use serde_json::{Map, Value, json};

/// What every fallible function of the crate returns.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// The stable reason of a failure; its number is the C ABI's status, never reused once retired.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(i32)]
#[non_exhaustive]
pub enum Code {
    /// The request or the config is wrong in form or can never work.
    InvalidArgument = 1,
    /// The handle is closed, was never given out, or stems from before a fork.
    InvalidHandle = 2,
    /// There is no such sandbox.
    NotFound = 3,
    /// No container engine can be reached.
    RuntimeUnavailable = 4,
    /// The engine answered with a failure, or with something that is no answer.
    RuntimeFailed = 5,
    /// The image is not here and cannot be pulled.
    ImageNotFound = 6,
    /// Every port of the range is taken.
    PortExhausted = 7,
    /// The container name belongs to something that is not this sandbox.
    NameConflict = 8,
    /// The sandbox does not answer (yet).
    NotReady = 9,
    /// The sandbox's container ended.
    SandboxExited = 10,
    /// A time limit was reached.
    Timeout = 11,
    /// The call was cancelled.
    Cancelled = 12,
    /// A rule forbids it.
    Denied = 13,
    /// A limit is used up.
    QuotaExceeded = 14,
    /// This runtime or this build cannot do it.
    Unsupported = 15,
    /// A bug or a shortage of the library's own.
    Internal = 16,
}

impl Code {
    /// All codes, in the order of their numbers.
    pub const ALL: [Code; 16] = [
        Code::InvalidArgument,
        Code::InvalidHandle,
        Code::NotFound,
        Code::RuntimeUnavailable,
        Code::RuntimeFailed,
        Code::ImageNotFound,
        Code::PortExhausted,
        Code::NameConflict,
        Code::NotReady,
        Code::SandboxExited,
        Code::Timeout,
        Code::Cancelled,
        Code::Denied,
        Code::QuotaExceeded,
        Code::Unsupported,
        Code::Internal,
    ];

    /// The code's word in JSON, such as `"name_conflict"`.
    pub const fn word(self) -> &'static str {
        match self {
            Code::InvalidArgument => "invalid_argument",
            Code::InvalidHandle => "invalid_handle",
            Code::NotFound => "not_found",
            Code::RuntimeUnavailable => "runtime_unavailable",
            Code::RuntimeFailed => "runtime_failed",
            Code::ImageNotFound => "image_not_found",
            Code::PortExhausted => "port_exhausted",
            Code::NameConflict => "name_conflict",
            Code::NotReady => "not_ready",
            Code::SandboxExited => "sandbox_exited",
            Code::Timeout => "timeout",
            Code::Cancelled => "cancelled",
            Code::Denied => "denied",
            Code::QuotaExceeded => "quota_exceeded",
            Code::Unsupported => "unsupported",
            Code::Internal => "internal",
        }
    }
}

/// The step that a call is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
#[non_exhaustive]
pub enum Phase {
    /// Looking at the request.
    Validate,
    /// Waiting for a lock of the state directory.
    Lock,
    /// Bringing the image.
    Pull,
    /// Making the container.
    Create,
    /// Starting the container.
    Start,
    /// Waiting until the sandbox answers.
    Ready,
    /// Asking the engine about a container.
    Inspect,
    /// Stopping and removing a container.
    Stop,
    /// Asking the engine for all containers.
    List,
    /// Sending an HTTP request to the sandbox.
    Request,
}

impl Phase {
    pub(crate) const ALL: [Phase; 10] = [
        Phase::Validate,
        Phase::Lock,
        Phase::Pull,
        Phase::Create,
        Phase::Start,
        Phase::Ready,
        Phase::Inspect,
        Phase::Stop,
        Phase::List,
        Phase::Request,
    ];

    /// The phase's word in JSON, such as `"pull"`.
    pub const fn word(self) -> &'static str {
        match self {
            Phase::Validate => "validate",
            Phase::Lock => "lock",
            Phase::Pull => "pull",
            Phase::Create => "create",
            Phase::Start => "start",
            Phase::Ready => "ready",
            Phase::Inspect => "inspect",
            Phase::Stop => "stop",
            Phase::List => "list",
            Phase::Request => "request",
        }
    }
}

/// A failure: its code, what happened, and what to do about it.
#[derive(Clone)]
pub struct Error(Box<Inner>);

#[derive(Clone)]
struct Inner {
    code: Code,
    message: String,
    hint: String,
    phase: Option<Phase>,
    runtime: Option<&'static str>,
    retryable: bool,
    details: Map<String, Value>,
}

impl Error {
    /// A failure that is not retryable, without a hint yet.
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Error(Box::new(Inner {
            code,
            message: message.into(),
            hint: String::new(),
            phase: None,
            runtime: None,
            retryable: false,
            details: Map::new(),
        }))
    }

    /// A request or config that is wrong: `INVALID_ARGUMENT` in phase `validate`.
    pub fn invalid(message: impl Into<String>) -> Self {
        Error::new(Code::InvalidArgument, message).in_phase(Phase::Validate)
    }

    /// Says what to do next.
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.0.hint = hint.into();
        self
    }

    /// Names the step, unless one is named already: the innermost place knows best.
    pub fn in_phase(mut self, phase: Phase) -> Self {
        self.0.phase.get_or_insert(phase);
        self
    }

    /// Names the runtime, unless one is named already.
    pub fn on_runtime(mut self, runtime: &'static str) -> Self {
        self.0.runtime.get_or_insert(runtime);
        self
    }

    /// Says that the same call may succeed later.
    pub fn retryable(mut self) -> Self {
        self.0.retryable = true;
        self
    }

    /// Adds one entry to `details`.
    pub fn with_detail(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.0.details.insert(name.to_owned(), value.into());
        self
    }

    /// Rewrites message, hint and the strings in details, as redaction does.
    pub(crate) fn map_text(mut self, rewrite: impl Fn(&str) -> String) -> Self {
        self.0.message = rewrite(&self.0.message);
        self.0.hint = rewrite(&self.0.hint);
        for value in self.0.details.values_mut() {
            if let Value::String(text) = value {
                *text = rewrite(text);
            }
        }
        self
    }

    /// The stable reason.
    pub fn code(&self) -> Code {
        self.0.code
    }

    /// What happened, for people.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// What to do next, for people; may be empty.
    pub fn hint(&self) -> &str {
        &self.0.hint
    }

    /// The step in which it happened.
    pub fn phase(&self) -> Option<Phase> {
        self.0.phase
    }

    /// Whether the same call may succeed later without any change.
    pub fn is_retryable(&self) -> bool {
        self.0.retryable
    }

    /// Facts for programs, such as `exit_code`.
    pub fn details(&self) -> &Map<String, Value> {
        &self.0.details
    }

    /// The error object of the JSON answers.
    pub fn to_json(&self) -> Value {
        json!({
            "code": self.0.code.word(),
            "message": self.0.message,
            "hint": self.0.hint,
            "phase": self.0.phase.map(Phase::word),
            "runtime": self.0.runtime,
            "retryable": self.0.retryable,
            "details": self.0.details,
        })
    }
}

impl fmt::Display for Error {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}: {}", self.0.code.word(), self.0.message)?;
        if !self.0.hint.is_empty() {
            write!(out, " ({})", self.0.hint)?;
        }
        Ok(())
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}", self.to_json())
    }
}

impl std::error::Error for Error {}
