//! Strict JSON: objects only, no duplicate key at any depth, bounded depth, unknown fields refused by name.
//!
//! [`Fields`] takes the members of one object apart; what nobody has taken when it is finished is unknown. A message
//! names the field by its path (`mounts[0].host_path`) and never repeats its value. `null` counts as absent.

use std::ops::RangeInclusive;
use std::time::Duration;

use serde_json::{Map, Value};

use crate::error::{Error, Result};

mod parse;
#[cfg(test)]
mod tests;

/// Most bytes of a config or request, but for `request`.
pub(crate) const LIMIT: usize = 1 << 20;
/// Most objects and arrays inside each other.
pub(crate) const DEPTH: usize = 32;
/// Most seconds of any time: one year.
const YEAR: f64 = 365.0 * 24.0 * 60.0 * 60.0;
/// The largest number that every reader of JSON keeps whole.
pub(crate) const WHOLE_AT_MOST: u64 = (1 << 53) - 1;

/// The members of one object that nobody has taken yet.
#[derive(Debug)]
pub(crate) struct Fields {
    path: String,
    map: Map<String, Value>,
}

impl Fields {
    /// Reads one object of at most `limit` bytes.
    pub fn parse(text: &str, limit: usize) -> Result<Fields> {
        Ok(Fields { path: String::new(), map: parse::object(text, limit)? })
    }

    /// How messages call a member.
    pub fn field(&self, name: &str) -> String {
        match self.path.as_str() {
            "" => shown(name),
            path => format!("{path}.{}", shown(name)),
        }
    }

    /// A member that is wrong; `what` goes on after its name, such as "is not a port".
    pub fn wrong(&self, name: &str, what: &str) -> Error {
        wrong(&self.field(name), what)
    }

    /// A member that must be there.
    pub fn required<T>(&self, name: &str, value: Option<T>) -> Result<T> {
        value.ok_or_else(|| self.wrong(name, "is missing"))
    }

    /// Whether a member stands here and is not taken yet.
    pub fn has(&self, name: &str) -> bool {
        self.map.get(name).is_some_and(|value| !value.is_null())
    }

    fn take(&mut self, name: &str) -> Option<Value> {
        self.map.remove(name).filter(|value| !value.is_null())
    }

    /// A text, NUL too.
    pub fn text(&mut self, name: &str) -> Result<Option<String>> {
        let field = self.field(name);
        self.take(name).map(|value| as_text(value, &field)).transpose()
    }

    /// A text without NUL.
    pub fn string(&mut self, name: &str) -> Result<Option<String>> {
        let field = self.field(name);
        self.take(name).map(|value| as_string(value, &field)).transpose()
    }

    /// One of these words.
    pub fn word<T: Copy>(&mut self, name: &str, words: &[(&str, T)]) -> Result<Option<T>> {
        let Some(text) = self.string(name)? else { return Ok(None) };
        match words.iter().find(|(word, _)| *word == text) {
            Some((_, meaning)) => Ok(Some(*meaning)),
            None => {
                let all: Vec<_> = words.iter().map(|(word, _)| format!("\"{word}\"")).collect();
                Err(self
                    .wrong(name, "is none of its words")
                    .with_hint(format!("say one of {}", all.join(", "))))
            }
        }
    }

    /// True or false.
    pub fn boolean(&mut self, name: &str) -> Result<Option<bool>> {
        match self.take(name) {
            None => Ok(None),
            Some(Value::Bool(value)) => Ok(Some(value)),
            Some(_) => Err(self.wrong(name, "is not true or false")),
        }
    }

    /// A whole number.
    pub fn integer(&mut self, name: &str, range: RangeInclusive<u64>) -> Result<Option<u64>> {
        let Some(value) = self.take(name) else { return Ok(None) };
        let number = whole(&value).filter(|number| range.contains(number));
        number.map(Some).ok_or_else(|| {
            self.wrong(name, &format!("is not a whole number from {} to {}", range.start(), range.end()))
        })
    }

    /// A TCP port, never 0.
    pub fn port(&mut self, name: &str) -> Result<Option<u16>> {
        Ok(self.integer(name, 1..=65535)?.and_then(|port| u16::try_from(port).ok()))
    }

    /// A number greater than zero and at most this.
    pub fn positive(&mut self, name: &str, at_most: f64) -> Result<Option<f64>> {
        let Some(value) = self.take(name) else { return Ok(None) };
        let number = value.as_f64().filter(|number| *number > 0.0 && *number <= at_most);
        number
            .map(Some)
            .ok_or_else(|| self.wrong(name, &format!("is not a number above 0 and up to {at_most}")))
    }

