//! Making sure that a sandbox runs: lock its name, lease it, look, adopt or make it, and wait until it answers.
//!
//! A freed name lock does not mean a quiet engine (what a killed client asked for may still come true), so looking is
//! a loop: whatever is in the way is waited for or cleared away, and then we look again.

use std::time::{Duration, Instant};

use super::look::{self, Bond, Finding};
use super::plan::Plan;
use super::ready::Ready;
use super::session::Session;
use super::tenure::Tenure;
use super::trial::checkpoint;
use crate::call::Call;
use crate::error::{Code, Error, Phase, Result};
use crate::runtime::{Container, Made, Refusal, Watch, Which};
use crate::sandbox::{SandboxInfo, Timings};

/// How often a container may vanish between its making and its start, or its name be taken meanwhile.
const GONE_AT_MOST: u32 = 10;
/// How many host ports an engine may refuse.
const PORTS_AT_MOST: u32 = 10;
/// How often what was adopted may end while it is waited for.
const ENDED_AT_MOST: u32 = 10;
/// How long an ended container may bear its name.
const LEAVING: Duration = Duration::from_secs(10);
/// How long a peer that we cannot see may take to start what it made.
const PEER_STARTS: Duration = Duration::from_secs(30);

/// A sandbox that runs, and how it came to.
struct Present {
    container: Container,
    bond: Bond,
    /// What only its maker knows.
    made: Option<Making>,
}

impl Present {
    /// Takes back what this call made, while the name is still held; what was adopted stays as it is.
    fn give_up(&self, session: &Session, call: &Call, plan: &Plan, error: Error) -> Error {
        match self.made {
            Some(_) => undo(session, call, plan, &self.container.id, Refusal::Failed(error)).into_error(),
            None => error,
        }
    }
}

struct Making {
    watch: Option<Box<dyn Watch>>,
    warnings: Vec<String>,
    isolated: bool,
}

/// What looking came to.
enum Step {
    Present(Box<Present>),
    /// It is absent, and so is its image.
    NeedsImage(Option<Error>),
}

/// What waiting for the sandbox came to.
enum Settled {
    Ready(Box<SandboxInfo>),
    /// It was adopted and ended meanwhile: look again.
    Ended(Error),
}

/// Makes sure that the planned sandbox runs and answers.
pub(super) fn ensure(session: &Session, call: &Call, plan: &Plan) -> Result<SandboxInfo> {
    let mut timings = Timings::default();
    let mut pulled = false;
    let mut ended = 0;
    loop {
        call.enter(Phase::Lock);
        let begun = Instant::now();
        let name = session.home().hold_name(&session.bounded(call), &plan.name)?;
        timings.lock += begun.elapsed().as_secs_f64();
        checkpoint("create:locked");
        // The lease comes before the look, so that no reaper removes what we are about to find.
        let mut tenure = Tenure::take(session, call, &plan.name)?;
        match look_or_make(session, call, plan, &mut tenure, pulled, &mut timings) {
            Ok(Step::Present(present)) => {
                if let Err(error) = tenure.mark_used() {
                    tenure.forget();
                    return Err(present.give_up(session, call, plan, error));
                }
                drop(name);
                checkpoint("create:unlocked");
                match settle(session, call, plan, *present, tenure, &mut timings)? {
                    Settled::Ready(info) => return Ok(*info),
                    Settled::Ended(error) if ended == ENDED_AT_MOST => return Err(error),
                    Settled::Ended(_) => ended += 1,
                }
            }
            Ok(Step::NeedsImage(said)) => {
                tenure.forget();
                drop(name);
                if pulled || !plan.may_pull() {
                    return Err(
                        said.unwrap_or_else(|| Error::new(Code::ImageNotFound, "the image is not here"))
                    );
                }
                pull(session, call, plan, &mut timings)?;
                pulled = true;
            }
            Err(error) => {
                tenure.forget();
                return Err(error);
            }
        }
    }
}

/// Brings the image, with nothing held and off the readiness clock.
fn pull(session: &Session, call: &Call, plan: &Plan, timings: &mut Timings) -> Result<()> {
    call.enter(Phase::Pull);
    checkpoint("create:pulling");
    let begun = Instant::now();
    let pulled = session.runtime().pull(call, &plan.spec.image);
    call.report_pull(None);
    timings.pull += begun.elapsed().as_secs_f64();
    pulled.map_err(|error| error.in_phase(Phase::Pull))
}

