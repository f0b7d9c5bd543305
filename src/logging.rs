//! The library's log for hosts that are not Rust: JSON lines to a file, off until somebody asks.
//!
//! The crate itself speaks to the `log` crate only; a Rust host that has set a logger of its own keeps it, and
//! `set` then says so. Only our own lines are written: what the HTTP client says may hold values.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, TryLockError};
use std::time::{SystemTime, UNIX_EPOCH};

use log::kv::{self, Key, Value as KeyValue, VisitSource};
use log::{LevelFilter, Log, Metadata, Record};
use serde_json::{Map, Value, json};

use crate::error::{Code, Error, Result};
use crate::json::{self, Fields};
use crate::process;

/// A line is cut here, so that a pipe takes it whole and the lines of two processes never mix.
const LINE: usize = 4096;

struct JsonLines {
    sink: Mutex<Option<Arc<File>>>,
}

static LOGGER: JsonLines = JsonLines { sink: Mutex::new(None) };

/// Whether the process's logger is ours.
static OURS: OnceLock<bool> = OnceLock::new();

/// Turns the log on or off as a request says: `{"level", "path" | "fd"}`.
pub(crate) fn set(request: &str) -> Result<()> {
    let mut fields = Fields::parse(request, json::LIMIT)?;
    let level =
        fields.string("level")?.ok_or_else(|| Error::invalid("level is missing").with_hint(LEVELS))?;
    let path = fields.string("path")?;
    let fd = fields.integer("fd", 0..=i32::MAX as u64)?;
    fields.finish()?;
    let level = parse_level(&level).ok_or_else(|| Error::invalid("level is no level").with_hint(LEVELS))?;
    let file = match (path, fd) {
        (None, None) if level == LevelFilter::Off => None,
        (Some(path), None) => Some(open(&path)?),
        (None, Some(fd)) => Some(duplicate(fd as i32)?),
        _ => {
            return Err(Error::invalid("exactly one of path and fd is needed")
                .with_hint("say where the lines go, by a path or by an open descriptor"));
        }
    };
    install(level, if level == LevelFilter::Off { None } else { file })
}

/// Turns the log on as `SANDPORT_LOG` and `SANDPORT_LOG_FILE` ask, once in a process; a warning when it cannot.
pub(crate) fn from_environment() -> Option<String> {
    static WARNING: OnceLock<Option<String>> = OnceLock::new();
    WARNING
        .get_or_init(|| {
            let set = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
            let level = set("SANDPORT_LOG")?;
            let done = match (parse_level(&level), set("SANDPORT_LOG_FILE")) {
                (Some(LevelFilter::Off), _) => Ok(()),
                (Some(level), Some(path)) => open(&path).and_then(|file| install(level, Some(file))),
                (Some(_), None) => Err(Error::invalid("SANDPORT_LOG_FILE is not set")),
                (None, _) => Err(Error::invalid("SANDPORT_LOG is no level")),
            };
            done.err().map(|error| format!("no log is written: {}", error.message()))
        })
        .clone()
}

const LEVELS: &str = "use one of off, error, warn, info, debug and trace";

fn parse_level(word: &str) -> Option<LevelFilter> {
    Some(match word {
        "off" => LevelFilter::Off,
        "error" => LevelFilter::Error,
        "warn" => LevelFilter::Warn,
        "info" => LevelFilter::Info,
        "debug" => LevelFilter::Debug,
        "trace" => LevelFilter::Trace,
        _ => return None,
    })
}

fn open(path: &str) -> Result<File> {
    // The standard library opens close-on-exec. Non-blocking, or a pipe that nobody reads would hang right here.
    let opened =
        OpenOptions::new().append(true).create(true).mode(0o600).custom_flags(libc::O_NONBLOCK).open(path);
    opened.map_err(|error| {
        Error::invalid(format!("the log's path cannot be opened: {}", error.kind()))
            .with_hint("give a path in a folder that this user may write to")
    })
}

fn duplicate(fd: i32) -> Result<File> {
    process::duplicate(fd).map_err(|error| {
        Error::invalid(format!("fd cannot be used: {}", error.kind()))
            .with_hint("give a descriptor that is open for writing")
    })
}

fn install(level: LevelFilter, file: Option<File>) -> Result<()> {
    if !*OURS.get_or_init(|| log::set_logger(&LOGGER).is_ok()) {
        return Err(Error::new(Code::Unsupported, "this program has a logger of its own")
            .with_hint("set the level and the place with that logger; the lines have the target sandport"));
    }
    let Some(mut sink) = LOGGER.sink() else {
        return Err(Error::new(Code::Internal, "the log is held by a thread that a fork left behind")
            .with_hint("set the log before the fork"));
    };
    let before = std::mem::replace(&mut *sink, file.map(Arc::new));
    drop(sink);
    drop(before);
    log::set_max_level(level);
    Ok(())
}

