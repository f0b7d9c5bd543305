//! A churn: threads and processes in two state directories do everything at random with a few ids, some processes are
//! killed amid their calls, and a model knows what must be true all the while.
//!
//! `SANDPORT_SOAK_SECONDS` says how long (8 unless set), `SANDPORT_TEST_SEED` repeats the choices of a run.

use std::collections::{BTreeMap, HashSet};
use std::process::Command;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use crate::child::Peer;
use crate::model::{IDS, Model, Since};
use crate::rig::{Backend, Rig, docker, eventually, heavy};

const TOLD: &str = "SANDPORT_TEST_CHURN";
const WORKERS: usize = 6;

/// How long the churn lasts.
pub fn seconds() -> u64 {
    std::env::var("SANDPORT_SOAK_SECONDS").ok().and_then(|text| text.parse().ok()).unwrap_or(8)
}

#[test]
fn whatever_processes_do_at_random_what_is_used_lives_and_nothing_is_left() {
    let _alone = heavy();
    let rig = Rig::new();
    std::fs::create_dir_all(rig.state_dir()).unwrap();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let seed = std::env::var("SANDPORT_TEST_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or(now);
    println!("SANDPORT_TEST_SEED={seed}");
    // A process of its own, so that its descriptors and threads can be counted.
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "soak::the_churning_process", "--nocapture", "--test-threads=1"])
        .env(TOLD, rig.config(json!({})).to_string())
        .env("SANDPORT_TEST_SEED", seed.to_string())
        .output()
        .unwrap();
    println!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "with SANDPORT_TEST_SEED={seed}");
    rig.assert_clean();
}

/// Not a test of its own: what the test above runs. It does nothing unless it was started as that.
#[test]
fn the_churning_process() {
    let Ok(config) = std::env::var(TOLD) else { return };
    let config: Value = serde_json::from_str(&config).unwrap();
    let seed: u64 = std::env::var("SANDPORT_TEST_SEED").unwrap().parse().unwrap();
    let configs = ["one", "two"].map(|name| {
        let mut config = config.clone();
        config["discover_timeout_seconds"] = 30.into(); // a busy machine is no absence
        config["state_dir"] = format!("{}/{name}", config["state_dir"].as_str().unwrap()).into();
        config
    });
    // What the library keeps for the whole process is there from now on.
    configs.iter().for_each(|config| drop(Backend::open(config).unwrap().0.list().unwrap()));
    let before = (entries("/proc/self/fd"), entries("/proc/self/task"));

    let model = Model::default();
    let end = Instant::now() + Duration::from_secs(seconds());
    std::thread::scope(|scope| {
        for number in 0..WORKERS {
            let (config, model) = (&configs[number % 2], &model);
            scope.spawn(move || Worker::new(number, seed, config, model).run(end));
        }
        scope.spawn(|| watch(config["container_prefix"].as_str().unwrap(), end));
    });
    println!("{}", model.summary());
    assert!(model.checks() > 0, "something was looked at");

    let last = configs.each_ref().map(|config| Backend::open(config).unwrap().0);
    // What the engine still makes for a process that was killed a moment ago comes late.
    eventually("nobody's sandboxes are reaped", || {
        last.iter().for_each(|backend| drop(backend.reap(json!({"idle_seconds": 0})).unwrap()));
        last[0].list().unwrap().is_empty()
            && docker_ids(config["container_prefix"].as_str().unwrap(), "-a").is_empty()
    });
    last.iter().for_each(|backend| drop(backend.reap(json!({"idle_seconds": 0})).unwrap()));
    drop(last);
    eventually("no descriptor and no thread more than at the start", || {
        entries("/proc/self/fd") <= before.0 && entries("/proc/self/task") <= before.1
    });
}

fn entries(folder: &str) -> usize {
    std::fs::read_dir(folder).unwrap().count()
}

/// The ids of the containers that there are, by their labels.
fn docker_ids(prefix: &str, which: &str) -> Vec<String> {
    let filter = format!("label=dev.sandport.prefix={prefix}");
    let format = "{{.Label \"dev.sandport.id\"}}";
    docker(&["ps", which, "--filter", &filter, "--format", format]).lines().map(str::to_owned).collect()
}

/// Sees with another eye that no id ever has two containers.
fn watch(prefix: &str, end: Instant) {
    while Instant::now() < end {
        let ids = docker_ids(prefix, "-a");
        assert!(ids.len() <= IDS.len(), "{ids:?}");
        assert_eq!(ids.iter().collect::<HashSet<_>>().len(), ids.len(), "two containers of one id: {ids:?}");
        std::thread::sleep(Duration::from_millis(200)); // how often it looks
    }
}

/// Who makes the calls: a backend of this process, or a process of its own.
enum Actor {
    Here(Backend),
    There(Peer),
}

impl Actor {
    fn ask(&mut self, call: &str, request: &Value) -> Result<Value, Value> {
        match self {
            Actor::There(peer) => peer.ask(call, request),
            Actor::Here(backend) => crate::child::perform(backend, call, request.clone()),
        }
    }
}

/// One that does something at random, again and again.
struct Worker<'a> {
    number: usize,
    random: u64,
    config: &'a Value,
    model: &'a Model,
    actor: Actor,
    /// What it uses: the answer, and since when.
    used: BTreeMap<&'static str, (Value, Since)>,
}