/// Looks until the sandbox runs, making it where it is absent. The caller holds the name.
fn look_or_make(
    session: &Session,
    call: &Call,
    plan: &Plan,
    tenure: &mut Tenure<'_>,
    pulled: bool,
    timings: &mut Timings,
) -> Result<Step> {
    let mut gone = 0;
    let mut attempt = Attempt::default();
    let mut peer_since = None;
    loop {
        call.check()?;
        let Some(found) = session.inspect(call, Which::Name(&plan.name))? else {
            if plan.pulls_always() && !pulled {
                return Ok(Step::NeedsImage(None));
            }
            match make(session, call, plan, &mut attempt, timings) {
                Ok(present) => return Ok(Step::Present(Box::new(present))),
                Err(Refusal::NoImage(error)) => return Ok(Step::NeedsImage(Some(error))),
                Err(Refusal::PortInUse(error)) => attempt.refuse_port(session, call, error)?,
                Err(Refusal::NameInUse(error) | Refusal::Gone(error)) => {
                    gone += 1;
                    if gone > GONE_AT_MOST {
                        return Err(error);
                    }
                    // The name is free within 10 to 155 ms after the end of its bearer.
                    call.sleep(Duration::from_millis(20 * u64::from(gone)))?;
                }
                Err(Refusal::Failed(error)) => return Err(error),
            }
            continue;
        };
        let bond = session.bond(&found, &plan.id)?;
        if !plan.may_have(&found, &bond) {
            return Err(look::conflict(Phase::Create, "the sandbox exists and was made from something else"));
        }
        match look::finding(&found, &bond) {
            Finding::Alive if tenure.covers(&bond) => {
                return Ok(Step::Present(Box::new(Present { container: found, bond, made: None })));
            }
            // Its own state directory's reaper must see us too, and then we look again.
            Finding::Alive => tenure.reach(&bond),
            Finding::Leaving => session.wait_gone(call, &found.id, LEAVING)?,
            Finding::Residue => {
                session.runtime().remove(call, &found.id)?;
                session.wait_gone(call, &found.id, LEAVING)?;
            }
            Finding::PeerStarting => {
                if peer_since.get_or_insert_with(Instant::now).elapsed() > PEER_STARTS {
                    return Err(look::conflict(
                        Phase::Create,
                        "a container of this name was made elsewhere and never started",
                    )
                    .retryable());
                }
                call.sleep(Duration::from_millis(50))?;
            }
            Finding::InTheWay => {
                return Err(look::conflict(
                    Phase::Create,
                    "a container of this name is not running, and is not ours to remove",
                ));
            }
        }
    }
}

/// The host ports that one create has tried.
#[derive(Default)]
struct Attempt {
    refused: u32,
    skip: Vec<u16>,
    tried: Option<u16>,
}

impl Attempt {
    /// The engine refused a port: skip it, and all that the engine itself has published.
    fn refuse_port(&mut self, session: &Session, call: &Call, error: Error) -> Result<()> {
        self.refused += 1;
        if self.refused >= PORTS_AT_MOST || self.tried.is_none() {
            return Err(error);
        }
        self.skip.extend(self.tried.take());
        if self.refused == 1 {
            self.skip.extend(session.published_ports(call)?);
        }
        Ok(())
    }
}

/// Makes and starts the container. On every failure nothing of it stays.
fn make(
    session: &Session,
    call: &Call,
    plan: &Plan,
    attempt: &mut Attempt,
    timings: &mut Timings,
) -> Result<Present, Refusal> {
    let port = session.take_port(call, plan, &attempt.skip)?;
    attempt.tried = port.as_ref().map(|port| port.port());
    let mut spec = plan.spec.clone();
    spec.publish.port = attempt.tried.unwrap_or(0);

    call.enter(Phase::Create);
    let begun = Instant::now();
    let made = session.runtime().create(call, &spec, session);
    timings.create += begun.elapsed().as_secs_f64();
    let made = made?;
    checkpoint("create:made");

    let started = start(session, call, plan, &made, timings);
    let (watch, container) = match started {
        Ok(started) => started,
        Err(refusal) => return Err(undo(session, call, plan, &made.id, refusal)),
    };
    checkpoint("create:started");
    if let Some(port) = port {
        session.keep_port(&made.id, port);
    }
    Ok(Present {
        container,
        bond: Bond::Ours,
        made: Some(Making { watch, warnings: made.warnings, isolated: made.isolated }),
    })
}

/// Starts what was made, watching it from before, and reads back what the engine made of it.
fn start(
    session: &Session,
    call: &Call,
    plan: &Plan,
    made: &Made,
    timings: &mut Timings,
) -> Result<(Option<Box<dyn Watch>>, Container), Refusal> {
    call.check()?;
    call.enter(Phase::Start);
    let begun = Instant::now();
    let mut watch = session.runtime().watch(call, &made.id)?;
    let started = session.runtime().start(call, &made.id);
    timings.start += begun.elapsed().as_secs_f64();
    started?;
    match session.inspect(call, Which::Id(&made.id))? {
        Some(container) if container.state.is_alive() => {
            match container.pid.and_then(|pid| plan.held.differs(pid)) {
                None => Ok((watch, container)),
                Some(target) => Err(Refusal::Failed(swapped(target))),
            }
        }
        // It ended so fast that its port is gone, or the engine has removed it already.
        _ => {
            let ended = session.last_words(call, watch.as_deref_mut());
            Err(Refusal::Failed(session.exited(ended)))
        }
    }
}

