//! A WebAssembly guest: untrusted, one call at a time, and only what its policy says.
//!
//! [`Guest::call`] takes a request's bytes and comes to a number: the length of the answer, or why there is none.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::backend::{Backend, Tenant, now, used_up};
use crate::call::Call;
use crate::config::{self, Resources};
use crate::error::{Code, Error, Phase, Result};
use crate::form;
use crate::json::Fields;
use crate::mounts::MountRequest;
use crate::operation::{Ask, CreateRequest, DestroyRequest, Operation};
use crate::sandbox;

mod policy;
mod timer;

use policy::{OPERATIONS, Policy, denied};

pub(crate) const BAD_MEMORY: i32 = -1;
pub(crate) const TOO_LARGE: i32 = -2;
pub(crate) const NO_RESPONSE: i32 = -3;
pub(crate) const UNKNOWN: i32 = -4;
pub(crate) const INTERNAL: i32 = -5;
pub(crate) const CANCELLED: i32 = -6;
pub(crate) const BUSY: i32 = -7;

type Rate = Mutex<VecDeque<Instant>>;
static RATES: Mutex<Option<HashMap<String, Weak<Rate>>>> = Mutex::new(None);

/// One opened guest.
pub(crate) struct Guest {
    backend: Backend,
    policy: Policy,
    rate: Arc<Rate>,
    state: Mutex<State>,
    free: Condvar,
}

#[derive(Default)]
struct State {
    closed: bool,
    running: Option<Call>,
    kept: Option<Vec<u8>>,
    made: BTreeSet<String>,
}

