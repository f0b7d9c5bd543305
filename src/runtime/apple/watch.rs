//! Sees a sandbox end while it is awaited: `container` tells nobody, so it is asked again and again.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::ONE;
use super::wire::{self, Why};
use crate::runtime::command::Tool;
use crate::runtime::text::last_words;
use crate::runtime::{Ended, State, Watch};

/// The time between two questions.
const EVERY: Duration = Duration::from_millis(500);

/// Runs `inspect` beside the wait for readiness, and `logs` once the sandbox has ended.
#[derive(Debug)]
pub(super) struct Look {
    program: PathBuf,
    id: String,
    next: Instant,
    asking: Option<Tool>,
    has_ended: bool,
}

impl Look {
    pub fn new(program: PathBuf, id: &str) -> Self {
        Look { program, id: id.to_owned(), next: Instant::now(), asking: None, has_ended: false }
    }

    /// Starts a command; one that cannot be started is tried again with the next question.
    fn ask(&mut self, args: &[&str]) {
        self.asking = Tool::start(&self.program, args, &[], None, ONE).ok();
        self.next = Instant::now() + EVERY;
    }
}

impl Watch for Look {
    fn ended(&mut self) -> Option<Ended> {
        let Some(tool) = &mut self.asking else {
            if Instant::now() >= self.next {
                let id = self.id.clone();
                self.ask(&["inspect", &id]);
            }
            return None;
        };
        let answer = tool.step(Duration::ZERO);
        if let Ok(None) = answer {
            return None;
        }
        self.asking = None;
        if self.has_ended {
            // The exit code is told to nobody who was not attached.
            let log = answer.ok().flatten().map(|output| last_words(&output.stdout)).unwrap_or_default();
            return Some(Ended { exit_code: None, oom_killed: None, log });
        }
        let output = answer.ok().flatten()?;
        if !output.is_success() {
            let gone = wire::why(&String::from_utf8_lossy(&output.stderr)) == Why::Missing;
            return gone.then(Ended::default);
        }
        let all = wire::containers(&output.stdout).ok()?;
        if all.iter().any(|one| one.id == self.id && matches!(one.state, State::Exited | State::Dead)) {
            self.has_ended = true;
            let id = self.id.clone();
            self.ask(&["logs", "-n", "20", &id]);
        }
        None
    }
}
