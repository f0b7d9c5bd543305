//! What the churn knows must be true: who uses which container, and which destructions are under way.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde_json::Value;

/// Few, so that everybody meets everybody, and the engine never has more than these.
pub const IDS: [&str; 6] = ["a", "b", "c", "d", "e", "f"];

/// How long the engine may still be at the destruction that a killed process asked for.
const LATE: Duration = Duration::from_secs(5);

/// A moment in an id's life: how many destructions had been begun, and whether one of them was not over.
#[derive(Clone, Copy)]
pub struct Since {
    begun: u64,
    quiet: bool,
}

#[derive(Default)]
struct Life {
    /// Destructions that were ever begun, and those that are not over: until when, where that is known.
    begun: u64,
    under_way: BTreeMap<u64, Option<Instant>>,
    users: BTreeMap<usize, (String, Since)>,
}

impl Life {
    /// Whether nobody has been destroying it since.
    fn untouched(&self, since: Since) -> bool {
        since.quiet && self.begun == since.begun
    }
}

#[derive(Default)]
struct Counts {
    checks: u64,
    acquired: u64,
    made: u64,
    destroyed: u64,
    killed: u64,
    failures: BTreeMap<String, u64>,
}

#[derive(Default)]
pub struct Model {
    all: Mutex<BTreeMap<&'static str, Life>>,
    counts: Mutex<Counts>,
}

impl Model {
    fn all(&self) -> MutexGuard<'_, BTreeMap<&'static str, Life>> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// To be asked before a call that takes a lease begins.
    pub fn now(&self, id: &'static str) -> Since {
        let mut lives = self.all();
        let life = lives.entry(id).or_default();
        let now = Instant::now();
        life.under_way.retain(|_, end| end.is_none_or(|end| end > now));
        Since { begun: life.begun, quiet: life.under_way.is_empty() }
    }

    /// A call has returned this container; whoever else uses the id has the same.
    pub fn enter(&self, id: &'static str, user: usize, info: &Value, since: Since) {
        let container = info["container_id"].as_str().expect("an id").to_owned();
        let mut lives = self.all();
        let life = lives.entry(id).or_default();
        for (other, (its, theirs)) in &life.users {
            if life.untouched(*theirs) && life.untouched(since) {
                assert_eq!(*its, container, "{id}: {other} uses one container and {user} was given another");
            }
        }
        life.users.insert(user, (container, since));
        let mut counts = self.counts();
        counts.acquired += 1;
        counts.made += u64::from(info["created"] == true);
    }

    /// To be told before a lease ends.
    pub fn leave(&self, id: &'static str, user: usize) {
        self.all().entry(id).or_default().users.remove(&user);
    }

    /// One that uses it has looked: it must be so, unless somebody has destroyed it.
    pub fn lives(&self, id: &'static str, since: Since, so: bool, what: &str) {
        if self.all().entry(id).or_default().untouched(since) {
            assert!(so, "{id} is used and nobody destroyed it, and it is not so that {what}");
            self.counts().checks += 1;
        }
    }

    pub fn destroying(&self, id: &'static str) -> u64 {
        let mut lives = self.all();
        let life = lives.entry(id).or_default();
        life.begun += 1;
        life.under_way.insert(life.begun, None);
        life.begun
    }

    pub fn destroyed(&self, id: &'static str, begun: u64) {
        self.all().entry(id).or_default().under_way.remove(&begun);
        self.counts().destroyed += 1;
    }

    pub fn destroyed_some_time(&self, id: &'static str, begun: u64) {
        self.all().entry(id).or_default().under_way.insert(begun, Some(Instant::now() + LATE));
    }

    pub fn killed(&self) {
        self.counts().killed += 1;
    }

    pub fn failed(&self, code: &str) {
        *self.counts().failures.entry(code.to_owned()).or_default() += 1;
    }

    pub fn checks(&self) -> u64 {
        self.counts().checks
    }

    pub fn summary(&self) -> String {
        let Counts { checks, acquired, made, destroyed, killed, failures } = &*self.counts();
        format!(
            "{acquired} leases, {made} made, {destroyed} destroyed, {killed} processes killed, {checks} looks at what \
             is used, all true; told instead of a sandbox: {failures:?}"
        )
    }
}