fn lock<T>(place: &Mutex<T>) -> MutexGuard<'_, T> {
    place.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Guest {
    /// Opens a guest; without a policy all is denied.
    pub fn open(backend: Backend, policy: Option<&str>) -> Result<Guest> {
        let policy = policy.map(Policy::parse).transpose()?.unwrap_or_default();
        let key = format!("{}\0{}", backend.estate(), policy.namespace);
        let mut rates = lock(&RATES);
        let rates = rates.get_or_insert_with(HashMap::new);
        rates.retain(|_, rate| rate.strong_count() > 0);
        let rate = rates.get(&key).and_then(Weak::upgrade).unwrap_or_default();
        rates.insert(key, Arc::downgrade(&rate));
        Ok(Guest { backend, policy, rate, state: Mutex::default(), free: Condvar::new() })
    }

    /// What is told of it when it is opened.
    pub fn to_json(&self) -> Value {
        let words: Vec<_> = self.policy.operations.iter().map(|operation| operation.word()).collect();
        json!({"namespace": self.policy.namespace, "operations": words})
    }

    /// Runs one call; `write` gets an answer that fits into `cap` bytes.
    pub fn call(
        &self,
        number: u32,
        size: u64,
        read: impl FnOnce() -> Vec<u8>,
        cap: u64,
        write: impl FnOnce(&[u8]),
    ) -> i32 {
        let Some(operation) = OPERATIONS.into_iter().find(|known| *known as u32 == number) else {
            return UNKNOWN;
        };
        let timeout =
            if self.policy.namespace.is_empty() { Duration::from_secs(5) } else { self.policy.call_timeout };
        let call = {
            let mut state = lock(&self.state);
            if state.closed {
                return CANCELLED;
            }
            if state.running.is_some() {
                return BUSY;
            }
            state.kept = None;
            let call = Call::new().within(timeout);
            state.running = Some(call.clone());
            call
        };
        // Counted before anything of it is read.
        let counted = self.count();
        let result = if counted.is_ok() && size > self.policy.request_bytes.max(2) as u64 {
            TOO_LARGE
        } else {
            let done =
                catch_unwind(AssertUnwindSafe(|| counted.and_then(|()| self.run(&call, operation, &read()))));
            match done {
                Err(panic) => {
                    std::mem::forget(panic);
                    INTERNAL
                }
                Ok(_) if lock(&self.state).closed => CANCELLED,
                Ok(answer) => self.deliver(answer, cap, write),
            }
        };
        lock(&self.state).running = None;
        self.free.notify_all();
        result
    }

    fn deliver(&self, answer: Result<Value>, cap: u64, write: impl FnOnce(&[u8])) -> i32 {
        let said = |error: Error| json!({"error": error.to_json()}).to_string();
        let mut text = answer.map_or_else(said, |value| value.to_string());
        if text.len() > self.policy.response_bytes.max(4096) {
            text = said(used_up("response_bytes"));
        }
        let length = i32::try_from(text.len()).unwrap_or(INTERNAL);
        if text.len() as u64 <= cap {
            write(text.as_bytes());
        } else {
            lock(&self.state).kept = Some(text.into_bytes());
        }
        length
    }

    /// Hands over the answer that did not fit; it stays until the next call.
    pub fn response(&self, cap: u64, write: impl FnOnce(&[u8])) -> i32 {
        let state = lock(&self.state);
        match &state.kept {
            _ if state.closed => CANCELLED,
            _ if state.running.is_some() => BUSY,
            None => NO_RESPONSE,
            Some(kept) => {
                if kept.len() as u64 <= cap {
                    write(kept);
                }
                i32::try_from(kept.len()).unwrap_or(INTERNAL)
            }
        }
    }

    /// Cancels its call, waits until no memory is held, and destroys what it made, unless the policy keeps it.
    pub fn close(&self) {
        let made = {
            let mut state = lock(&self.state);
            state.closed = true;
            while let Some(call) = &state.running {
                call.cancel();
                state = self.free.wait(state).unwrap_or_else(PoisonError::into_inner);
            }
            std::mem::take(&mut state.made)
        };
        for id in made.iter().filter(|_| !self.policy.keep) {
            let call = Call::new().within(Duration::from_secs(30));
            let ended = self.destroy(&call, id);
            if let Err(error) = ended {
                log::warn!(target: "sandport", "a closed guest's sandbox could not be removed: {error}");
            }
        }
    }

    fn count(&self) -> Result<()> {
        let mut rate = lock(&self.rate);
        let now = Instant::now();
        while rate.front().is_some_and(|then| now.duration_since(*then) >= Duration::from_secs(60)) {
            rate.pop_front();
        }
        if self.policy.namespace.is_empty() {
            return Ok(());
        }
        if rate.len() >= self.policy.calls_per_minute {
            return Err(used_up("calls_per_minute").retryable());
        }
        rate.push_back(now);
        Ok(())
    }

    fn run(&self, call: &Call, operation: Operation, request: &[u8]) -> Result<Value> {
        if !self.policy.operations.contains(&operation) {
            return Err(denied(operation.word()));
        }
        let text = std::str::from_utf8(request).map_err(|_| Error::invalid("the request is not UTF-8"))?;
        let text = if text.is_empty() { "{}" } else { text };
        if operation == Operation::Create {
            return self.create(call, text);
        }
        let ask = operation.parse(text)?;
        if let Ask::List = ask {
            let all = self.backend.list_for(call, &self.policy.namespace).map_err(|error| plain(&error))?;
            let all: Vec<_> = all.iter().map(|info| told(info.to_json(), &info.sandbox_id)).collect();
            return Ok(json!({"sandboxes": all}));
        }
        self.aimed(call, ask).map_err(|error| plain(&error))
    }

    /// What is aimed at one sandbox: it is looked for among the guest's own and nowhere else.
    fn aimed(&self, call: &Call, ask: Ask) -> Result<Value> {
        let id = match &ask {
            Ask::Destroy(asked) => &asked.target.sandbox_id,
            Ask::Request(asked) => &asked.target.sandbox_id,
            Ask::Discover(target) | Ask::IsAlive(target) => &target.sandbox_id,
            _ => return Err(Error::new(Code::Internal, "no target")),
        }
        .clone();
        let found = self.backend.find_for(call, &self.id(&id), &self.policy.namespace, &id)?;
        Ok(match (ask, found) {
            (Ask::Destroy(_), None) => json!({"destroyed": false}),
            (Ask::Destroy(asked), Some(target)) => {
                let gone = self.backend.destroy(call, &DestroyRequest { target, ..asked })?;
                lock(&self.state).made.remove(&id);
                json!({"destroyed": gone})
            }
            (Ask::Discover(_), Some(target)) => {
                let info = self.backend.discover(call, &target)?;
                json!({"sandbox": info.map(|info| told(info.to_json(), &id))})
            }
            (Ask::Discover(_), None) => json!({"sandbox": null}),
            (Ask::IsAlive(_), None) => json!({"alive": false}),
            (Ask::IsAlive(_), Some(target)) => json!({"alive": self.backend.is_alive(call, &target)?}),
            (Ask::Request(_), None) => return Err(Error::new(Code::NotFound, "").in_phase(Phase::Request)),
            (Ask::Request(mut asked), Some(target)) => {
                asked.target = target;
                asked.max_response_bytes = asked.max_response_bytes.min(self.policy.response_bytes as u64);
                self.backend.run(call, &Ask::Request(asked))?
            }
            _ => return Err(Error::new(Code::Internal, "no target")),
        })
    }

    fn destroy(&self, call: &Call, id: &str) -> Result<()> {
        if let Some(target) = self.backend.find_for(call, &self.id(id), &self.policy.namespace, id)? {
            self.backend.destroy(call, &DestroyRequest { target, stop_timeout: None })?;
        }
        Ok(())
    }

    fn create(&self, call: &Call, text: &str) -> Result<Value> {
        let mut fields = Fields::parse(text, self.policy.request_bytes.max(2))?;
        let id = fields.string("sandbox_id")?.map_or_else(sandbox::random_id, Ok)?;
        if !sandbox::is_sandbox_id(&id) {
            return Err(fields.wrong("sandbox_id", "is not a sandbox id"));
        }
        let image = self.policy.image(fields.string("image")?.as_deref())?;
        let mut extra_mounts = Vec::new();
        for (key, target) in fields.pairs("mounts", |_, target| form::absolute(target).map(drop))? {
            let (host_path, read_only) = self.policy.mounts.get(&key).ok_or_else(|| denied("mounts"))?;
            if ["/", "/proc", "/sys", "/dev"].contains(&target.as_str()) {
                return Err(fields.wrong("mounts", "would hide what every process needs"));
            }
            extra_mounts.push(MountRequest {
                host_path: host_path.clone(),
                container_path: target,
                read_only: *read_only,
            });
        }
        let mut environment: BTreeMap<_, _> = config::literal_environment(&mut fields)?;
        if environment.keys().any(|name| !self.policy.allows_variable(name, self.backend.auth_variable())) {
            return Err(denied("environment"));
        }
        environment.extend(self.policy.set.clone());
        let asked = fields.object("resources")?.map(Resources::read).transpose()?.unwrap_or_default();
        let own = self.policy.resources;
        let limits = Resources {
            memory_bytes: own.memory_bytes.into_iter().chain(asked.memory_bytes).min(),
            cpus: own.cpus.into_iter().chain(asked.cpus).reduce(f64::min),
            pids: own.pids.into_iter().chain(asked.pids).min(),
            ..asked
        };
        let tenant = Tenant {
            namespace: self.policy.namespace.clone(),
            guest_id: id.clone(),
            expires: now() + self.policy.lifetime,
            limits,
            places: self.policy.sandboxes,
        };
        let request = CreateRequest {
            sandbox_id: Some(self.id(&id)),
            image: Some(image),
            command: fields.strings("command")?,
            extra_mounts,
            environment,
            ready_timeout: fields.seconds("ready_timeout_seconds")?,
            tenant: Some(Box::new(tenant.clone())),
            ..CreateRequest::default()
        };
        fields.finish()?;
        // Marked first: a create that fails may leave something, and closing looks again.
        lock(&self.state).made.insert(id.clone());
        timer::wind(&self.backend, tenant.expires);
        let info = self.backend.create_for(call, &request, &tenant).map_err(|error| plain(&error))?;
        Ok(told(info.to_json(), &id))
    }

    fn id(&self, id: &str) -> String {
        let mut hash = Sha256::new();
        hash.update(&self.policy.namespace);
        hash.update([0]);
        hash.update(id);
        format!("g{}", sandbox::hex(&hash.finalize()[..8]))
    }
}

