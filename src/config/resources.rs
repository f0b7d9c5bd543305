//! Limits of a sandbox: the config's, and what a request or a policy says beside it.

use crate::error::Result;
use crate::json::{Fields, WHOLE_AT_MOST};
use crate::runtime::Limits;

/// Most processes, unless the config says otherwise.
const PIDS: u64 = 4096;
/// Most bytes of the engine's log, unless the config says otherwise.
const LOG_BYTES: u64 = 10 << 20;
/// More processors than any machine has; below this, billionths of one still fit an engine's number.
const CPUS_AT_MOST: f64 = 100_000.0;
/// More processes than any kernel counts.
const PIDS_AT_MOST: u64 = 1 << 22;

/// Limits as somebody names them; what is left out is not said.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Resources {
    pub memory_bytes: Option<u64>,
    pub cpus: Option<f64>,
    pub pids: Option<u64>,
    pub shm_bytes: Option<u64>,
    pub log_bytes: Option<u64>,
}

impl Resources {
    /// Reads a `resources` object.
    pub fn read(mut fields: Fields) -> Result<Resources> {
        let resources = Resources {
            memory_bytes: fields.integer("memory_bytes", 1..=WHOLE_AT_MOST)?,
            cpus: fields.positive("cpus", CPUS_AT_MOST)?,
            pids: fields.integer("pids", 1..=PIDS_AT_MOST)?,
            shm_bytes: fields.integer("shm_bytes", 1..=WHOLE_AT_MOST)?,
            log_bytes: fields.integer("log_bytes", 1..=WHOLE_AT_MOST)?,
        };
        fields.finish()?;
        Ok(resources)
    }

    /// These limits where they say something, else the base's.
    pub fn over(&self, base: &Limits) -> Limits {
        Limits {
            memory_bytes: self.memory_bytes.or(base.memory_bytes),
            no_swap: base.no_swap,
            cpus: self.cpus.or(base.cpus),
            pids: self.pids.unwrap_or(base.pids),
            shm_bytes: self.shm_bytes.or(base.shm_bytes),
            log_bytes: self.log_bytes.unwrap_or(base.log_bytes),
        }
    }

    /// The lower of both, limit by limit, as a guest gets them; no limit is the highest.
    pub fn under(&self, base: &Limits) -> Limits {
        Limits {
            memory_bytes: base.memory_bytes.into_iter().chain(self.memory_bytes).min(),
            no_swap: base.no_swap,
            cpus: base.cpus.into_iter().chain(self.cpus).reduce(f64::min),
            pids: self.pids.map_or(base.pids, |pids| pids.min(base.pids)),
            shm_bytes: base.shm_bytes.into_iter().chain(self.shm_bytes).min(),
            log_bytes: self.log_bytes.map_or(base.log_bytes, |bytes| bytes.min(base.log_bytes)),
        }
    }
}

/// The limits of a config that says none.
pub(super) fn usual() -> Limits {
    Limits { pids: PIDS, log_bytes: LOG_BYTES, ..Limits::default() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_speaks_over_the_config_and_a_guest_only_lowers_it() {
        let base = Limits { memory_bytes: Some(100), cpus: None, pids: 10, shm_bytes: Some(5), ..usual() };
        let asked = Resources {
            memory_bytes: Some(200),
            cpus: Some(0.5),
            pids: Some(20),
            shm_bytes: None,
            log_bytes: Some(1),
        };
        let over = asked.over(&base);
        assert_eq!(
            (over.memory_bytes, over.cpus, over.pids, over.shm_bytes),
            (Some(200), Some(0.5), 20, Some(5))
        );
        let low = asked.under(&base);
        assert_eq!(
            (low.memory_bytes, low.cpus, low.pids, low.shm_bytes),
            (Some(100), Some(0.5), 10, Some(5))
        );
        assert_eq!((over.log_bytes, low.log_bytes), (1, 1));
        assert_eq!(Resources::default().under(&base), base);
        assert_eq!(Resources::default().over(&base), base);
    }
}
