//! Apple's `container` (1.x), driven through its command line, since it has no API for other programs.
//!
//! A container's name is its id. Nothing is removed by itself: [`Runtime::stop`] also deletes what this library
//! made, and what ended otherwise is residue that the next create, or reap, clears away. Each sandbox is a virtual
//! machine with a kernel of its own, so limits on processes and logs are not passed on. Not run on a Mac yet: the
//! wordings are those of its sources, replayed by `tests/apple/container`.

mod arguments;
#[cfg(test)]
mod tests;
mod watch;
mod wire;

use std::path::PathBuf;
use std::time::Duration;

use self::wire::Why;
use super::command::{self, Output};
use super::text::clean;
use super::{About, Container, ContainerSpec, Kind, Made, NetworkLock, Refusal, Runtime, Watch, Which};
use crate::call::Call;
use crate::error::{Code, Error, Result};
use crate::sandbox::label;

/// How long `container --version` may take.
const PROBE: Duration = Duration::from_secs(5);
/// How long a pull may take: the tool does not tell how far it is, so a silent one cannot be seen.
const PULL: Duration = Duration::from_secs(3600);
const ONE: usize = 1 << 20;
const LIST: usize = 64 << 20;

/// Apple's `container` command.
#[derive(Debug)]
pub(crate) struct Apple {
    program: PathBuf,
    call_timeout: Duration,
}

impl Apple {
    /// The `container` that stands on the PATH. Runs nothing.
    pub fn new(call_timeout: Duration) -> Self {
        Apple { program: PathBuf::from("container"), call_timeout }
    }

    /// Runs one subcommand to its end, whatever its exit code.
    fn output(&self, call: &Call, args: &[&str], limit: Duration, cap: usize) -> Result<Output> {
        command::run(call, &self.program, args, &[], None, limit, cap)
            .map_err(|error| error.on_runtime(Kind::Apple.word()))
    }

    /// Runs one subcommand; `None` where it says that there is no such container.
    fn unless_missing(&self, call: &Call, args: &[&str], limit: Duration) -> Result<Option<Output>> {
        let output = self.output(call, args, limit, ONE)?;
        if output.is_success() {
            return Ok(Some(output));
        }
        match failure(args[0], &output) {
            (Why::Missing, _) => Ok(None),
            (_, error) => Err(error),
        }
    }

    fn delete(&self, call: &Call, id: &str) -> Result<bool> {
        let output = self.unless_missing(call, &["delete", "--force", id], self.call_timeout)?;
        Ok(output.is_some())
    }
}

/// What a failed command means.
fn failure(subcommand: &str, output: &Output) -> (Why, Error) {
    let said = if output.stderr.is_empty() { &output.stdout } else { &output.stderr };
    let text = String::from_utf8_lossy(said);
    let why = wire::why(&text);
    let message = format!("container {subcommand} failed: {}", clean(&text));
    let error = match why {
        Why::Down => down(),
        Why::NameInUse => Error::new(Code::NameConflict, message),
        Why::Missing => Error::new(Code::NotFound, message),
        Why::Unknown => {
            Error::new(Code::Unsupported, message).with_hint("a newer version of container may know it")
        }
        Why::PortInUse | Why::Other => {
            Error::new(Code::RuntimeFailed, message).with_detail("exit_code", output.status)
        }
    };
    (why, error.on_runtime(Kind::Apple.word()))
}

fn down() -> Error {
    Error::new(Code::RuntimeUnavailable, "the services of container do not run")
        .with_hint("run `container system start`")
        .retryable()
}

impl Runtime for Apple {
    fn kind(&self) -> Kind {
        Kind::Apple
    }

    fn endpoint(&self) -> &str {
        ""
    }

    fn identity(&self) -> String {
        Kind::Apple.word().to_owned()
    }

    fn is_remote(&self) -> bool {
        false
    }

    fn ping(&self, call: &Call) -> Result<About> {
        let on = |error: Error| error.on_runtime(Kind::Apple.word());
        let output = self.output(call, &["--version"], PROBE, ONE)?;
        let text = String::from_utf8_lossy(&output.stdout);
        let Some(version) = wire::version(&text).filter(|_| output.is_success()) else {
            return Err(on(Error::new(
                Code::RuntimeUnavailable,
                "the `container` on the PATH is not Apple's",
            )
            .with_hint("install Apple's container, or name another runtime")));
        };
        if wire::major(version) == Some(0) {
            return Err(on(Error::new(Code::Unsupported, format!("container {version} is too old"))
                .with_hint("upgrade container to 1.0 or later")));
        }
        // Its exit code is the answer; what it prints differs between versions.
        if !self.output(call, &["system", "status"], self.call_timeout, ONE)?.is_success() {
            return Err(on(down()));
        }
        Ok(About { version: Some(version.to_owned()), api_version: None })
    }

