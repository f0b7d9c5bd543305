//! The narrow door for guests: sandboxes that belong to a namespace, are counted there, and end at a set time.
//!
//! A guest's sandbox is known by its labels alone, so every process of the state directory counts and ends the same
//! ones. The namespace's lock is held from the count to the end of a create: two creates never share the last place,
//! and what a failed create could not remove goes on counting, because the engine still shows it.

use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::create;
use super::plan::Plan;
use super::session::Session;
use super::{Backend, destroy};
use crate::call::Call;
use crate::error::{Code, Error, Phase, Result};
use crate::operation::{CreateRequest, Target};
use crate::runtime::{Container, Limits};
use crate::sandbox::{SandboxInfo, label};

/// The file beside the locks that says that guests have lived here: without it nobody needs to look for them.
const TRACE: &str = "guests";
/// How long the removal of an expired sandbox may hold up another call.
const REMOVAL: Duration = Duration::from_secs(20);

/// Whose sandbox it is, and what its policy allows it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Tenant {
    pub namespace: String,
    /// The guest's own name for it.
    pub guest_id: String,
    /// Unix seconds.
    pub expires: u64,
    /// In force together with the config's: the lower of both.
    pub limits: crate::config::Resources,
    /// How many of its namespace may be there at once.
    pub places: usize,
}

impl Tenant {
    /// The lower of the config's limits and the policy's, without swap.
    pub fn limits(&self, base: &Limits) -> Limits {
        Limits { no_swap: true, ..self.limits.under(base) }
    }

    /// The labels that say whose it is.
    pub fn labels(&self) -> [(String, String); 3] {
        [
            (label::NAMESPACE.to_owned(), self.namespace.clone()),
            (label::GUEST_ID.to_owned(), self.guest_id.clone()),
            (label::EXPIRES.to_owned(), self.expires.to_string()),
        ]
    }

    /// Whether a container is this very sandbox of the guest's.
    pub fn owns(&self, found: &Container) -> bool {
        is_of(found, &self.namespace, &self.guest_id)
    }
}

fn is_of(found: &Container, namespace: &str, guest_id: &str) -> bool {
    found.labels.get(label::NAMESPACE).is_some_and(|said| said == namespace)
        && found.labels.get(label::GUEST_ID).is_some_and(|said| said == guest_id)
}

/// Now, in Unix seconds.
pub(crate) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

/// Whether a container is a guest's whose time is over. What cannot be read is over: we wrote it, or nobody did.
pub(super) fn is_expired(found: &Container) -> bool {
    found.labels.contains_key(label::NAMESPACE)
        && found
            .labels
            .get(label::EXPIRES)
            .and_then(|said| said.parse::<u64>().ok())
            .is_none_or(|expires| expires <= now())
}

/// Whether it is of this prefix and state directory, so that its end is ours to bring about.
fn is_ours(session: &Session, found: &Container) -> bool {
    found.labels.get(label::PREFIX) == Some(&session.config().container_prefix)
        && found.labels.get(label::DOMAIN).is_some_and(|domain| domain == session.home().domain())
}

/// Ends the expired ones among these; those that remain come back.
pub(super) fn end_expired(session: &Session, call: &Call, all: Vec<Container>) -> Vec<Container> {
    let (over, rest): (Vec<_>, Vec<_>) =
        all.into_iter().partition(|found| is_ours(session, found) && is_expired(found));
    for found in over {
        let target = Target {
            sandbox_id: found.labels.get(label::ID).cloned().unwrap_or_default(),
            container_id: Some(found.id.clone()),
            container_name: None,
        };
        // Whoever holds the name now looks at the time by itself, or ends it.
        if session.home().name_is_held(&found.name).unwrap_or(true) {
            continue;
        }
        if let Err(error) = destroy::destroy(session, &call.within(REMOVAL), &target, Duration::ZERO) {
            log::warn!(target: "sandport", call = call.number(); "a guest's expired sandbox could not be removed: {error}");
        }
    }
    rest
}

/// The same for all of this state directory, where guests have ever lived.
pub(super) fn sweep(session: &Session, call: &Call) -> Result<()> {
    if session.home().place().join(TRACE).exists() {
        end_expired(session, call, session.list(call, true)?);
    }
    Ok(())
}

