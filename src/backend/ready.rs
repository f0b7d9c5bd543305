//! Waiting for a sandbox's answer, and what it means when there is none.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::session::Session;
use crate::call::Call;
use crate::config::Config;
use crate::error::{Code, Error, Phase, Result};
use crate::operation::WaitReadyRequest;
use crate::readiness::{self, Answered, Check, Outcome};
use crate::runtime::{Container, Ended, Watch, Which};

/// How long one try may take where no time is given for more.
const ONE_TRY: Duration = Duration::from_secs(5);

/// How waiting for a sandbox came out.
pub(super) enum Ready {
    Yes,
    /// It does not answer in time.
    No(Error),
    /// Its container ended.
    Ended(Error),
}

impl Session {
    /// Waits until a sandbox answers; a limit of zero is one try.
    pub fn wait_until_ready(
        &self,
        call: &Call,
        container: &Container,
        key: Option<&str>,
        limit: Duration,
        watch: Option<&mut dyn Watch>,
    ) -> Result<Ready> {
        let Some(address) = self.address_of(container) else {
            return Ok(Ready::No(self.not_ready("the sandbox's port is not published")));
        };
        let mut headers = self.config().health.headers.clone();
        headers.extend(self.auth(key).map(|auth| (auth.header, auth.value)));
        let check = Check {
            host: &address.host,
            port: address.port,
            authority: &address.authority,
            path: &self.config().health.path,
            headers: &headers,
        };
        if limit.is_zero() {
            return Ok(match readiness::probe_once(call, &check, ONE_TRY.min(self.config().call_timeout))? {
                Answered::Yes => Ready::Yes,
                other => Ready::No(self.no_answer(other)),
            });
        }
        let mut died = |call: &Call| self.has_ended(call, container);
        Ok(match readiness::wait_until_ready(&call.within(limit), &check, watch, &mut died)? {
            Outcome::Ready => Ready::Yes,
            Outcome::TimeOver(answered) => Ready::No(self.no_answer(answered)),
            Outcome::Died(ended) => Ready::Ended(self.exited(ended)),
        })
    }

    /// Whether a container that nobody watches has ended.
    fn has_ended(&self, call: &Call, container: &Container) -> Result<Option<Ended>> {
        let found = self.inspect(&self.bounded(call), Which::Id(&container.id))?;
        let lives =
            found.is_some_and(|found| found.state.is_alive() && found.started_at == container.started_at);
        Ok((!lives).then(Ended::default))
    }

    fn no_answer(&self, answered: Answered) -> Error {
        match answered {
            Answered::Status(status) => self
                .not_ready("the sandbox's health check does not answer with success")
                .with_detail("status", status),
            Answered::Yes | Answered::No => {
                self.not_ready("the sandbox did not answer its health check in time")
            }
        }
    }

    /// `NOT_READY`, with what to do about it.
    fn not_ready(&self, message: &str) -> Error {
        Error::new(Code::NotReady, message)
            .with_hint(
                "give it a longer ready_timeout_seconds, or check container_port, health.path and the image",
            )
            .in_phase(Phase::Ready)
            .on_runtime(self.runtime().kind().word())
            .retryable()
    }

    /// `SANDBOX_EXITED`, with what is known of its end.
    pub fn exited(&self, ended: Ended) -> Error {
        Error::new(Code::SandboxExited, "the sandbox's container ended before it answered")
            .with_hint("details.log holds the last lines it printed")
            .with_detail("exit_code", ended.exit_code)
            .with_detail("oom_killed", ended.oom_killed)
            .with_detail("log", ended.log)
            .in_phase(Phase::Ready)
            .on_runtime(self.runtime().kind().word())
    }
}

/// Waits until the health check at a URL succeeds: `{ready, waited_seconds}`; time over is no error.
pub(super) fn wait_ready(call: &Call, config: &Config, asked: &WaitReadyRequest) -> Result<Value> {
    call.enter(Phase::Ready);
    let begun = Instant::now();
    let check = Check {
        host: &asked.host,
        port: asked.port,
        authority: &asked.authority,
        path: &config.health.path,
        headers: &config.health.headers,
    };
    let ready = if asked.timeout.is_zero() {
        readiness::probe_once(call, &check, ONE_TRY)? == Answered::Yes
    } else {
        // What answers there need not be a container of this engine.
        let mut unknown = |_: &Call| Ok(None);
        readiness::wait_until_ready(&call.within(asked.timeout), &check, None, &mut unknown)?
            == Outcome::Ready
    };
    Ok(json!({"ready": ready, "waited_seconds": begun.elapsed().as_secs_f64()}))
}