impl<'a> Worker<'a> {
    fn new(number: usize, seed: u64, config: &'a Value, model: &'a Model) -> Worker<'a> {
        let random = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(number as u64 + 1) | 1;
        let actor = Worker::actor(number, config);
        Worker { number, random, config, model, actor, used: BTreeMap::new() }
    }

    fn actor(number: usize, config: &Value) -> Actor {
        match number / 2 % 2 {
            0 => Actor::Here(Backend::open(config).unwrap().0),
            _ => Actor::There(Peer::start(config)),
        }
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random % limit
    }

    fn run(mut self, end: Instant) {
        while Instant::now() < end {
            let which = usize::try_from(self.below(IDS.len() as u64)).unwrap();
            self.step(IDS[which]);
        }
        // Its leases end with it, and the model must not count on them any more.
        self.used.keys().for_each(|id| self.model.leave(id, self.number));
        match self.actor {
            Actor::Here(backend) => drop(backend),
            Actor::There(peer) => peer.end(),
        }
    }

    fn step(&mut self, id: &'static str) {
        match self.below(100) {
            0..25 => self.acquire("create", id),
            25..45 => self.acquire("discover", id),
            45..55 => self.list(),
            55..75 => self.look(id),
            75..83 => self.destroy(id),
            83..90 => self.release(id),
            90..96 => drop(self.actor.ask("reap", &json!({"idle_seconds": 0})).unwrap()),
            _ => self.die(id),
        }
    }

    fn acquire(&mut self, call: &str, id: &'static str) {
        let since = self.model.now(id);
        match self.actor.ask(call, &json!({"sandbox_id": id})) {
            Ok(answer) => {
                let info = if call == "create" { answer } else { answer["sandbox"].clone() };
                if info.is_null() {
                    if let Some((_, since)) = self.used.get(id) {
                        self.model.lives(id, *since, false, "it is found");
                    }
                    self.forget(id);
                    return;
                }
                assert_eq!(info["leased"], true, "the other directory's leases can be reached: {info}");
                self.model.enter(id, self.number, &info, since);
                self.used.insert(id, (info, since));
            }
            Err(error) => {
                let code = error["code"].as_str().unwrap().to_owned();
                // It was destroyed while we waited for it, or a killed one's half-made container is in the way.
                let allowed = ["sandbox_exited", "not_ready", "not_found", "name_conflict", "timeout"];
                assert!(allowed.contains(&code.as_str()), "{call} {id}: {error}");
                self.model.failed(&code);
                self.forget(id);
            }
        }
    }

    fn list(&mut self) {
        let used: Vec<_> = self.used.iter().map(|(id, (_, since))| (*id, *since)).collect();
        let listed = self.actor.ask("list", &json!({})).unwrap();
        let ids: Vec<_> = listed.as_array().unwrap().iter().map(|one| one["sandbox_id"].clone()).collect();
        assert_eq!(ids.iter().map(Value::to_string).collect::<HashSet<_>>().len(), ids.len(), "{ids:?}");
        for (id, since) in used {
            self.model.lives(id, since, ids.contains(&id.into()), "it is listed");
        }
    }

    /// What it uses is alive and answers, unless somebody has destroyed it.
    fn look(&mut self, id: &'static str) {
        let Some((info, since)) = self.used.get(id).cloned() else { return };
        let alive = self.actor.ask("is_alive", &json!({"sandbox": info})).unwrap();
        self.model.lives(id, since, alive == true, "it is alive");
        let answer = self.actor.ask("request", &json!({"sandbox": info, "path": "/v1/sandbox"}));
        let answered = answer.as_ref().is_ok_and(|answer| answer["status"] == 200);
        self.model.lives(id, since, answered, &format!("it answers: {answer:?}"));
    }

    fn destroy(&mut self, id: &'static str) {
        let Some((info, _)) = self.used.get(id).cloned() else { return };
        self.forget(id);
        let begun = self.model.destroying(id);
        self.actor.ask("destroy", &json!({"sandbox": info})).unwrap();
        let alive = self.actor.ask("is_alive", &json!({"sandbox": info})).unwrap();
        assert_eq!(alive, false, "{id} is alive after its destruction");
        self.model.destroyed(id, begun);
    }

    fn release(&mut self, id: &'static str) {
        self.forget(id);
        self.actor.ask("release", &json!({"sandbox_id": id})).unwrap();
    }

    /// A process dies amid a call, and another takes its place; a backend of this process is closed and opened.
    fn die(&mut self, id: &'static str) {
        for id in std::mem::take(&mut self.used).into_keys() {
            self.model.leave(id, self.number);
        }
        let (kind, pause) = (self.below(4), self.below(300));
        if let Actor::There(peer) = &mut self.actor {
            let begun = (kind == 0).then(|| self.model.destroying(id));
            let call = ["destroy", "create", "discover", "reap"][usize::try_from(kind).unwrap()];
            let request = if call == "reap" { json!({"idle_seconds": 0}) } else { json!({"sandbox_id": id}) };
            peer.tell(call, &request);
            std::thread::sleep(Duration::from_millis(pause)); // when it is killed, not a wait for something
            let next = Worker::actor(self.number, self.config);
            if let Actor::There(peer) = std::mem::replace(&mut self.actor, next) {
                peer.kill();
                self.model.killed();
            }
            // The engine may still be at it: this destruction never counts as over.
            begun.into_iter().for_each(|begun| self.model.destroyed_some_time(id, begun));
        } else {
            self.actor = Worker::actor(self.number, self.config);
        }
    }

    fn forget(&mut self, id: &'static str) {
        if self.used.remove(id).is_some() {
            self.model.leave(id, self.number);
        }
    }
}
