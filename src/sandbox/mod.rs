//! What a sandbox is called, which labels it bears, and what is told of it.

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::error::{Code, Error, Phase, Result};
use crate::form;
use crate::runtime::{Kind, State};

mod spec;
#[cfg(test)]
mod tests;

pub(crate) use spec::spec_hash;

/// Most bytes of a container name.
pub(crate) const NAME_AT_MOST: usize = 63;

/// The labels that every container of ours bears, and that no caller may set.
pub(crate) mod label {
    /// What all of them begin with.
    pub const OURS: &str = "dev.sandport.";
    /// The sandbox id.
    pub const ID: &str = "dev.sandport.id";
    /// The container prefix.
    pub const PREFIX: &str = "dev.sandport.prefix";
    /// The keyed hash of what it was made from.
    pub const SPEC: &str = "dev.sandport.spec";
    /// The random name of its state directory.
    pub const DOMAIN: &str = "dev.sandport.domain";
    /// The folder of that state directory where its leases are.
    pub const HOME: &str = "dev.sandport.home";
    /// The version of the library that made it.
    pub const VERSION: &str = "dev.sandport.version";
    /// The namespace of the guest that it belongs to.
    pub const NAMESPACE: &str = "dev.sandport.namespace";
    /// That guest's own name for it.
    pub const GUEST_ID: &str = "dev.sandport.guest-id";
    /// When it ends, in Unix seconds.
    pub const EXPIRES: &str = "dev.sandport.expires";
}

/// Whether a text can be a sandbox id: `[a-z0-9][a-z0-9_.-]*`.
pub fn is_sandbox_id(text: &str) -> bool {
    form::is_sandbox_id(text) && text.len() <= NAME_AT_MOST - 2
}

/// `{prefix}-{id}`; [`check_name`] says whether it may be one.
pub(crate) fn container_name(prefix: &str, id: &str) -> String {
    format!("{prefix}-{id}")
}

/// Refuses an id whose container name would be too long.
pub(crate) fn check_name(prefix: &str, id: &str) -> Result<()> {
    if prefix.len() + 1 + id.len() <= NAME_AT_MOST {
        return Ok(());
    }
    Err(Error::invalid("`sandbox_id` is too long: with the container prefix the name has more than 63 bytes")
        .with_hint(format!(
            "use at most {} bytes with this prefix",
            NAME_AT_MOST.saturating_sub(prefix.len() + 1)
        )))
}

/// The sandbox id of a user's thread: the same from every process.
pub(crate) fn id_of_thread(user_id: &str, thread_id: &str) -> String {
    hex(&Sha256::digest(format!("{user_id}:{thread_id}"))[..8])
}

/// A sandbox id that nobody else has: 128 random bits.
pub(crate) fn random_id() -> Result<String> {
    let mut bits = [0; 16];
    getrandom::fill(&mut bits)
        .map_err(|_| Error::new(Code::Internal, "the system gives no random bits").retryable())?;
    Ok(hex(&bits))
}

/// Lower-case hex digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Whether a text is a whole container id: 64 hex digits.
pub(crate) fn is_container_id(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
}

/// How long the steps of a create took, in seconds.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Timings {
    /// Waiting for the name.
    pub lock: f64,
    /// Bringing the image.
    pub pull: f64,
    /// Making the container.
    pub create: f64,
    /// Starting it.
    pub start: f64,
    /// Waiting until it answered.
    pub ready: f64,
}

/// The header that opens a sandbox.
#[derive(Clone, PartialEq, Eq)]
pub struct Auth {
    /// Its name.
    pub header: String,
    /// Its value, the sandbox's key.
    pub value: String,
}