impl JsonLines {
    /// The sink, which is held for nanoseconds only. In the child of a fork a thread that is no more may hold it for
    /// ever: so nobody waits for long.
    fn sink(&self) -> Option<MutexGuard<'_, Option<Arc<File>>>> {
        for _ in 0..10_000 {
            match self.sink.try_lock() {
                Ok(sink) => return Some(sink),
                Err(TryLockError::Poisoned(poisoned)) => return Some(poisoned.into_inner()),
                Err(TryLockError::WouldBlock) => std::thread::yield_now(),
            }
        }
        None
    }
}

impl Log for JsonLines {
    fn enabled(&self, about: &Metadata<'_>) -> bool {
        about.target() == "sandport" || about.target().starts_with("sandport::")
    }

    fn log(&self, record: &Record<'_>) {
        if !self.enabled(record.metadata()) {
            return;
        }
        let file = self.sink().and_then(|sink| sink.clone());
        // A reader that does not keep up loses lines; a call never waits for it.
        if let Some(file) = file.filter(|file| process::takes_more(file)) {
            let _ = process::write_quietly(&file, line(record).as_bytes());
        }
    }

    fn flush(&self) {}
}

/// One JSON object with its newline.
fn line(record: &Record<'_>) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let mut members = Map::new();
    members.insert("time".into(), json!(now.as_micros() as f64 / 1e6));
    members.insert("level".into(), record.level().as_str().to_ascii_lowercase().into());
    members.insert("message".into(), record.args().to_string().into());
    let _ = record.key_values().visit(&mut Members(&mut members));
    let mut text = Value::Object(members.clone()).to_string();
    if text.len() >= LINE {
        // Only a message or another text can be that long; the facts that join the lines stay.
        members.retain(|name, value| name == "time" || name == "level" || !value.is_string());
        members.insert("message".into(), "a line that was too long".into());
        text = Value::Object(members).to_string();
    }
    text.push('\n');
    text
}

struct Members<'a>(&'a mut Map<String, Value>);

impl<'kvs> VisitSource<'kvs> for Members<'_> {
    fn visit_pair(&mut self, key: Key<'kvs>, value: KeyValue<'kvs>) -> Result<(), kv::Error> {
        let value = if let Some(number) = value.to_u64() {
            number.into()
        } else if let Some(number) = value.to_i64() {
            number.into()
        } else if let Some(yes) = value.to_bool() {
            yes.into()
        } else if let Some(number) = value.to_f64() {
            json!(number)
        } else {
            Value::String(value.to_string())
        };
        self.0.insert(key.as_str().to_owned(), value);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(record: &Record<'_>) -> Value {
        let text = line(record);
        assert!(text.ends_with("}\n") && text.len() <= LINE && text.matches('\n').count() == 1, "{text}");
        serde_json::from_str(&text).unwrap()
    }

    #[test]
    fn a_line_is_one_json_object_with_time_call_and_phase() {
        let facts: &[(&str, KeyValue<'_>)] = &[
            ("call", KeyValue::from(7_u64)),
            ("phase", KeyValue::from("pull")),
            ("status", KeyValue::from(-1)),
        ];
        let line = written(
            &Record::builder()
                .target("sandport")
                .level(log::Level::Debug)
                .args(format_args!("a\n\"b\""))
                .key_values(&facts)
                .build(),
        );
        assert!(line["time"].as_f64().unwrap() > 1.7e9);
        assert_eq!(
            [&line["level"], &line["message"], &line["call"], &line["phase"], &line["status"]],
            [&json!("debug"), &json!("a\n\"b\""), &json!(7), &json!("pull"), &json!(-1)]
        );
    }

    #[test]
    fn a_line_that_is_too_long_keeps_what_joins_it() {
        let facts: &[(&str, KeyValue<'_>)] = &[("call", KeyValue::from(7_u64))];
        let long = "x".repeat(3 * LINE);
        let line = written(
            &Record::builder().target("sandport").args(format_args!("{long}")).key_values(&facts).build(),
        );
        assert_eq!(line["call"], 7);
        assert!(line["time"].is_number() && line["level"].is_string() && line["message"].is_string());
    }

    #[test]
    fn what_the_http_client_says_is_not_ours() {
        let about = |target| Metadata::builder().target(target).build();
        assert!(LOGGER.enabled(&about("sandport")) && LOGGER.enabled(&about("sandport::engine")));
        assert!(!LOGGER.enabled(&about("ureq_proto")) && !LOGGER.enabled(&about("sandporter")));
    }

    #[test]
    fn a_wrong_request_is_refused_and_changes_nothing() {
        for request in [
            "{}",
            r#"{"level": "loud", "fd": 2}"#,
            r#"{"level": "debug"}"#,
            r#"{"level": "debug", "fd": 2, "path": "x"}"#,
            r#"{"level": "debug", "fd": -1}"#,
            r#"{"level": "debug", "path": "/"}"#,
            r#"{"level": "debug", "fd": 2, "colour": true}"#,
        ] {
            assert_eq!(set(request).unwrap_err().code(), Code::InvalidArgument, "{request}");
        }
        assert!(OURS.get().is_none(), "no logger was set");
    }
}