    /// Seconds, 0 to one year, fractions allowed.
    pub fn seconds(&mut self, name: &str) -> Result<Option<Duration>> {
        let Some(value) = self.take(name) else { return Ok(None) };
        let seconds = value.as_f64().filter(|seconds| (0.0..=YEAR).contains(seconds));
        let time = seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
        time.map(Some).ok_or_else(|| {
            self.wrong(name, "is not a number of seconds from 0 to one year")
                .with_hint("say seconds, such as 2.5")
        })
    }

    /// A list of texts without NUL.
    pub fn strings(&mut self, name: &str) -> Result<Option<Vec<String>>> {
        let field = self.field(name);
        let Some(all) = self.list(name)? else { return Ok(None) };
        let read = all.into_iter().enumerate().map(|(at, value)| as_string(value, &format!("{field}[{at}]")));
        read.collect::<Result<_>>().map(Some)
    }

    /// A list of objects.
    pub fn objects(&mut self, name: &str) -> Result<Option<Vec<Fields>>> {
        let field = self.field(name);
        let Some(all) = self.list(name)? else { return Ok(None) };
        let read = all.into_iter().enumerate().map(|(at, value)| as_object(value, format!("{field}[{at}]")));
        read.collect::<Result<_>>().map(Some)
    }

    /// An object.
    pub fn object(&mut self, name: &str) -> Result<Option<Fields>> {
        let field = self.field(name);
        self.take(name).map(|value| as_object(value, field)).transpose()
    }

    /// The names of what nobody has taken yet.
    pub fn names(&self) -> Vec<String> {
        self.map.keys().cloned().collect()
    }

    /// An object whose values are texts without NUL: its members in the order of their names, each checked.
    pub fn pairs(
        &mut self,
        name: &str,
        check: impl Fn(&str, &str) -> Result<(), &'static str>,
    ) -> Result<Pairs> {
        let Some(object) = self.object(name)? else { return Ok(Pairs::new()) };
        let mut all = Pairs::new();
        for (key, value) in object.map {
            let field = format!("{}.{}", object.path, shown(&key));
            let value = as_string(value, &field)?;
            check(&key, &value).map_err(|what| wrong(&field, what))?;
            all.push((key, value));
        }
        Ok(all)
    }

    /// The member as it stands, unlooked at.
    pub fn raw(&mut self, name: &str) -> Option<Value> {
        self.take(name)
    }

    /// Refuses what nobody has taken.
    pub fn finish(self) -> Result<()> {
        match self.map.iter().find(|(_, value)| !value.is_null()).or(self.map.iter().next()) {
            None => Ok(()),
            Some((name, _)) => Err(self
                .wrong(name, "is an unknown field")
                .with_hint("look for a typing error in the field's name")),
        }
    }
}

/// Names with their values.
pub(crate) type Pairs = Vec<(String, String)>;

/// A field that is wrong; `what` goes on after its name.
pub(crate) fn wrong(field: &str, what: &str) -> Error {
    Error::invalid(format!("`{field}` {what}"))
}

/// A member's name as a message may show it: short, and without what a terminal would obey.
fn shown(name: &str) -> String {
    const AT_MOST: usize = 64;
    let plain = |letter: char| if letter.is_ascii_graphic() && letter != '`' { letter } else { '?' };
    let mut text: String = name.chars().take(AT_MOST).map(plain).collect();
    if name.chars().nth(AT_MOST).is_some() {
        text.push_str("...");
    }
    text
}

fn as_text(value: Value, field: &str) -> Result<String> {
    match value {
        Value::String(text) => Ok(text),
        _ => Err(wrong(field, "is not a text")),
    }
}

fn as_string(value: Value, field: &str) -> Result<String> {
    let text = as_text(value, field)?;
    if text.contains('\0') { Err(wrong(field, "has a NUL character")) } else { Ok(text) }
}

fn as_object(value: Value, path: String) -> Result<Fields> {
    match value {
        Value::Object(map) => Ok(Fields { path, map }),
        _ => Err(wrong(&path, "is not an object")),
    }
}

/// A whole number; `8080.0` is one too, as some languages write nothing else.
fn whole(value: &Value) -> Option<u64> {
    value.as_u64().or_else(|| {
        let number = value.as_f64()?;
        // Below 2^53 the conversion is exact.
        ((0.0..=WHOLE_AT_MOST as f64).contains(&number) && number.fract() == 0.0).then_some(number as u64)
    })
}

impl Fields {
    fn list(&mut self, name: &str) -> Result<Option<Vec<Value>>> {
        match self.take(name) {
            None => Ok(None),
            Some(Value::Array(all)) => Ok(Some(all)),
            Some(_) => Err(self.wrong(name, "is not a list")),
        }
    }
}
