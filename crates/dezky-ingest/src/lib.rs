//! Sources: what other systems did, fetched, taken in and tailed, on one timeline.
//!
//! What it promises, of every source:
//!
//! * A cursor moves only after everything before it is durable in the log, so that whatever dies, nothing is missed; what is
//!   read again is known by its `(source, externalId)` and recorded once.
//! * One worker at a time, in this process and in all that share the store. It rests longer after each failure, ends when it is
//!   told to, and begins anew from its cursor after a panic.
//! * Nothing is dropped silently: what is not recorded is counted ([`Counts`]), what cannot be read is recorded as such.
//! * [`SourceHealth`] says how a source fares, and when it fails, what to do about it.
//!
//! The maps from a source's words to drafts stand in [`dezky_audit_core::source`] and do no I/O.

pub mod authentik;
pub mod bus;
mod cursor;
mod delivery;
mod directory;
mod health;
mod problem;
mod same;
pub mod tail;
pub mod webhook;
mod worker;

// The public interface is:
pub use delivery::{Delivered, Delivery};
pub use directory::{InvalidDirectory, StaticDirectory, TenantRule};
pub use health::{Counts, Health, SourceHealth, State};
pub use problem::Problem;
pub use worker::{Holders, Pace, Progress, Stop, Work, Worker};
