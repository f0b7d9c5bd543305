//! Text to a JSON object: no duplicate key at any depth, bounded depth, and messages without values.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

use super::{DEPTH, shown};
use crate::error::{Error, Result};

/// Reads one object of at most `limit` bytes.
pub(super) fn object(text: &str, limit: usize) -> Result<Map<String, Value>> {
    if text.len() > limit {
        return Err(Error::invalid(format!("the JSON is longer than {limit} bytes"))
            .with_hint("send less: big data belongs in a mount or in several requests"));
    }
    let mut reading = Reading::default();
    let mut source = serde_json::Deserializer::from_str(text);
    let read = Any(&mut reading).deserialize(&mut source).and_then(|value| source.end().map(|()| value));
    match read {
        Ok(Value::Object(map)) => Ok(map),
        Ok(_) => {
            Err(Error::invalid("the JSON is not an object").with_hint("send an object: {\"name\": value}"))
        }
        Err(at) => Err(reading.refused.unwrap_or_else(|| {
            // serde_json's own words can repeat what they stumbled over.
            Error::invalid(format!("the JSON is malformed at line {}, column {}", at.line(), at.column()))
                .with_hint("send one valid JSON object and nothing after it")
        })),
    }
}

/// Where we are, and why we stopped.
#[derive(Default)]
struct Reading {
    path: String,
    depth: usize,
    refused: Option<Error>,
}

impl Reading {
    fn refuse<E: serde::de::Error>(&mut self, error: Error) -> E {
        self.refused.get_or_insert(error);
        E::custom("refused")
    }

    fn descend<E: serde::de::Error>(&mut self) -> Result<(), E> {
        self.depth += 1;
        if self.depth > DEPTH {
            let error = Error::invalid(format!("the JSON is nested deeper than {DEPTH} levels"));
            return Err(self.refuse(error));
        }
        Ok(())
    }
}

/// Any value.
struct Any<'a>(&'a mut Reading);

impl<'de> DeserializeSeed<'de> for Any<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, source: D) -> Result<Value, D::Error> {
        source.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Any<'_> {
    type Value = Value;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut source: A) -> Result<Value, A::Error> {
        let Any(reading) = self;
        reading.descend()?;
        let before = reading.path.len();
        let mut all = Vec::new();
        loop {
            reading.path.push_str(&format!("[{}]", all.len()));
            let next = source.next_element_seed(Any(&mut *reading))?;
            reading.path.truncate(before);
            match next {
                Some(value) => all.push(value),
                None => break,
            }
        }
        reading.depth -= 1;
        Ok(Value::Array(all))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut source: A) -> Result<Value, A::Error> {
        let Any(reading) = self;
        reading.descend()?;
        let before = reading.path.len();
        let mut map = Map::new();
        while let Some(name) = source.next_key::<String>()? {
            if before > 0 {
                reading.path.push('.');
            }
            reading.path.push_str(&shown(&name));
            if map.contains_key(&name) {
                let error = Error::invalid(format!("`{}` stands twice", reading.path))
                    .with_hint("name each field once: which of the two counts would be a guess");
                return Err(reading.refuse(error));
            }
            let value = source.next_value_seed(Any(&mut *reading))?;
            reading.path.truncate(before);
            map.insert(name, value);
        }
        reading.depth -= 1;
        Ok(Value::Object(map))
    }
}
