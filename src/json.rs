//! Strict JSON: objects only, no duplicate key at any depth, bounded depth, unknown fields refused by name.
//!
//! [`Fields`] takes the members of one object apart; what nobody has taken when it is finished is unknown. A message
//! names the field by its path (`mounts[0].host_path`) and never repeats its value. `null` counts as absent.
#![allow(dead_code)]

use std::ops::RangeInclusive;
use std::time::Duration;

use serde_json::{Map, Value};

use crate::error::Result;

/// Most bytes of a config or request, but for `request`.
pub(crate) const LIMIT: usize = 1 << 20;
/// Most objects and arrays inside each other.
pub(crate) const DEPTH: usize = 32;

/// The members of one object that nobody has taken yet.
#[derive(Debug)]
pub(crate) struct Fields {
    path: String,
    map: Map<String, Value>,
}

impl Fields {
    /// Reads one object of at most `limit` bytes.
    pub fn parse(_text: &str, _limit: usize) -> Result<Fields> {
        todo!()
    }
    /// A text without NUL.
    pub fn string(&mut self, _name: &str) -> Result<Option<String>> {
        todo!()
    }
    /// True or false.
    pub fn boolean(&mut self, _name: &str) -> Result<Option<bool>> {
        todo!()
    }
    /// A whole number.
    pub fn integer(&mut self, _name: &str, _range: RangeInclusive<u64>) -> Result<Option<u64>> {
        todo!()
    }
    /// Seconds, 0 to one year, fractions allowed.
    pub fn seconds(&mut self, _name: &str) -> Result<Option<Duration>> {
        todo!()
    }
    /// Refuses what nobody has taken.
    pub fn finish(self) -> Result<()> {
        todo!()
    }
}