/// A mount leads elsewhere than where it led when it was judged.
fn swapped(target: &str) -> Error {
    Error::new(
        Code::Denied,
        format!("the source of the mount at {target} was changed between its check and the start"),
    )
    .with_hint("mount folders whose path only you can change")
    .in_phase(Phase::Start)
    .with_detail("container_path", target)
}

/// Removes by id what this call has just made, while the name is still held and nobody can have adopted it.
fn undo(session: &Session, call: &Call, plan: &Plan, id: &str, refusal: Refusal) -> Refusal {
    let Err(left) = session.remove_wholly(&session.sheltered(call), id) else {
        return refusal;
    };
    say_residue(call, plan, left);
    refusal.map(|error| error.with_detail("residue", id))
}

/// Waits, with no lock held, until the sandbox answers.
fn settle(
    session: &Session,
    call: &Call,
    plan: &Plan,
    present: Present,
    tenure: Tenure<'_>,
    timings: &mut Timings,
) -> Result<Settled> {
    call.enter(Phase::Ready);
    let Present { container, bond, mut made } = present;
    if made.is_none() && session.address_of(&container).is_none() {
        tenure.forget();
        return Err(look::conflict(Phase::Ready, "a container of this name runs without the sandbox's port"));
    }
    let key = session.key_of(&container);
    let begun = Instant::now();
    let mut watch = made.as_mut().and_then(|making| making.watch.take());
    let watch = watch.as_mut().map(|watch| &mut **watch as &mut dyn Watch);
    let ready = match plan.ready_timeout.is_zero() {
        true => Ok(Ready::Yes),
        false => session.wait_until_ready(call, &container, key.as_deref(), plan.ready_timeout, watch),
    };
    timings.ready += begun.elapsed().as_secs_f64();
    checkpoint("create:ready");
    let failure = match ready {
        Ok(Ready::Yes) => {
            let mut info = session.describe(&container, &bond, &plan.id);
            info.auth = session.auth(key.as_deref());
            info.leased = Some(tenure.is_seen_by(&bond));
            info.created = Some(made.is_some());
            info.spec_matches = plan.matches(&container, &bond);
            info.timings = Some(timings.clone());
            info.warnings = session.warnings(&info, &bond);
            if let Some(making) = made {
                info.isolation = Some(if making.isolated { "isolated" } else { "shared" });
                info.warnings.extend(making.warnings);
            }
            tenure.keep(&container.id);
            return Ok(Settled::Ready(Box::new(info)));
        }
        Ok(Ready::Ended(error)) if made.is_none() => {
            tenure.forget();
            log::debug!(target: "sandport", call = call.number(); "what was adopted has ended, looking again: {}", error.message());
            return Ok(Settled::Ended(error));
        }
        Ok(Ready::Ended(error) | Ready::No(error)) => error,
        Err(error) => error,
    };
    if made.is_some() {
        return Err(take_back(session, call, plan, tenure, &container.id, failure));
    }
    tenure.release();
    Err(match bond {
        Bond::Stranger if failure.code() == Code::NotReady => look::conflict(
            Phase::Ready,
            "a container of this name that is not ours does not answer as a sandbox",
        ),
        _ => failure,
    })
}

/// Removes what this call made, unless a peer has adopted it meanwhile.
fn take_back(
    session: &Session,
    call: &Call,
    plan: &Plan,
    tenure: Tenure<'_>,
    id: &str,
    failure: Error,
) -> Error {
    let call = session.sheltered(call);
    let failure = failure.in_phase(Phase::Ready);
    let taken = (|| {
        let _name = session.home().hold_name(&session.bounded(&call), tenure.name())?;
        let Some(alone) = tenure.become_alone()? else {
            return Ok(false);
        };
        session.remove_wholly(&call, id)?;
        alone.unlink()?;
        Ok::<_, Error>(true)
    })();
    match taken {
        Ok(true) => failure,
        Ok(false) => failure.with_detail("adopted_by_peer", true),
        Err(left) => {
            say_residue(&call, plan, left);
            failure.with_detail("residue", id)
        }
    }
}

fn say_residue(call: &Call, plan: &Plan, left: Error) {
    let left = plan.secrets.clean(left);
    log::warn!(target: "sandport", call = call.number(); "a container that this call made could not be removed: {left}");
}