    fn create(&self, call: &Call, spec: &ContainerSpec, _: &dyn NetworkLock) -> Result<Made, Refusal> {
        let on = |error: Error| error.on_runtime(Kind::Apple.word());
        let (args, warnings) = arguments::create(spec).map_err(on)?;
        // `create` would pull a missing image by itself, without a word of how far it is.
        let image = self.output(call, &["image", "inspect", &spec.image], self.call_timeout, LIST)?;
        if !image.is_success() {
            return Err(match failure("image inspect", &image) {
                (Why::Down | Why::Unknown, error) => Refusal::Failed(error),
                _ => Refusal::NoImage(on(Error::new(Code::ImageNotFound, "the image is not here"))),
            });
        }
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        let environment: Vec<(String, String)> =
            spec.environment.iter().map(|(name, value)| (name.clone(), value.clone())).collect();
        let call = call.sheltered(self.call_timeout);
        let output = command::run(&call, &self.program, &args, &environment, None, self.call_timeout, ONE)
            .map_err(on)?;
        if output.is_success() {
            return Ok(Made { id: spec.name.clone(), isolated: false, warnings });
        }
        let (why, error) = failure("create", &output);
        let error = error.map_text(|text| without_values(text, spec));
        Err(match why {
            Why::NameInUse => Refusal::NameInUse(error),
            Why::PortInUse => Refusal::PortInUse(error),
            _ => Refusal::Failed(error),
        })
    }

    fn start(&self, call: &Call, id: &str) -> Result<(), Refusal> {
        let sent = call.sheltered(self.call_timeout);
        let output = self.output(&sent, &["start", id], self.call_timeout, ONE)?;
        if output.is_success() {
            return Ok(());
        }
        let (why, error) = failure("start", &output);
        if why != Why::Missing {
            // As an engine does with what it removes by itself: the name is free again.
            if let Err(left) = self.delete(&call.sheltered(self.call_timeout), id) {
                return Err(Refusal::Failed(error.with_detail("residue", left.message())));
            }
        }
        Err(match why {
            Why::PortInUse => Refusal::PortInUse(error),
            Why::Missing => Refusal::Gone(error),
            _ => Refusal::Failed(error),
        })
    }

    fn watch(&self, _: &Call, id: &str) -> Result<Option<Box<dyn Watch>>> {
        Ok(Some(Box::new(watch::Look::new(self.program.clone(), id))))
    }

    fn inspect(&self, call: &Call, which: Which<'_>) -> Result<Option<Container>> {
        let Some(output) = self.unless_missing(call, &["inspect", which.text()], self.call_timeout)? else {
            return Ok(None);
        };
        let all = wire::containers(&output.stdout).map_err(|error| error.on_runtime(Kind::Apple.word()))?;
        Ok(all.into_iter().find(|one| one.id == which.text()))
    }

    fn list(&self, call: &Call, all: bool) -> Result<Vec<Container>> {
        let args: &[&str] =
            if all { &["list", "--format", "json", "--all"] } else { &["list", "--format", "json"] };
        let output = self.output(call, args, self.call_timeout, LIST)?;
        if !output.is_success() {
            return Err(failure("list", &output).1);
        }
        let mut all =
            wire::containers(&output.stdout).map_err(|error| error.on_runtime(Kind::Apple.word()))?;
        for one in &mut all {
            one.environment = None;
        }
        Ok(all)
    }

    fn stop(&self, call: &Call, id: &str, timeout: Duration) -> Result<bool> {
        let Some(container) = self.inspect(call, Which::Id(id))? else { return Ok(false) };
        let seconds = timeout.as_secs_f64().ceil().to_string();
        let limit = timeout.saturating_add(self.call_timeout);
        let stopped = self.unless_missing(call, &["stop", "--time", &seconds, id], limit)?.is_some();
        if stopped && container.labels.contains_key(label::ID) {
            self.delete(call, id)?;
        }
        Ok(stopped)
    }

    fn remove(&self, call: &Call, id: &str) -> Result<bool> {
        // `delete` of something that is not there is no failure in every version, so it is looked for first.
        Ok(self.inspect(call, Which::Id(id))?.is_some() && self.delete(call, id)?)
    }

    fn pull(&self, call: &Call, image: &str) -> Result<()> {
        let output = self.output(call, &["image", "pull", "--progress", "none", image], PULL, ONE)?;
        if output.is_success() {
            return Ok(());
        }
        Err(match failure("image pull", &output) {
            (Why::Down | Why::Unknown, error) => error,
            (_, error) => Error::new(Code::ImageNotFound, error.message())
                .with_hint("look at the name of the image, log in with `container registry login`, or pull it by hand")
                .on_runtime(Kind::Apple.word()),
        })
    }

    fn data_root(&self, _: &Call) -> Result<Option<PathBuf>> {
        Ok(std::env::home_dir().map(|home| home.join("Library/Application Support/com.apple.container")))
    }
}

/// The text without the values of the environment, should the tool have printed one.
fn without_values(text: &str, spec: &ContainerSpec) -> String {
    let mut text = text.to_owned();
    for value in spec.environment.values().filter(|value| value.len() >= 4) {
        text = text.replace(value.as_str(), "[redacted]");
    }
    text
}
