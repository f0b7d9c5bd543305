//! The numbers of the header: statuses, operations, handles. Stable: a retired one is never used again.

/// It worked.
pub const SANDPORT_OK: i32 = 0;
/// The request or the config is wrong in form or can never work.
pub const SANDPORT_INVALID_ARGUMENT: i32 = 1;
/// The handle is closed, was never given out, or stems from before a fork.
pub const SANDPORT_INVALID_HANDLE: i32 = 2;
/// There is no such sandbox.
pub const SANDPORT_NOT_FOUND: i32 = 3;
/// No container engine can be reached; the hint says how to start one.
pub const SANDPORT_RUNTIME_UNAVAILABLE: i32 = 4;
/// The engine answered with a failure, or with something that is no answer.
pub const SANDPORT_RUNTIME_FAILED: i32 = 5;
/// The image is not here and cannot be pulled.
pub const SANDPORT_IMAGE_NOT_FOUND: i32 = 6;
/// Every port of the range is taken.
pub const SANDPORT_PORT_EXHAUSTED: i32 = 7;
/// The container name belongs to something that is not this sandbox.
pub const SANDPORT_NAME_CONFLICT: i32 = 8;
/// The sandbox does not answer (yet), or the queue is empty.
pub const SANDPORT_NOT_READY: i32 = 9;
/// The sandbox's container ended; details hold exit_code, oom_killed and log.
pub const SANDPORT_SANDBOX_EXITED: i32 = 10;
/// A time limit was reached.
pub const SANDPORT_TIMEOUT: i32 = 11;
/// The call was cancelled.
pub const SANDPORT_CANCELLED: i32 = 12;
/// A rule forbids it.
pub const SANDPORT_DENIED: i32 = 13;
/// A limit is used up.
pub const SANDPORT_QUOTA_EXCEEDED: i32 = 14;
/// This runtime or this build cannot do it.
pub const SANDPORT_UNSUPPORTED: i32 = 15;
/// A bug or a shortage of the library's own. The newest code: the next one is 17.
pub const SANDPORT_INTERNAL: i32 = 16;

/// sandport_create() as an operation of sandport_call_start().
pub const SANDPORT_OP_CREATE: u32 = 1;
/// sandport_destroy() as an operation of sandport_call_start().
pub const SANDPORT_OP_DESTROY: u32 = 2;
/// sandport_discover() as an operation of sandport_call_start().
pub const SANDPORT_OP_DISCOVER: u32 = 3;
/// sandport_is_alive() as an operation of sandport_call_start().
pub const SANDPORT_OP_IS_ALIVE: u32 = 4;
/// sandport_list() as an operation of sandport_call_start().
pub const SANDPORT_OP_LIST: u32 = 5;
/// sandport_request() as an operation of sandport_call_start().
pub const SANDPORT_OP_REQUEST: u32 = 6;
/// sandport_release() as an operation of sandport_call_start().
pub const SANDPORT_OP_RELEASE: u32 = 7;
/// sandport_reap() as an operation of sandport_call_start().
pub const SANDPORT_OP_REAP: u32 = 8;
/// sandport_wait_ready() as an operation of sandport_call_start().
pub const SANDPORT_OP_WAIT_READY: u32 = 9;

/// The ABI that this header describes; sandport_abi_version() tells that of the library.
pub const SANDPORT_ABI_VERSION: u32 = 1;

/// A number that stands for a backend. 0 is never valid.
#[allow(non_camel_case_types)]
pub type sandport_backend = u64;

/// A number that stands for a started call. 0 is never valid.
#[allow(non_camel_case_types)]
pub type sandport_call = u64;

/// A number that stands for a queue of results. 0 is never valid.
#[allow(non_camel_case_types)]
pub type sandport_queue = u64;

/// A number that stands for a guest. 0 is never valid.
#[allow(non_camel_case_types)]
pub type sandport_guest = u64;