/// Says that guests live here, before the first of them does.
fn leave_trace(session: &Session) -> Result<()> {
    let path = session.home().place().join(TRACE);
    let made = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(path);
    made.map(drop).map_err(|_| Error::new(Code::Internal, "the state directory cannot be written to"))
}

/// A limit of a guest's that is used up.
pub(crate) fn used_up(limit: &'static str) -> Error {
    Error::new(Code::QuotaExceeded, format!("the limit `{limit}` is reached"))
        .with_hint("use less, or ask whoever wrote the policy for more")
        .in_phase(Phase::Validate)
        .with_detail("limit", limit)
}

impl Backend {
    /// The variable that hands a sandbox its key.
    pub(crate) fn auth_variable(&self) -> Option<&str> {
        self.0.config.auth.as_ref().map(|auth| auth.environment.as_str())
    }

    /// What sandboxes of this backend are counted under, beside their namespace.
    pub(crate) fn estate(&self) -> String {
        format!("{}\0{}", self.0.state.path().display(), self.0.config.container_prefix)
    }

    /// [`Backend::create`] for a guest: counted, and only ever its own sandbox.
    pub(crate) fn create_for(
        &self,
        call: &Call,
        request: &CreateRequest,
        tenant: &Tenant,
    ) -> Result<SandboxInfo> {
        request.check(&self.0.config)?;
        self.with(call, |session| {
            call.enter(Phase::Lock);
            leave_trace(session)?;
            let place = format!("{}+{}", session.config().container_prefix, tenant.namespace);
            let _place = session.home().hold_name(call, &place)?;
            let all = end_expired(session, call, session.list(call, true)?);
            let others = all.iter().filter(|found| is_ours(session, found) && !tenant.owns(found));
            let others =
                others.filter(|found| found.labels.get(label::NAMESPACE) == Some(&tenant.namespace)).count();
            if others >= tenant.places {
                return Err(used_up("sandboxes"));
            }
            let plan = Plan::new(session, call, request)?;
            create::ensure(session, call, &plan).map_err(|error| plan.secrets.clean(error))
        })
    }

    /// The guest's sandbox as a target: `None` where there is none, or what bears the name is not the guest's.
    pub(crate) fn find_for(
        &self,
        call: &Call,
        sandbox_id: &str,
        namespace: &str,
        guest_id: &str,
    ) -> Result<Option<Target>> {
        self.with(call, |session| {
            call.enter(Phase::Inspect);
            let mut target =
                Target { sandbox_id: sandbox_id.to_owned(), container_id: None, container_name: None };
            let found = session.find(&session.bounded(call), &session.name_of(&target), None)?;
            let own = found.filter(|found| {
                is_ours(session, found) && is_of(found, namespace, guest_id) && !is_expired(found)
            });
            Ok(own.map(|found| {
                target.container_id = Some(found.id);
                target
            }))
        })
    }

    /// A namespace's running sandboxes, each by the guest's own name for it.
    pub(crate) fn list_for(&self, call: &Call, namespace: &str) -> Result<Vec<SandboxInfo>> {
        self.with(call, |session| {
            call.enter(Phase::List);
            let all = end_expired(session, call, session.list(call, false)?);
            let mut own = Vec::new();
            for found in all.iter().filter(|found| is_ours(session, found)) {
                let (Some(said), Some(guest_id)) =
                    (found.labels.get(label::NAMESPACE), found.labels.get(label::GUEST_ID))
                else {
                    continue;
                };
                let id = found.labels.get(label::ID).map_or("", String::as_str);
                if said != namespace
                    || super::list::id_in(&found.name, &session.config().container_prefix) != Some(id)
                {
                    continue;
                }
                let Ok(bond) = session.bond(found, id) else { continue };
                let mut info = session.describe(found, &bond, id);
                info.sandbox_id = guest_id.clone();
                own.push(info);
            }
            own.sort_by(|one, two| one.sandbox_id.cmp(&two.sandbox_id));
            Ok(own)
        })
    }

    /// Ends every sandbox of this state directory whose time is over.
    pub(crate) fn end_expired(&self, call: &Call) -> Result<()> {
        self.with(call, |session| sweep(session, call))
    }
}
