//! The one table behind every handle: a number with a kind and a generation, never a pointer.
//!
//! A number that is closed, invented, of another kind or from before a fork finds nothing. Numbers stay below 2^53,
//! so that a JavaScript number holds them.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::fork;
use super::queue::Queue;
use super::started::{OpenBackend, Started};
use crate::error::{Code, Error, Result};
use crate::guest::Guest;
use crate::locks::epoch;

const INDEX_BITS: u32 = 20;
const GENERATION_BITS: u32 = 29;
const LAST_GENERATION: u64 = (1 << GENERATION_BITS) - 1;

/// What a handle may stand for.
#[derive(Clone)]
pub(crate) enum Entry {
    Backend(Arc<OpenBackend>),
    Call(Arc<Started>),
    Queue(Arc<Queue>),
    Guest(Arc<Guest>),
}

/// The kinds of handle; the number carries it, so that a call's handle is never taken for a backend's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u64)]
pub(crate) enum Kind {
    Backend = 1,
    Call = 2,
    Queue = 3,
    Guest = 4,
}

impl Kind {
    fn word(self) -> &'static str {
        match self {
            Kind::Backend => "backend",
            Kind::Call => "call",
            Kind::Queue => "queue",
            Kind::Guest => "guest",
        }
    }
}

struct Slot {
    generation: u64,
    /// How many forks lay before; an entry of another epoch is never found, closed or dropped.
    epoch: u64,
    entry: Option<Entry>,
}

/// Slots and those of them that are free, the longest free first.
pub(crate) struct Table {
    slots: Vec<Slot>,
    free: VecDeque<usize>,
}

static TABLE: Mutex<Table> = Mutex::new(Table { slots: Vec::new(), free: VecDeque::new() });

/// The table, also when a thread panicked while it held it: every change is one assignment.
pub(super) fn table() -> MutexGuard<'static, Table> {
    TABLE.lock().unwrap_or_else(PoisonError::into_inner)
}

fn number(kind: Kind, generation: u64, index: usize) -> u64 {
    (kind as u64) << (GENERATION_BITS + INDEX_BITS) | generation << INDEX_BITS | index as u64
}

/// Puts in what `make` makes of its number.
pub(crate) fn insert<T>(kind: Kind, make: impl FnOnce(u64) -> (Entry, T)) -> Result<(u64, T)> {
    fork::arm();
    let mut table = table();
    let index = match table.free.pop_front() {
        Some(index) => index,
        None if table.slots.len() < 1 << INDEX_BITS => {
            table.slots.push(Slot { generation: 0, epoch: 0, entry: None });
            table.slots.len() - 1
        }
        None => {
            return Err(Error::new(Code::Internal, "there are more than a million open handles")
                .with_hint("close what is no longer used")
                .retryable());
        }
    };
    let handle = number(kind, table.slots[index].generation, index);
    let (entry, made) = make(handle);
    table.slots[index].entry = Some(entry);
    table.slots[index].epoch = epoch();
    Ok((handle, made))
}

fn position(table: &Table, kind: Kind, handle: u64) -> Option<usize> {
    let index = (handle & ((1 << INDEX_BITS) - 1)) as usize;
    let slot = table.slots.get(index)?;
    (slot.epoch == epoch() && slot.entry.is_some() && number(kind, slot.generation, index) == handle)
        .then_some(index)
}

fn find(kind: Kind, handle: u64) -> Option<Entry> {
    let table = table();
    position(&table, kind, handle).and_then(|index| table.slots[index].entry.clone())
}

/// Takes an entry out; from now on its number finds nothing, for ever.
fn remove(kind: Kind, handle: u64) -> Option<Entry> {
    let mut table = table();
    let index = position(&table, kind, handle)?;
    let slot = &mut table.slots[index];
    let entry = slot.entry.take();
    if slot.generation < LAST_GENERATION {
        slot.generation += 1;
        table.free.push_back(index);
    }
    entry
}

/// The error of a number that finds nothing.
pub(crate) fn unknown(kind: Kind) -> Error {
    let word = kind.word();
    Error::new(Code::InvalidHandle, format!("the {word} handle is not open in this process"))
        .with_hint(format!("use a {word} handle that is open; a handle ends when it is closed, when its result was delivered, and with a fork"))
}

/// The backend of a handle.
pub(crate) fn backend(handle: u64) -> Result<Arc<OpenBackend>> {
    match find(Kind::Backend, handle) {
        Some(Entry::Backend(backend)) => Ok(backend),
        _ => Err(unknown(Kind::Backend)),
    }
}

/// The call of a handle.
pub(crate) fn call(handle: u64) -> Result<Arc<Started>> {
    match find(Kind::Call, handle) {
        Some(Entry::Call(call)) => Ok(call),
        _ => Err(unknown(Kind::Call)),
    }
}

/// The queue of a handle.
pub(crate) fn queue(handle: u64) -> Result<Arc<Queue>> {
    match find(Kind::Queue, handle) {
        Some(Entry::Queue(queue)) => Ok(queue),
        _ => Err(unknown(Kind::Queue)),
    }
}

/// The guest of a handle.
pub(crate) fn guest(handle: u64) -> Result<Arc<Guest>> {
    match find(Kind::Guest, handle) {
        Some(Entry::Guest(guest)) => Ok(guest),
        _ => Err(unknown(Kind::Guest)),
    }
}

/// Takes a guest out.
pub(crate) fn take_guest(handle: u64) -> Result<Arc<Guest>> {
    match remove(Kind::Guest, handle) {
        Some(Entry::Guest(guest)) => Ok(guest),
        _ => Err(unknown(Kind::Guest)),
    }
}

/// Takes a backend out.
pub(crate) fn take_backend(handle: u64) -> Result<Arc<OpenBackend>> {
    match remove(Kind::Backend, handle) {
        Some(Entry::Backend(backend)) => Ok(backend),
        _ => Err(unknown(Kind::Backend)),
    }
}

/// Takes a call out.
pub(crate) fn take_call(handle: u64) -> Result<Arc<Started>> {
    match remove(Kind::Call, handle) {
        Some(Entry::Call(call)) => Ok(call),
        _ => Err(unknown(Kind::Call)),
    }
}

/// Takes a queue out.
pub(crate) fn take_queue(handle: u64) -> Result<Arc<Queue>> {
    match remove(Kind::Queue, handle) {
        Some(Entry::Queue(queue)) => Ok(queue),
        _ => Err(unknown(Kind::Queue)),
    }
}