/// A SandboxInfo as a guest may see it.
fn told(mut info: Value, id: &str) -> Value {
    if let Value::Object(fields) = &mut info {
        for name in ["container_id", "container_name", "sandbox_url", "auth"] {
            fields.remove(name);
        }
        fields.insert("sandbox_id".into(), id.into());
        fields.insert("warnings".into(), json!([]));
    }
    info
}

/// A failure in words that hold nothing of the host's: no path, no name, no id.
fn plain(error: &Error) -> Error {
    let message = match error.code() {
        Code::QuotaExceeded => "a limit is reached",
        Code::NotFound => "there is no such sandbox",
        Code::Timeout => "the call's time is over",
        Code::NameConflict => "the sandbox exists and was made from something else",
        Code::SandboxExited => "the sandbox ended",
        Code::InvalidArgument => "the request is wrong",
        Code::Denied => "a rule forbids it",
        Code::NotReady => "the sandbox does not answer",
        _ => "the sandbox's host could not do it",
    };
    let mut safe = Error::new(error.code(), message);
    if let Some(phase) = error.phase() {
        safe = safe.in_phase(phase);
    }
    for name in ["limit", "exit_code", "oom_killed"] {
        if let Some(value) = error.details().get(name) {
            safe = safe.with_detail(name, value.clone());
        }
    }
    if error.is_retryable() { safe.retryable() } else { safe }
}
