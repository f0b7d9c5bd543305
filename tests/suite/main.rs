//! The promises, each against a real engine, through the C ABI's own functions. Nothing is skipped: without an engine
//! every test fails and says what to do.

mod attacks;
mod child;
mod codes;
mod contained;
mod cost;
mod engines;
mod failures;
mod guests;
mod kills;
mod model;
mod processes;
mod registry;
mod rig;
mod rows;
mod soak;
mod started;