/// What is told of a sandbox; in a list, what one summary does not tell is `None`.
#[derive(Clone, Debug, PartialEq)]
pub struct SandboxInfo {
    /// The caller's name for it.
    pub sandbox_id: String,
    /// `http://HOST:PORT`; empty where its port is not published.
    pub sandbox_url: String,
    /// `{container_prefix}-{sandbox_id}`.
    pub container_name: String,
    /// 64 hex digits (Apple: the name).
    pub container_id: String,
    /// Unix seconds.
    pub created_at: f64,
    /// What runs it.
    pub runtime: Kind,
    /// What the engine says.
    pub state: State,
    /// False where an existing one was adopted.
    pub created: Option<bool>,
    /// Whether it was made from what this request asks for.
    pub spec_matches: Option<bool>,
    /// Whether every reaper can see that we use it.
    pub leased: Option<bool>,
    /// "isolated" or "shared".
    pub isolation: Option<&'static str>,
    /// How long the steps took.
    pub timings: Option<Timings>,
    /// What opens it.
    pub auth: Option<Auth>,
    /// What its user should know.
    pub warnings: Vec<String>,
}

impl SandboxInfo {
    /// The JSON object of the answers.
    pub fn to_json(&self) -> Value {
        json!({
            "sandbox_id": self.sandbox_id,
            "sandbox_url": self.sandbox_url,
            "container_name": self.container_name,
            "container_id": self.container_id,
            "created_at": self.created_at,
            "runtime": self.runtime.word(),
            "state": self.state.word(),
            "created": self.created,
            "spec_matches": self.spec_matches,
            "leased": self.leased,
            "isolation": self.isolation,
            "timings": self.timings.as_ref().map(Timings::to_json),
            "auth": self.auth.as_ref().map(|auth| json!({"header": auth.header, "value": auth.value})),
            "warnings": self.warnings,
        })
    }

    /// Reads such an object back; fields that it does not know are ignored, missing ones count as unknown.
    pub fn from_json(value: &Value) -> Result<SandboxInfo> {
        let text = |name: &str| value[name].as_str().unwrap_or_default().to_owned();
        let sandbox_id = text("sandbox_id");
        if !is_sandbox_id(&sandbox_id) {
            return Err(Error::invalid("`sandbox.sandbox_id` is missing or no sandbox id")
                .with_hint("pass a SandboxInfo as create, discover or list answered it"));
        }
        let runtime = [Kind::Docker, Kind::Podman, Kind::Apple];
        let Some(runtime) = runtime.into_iter().find(|kind| value["runtime"] == kind.word()) else {
            return Err(Error::new(Code::Unsupported, "`sandbox.runtime` is none that this version knows")
                .with_hint("pass a SandboxInfo as create, discover or list answered it")
                .in_phase(Phase::Validate));
        };
        let auth = |auth: &Value| {
            Some(Auth {
                header: auth["header"].as_str()?.to_owned(),
                value: auth["value"].as_str()?.to_owned(),
            })
        };
        let warnings = value["warnings"].as_array().into_iter().flatten();
        Ok(SandboxInfo {
            sandbox_id,
            sandbox_url: text("sandbox_url"),
            container_name: text("container_name"),
            container_id: text("container_id"),
            created_at: value["created_at"].as_f64().unwrap_or_default(),
            runtime,
            state: state_of(&value["state"]),
            created: value["created"].as_bool(),
            spec_matches: value["spec_matches"].as_bool(),
            leased: value["leased"].as_bool(),
            isolation: ["isolated", "shared"].into_iter().find(|word| value["isolation"] == *word),
            timings: value["timings"].as_object().map(|_| Timings::from_json(&value["timings"])),
            auth: auth(&value["auth"]),
            warnings: warnings.filter_map(Value::as_str).map(str::to_owned).collect(),
        })
    }
}

fn state_of(word: &Value) -> State {
    let all = [
        State::Created,
        State::Running,
        State::Paused,
        State::Stopping,
        State::Exited,
        State::Removing,
        State::Dead,
    ];
    all.into_iter().find(|state| word == state.word()).unwrap_or(State::Unknown)
}

impl Timings {
    fn to_json(&self) -> Value {
        json!({
            "lock": self.lock,
            "pull": self.pull,
            "create": self.create,
            "start": self.start,
            "ready": self.ready,
        })
    }

    fn from_json(value: &Value) -> Timings {
        let seconds = |name: &str| value[name].as_f64().unwrap_or_default();
        Timings {
            lock: seconds("lock"),
            pull: seconds("pull"),
            create: seconds("create"),
            start: seconds("start"),
            ready: seconds("ready"),
        }
    }
}

impl std::fmt::Debug for Auth {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Auth").field("header", &self.header).finish_non_exhaustive()
    }
}
